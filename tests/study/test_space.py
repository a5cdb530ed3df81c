"""Configurations: the whole grid in a fair order, and what a sampler may suggest."""

import itertools
import json
import math
import re
from dataclasses import replace
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.knobs import knob_problem
from models.stability.law import limit
from study.plan.identity import config_hash, study_version
from study.plan.make import common_cell
from study.plan.prediction import predicted
from study.plan.space import (
    configuration,
    confirm_configuration,
    design_configurations,
    estimate,
    most_updates,
    paid_updates,
    search_trials,
    suggest,
)
from study.schema.columns import LIMITS
from study.schema.plan import CommonCell, PhaseCost
from study.schema.unit import Configuration
from study.spec import SpecError, StudySpec, loads
from study.spec.knobs import KNOBS, METHODS
from tests.configurations import plan as a_plan

HEAD = "study: s\ndata: digits\n"
GRID = HEAD + """
method: [kl, jko]
train: {updates: 10}
design:
  replicates: 3
  step_size: [0.1, 0.2, 0.3, 0.4]
  mcmc_steps: [5, 20]
  jko: {jko_weight: [0.125, 0.25, 0.5]}
"""
SEARCH = HEAD + """
method: [kl, jko]
train: {updates: 10, width: 8}
search:
  replicates: 2
  trials: 5
  space:
    step_size: {log: [0.02, 0.5]}
    mcmc_steps: {int: [5, 40]}
    chain: {choice: [noise, data]}
    temperature: {int: [1, 3]}
    batch_size: {log: [8, 64]}
    data_noise: {low: 0.0, high: 0.5}
    width: 4
    jko: {jko_weight: {float: [0.1, 1.0]}, mcmc_steps: 7}
"""


def knobs_of(configurations: list[Configuration], arm: str, *names: str) -> list[tuple[Any, ...]]:
    return [tuple(c.knobs[name] for name in names) for c in configurations if c.arm == arm]


# The design.

def test_every_cell_once() -> None:
    cells = design_configurations(loads(GRID))
    kl = knobs_of(cells, "kl", "step_size", "mcmc_steps")
    jko = knobs_of(cells, "jko", "step_size", "mcmc_steps", "jko_weight")
    steps, lengths = [0.1, 0.2, 0.3, 0.4], [5, 20]
    assert sorted(kl) == sorted(itertools.product(steps, lengths))
    assert sorted(jko) == sorted(itertools.product(steps, lengths, [0.125, 0.25, 0.5]))
    assert len(cells) == len(kl) + len(jko)


def test_a_configuration_is_complete() -> None:
    cell = design_configurations(loads(GRID))[0]
    assert cell.data == {"name": "digits", "size": 8} and cell.phase == "design"
    assert tuple(cell.knobs) == tuple(knob for knob in KNOBS[cell.method] if knob != "budget")  # which is updates
    assert METHODS[cell.method](**cell.knobs).updates == 10


def test_zip_pairs_and_a_branch_replaces() -> None:
    text = HEAD + """
method: [kl, jko]
design:
  temperature: [0.5, 1.0]
  zip: {step_size: [0.1, 0.2], mcmc_steps: [20, 5]}
  jko: {temperature: 1.0}
"""
    cells = design_configurations(loads(text))
    assert sorted(knobs_of(cells, "kl", "step_size", "mcmc_steps", "temperature")) == [
        (0.1, 20, 0.5), (0.1, 20, 1.0), (0.2, 5, 0.5), (0.2, 5, 1.0)]
    assert sorted(knobs_of(cells, "jko", "step_size", "mcmc_steps", "temperature")) == [(0.1, 20, 1.0), (0.2, 5, 1.0)]


def test_a_level_may_come_again_beside_another_one_but_no_row_twice() -> None:
    text = HEAD + "method: kl\ndesign: {zip: {step_size: [0.1, 0.2, 0.3], mcmc_steps: [5, 5, 10]}}\n"
    cells = design_configurations(loads(text))
    assert sorted(knobs_of(cells, "kl", "step_size", "mcmc_steps")) == [(0.1, 5), (0.2, 5), (0.3, 10)]
    with pytest.raises(SpecError, match=r"design.zip: step_size 0.1, mcmc_steps 5 stand together twice"):
        loads(text.replace("0.2", "0.1"))


