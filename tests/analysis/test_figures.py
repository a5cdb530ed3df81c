"""Each figure draws what its frame says: dots are counted, words are read back."""

from __future__ import annotations

import math
from itertools import pairwise

import matplotlib.figure
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb

from analysis.figures import cost, key, limits, maps, replicates, search
from analysis.palette import EMPTY, colours, hatches, markers, style
from analysis.sections.plane import KEY
from analysis.wording import LONGEST, brief

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


def marks(ax, gid):
    return sum(len(line.get_xdata()) for line in ax.lines if line.get_gid() == gid)


def test_quality_map_says_mean_n_and_counts_in_every_cell(ax):
    maps.quality_map(grid(), ax, scale=(0.01, 0.2), measure="kid", lower_is_better=True)
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
    maps.quality_map(grid(), ax, scale=(0.01, 0.2), measure="kid", lower_is_better=True)
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
    maps.divergence_map(grid(), other, limits=none, observed=none)
    assert [(p.get_gid(), to_hex(p.get_facecolor())) for p in other.patches if p.get_gid()] == [("not run", EMPTY)]


@pytest.mark.filterwarnings("error")
def test_an_arm_that_no_replicate_survived_has_a_map_of_hatched_cells(ax):
    frame = grid().assign(mean=math.nan, n=0, replicates=6, diverged=6)
    maps.quality_map(frame, ax, scale=(0.01, 0.2), measure="kid", lower_is_better=True)
    assert [p.get_gid() for p in ax.patches if p.get_gid()] == ["no survivor"] * 4


def outside():
    row = {f"{k}_{e}": math.nan for k in ("delta_min", "delta_med") for e in ("low", "high")}
    return pd.DataFrame([{"mcmc_steps": 5, "delta_min": 0.01, "delta_med": 0.03, **row},
                         {"mcmc_steps": 20, "delta_min": 0.15, "delta_med": 4.0, **row}])


def test_a_limit_outside_of_the_grid_is_an_arrow_with_its_value(ax):
    observed = pd.DataFrame({"mcmc_steps": [5, 20], "limit": [0.1, math.inf], "low": 0.0, "high": math.inf})
    maps.divergence_map(grid(), ax, limits=outside(), observed=observed)
    arrows = [(line.get_marker(), float(line.get_xdata()[0])) for line in ax.lines if line.get_gid() == "outside"]
    ends = maps.edges([0.1, 0.2])
    assert arrows == [("<", pytest.approx(ends[0])), (">", pytest.approx(ends[-1]))]
    said = [t.get_text() for t in ax.texts if "grid" in t.get_text()]
    assert said == ["0.01 and 0.03, below the grid", "4, beyond the grid"]
    inside = [line.get_xdata()[0] for line in ax.lines if line.get_gid() in ("delta_min", "delta_med")]
    assert inside == [0.15]
    marks_of = {line.get_gid(): float(line.get_xdata()[0]) for line in ax.lines}
    assert marks_of["below"] == pytest.approx(ends[0], rel=0.03)
    assert marks_of["beyond"] == pytest.approx(ends[1], rel=0.03)  # 0.2 was not run with 20 steps


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


@pytest.mark.parametrize("lower", [True, False])
def test_the_better_is_darker(ax, lower):
    maps.quality_map(grid(), ax, scale=(0.01, 0.2), measure="kid", lower_is_better=lower)
    mesh = ax.collections[0]
    low, high = (float(np.sum(mesh.to_rgba(v)[:3])) for v in (0.01, 0.2))
    assert (low < high) == lower


def test_phase_diagram_has_counts_and_limits_at_their_place(ax):
    limits = pd.DataFrame(
        {"arm": "kl", "mcmc_steps": [5, 20], "delta_min": [0.1, 0.1 * 2**0.5], "delta_med": [0.2, math.inf]}
    )
    limits = limits.assign(**{f"{k}_{e}": math.nan for k in ("delta_min", "delta_med") for e in ("low", "high")})
    observed = pd.DataFrame({"mcmc_steps": [5, 20], "limit": [math.inf, 0.13], "low": [0.1, 0.0], "high": math.inf})
    maps.divergence_map(grid(), ax, limits=limits, observed=observed)
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
    maps.divergence_map(row, ax, limits=outside().assign(delta_min=0.15)[:1], observed=observed)
    FigureCanvasAgg(figure).draw()
    key, cells = ax.get_legend().get_window_extent(), ax.get_window_extent()
    assert cells.width > 0.65 * KEY * figure.dpi and key.x1 < figure.bbox.x1
    boxes = sorted((t.get_window_extent() for t in ax.texts if t.get_gid() == "cell"), key=lambda box: box.x0)
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


