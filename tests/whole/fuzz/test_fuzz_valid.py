"""What must hold for every good spec: it is accepted, planned, written and read again, extended, and searched."""

from __future__ import annotations

import copy
import io
import random
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from rich.console import Console

from models.data.load import load as load_data
from models.knobs import knob_problem
from study.plan.identity import changed_keys, config_hash, study_version
from study.plan.make import make_plan
from study.plan.space import design_configurations, suggest
from study.show.plan import show
from study.spec import StudySpec, loads
from study.spec.check_search import SAMPLERS
from study.spec.knobs import KNOBS, METHODS
from study.spec.yaml_text import as_yaml
from tests.whole.fuzz.budget import FACTOR, budget
from tests.whole.fuzz.fuzz_outcome import QUICK, check, finite, is_quick, remembered
from tests.whole.fuzz.mutants import block
from tests.whole.fuzz.valid_specs import Tree, trees
from tests.whole.fuzz.written import written

pytestmark = pytest.mark.slow


def spec_of(tree: Tree) -> StudySpec:
    return loads(block(tree))


def version(spec: StudySpec) -> str:
    return study_version(spec.resolved(), "abc")


def hashes(spec: StudySpec) -> set[str]:
    return {config_hash(cell, "abc") for cell in design_configurations(spec)}


def unordered(resolved: Tree) -> Tree:
    """Without the order of factors, which means nothing."""
    again: Tree = copy.deepcopy(resolved)
    for factors in (again["design"] or {"factors": {}})["factors"].values():
        for factor in factors:
            columns = sorted(zip(factor["knobs"], zip(*factor["rows"], strict=True), strict=True))
            factor["knobs"] = [knob for knob, _ in columns]
            factor["rows"] = [list(row) for row in zip(*(levels for _, levels in columns), strict=True)]
        factors.sort(key=lambda factor: factor["knobs"])
    return again


@budget(60)
@given(trees())
def test_a_good_spec_is_accepted(tree: Tree) -> None:
    check(spec_of(tree))


def test_a_plan_is_finite_and_can_be_shown(tmp_path: Path) -> None:
    @budget(20)
    @given(trees(sets=(*QUICK, *(("digits",) if FACTOR else ()))))
    def run(tree: Tree) -> None:
        spec = spec_of(tree)
        assume(is_quick(spec) or FACTOR)
        data = load_data(spec.data["name"], spec.data["size"])
        plan = make_plan(spec, data, 2, tmp_path)
        finite(plan.plain())
        show(plan, spec, Console(file=io.StringIO(), width=120))
        assert len(plan.cells) == (plan.planned["design"].configurations if "design" in plan.planned else 0)

    with remembered():
        run()


@budget(60)
@given(trees())
def test_a_resolved_study_written_again_is_the_same_study(tree: Tree) -> None:
    first = spec_of(tree)
    again = loads(as_yaml(written(first.resolved())))
    assert unordered(again.resolved()) == unordered(first.resolved())
    assert version(again) == version(first) and hashes(again) == hashes(first)


@budget(60)
@given(trees(), st.integers(0, 2**32))
def test_the_order_of_keys_means_nothing(tree: Tree, seed: int) -> None:
    chance = random.Random(seed)

    def mixed(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {key: mixed(value[key]) for key in chance.sample([*value], len(value))}

    tree = {"baseline": spec_of(tree).baseline, **tree}  # by default the first arm, so said here
    one, other = spec_of(tree), spec_of(mixed(tree))
    assert unordered(one.resolved()) == unordered(other.resolved())
    assert version(one) == version(other) and hashes(one) == hashes(other)


def with_another_level(design: Tree) -> bool:
    """Put a number between the first two of a factor with several; whether there was one."""
    for home in (design, *(v for k, v in design.items() if isinstance(v, dict) and k != "zip")):
        for knob, levels in home.items():
            numbers = isinstance(levels, list) and all(type(x) in (int, float) for x in levels) and len(levels) > 1
            if numbers and knob != "zip":
                middle = levels[0] // 2 + levels[1] // 2 if all(type(x) is int for x in levels) else sum(levels[:2]) / 2
                if middle not in levels and min(levels) < middle < max(levels):
                    levels.insert(0, middle)  # in front: the order of levels means nothing
                    return True
    return False


@budget(60)
@given(trees(), st.integers(1, 5))
def test_more_of_the_same_extends_a_study(tree: Tree, more: int) -> None:
    old = spec_of(tree)
    tree = copy.deepcopy(tree) | {"question": "Another?", "resources": {"cpu": 0.5, "gpu": 0.25}}
    for phase, key, default in (("design", "replicates", 6), ("search", "trials", 16), ("confirm", "replicates", 10)):
        if phase in tree:
            tree[phase][key] = min(tree[phase].get(key, default) + more, 1000)
    grown = with_another_level(tree.get("design", {}))
    new = spec_of(tree)
    assert version(new) == version(old) and changed_keys(old.resolved(), new.resolved()) == []
    assert hashes(old) < hashes(new) if grown else hashes(old) == hashes(new)


@budget(60)
@given(trees(), st.integers(0, 99))
def test_any_other_change_makes_a_version_and_names_its_key(tree: Tree, which: int) -> None:
    old = spec_of(tree)
    other: dict[str, int | str] = {
        "seed": old.seed - 1 if old.seed else 1, "evaluation.points": old.evaluation.points + 1,
        "evaluation.long_run": old.evaluation.long_run + 1}
    if old.search:
        other["search.replicates"] = old.search.replicates % 1000 + 1
        other["search.sampler"] = SAMPLERS[SAMPLERS.index(old.search.sampler) - 1]
    key = sorted(other)[which % len(other)]
    new = loads(block(tree), overrides=[f"{key}={other[key]}"])
    assert version(new) != version(old) and changed_keys(old.resolved(), new.resolved()) == [key]


@budget(50)
@given(trees(), st.integers(0, 2**31))
def test_every_suggestion_is_a_good_configuration(tree: Tree, seed: int) -> None:
    spec = spec_of(tree)
    assume(spec.search is not None)
    assert spec.search is not None
    for name, arm in spec.arms.items():
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
        for _ in range(3):
            trial = study.ask()
            found = suggest(spec, name, trial)
            assert set(trial.params) == set(spec.search.free[name])
            assert tuple(found.knobs) == tuple(knob for knob in KNOBS[arm.method] if knob != "budget")
            for knob, free in spec.search.free[name].items():
                chosen = found.knobs[knob]
                assert chosen in free.choices if free.kind == "choice" else free.low <= chosen <= free.high
            cls = METHODS[arm.method]
            assert [p for k, v in found.knobs.items() if (p := knob_problem(cls, k, v))] == []
            said = {**arm.knobs, **spec.search.fixed[name], **{k: found.knobs[k] for k in trial.params}}
            assert cls.conflicts(said) == []
            again = suggest(spec, name, optuna.trial.FixedTrial(dict(trial.params)))
            assert config_hash(again, "abc") == config_hash(found, "abc")
            finite(found.plain())


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
