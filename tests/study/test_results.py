"""What is finished, and of it what counts: for a search, among the best, and for what is left of a unit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from optuna.trial import FixedTrial

from analysis.stats.cells import summaries
from study.plan.space import confirm_sizes, suggest
from study.run.phases import best, confirm_units, design_units, units_of
from study.schema.bound import Bound
from study.schema.manifest import Manifest
from study.schema.outcomes import ending
from study.schema.unit import Unit
from study.show.pareto import pareto_lines
from study.spec import StudySpec, loads
from study.store.aggregates import aggregates
from study.store.records import records
from study.store.results import Results
from study.store.units import Store
from tests import configurations
from tests.study.test_search import SEEDS, unit_of

SPEC = """
study: s
data: gaussians8
method: [kl, jko]
train: {updates: 10}
design: {replicates: 2, step_size: [0.05, 0.3]}
confirm: {top: 1, replicates: 2}
"""


@pytest.mark.parametrize("dead", [0, 1, 2])
def test_a_search_is_told_the_mean_over_all_replicates(tmp_path: Path, dead: int) -> None:
    store = Store(str(tmp_path), "study")
    unit = unit_of("a", 0.1, 1)
    rows: list[dict[str, Any]] = [
        {"seed": seed, "stage": "final", "update": 10, "verdict": "diverged" if i < dead else "survived",
         "diverged_at": 3 if i < dead else None, "particle_gradients": 100.0 * (i + 1), "wall_seconds": 2.0,
         "cpu_seconds": 1.0, **({} if i < dead else {"kid": 0.25 * (i + 1)})} for i, seed in enumerate(SEEDS)]
    store.write(f"{unit.key}/records.parquet", records(rows))
    manifest = store.write_done(unit, Manifest(status="finished", primary="kid"))
    results = Results(store, "kid", {"kid": 1, "particle_gradients": 1}, {"a": [1.5, None]})
    result = results.add_done(unit, manifest)
    assert (result.diverged, result.replicates, result.told) == (dead, 2, ()) and results.all() == []
    results.expect(unit)
    [counted] = results.all()
    expected = sum([1.5, 1.5][:dead] + [0.25, 0.5][dead:]) / 2
    assert counted.told == pytest.approx((expected, 150.0)) == results.score(unit)
    assert replace(counted, told=()) == result and results.lacking("a") == {} == results.lacking("b")
    for row in rows:
        row.pop("kid", None)
    results.add(unit, "finished", rows, {})
    assert results.lacking("a") == ({"kid": 2 - dead} if dead < 2 else {})


def test_a_cost_has_one_meaning_in_the_search_in_mlflow_and_in_the_report(tmp_path: Path) -> None:
    """One replicate's, also where it has two blocks; the sum has another name."""
    rows = [{**final(seed, 0.1), "block": block, "particle_gradients": 700.0, "cpu_seconds": 3.0, "wall_seconds": 8.0}
            for seed, block in ((1000, "1000-1000"), (1001, "1001-1001"))]
    of_trial = {"phase": "search", "arm": "a", "step_size": 0.1, "mcmc_steps": 5, "config_hash": "h", "diverged": False}
    costs = ["particle_gradients", "cpu_seconds", "wall_seconds"]
    results = Results(Store(str(tmp_path), "study"), "kid", dict.fromkeys(costs, 1), {"a": [None] * 3})
    unit = unit_of("a", 0.1)
    results.expect(unit)
    for row in rows:
        results.add(replace(unit, seeds=(row["seed"],)), "finished", [{**row, "stage": "final"}], {})
    result, measured = results.result(unit), aggregates(rows)
    assert result is not None
    reported = summaries(pd.DataFrame(rows).assign(**of_trial), costs).set_index("measure")["mean"]
    for name, told in zip(costs, result.told, strict=True):
        assert told == measured[name] == reported[name] == rows[0][name]
        assert measured[f"spent_{name}"] == 2 * told
    assert (result.gradients, result.cpu, result.seconds) == (1400, 6, 16)


