"""Budgets, costs, effects of factors and comparisons, by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.page.about import EQUAL, search_budgets
from analysis.panels import declared
from analysis.panels.budget import budget_words
from analysis.panels.effects import effect_words
from analysis.panels.ladder import ladder_words
from analysis.panels.profiles import profiled
from analysis.stats import ablation, effects
from analysis.stats import costs as cost
from analysis.stats.budget import budget
from analysis.stats.comparisons import compared_cells, comparisons
from tests.analysis.small_study import study


def flat(value: float, n: int = 8) -> list[float | None]:
    return [value + 0.001 * seed for seed in range(n)]


def test_a_diverged_seed_is_the_worst_rank_and_leaves_the_difference():
    """All survivors of `b` are better than `a`'s, and it loses half of its seeds: ranks see both."""
    b: list[float | None] = [0.5 if seed % 2 else None for seed in range(8)]
    found = comparisons(study({("a", 0.1, 5): flat(1), ("b", 0.1, 5): b})).iloc[0]
    assert (found["better"], found["worse"], found["pairs"], found["both_survived"]) == (4, 4, 8, 4)
    assert found["difference"] == pytest.approx(0.5 - 1.004) and found["p"] > 0.5


def test_significance_needs_pairs_enough_for_the_family():
    def p(arms: int, n: int) -> pd.DataFrame:
        others = {(f"a{i}", 0.1, 5): flat(0.5, n) for i in range(arms)}
        return comparisons(study({("kl", 0.1, 5): flat(1, n), **others}))

    assert p(1, 6)["p"].tolist() == [2 / 2**6] and p(1, 6)["decidable"].all() and not p(1, 5)["decidable"].any()
    assert not p(5, 7)["decidable"].any() and p(5, 8)["decidable"].all()
    assert p(5, 8)["p_holm"].tolist() == pytest.approx([5 * 2 / 2**8] * 5)


@pytest.mark.parametrize(("spent", "lacks", "said"), [
    ({"kl": 100.0, "jko": 125.0}, 0,
     "jko spent 1.25 times what kl did in particle gradients; equal (up to 1.25 times)"),
    ({"kl": 100.0, "jko": 126.0, "r1": 110.0}, 2, "jko spent 1.26 times what kl did in particle gradients, so far as "
     "MLflow knows; not equal: compare what was confirmed, not what was searched"),
    ({"kl": 0.0, "jko": 1.0}, 0, "jko spent and kl nothing in particle gradients; not equal: compare what was "
     "confirmed, not what was searched"),
    ({"kl": 0.0, "jko": 0.0}, 0, ""), ({"kl": 100.0}, 0, ""), ({}, 0, "")])
def test_the_report_says_whether_searches_were_equal(spent: dict[str, float], lacks: int, said: str) -> None:
    """By the same rule as the launch; what was spent on the design does not count."""
    from study.plan.budget import unequal

    rows = [("design", "kl", 9000.0, 0), *(("search", arm, cost, lacks) for arm, cost in spent.items())]
    names = ["phase", "arm", "spent_particle_gradients", "spent_particle_gradients_lacks"]
    assert search_budgets(pd.DataFrame(rows, columns=names)) == said
    assert ("not equal" in said) == bool(unequal(spent))
    assert unequal({"a": 1.0, "b": EQUAL}) == "" != unequal({"a": 1.0, "b": EQUAL + 0.01})
    assert search_budgets(pd.DataFrame()) == ""


def test_the_budget_counts_what_became_of_each_trial():
    toy = study({("kl", 0.1, 5): flat(1, 3), ("kl", 0.2, 5): [None] * 3, ("jko", 0.1, 20): flat(1, 3)})
    lost = toy.trials.iloc[[0, 0]].assign(config_hash=["x", "y"], status=["crashed", "pruned"])
    toy.trials.loc[2] = lost.iloc[0]
    object.__setattr__(toy, "trials", pd.concat([toy.trials, lost], ignore_index=True))
    frame = budget(toy).set_index("arm")
    assert frame.loc["kl", ["configurations", "finished", "pruned", "lost"]].tolist() == [5, 2, 1, 2]
    assert frame.loc["kl", ["replicates", "diverged", "spent_particle_gradients"]].tolist() == [6, 3, 3 * 50 + 3 * 25]
    assert frame.loc["kl", "spent_wall_seconds"] == 14  # two blocks of three, which trained together
    assert frame.loc["kl", ["spent_particle_gradients_lacks", "spent_cpu_seconds_lacks"]].tolist() == [3, 3]
    assert budget_words(frame.reset_index()).loc[0, "particle gradients"] == "\u2265 225"
    told = toy.trials.assign(spent_particle_gradients=np.where(toy.trials["status"] == "pruned", 40.0, np.nan))
    object.__setattr__(toy, "trials", told)
    again = budget(toy).set_index("arm").loc["kl"]
    assert again[["spent_particle_gradients", "spent_particle_gradients_lacks"]].tolist() == [265, 2]


