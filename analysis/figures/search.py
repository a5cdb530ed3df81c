"""The trials of a search, and the Pareto set of one with several objectives. `f(frame, ax) -> ax`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.figures.key import log_ticks, plain_log, round_levels
from analysis.palette import INK, PAPER, SOFT, colours, markers


def search_trials(frame: pd.DataFrame, pruned: pd.DataFrame, ax: Axes, *, measure: str, arms: Sequence[str]) -> Axes:
    """Search, shown as search: each finished trial's mean at its step size, its MCMC steps beside it; on the upper
    edge a cross where all seeds diverged and an open mark where the trial was pruned.

    frame: `summaries` of the search phase; pruned: rows of `Study.trials`.
    """
    colour, marker = colours(arms), markers(arms)
    for arm in arms:
        own = frame[frame["arm"] == arm]
        gone = own[own["n"] == 0]
        own = own[own["n"] > 0]
        ax.plot(own["step_size"], own["mean"], marker=marker[arm], ls="", ms=6, color=colour[arm], mec=PAPER,
                gid="finished")
        for x, y, steps in zip(own["step_size"], own["mean"], own["mcmc_steps"], strict=True):
            ax.annotate(f"{steps:g}", (x, y), xytext=(5, 3), textcoords="offset points", fontsize=6.5, color=SOFT)
        stopped = pruned[pruned["arm"] == arm]
        for part, shape, gid in ((gone, "x", "diverged"), (stopped, marker[arm], "pruned")):
            ax.plot(part["step_size"], np.full(len(part), 0.97), marker=shape, ls="", ms=6, mew=1.2, mfc="none",
                    color=colour[arm], gid=gid, transform=ax.get_xaxis_transform())
    if (frame["mean"].dropna() > 0).all() and frame["mean"].max() > 10 * frame["mean"].min():
        ax.set_yscale("log")
        plain_log(ax.yaxis)
    low, high = ax.get_ylim()
    ax.set_ylim(low, high * (high / low) ** 0.12 if ax.get_yscale() == "log" else high + 0.12 * (high - low))
    ax.set(xscale="log", xlabel="step size (data units)", ylabel=f"{measure}, mean over survivors")
    steps = pd.concat([frame["step_size"], pruned["step_size"]]).dropna()
    log_ticks(ax, round_levels(float(steps.min()), float(steps.max())))
    return ax


def pareto_set(frame: pd.DataFrame, ax: Axes, *, across: str, up: str, arms: Sequence[str], joined: bool) -> Axes:
    """Each finished trial at two of its objectives, as its sampler was told them; filled where it is in the Pareto set.

    frame: `objectives.objective_values`. joined: a line along the set, which two objectives alone have.
    """
    colour, marker = colours(arms), markers(arms)
    for arm in [a for a in arms if a in set(frame["arm"])]:
        for is_best in (False, True):
            own = frame[(frame["arm"] == arm) & (frame["front"] == is_best)]
            ax.plot(own[across], own[up], marker=marker[arm], ls="", ms=6 if is_best else 4.5, color=colour[arm],
                    mfc=colour[arm] if is_best else "none", mec=PAPER if is_best else colour[arm],
                    mew=0.5 if is_best else 0.9, gid="front" if is_best else "beaten", zorder=3)
    if joined:
        best = frame[frame["front"]].sort_values([across, up])
        ax.plot(best[across], best[up], color=INK, lw=1.0, drawstyle="steps-post", zorder=2, gid="line")
    ax.margins(0.1)
    for axis, name in ((ax.xaxis, across), (ax.yaxis, up)):
        if (frame[name] > 0).all() and frame[name].max() > 5 * frame[name].min():
            (ax.set_xscale if axis is ax.xaxis else ax.set_yscale)("log")
            plain_log(axis)
    ax.set(xlabel=across, ylabel=up)
    return ax