def test_verdicts_are_counted_with_their_flags(tmp_path: Path) -> None:
    results = Results(Store(str(tmp_path), "study"), "kid")
    rows = [{**final(1000, 0.9), "verdict": "stable", "flags": "poor quality, kappa > 2"},
            {**final(1001, 0.1), "verdict": "stable", "flags": "kappa > 2"}]
    assert results.add(unit_of("a", 0.1), "finished", rows, {}).verdicts == "2 stable; kappa > 2 (2); poor quality (1)"
    gone = [final(1000, 0.9), final(1001, 0.1, diverged=True)]
    assert results.add(unit_of("b", 0.1), "finished", gone, {}).verdicts == ""
    assert ending(rows[1]) == "stable; kappa > 2" and ending(gone[0]) == "survived"


def trained(spec: StudySpec, shelf: Results) -> list[Unit]:
    units = [*design_units(spec, "data", shelf)]
    for unit in units:
        shelf.add(unit, "finished", [{
            "seed": seed, "stage": "final", "verdict": "survived", "diverged_at": None, "wall_seconds": 1.0,
            "cpu_seconds": 1.0, "particle_gradients": 1.0, "kid": unit.configuration.knobs["step_size"]}
            for seed in unit.seeds], {})
    return units


@pytest.mark.parametrize("change", [["train.updates=12"], ["method=kl"], ["seed=3"], ["design.step_size=[0.05]"],
                                    ["method=null", "arms={plain: {method: kl}}"], ["design.replicates=1"]])
def test_only_the_current_design_counts(tmp_path: Path, change: list[str]) -> None:
    """After another version, a removed level, a renamed arm, fewer replicates: as if they had never been."""
    both, alone = (Results(Store(str(tmp_path), "study"), "kid") for _ in range(2))
    trained(loads(SPEC), both)
    new = loads(SPEC, overrides=change)
    now = Results(Store(str(tmp_path), "study"), "kid")
    for unit in both._done.values():
        now.add(unit, "finished", [both._final[unit.config_hash, seed] for seed in unit.seeds], {})
    trained(new, now)
    trained(new, alone)
    key = lambda r: r.unit.config_hash  # noqa: E731
    assert [(r.unit, r.unit.configuration, r.replicates) for r in sorted(now.all(), key=key)] == [
        (r.unit, r.unit.configuration, r.replicates) for r in sorted(alone.all(), key=key)]
    for arm in new.arms:
        assert best(new, arm, now, "design") == best(new, arm, alone, "design")
    assert {u.configuration.knobs["updates"] for u in confirm_units(new, "data", now, [[*new.arms][-1]])} == {
        new.arms[[*new.arms][-1]].hparams({}).updates}


def final(seed: int, kid: float, diverged: bool = False) -> dict[str, Any]:
    return {"seed": seed, "stage": "final", "verdict": "diverged" if diverged else "survived",
            "diverged_at": 9 if diverged else None, "wall_seconds": 1.0, "cpu_seconds": 1.0, "particle_gradients": 1.0,
            "kid": kid}


def test_a_unit_of_an_older_search_may_have_an_arm_or_an_objective_that_there_is_no_more(tmp_path: Path) -> None:
    """`--set search=null` after a search, an arm removed, another objective: it is kept, and worth nothing here."""
    for objectives, diverged in (({}, {}), ({"kid": 1}, {"b": [1.5]}), ({"kid_long": 1}, {"a": [None]})):
        results = Results(Store(str(tmp_path), "study"), "kid", objectives, diverged)
        result = results.add(unit_of("a", 0.1), "finished", [final(1000, 0.25), final(1001, 0.01)], {})
        assert result.told == () and result.value == pytest.approx(0.13) and results.all() == []


