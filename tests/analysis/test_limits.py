"""The chart of predicted and observed limits, read back."""

from __future__ import annotations

import math

import matplotlib.figure
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from analysis.panels import limits
from analysis.panels.palette import style

ARMS = ["kl", "jko"]


@pytest.fixture
def ax():
    return matplotlib.figure.Figure().subplots()


def test_the_limit_chart_says_what_lies_outside_of_it(ax):
    row = {"arm": "kl", "mcmc_steps": 5, "delta_min": 0.001, "delta_med": 0.1, "stable_to": 0.1, "diverges_from": 0.2,
           "strained_from": math.nan, "smallest": 0.05, "largest": 0.4}
    limits.limit_chart(pd.DataFrame([row, {**row, "mcmc_steps": 20, "delta_med": math.inf}]), ax, arms=ARMS)
    assert sum("0.001, below the grid" in t.get_text() for t in ax.texts) == 2
    arrows = [line.get_marker() for line in ax.lines if line.get_gid() == "outside"]
    assert arrows == ["<", "<", ">"]  # the second row's median direction has no limit
    ends = ax.get_xlim()
    limits.limit_chart(pd.DataFrame([row]), ax, arms=ARMS, levels=[0.001, 0.05, 0.1, 0.4, 3.0])  # of all arms
    assert ax.get_xlim() == ends == (0.05 / 1.25, 1.3 * 0.4) and ax.get_xticks().tolist() == [0.05, 0.1, 0.4]


def test_limit_chart_has_a_row_an_arm_and_steps(ax):
    row = {
        "arm": "kl",
        "mcmc_steps": 5,
        "delta_min": 0.1,
        "delta_med": 0.15,
        "stable_to": 0.1,
        "diverges_from": 0.2,
        "strained_from": math.nan,
        "smallest": 0.05,
        "largest": 0.4,
    }
    limits.limit_chart(
        pd.DataFrame([row, {**row, "arm": "jko", "delta_min": math.inf, "delta_med": math.inf}]), ax, arms=ARMS
    )
    assert [t.get_text() for t in ax.get_yticklabels()] == ["kl, 5 steps", "jko, 5 steps"]
    assert [t.get_text() for t in ax.texts] == ["no finite limit predicted"]
    assert [line.get_xdata()[0] for line in ax.lines if line.get_gid() == "diverges_from"] == [0.2, 0.2]


def test_a_strained_level_is_hatched_and_named_in_the_key(ax):
    row = {"arm": "jko", "mcmc_steps": 5, "delta_min": math.inf, "delta_med": math.inf, "stable_to": 0.4,
           "diverges_from": math.nan, "strained_from": 0.2, "smallest": 0.05, "largest": 0.4}
    limits.limit_chart(pd.DataFrame([row]), ax, arms=ARMS)
    limits.limit_key(pd.DataFrame([row]), ax)
    [hatched] = [bar for bar in ax.patches if bar.get_hatch()]
    assert (hatched.get_x(), hatched.get_x() + hatched.get_width()) == pytest.approx((0.2 / 1.06, 0.4 * 1.06))
    said = [t.get_text() for t in ax.get_legend().get_texts()]
    assert said == ["none diverged", "none diverged, \u03ba > 2"]


def test_limits_have_a_tick_a_level_words_beside_the_arrow_and_a_pale_part_in_the_key():
    row = {"arm": "kl", "mcmc_steps": 5, "delta_min": 0.07, "delta_med": 0.71, "stable_to": 0.12, "diverges_from": 0.25,
           "strained_from": math.nan, "smallest": 0.03, "largest": 0.5}
    frame = pd.DataFrame([row, {**row, "arm": "jko", "delta_min": math.nan, "delta_med": math.nan}])
    with style():
        figure = matplotlib.figure.Figure(figsize=(8.2, 3), layout="constrained")
        ax = limits.limit_chart(frame, figure.subplots(), arms=ARMS, levels=[0.03, 0.06, 0.12, 0.25, 0.5])
        limits.limit_key(frame, ax)
        FigureCanvasAgg(figure).draw()
        said = {t.get_text(): t.get_window_extent() for t in ax.texts}
    assert set(said) == {"0.71, beyond the grid", "no prediction"}
    beyond = said["0.71, beyond the grid"]
    assert ax.bbox.x1 < beyond.x0 < ax.bbox.x1 + 20 and beyond.x1 <= figure.bbox.x1
    assert [t.get_text() for t in ax.get_xticklabels()] == ["0.03", "0.06", "0.12", "0.25", "0.5"]
    assert "up to the first diverged" in [t.get_text() for t in ax.get_legend().get_texts()]
