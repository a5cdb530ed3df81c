"""Every design replicate as one mark."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.panels import axes
from analysis.panels.axes import UP, plain_log, reach
from analysis.panels.groups import arm_groups, design, present
from analysis.panels.marks import name_marks
from analysis.panels.palette import PAPER, RULE, SOFT, colours, markers
from analysis.panels.panel import Figure, Panel
from analysis.read.study import CELL, Study
from analysis.text.formatting import count, slug

WIDE = 5.0  # ratio of the largest value to the smallest from which an axis is logarithmic


class Replicates(Panel):
    """F7: each design replicate one mark, a figure for each number of MCMC steps."""

    name, title, size = "replicates", "Every replicate", (5.2, 3.5)

    def frame(self, study: Study) -> pd.DataFrame:
        return design(study.finals)

    def figures(self, study: Study, frame: pd.DataFrame) -> list[Figure]:
        found = []
        for steps, every in frame.groupby("mcmc_steps"):
            for end, words, part in arm_groups(study, every):
                heading = f"{steps:g} MCMC steps" + (f": {words}" if words else "")
                numbers = part[["arm", *CELL, "seed", "diverged", "diverged_at", study.primary]]
                found.append(self.figure(study, part, f"_{slug(f'{steps:g}')}{end}", heading, numbers=numbers,
                                         alt=f"Every replicate's {study.primary} at {heading}"))
        return found

    def plot(self, study: Study, frame: pd.DataFrame, ax: Axes) -> None:
        replicate_dots(frame, ax, measure=study.primary, arms=study.arms, within=self.frame(study))
        beyond = any(line.get_gid() == "beyond" and np.size(line.get_xdata()) for line in ax.lines)
        axes.legend(study.arms, ax, present=present(study, frame),
                    extra=[axes.mark(UP, "beyond the axis")] if beyond else [])
        axes.say_n(ax, frame.groupby(["arm", "step_size"]).size(), "replicates an arm and step size")

    def caption(self, study: Study, frame: pd.DataFrame) -> str:
        return (f"{count(len(frame), 'design replicate')}, each one mark; the diverged have no quality and stand on "
                "the line above; arrows: beyond the axis.")


def replicate_dots(frame: pd.DataFrame, ax: Axes, *, measure: str, arms: Sequence[str],
                   within: pd.DataFrame | None = None) -> Axes:
    """Every replicate a dot at its step size, arms side by side; the diverged as crosses on their own line on top.

    Arrows: survivors beyond the axis' `reach`.

    frame: finals of one number of MCMC steps; within: of all figures, whose axes are one. Logarithmic where all values
    are positive and span more than WIDE.
    """
    colour, marker = colours(arms), markers(arms)
    within = frame if within is None else within
    steps = sorted(within["step_size"].unique())
    shown = [a for a in arms if a in set(frame["arm"])]
    alive = within.loc[~within["diverged"], measure].dropna()
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
        lines = [
            *ax.plot(x[beyond], np.full(int(beyond.sum()), most_seen), marker=UP, ls="", ms=9, mfc="none", mew=1.2,
                     color=colour[arm], gid="beyond"),
            *ax.plot(x[~gone & ~beyond], own.loc[~gone & ~beyond, measure], marker=marker[arm], ls="", ms=4.5,
                     color=colour[arm], mec=PAPER, mew=0.4, label=arm, gid="survived"),
            *ax.plot(x[gone], np.full(int(gone.sum()), top), marker="x", ls="", ms=5, mew=1.3, color=colour[arm],
                     gid="diverged")]
        for line, which in zip(lines, (beyond, ~gone & ~beyond, gone), strict=True):
            name_marks(line, own[which])
    ax.axhline(top, color=RULE, lw=0.8, zorder=0)
    ax.annotate("diverged", (0, top), xycoords=("axes fraction", "data"), xytext=(2, 5), textcoords="offset points",
                fontsize=7.5, color=SOFT)
    for border in np.arange(len(steps) - 1) + 0.5:
        ax.axvline(border, color=RULE, lw=0.6, zorder=0)
    ax.set_xticks(range(len(steps)), [f"{s:g}" for s in steps])
    ax.set_xlim(-0.5, len(steps) - 0.5)
    if log:
        ax.set_yscale("log")
    if len(alive):  # as far below the best as the axis' margin would be
        low, high = float(alive.min()), float(alive.max())
        ax.set_ylim(low * (low / high) ** 0.05 if log else low - 0.05 * (end - low))
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
