"""The maps over step size and MCMC steps: words, colours, hatches and limits, read back."""

from __future__ import annotations

import math

import matplotlib.figure
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb

from analysis.panels import divergence, plane, quality
from analysis.panels.palette import EMPTY
from analysis.panels.plane import Plane
from analysis.stats import cells as tables
from analysis.stats.comparisons import comparisons

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
    return frame.assign(rate=(frame["diverged"] / frame["replicates"]).where(frame["replicates"] > 0), gap=math.nan)


def words(ax):
    """{(step size, row): text} of the cells."""
    return {(float(t.get_position()[0]), int(t.get_position()[1])): t.get_text()
            for t in ax.texts if t.get_gid() == "cell"}


def drawn_quality(ax, frame, **given):
    return quality.quality_map(frame, ax, **{"scale": (0.01, 0.2), "measure": "kid", "arms": ARMS,
                                             "lower_is_better": True, **given})


def drawn_divergence(ax, frame, limits, observed):
    return divergence.divergence_map(frame, ax, arms=ARMS, limits=limits.assign(arm="kl"),
                                     observed=observed.assign(arm="kl"))


NONE = pd.DataFrame(columns=["mcmc_steps", "limit", "delta_min"])


def test_quality_map_says_mean_difference_and_n_in_every_cell(ax):
    """Where two arms round to one number the difference tells them apart. Fewer MCMC steps stand above."""
    both = pd.concat([grid(), grid().assign(arm="jko", mean=lambda f: f["mean"] - 0.0012, gap=-0.0012)])
    drawn_quality(ax, both)
    assert words(ax) == {
        (0.5, 3): "0.050", (1.5, 3): "0.11\nn = 4 of 6",
        (0.5, 2): "0.049\n\u22120.0012", (1.5, 2): "0.11\n\u22120.0012\nn = 4 of 6",
        (0.5, 1): "no\nsurvivor", (1.5, 1): "not\nrun", (0.5, 0): "no\nsurvivor", (1.5, 0): "not\nrun"}
    assert [t.get_text() for t in ax.get_xticklabels()] == ["0.1", "0.2"]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["jko, 20 steps", "kl, 20 steps", "jko, 5 steps",
                                                            "kl, 5 steps"]
    assert ax.collections[0].get_clim() == (0.01, 0.2)
    assert ax.figure.axes[1].get_xlabel() == "kid"


def test_the_difference_is_that_of_the_tables(study):
    """Over the seeds on which both survived, as in the comparisons; the baseline has none."""
    frame = quality.Quality().frame(study).set_index(["arm", "step_size", "mcmc_steps"]).sort_index()
    found = comparisons(study).set_index("arm")
    assert {arm: frame.loc[(arm, 0.1, 5), "gap"] for arm in found.index} == pytest.approx(
        found["difference"].to_dict())
    assert frame.loc["kl", "gap"].isna().all() and math.isnan(frame.loc[("jko", 0.4, 5), "gap"])


def test_what_did_not_run_is_grey_and_what_all_diverged_is_hatched(ax):
    """As drawn, not only as asked for: the pixels between a cell's words and its border."""
    drawn_quality(ax, grid())
    canvas = FigureCanvasAgg(ax.figure)
    canvas.draw()
    page = np.asarray(canvas.buffer_rgba())[..., :3]

    def seen(x, y):
        """Colours of a patch near the upper left corner of the cell in column x, row y."""
        (left, low), (right, high) = ax.transData.transform([(x + 0.05, y + 0.8), (x + 0.25, y + 0.95)])
        return {tuple(int(v) for v in p) for p in page[round(len(page) - high):round(len(page) - low),
                                                       round(left):round(right)].reshape(-1, 3)}

    empty = tuple(round(255 * v) for v in to_rgb(EMPTY))
    assert seen(1, 0) == {empty} and empty not in seen(0, 0) and len(seen(0, 0)) > 5
    assert empty not in seen(0, 1) | seen(1, 1)
    other = drawn_divergence(matplotlib.figure.Figure().subplots(), grid(), NONE, NONE)
    assert [(p.get_gid(), to_hex(p.get_facecolor())) for p in other.patches if p.get_gid()] == [("not run", EMPTY)]


