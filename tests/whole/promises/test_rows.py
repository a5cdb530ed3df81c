"""The matrix is made from the spec's own tables: a word that no row says, and a pair that no row has, fails here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from itertools import combinations
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from models.data.datasets import DATASETS
from models.data.disk.options import KINDS
from models.knobs import LARGEST, expected
from models.measures.table import own_measure
from models.networks.choice import own_knobs
from models.registry import NETWORKS
from study.spec import loads
from study.spec.knobs import ALL_KNOBS, KNOBS, METHODS, _hint
from study.spec.objectives import measures
from study.spec.places import SECTIONS
from study.spec.reading import Reader
from study.spec.yaml_text import as_yaml
from tests.whole.promises.extremes import PLANE, SMALL, ends, extremes, study
from tests.whole.promises.rows import FACTORS, TOGETHER, matrix
from tests.whole.promises.studies import data_in, spec_of, study_of

Path_ = tuple[str, ...]
ALIKE = ("network", "init", "decay", "last_step", "norm_g", "network_g")  # knobs that all methods take alike


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("home") / "data"
    found.mkdir()
    data_in(found)
    return found


@pytest.fixture(scope="module")
def trees(folder: Path) -> list[dict[str, Any]]:
    return [study_of(row, k, folder) for k, row in enumerate(matrix())]


def said(tree: Any, path: Path_ = ()) -> Iterable[tuple[Path_, Any]]:
    """Every (path, value) of a tree, mappings and lists too; an index is no part of a path."""
    yield path, tree
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from said(value, (*path, key))
    elif isinstance(tree, list):
        for value in tree:
            yield from said(value, path)


def test_every_key_and_word_that_the_spec_reads_is_in_a_row(trees: list[dict[str, Any]], folder: Path,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    keys: set[tuple[Path_, str]] = set()
    words: set[tuple[Path_, str]] = set()
    mapping, word = Reader.mapping, Reader.word

    def reads_keys(self: Reader, path: Any, known: Any = None) -> Any:
        keys.update((tuple(path), key) for key in known or ())
        return mapping(self, path, known)

    def reads_word(self: Reader, path: Any, value: Any, known: tuple[str, ...], *more: str, noun: str = "") -> str:
        words.update((tuple(part for part in path if isinstance(part, str)), one) for one in known)
        return word(self, path, value, known, *more, noun=noun)

    monkeypatch.setattr(Reader, "mapping", reads_keys)
    monkeypatch.setattr(Reader, "word", reads_word)
    for tree in trees:
        spec_of(tree, folder)
    found = [pair for tree in trees for pair in said(tree)]
    places = {path for path, _ in found}
    values = {(path, value) for path, value in found if isinstance(value, str)}
    keys.update(((), key) for key in SECTIONS[""])
    assert {(*path, key) for path, key in keys} - places == set()
    assert {(path, one) for path, one in words if path != ("evaluation", "split")} - values == set()
    assert len(keys) > 30 and len(words) > 8, "the reader does not read through these any more"


def test_every_data_set_method_measure_and_knob_is_in_a_row(trees: list[dict[str, Any]], folder: Path) -> None:
    specs = [spec_of(tree, folder) for tree in trees]
    used = {next((kind for kind in KINDS if kind in spec.data), spec.data.get("name")) for spec in specs}
    assert used == {*DATASETS, *KINDS, "promised:Square"}
    objectives = {name for spec in specs if spec.search for name in spec.search.objectives}
    wanted = {m.name for spec in specs for m in measures(
        next((kind for kind in KINDS if kind in spec.data), spec.data.get("name", "")), spec.evaluation.samples,
        map(own_measure, spec.evaluation.measures))
        if spec.evaluation.samples == 128}
    assert wanted - objectives == set()
    knobs: dict[str, dict[str, set[Any]]] = {method: {} for method in METHODS}
    for spec in specs:
        for arm in spec.arms.values():
            for knob, value in arm.said({}).items():
                knobs[arm.method].setdefault(knob, set()).add(value)
    of_networks = {f.name: set(expected(f, get_type_hints(kind))[1]) for name in NETWORKS if (kind := own_knobs(name))
                   for f in fields(kind)}
    for knob, choices in of_networks.items():
        values = set().union(*(own.get(knob, set()) for own in knobs.values()))
        assert values >= choices and len(values) > 1, knob
    for method, own in knobs.items():
        assert own.keys() - of_networks.keys() == set(KNOBS[method])
        for knob in KNOBS[method]:
            choices = {"synthesis"} if (method, knob) == ("hidden", "penalty_on") else set(_hint(knob, method)[1])
            if knob in ALIKE:
                choices = choices - set().union(*(of.get(knob, set()) for of in knobs.values()))
                assert not choices - {None}, knob
                continue
            assert not choices or own[knob] == choices, (method, knob)
    for knob in ("spectral_norm", "flip", "anneal", "clamp", "redraw"):
        assert {value for own in knobs.values() for value in own.get(knob, ())} == {False, True}
    assert {value for own in knobs.values() for value in own["network"]} == {None, *NETWORKS}


def test_every_pair_that_the_spec_takes_is_in_a_row() -> None:
    """By enumeration, not by what was drawn: each pair with some valid rest."""
    rows = matrix()
    for group in TOGETHER:
        for one, other in combinations(group, 2):
            for a in FACTORS[one]:
                for b in FACTORS[other]:
                    has = any(row.get(one, row) == a and row.get(other, row) == b for row in rows)
                    assert has or not _possible(one, a, other, b), (one, a, other, b)


def test_every_word_is_in_a_row_with_a_report() -> None:
    """A report takes as long as the launch, so not every row has one; each factor's values have."""
    rows = matrix()
    has = [row for row in rows if row["reported"]]
    for name, values in FACTORS.items():
        assert {row[name] for row in has if name in row} == set(values), name
    assert {(row["phases"], row.get("objective")) for row in has} == {
        (row["phases"], row.get("objective")) for row in rows}


