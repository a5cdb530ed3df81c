"""Pareto front, performance profiles, importance and the way to the best cell: what is drawn, read back."""

from __future__ import annotations

import math
from itertools import combinations

import matplotlib.figure
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex

from analysis.panels import axes, importance, pareto, path, profiles
from analysis.panels.palette import colours, hatches, style

ARMS = ["kl", "jko"]


@pytest.fixture
def ax():
    return matplotlib.figure.Figure().subplots()


def cells():
    return pd.DataFrame({
        "arm": ["kl", "kl", "jko", "jko"], "step_size": [0.1, 0.2, 0.1, 0.2], "mcmc_steps": 5,
        "mean": [0.2, 0.05, 0.1, 0.3], "diverged": [0, 2, 0, 0], "seconds": [1.0, 2.0, 3.0, 4.0]})


@pytest.mark.parametrize("lower", [True, False])
def test_pareto_is_open_where_one_diverged_and_its_front_has_none_of_those(ax, lower):
    frame = pareto.numbered(cells(), "seconds", lower)
    pareto.pareto(frame, ax, measure="kid", cost="seconds", label="seconds a replicate", arms=ARMS,
                  lower_is_better=lower)
    pareto.number_front(frame, ax, cost="seconds", arms=ARMS, lower_is_better=lower)
    where = {gid: {(float(x), float(y)) for line in ax.lines if line.get_gid() == gid
                   for x, y in zip(*line.get_data(), strict=True)} for gid in ("diverged", "whole", "front")}
    assert where["diverged"] == {(2.0, 0.05)} and where["whole"] == {(1.0, 0.2), (3.0, 0.1), (4.0, 0.3)}
    assert where["front"] == ({(1.0, 0.2), (3.0, 0.1)} if lower else {(1.0, 0.2), (4.0, 0.3)})
    opened = [line.get_markerfacecolor() for line in ax.lines if line.get_gid() == "diverged" and len(line.get_xdata())]
    assert opened == ["none"] and ax.get_xlabel() == "seconds a replicate"
    assert [t.get_text() for t in ax.texts if t.get_gid() == "number"] == ["1", "2"]
    [said] = [t.get_text().splitlines()[1:] for t in ax.texts if t.get_gid() == "list"]
    assert said == ["1  kl, 0.1, 5: 0.20 at 1.00",
                    "2  jko, 0.1, 5: 0.10 at 3.00" if lower else "2  jko, 0.2, 5: 0.30 at 4.00"]


def test_profiles_step_to_the_share_and_keep_their_band(ax):
    frame = pd.DataFrame({"arm": ["kl"] * 3 + ["jko"] * 3, "threshold": [0.1, 0.2, 0.3] * 2,
                          "share": [0.0, 0.5, 0.5, 0.2, 0.6, 1.0], "low": 0.0, "high": 1.0})
    profiles.profiles(frame, ax, measure="kid", arms=ARMS, lower_is_better=True)
    drawn = {line.get_color(): (list(line.get_ydata()), line.get_drawstyle()) for line in ax.lines}
    assert drawn == {colours(ARMS)["kl"]: ([0.0, 0.5, 0.5], "steps-post"),
                     colours(ARMS)["jko"]: ([0.2, 0.6, 1.0], "steps-post")}
    assert ax.get_ylim()[1] > 1 and ax.get_xlim()[0] < ax.get_xlim()[1]
    assert [c.get_hatch() for c in ax.collections if c.get_gid() == "hatch"] == [hatches(ARMS)["jko"]]
    other = matplotlib.figure.Figure().subplots()
    profiles.profiles(frame, other, measure="accuracy", arms=ARMS, lower_is_better=False)
    assert other.get_xlim()[0] > other.get_xlim()[1]  # easier thresholds stay on the right


def test_importance_has_a_bar_a_knob_with_its_spread(ax):
    frame = pd.DataFrame({"arm": ["jko", "kl", "kl"], "knob": ["step_size", "mcmc_steps", "step_size"],
                          "importance": [0.7, 0.1, 0.9], "sd": [0.05, 0.01, 0.2]})
    importance.importances(frame, ax, arms=ARMS)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["kl: step size", "kl: MCMC steps", "jko: step size"]
    bars = [(p.get_width(), to_hex(p.get_facecolor()), p.get_hatch() or "") for p in ax.patches]
    assert bars == [(width, colours(ARMS)[arm], hatches(ARMS)[arm])
                    for width, arm in ((0.9, "kl"), (0.1, "kl"), (0.7, "jko"))]
    [whiskers] = ax.containers[-1].lines[2]
    ends = np.array([bar[:, 0] for bar in whiskers.get_segments()])
    assert ends == pytest.approx(np.array([(0.7, 1.1), (0.09, 0.11), (0.65, 0.75)]))