@pytest.mark.filterwarnings("error")
def test_an_arm_that_no_replicate_survived_has_a_map_of_hatched_cells(ax):
    frame = grid().assign(mean=math.nan, n=0, replicates=6, diverged=6)
    drawn_quality(ax, frame)
    assert [p.get_gid() for p in ax.patches if p.get_gid()] == ["no survivor"] * 4


def outside():
    row = {f"{k}_{e}": math.nan for k in ("delta_min", "delta_med") for e in ("low", "high")}
    return pd.DataFrame([{"mcmc_steps": 5, "delta_min": 0.01, "delta_med": 0.03, **row},
                         {"mcmc_steps": 20, "delta_min": 0.15, "delta_med": 4.0, **row}])


def test_a_limit_outside_of_the_grid_is_an_arrow_with_its_value(ax):
    observed = pd.DataFrame({"mcmc_steps": [5, 20], "limit": [0.1, math.inf], "low": 0.0, "high": math.inf})
    drawn_divergence(ax, grid(), outside(), observed)
    arrows = [(line.get_marker(), float(line.get_xdata()[0])) for line in ax.lines if line.get_gid() == "outside"]
    assert arrows == [("<", 0), (">", 2)]
    said = [t.get_text() for t in ax.texts if "grid" in t.get_text()]
    assert said == ["0.01 and 0.03, below the grid", "4, beyond the grid"]
    inside = [line.get_xdata()[0] for line in ax.lines if line.get_gid() in ("delta_min", "delta_med")]
    assert inside == pytest.approx([0.5 + math.log2(1.5)])
    marks_of = {line.get_gid(): float(line.get_xdata()[0]) for line in ax.lines}
    assert marks_of["below"] == pytest.approx(0, abs=0.1)
    assert marks_of["beyond"] == pytest.approx(1, abs=0.1)  # 0.2 was not run with 20 steps


@pytest.mark.parametrize("lower", [True, False])
def test_the_better_is_darker(ax, lower):
    drawn_quality(ax, grid(), lower_is_better=lower)
    mesh = ax.collections[0]
    low, high = (float(np.sum(mesh.to_rgba(v)[:3])) for v in (0.01, 0.2))
    assert (low < high) == lower


def test_phase_diagram_has_counts_and_limits_at_their_place(ax):
    limits = pd.DataFrame({"mcmc_steps": [5, 20], "delta_min": [0.1, 0.1 * 2**0.5], "delta_med": [0.2, math.inf]})
    limits = limits.assign(**{f"{k}_{e}": math.nan for k in ("delta_min", "delta_med") for e in ("low", "high")})
    observed = pd.DataFrame({"mcmc_steps": [5, 20], "limit": [math.inf, 0.2 / 2**0.5], "low": [0.1, 0.0],
                             "high": math.inf})
    drawn_divergence(ax, grid(), limits, observed)
    assert words(ax)[1.5, 1] == "2/6" and words(ax)[1.5, 0] == "not\nrun"
    drawn = [(line.get_gid(), line.get_xdata()[0], int(line.get_ydata()[0])) for line in ax.lines if line.get_gid()]
    assert drawn == [("delta_min", 0.5, 1), ("delta_med", 1.5, 1), ("delta_min", pytest.approx(1), 0),
                     ("beyond", pytest.approx(1.95), 1), ("observed", pytest.approx(1), 0)]
    assert not [t for t in ax.texts if "grid" in t.get_text()]


def test_columns_have_one_width_and_steps_between_them_go_by_their_logarithm():
    frame = pd.DataFrame({"step_size": [0.1, 0.2, 0.8], "mcmc_steps": 5, "arm": "kl"})
    at = Plane.of(frame, ARMS).place
    assert at([0.1, 0.2, 0.8]) == pytest.approx([0.5, 1.5, 2.5])
    assert at([0.1 * 2**0.5, 0.4, 0.1 / 2**0.5, 1.6]) == pytest.approx([1, 2, 0, 3])
    assert at([1e-9, 99, 0.1 * 2**0.25]) == pytest.approx([0, 3, 0.75])
    assert Plane.of(frame[:1], ARMS).place([0.1, 0.01, 1]) == pytest.approx([0.5, 0, 1])


