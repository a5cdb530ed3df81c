"""F6, second half: the way from the baseline to the best cell, as measured."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.panels.groups import replicates
from analysis.panels.palette import INK, PAPER, SOFT, colours, markers
from analysis.panels.panel import Figure, Panel
from analysis.read.study import Study, rows
from analysis.stats.ablation import path
from analysis.text.formatting import brief, count, number, share


class Path(Panel):
    """From the baseline to the best cell, one factor a step."""

    name, title, wide = "path", "From the baseline to the best cell", True

    def frame(self, study: Study) -> pd.DataFrame:
        return path(study)

    def plot(self, study: Study, frame: pd.DataFrame, ax: Axes) -> None:
        ablation_path(frame, ax, measure=study.primary, arms=study.arms)

    def figures(self, study: Study, frame: pd.DataFrame) -> list[Figure]:
        return [self.figure(study, frame, size=(6.4, 0.9 + 0.55 * len(frame)),
                            alt=f"Path from the baseline to the best cell in {count(len(frame) - 1, 'step')}")]

    def caption(self, study: Study, frame: pd.DataFrame) -> str:
        return ("One factor a step, the one that helps most first (fewer diverged, then the better mean); each cell as "
                f"it was measured, with 95 % t intervals over survivors ({replicates(study, 'design')} each).")


def ablation_path(frame: pd.DataFrame, ax: Axes, *, measure: str, arms: Sequence[str]) -> Axes:
    """The measured cells on the way from the baseline to the best, one row per changed factor, with t intervals; on the
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