def test_a_design_without_levels_is_one_cell_an_arm() -> None:
    assert [c.arm for c in design_configurations(loads(HEAD + "method: [jko, kl]\ndesign: {}\n"))] == ["jko", "kl"]


def test_every_beginning_is_a_fair_sample() -> None:
    cells = design_configurations(loads(GRID))
    totals = {"kl": 8, "jko": 24}
    for n in range(1, len(cells) + 1):
        done = [c.arm for c in cells[:n]]
        for arm, total in totals.items():
            assert abs(done.count(arm) - n * total / len(cells)) <= 1
    kl = knobs_of(cells, "kl", "step_size")
    assert kl != sorted(kl)  # else an unfinished study would have seen small steps only


def test_arms_reach_the_same_cell_together() -> None:
    """Where an arm has several cells at shared levels, they follow each other, and at the place that others give it."""
    cells, names = design_configurations(loads(GRID)), ("step_size", "mcmc_steps")
    blocks = [key for key, _ in itertools.groupby(knobs_of(cells, "jko", *names))]
    assert blocks == knobs_of(cells, "kl", *names)


def test_the_order_is_given_by_the_seed_and_survives_new_levels() -> None:
    def order(*overrides: str) -> list[tuple[Any, ...]]:
        return knobs_of(design_configurations(loads(GRID, overrides=overrides)), "kl", "step_size", "mcmc_steps")

    assert order() == order() != order("seed=1")
    longer = order("design.step_size=[0.4, 0.35, 0.3, 0.2, 0.1, 0.05]")
    assert [cell for cell in longer if cell in order()] == order()


def test_the_cell_of_comparison_is_the_baseline_s_and_known_before_any_result() -> None:
    spec = loads(GRID)
    levels = sorted({c.knobs["step_size"] for c in design_configurations(spec) if c.arm == spec.baseline})
    most = max(c.knobs["mcmc_steps"] for c in design_configurations(spec) if c.arm == spec.baseline)
    assert common_cell(spec) == CommonCell(step_size=levels[(len(levels) - 1) // 2], mcmc_steps=most)
    other = {"step_size": levels[0], "mcmc_steps": most}
    assert common_cell(loads(GRID, overrides=[f"compare_at={json.dumps(other)}"])) == CommonCell(**other)
    assert common_cell(loads(SEARCH)) is None
    with pytest.raises(SpecError, match=r"compare_at: found step_size 0.123 .* expected a cell of kl: "):
        loads(GRID, overrides=['compare_at={"step_size": 0.123, "mcmc_steps": 5}'])
    with pytest.raises(SpecError, match="compare_at: found a cell, expected none: only a design has cells"):
        loads(SEARCH, overrides=['compare_at={"step_size": 0.1, "mcmc_steps": 5}'])


# The search.

def test_a_search_has_no_long_run_unless_it_is_judged_by_one() -> None:
    """It would cost trials; the confirmation of what was found has it again."""
    for overrides, steps in (((), 0), (["search.objective=kid_clf64_long"], 10)):
        spec = loads(SEARCH, overrides=[*overrides, "search.prune=null"])
        trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask()
        found = suggest(spec, spec.baseline, trial)
        assert found.evaluation.long_run == steps
        assert confirm_configuration(spec, found).evaluation.long_run == 10


def spec_of_search() -> StudySpec:
    return loads(SEARCH)


def test_only_freed_knobs_of_the_arm_are_suggested() -> None:
    spec = spec_of_search()
    asked = {}
    for arm in spec.arms:
        trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask()
        found = suggest(spec, arm, trial)
        asked[arm] = set(trial.params)
        assert (found.phase, found.arm, found.knobs["width"]) == ("search", arm, 4)
        METHODS[found.method](**found.knobs)
    shared = {"step_size", "chain", "temperature", "batch_size", "data_noise"}
    assert asked == {"kl": shared | {"mcmc_steps"}, "jko": shared | {"jko_weight"}}


def test_distributions_are_those_of_the_spec() -> None:
    trial = optuna.create_study().ask()
    suggest(spec_of_search(), "kl", trial)
    assert trial.distributions == {
        "step_size": optuna.distributions.FloatDistribution(0.02, 0.5, log=True),
        "mcmc_steps": optuna.distributions.IntDistribution(5, 40),
        "chain": optuna.distributions.CategoricalDistribution(("noise", "data")),
        "temperature": optuna.distributions.IntDistribution(1, 3),
        "batch_size": optuna.distributions.IntDistribution(8, 64, log=True),
        "data_noise": optuna.distributions.FloatDistribution(0.0, 0.5)}


def test_a_suggestion_is_told_again_from_its_configuration() -> None:
    """Replay: a configuration's knobs, as a fixed trial, suggest that very configuration."""
    spec = spec_of_search()
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=3)).ask()
    found = suggest(spec, "jko", trial)
    assert suggest(spec, "jko", optuna.trial.FixedTrial(found.knobs)) == found
    assert type(found.knobs["temperature"]) is float


