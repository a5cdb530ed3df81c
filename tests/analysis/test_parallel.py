"""Parallel coordinates of a search: what each line says is read back from what is drawn."""

from __future__ import annotations

import math
from dataclasses import replace

import matplotlib.figure
import numpy as np
import pandas as pd
import pytest

from analysis.panels import parallel
from analysis.panels.parallel import Parallel
from analysis.read.study import CELL
from study.schema.plan import PlannedSearch
from tests.analysis import synthetic_study as toy

ARMS = ["kl", "jko"]


@pytest.fixture
def ax():
    return matplotlib.figure.Figure().subplots()


def frame():
    """Two arms; jko alone has a weight. One was pruned, of one all replicates diverged."""
    rows = [("kl", 0.01, 5, math.nan, 0.5, "finished", 1), ("kl", 0.1, 10, math.nan, 0.3, "finished", 2),
            ("jko", 1.0, 15, 0.2, 0.1, "finished", 1), ("jko", 0.1, 5, 0.4, math.nan, "diverged", 2),
            ("jko", 0.01, 5, 0.6, math.nan, "pruned", 3)]
    return pd.DataFrame(rows, columns=["arm", "step_size", "mcmc_steps", "jko_weight", "mean", "outcome", "rank"])


def lines(ax, *gids):
    return [[float(y) for y in line.get_ydata()] for line in ax.lines if line.get_gid() in gids]


def test_a_line_passes_each_knob_at_its_share_of_the_axis(ax):
    parallel.parallel(frame(), ax, measure="kid", arms=ARMS, lower_is_better=True, log=["step_size"])
    np.testing.assert_allclose(sorted(lines(ax, "best")), [
        [0, 0, -0.13, 1], [0.5, 0.5, -0.13, 0.5], [1, 1, 0, 0]], atol=1e-9)  # no weight: below the axis
    [lost], [pruned] = lines(ax, "diverged"), lines(ax, "pruned")
    assert lost == pytest.approx([0.5, 0, 0.5, 1.13]) and pruned[:3] == pytest.approx([0, 0, 1])
    assert math.isnan(pruned[3])  # ends before the measure
    assert {t.get_text() for t in ax.texts if t.xy[1] in (-0.13, 1.13)} == {"none", "diverged"}
    dashes = {line.get_gid(): line.get_linestyle() for line in ax.lines}
    assert dashes["best"] == "-" and dashes["pruned"] == dashes["diverged"] == "--"
    assert [t.get_text() for t in ax.get_xticklabels()] == [
        "step size", "MCMC steps", "jko weight", "kid\n(lower is better)"]


def test_a_figure_of_some_arms_has_their_lines():
    """Of many arms each figure has a few, so that its trials are not the first of all."""
    drawn = []
    for own in (frame(), pd.concat([frame().assign(arm="other", step_size=0.02), frame()], ignore_index=True)[5:]):
        ax = matplotlib.figure.Figure().subplots()
        parallel.parallel(own, ax, measure="kid", arms=ARMS, lower_is_better=True, log=["step_size"])
        drawn.append(lines(ax, "best", "diverged", "pruned", "end"))
    np.testing.assert_equal(*drawn)


def test_an_axis_is_logarithmic_where_the_space_is_or_the_plan_does_not_say_and_it_is_wide():
    def middle(log):
        ax = matplotlib.figure.Figure().subplots()
        parallel.parallel(frame(), ax, measure="kid", arms=ARMS, lower_is_better=False, log=log)
        return next(y[0] for y in lines(ax, "best") if y[1] == 0.5)

    assert middle(["step_size"]) == pytest.approx(0.5) and middle([]) == pytest.approx(0.09 / 0.99)
    assert middle(None) == pytest.approx(0.5)


def test_only_the_best_of_an_arm_are_strong_and_the_best_lie_on_top(ax):
    n = parallel.BEST + 4
    many = pd.DataFrame({"arm": "kl", "a": range(n), "b": [True, False] * (n // 2) + [True] * (n % 2), "mean":
                         [0.1 * k for k in range(n)], "outcome": "finished", "rank": range(1, n + 1)})
    parallel.parallel(many, ax, measure="kid", arms=ARMS, lower_is_better=True)
    drawn = [(line.get_gid(), round(line.get_ydata()[0] * (n - 1))) for line in ax.lines
             if line.get_gid() in ("best", "finished")]
    assert drawn == [("finished" if k >= parallel.BEST else "best", k) for k in range(n)][::-1]
    assert [t.get_text() for t in ax.texts if t.xy[0] == 1] == ["False", "True"]  # levels that are no numbers


def test_the_panel_shows_the_searchs_finished_and_pruned_trials(study):
    found = Parallel().frame(study)
    assert sorted(zip(found["arm"], found["step_size"], found["outcome"], strict=True)) == [
        ("jko", 0.17, "finished"), ("jko", 0.3, "finished"), ("kl", 0.07, "finished"), ("kl", 0.31, "pruned")]
    assert Parallel().is_shown(study, found) and [c for c in found if c not in parallel._OWN] == CELL
    for row in found[found["outcome"] == "finished"].to_dict("records"):
        own = study.finals[study.finals["config_hash"] == row["config_hash"]]
        assert row["mean"] == pytest.approx(own[toy.PRIMARY].mean())
    assert "1 pruned trial" in Parallel().caption(study, found)
    assert not Parallel().is_shown(study, found.drop(columns="mcmc_steps"))  # of one knob the other figure tells all


def test_a_knob_without_effect_in_an_arm_has_no_place_on_its_axis(study):
    search = PlannedSearch(sampler="tpe", arguments={}, prune=None, objectives=[toy.PRIMARY], directions=["minimize"],
                           diverged_value={}, log=[], idle={"jko": ["step_size"]})
    found = Parallel().frame(replace(study, plan=study.plan.model_copy(update={"search": search})))
    assert found.groupby("arm")["step_size"].count().to_dict() == {"jko": 0, "kl": 2}