def test_cells_end_half_way_between_levels_and_hold_their_words():
    assert maps.edges([0.1, 0.2, 0.8]) == pytest.approx([0.1 / 2**0.5, 0.1 * 2**0.5, 0.4, 1.6])
    wide, _ = maps.size(pd.DataFrame({"step_size": [0.1, 0.2, 0.8], "mcmc_steps": 5}))
    assert wide == pytest.approx(0.9 + maps.NARROWEST * 4.5)


def finals():
    rows = [
        (arm, step, seed, arm == "kl" and step == 0.2 and seed < 2)
        for arm in ARMS
        for step in (0.1, 0.2)
        for seed in range(6)
    ]
    frame = pd.DataFrame(rows, columns=["arm", "step_size", "seed", "diverged"])
    return frame.assign(kid=np.where(frame["diverged"], np.nan, frame["step_size"] + 0.01 * frame["seed"]))


def test_every_replicate_is_one_mark(ax):
    replicates.replicate_dots(finals(), ax, measure="kid", arms=ARMS)
    assert (marks(ax, "survived"), marks(ax, "diverged")) == (22, 2)
    drawn = sorted(y for line in ax.lines if line.get_gid() == "survived" for y in line.get_ydata())
    assert drawn == pytest.approx(sorted(finals()["kid"].dropna()))
    assert {line.get_color() for line in ax.lines if line.get_label() == "jko"} == {colours(ARMS)["jko"]}


def curves():
    rows = [
        (arm, seed, u, arm == "kl" and seed == 1, 1 / u + 0.1 * seed)
        for arm in ARMS
        for seed in range(3)
        for u in (10, 20, 30, 40)
        if not (arm == "kl" and seed == 1 and u > 20)
    ]
    return pd.DataFrame(rows, columns=["arm", "seed", "update", "diverged", "kid"])


def test_a_mean_ends_where_a_replicate_diverges(ax):
    replicates.learning_curves(curves(), ax, measure="kid", arms=ARMS)
    mean = {line.get_label(): line for line in ax.lines if line.get_label() in ARMS}
    assert list(mean["kl"].get_xdata()) == [10, 20] and list(mean["jko"].get_xdata()) == [10, 20, 30, 40]
    assert list(mean["kl"].get_ydata()) == pytest.approx([0.2, 0.15])
    assert len([line for line in ax.lines if line.get_gid() == "replicate"]) == 6 and marks(ax, "diverged") == 1
    assert len([c for c in ax.collections if c.get_gid() != "hatch"]) == 2  # a band an arm
    assert [c.get_hatch() for c in ax.collections if c.get_gid() == "hatch"] == [hatches(ARMS)["jko"]]


def test_kappa_has_a_dot_a_replicate_open_where_it_diverged(ax):
    replicates.kappa(finals().assign(kappa=0.5), ax, arms=ARMS)
    opened = [len(line.get_xdata()) for line in ax.lines if line.get_gid() == "replicate" and line.get_mfc() == "none"]
    assert marks(ax, "replicate") == 24 and sum(opened) == 2
    assert [t.get_text()[:5] for t in ax.texts] == ["\u03ba = 1", "\u03ba = 2"]


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


def test_search_draws_finished_diverged_and_pruned_trials(ax):
    frame = pd.DataFrame({"arm": ["kl", "kl", "jko"], "step_size": [0.1, 0.3, 0.2], "mcmc_steps": [5, 9, 7],
                          "n": [2, 0, 2], "mean": [0.1, math.nan, 0.2]})
    pruned = pd.DataFrame({"arm": ["jko", "kl", "kl"], "step_size": [0.05, 0.4, 0.5]})
    search.search_trials(frame, pruned, ax, measure="kid", arms=ARMS)
    assert (marks(ax, "finished"), marks(ax, "diverged"), marks(ax, "pruned")) == (2, 1, 3)
    assert [t.get_text() for t in ax.texts] == ["5", "7"]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["0.05", "0.1", "0.2", "0.5"]


