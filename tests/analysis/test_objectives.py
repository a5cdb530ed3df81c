"""The values of a search with several objectives, and its Pareto set, by hand."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from analysis.read.pool import pooled
from analysis.read.study import Study
from analysis.stats.objectives import objective_values
from tests.analysis.small_study import study

VALUES = {("kl", 0.1, 5): [1.0, 3.0], ("kl", 0.1, 20): [1.0, 1.0], ("kl", 0.2, 20): [4.0, None]}


def searching(direction: str) -> Study:
    search = {"sampler": "nsga2", "arguments": {}, "prune": None, "objectives": ["kid", "particle_gradients"],
              "directions": [direction, "minimize"], "diverged_value": {"kl": [9.0, None]}, "log": []}
    return study(VALUES, phase="search", search=search)


def searched(direction: str) -> pd.DataFrame:
    return objective_values(searching(direction))


def test_a_diverged_replicate_counts_as_the_plan_s_value_and_a_cost_as_its_own():
    found = searched("minimize").set_index("config_hash")
    assert found["kid"].to_dict() == {"kl-0.1-5": 2.0, "kl-0.1-20": 1.0, "kl-0.2-20": 6.5}
    assert found.loc["kl-0.2-20", ["particle_gradients", "replicates", "diverged"]].tolist() == [150.0, 2, 1]


@pytest.mark.parametrize(("direction", "best"), [("minimize", {"kl-0.1-5", "kl-0.1-20"}),
                                                 ("maximize", {"kl-0.1-5", "kl-0.2-20"})])
def test_the_front_is_what_none_beats_in_the_objectives_directions(direction, best):
    found = searched(direction)
    assert set(found.loc[found["front"], "config_hash"]) == best and found["front"].is_monotonic_decreasing


def test_searches_of_pooled_studies_are_one_where_they_have_the_same_objectives() -> None:
    both = [replace(searching("minimize"), name=name) for name in "ab"]
    found = objective_values(pooled(both))
    assert sorted(found["arm"]) == ["a: kl"] * 3 + ["b: kl"] * 3 and found["front"].sum() == 4
    assert found.groupby("arm")["kid"].max().tolist() == [6.5, 6.5], "the diverged value is that of the study's own arm"
    other = replace(searching("maximize"), name="b")
    assert objective_values(pooled([both[0], other])).empty, "nothing compares different objectives"
