"""Which knob matters, and which step of the way from the baseline to the best cell. `f(frame, ax) -> ax`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.frames import rows
from analysis.palette import INK, PAPER, SOFT, colours, hatches, markers
from analysis.wording import brief, number, share


def importances(frame: pd.DataFrame, ax: Axes, *, arms: Sequence[str]) -> Axes:
    """A bar an arm and knob with its standard deviation over shuffles. frame: `effects.importance`."""
    colour, hatch, short = colours(arms), hatches(arms), brief(arms)
    order = [a for a in arms if a in set(frame["arm"])]
    frame = frame.assign(arm=pd.Categorical(frame["arm"], order)).sort_values(
        ["arm", "importance"], ascending=[True, False], kind="stable")
    y = np.arange(len(frame))
    for at, row in zip(y, rows(frame), strict=True):
        ax.barh(at, row.importance, 0.62, facecolor=colour[row.arm], edgecolor=PAPER, hatch=hatch[row.arm], lw=0,
                gid="importance")
    ax.errorbar(frame["importance"], y, xerr=frame["sd"], fmt="none", ecolor=INK, elinewidth=1, capsize=2)
    ax.set_yticks(y, [f"{short[row.arm]}: {row.knob.replace('_', ' ').replace('mcmc', 'MCMC')}" for row in rows(frame)])
    ax.tick_params(axis="y", colors=INK)
    ax.set_ylim(len(frame) - 0.4, -0.6)
    ax.set_xlabel("drop of R\u00b2 when shuffled (mean \u00b1 sd over shuffles)")
    ax.grid(False)
    ax.grid(True, axis="x")
    return ax


def ablation_path(frame: pd.DataFrame, ax: Axes, *, measure: str, arms: Sequence[str]) -> Axes:
    """The measured cells on the way from the baseline to the best, a row a changed factor, with t intervals; on the
    right what each row measured. A cell without survivors or that was not run leaves its row empty, and the way leads
    past it, dashed.

    frame: `ablation.path`.
    """
    colour, marker = colours(arms), markers(arms)
    measured = np.flatnonzero(np.isfinite(frame["mean"].to_numpy(float)))
    for a, b in pairwise(measured.tolist()):
        ax.plot(frame["mean"].iloc[[a, b]], [a, b], color=SOFT, lw=1, ls="-" if b == a + 1 else (0, (3, 2)), zorder=1,
                gid="way")
    for i, row in enumerate(rows(frame)):
        if np.isfinite(row.low):
            ax.plot([row.low, row.high], [i, i], color=colour[row.arm], lw=2, solid_capstyle="butt", gid="interval")
        if i in measured:
            ax.plot(row.mean, i, marker=marker[row.arm], ms=7, ls="", color=colour[row.arm], mec=PAPER, gid="cell")
        said = (f"{number(row.mean, 2)} (n = {row.n}), " if i in measured else "") + (
            f"{share(row.diverged, row.replicates)} diverged" if row.replicates else "not run")
        ax.annotate(said, (1.01, i), xycoords=("axes fraction", "data"), va="center", fontsize=8, color=SOFT)
    short = brief(list(frame["changed"]))
    ax.set_yticks(range(len(frame)), [f"{short[row.changed]}\n{row.step_size:g}, {row.mcmc_steps:g} steps"
                                      for row in rows(frame)])
    ax.tick_params(axis="y", colors=INK)
    ax.set_ylim(len(frame) - 0.5, -0.5)
    ax.set_xlabel(f"{measure}, mean over survivors and 95 % t interval")
    ax.margins(x=0.06)
    ax.grid(False)
    ax.grid(True, axis="x")
    return ax
