"""Declared cells, comparisons, ladder, path, budget, effects, importance, fronts and profiles, on values by hand."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.panels import declared
from analysis.panels.ladder import ladder_words
from analysis.panels.limits import limit_words
from analysis.panels.pareto import numbered
from analysis.stats import ablation
from analysis.stats.comparisons import compared_cells, not_separable_from_best
from analysis.stats.limits import limits
from analysis.text.findings.quality import quality
from tests.analysis.small_study import study

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


def test_bold_is_the_best_and_what_cannot_be_told_from_it():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=10)
    toy = study({("a", 0.1, 5): list(1 + noise), ("b", 0.1, 5): list(1 + rng.permutation(noise)),
                 ("c", 0.1, 5): list(9 + noise), ("d", 0.1, 5): [None] * 10})
    found = not_separable_from_best(toy, compared_cells(toy), "kid", True)
    assert set(found.strong) == {"a", "b"} and set(found.apart) == {"c", "d"}
    assert not_separable_from_best(toy, compared_cells(toy), "kid", False).strong == ["c"]
    few = study({("a", 0.1, 5): [1.0, 2.0], ("b", 0.1, 5): [3.0, 4.0]})
    assert not_separable_from_best(few, compared_cells(few), "kid", True) == ([], [])


def test_the_ladder_goes_up_by_parts_and_names_what_each_lacks():
    values = {(arm, 0.1, 5): flat(1 - 0.1 * i) for i, arm in enumerate(UNION)}
    frame = ablation.ladder(study(values, arms=UNION)).set_index("arm")
    assert list(frame.index) == ["kl", "jko", "coop", "hidden", "amortized", "ggcn"]
    assert frame["full_minus"].to_dict() == {"kl": "", "jko": "", "coop": "", "hidden": "amortized",
                                             "amortized": "hidden space", "ggcn": ""}
    assert frame.loc["ggcn", list(ablation.PARTS)].tolist() == [True] * 3
    assert frame.loc["jko", "mean"] == pytest.approx(0.9 + 0.0035) and frame.loc["jko", "particle_gradients"] == 50
    assert ablation.ladder(study({("kl", 0.1, 5): flat(1)})).empty
    words = ladder_words(study(values, arms=UNION), frame.reset_index())
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


def test_the_front_holds_what_nothing_beats():
    points = pd.DataFrame({"cost": [1, 2, 3, 2], "diverged": 0})
    for means, lower, on in (([5, 3, 4, 3], True, [True, True, False, True]),
                             ([5, 3, 6, 3], False, [True, False, True, False])):
        assert numbered(points.assign(mean=means), "cost", lower)["front"].notna().tolist() == on


def test_estimators_that_fear_no_outlier_stand_beside_the_mean():
    toy = study({("kl", 0.1, 5): [*flat(1, 11), 50.0, None]})
    found = declared.robust(toy, compared_cells(toy)).iloc[0]
    assert found["n"] == 12 and found["mean"] > 5 and found["iqm"] == pytest.approx(1.0055)
    assert found["iqm_low"] < 1.0055 < found["iqm_high"] < 2 and np.isnan(found["bca_low"])
    words = declared.robust_words(toy, declared.robust(toy, compared_cells(toy)))
    assert words.loc[0, "mean [BCa]"] == "5.09" and words.loc[0, "n"] == "12"
    assert words.loc[0, "diverged"] == "1/13"


def compare_yaml() -> dict[str, dict[str, Any]]:
    """The arms of search_spaces/compare.yaml in their order: controls come before what they control."""
    train = {"updates": 400, "width": 8}
    fixed: dict[str, tuple[str, dict[str, Any]]] = {
        "kl+noise": ("kl", {"data_noise": 0.1}), "kl": ("kl", {}), "kl+drift": ("kl", {"negatives_drift": 1}),
        "r1": ("jko", {"penalty_on": "data"}), "jko-c0.125": ("jko", {"jko_weight": 0.125}),
        "jko": ("jko", {"jko_weight": 0.5}), "jko-c1": ("jko", {"jko_weight": 1.0}),
        "ggcn": ("ggcn", {"flow": "jko"})}
    return {arm: {"method": method, "fixed": {**train, **knobs}} for arm, (method, knobs) in fixed.items()}


def test_no_control_is_a_rung_whatever_the_order_of_the_plan():
    arms = compare_yaml()
    toy = study({(arm, 0.1, 5): flat(1) for arm in arms}, arms=arms)
    assert ablation.ladder(toy)["arm"].tolist() == ["kl", "jko", "ggcn"]
    del arms["jko"]
    assert ablation.ladder(study({(arm, 0.1, 5): flat(1) for arm in arms}, arms=arms))["arm"].tolist() == ["kl", "ggcn"]


def test_of_two_arms_with_the_same_parts_the_one_with_fewer_knobs_of_its_own_stands():
    arms = {"slow": {"method": "kl", "fixed": {"lr_f": 1e-4, "width": 8}},
            "kl": {"method": "kl", "fixed": {"width": 8}},
            "jko": {"method": "jko", "fixed": {"width": 8}}}
    toy = study({(arm, 0.1, 5): flat(1) for arm in arms}, arms=arms, baseline="kl")
    assert ablation.ladder(toy)["arm"].tolist() == ["kl", "jko"]


def test_plain_knobs_are_the_methods_defaults():
    from study.spec.knobs import METHODS

    for method in METHODS.values():
        own = {f.name: f.default for f in dataclasses.fields(method)}
        assert {k: own[k] for k in ablation.PLAIN if k in own} == {k: v for k, v in ablation.PLAIN.items() if k in own}


def test_an_arm_that_is_not_finished_takes_no_bold_from_the_others():
    toy = study({("a", 0.1, 5): flat(1), ("b", 0.1, 5): flat(2), ("late", 0.1, 5): flat(9, 2)})
    found = not_separable_from_best(toy, compared_cells(toy), "kid", True)
    assert found.strong == ["a"] and found.apart == ["b"]


def test_the_best_is_named_first_wherever_it_stands_in_the_plan():
    toy = study({("a", 0.1, 5): flat(2), ("b", 0.1, 5): flat(2.0005), ("c", 0.1, 5): [1.9, 1.9, *flat(1.9999, 8)[2:]]})
    assert not_separable_from_best(toy, compared_cells(toy), "kid", True).strong[0] == "c"
    text = next(f.text for f in quality(toy) if "ranks best" in f.text)
    assert text.startswith("At their declared cells c ranks best, found on these seeds")


def test_a_declared_cell_stays_whatever_became_of_it():
    """`fast` has the common cell in the plan, where nothing has run: it may not stand with another cell meanwhile."""
    toy = study({(arm, d, 5): flat(1) for arm in ("kl", "fast") for d in (0.1, 0.2)})
    early = dataclasses.replace(toy, finals=toy.finals[toy.finals["config_hash"] != "fast-0.1-5"])
    assert compared_cells(early)["arm"].tolist() == ["kl"] and len(compared_cells(toy)) == 2


def test_the_observed_boundary_stands_in_the_words_with_bounds_and_counts():
    arms = {"kl": {"limits": [{"delta_min": 0.06, "delta_min_low": 0.05, "delta_min_high": 0.07, "delta_med": None}]}}
    toy = study({("kl", 0.1, 5): flat(1), ("kl", 0.2, 5): [None] * 8}, arms=arms)
    row = limit_words(limits(toy)).iloc[0]
    assert row["limit, smallest"] == "0.060 [0.050, 0.070]" and row["limit, median"] == "no limit"
    assert row["half diverged from"] == "0.14 [0.1, 0.2]" and row["none up to"] == "0.1 (0/8)"
    assert row["first at"] == row["most from"] == "0.2 (8/8)"
