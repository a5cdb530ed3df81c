"""F6, first half: knobs by how much of the ranking they explain."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.panels.palette import INK, PAPER, colours, hatches
from analysis.panels.panel import Figure, Panel
from analysis.read.study import Study, rows
from analysis.stats.effects import FOLDS, REPEATS, TREES, importance
from analysis.text.formatting import brief


class Importance(Panel):
    """Which knob matters."""

    name, title, wide = "importance", "Which knob matters", True

    def frame(self, study: Study) -> pd.DataFrame:
        return importance(study)

    def plot(self, study: Study, frame: pd.DataFrame, ax: Axes) -> None:
        importances(frame, ax, arms=study.arms)

    def figures(self, study: Study, frame: pd.DataFrame) -> list[Figure]:
        return [self.figure(study, frame, size=(6.4, 0.8 + 0.3 * len(frame)), alt="Importance of each arm's knobs")]

    def caption(self, study: Study, frame: pd.DataFrame) -> str:
        n = "; ".join(f"{row['arm']}: {row['configurations']} configurations, {row['replicates']} replicates, R\u00b2 "
                      f"{row['r2']:.2f}" for row in frame.drop_duplicates("arm").to_dict("records"))
        return (f"Evaluator: permutation importance of a random forest ({TREES} trees) fitted to ranks with divergence "
                f"as worst; bars are means over {REPEATS} shuffles, whiskers their standard deviation. R\u00b2: of "
                f"configurations that the forest has not seen ({FOLDS} folds, a configuration's replicates together); "
                f"where it is low, the bars say little. {n}.")


def importances(frame: pd.DataFrame, ax: Axes, *, arms: Sequence[str]) -> Axes:
    """One bar per arm and knob with its standard deviation over shuffles. frame: `effects.importance`."""
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
