"""Learning curves: the primary measure while training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.panels import axes
from analysis.panels.axes import HATCHED, band, plain_log, round_levels
from analysis.panels.groups import arm_groups, design, nearest_note, present, replicates, some_of, unfolded
from analysis.panels.marks import name_marks
from analysis.panels.palette import colours, dashes, hatches
from analysis.panels.panel import Figure, Panel
from analysis.read.study import CELL, Study
from analysis.stats import horizons
from analysis.stats.cells import common_cell
from analysis.stats.inference import t_interval
from analysis.stats.nearest_cells import nearest_cells
from analysis.text.formatting import slug

WIDE = 5.0  # ratio of the largest value to the smallest from which an axis is logarithmic
CROWDED = 100  # replicates in one figure beyond which only means and bands are drawn


class Curves(Panel):
    """F4: the primary measure while training, each arm at its cell nearest to the common number of MCMC steps
    (`nearest_cells`)."""

    name, title, folded = "curves", "Learning curves", "other cells"

    def frame(self, study: Study) -> pd.DataFrame:
        frame, measure = design(study.curves), study.primary
        if frame.empty or measure not in frame or common_cell(study) is None:
            return pd.DataFrame()
        ends = study.finals[["config_hash", "seed", "diverged"]]
        return frame.dropna(subset=[measure]).merge(ends, on=["config_hash", "seed"])

    def figures(self, study: Study, frame: pd.DataFrame) -> list[Figure]:
        found = []
        for group in some_of(nearest_cells(study)):
            for end, words, cell in arm_groups(study, frame[frame["config_hash"].isin(group.cells)]):
                if cell.empty:
                    continue
                heading = group.heading + (f": {words}" if words else "")
                found.append(Figure(f"curves_{slug(group.name)}{end}", heading,
                                    cell[["arm", *CELL, "seed", "update", "diverged", study.primary]],
                                    partial(_plot, study, cell, frame, group.said), (4.4, 3.3),
                                    f"{study.primary} against update at {heading}", not group.declared))
        return unfolded(found)

    def caption(self, study: Study, frame: pd.DataFrame) -> str:
        masked = (" A masked divergence is found at the end, where its cross stands."
                  if horizons.masked(design(study.finals)).any() else "")
        return (f"{study.primary} while training. {nearest_note(study)} Thin lines: replicates, a cross at the last "
                f"evaluation of one that diverged.{masked} Thick line and band: mean and 95 % t interval, drawn while "
                f"every one of the arm's replicates lives, up to a bar ({replicates(study, 'design')} a cell).")


def _plot(study: Study, cell: pd.DataFrame, frame: pd.DataFrame, said: dict[str, str], ax: Axes) -> None:
    learning_curves(cell, ax, measure=study.primary, arms=study.arms, within=frame)
    lost = [axes.mark("x", "diverged")] if cell["diverged"].any() else []
    axes.legend(study.arms, ax, present=present(study, cell), dots=False, extra=lost, said=said)
    axes.say_n(ax, cell.groupby("arm")["seed"].nunique(), "replicates an arm")


def learning_curves(frame: pd.DataFrame, ax: Axes, *, measure: str, arms: Sequence[str],
                    within: pd.DataFrame | None = None) -> Axes:
    """Every replicate a thin line, with a cross where it diverges; mean and t band while all replicates of the arm
    live, ending in a bar where one diverges: after that the mean would be one over survivors only.

    frame: curves of one cell with `arm`, `seed`, `update`, `diverged`, `measure`; within: of the cells of all figures,
    with `config_hash`, whose axes are one. The axis is logarithmic, since the
    first evaluations are tens of times the last; where values are not positive (an unbiased estimate near 0) it is
    linear up to the size that the last ones have, which its label says. Its upper end is the survivors'
    largest value or, where all diverged, the first evaluations': one replicate on its way to infinity would flatten
    all others; it leaves through the top, its cross on the edge.
    """
    colour, line, hatch = colours(arms), dashes(arms), hatches(arms)
    within = frame.assign(config_hash=frame["arm"]) if within is None else within
    calm = within.loc[~within["diverged"].astype(bool), measure]
    by_replicate = within.sort_values("update").groupby(["config_hash", "seed"])[measure]
    first = by_replicate.first()
    log = bool((within[measure] > 0).all())
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
                [cross] = ax.plot(own.index[-1], min(own.iloc[-1], top), marker="x", ms=6, mew=1.6, ls="",
                                  color=colour[arm], gid="diverged", clip_on=False)
                name_marks(cross, frame[(frame["arm"] == arm) & (frame["seed"] == seed)].head(1))
        whole = wide.dropna()
        if len(whole) and wide.shape[1] > 1:
            found = [t_interval(row) for row in whole.to_numpy()]
            low, high, middle = ([getattr(i, k) for i in found] for k in ("low", "high", "estimate"))
            band(ax, whole.index, np.maximum(low, within[measure].min()) if log else low, high, colour[arm],
                 hatch[arm] if len(shown) <= HATCHED else "")
            ax.plot(whole.index, middle, color=colour[arm], lw=2, ls=line[arm], label=arm, gid="mean")
            if gone:
                ax.plot(whole.index[-1], min(middle[-1], top), marker="|", ms=12, mew=2.2, ls="", color=colour[arm],
                        clip_on=False)
    ax.set(xlabel="update", ylabel=measure, xlim=(0, 1.03 * within["update"].max()))
    last = by_replicate.last().abs().median()
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
        ax.set_ylim(0.85 * within[measure].min() if log else min(0.0, within[measure].min()), top)
    if log:
        plain_log(ax.yaxis)
    return ax