def test_effects_average_over_the_full_crossing_only():
    """T = 20 ran at step .1 alone: it may not be compared with T = 5 at .1 and .4 together."""
    frame = effects.effects(study({("kl", 0.1, 5): flat(1), ("kl", 0.4, 5): [None] * 8, ("kl", 0.1, 20): flat(2)}))
    steps = frame[frame["factor"] == "mcmc_steps"].set_index("level")
    assert steps["cells"].tolist() == [1, 1] and steps.loc[20, "mean"] == pytest.approx(2.0035)
    sizes = frame[frame["factor"] == "step_size"].set_index("level")
    assert sizes.loc[0.4, ["diverged", "replicates"]].tolist() == [8, 8] and np.isnan(sizes.loc[0.4, "mean"])
    assert sizes.loc[0.4, "rate"] == 1 and np.isnan(sizes.loc[0.4, "rate_low"])  # all seeds alike


def test_the_rate_of_a_level_is_over_seeds_as_its_mean_is():
    """Two seeds that diverge in both cells are two draws, not four; Wilson's 4/16 would be [.10, .49]."""
    some: list[float | None] = [None, None, *flat(1, 6)]
    toy = study({("kl", d, t): some if d == 0.4 else flat(1) for d in (0.1, 0.4) for t in (5, 20)})
    frame = effects.effects(toy)
    row = frame[(frame["factor"] == "step_size") & (frame["level"] == 0.4)].iloc[0]
    low, high = stats.t.interval(0.95, 7, 0.25, stats.sem([1, 1, 0, 0, 0, 0, 0, 0]))
    assert (row["diverged"], row["replicates"], row["rate"]) == (4, 16, 0.25)
    assert (row["rate_low"], row["rate_high"]) == pytest.approx((max(0, low), high)) and high > 0.6
    words = effect_words(toy, frame)
    assert words.loc[row.name, "diverged"] == "4/16" and words.loc[row.name, "rate over seeds"] == "0.25 [0.00, 0.64]"


def test_poor_survivors_stand_beside_every_mean():
    toy = study({("kl", d, 5): flat(d) for d in (0.1, 0.4)})
    flags = np.where(toy.finals["step_size"] == 0.4, "poor quality", None)
    told = dataclasses.replace(toy, finals=toy.finals.assign(verdict="stable", flags=flags))
    both = study({(arm, 0.1, 5): flat(1, 12) for arm in ("kl", "jko")}, arms={"kl": {}, "jko": {"method": "jko"}})
    bad = dataclasses.replace(both, finals=both.finals.assign(verdict="stable", flags=np.where(
        both.finals["arm"] == "jko", "poor quality", None)))
    robust = declared.robust_words(bad, declared.robust(bad, compared_cells(bad)))
    assert robust["n"].tolist() == ["12", "12, 12 poor"]
    ladder = ladder_words(bad, ablation.ladder(bad))
    assert [w.split(" (")[1] for w in ladder["kid"]] == ["n = 12)", "n = 12, 12 poor)"]
    words = effect_words(told, effects.effects(told))
    assert [w.split(" (")[1] for w in words["kid"]] == ["n = 8)", "n = 8; 8 of 8 poor)"]


def test_importance_finds_the_knob_that_acts():
    values = {("kl", d, t): [d + 1e-4 * t * s for s in range(6)] for d in (0.1, 0.2, 0.4, 0.8) for t in (5, 10, 20)}
    frame = effects.importance(study(values)).set_index("knob")
    assert frame.loc["step_size", "importance"] > 5 * abs(frame.loc["mcmc_steps", "importance"])
    assert frame["r2"].iloc[0] > 0.9 and frame["configurations"].tolist() == [12, 12]
    gone: dict[tuple[str, float, int], Sequence[float | None]] = {
        ("kl", d, t): [None] * 4 if t == 20 else [1.0] * 4 for d in (0.1, 0.2, 0.4) for t in (5, 10, 20)}
    assert effects.importance(study(gone)).set_index("knob")["importance"].idxmax() == "mcmc_steps"


def test_importance_is_judged_on_configurations_that_the_forest_has_not_seen():
    """Each configuration has a level of its own that no knob explains, its replicates the same: out of bag they told
    each other's rank (R2 .9)."""
    rng = np.random.default_rng(0)
    toy = study({("kl", d, t): [level + 1e-3 * s for s in range(6)] for d in (0.1, 0.2, 0.4, 0.8) for t in (5, 10, 20)
                 for level in [rng.normal()]})
    assert effects.importance(toy)["r2"].max() < 0.2


def test_profiles_count_divergence_as_failure_and_pair_cells():
    toy = study({("kl", 0.1, 5): [1.0, 2.0, None, 4.0], ("jko", 0.1, 5): [1.0, 1.0, 1.0, 1.0],
                 ("jko", 0.3, 5): [9.0] * 4})
    runs = profiled(toy)[0]
    assert set(runs["step_size"]) == {0.1}
    frame = cost.profile(runs, "kid", True)
    kl = frame[frame["arm"] == "kl"].set_index("threshold")
    assert kl["share"].iloc[0] == 0.25 and kl["share"].iloc[-1] == 0.75
    assert (kl["low"] <= kl["share"]).all() and (kl["share"] <= kl["high"]).all() and kl["high"].iloc[0] > 0.25
    assert (frame[frame["arm"] == "jko"]["share"] == 1).all()
    assert cost.profile(runs, "kid", False).query("arm == 'kl'")["share"].iloc[-1] == 0.75


