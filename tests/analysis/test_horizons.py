"""Limits by horizon and survival, against counts and Kaplan and Meier's products by hand."""

from __future__ import annotations

import math
from types import SimpleNamespace

import matplotlib.figure
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.panels import horizon, survival
from analysis.read.trials import PRUNED, trial_row
from analysis.stats import horizons
from analysis.stats.limits import limits


@pytest.fixture
def ax():
    return matplotlib.figure.Figure().subplots()


@pytest.mark.parametrize(("diverged", "limit", "low", "high"), [
    ((0, 1, 4, 6), math.sqrt(0.1 * 0.2), 0.05, 0.4),  # 1/6 and 4/6 leave one half inside of Wilson's interval
    ((0, 0, 6, 6), math.sqrt(0.1 * 0.2), 0.1, 0.2),
    ((0, 0, 0, 0), math.inf, 0.4, math.inf),
    ((6, 6, 6, 6), 0.05, 0.0, 0.05),
    ((0, 3, 0, 6), math.sqrt(0.05 * 0.1), 0.05, 0.4),  # the first that reaches one half, for lack of a better word
])
def test_the_observed_limit_by_hand(diverged, limit, low, high):
    found = horizons.observed_limit((0.05, 0.1, 0.2, 0.4), diverged, [6] * 4)
    assert found == pytest.approx({"limit": limit, "low": low, "high": high})


def test_horizons_are_round_and_end_with_the_run():
    assert horizons.horizons(5000) == [50, 70, 100, 150, 200, 300, 500, 700, 1000, 1500, 2000, 3000, 5000]
    assert horizons.horizons(400)[-2:] == [300, 400] and horizons.horizons(1) == [1]


def test_a_shorter_study_sees_a_larger_limit(study):
    """The seeds of the toy diverge at 100 + 20 * (seed): kl at 0.2 and 20 steps loses all six between 100 and 200."""
    frame = horizons.limits_by_horizon(study)
    kl = frame[(frame["arm"] == "kl") & (frame["mcmc_steps"] == 20)].set_index("horizon")
    finals = study.finals[(study.finals["arm"] == "kl") & (study.finals["mcmc_steps"] == 20)]
    for updates in (70, 100, 150, 400):
        assert kl.loc[updates, "diverged"] == (finals["diverged_at"] <= updates).sum()
    assert kl["limit"].is_monotonic_decreasing and math.isinf(kl.loc[70, "limit"])
    assert kl.loc[400, "limit"] == pytest.approx(math.sqrt(0.1 * 0.2))
    last = limits(study).set_index(["arm", "mcmc_steps"]).loc[("kl", 20)]
    assert last["stable_to"] <= kl.loc[400, "low"] <= last["mostly_from"]


def test_survival_by_hand_with_greenwoods_bounds():
    frame = pd.DataFrame({"diverged": [True, True, True, False, False], "diverged_at": [10, 20, 20, np.nan, np.nan],
                          "updates": [100, 100, 100, 15, 100]})
    found = horizons.survival(frame)
    assert found["update"].tolist() == [0, 10, 20, 100]
    alive = 4 / 5 * (1 - 2 / 3)  # five at risk, then three: one was censored at 15
    assert found["alive"].tolist() == pytest.approx([1, 4 / 5, alive, alive])
    spread = 1.959964 * math.sqrt(1 / (5 * 4) + 2 / (3 * 1)) / math.log(alive)  # of log(-log), by Greenwood
    assert found["low"].iloc[2] == pytest.approx(alive ** math.exp(-spread), rel=1e-5)
    assert found["high"].iloc[2] == pytest.approx(alive ** math.exp(spread), rel=1e-5)
    for row, gone in zip(found.iloc[:2].itertuples(), (0, 1), strict=True):  # before any was censored
        share = stats.binomtest(5 - gone, 5).proportion_ci(method="wilson")
        assert (row.low, row.high) == pytest.approx((share.low, share.high))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("diverged", [True, False])
