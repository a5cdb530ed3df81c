"""The maps over step size and MCMC steps: words, colours, hatches and limits, read back."""

from __future__ import annotations

import math
from itertools import pairwise

import matplotlib.figure
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb

from analysis.panels import divergence, plane, quality
from analysis.panels.divergence import KEY
from analysis.panels.palette import EMPTY

ARMS = ["kl", "jko"]


@pytest.fixture
def ax():
    return matplotlib.figure.Figure().subplots()


def grid():
    rows = [
        ("kl", 0.1, 5, 6, 0, 6, 0.05, "complete"),
        ("kl", 0.2, 5, 6, 2, 4, 0.11, "complete"),
        ("kl", 0.1, 20, 6, 6, 0, math.nan, "complete"),
        ("kl", 0.2, 20, 0, 0, 0, math.nan, "not run"),
    ]
    frame = pd.DataFrame(
        rows, columns=["arm", "step_size", "mcmc_steps", "replicates", "diverged", "n", "mean", "state"]
    )
    rate = (frame["diverged"] / frame["replicates"]).where(frame["replicates"] > 0)
    return frame.assign(rate=rate, rate_low=rate * 0.5, rate_high=rate * 0.5 + 0.5)


def words(ax):
    """{(step size, row): text} of the cells."""
    return {(float(t.get_position()[0]), int(t.get_position()[1])): t.get_text()
            for t in ax.texts if t.get_gid() == "cell"}


def test_quality_map_says_mean_n_and_counts_in_every_cell(ax):
    quality.quality_map(grid(), ax, scale=(0.01, 0.2), measure="kid", lower_is_better=True)
    assert words(ax) == {  # at columns, by order of step size: cells are of one width
        (0.5, 0): "0.050\nn = 6\n0/6 div.",
        (1.5, 0): "0.11\nn = 4\n2/6 div.",
        (0.5, 1): "no survivor\n6/6 div.",
        (1.5, 1): "not run",
    }
    assert [t.get_text() for t in ax.get_xticklabels()] == ["0.1", "0.2"]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["5", "20"]
    assert ax.collections[0].get_clim() == (0.01, 0.2)
    assert ax.figure.axes[1].get_ylabel() == "kid"


def test_what_did_not_run_is_grey_and_what_all_diverged_is_hatched(ax):
    """As drawn, not only as asked for: the pixels between a cell's words and its border."""
    quality.quality_map(grid(), ax, scale=(0.01, 0.2), measure="kid", lower_is_better=True)
    canvas = FigureCanvasAgg(ax.figure)
    canvas.draw()
    page = np.asarray(canvas.buffer_rgba())[..., :3]

    def seen(x, y):
        """Colours of a patch near the upper left corner of the cell in column x, row y."""
        (left, low), (right, high) = ax.transData.transform([(x + 0.05, y + 0.8), (x + 0.25, y + 0.95)])
        return {tuple(int(v) for v in p) for p in page[round(len(page) - high):round(len(page) - low),
                                                       round(left):round(right)].reshape(-1, 3)}

    empty = tuple(round(255 * v) for v in to_rgb(EMPTY))
    assert seen(1, 1) == {empty} and empty not in seen(0, 1) and len(seen(0, 1)) > 5
    assert empty not in seen(0, 0) | seen(1, 0)
    other = matplotlib.figure.Figure().subplots()
    none = pd.DataFrame(columns=["mcmc_steps", "limit", "delta_min"])
    divergence.divergence_map(grid(), other, limits=none, observed=none)
    assert [(p.get_gid(), to_hex(p.get_facecolor())) for p in other.patches if p.get_gid()] == [("not run", EMPTY)]


@pytest.mark.filterwarnings("error")
def test_an_arm_that_no_replicate_survived_has_a_map_of_hatched_cells(ax):
    frame = grid().assign(mean=math.nan, n=0, replicates=6, diverged=6)
    quality.quality_map(frame, ax, scale=(0.01, 0.2), measure="kid", lower_is_better=True)
    assert [p.get_gid() for p in ax.patches if p.get_gid()] == ["no survivor"] * 4


def outside():
    row = {f"{k}_{e}": math.nan for k in ("delta_min", "delta_med") for e in ("low", "high")}
    return pd.DataFrame([{"mcmc_steps": 5, "delta_min": 0.01, "delta_med": 0.03, **row},
                         {"mcmc_steps": 20, "delta_min": 0.15, "delta_med": 4.0, **row}])


def test_a_limit_outside_of_the_grid_is_an_arrow_with_its_value(ax):
    observed = pd.DataFrame({"mcmc_steps": [5, 20], "limit": [0.1, math.inf], "low": 0.0, "high": math.inf})
    divergence.divergence_map(grid(), ax, limits=outside(), observed=observed)
    arrows = [(line.get_marker(), float(line.get_xdata()[0])) for line in ax.lines if line.get_gid() == "outside"]
    ends = plane.edges([0.1, 0.2])
    assert arrows == [("<", pytest.approx(ends[0])), (">", pytest.approx(ends[-1]))]
    said = [t.get_text() for t in ax.texts if "grid" in t.get_text()]
    assert said == ["0.01 and 0.03, below the grid", "4, beyond the grid"]
    inside = [line.get_xdata()[0] for line in ax.lines if line.get_gid() in ("delta_min", "delta_med")]
    assert inside == [0.15]
    marks_of = {line.get_gid(): float(line.get_xdata()[0]) for line in ax.lines}
    assert marks_of["below"] == pytest.approx(ends[0], rel=0.03)
    assert marks_of["beyond"] == pytest.approx(ends[1], rel=0.03)  # 0.2 was not run with 20 steps


