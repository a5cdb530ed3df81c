"""Every replicate: learning curves, end values, the gauge kappa. `f(frame, ax) -> ax`."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.figures.key import HATCHED, UP, band, log_ticks, plain_log, reach, round_levels
from analysis.inference import t_interval
from analysis.palette import ALARM, PAPER, RULE, SOFT, colours, dashes, hatches, markers

WIDE = 5.0  # ratio of the largest value to the smallest from which an axis is logarithmic
CROWDED = 100  # replicates in one figure beyond which only means and bands are drawn


def learning_curves(frame: pd.DataFrame, ax: Axes, *, measure: str, arms: Sequence[str]) -> Axes:
    """Every replicate a thin line, with a cross where it diverges; mean and t band while all replicates of the arm
    live, ending in a bar where one diverges: after that the mean would be one over survivors only.

    frame: curves of one cell with `arm`, `seed`, `update`, `diverged`, `measure`. The axis is logarithmic, since the
    first evaluations are tens of times the last; where values are not positive (an unbiased estimate near 0) it is
    linear up to the size that the last ones have, which its label says. Its upper end is the survivors'
    largest value or, where all diverged, the first evaluations': one replicate on its way to infinity would flatten
    all others; it leaves through the top, its cross on the edge.
    """
    colour, line, hatch = colours(arms), dashes(arms), hatches(arms)
    calm = frame.loc[~frame["diverged"].astype(bool), measure]
    first = frame.sort_values("update").groupby(["arm", "seed"])[measure].first()
    log = bool((frame[measure] > 0).all())
    top = (1.5 if log else 1.08) * max([*calm.dropna(), *first.dropna()], default=math.inf)
    thin = frame.groupby(["arm", "seed"]).ngroups <= CROWDED
    shown = [a for a in arms if a in set(frame["arm"])]
    for arm in shown:
        wide = frame[frame["arm"] == arm].pivot(index="update", columns="seed", values=measure)
        gone = set(frame.loc[(frame["arm"] == arm) & frame["diverged"], "seed"])
        for seed in wide.columns:
            own = wide[seed].dropna()
            if thin:
                ax.plot(own.index, own, color=colour[arm], lw=0.6, alpha=0.35, gid="replicate")
            if seed in gone and len(own):
                ax.plot(own.index[-1], min(own.iloc[-1], top), marker="x", ms=6, mew=1.6, ls="", color=colour[arm],
                        gid="diverged", clip_on=False)
        whole = wide.dropna()
        if len(whole) and wide.shape[1] > 1:
            found = [t_interval(row) for row in whole.to_numpy()]
            low, high, middle = ([getattr(i, k) for i in found] for k in ("low", "high", "estimate"))
            band(ax, whole.index, np.maximum(low, frame[measure].min()) if log else low, high, colour[arm],
                 hatch[arm] if len(shown) <= HATCHED else "")
            ax.plot(whole.index, middle, color=colour[arm], lw=2, ls=line[arm], label=arm, gid="mean")
            if gone:
                ax.plot(whole.index[-1], min(middle[-1], top), marker="|", ms=12, mew=2.2, ls="", color=colour[arm],
                        clip_on=False)
    ax.set(xlabel="update", ylabel=measure)
    last = frame.sort_values("update").groupby(["arm", "seed"])[measure].last().abs().median()
    quiet = float(f"{last:.0e}") if len(frame) else 0.0
    if log:
        ax.set_yscale("log")
    elif top > WIDE * quiet > 0:
        ax.set_yscale("symlog", linthresh=quiet)
        levels = [v for v in round_levels(quiet, top) if quiet <= v <= top]
        tens = [v for v in levels if f"{v:e}".startswith("1.0")]
        ticks = [0.0, *(tens if len(tens) > 1 else levels)]
        ax.set_yticks(ticks, [f"{t:g}" for t in ticks])
        ax.set_ylabel(f"{measure}\n(linear up to {quiet:g})")
    if math.isfinite(top):
        ax.set_ylim(0.85 * frame[measure].min() if log else min(0.0, frame[measure].min()), top)
    if log:
        plain_log(ax.yaxis)
    return ax


def replicate_dots(frame: pd.DataFrame, ax: Axes, *, measure: str, arms: Sequence[str]) -> Axes:
    """Every replicate a dot at its step size, arms side by side; the diverged as crosses on their own line on top.

    Arrows: survivors beyond the axis' `reach`.

    frame: finals of one number of MCMC steps. Logarithmic where all values are positive and span more than WIDE.
    """
    colour, marker = colours(arms), markers(arms)
    steps = sorted(frame["step_size"].unique())
    shown = [a for a in arms if a in set(frame["arm"])]
    alive = frame.loc[~frame["diverged"], measure].dropna()
    most_seen = reach(alive)
    alive = alive.clip(upper=most_seen)
    room, most = 0.84 / len(shown), int(frame.groupby(["arm", "step_size"]).size().max())
    log = bool(len(alive) and alive.min() > 0 and alive.max() > WIDE * alive.min())
    top, end = _above(alive, log)
    for k, arm in enumerate(shown):
        own = frame[frame["arm"] == arm].sort_values("seed")
        spread = own.groupby("step_size")["seed"].rank(method="first") - 1
        x = own["step_size"].map(steps.index) + room * (
            k - (len(shown) - 1) / 2 + 0.8 * (spread - (most - 1) / 2) / most
        )
        gone = own["diverged"].to_numpy(bool)
        beyond = ~gone & (own[measure] > most_seen).to_numpy()
        ax.plot(x[beyond], np.full(int(beyond.sum()), most_seen), marker=UP, ls="", ms=9, mfc="none", mew=1.2,
                color=colour[arm], gid="beyond")
        ax.plot(x[~gone & ~beyond], own.loc[~gone & ~beyond, measure], marker=marker[arm], ls="", ms=4.5,
                color=colour[arm], mec=PAPER, mew=0.4, label=arm, gid="survived")
        ax.plot(x[gone], np.full(int(gone.sum()), top), marker="x", ls="", ms=5, mew=1.3, color=colour[arm],
                gid="diverged")
    ax.axhline(top, color=RULE, lw=0.8, zorder=0)
    ax.annotate("diverged", (0, top), xycoords=("axes fraction", "data"), xytext=(2, 5), textcoords="offset points",
                fontsize=7.5, color=SOFT)
    for border in np.arange(len(steps) - 1) + 0.5:
        ax.axvline(border, color=RULE, lw=0.6, zorder=0)
    ax.set_xticks(range(len(steps)), [f"{s:g}" for s in steps])
    ax.set_xlim(-0.5, len(steps) - 0.5)
    if log:
        ax.set_yscale("log")
    ax.set_ylim(top=end)
    if log:  # what lies above the survivors is no value
        plain_log(ax.yaxis, upto=float(alive.max()))
    else:
        ax.set_yticks([t for t in ax.get_yticks() if ax.get_ylim()[0] <= t <= most_seen])
    ax.set(xlabel="step size (data units)", ylabel=measure)
    return ax


def _above(alive: pd.Series, log: bool) -> tuple[float, float]:
    """The height of the line of the diverged above the survivors' values, and of the axis' end above that."""
    if alive.empty:
        return 1.0, 1.12
    low, high = float(alive.min()), float(alive.max())
    if log:
        return high * (high / low) ** 0.12, high * (high / low) ** 0.25
    span = max(high - low, 1e-9)
    return high + 0.14 * span, high + 0.28 * span


def kappa(frame: pd.DataFrame, ax: Axes, *, arms: Sequence[str]) -> Axes:
    """The gauge of each replicate (median of its last quarter) by step size; open where it diverged.

    frame: `arm`, `step_size`, `seed`, `kappa`, `diverged`. Lines: feedback inverts at 1, the sampler breaks at 2.
    """
    colour, marker = colours(arms), markers(arms)
    shown, levels = [a for a in arms if a in set(frame["arm"])], np.sort(frame["step_size"].unique())
    room = 0.85 * min([*np.diff(np.log(levels)), 0.35]) / len(shown)  # of an arm, so that levels stay apart
    for k, arm in enumerate(shown):
        own = frame[(frame["arm"] == arm) & (frame["kappa"] > 0)]
        turn = own.groupby("step_size")["seed"].rank(method="first")
        x = own["step_size"] * np.exp(room * (k - (len(shown) - 1) / 2 + 0.6 * (turn / turn.max() - 0.5)))
        for gone in (False, True):
            here = own["diverged"] == gone
            ax.plot(
                x[here],
                own.loc[here, "kappa"],
                marker=marker[arm],
                ls="",
                ms=5,
                color=colour[arm],
                mfc="none" if gone else colour[arm],
                mec=colour[arm] if gone else PAPER,
                mew=1.2 if gone else 0.4,
                label=None if gone else arm,
                gid="replicate",
            )
    ax.set(xscale="log", yscale="log", xlabel="step size (data units)", ylabel="\u03ba, median of the last quarter")
    low, high = ax.get_ylim()
    ax.set_ylim(low, max(high, 2.6))
    for level, text in ((1, "\u03ba = 1: training feedback inverts"), (2, "\u03ba = 2: sampler breaks")):
        ax.axhline(level, color=ALARM, lw=1, dashes=(4, 3), zorder=0)
        ax.annotate(
            text,
            (0.01, level),
            xycoords=("axes fraction", "data"),
            xytext=(0, 3),
            textcoords="offset points",
            fontsize=7.5,
            color=ALARM,
        )
    log_ticks(ax, sorted(frame["step_size"].unique()))
    low, high = ax.get_ylim()
    ticks = [t for e in range(-6, 7) for t in (10.0**e, 3 * 10.0**e) if low <= t <= high]
    ax.set_yticks(ticks, [f"{t:g}" for t in ticks])
    return ax