def test_a_masked_replicate_counts_as_diverged_though_its_samples_look_fine(tmp_path: Path) -> None:
    results = Results(Store(str(tmp_path), "study"), "kid", {"kid": 1}, {"a": [1.5]})
    results.expect(unit_of("a", 0.1))
    result = results.add(unit_of("a", 0.1), "finished", [final(1000, 0.25), final(1001, 0.01, diverged=True)], {})
    assert result.told == ((0.25 + 1.5) / 2,) and (result.value, result.diverged) == (0.25, 1)


def test_the_best_are_no_survivors_of_divergence_and_none_that_was_pruned(tmp_path: Path) -> None:
    spec = loads(SPEC.replace("replicates: 2, step_size: [0.05, 0.3]", "replicates: 3, step_size: [0.05, 0.1, 0.3]"))
    results = Results(Store(str(tmp_path), "study"), "kid")
    units = [unit for unit in design_units(spec, "data", results) if unit.configuration.arm == "kl"]
    by_step = {unit.configuration.knobs["step_size"]: unit for unit in units}
    results.add(by_step[0.05], "finished", [final(seed, 0.5) for seed in range(3)], {})
    results.add(by_step[0.3], "finished", [final(seed, 0.1, diverged=seed > 0) for seed in range(3)], {})
    results.add(by_step[0.1], "pruned", [], {})
    assert [c.knobs["step_size"] for c in best(spec, "kl", results, "design")] == [0.05, 0.3]


def test_of_several_objectives_the_pareto_set_is_confirmed_first(tmp_path: Path) -> None:
    """By the first objective alone its neighbours would be, which something beats in both."""
    spec = loads("study: s\ndata: digits\nmethod: kl\nconfirm: {top: 3}\nsearch: {trials: 9, replicates: 2, "
                 "objective: [primary, particle_gradients], space: {step_size: {log: [0.01, 0.9]}}}\n")
    assert spec.search is not None
    results = Results(Store(str(tmp_path), "study"), spec.primary, dict.fromkeys(spec.search.objectives, 1),
                      {"kl": [None, None]})
    told = [(0.1, 9.0, 0), (0.15, 9.5, 0), (0.2, 9.1, 0), (0.3, 4.0, 0), (0.01, 1.0, 2), (0.4, 5.0, 0)]
    for number, (value, cost, diverged) in enumerate(told):
        unit = configurations.unit(SEEDS, str(number), phase="search", n=number)
        results.expect(unit)
        results.add(unit, "finished", [{**final(seed, 0.0, diverged=i < diverged), spec.primary: value,
                                        "particle_gradients": cost} for i, seed in enumerate(SEEDS)], {})
    assert [c.knobs["n"] for c in best(spec, "kl", results, "search")] == [0, 3, 1, 2, 5, 4]


@pytest.mark.parametrize(("limit", "way", "values", "excess"), [
    (2.0, "minimize", [1.0, 1.5], -0.25), (2.0, "minimize", [1.0, 3.0], 0.5), (2.0, "maximize", [1.0, 4.0], 0.5),
    (0.0, "minimize", [0.5], 0.5), (-2.0, "minimize", [-1.0], 0.5), (1.0, "minimize", [1.0, None], 10.0),
    (1.0, "minimize", [1e9], 10.0)])
def test_a_bound_is_missed_by_the_worst_replicate(limit: float, way: str, values: list[float | None],
                                                  excess: float) -> None:
    assert Bound(limit, way).excess(values) == excess