def test_the_way_leads_dashed_past_a_cell_without_a_value(ax):
    frame = pd.DataFrame({
        "changed": ["baseline", "method to jko", "step size to 0.2", "MCMC steps to 20"], "arm": ["kl", *["jko"] * 3],
        "step_size": [0.1, 0.1, 0.2, 0.2], "mcmc_steps": [5, 5, 5, 20], "mean": [0.3, math.nan, 0.2, 0.1],
        "low": [0.25, math.nan, math.nan, 0.05], "high": [0.35, math.nan, math.nan, 0.15], "n": [6, 0, 1, 6],
        "diverged": [0, 0, 5, 0], "replicates": [6, 0, 6, 6]})
    path.ablation_path(frame, ax, measure="kid", arms=ARMS)
    way = [(list(line.get_xdata()), list(line.get_ydata()), line.get_linestyle()) for line in ax.lines
           if line.get_gid() == "way"]
    assert way == [([0.3, 0.2], [0, 2], "--"), ([0.2, 0.1], [2, 3], "-")]
    assert sum(line.get_gid() == "cell" for line in ax.lines) == 3
    assert [line.get_ydata()[0] for line in ax.lines if line.get_gid() == "interval"] == [0, 3]
    assert [t.get_text() for t in ax.texts] == ["0.30 (n = 6), 0/6 diverged", "not run", "0.20 (n = 1), 5/6 diverged",
                                                "0.10 (n = 6), 0/6 diverged"]


def crowd(n=40, near=1e-3):
    """A front of n points, all but the last two within a ratio of 1 + n * near of each other, and as many off it."""
    k = np.arange(n)
    at = np.where(k < n - 2, 1e6 * (1 + near * k), 1e7 * (k + 1.0))
    same = {"step_size": 0.1, "mcmc_steps": 5, "diverged": 0, "cost": at}
    return pd.concat([pd.DataFrame({"arm": "kl", "mean": 1 / (1.0 + k), **same}),
                      pd.DataFrame({"arm": "jko", "mean": 2.0, **same})], ignore_index=True)


@pytest.mark.parametrize("near", [1e-6, 1e-3, 1e-2, 0.1])
@pytest.mark.parametrize("lower", [True, False])
def test_numbers_of_a_crowded_front_lie_in_the_axes_and_not_on_each_other(lower, near):
    frame = crowd(near=near)
    frame = pareto.numbered(frame if lower else frame.assign(mean=-frame["mean"]), "cost", lower)
    with style():
        figure = matplotlib.figure.Figure(figsize=(5.2, 6.9), layout="constrained")
        ax = figure.subplots()
        pareto.pareto(frame, ax, measure="kid", cost="cost", label="cost", arms=ARMS, lower_is_better=lower)
        axes.legend(ARMS, ax)
        axes.say_n(ax, [6], "replicates")
        pareto.number_front(frame, ax, cost="cost", arms=ARMS, lower_is_better=lower)
        FigureCanvasAgg(figure).draw()
        boxes = [t.get_window_extent() for t in ax.texts if t.get_gid() == "number"]
        [listed] = [t for t in ax.texts if t.get_gid() == "list"]
        room, below = ax.get_window_extent(), listed.get_window_extent()
    assert len(boxes) >= 3
    assert not [box for box in boxes if box.x0 < room.x0 or box.x1 > room.x1 or box.y0 < room.y0 or box.y1 > room.y1]
    assert not [1 for a, b in combinations(boxes, 2) if a.overlaps(b)]
    numbers = [list(map(int, t.get_text().split("\u2013"))) for t in ax.texts if t.get_gid() == "number"]
    assert [k for ends in numbers for k in range(ends[0], ends[-1] + 1)] == list(range(1, 41))
    assert below.x1 <= figure.bbox.x1 and below.y1 < ax.xaxis.label.get_window_extent().y0 and below.y0 >= 0
    assert listed.get_text().endswith("and 20 more, which the CSV file lists")
    assert room.height > 0.35 * figure.bbox.height


def test_a_number_stays_in_axes_that_are_not_high():
    frame = pareto.numbered(cells(), "seconds", False)
    ax = matplotlib.figure.Figure(figsize=(5, 2.0), layout="constrained").subplots()
    pareto.pareto(frame, ax, measure="kid", cost="seconds", label="seconds", arms=ARMS, lower_is_better=False)
    pareto.number_front(frame, ax, cost="seconds", arms=ARMS, lower_is_better=False)
    top = [t.get_window_extent().y1 for t in ax.texts if t.get_gid() == "number"]
    assert max(top) <= ax.get_window_extent().y1
