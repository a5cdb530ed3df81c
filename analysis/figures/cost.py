"""Quality against what it costs, and how often a quality is reached at all. `f(frame, ax) -> ax`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.figures.key import HATCHED, band, plain_log, reach
from analysis.frames import rows
from analysis.palette import INK, PAPER, SOFT, colours, dashes, hatches, markers
from analysis.wording import number

CLOSE = 1.15  # ratio of two costs below which the words beside them would lie on each other


def front(cost: Any, value: Any, lower_is_better: bool) -> np.ndarray:
    """Which points no other beats in both: (n,) boolean, True on the Pareto front. cost, value: (n,). Equals stay."""
    c, v = np.asarray(cost, float), np.asarray(value, float) * (1 if lower_is_better else -1)
    beaten = ((c[None] <= c[:, None]) & (v[None] <= v[:, None])
              & ((c[None] < c[:, None]) | (v[None] < v[:, None]))).any(1)
    return np.asarray(~beaten)


def pareto(frame: pd.DataFrame, ax: Axes, *, measure: str, cost: str, label: str, arms: Sequence[str],
           lower_is_better: bool) -> Axes:
    """Each configuration at its cost a replicate; open where a replicate diverged. The line joins those that no other
    configuration without divergence beats in both, their step size and MCMC steps beside them. What lies beyond the
    axis' `reach` is drawn at its end, with its value.

    frame: a row a configuration with `arm`, `step_size`, `mcmc_steps`, `mean`, `diverged` and `cost`.
    """
    colour, marker, top = colours(arms), markers(arms), reach(frame["mean"])
    for row in rows(frame[frame["mean"] > top]):
        ax.annotate(f"\u2191 {number(row.mean, 2)}", (getattr(row, cost), top), xytext=(4, 2), fontsize=7, color=SOFT,
                    textcoords="offset points", gid="beyond")
    frame = frame.assign(mean=frame["mean"].clip(upper=top))
    for arm in [a for a in arms if a in set(frame["arm"])]:
        for gone in (False, True):
            own = frame[(frame["arm"] == arm) & ((frame["diverged"] > 0) == gone)]
            ax.plot(own[cost], own["mean"], marker=marker[arm], ls="", ms=5.5, color=colour[arm],
                    mfc="none" if gone else colour[arm], mec=colour[arm] if gone else PAPER, mew=1.1 if gone else 0.5,
                    gid="diverged" if gone else "whole", zorder=3)
    whole = frame[frame["diverged"] == 0]
    best = whole[front(whole[cost], whole["mean"], lower_is_better)].sort_values(cost)
    ax.plot(best[cost], best["mean"], color=INK, lw=1.0, drawstyle="steps-post", zorder=2, gid="front")
    line, before = 0, 0.0
    for row in rows(best):  # on the side where, by what a front is, no other cell without divergence can be
        line = line + 1 if getattr(row, cost) < CLOSE * before else 0  # neighbours' words one below the other
        before = getattr(row, cost)
        ax.annotate(f"{row.step_size:g}, {row.mcmc_steps:g}", (before, row.mean),
                    xytext=(-5, (-4 - 9 * line) * (1 if lower_is_better else -1)), textcoords="offset points",
                    ha="right", va="top" if lower_is_better else "bottom", fontsize=7, color=INK, gid="cell")
    ax.margins(x=0.14, y=0.1)
    ax.set(xscale="log", xlabel=label, ylabel=f"{measure}, mean over survivors")
    if (frame["mean"] > 0).all() and frame["mean"].max() > 5 * frame["mean"].min():
        ax.set_yscale("log")
        plain_log(ax.yaxis)
    plain_log(ax.xaxis)
    return ax


def profiles(frame: pd.DataFrame, ax: Axes, *, measure: str, arms: Sequence[str], lower_is_better: bool) -> Axes:
    """Performance profiles: the share of replicates at least as good as a threshold; a diverged one never is.

    frame: `arm`, `threshold`, `share`, `low`, `high` (`cost.profile` of each arm).
    """
    colour, line, hatch = colours(arms), dashes(arms), hatches(arms)
    shown = [a for a in arms if a in set(frame["arm"])]
    for arm in shown:
        own = frame[frame["arm"] == arm]
        band(ax, own["threshold"], own["low"], own["high"], colour[arm], hatch[arm] if len(shown) <= HATCHED else "",
             step="post")
        ax.step(own["threshold"], own["share"], where="post", color=colour[arm], lw=1.8, ls=line[arm], gid="profile")
    if (frame["threshold"] > 0).all() and frame["threshold"].max() > 8 * frame["threshold"].min():
        ax.set_xscale("log")
        plain_log(ax.xaxis)
    if not lower_is_better:
        ax.invert_xaxis()
    ax.set(ylim=(-0.02, 1.02), xlabel=f"threshold of {measure}", ylabel="share of replicates within")
    return ax