@settings(max_examples=40, deadline=None, derandomize=True)
@given(low=st.floats(1e-4, 0.9), width=st.floats(1e-3, 1.0), log=st.booleans(), first=st.integers(1, 50),
       more=st.integers(1, 50), seed=st.integers(0, 99))
def test_suggestions_stay_inside(low: float, width: float, log: bool, first: int, more: int, seed: int) -> None:
    form = f"{{log: [{low!r}, {low + width!r}]}}" if log else f"{{low: {low!r}, high: {low + width!r}}}"
    steps = f"{{log: [{first}, {first + more}]}}"
    spec = loads(HEAD + f"method: kl\nsearch: {{space: {{step_size: {form}, mcmc_steps: {steps}}}}}")
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed)).ask()
    knobs = suggest(spec, "kl", trial).knobs
    assert low <= knobs["step_size"] <= low + width
    assert first <= knobs["mcmc_steps"] <= first + more and type(knobs["mcmc_steps"]) is int


def test_confirm_uses_the_held_out_split() -> None:
    cell = design_configurations(loads(GRID))[0]
    again = confirm_configuration(loads(GRID), cell)
    assert again.phase == "confirm" and again.evaluation == replace(cell.evaluation, split="confirm")
    assert again.knobs == cell.knobs and cell.phase == "design" and cell.evaluation.split == "search"


# The law.

def test_the_limit_is_that_of_the_units_own_knobs() -> None:
    """A search may free a knob of the law: then no row of the plan's table says what holds for one suggestion."""
    plan = a_plan(spread={"s_min": 0.2, "s_med": 0.3, "se_min": 0.01, "se_med": 0.0, "n": 9, "k": 3, "coarse": False})
    spec = spec_of_search()
    for weight in (0.015, 0.1):
        cell = configuration(spec, "search", "jko", {"jko_weight": weight})
        balance = METHODS["jko"](**cell.knobs).balance()
        found = [limit(s, balance) for s in (0.2, 0.2 - 0.0196, 0.2 + 0.0196, 0.3, 0.3, 0.3)]
        assert list(predicted(plan, cell).values()) == pytest.approx(found) and list(predicted(plan, cell)) == [*LIMITS]
    none = predicted(plan, configuration(spec, "search", "jko", {"jko_weight": 0.5}))
    assert none == dict.fromkeys(LIMITS)  # none is finite
    assert predicted(plan, configuration(spec, "search", "jko", {"energy_l2": 1.0})) == {}  # the law is silent


# The cost.

def test_the_estimate_of_a_design_is_the_sum_over_its_runs() -> None:
    spec = loads(GRID)
    cost, measured = {"kl": 0, "jko": 0}, 0
    for c in design_configurations(spec):
        hp = METHODS[c.method](**c.knobs)
        cost[c.arm] += 3 * hp.updates * hp.gradients_until(1)
        measured += 3 * 64 * c.evaluation.long_run * hp.mcmc_steps
    found = estimate(spec)
    assert found.phases == {"design": PhaseCost(configurations=32, replicates=3, runs=96, measuring=(measured,) * 2,
                                                gradients=(sum(cost.values()),) * 2)}
    assert {arm: a.gradients for arm, a in found.arms["design"].items()} == {k: (v, v) for k, v in cost.items()}
    assert math.isclose(found.equal_budget["design"], cost["jko"] / cost["kl"])


