"""Declared cells, comparisons, ladder, path, budget, effects, importance, fronts and profiles, on values by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from analysis import ablation, cost, effects, tables
from analysis.budget import budget
from analysis.comparisons import compared_cells, comparisons, not_separable_from_best
from analysis.figures.cost import front
from tests.small_study import study

UNION = {"kl": {"method": "kl"}, "jko": {"method": "jko"}, "hidden": {"method": "hidden", "fixed": {"flow": "jko"}},
         "amortized": {"method": "amortized", "fixed": {"flow": "jko"}},
         "coop": {"method": "amortized", "fixed": {"flow": "kl"}},
         "ggcn": {"method": "ggcn", "fixed": {"flow": "jko"}}}


def flat(value: float, n: int = 8) -> list[float | None]:
    return [value + 0.001 * seed for seed in range(n)]


def test_an_arm_without_the_common_cell_stands_with_its_nearest():
    found = compared_cells(study({("kl", 0.1, 5): flat(1), ("kl", 0.1, 20): flat(1), ("kl", 0.4, 20): [None] * 8,
                                  ("fast", 0.3, 2): flat(1), ("fast", 0.12, 2): flat(1), ("fast", 0.12, 5): flat(1)}))
    assert found[["arm", "step_size", "mcmc_steps"]].to_numpy().tolist() == [["kl", 0.1, 20], ["fast", 0.12, 5]]


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


def test_bold_is_the_best_and_what_cannot_be_told_from_it():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=10)
    toy = study({("a", 0.1, 5): list(1 + noise), ("b", 0.1, 5): list(1 + rng.permutation(noise)),
                 ("c", 0.1, 5): list(9 + noise), ("d", 0.1, 5): [None] * 10})
    assert not_separable_from_best(toy, compared_cells(toy), "kid", True) == {"a", "b"}
    assert not_separable_from_best(toy, compared_cells(toy), "kid", False) == {"c"}
    few = study({("a", 0.1, 5): [1.0, 2.0], ("b", 0.1, 5): [3.0, 4.0]})
    assert not_separable_from_best(few, compared_cells(few), "kid", True) == set()


def test_the_ladder_goes_up_by_parts_and_names_what_each_lacks():
    values = {(arm, 0.1, 5): flat(1 - 0.1 * i) for i, arm in enumerate(UNION)}
    frame = ablation.ladder(study(values, arms=UNION)).set_index("arm")
    assert list(frame.index) == ["kl", "jko", "coop", "hidden", "amortized", "ggcn"]
    assert frame["full_minus"].to_dict() == {"kl": "", "jko": "", "coop": "", "hidden": "amortized",
                                             "amortized": "hidden space", "ggcn": ""}
    assert frame.loc["ggcn", list(ablation.PARTS)].tolist() == [True] * 3
    assert frame.loc["jko", "mean"] == pytest.approx(0.9 + 0.0035) and frame.loc["jko", "particle_gradients"] == 50
    assert ablation.ladder(study({("kl", 0.1, 5): flat(1)})).empty
    words = ablation.ladder_words(study(values, arms=UNION), frame.reset_index())
    assert words.loc[1, "JKO term"] == "yes" and words.loc[1, "diverged"] == "0/8"


def test_the_path_takes_the_factor_that_helps_most_and_measured_cells_only():
    level = {("kl", 0.1, 5): 1.0, ("kl", 0.1, 20): 0.9, ("kl", 0.2, 5): 0.5, ("kl", 0.2, 20): 0.45,
             ("jko", 0.1, 5): 0.8, ("jko", 0.1, 20): 0.7, ("jko", 0.2, 5): 0.4, ("jko", 0.2, 20): 0.2}
    toy = study({cell: flat(v) for cell, v in level.items()}, common_cell={"step_size": 0.1, "mcmc_steps": 5})
    frame = ablation.path(toy)
    assert frame["changed"].tolist() == ["baseline", "step size to 0.2", "method to jko", "MCMC steps to 20"]
    assert frame["mean"].tolist() == pytest.approx([v + 0.0035 for v in (1.0, 0.5, 0.4, 0.2)])
    del level["kl", 0.2, 5], level["jko", 0.1, 5]
    short = ablation.path(study({c: flat(v) for c, v in level.items()},
                                common_cell={"step_size": 0.1, "mcmc_steps": 5}))
    assert short["changed"].tolist() == ["baseline", "MCMC steps to 20", "step size to 0.2", "method to jko"]


def test_a_path_fears_divergence_more_than_a_bad_mean():
    toy = study({("kl", 0.1, 5): flat(1), ("kl", 0.2, 5): [0.1, *[None] * 7], ("jko", 0.1, 5): flat(3),
                 ("jko", 0.2, 5): flat(0.5)}, common_cell={"step_size": 0.1, "mcmc_steps": 5})
    assert ablation.path(toy)["changed"].tolist() == ["baseline", "method to jko", "step size to 0.2"]


def test_the_budget_counts_what_became_of_each_trial():
    toy = study({("kl", 0.1, 5): flat(1, 3), ("kl", 0.2, 5): [None] * 3, ("jko", 0.1, 20): flat(1, 3)})
    lost = toy.trials.iloc[[0, 0]].assign(config_hash=["x", "y"], status=["crashed", "pruned"])
    toy.trials.loc[2] = lost.iloc[0]
    object.__setattr__(toy, "trials", pd.concat([toy.trials, lost], ignore_index=True))
    frame = budget(toy).set_index("arm")
    assert frame.loc["kl", ["configurations", "finished", "pruned", "lost"]].tolist() == [5, 2, 1, 2]
    assert frame.loc["kl", ["seeds", "diverged", "particle_gradients"]].tolist() == [6, 3, 300]


def test_effects_average_over_the_full_crossing_only():
    """T = 20 ran at step .1 alone: it may not be compared with T = 5 at .1 and .4 together."""
    frame = effects.effects(study({("kl", 0.1, 5): flat(1), ("kl", 0.4, 5): [None] * 8, ("kl", 0.1, 20): flat(2)}))
    steps = frame[frame["factor"] == "mcmc_steps"].set_index("level")
    assert steps["cells"].tolist() == [1, 1] and steps.loc[20, "mean"] == pytest.approx(2.0035)
    sizes = frame[frame["factor"] == "step_size"].set_index("level")
    assert sizes.loc[0.4, ["diverged", "replicates"]].tolist() == [8, 8] and np.isnan(sizes.loc[0.4, "mean"])


def test_importance_finds_the_knob_that_acts():
    values = {("kl", d, t): [d + 1e-4 * t * s for s in range(6)] for d in (0.1, 0.2, 0.4, 0.8) for t in (5, 10, 20)}
    frame = effects.importance(study(values)).set_index("knob")
    assert frame.loc["step_size", "importance"] > 5 * abs(frame.loc["mcmc_steps", "importance"])
    assert frame["r2"].iloc[0] > 0.9 and frame["configurations"].tolist() == [12, 12]
    gone: dict[tuple[str, float, int], Sequence[float | None]] = {
        ("kl", d, t): [None] * 4 if t == 20 else [1.0] * 4 for d in (0.1, 0.2, 0.4) for t in (5, 10, 20)}
    assert effects.importance(study(gone)).set_index("knob")["importance"].idxmax() == "mcmc_steps"


def test_the_front_holds_what_nothing_beats():
    assert front([1, 2, 3, 2], [5, 3, 4, 3], True).tolist() == [True, True, False, True]
    assert front([1, 2, 3, 2], [5, 3, 6, 3], False).tolist() == [True, False, True, False]


def test_profiles_count_divergence_as_failure_and_pair_cells():
    toy = study({("kl", 0.1, 5): [1.0, 2.0, None, 4.0], ("jko", 0.1, 5): [1.0, 1.0, 1.0, 1.0],
                 ("jko", 0.3, 5): [9.0] * 4})
    runs = cost.shared_cells(toy)
    assert set(runs["step_size"]) == {0.1}
    frame = cost.profile(runs, "kid", True)
    kl = frame[frame["arm"] == "kl"].set_index("threshold")
    assert kl["share"].iloc[0] == 0.25 and kl["share"].iloc[-1] == 0.75
    assert (kl["low"] <= kl["share"]).all() and (kl["share"] <= kl["high"]).all() and kl["high"].iloc[0] > 0.25
    assert (frame[frame["arm"] == "jko"]["share"] == 1).all()
    assert cost.profile(runs, "kid", False).query("arm == 'kl'")["share"].iloc[-1] == 0.75


def test_estimators_that_fear_no_outlier_stand_beside_the_mean():
    toy = study({("kl", 0.1, 5): [*flat(1, 11), 50.0, None]})
    found = tables.robust(toy, compared_cells(toy)).iloc[0]
    assert found["n"] == 12 and found["mean"] > 5 and found["iqm"] == pytest.approx(1.0055)
    assert found["iqm_low"] < 1.0055 < found["iqm_high"] < 2 and np.isnan(found["bca_low"])
    words = tables.robust_words(toy, tables.robust(toy, compared_cells(toy)))
    assert words.loc[0, "mean [BCa]"] == "5.09" and words.loc[0, "n"] == "12"
