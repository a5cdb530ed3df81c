"""Keys, ticks and names that fit their axes."""

from __future__ import annotations

import math
from itertools import pairwise

import matplotlib.figure
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from analysis.panels import axes, limits
from analysis.panels.palette import colours, style
from analysis.text.formatting import LONGEST, brief

ARMS = ["kl", "jko"]


@pytest.fixture
def ax():
    return matplotlib.figure.Figure().subplots()


def test_a_key_names_those_present_in_the_colours_of_all(ax):
    axes.legend(["kl", "r1", "jko"], ax, present=["kl", "jko"])
    found = {h.get_label(): h.get_color() for h in ax.get_legend().legend_handles}
    assert found == {a: colours(["kl", "r1", "jko"])[a] for a in ("kl", "jko")}


def test_the_key_has_rows_of_one_length_that_fit_and_marks_explained():
    names = [f"arm-{i}-of-many" for i in range(7)]
    with style():
        figure = matplotlib.figure.Figure(figsize=(4.6, 3), layout="constrained")
        figure.subplots().set_ylabel("share not diverged")
        axes.legend(names, figure.axes[0], extra=[axes.mark("x", "diverged")])
        FigureCanvasAgg(figure).draw()
    found = figure.axes[0].get_legend()
    assert found._ncols == 3 and found.get_texts()[-1].get_text() == "diverged"
    assert found.get_window_extent().x1 <= figure.bbox.x1
    axes.say_n(figure.axes[0], [6, 4, 6], "replicates an arm")
    assert figure.axes[0].get_xlabel().endswith("n = 4 to 6 replicates an arm")


def test_round_numbers_on_a_short_logarithmic_axis(ax):
    ax.set(xscale="log", xlim=(1.4, 4.2))
    axes.plain_log(ax.xaxis)
    assert len(ax.get_xticks()) >= 3 and ax.get_xticklabels()[0].get_text() in ("1.5", "2")


@pytest.mark.parametrize(("low", "high"), [(0.06, 1.2e6), (0.05, 3.0), (0.4, 90.0), (1.4, 4.2), (3e4, 4e5)])
@pytest.mark.parametrize("which", ["x", "y"])
def test_words_at_round_numbers_do_not_touch(which, low, high):
    with style():
        figure = matplotlib.figure.Figure(figsize=(4.4, 3.3), layout="constrained")
        ax = figure.subplots()
        axes.legend([f"arm{k}-of-many" for k in range(9)], ax)
        ax.set(**{f"{which}scale": "log", f"{which}lim": (low, high)})
        ax.set(xlabel="update\nn = 9 replicates", ylabel="kid")
        axis = getattr(ax, f"{which}axis")
        axes.plain_log(axis)
        FigureCanvasAgg(figure).draw()
        boxes = sorted((t.get_window_extent().extents.tolist() for t in axis.get_ticklabels()),
                       key=lambda box: box[which == "y"])
    k = int(which == "y")
    assert len(boxes) >= 2 and all(b[k] > a[k + 2] for a, b in pairwise(boxes))


def test_long_names_leave_half_of_the_figure_to_the_axes():
    names = [f"{k}-" + "a-very-long-name-of-an-arm" * 3 for k in "abc"]
    names = [name[:69] + k for name, k in zip(names, "abc", strict=True)]
    limit = {"mcmc_steps": 5, "delta_min": math.inf, "delta_med": math.inf, "stable_to": 0.2, "diverges_from": math.nan,
             "strained_from": math.nan, "smallest": 0.05, "largest": 0.2}
    frame = pd.DataFrame([{"arm": name, **limit} for name in names])
    drawings = [(4.4, lambda ax: axes.legend(names, ax, dots=False, said=dict.fromkeys(names, " (20 steps)"))),
                (8.2, lambda ax: limits.limit_chart(frame, ax, arms=names))]
    for wide, draw in drawings:
        with style():
            figure = matplotlib.figure.Figure(figsize=(wide, 3.3), layout="constrained")
            ax = figure.subplots()
            draw(ax)
            FigureCanvasAgg(figure).draw()
        assert ax.get_window_extent().width >= 0.5 * figure.bbox.width
        if ax.get_legend():
            assert ax.get_legend().get_window_extent().x1 <= figure.bbox.x1
            said = [t.get_text() for t in ax.get_legend().get_texts()]
            assert len(set(said)) == 3 and all("\u2026" in text and len(text) < 40 for text in said)


def test_names_that_differ_in_the_middle_alone_stay_apart():
    names = ["a" * 40 + k + "b" * 40 for k in "xyz"] + ["short"]
    short = brief(names)
    assert len(set(short.values())) == 4 and short["short"] == "short" and short[names[1]].endswith(" #2")
    assert all(len(text) <= LONGEST + 3 for text in short.values())