def test_curves_have_a_logarithmic_axis_unless_a_value_is_not_positive(ax):
    replicates.learning_curves(curves(), ax, measure="kid", arms=ARMS)
    assert ax.get_yscale() == "log"
    other = matplotlib.figure.Figure().subplots()
    replicates.learning_curves(curves().assign(kid=lambda f: f["kid"] - 0.2), other, measure="kid", arms=ARMS)
    assert other.get_yscale() == "linear"  # from -0.175 to 0.1


def test_curves_that_end_near_0_are_logarithmic_down_to_the_size_of_the_last_values(ax):
    near = curves().assign(kid=lambda f: 100 / f["update"] ** 3 - 0.0005 * f["seed"])  # ends at .0016, .0011, .0006
    assert near["kid"].min() > 0
    replicates.learning_curves(near.assign(kid=near["kid"] - 0.002), ax, measure="kid", arms=ARMS)
    assert ax.get_yscale() == "symlog" and ax.get_ylabel() == "kid\n(linear up to 0.001)"
    low, middle, high = ax.transData.transform([(0, -0.0005), (0, 0.001), (0, 0.1)])[:, 1]
    assert high - middle > middle - low > 0  # two decades above are higher than the linear part
    assert [t.get_text() for t in ax.get_yticklabels()] == ["0", "0.001", "0.01", "0.1"]


def test_a_key_names_those_present_in_the_colours_of_all(ax):
    key.legend(["kl", "r1", "jko"], ax, present=["kl", "jko"])
    found = {h.get_label(): h.get_color() for h in ax.get_legend().legend_handles}
    assert found == {a: colours(["kl", "r1", "jko"])[a] for a in ("kl", "jko")}


def test_the_key_has_rows_of_one_length_that_fit_and_marks_explained():
    names = [f"arm-{i}-of-many" for i in range(7)]
    with style():
        figure = matplotlib.figure.Figure(figsize=(4.6, 3), layout="constrained")
        figure.subplots().set_ylabel("share not diverged")
        key.legend(names, figure.axes[0], extra=[key.mark("x", "diverged")])
        FigureCanvasAgg(figure).draw()
    found = figure.axes[0].get_legend()
    assert found._ncols == 3 and found.get_texts()[-1].get_text() == "diverged"
    assert found.get_window_extent().x1 <= figure.bbox.x1
    key.say_n(figure.axes[0], [6, 4, 6], "replicates an arm")
    assert figure.axes[0].get_xlabel().endswith("n = 4 to 6 replicates an arm")


def test_round_numbers_on_a_short_logarithmic_axis(ax):
    ax.set(xscale="log", xlim=(1.4, 4.2))
    key.plain_log(ax.xaxis)
    assert len(ax.get_xticks()) >= 3 and ax.get_xticklabels()[0].get_text() in ("1.5", "2")


def test_one_survivor_on_its_way_to_infinity_flattens_no_other():
    """It is drawn at the axis' end, said to lie beyond; the scale of the maps ends there, too."""
    values = [0.1, 0.11, 0.12, 0.13, 0.14, 0.15, 0.16, 0.17, 0.18, 0.19, 4e5]
    assert key.reach(values) == pytest.approx(10 * np.quantile(values, 0.9)) and key.reach(values[:-1]) == 0.19
    assert key.reach([-0.1, 0.2, 50.0]) == 50.0 and key.reach([math.nan]) == -math.inf
    frame = pd.DataFrame({"arm": "kl", "step_size": 0.1, "mcmc_steps": 5, "seed": range(11), "diverged": False,
                          "quality": values, "mean": values, "cost": np.arange(1.0, 12.0)})
    ax = replicates.replicate_dots(frame, matplotlib.figure.Figure().subplots(), measure="quality", arms=["kl"])
    [beyond] = [line for line in ax.lines if line.get_gid() == "beyond"]
    assert list(beyond.get_ydata()) == [key.reach(values)] and ax.get_ylim()[1] < 20
    ax = cost.pareto(cost.numbered(frame.assign(diverged=0), "cost", True), matplotlib.figure.Figure().subplots(),
                     measure="quality", cost="cost", label="cost", arms=["kl"], lower_is_better=True)
    assert [t.get_text() for t in ax.texts if t.get_gid() == "beyond"] == ["\u2191 400,000"] and ax.get_ylim()[1] < 20