def test_a_profile_s_seeds_are_drawn_with_all_their_cells():
    """A second cell that repeats the first adds no seed: the band stays as wide. Cells drawn apart made it narrower."""
    values = list(np.random.default_rng(0).normal(2, 0.5, 9))
    one = cost.profile(profiled(study({("kl", 0.1, 5): values}))[0], "kid", True)
    two = cost.profile(profiled(study({("kl", d, 5): values for d in (0.1, 0.2)}))[0], "kid", True)
    assert two["replicates"].iloc[0] == 18 and two["seeds"].iloc[0] == 9
    assert two[["share", "low", "high"]].to_numpy() == pytest.approx(one[["share", "low", "high"]].to_numpy())


def test_costs_are_of_survivors_as_quality_is():
    toy = study({("kl", 0.1, 5): [1.0, 2.0, None, None], ("jko", 0.1, 5): [1.0] * 4},
                arms={"kl": {"method": "kl"}, "jko": {"method": "jko"}})
    assert cost.costs(toy)["particle_gradients"].tolist() == [50, 50]  # of all replicates kl's were 37.5
    assert ablation.ladder(toy)["particle_gradients"].tolist() == [50, 50]


def test_the_family_is_what_the_plan_declares_not_what_has_finished():
    """One of three declared arms has run: its p is worth what it will be worth in the end."""
    toy = study({("kl", 0.1, 5): flat(2), ("a", 0.1, 5): flat(1), ("b", 0.1, 5): flat(1), ("c", 0.1, 5): flat(1)})
    early = dataclasses.replace(toy, finals=toy.finals[toy.finals["arm"].isin(["kl", "a"])])
    assert comparisons(early)["p_holm"].tolist() == pytest.approx([3 * 2 / 2**8])
    assert comparisons(toy)["p_holm"].tolist() == pytest.approx([3 * 2 / 2**8] * 3)
    assert comparisons(early)["family"].tolist() == [3]


def test_seeds_lost_in_both_arms_say_nothing():
    """Eight pairs of which four are ties: no outcome of the other four could be significant."""
    lost: list[float | None] = [None] * 4
    found = comparisons(study({("kl", 0.1, 5): [*lost, 2, 2, 2, 2], ("a", 0.1, 5): [*lost, 1, 1, 1, 1]})).iloc[0]
    assert found["p"] == found["p_attainable"] == 2 / 2**4 and not found["decidable"]


def test_effects_of_the_method_and_of_further_factors_have_intervals_over_seeds():
    rng = np.random.default_rng(0)
    base = 1 + 0.1 * rng.normal(size=8)
    values: dict[tuple[str, float, int], Any] = {
        (arm, d, 5): list(base + shift + d) for arm, shift in (("kl", 0.0), ("jko", -0.5)) for d in (0.1, 0.2)}
    values["jko", 0.2, 5][3] = None
    frame = effects.effects(study(values)).set_index(["arm", "factor", "level"])
    seen = frame.loc[(effects.ALL, "method", "jko")]
    seeds = [base[s] - 0.5 + 0.15 for s in range(8) if s != 3]  # seed 3 did not survive in both cells
    low, high = stats.t.interval(0.95, 6, np.mean(seeds), stats.sem(seeds))
    assert (seen["mean"], seen["low"], seen["high"], seen["n"]) == pytest.approx((np.mean(seeds), low, high, 7))
    assert (seen["diverged"], seen["replicates"], seen["cells"]) == (1, 16, 2)
    toy = study({(arm, 0.1, 5): flat(1 + i) for i, arm in enumerate(("kl (lr_f=1)", "kl (lr_f=2)"))},
                factors=["step_size", "lr_f"])
    for i, knobs in enumerate(toy.cells["knobs"]):
        knobs["lr_f"] = i + 1
    object.__setattr__(toy, "cells", toy.cells.assign(base_arm="kl"))
    found = effects.effects(toy)
    assert found[["arm", "factor", "level"]].to_numpy().tolist() == [["kl", "lr_f", 1], ["kl", "lr_f", 2]]
    assert found["mean"].tolist() == pytest.approx([1.0035, 2.0035])


def test_a_factor_of_the_search_alone_keeps_no_arm_from_the_shared_cells():
    """jko has one jko_weight in all cells of the design, and kl has none; a search frees it."""
    toy = study({("kl", 0.1, 5): flat(1), ("jko", 0.1, 5): flat(2)}, factors=["step_size", "jko_weight"])
    for arm, knobs in zip(toy.cells["arm"], toy.cells["knobs"], strict=True):
        knobs.update({"jko_weight": 0.5} if arm == "jko" else {})
    assert effects.effects(toy)[["arm", "factor", "level"]].to_numpy().tolist() == [
        ["all", "method", "kl"], ["all", "method", "jko"]]
