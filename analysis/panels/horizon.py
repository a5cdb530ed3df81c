"""The limit depends on how long one looks: the observed limit by the number of updates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.panels import axes
from analysis.panels.axes import log_ticks
from analysis.panels.groups import design, present, replicates
from analysis.panels.palette import ALARM, colours
from analysis.panels.panel import Figure, Panel
from analysis.panels.thresholds import outside
from analysis.read.study import Study
from analysis.stats import horizons
from analysis.stats.cells import common_cell, ran
from analysis.stats.limits import limits
from analysis.stats.nearest_cells import nearest
from analysis.text.formatting import count, slug


class Horizon(Panel):
    """The observed limit of each arm had the study ended earlier, at its number of MCMC steps nearest to the common."""

    name, title = "horizon", "The limit depends on how long one looks"

    def frame(self, study: Study) -> pd.DataFrame:
        frame, common = horizons.limits_by_horizon(study), common_cell(study)
        if frame.empty or common is None:
            return pd.DataFrame()
        frame = frame.merge(limits(study)[["arm", "mcmc_steps", "delta_min", "delta_med"]], on=["arm", "mcmc_steps"])
        close = nearest(ran(study), common[1]).groupby("arm")["mcmc_steps"]
        return frame[frame["mcmc_steps"] == frame["arm"].map(close.agg(lambda steps: steps.mode().iloc[-1]))]

    def is_shown(self, study: Study, frame: pd.DataFrame) -> bool:
        return len(frame) > 0 and bool(frame["diverged"].any())

    def figures(self, study: Study, frame: pd.DataFrame) -> list[Figure]:
        colour, found = colours(study.arms), []
        cells = ran(study).merge(frame[["arm", "mcmc_steps"]].drop_duplicates())
        ends = float(cells["step_size"].min()), float(cells["step_size"].max())  # of all figures
        for i, arm in enumerate(present(study, frame)):
            own = frame[frame["arm"] == arm]
            if not own["diverged"].any():
                continue
            levels = cells.loc[cells["arm"] == arm, "step_size"].tolist()
            found.append(Figure(f"horizon_{i}_{slug(arm)}", f"{arm}, {own['mcmc_steps'].iloc[0]:g} MCMC steps", own,
                                partial(_plot, own, colour[arm], levels, ends), (3.6, 3.0),
                                f"Observed step-size limit of {arm} by the number of updates; its CSV file holds it"))
        return found

    def caption(self, study: Study, frame: pd.DataFrame) -> str:
        common = common_cell(study)
        assert common is not None
        quiet = [a for a in present(study, frame) if not frame.loc[frame["arm"] == a, "diverged"].any()]
        none = f" No replicate of {', '.join(quiet)} diverged." if quiet else ""
        if horizons.masked(design(study.finals)).any():
            none += " A masked divergence is found at the end, so it counts at the last horizon alone."
        where = f"{common[1]:g} MCMC steps, or the arm's number nearest to it; {replicates(study, 'design')} a level"
        return ("Step size from which half of the replicates have diverged, had the study ended after so many updates "
                f"({where}). Shaded: where Wilson's 95 % intervals leave it; triangles: beyond the largest level, or "
                f"at the smallest already.{none}")


def _plot(own: pd.DataFrame, colour: str, levels: list[float], ends: tuple[float, float], ax: Axes) -> None:
    predicted = (float(own["delta_min"].iloc[0]), float(own["delta_med"].iloc[0]))
    limit_by_horizon(own, ax, predicted=predicted, colour=colour, levels=levels, ends=ends)
    axes.say_n(ax, own["replicates"].unique(), f"replicates over {count(len(levels), 'step size')}")


def limit_by_horizon(
    frame: pd.DataFrame, ax: Axes, *, predicted: tuple[float, float], colour: str, levels: Sequence[float],
    ends: tuple[float, float] | None = None,
) -> Axes:
    """The step size at which half of one arm's replicates have diverged against the horizon, within its bounds.

    frame: `horizons.limits_by_horizon` of one arm and number of MCMC steps. predicted: the law's limit in the smallest
    and the median direction; infinite where it has none, NaN where it says nothing. levels: step sizes that this arm
    ran; ends: the smallest and the largest of all figures. A triangle on the upper edge: the limit lies beyond the
    largest of the levels; on the lower: half of the replicates diverge at the smallest already.
    """
    start, end = ends or (min(levels), max(levels))
    low, high = start / 1.15, end * 1.25
    x = frame["horizon"]
    ax.fill_between(x, frame["low"].clip(low, high), frame["high"].clip(low, high), color=colour, alpha=0.18, lw=0)
    above, below = np.isinf(frame["limit"]), frame["limit"] <= min(levels)
    seen = ~above & ~below
    ax.plot(x[seen], frame.loc[seen, "limit"], marker="o", ms=4, lw=1.4, color=colour, gid="limit")
    for part, edge, shape, gid in ((above, high / 1.06, "^", "beyond"), (below, low * 1.06, "v", "below")):
        ax.plot(x[part], np.full(int(part.sum()), edge), marker=shape, ms=4, ls="", color=colour, gid=gid)
    for value, style, name in zip(predicted, ("-", "--"), ("smallest", "median"), strict=True):
        if math.isfinite(value):
            side = outside(value, low, high)
            where = {"": "", "<": f": {value:.2g}, below the grid", ">": f": {value:.2g}, beyond the grid"}[side]
            ax.axhline(float(np.clip(value, low, high)), color=ALARM, ls=style, lw=0 if side else 1.4,
                       label=f"predicted, {name} direction{where}")
    if any(map(math.isfinite, predicted)):
        ax.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=1, borderpad=0.2, handlelength=1.8,
                  fontsize=7.5)
    if math.isinf(predicted[0]):
        ax.annotate("no finite limit predicted", (0.98, 0.03), xycoords="axes fraction", ha="right", fontsize=7.5,
                    color=ALARM)
    ax.set(xscale="log", yscale="log", ylim=(low, high), xlabel="horizon (updates)", ylabel="step size (data units)")
    log_ticks(ax, [u for u in x if str(u).strip("0") in ("1", "3") and u < 0.6 * x.max()] + [int(x.max())])
    ax.set_yticks(sorted(set(levels)), [f"{v:g}" for v in sorted(set(levels))], minor=False)
    ax.tick_params(axis="y", which="minor", labelleft=False)
    return ax