def test_survival_of_all_and_of_none(diverged):
    frame = pd.DataFrame({"diverged": diverged, "diverged_at": [3.0, 4.0] if diverged else np.nan, "updates": [9, 9]})
    found = horizons.survival(frame)
    assert found["alive"].tolist() == ([1, 0.5, 0, 0] if diverged else [1, 1]) and found["update"].iloc[-1] == 9
    assert (found["low"] <= found["alive"]).all() and (found["alive"] <= found["high"]).all()
    assert (found["high"] - found["low"] > 0.6).all()  # two replicates say little, all or none
    early = pd.DataFrame({"diverged": False, "diverged_at": np.nan, "updates": [4, 9]})
    assert horizons.survival(early)[["low", "high"]].isna().to_numpy().tolist() == [[False] * 2, [True] * 2]


def test_survival_bounds_cover_what_they_say():
    """Exponential times, 20 replicates, censored at their median: the bounds at half of it hold the truth."""
    rng, hits, draws = np.random.default_rng(3), 0, 400
    truth = math.exp(-0.5 * math.log(2))
    for _ in range(draws):
        at = rng.exponential(1 / math.log(2), 20)
        frame = pd.DataFrame({"diverged": at < 1, "diverged_at": at, "updates": 1.0})
        found = horizons.survival(frame)
        row = found[found["update"] <= 0.5].iloc[-1]
        hits += row["low"] <= truth <= row["high"]
    assert 0.92 <= hits / draws <= 0.985


def test_figures_mark_every_divergence_and_every_limit(ax):
    ends = {"kl": [5, 7, np.nan], "jko": [np.nan] * 3}
    data = pd.concat([horizons.survival(pd.DataFrame({"diverged": np.isfinite(at), "diverged_at": at, "updates": 9}))
                      .assign(arm=arm) for arm, at in ends.items()])
    survival.survival_curves(data, ax, arms=["kl", "jko"])
    assert sum(len(line.get_xdata()) for line in ax.lines if line.get_gid() == "diverged") == 2
    other = matplotlib.figure.Figure().subplots()
    frame = pd.DataFrame({"horizon": [10, 100, 1000], "limit": [math.inf, 0.2, 0.1], "low": [0.4, 0.1, 0.1],
                          "high": [math.inf, 0.4, 0.2]})
    horizon.limit_by_horizon(frame, other, predicted=(0.06, math.inf), colour="#000000", levels=[0.1, 0.2, 0.4])
    count = {gid: sum(len(line.get_xdata()) for line in other.lines if line.get_gid() == gid)
             for gid in ("limit", "beyond", "below")}
    assert count == {"limit": 1, "beyond": 1, "below": 1}  # half diverge at 0.1, the smallest, already
    low = matplotlib.figure.Figure().subplots()
    horizon.limit_by_horizon(frame, low, predicted=(0.001, 0.2), colour="#000000", levels=[0.1, 0.2, 0.4])
    said = {t.get_text(): line.get_linewidth() for t, line in zip(low.get_legend().get_texts(),
                                                                   low.get_legend().get_lines(), strict=True)}
    assert said == {"predicted, smallest direction: 0.001, below the grid": 0, "predicted, median direction": 1.4}
    assert [t.get_text() for t in other.get_yticklabels()] == ["0.1", "0.2", "0.4"]


def test_pruned_trials_are_censored_at_the_last_rung_they_reported(study, ax):
    """The toy's search: three finished trials and one pruned, of two seeds each; its rungs end at update 80."""
    found = horizons.search_ends(study)
    pruned = found[found["pruned"]]
    assert pruned[["arm", "seed", "updates", "diverged"]].to_numpy().tolist() == [["kl", 1000, 80, False],
                                                                                  ["kl", 1001, 80, False]]
    assert len(found) == 8 and set(found.loc[~found["pruned"], "updates"]) == {400}
    own = found[found["arm"] == "kl"]
    ticks = horizons.censored(own).assign(arm="kl")
    assert ticks[["update", "alive", "replicates"]].to_numpy().tolist() == [[80, 1, 2]]
    survival.survival_curves(horizons.survival(own).assign(arm="kl"), ax, arms=["kl", "jko"], censored=ticks)
    assert [list(line.get_xdata()) for line in ax.lines if line.get_gid() == "censored"] == [[80]]


