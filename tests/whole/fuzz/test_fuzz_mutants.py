"""Two thousand damaged specs: each is planned, or refused in one line a problem. Never a traceback, never a hang.

`FUZZ=10 pytest tests/whole/fuzz` runs ten times as many, from a new seed each time.
"""

from __future__ import annotations

import math
import random
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from study.spec import load
from study.spec.problems import SpecError
from tests.whole.fuzz.budget import budget
from tests.whole.fuzz.fuzz_outcome import begin, dry_run, is_quick, loaded, remembered, status
from tests.whole.fuzz.mutants import Mutant, at, block, mutant, places
from tests.whole.fuzz.valid_specs import Tree, trees

pytestmark = pytest.mark.slow
EACH = 10  # mutants of one good spec
SLOWEST = 15.0  # seconds of CPU for one mutant: nothing may hang


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "s.yaml"


def write(file: Path, made: Mutant) -> None:
    file.write_bytes(made.data)


seeds = st.lists(st.integers(0, 2**32 - 1), min_size=EACH, max_size=EACH)


def test_mutants_are_planned_or_refused(folder: Path) -> None:
    """1,700 mutants through load and all that a plan takes from a spec, without the data."""
    counts: Counter[str] = Counter()

    @budget(170, shrink=False)
    @given(trees(), seeds)
    def run(tree: Tree, seeds: list[int]) -> None:
        for seed in seeds:
            made = mutant(tree, seed)
            write(folder, made)
            begun = time.process_time()
            spec = loaded(folder, made.options)
            assert time.process_time() - begun < SLOWEST, made.made_by
            counts["refused" if spec is None else "planned"] += 1

    run()
    total = sum(counts.values())
    assert total >= 1700 and min(counts["refused"], counts["planned"]) > total / 10, counts  # both kinds are met


def test_mutants_through_the_command_line(folder: Path) -> None:
    """300 mutants through `study.launch --dry-run`, with real data where their plan is quick."""
    counts: Counter[int] = Counter()

    @budget(30, shrink=False)
    @given(trees(sets=("moons", "faces"), cpu=1.0), seeds)
    def run(tree: Tree, seeds: list[int]) -> None:
        for seed in seeds:
            made = mutant(tree, seed)
            write(folder, made)
            spec = loaded(folder, made.options)
            if spec is None or is_quick(spec):
                code = dry_run(folder, made.options)
                assert (code == 0) == (spec is not None) or spec.resources.cpu > 1, made.made_by
                counts[code] += 1

    with remembered():
        run()
    assert counts[0] + counts[2] >= 250 and counts[0] >= 10, counts


def test_files_through_the_status_of_the_study_that_they_were(folder: Path) -> None:
    """150 mutants of 15 files, and 15 other files of that name, each asked for the good file's launch: what
    is left has other phases, arms, knobs, ranges and objectives than what was asked."""
    counts: Counter[str] = Counter()

    def ask(options: Sequence[str]) -> None:
        code, said = status(folder, options)
        counts["refused" if code else "other" if "than the last launch" in said else "same"] += 1

    @budget(15, shrink=False)
    @given(trees(sets=("moons", "faces"), cpu=1.0), trees(sets=("moons", "faces"), cpu=1.0), seeds)
    def run(tree: Tree, another: Tree, seeds: list[int]) -> None:
        folder.write_text(block(tree), encoding="utf-8")
        begin(folder, ())
        folder.write_text(block({**another, "study": tree["study"]}), encoding="utf-8")
        ask(())
        for seed in seeds:
            made = mutant(tree, seed)
            write(folder, made)
            ask(made.options)
        shutil.rmtree("runs")

    with remembered():
        run()
    assert counts.total() >= 165 and min(counts.values()) >= 9, counts


def test_what_is_no_number_is_refused_by_name(folder: Path) -> None:
    """Where a good spec has a number: a truth value, a word, NaN, an infinity, in turn. The line names the key."""
    tried: Counter[str] = Counter()

    @budget(40)
    @given(trees(), st.randoms(use_true_random=False))
    def run(tree: Tree, chance: random.Random) -> None:
        path = chance.choice([p for p in places(tree) if type(at(tree, p)) in (int, float)])
        for value in (True, "x", math.nan, -math.inf, 10**400):
            at(tree, path[:-1])[path[-1]] = value
            folder.write_text(block(tree), encoding="utf-8")
            with pytest.raises(SpecError) as caught:
                load(folder.name)
            key = [part for part in path if isinstance(part, str)][-1]
            assert any(key in line for line in caught.value.problems), (path, value, caught.value.problems)
            tried[str(path[0])] += 1

    run()
    assert len(tried) >= 5, tried


def test_block_says_the_tree(folder: Path) -> None:
    """So that a mutant is a mutant of a good spec."""
    @budget(50)
    @given(trees())
    def run(tree: Tree) -> None:
        folder.write_text(block(tree), encoding="utf-8")
        assert loaded(folder, ()) is not None

    run()