@pytest.mark.parametrize("lower", [True, False])
def test_the_better_is_darker(ax, lower):
    quality.quality_map(grid(), ax, scale=(0.01, 0.2), measure="kid", lower_is_better=lower)
    mesh = ax.collections[0]
    low, high = (float(np.sum(mesh.to_rgba(v)[:3])) for v in (0.01, 0.2))
    assert (low < high) == lower


def test_phase_diagram_has_counts_and_limits_at_their_place(ax):
    limits = pd.DataFrame(
        {"arm": "kl", "mcmc_steps": [5, 20], "delta_min": [0.1, 0.1 * 2**0.5], "delta_med": [0.2, math.inf]}
    )
    limits = limits.assign(**{f"{k}_{e}": math.nan for k in ("delta_min", "delta_med") for e in ("low", "high")})
    observed = pd.DataFrame({"mcmc_steps": [5, 20], "limit": [math.inf, 0.13], "low": [0.1, 0.0], "high": math.inf})
    divergence.divergence_map(grid(), ax, limits=limits, observed=observed)
    assert words(ax)[0.2, 0] == "2/6\n[0.17, 0.67]" and words(ax)[0.2, 1] == "not run"
    drawn = [(line.get_gid(), line.get_xdata()[0], int(line.get_ydata()[0])) for line in ax.lines if line.get_gid()]
    assert drawn == [("delta_min", pytest.approx(0.1), 0), ("delta_med", pytest.approx(0.2), 0),
                     ("delta_min", pytest.approx(0.1 * 2**0.5), 1),
                     ("beyond", pytest.approx(0.2 * 2**0.5 / 1.02), 0), ("observed", pytest.approx(0.13), 1)]
    assert not [t for t in ax.texts if "grid" in t.get_text()]


@pytest.mark.parametrize("far", [0.11, math.inf])
def test_the_key_of_a_narrow_phase_diagram_leaves_its_cells_their_width(far):
    """Two columns are narrower than the key, which had squeezed them until their words lay over each other."""
    figure = matplotlib.figure.Figure(figsize=(KEY, 2.0), layout="constrained")
    ax = figure.subplots()
    observed = pd.DataFrame({"mcmc_steps": [5], "limit": [far], "low": 0.1, "high": math.inf})
    row = grid()[lambda frame: frame["mcmc_steps"] == 5]
    divergence.divergence_map(row, ax, limits=outside().assign(delta_min=0.15)[:1], observed=observed)
    FigureCanvasAgg(figure).draw()
    key, cells = ax.get_legend().get_window_extent(), ax.get_window_extent()
    assert cells.width > 0.65 * KEY * figure.dpi and key.x1 < figure.bbox.x1
    boxes = sorted((t.get_window_extent() for t in ax.texts if t.get_gid() == "cell"), key=lambda box: box.x0)
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


def test_cells_end_half_way_between_levels_and_hold_their_words():
    assert plane.edges([0.1, 0.2, 0.8]) == pytest.approx([0.1 / 2**0.5, 0.1 * 2**0.5, 0.4, 1.6])
    wide, _ = plane.size(pd.DataFrame({"step_size": [0.1, 0.2, 0.8], "mcmc_steps": 5}))
    assert wide == pytest.approx(0.9 + plane.NARROWEST * 4.5)


@pytest.mark.parametrize(("means", "lower", "ends"), [
    ([0.1, 0.1, 0.2, 0.2, 20.0], True, (0.1, 0.2)), ([0.1, 0.2, 0.3, 0.4, 0.5], True, (0.1, 0.5)),
    ([-1.0, 0.1, 0.2, 9.0], True, (-1.0, 9.0)), ([0.9, 0.9, 0.8, 0.8, -5.0], False, (0.8, 0.9)),
    ([0.9, 0.7, 0.5], False, (0.5, 0.9))])
def test_one_cell_far_off_is_beyond_the_scale_of_the_maps(means, lower, ends):
    assert quality.scale_of(pd.Series(means), lower) == pytest.approx(ends)


def test_a_cell_beyond_the_scale_has_its_own_colour_and_the_bar_an_arrow(ax):
    frame = grid().assign(mean=[0.05, 30.0, math.nan, math.nan])
    quality.quality_map(frame, ax, scale=(0.05, 0.4), measure="kid", lower_is_better=True, clipped=True)
    mesh, bar = ax.collections[0], ax.collections[0].colorbar
    assert to_hex(mesh.to_rgba(30.0)) == quality.WORSE != to_hex(mesh.to_rgba(0.4))
    assert bar.extend == "max" and bar.ax.get_title() == "worse" and "30" in words(ax)[1.5, 0]


def test_the_phase_diagram_has_a_colour_bar(ax):
    none = pd.DataFrame(columns=["mcmc_steps", "limit", "delta_min"])
    divergence.divergence_map(grid(), ax, limits=none, observed=none)
    [bar] = ax.figure.axes[1:]
    assert bar.get_ylabel() == "share diverged" and bar.get_ylim() == (0, 1)
