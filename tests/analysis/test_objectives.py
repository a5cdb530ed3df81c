"""The values of a search with several objectives, and its Pareto set, by hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import matplotlib.pyplot as plt
import pytest
from matplotlib.axes import Axes

from analysis.panels.search import Search
from analysis.read.pool import pooled
from analysis.read.study import Study
from analysis.stats.objectives import excess, objective_values
from analysis.text.findings.cells import searched
from study.schema.bound import Bound
from tests.analysis.small_study import study

VALUES = {("kl", 0.1, 5): [1.0, 3.0], ("kl", 0.1, 20): [1.0, 1.0], ("kl", 0.2, 20): [4.0, None]}


@pytest.fixture
def ax() -> Iterator[Axes]:
    figure, axes = plt.subplots()
    yield axes
    plt.close(figure)


def searching(direction: str, **constraints: Bound) -> Study:
    search = {"sampler": "nsga2", "arguments": {}, "prune": None, "objectives": ["kid", "particle_gradients"],
              "directions": [direction, "minimize"], "diverged_value": {"kl": [9.0, None]}, "log": [],
              "constraints": constraints}
    return study(VALUES, phase="search", search=search)


def test_a_diverged_replicate_counts_as_the_plan_s_value_and_a_cost_as_its_own():
    found = objective_values(searching("minimize")).set_index("config_hash")
    assert found["kid"].to_dict() == {"kl-0.1-5": 2.0, "kl-0.1-20": 1.0, "kl-0.2-20": 6.5}
    assert found.loc["kl-0.2-20", ["particle_gradients", "replicates", "diverged"]].tolist() == [150.0, 2, 1]


@pytest.mark.parametrize(("direction", "best"), [("minimize", {"kl-0.1-5", "kl-0.1-20"}),
                                                 ("maximize", {"kl-0.1-5", "kl-0.2-20"})])
def test_the_front_is_what_none_beats_in_the_objectives_directions(direction, best):
    found = objective_values(searching(direction))
    assert set(found.loc[found["front"], "config_hash"]) == best and found["front"].is_monotonic_decreasing


def test_what_misses_a_constraint_is_in_no_front_is_pale_and_is_not_the_best(ax: Axes) -> None:
    bound = searching("minimize", kid=Bound(2.0, "minimize"))
    assert excess(bound).to_dict() == {"kl-0.1-5": 0.5, "kl-0.1-20": 0, "kl-0.2-20": 10}
    found = objective_values(bound)
    assert found.loc[found["front"], "config_hash"].tolist() == ["kl-0.1-20"]
    assert "best of 3 finished trials by kid alone (0 pruned) is kl at step size 0.1 with 20 MCMC steps: kid 1.00 " \
           "(2 seeds). 1 of 3 are within the bounds (kid at most 2)." in searched(bound)[0].text
    panel, frame = Search(), Search().frame(bound)
    panel.plot(bound, frame, ax)
    drawn = {line.get_gid(): [*map(float, line.get_ydata())] for line in ax.lines}
    assert drawn["finished"] == [1.0] and sorted(drawn["missed"]) == [2.0, 4.0]
    assert "Pale: a replicate diverged or is not within the bounds (kid at most 2)." in panel.caption(bound, frame)
    none = searching("minimize", kid=Bound(0.5, "minimize"))
    assert searched(none)[0].text == "None of 3 finished trials of the search is within the bounds (kid at most 0.5)."
    assert not objective_values(none)["front"].any()


def test_searches_of_pooled_studies_are_one_where_they_have_the_same_objectives() -> None:
    both = [replace(searching("minimize"), name=name) for name in "ab"]
    found = objective_values(pooled(both))
    assert sorted(found["arm"]) == ["a: kl"] * 3 + ["b: kl"] * 3 and found["front"].sum() == 4
    assert found.groupby("arm")["kid"].max().tolist() == [6.5, 6.5], "the diverged value is that of the study's own arm"
    other = replace(searching("maximize"), name="b")
    assert objective_values(pooled([both[0], other])).empty, "nothing compares different objectives"
