"""Each figure draws what its frame says: dots are counted, words are read back."""

from __future__ import annotations

import math

import matplotlib.figure
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from analysis.figures import key, limits, maps, replicates, samples, search
from analysis.palette import THEME, colours, themed

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
    assert words(ax) == {
        (0.1, 0): "0.050\nn = 6\n0/6 div.",
        (0.2, 0): "0.11\nn = 4\n2/6 div.",
        (0.1, 1): "no survivor\n6/6 div.",
        (0.2, 1): "not run",
    }
    assert ax.collections[0].get_clim() == (0.01, 0.2)
    assert ax.figure.axes[1].get_ylabel() == "kid"


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
    assert len(ax.collections) == 2  # a band an arm


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


def test_a_sheet_is_shown_pixel_for_pixel_and_named(ax, tmp_path):
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    Image.fromarray(pixels).save(tmp_path / "s.png")
    samples.sample_sheet(tmp_path / "s.png", ax, note="seed 3, stable")
    assert np.array_equal(ax.images[0].get_array(), pixels) and ax.get_xlabel() == "seed 3, stable"


def test_curves_have_a_logarithmic_axis_unless_a_value_is_not_positive(ax):
    replicates.learning_curves(curves(), ax, measure="kid", arms=ARMS)
    assert ax.get_yscale() == "log"
    other = matplotlib.figure.Figure().subplots()
    replicates.learning_curves(curves().assign(kid=lambda f: f["kid"] - 0.1), other, measure="kid", arms=ARMS)
    assert other.get_yscale() == "linear"


def test_a_key_names_those_present_in_the_colours_of_all(ax):
    key.legend(["kl", "r1", "jko"], ax, present=["kl", "jko"])
    found = {h.get_label(): h.get_color() for h in ax.get_legend().legend_handles}
    assert found == {a: colours(["kl", "r1", "jko"])[a] for a in ("kl", "jko")}


def test_every_theme_colour_becomes_a_variable_and_arms_stay_apart():
    assert themed(f"fill: {THEME['ink'][0]}; stroke: {THEME['arm1'][0]}") == "fill: var(--ink); stroke: var(--arm1)"
    assert len(set(colours([str(i) for i in range(8)]).values())) == 8
    for light, dark in THEME.values():
        assert re_hex(light) and re_hex(dark)
    assert len({light for light, _ in THEME.values()}) == len(THEME)


@pytest.mark.parametrize(("paper", "which"), [("#fffffe", 0), ("#15191d", 1)])
def test_arms_keep_a_contrast_of_three_on_their_paper(paper, which):
    def luminance(code):
        c = np.array([int(code[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ (0.2126, 0.7152, 0.0722)

    for name in [f"arm{i}" for i in range(8)] + ["soft", "alarm"]:
        a, b = sorted((luminance(THEME[name][which]), luminance(paper)))
        assert (b + 0.05) / (a + 0.05) >= 3, name


def re_hex(code):
    return len(code) == 7 and code.startswith("#") and int(code[1:], 16) >= 0