def test_what_keeps_the_constraints_is_confirmed_before_what_does_not(tmp_path: Path) -> None:
    """With one objective and with two; of what does not, the nearest first; what diverged keeps none."""
    results_of = "search: {trials: 9, replicates: 2, objective: %s, constraints: {kappa: 1, modes: 7}, space: {}}\n"
    told = [(0.1, 1.5, 0, 8), (0.4, 0.9, 0, 8), (0.2, 1.2, 0, 8), (0.3, 1.0, 0, 7), (0.0, 0.5, 1, 8), (0.05, 0.5, 0, 6)]
    for objective in ("primary", "[primary, wall_seconds]"):
        spec = loads("study: s\ndata: gaussians8\nmethod: kl\nconfirm: {top: 3}\n" + results_of % objective)
        assert spec.search is not None
        signs = dict.fromkeys(spec.search.objectives, 1)
        results = Results(Store(str(tmp_path), "study"), spec.primary, signs, {"kl": [None] * len(signs)},
                          spec.search.constraints)
        for number, (value, kappa, diverged, modes) in enumerate(told):
            unit = configurations.unit(SEEDS, str(number), phase="search", n=number)
            results.expect(unit)
            results.add(unit, "finished", [
                {**final(seed, 0.0, diverged=i < diverged), spec.primary: value, "kappa": kappa * (i + 1) / 2,
                 "modes_256": modes, "wall_seconds": 9.0} for i, seed in enumerate(SEEDS)], {})
        assert [r.missed for r in results.all()] == [
            {"kappa": 0.5}, {}, {"kappa": pytest.approx(0.2)}, {}, {"kappa": 10, "modes_256": 10},
            {"modes_256": pytest.approx(1 / 7)}]
        assert [c.knobs["n"] for c in best(spec, "kl", results, "search")] == [3, 1, 5, 2, 0, 4]


EXCHANGE = """
study: s
data: gaussians8
arms: {kl: {method: kl}, jko: {method: jko}, far: {method: kl}, alone: {method: kl}}
train: {budget: 1.0e+5}
confirm: {top: 1, replicates: 4, exchange: 1}
search:
  trials: 9
  space:
    mcmc_steps: {int: [2, 9]}
    lr_f: {log: [0.001, 0.01]}
    jko: {jko_weight: {log: [0.1, 1.0]}}
    far: {lr_f: {log: [0.01, 0.1]}}
    alone: {mcmc_steps: 5, lr_f: {log: [0.02, 0.1]}}
"""


def test_arms_exchange_the_knobs_that_both_search_in_one_range_and_keep_the_budget(tmp_path: Path) -> None:
    spec = loads(EXCHANGE)
    results = Results(Store(str(tmp_path), "study"), spec.primary, {spec.primary: 1},
                      {arm: [None] for arm in spec.arms})
    best_of = {"kl": {"mcmc_steps": 2, "lr_f": 0.002}, "jko": {"mcmc_steps": 7, "lr_f": 0.007, "jko_weight": 0.3},
               "far": {"mcmc_steps": 4, "lr_f": 0.05}, "alone": {"lr_f": 0.03, "mcmc_steps": 5}}
    for arm, values in best_of.items():
        for worse in (0, 1):
            knobs = {**values, "lr_f": values["lr_f"] * (1 + worse / 5)}
            configuration = suggest(spec, arm, FixedTrial(knobs))
            [unit] = units_of([configuration], SEEDS, "data")
            results.expect(unit)
            results.add(unit, "finished", [{**final(seed, 0.0), spec.primary: 0.1 + worse} for seed in SEEDS], {})
    units = confirm_units(spec, "data", results, [*spec.arms])
    knobs = ("mcmc_steps", "lr_f", "jko_weight")
    found = {arm: [tuple(k.get(name) for name in knobs if name in k) for unit in units
                   if unit.configuration.arm == arm and (k := unit.configuration.knobs)] for arm in spec.arms}
    whose = {unit.config_hash: unit.configuration.arm for unit in units}
    givers = [(whose[h], giver, whose[own]) for h, (giver, own) in results.settings.items()]
    assert [(arm, giver) for arm, giver, _ in givers] == [
        ("kl", "kl"), ("kl", "jko"), ("kl", "far"), ("jko", "jko"), ("jko", "kl"), ("jko", "far"), ("far", "far"),
        ("far", "kl"), ("far", "jko"), ("alone", "alone")] and all(giver == own for _, giver, own in givers)
    assert found == {"kl": [(2, 0.002), (7, 0.007), (4, 0.002)],
                     "jko": [(7, 0.007, 0.3), (2, 0.002, 0.3), (4, 0.007, 0.3)],
                     "far": [(4, 0.05), (2, 0.05), (7, 0.05)], "alone": [(5, 0.03)]}
    assert confirm_sizes(spec) == {arm: len(of) for arm, of in found.items()}
    for unit in units:
        c = unit.configuration
        assert (c.phase, c.evaluation.split, len(unit.seeds)) == ("confirm", "confirm", 4)
        assert 0.8e5 < spec.arms[c.arm].hparams(c.knobs).gradients_until(c.knobs["updates"]) <= 1e5
    assert len(confirm_units(spec, "data", results, ["kl", "jko"])) == 4, "of an arm that waits nothing is known"