def _possible(one: str, a: Any, other: str, b: Any) -> bool:
    """Whether docs/spec.md allows it, said again: pruning takes a single objective with a value during training, an
    extractor takes images, and a phase that is not there has no keys."""
    pair = {one: a, other: b}
    phases = pair.get("phases", "design search confirm")
    lacking = set[str]() if "search" in phases else {
        "objective", "sampler", "constraints", "prune", "diverged_value", "equal"}
    lacking |= {"levels", "compare_at"} if "design" not in phases else set()
    pruned = pair.get("prune") is not None and pair.get("objective", "primary") != "primary"
    return not (lacking & {one, other} or pruned or (pair.get("features") and pair.get("place") == "plane"))


def test_every_bound_of_every_knob_is_an_extreme() -> None:
    """But for one that is run everywhere: a default's."""
    reached = {(knob, value) for _, knob, value in extremes()}
    for knob in {*ALL_KNOBS} - {"budget"}:
        method = next(m for m in METHODS if knob in KNOBS[m])
        kinds, choices, _ = expected(*_field(method, knob))
        if choices or bool in kinds or str in kinds or METHODS[method].shape_conflicts({knob: LARGEST}, PLANE):
            continue
        low, high = ends(method, knob)
        sizes = {value for name, value in reached if name == knob} | {SMALL.get(knob), getattr(METHODS[method], knob)}
        assert {low, high} <= sizes, knob


def test_the_study_of_extremes_is_one() -> None:
    assert len(loads(as_yaml(study()), "extremes.yaml").arms) > len({*ALL_KNOBS} - {"budget"})


def _field(method: str, knob: str) -> Any:
    cls = METHODS[method]
    return next(f for f in fields(cls) if f.name == knob), get_type_hints(cls)
