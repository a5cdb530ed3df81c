"""Which knob matters, and which step of the way from the baseline to the best cell. `f(frame, ax) -> ax`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.frames import rows
from analysis.palette import INK, SOFT, colours
from analysis.wording import number, share


def importances(frame: pd.DataFrame, ax: Axes, *, arms: Sequence[str]) -> Axes:
    """A bar an arm and knob with its standard deviation over shuffles. frame: `effects.importance`."""
    colour = colours(arms)
    order = [a for a in arms if a in set(frame["arm"])]
    frame = frame.assign(arm=pd.Categorical(frame["arm"], order)).sort_values(
        ["arm", "importance"], ascending=[True, False], kind="stable")
    y = np.arange(len(frame))
    ax.barh(y, frame["importance"], 0.62, color=[colour[a] for a in frame["arm"]], gid="importance")
    ax.errorbar(frame["importance"], y, xerr=frame["sd"], fmt="none", ecolor=INK, elinewidth=1)
    ax.set_yticks(y, [f"{row.arm}: {row.knob.replace('_', ' ')}" for row in rows(frame)])
    ax.tick_params(axis="y", colors=INK)
    ax.set_ylim(len(frame) - 0.4, -0.6)
    ax.set_xlabel("drop of R\u00b2 when shuffled")
    ax.grid(False)
    ax.grid(True, axis="x")
    return ax


def ablation_path(frame: pd.DataFrame, ax: Axes, *, measure: str, arms: Sequence[str]) -> Axes:
    """The measured cells on the way from the baseline to the best, a row a changed factor, with t intervals.

    frame: `ablation.path`.
    """
    colour = colours(arms)
    y = np.arange(len(frame))
    ax.plot(frame["mean"], y, color=SOFT, lw=1, zorder=1)
    for i, row in enumerate(rows(frame)):
        if np.isfinite(row.low):
            ax.plot([row.low, row.high], [i, i], color=colour[row.arm], lw=2, solid_capstyle="butt")
        ax.plot(row.mean, i, marker="o", ms=7, ls="", color=colour[row.arm], gid="cell")
        ax.annotate(f"{number(row.mean, 2)}, {share(row.diverged, row.replicates)} diverged", (row.mean, i),
                    xytext=(0, 8), textcoords="offset points", ha="center", fontsize=7.5, color=SOFT)
    ax.set_yticks(y, frame["changed"])
    ax.tick_params(axis="y", colors=INK)
    ax.set_ylim(len(frame) - 0.5, -0.75)
    ax.set_xlabel(measure)
    ax.margins(x=0.2)
    ax.grid(False)
    ax.grid(True, axis="x")
    return ax