def test_cells_hold_their_words_and_the_key_fits_over_them():
    frame = grid().assign(arm="a name of 28 letters, or so..", state="unfinished")
    own = Plane.of(frame, ["a name of 28 letters, or so.."])
    figure = matplotlib.figure.Figure(figsize=own.size(divergence.ROW), layout="constrained")
    limits = outside().assign(arm=frame["arm"].iloc[0], delta_min=0.15)
    observed = pd.DataFrame({"arm": limits["arm"], "mcmc_steps": [5, 20], "limit": [0.11, math.inf], "low": 0.1,
                             "high": math.inf})
    ax = divergence.divergence_map(frame, figure.subplots(), arms=[frame["arm"].iloc[0]], limits=limits,
                                   observed=observed)
    FigureCanvasAgg(figure).draw()
    key = ax.get_legend().get_window_extent()
    assert 0 <= key.x0 and key.x1 < figure.bbox.x1 and key.y0 >= ax.get_window_extent().y1
    assert ax.get_window_extent().width > 2 * plane.COLUMN * figure.dpi
    boxes = sorted((t.get_window_extent() for t in ax.texts if t.get_gid() == "cell"), key=lambda box: box.x0)
    assert max(box.width for box in boxes) < plane.COLUMN * figure.dpi


def test_many_rows_begin_with_those_of_the_most_steps_and_none_is_lost(study):
    frame = tables.grid(study)
    assert [(end, len(part)) for end, _, part in plane.parts(study, frame)] == [("", len(frame))]
    many = pd.concat([frame.assign(mcmc_steps=frame["mcmc_steps"] + k) for k in range(3)])
    first, *rest = plane.parts(study, many)
    assert set(first[2]["mcmc_steps"]) == {22} and [len(part) for *_, part in rest] == [len(many)]


@pytest.mark.parametrize(("means", "lower", "ends"), [
    ([0.1, 0.1, 0.2, 0.2, 20.0], True, (0.1, 0.2)), ([0.1, 0.2, 0.3, 0.4, 0.5], True, (0.1, 0.5)),
    ([-1.0, 0.1, 0.2, 9.0], True, (-1.0, 9.0)), ([0.9, 0.9, 0.8, 0.8, -5.0], False, (0.8, 0.9)),
    ([0.9, 0.7, 0.5], False, (0.5, 0.9))])
def test_one_cell_far_off_is_beyond_the_scale_of_the_maps(means, lower, ends):
    assert quality.scale_of(pd.Series(means), lower) == pytest.approx(ends)


def test_a_cell_beyond_the_scale_has_its_own_colour_and_the_bar_an_arrow(ax):
    frame = grid().assign(mean=[0.05, 30.0, math.nan, math.nan])
    drawn_quality(ax, frame, scale=(0.05, 0.4), clipped=True)
    mesh, bar = ax.collections[0], ax.collections[0].colorbar
    assert to_hex(mesh.to_rgba(30.0)) == quality.WORSE != to_hex(mesh.to_rgba(0.4))
    assert bar.extend == "max" and bar.ax.get_xlabel() == "kid; right of the end: worse" and "30" in words(ax)[1.5, 1]


def test_a_phase_diagram_without_words_has_a_colour_bar(ax):
    drawn_divergence(ax, grid(), NONE, NONE)
    assert len(ax.figure.axes) == 1 and words(ax)
    many = pd.concat([grid().assign(step_size=lambda f, k=k: f["step_size"] * 3.0**k) for k in range(9)])
    other = drawn_divergence(matplotlib.figure.Figure().subplots(), many, NONE, NONE)
    [bar] = other.figure.axes[1:]
    assert bar.get_ylabel() == "share diverged" and bar.get_ylim() == (0, 1) and not words(other)
