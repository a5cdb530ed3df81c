"""Curves, dots, kappa and search draw what their frames say: marks are counted, words are read back."""

from __future__ import annotations

import math

import matplotlib.figure
import numpy as np
import pandas as pd
import pytest

from analysis.panels import axes, curves, kappa, pareto, replicates, search
from analysis.panels.palette import colours, hatches, markers

ARMS = ["kl", "jko"]


@pytest.fixture
def ax():
    return matplotlib.figure.Figure().subplots()


def marks(ax, gid):
    return sum(len(line.get_xdata()) for line in ax.lines if line.get_gid() == gid)


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


def learning():
    rows = [
        (arm, seed, u, arm == "kl" and seed == 1, 1 / u + 0.1 * seed)
        for arm in ARMS
        for seed in range(3)
        for u in (10, 20, 30, 40)
        if not (arm == "kl" and seed == 1 and u > 20)
    ]
    return pd.DataFrame(rows, columns=["arm", "seed", "update", "diverged", "kid"])


def test_a_mean_ends_where_a_replicate_diverges(ax):
    curves.learning_curves(learning(), ax, measure="kid", arms=ARMS)
    mean = {line.get_label(): line for line in ax.lines if line.get_label() in ARMS}
    assert list(mean["kl"].get_xdata()) == [10, 20] and list(mean["jko"].get_xdata()) == [10, 20, 30, 40]
    assert list(mean["kl"].get_ydata()) == pytest.approx([0.2, 0.15])
    assert len([line for line in ax.lines if line.get_gid() == "replicate"]) == 6 and marks(ax, "diverged") == 1
    assert len([c for c in ax.collections if c.get_gid() != "hatch"]) == 2  # a band an arm
    assert [c.get_hatch() for c in ax.collections if c.get_gid() == "hatch"] == [hatches(ARMS)["jko"]]


def test_figures_side_by_side_have_the_axes_of_all():
    def ends(plot, frame, within):
        ax = plot(frame, matplotlib.figure.Figure().subplots(), measure="kid", arms=ARMS, within=within)
        return [*ax.get_xlim(), *ax.get_ylim()]

    every = pd.concat([learning().assign(config_hash=k, kid=lambda f, k=k: f["kid"] * 9.0**k) for k in (0, 1)])
    one, other = (ends(curves.learning_curves, part, every) for _, part in every.groupby("config_hash"))
    assert one == other and one[3] > every["kid"].max() > one[3] / 2
    dots = pd.concat([finals().assign(mcmc_steps=5), finals().assign(mcmc_steps=9, kid=lambda f: 9 * f["kid"])])
    one, other = (ends(replicates.replicate_dots, part, dots) for _, part in dots.groupby("mcmc_steps"))
    assert one == other and one[2] < dots["kid"].min() < dots["kid"].max() < one[3]


def test_kappa_has_a_dot_a_replicate_open_where_it_diverged(ax):
    kappa.kappa(finals().assign(kappa=0.5), ax, arms=ARMS)
    opened = [len(line.get_xdata()) for line in ax.lines if line.get_gid() == "replicate" and line.get_mfc() == "none"]
    assert marks(ax, "replicate") == 24 and sum(opened) == 2
    assert [t.get_text()[:5] for t in ax.texts] == ["\u03ba = 1", "\u03ba = 2"]


def test_search_draws_finished_diverged_and_pruned_trials(ax):
    frame = pd.DataFrame({"arm": ["kl", "kl", "jko"], "step_size": [0.1, 0.3, 0.2], "mcmc_steps": [5, 9, 7],
                          "n": [2, 0, 2], "mean": [0.1, math.nan, 0.2]})
    pruned = pd.DataFrame({"arm": ["jko", "kl", "kl"], "step_size": [0.05, 0.4, 0.5]})
    search.search_trials(frame, pruned, ax, measure="kid", arms=ARMS)
    assert (marks(ax, "finished"), marks(ax, "diverged"), marks(ax, "pruned")) == (2, 1, 3)
    assert [t.get_text() for t in ax.texts] == ["5", "7"]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["0.05", "0.1", "0.2", "0.5"]


def test_curves_have_a_logarithmic_axis_unless_a_value_is_not_positive(ax):
    curves.learning_curves(learning(), ax, measure="kid", arms=ARMS)
    assert ax.get_yscale() == "log"
    other = matplotlib.figure.Figure().subplots()
    curves.learning_curves(learning().assign(kid=lambda f: f["kid"] - 0.2), other, measure="kid", arms=ARMS)
    assert other.get_yscale() == "linear"  # from -0.175 to 0.1


def test_curves_that_end_near_0_are_logarithmic_down_to_the_size_of_the_last_values(ax):
    near = learning().assign(kid=lambda f: 100 / f["update"] ** 3 - 0.0005 * f["seed"])  # ends at .0016, .0011, .0006
    assert near["kid"].min() > 0
    curves.learning_curves(near.assign(kid=near["kid"] - 0.002), ax, measure="kid", arms=ARMS)
    assert ax.get_yscale() == "symlog" and ax.get_ylabel() == "kid\n(linear up to 0.001)"
    low, middle, high = ax.transData.transform([(0, -0.0005), (0, 0.001), (0, 0.1)])[:, 1]
    assert high - middle > middle - low > 0  # two decades above are higher than the linear part
    assert [t.get_text() for t in ax.get_yticklabels()] == ["0", "0.001", "0.01", "0.1"]


def test_one_survivor_on_its_way_to_infinity_flattens_no_other():
    """It is drawn at the axis' end, said to lie beyond; the scale of the maps ends there, too."""
    values = [0.1, 0.11, 0.12, 0.13, 0.14, 0.15, 0.16, 0.17, 0.18, 0.19, 4e5]
    assert axes.reach(values) == pytest.approx(10 * np.quantile(values, 0.9)) and axes.reach(values[:-1]) == 0.19
    assert axes.reach([-0.1, 0.2, 50.0]) == 50.0 and axes.reach([math.nan]) == -math.inf
    frame = pd.DataFrame({"arm": "kl", "step_size": 0.1, "mcmc_steps": 5, "seed": range(11), "diverged": False,
                          "quality": values, "mean": values, "cost": np.arange(1.0, 12.0)})
    ax = replicates.replicate_dots(frame, matplotlib.figure.Figure().subplots(), measure="quality", arms=["kl"])
    [beyond] = [line for line in ax.lines if line.get_gid() == "beyond"]
    assert list(beyond.get_ydata()) == [axes.reach(values)] and ax.get_ylim()[1] < 20
    ax = pareto.pareto(pareto.numbered(frame.assign(diverged=0), "cost", True), matplotlib.figure.Figure().subplots(),
                     measure="quality", cost="cost", label="cost", arms=["kl"], lower_is_better=True)
    assert [t.get_text() for t in ax.texts if t.get_gid() == "beyond"] == ["\u2191 400,000"] and ax.get_ylim()[1] < 20


def test_no_number_stands_above_the_line_of_the_diverged_and_an_arrow_is_no_arms_mark(ax):
    frame = finals().assign(kid=lambda f: np.where(f["diverged"], np.nan, 0.05 * 60 ** (f["seed"] / 5)))
    replicates.replicate_dots(frame, ax, measure="kid", arms=ARMS)
    [top] = {float(y) for line in ax.lines if line.get_gid() == "diverged" for y in line.get_ydata()}
    assert max(ax.get_yticks()) < top < ax.get_ylim()[1] and len(ax.get_yticks()) >= 3
    assert axes.UP not in set(markers([f"a{k}" for k in range(16)]).values())