@pytest.mark.parametrize(("tags", "last"), [({"last_rung": "80"}, 80.0), ({}, None)])
def test_where_a_pruned_trial_stopped_is_known_or_said_not_to_be(tags: dict[str, str], last: float | None):
    """A tag that is absent: no error, no early end and no cost of 0."""
    info = SimpleNamespace(run_id="r", experiment_id="1", start_time=0, end_time=2000)
    run = SimpleNamespace(info=info, data=SimpleNamespace(tags={
        "status": "pruned", "seeds": "1000-1001", "config": '{"knobs": {"updates": 160}}', "replicate_gradients": "16",
        **tags}))
    row = trial_row(run, {}, {})
    known = {80.0: [80, 16], None: [math.nan] * 2}  # 2 seeds x 16 gradients x 80 of 160 updates
    np.testing.assert_equal([row[name] for name in PRUNED], [*known[last], 2])


def test_what_is_censored_early_weighs_on_the_estimate():
    """Two of four leave at 50 unharmed; the one that diverges at 60 is one of two, not one of four."""
    frame = pd.DataFrame({"diverged": [True, False, False, False], "diverged_at": [60, np.nan, np.nan, np.nan],
                          "updates": [100, 50, 50, 100]})
    assert horizons.survival(frame)["alive"].tolist() == [1, 0.5, 0.5]
    assert horizons.censored(frame).to_numpy().tolist() == [[50, 1, 2]]


def test_of_many_arms_bounds_and_names_stand_at_the_end(ax):
    arms = ["kl", "jko", "a", "b", "c"]
    gone = {"kl": [5.0, 7.0], "jko": [5.0, np.nan]}
    data = pd.concat([horizons.survival(pd.DataFrame({
        "diverged": np.isfinite(at), "diverged_at": at, "updates": 9})).assign(arm=arm)
        for arm in arms for at in [gone.get(arm, [np.nan] * 2)]])
    survival.survival_curves(data, ax, arms=arms)
    assert not ax.collections and len([line for line in ax.lines if line.get_gid() == "bounds"]) == 5
    assert [t.get_text() for t in ax.texts if t.get_gid() == "end"] == ["kl", "jko", "a, b\nc"]


def hidden():
    """Five replicates of 100 updates: one diverged at 20, two were found masked at the end, two live."""
    return pd.DataFrame({"diverged": [True, True, True, False, False], "diverged_at": [20, 100, 100, np.nan, np.nan],
                         "reason": ["runaway particles", "masked", "masked", None, None], "updates": 100})


def test_a_masked_divergence_is_no_event_and_counts_at_the_end():
    curve, [end] = horizons.survival(hidden()), horizons.masked_ends(hidden()).to_dict("records")
    assert curve["update"].tolist() == [0, 20, 100] and curve["alive"].tolist() == pytest.approx([1, 0.8, 0.8])
    assert (end["update"], end["replicates"]) == (100, 2) and end["alive"] == pytest.approx(2 / 5)
    assert end["low"] < 2 / 5 < end["high"]
    assert horizons.masked_ends(hidden().drop(columns="reason")).empty
    assert horizons.survival(hidden().drop(columns="reason"))["alive"].iloc[-1] == pytest.approx(2 / 5)


@pytest.mark.parametrize("arms", [1, 5])
def test_a_masked_end_is_an_open_mark_below_a_dotted_line(ax, arms):
    names = [f"a{k}" for k in range(arms)]
    data = pd.concat([horizons.survival(hidden()).assign(arm=name) for name in names])
    ends = horizons.masked_ends(hidden()).assign(arm="a0")
    survival.survival_curves(data, ax, arms=names, masked=ends)
    [mark] = [line for line in ax.lines if line.get_gid() == "masked"]
    [dotted] = [line for line in ax.lines if line.get_gid() == "unknown"]
    assert mark.get_ydata()[0] == pytest.approx(2 / 5) and mark.get_xdata()[0] >= 100
    assert mark.get_markerfacecolor() != mark.get_markeredgecolor()
    assert list(dotted.get_ydata()) == pytest.approx([0.8, 0.4])
    assert {float(x) for line in ax.lines if line.get_gid() == "diverged" for x in line.get_xdata()} == {20.0}