def test_the_estimate_counts_long_runs_and_likelihoods_where_they_are_measured() -> None:
    """They are no part of the currency of equal budgets, and may cost more than training."""
    base = estimate(loads(SEARCH, overrides=["confirm={top: 2, replicates: 4}"])).phases
    more = estimate(loads(SEARCH, overrides=["confirm={top: 2, replicates: 4}", "evaluation.long_run=1000",
                                             "evaluation.ais_steps=100"])).phases
    assert more["search"].measuring[1] - base["search"].measuring[1] == more["search"].runs * 2 * 64 * 116
    assert base["search"].measuring == (0, 0)
    assert more["confirm"].measuring[0] > 90 * base["confirm"].measuring[0] > 0
    assert all(more[phase].gradients == base[phase].gradients for phase in base)


def test_the_estimate_of_a_search_holds_every_suggestion() -> None:
    spec = loads(SEARCH, overrides=["confirm={top: 2, replicates: 4}"])
    found, trials = estimate(spec), search_trials(spec)
    for arm in spec.arms:
        low, high = found.arms["search"][arm].gradients
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
        costs = []
        for _ in range(50):
            knobs = suggest(spec, arm, study.ask()).knobs
            costs.append(METHODS[spec.arms[arm].method](**knobs).gradients_until(1) * 10 * 2 * trials[arm])
        assert low <= min(costs) <= max(costs) <= high
        assert found.arms["confirm"][arm].gradients == tuple(end * 2 * 4 // (2 * trials[arm]) for end in (low, high))
    assert found.phases["search"].runs == 2 * sum(trials.values()) and found.phases["confirm"].runs == 16


def test_budgets_of_a_search_are_equal_in_gradients_not_in_trials() -> None:
    """`trials` are those of the costliest arm; whatever the methods cost, no arm's plan is off by more than a trial."""
    text = SEARCH.replace("method: [kl, jko]", "method: [kl, jko, hidden]").replace("[noise, data]", "[noise]")
    for words in ([], ["search.trials=40"], ["search.space.hidden={mcmc_steps: 90}"]):
        spec = loads(text, overrides=words)
        assert spec.search is not None
        trials, found = search_trials(spec), estimate(spec).arms["search"]
        budgets = {arm: sum(found[arm].gradients) / 2 for arm in spec.arms}
        dearest = max(budgets[arm] / trials[arm] for arm in spec.arms)
        assert min(trials.values()) == spec.search.trials and len(set(trials.values())) > 1
        assert max(budgets.values()) - min(budgets.values()) <= dearest
        same = search_trials(loads(text, overrides=[*words, "search.equal=trials"]))
        assert set(same.values()) == {spec.search.trials}


@pytest.mark.parametrize("knob", sorted({k for knobs in KNOBS.values() for k in knobs} - {"budget"}))
def test_every_knob_that_costs_is_counted(knob: str) -> None:
    """What a knob says that it enters, against what gradients_until really depends on."""
    for cls in METHODS.values():
        defaults = cls()
        for value in (1, 3, "both", "kl"):
            if hasattr(defaults, knob) and knob_problem(cls, knob, value) is None:
                change: dict[str, Any] = {knob: value}
                moves = replace(defaults, **change).gradients_until(1) != defaults.gradients_until(1)
                assert not moves or knob in cls.entering("cost")


def test_with_a_budget_every_number_of_steps_costs_the_same() -> None:
    text = GRID.replace("train: {updates: 10}", "train: {budget: 1.0e+6}")
    cells = design_configurations(loads(text))
    costs = {c.knobs["mcmc_steps"]: METHODS[c.method](**c.knobs).gradients_until(c.knobs["updates"]) for c in cells}
    assert {c.knobs["mcmc_steps"]: c.knobs["updates"] for c in cells if c.method == "kl"} == {5: 2232, 20: 710}
    assert all(0.99e6 < cost <= 1e6 for cost in costs.values())
    assert len({config_hash(c, "data") for c in cells}) == len(cells)
    same = loads(GRID.replace("{updates: 10}", "{updates: 710}").replace("[5, 20]", "20").replace("[kl, jko]", "kl")
                 .replace("  jko:", "  #"))
    assert {config_hash(c, "data") for c in design_configurations(same)} < {config_hash(c, "data") for c in cells}


def test_a_search_with_a_budget_knows_its_longest_trial_and_another_budget_is_another_study() -> None:
    text = SEARCH.replace("updates: 10", "budget: 1.0e+6")
    spec = loads(text)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for arm in spec.arms:
        found = [suggest(spec, arm, study.ask()).knobs for _ in range(20)]
        assert len({knobs["updates"] for knobs in found}) > 1
        assert max(knobs["updates"] for knobs in found) <= most_updates(spec, arm)
    assert len(set(search_trials(spec).values())) == 1
    other = loads(text, overrides=["train.budget=1000100"])
    assert study_version(spec.resolved(), "data") != study_version(other.resolved(), "data")


def test_a_phase_does_not_vary_its_budget() -> None:
    for text, place, levels in ((GRID, "design.budget", "[1.0e+5, 2.0e+5]"),
                                (SEARCH, "search.space.budget", "{log: [1.0e+5, 2.0e+5]}")):
        text = text.replace("updates: 10", "mcmc_steps: 5")
        with pytest.raises(SpecError, match=f"{place}: expected one value; vary updates, or give arms") as found:
            loads(text, overrides=[f"{place}={levels}"])
        assert len(found.value.problems) == 1
        loads(text, overrides=[f"{place}=1.0e+5"])
    two = loads(GRID.replace("method: [kl, jko]\ntrain: {updates: 10}",
                             "arms: {kl: {method: kl, budget: 1.0e+5}, kl-long: {method: kl, budget: 2.0e+5}}")
                .replace("  jko:", "  #"))
    assert {c.arm: c.knobs["updates"] for c in design_configurations(two) if c.knobs["mcmc_steps"] == 5} == {
        "kl": 223, "kl-long": 446}


@pytest.mark.parametrize(("budgets", "steps", "meet"), [
    ((2000, 2100), "{int: [3, 5]}", False), ((2000, 2120), "{int: [24, 26]}", True),
    ((2000, 2000), "{int: [3, 5]}", True), ((2000, 2100), "{log: [3, 5]}", False),
    ((2000, 2100), "20", True), ((2000, 3000), "20", False)])
def test_two_searches_with_budgets_meet_where_these_pay_for_as_many_updates(
        budgets: tuple[int, int], steps: str, meet: bool) -> None:
    """In the second, with 25 steps, both have 9 updates of 8 particles; in the fifth both have 11."""
    text = f"""{HEAD}
arms: {{a: {{method: kl, budget: {budgets[0]}}}, b: {{method: kl, budget: {budgets[1]}}}}}
train: {{batch_size: 8}}
search: {{space: {{mcmc_steps: {steps}, lr_f: {{choice: [0.001, 0.002]}}}}}}
"""
    updates = [{METHODS["kl"](budget=one, batch_size=8, mcmc_steps=t).updates for t in (
        [20] if steps == "20" else [3, 4, 5] if "3" in steps else [24, 25, 26])} for one in budgets]
    assert bool(updates[0] & updates[1]) == meet or budgets[0] == budgets[1]
    if meet:
        with pytest.raises(SpecError, match=r"same configuration"):
            loads(text)
    else:
        loads(text)


def test_the_plan_says_how_many_updates_a_budget_pays_for() -> None:
    spec = loads(GRID.replace("{updates: 10}", "{kl: {budget: 1.0e+6}}"))
    assert [paid_updates(spec, arm) for arm in spec.arms] == [(710, 2232), None]


@pytest.mark.parametrize(("train", "said"), [
    ("{budget: 1.0e+6, updates: 10}",
     "train.budget: found it and updates = 10, expected one of the two; null: none (updates stands at train.updates)"),
    ("{budget: 100}", "train.budget: found 100, expected at least 448, which one update costs"),
    ("{budget: none}", "train.budget: found 'none', expected a number > 0 or null"),
    ("{budget: 1.0e+6, ema: 1000}", "train.ema: found 1000, expected a half-life below updates = 710")])
def test_a_budget_that_cannot_be_is_said(train: str, said: str) -> None:
    with pytest.raises(SpecError, match=re.escape(said)):
        loads(GRID.replace("{updates: 10}", train))