def test_a_measure_that_is_better_larger_is_told_negated_and_shown_as_it_is(tmp_path: Path) -> None:
    spec = loads("study: s\ndata: digits\nmethod: kl\nconfirm: {top: 1}\nsearch: {trials: 3, replicates: 2, "
                 "objective: [recall_clf64, particle_gradients], space: {step_size: {log: [0.01, 0.9]}}}\n")
    assert spec.search is not None and spec.search.directions == ("maximize", "minimize")
    signs = {"recall_clf64_256": -1, "particle_gradients": 1}
    results = Results(Store(str(tmp_path), "study"), spec.primary, signs, {"kl": [0.0, None]})
    for number, (recall, cost) in enumerate([(0.2, 1.0), (0.9, 5.0), (0.1, 2.0)]):
        unit = configurations.unit(SEEDS, str(number), phase="search", n=number)
        results.expect(unit)
        results.add(unit, "finished", [{**final(seed, 0.0), "recall_clf64_256": recall, "particle_gradients": cost}
                                       for seed in SEEDS], {})
    assert [r.told for r in results.all()] == [(-0.2, 1.0), (-0.9, 5.0), (-0.1, 2.0)]
    assert [c.knobs["n"] for c in best(spec, "kl", results, "search")] == [1, 0, 2]
    shown = pareto_lines(results.all(), signs, ["n"])
    assert [line.split(" | ")[0] for line in shown[1:]] == ["  kl n=1: 0.9, 5", "  kl n=0: 0.2, 1"]


@pytest.mark.parametrize("done, begun, left", [
    ("", [], ["0-4"]), ("01234", [(0, 1)], []), ("012", [], ["3-4"]), ("034", [], ["1-2"]), ("34", [], ["0-2"]),
    ("13", [], ["0-0", "2-2", "4-4"]),
    ("", [(0, 1)], ["0-1", "2-4"]), ("", [(1, 2)], ["0-0", "1-2", "3-4"]), ("4", [(0, 1), (0, 1, 2)], ["0-2", "3-3"]),
    ("0", [(0, 1)], ["1-4"]), ("", [(3, 4), (0, 1)], ["0-1", "2-2", "3-4"]), ("", [(3, 4, 5)], ["0-4"])])
def test_blocks_that_are_left(tmp_path: Path, done: str, begun: list[tuple[int, ...]], left: list[str]) -> None:
    results, unit = Results(Store(str(tmp_path), "s"), "kid"), configurations.unit(tuple(range(5)), a=1)
    results._final = {("abc", int(seed)): {} for seed in done} | {("other", 0): {}}
    for seeds in begun:
        results.begin("abc", seeds)
        results.begin("other", seeds)
    assert [rest.block for rest in results.remaining_blocks(unit)] == left
    assert all(block.configuration.knobs == {"a": 1} and block.config_hash == "abc"
               for block in results.remaining_blocks(unit))
    whole = results.remaining_block(unit)
    assert (whole.block if whole else None) == (f"{left[0].split('-')[0]}-{left[-1].split('-')[1]}" if left else None)
