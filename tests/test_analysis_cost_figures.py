"""Pareto front, performance profiles, importance and the way to the best cell: what is drawn, read back."""

from __future__ import annotations

import math

import matplotlib.figure
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from analysis.figures import cost, importance
from analysis.palette import colours, hatches

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
    cost.pareto(cells(), ax, measure="kid", cost="seconds", label="seconds a replicate", arms=ARMS,
                lower_is_better=lower)
    where = {gid: {(float(x), float(y)) for line in ax.lines if line.get_gid() == gid
                   for x, y in zip(*line.get_data(), strict=True)} for gid in ("diverged", "whole", "front")}
    assert where["diverged"] == {(2.0, 0.05)} and where["whole"] == {(1.0, 0.2), (3.0, 0.1), (4.0, 0.3)}
    assert where["front"] == ({(1.0, 0.2), (3.0, 0.1)} if lower else {(1.0, 0.2), (4.0, 0.3)})
    opened = [line.get_markerfacecolor() for line in ax.lines if line.get_gid() == "diverged" and len(line.get_xdata())]
    assert opened == ["none"] and ax.get_xlabel() == "seconds a replicate"
    assert [t.get_text() for t in ax.texts] == ["0.1, 5", "0.1, 5" if lower else "0.2, 5"]


def test_profiles_step_to_the_share_and_keep_their_band(ax):
    frame = pd.DataFrame({"arm": ["kl"] * 3 + ["jko"] * 3, "threshold": [0.1, 0.2, 0.3] * 2,
                          "share": [0.0, 0.5, 0.5, 0.2, 0.6, 1.0], "low": 0.0, "high": 1.0})
    cost.profiles(frame, ax, measure="kid", arms=ARMS, lower_is_better=True)
    drawn = {line.get_color(): (list(line.get_ydata()), line.get_drawstyle()) for line in ax.lines}
    assert drawn == {colours(ARMS)["kl"]: ([0.0, 0.5, 0.5], "steps-post"),
                     colours(ARMS)["jko"]: ([0.2, 0.6, 1.0], "steps-post")}
    assert ax.get_ylim()[1] > 1 and ax.get_xlim()[0] < ax.get_xlim()[1]
    assert [c.get_hatch() for c in ax.collections if c.get_gid() == "hatch"] == [hatches(ARMS)["jko"]]
    other = matplotlib.figure.Figure().subplots()
    cost.profiles(frame, other, measure="accuracy", arms=ARMS, lower_is_better=False)
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
    importance.ablation_path(frame, ax, measure="kid", arms=ARMS)
    way = [(list(line.get_xdata()), list(line.get_ydata()), line.get_linestyle()) for line in ax.lines
           if line.get_gid() == "way"]
    assert way == [([0.3, 0.2], [0, 2], "--"), ([0.2, 0.1], [2, 3], "-")]
    assert sum(line.get_gid() == "cell" for line in ax.lines) == 3
    assert [line.get_ydata()[0] for line in ax.lines if line.get_gid() == "interval"] == [0, 3]
    assert [t.get_text() for t in ax.texts] == ["0.30 (n = 6), 0/6 diverged", "not run", "0.20 (n = 1), 5/6 diverged",
                                                "0.10 (n = 6), 0/6 diverged"]


def test_words_of_neighbours_on_the_front_stand_one_below_the_other():
    frame = pd.DataFrame({"arm": "kl", "step_size": [0.1, 0.2, 0.3], "mcmc_steps": 5, "diverged": 0,
                          "mean": [0.3, 0.2, 0.1], "cost": [100.0, 104.0, 400.0]})
    ax = cost.pareto(frame, matplotlib.figure.Figure().subplots(), measure="kid", cost="cost", label="cost",
                        arms=["kl"], lower_is_better=True)
    said = {text.get_text(): text.xyann[1] for text in ax.texts if text.get_gid() == "cell"}
    assert said == {"0.1, 5": -4, "0.2, 5": -13, "0.3, 5": -4}