@pytest.mark.parametrize(("low", "high"), [(0.06, 1.2e6), (0.05, 3.0), (0.4, 90.0), (1.4, 4.2), (3e4, 4e5)])
@pytest.mark.parametrize("which", ["x", "y"])
def test_words_at_round_numbers_do_not_touch(which, low, high):
    with style():
        figure = matplotlib.figure.Figure(figsize=(4.4, 3.3), layout="constrained")
        ax = figure.subplots()
        key.legend([f"arm{k}-of-many" for k in range(9)], ax)
        ax.set(**{f"{which}scale": "log", f"{which}lim": (low, high)})
        ax.set(xlabel="update\nn = 9 replicates", ylabel="kid")
        axis = getattr(ax, f"{which}axis")
        key.plain_log(axis)
        FigureCanvasAgg(figure).draw()
        boxes = sorted((t.get_window_extent().extents.tolist() for t in axis.get_ticklabels()),
                       key=lambda box: box[which == "y"])
    k = int(which == "y")
    assert len(boxes) >= 2 and all(b[k] > a[k + 2] for a, b in pairwise(boxes))


def test_no_number_stands_above_the_line_of_the_diverged_and_an_arrow_is_no_arms_mark(ax):
    frame = finals().assign(kid=lambda f: np.where(f["diverged"], np.nan, 0.05 * 60 ** (f["seed"] / 5)))
    replicates.replicate_dots(frame, ax, measure="kid", arms=ARMS)
    [top] = {float(y) for line in ax.lines if line.get_gid() == "diverged" for y in line.get_ydata()}
    assert max(ax.get_yticks()) < top < ax.get_ylim()[1] and len(ax.get_yticks()) >= 3
    assert key.UP not in set(markers([f"a{k}" for k in range(16)]).values())


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


@pytest.mark.parametrize(("means", "lower", "ends"), [
    ([0.1, 0.1, 0.2, 0.2, 20.0], True, (0.1, 0.2)), ([0.1, 0.2, 0.3, 0.4, 0.5], True, (0.1, 0.5)),
    ([-1.0, 0.1, 0.2, 9.0], True, (-1.0, 9.0)), ([0.9, 0.9, 0.8, 0.8, -5.0], False, (0.8, 0.9)),
    ([0.9, 0.7, 0.5], False, (0.5, 0.9))])
def test_one_cell_far_off_is_beyond_the_scale_of_the_maps(means, lower, ends):
    assert maps.scale_of(pd.Series(means), lower) == pytest.approx(ends)


def test_a_cell_beyond_the_scale_has_its_own_colour_and_the_bar_an_arrow(ax):
    frame = grid().assign(mean=[0.05, 30.0, math.nan, math.nan])
    maps.quality_map(frame, ax, scale=(0.05, 0.4), measure="kid", lower_is_better=True, clipped=True)
    mesh, bar = ax.collections[0], ax.collections[0].colorbar
    assert to_hex(mesh.to_rgba(30.0)) == maps.WORSE != to_hex(mesh.to_rgba(0.4))
    assert bar.extend == "max" and bar.ax.get_title() == "worse" and "30" in words(ax)[1.5, 0]


def test_the_phase_diagram_has_a_colour_bar(ax):
    none = pd.DataFrame(columns=["mcmc_steps", "limit", "delta_min"])
    maps.divergence_map(grid(), ax, limits=none, observed=none)
    [bar] = ax.figure.axes[1:]
    assert bar.get_ylabel() == "share diverged" and bar.get_ylim() == (0, 1)


def test_long_names_leave_half_of_the_figure_to_the_axes():
    names = [f"{k}-" + "a-very-long-name-of-an-arm" * 3 for k in "abc"]
    names = [name[:69] + k for name, k in zip(names, "abc", strict=True)]
    limit = {"mcmc_steps": 5, "delta_min": math.inf, "delta_med": math.inf, "stable_to": 0.2, "diverges_from": math.nan,
             "strained_from": math.nan, "smallest": 0.05, "largest": 0.2}
    frame = pd.DataFrame([{"arm": name, **limit} for name in names])
    drawings = [(4.4, lambda ax: key.legend(names, ax, dots=False, said=dict.fromkeys(names, " (20 steps)"))),
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
