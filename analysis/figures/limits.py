"""Where it breaks: predicted and observed limits, the limit by horizon. `f(frame, ax) -> ax`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from analysis.figures.key import log_ticks
from analysis.figures.thresholds import outside, outside_words
from analysis.frames import rows
from analysis.palette import ALARM, INK, LIGHT, PAPER, RULE, colours
from analysis.wording import brief

TICKS = 12  # step sizes that the axis has room for


def limit_chart(frame: pd.DataFrame, ax: Axes, *, arms: Sequence[str], levels: Sequence[float] = ()) -> Axes:
    """Predicted limit (red band from smallest to median direction) above what was observed, a line an arm and steps.

    frame: `tables.limits`. A bar spans the step sizes that were run. Full: no replicate diverged; hatched: none did,
    but most ended with kappa > 2; pale: up to the first level where one did (cross); grey: run beyond it. What a
    prediction outside of the axis is stands right of it. levels: step sizes that were run, by whatever arm, for the
    ticks; without them, or if they are more than TICKS, the ends and borders have ticks.
    """
    colour, short, labels = colours(arms), brief(arms), []
    left, right = frame["smallest"].min() / 1.25, 1.3 * frame["largest"].max()

    def bar(y: int, start: float, end: float, tint: str, alpha: float = 1.0, hatch: str = "") -> None:
        ax.barh(y, end - start, 0.34, left=start, color="none" if hatch else tint, alpha=alpha, hatch=hatch,
                edgecolor=tint if hatch else "none", lw=0, zorder=2)

    for y, row in enumerate(rows(frame)):
        labels.append(f"{short[row.arm]}, {row.mcmc_steps:g} steps")
        tint, begin = colour[row.arm], row.smallest / 1.06  # a level has a width, so that one level is seen
        bar(y, begin, row.largest * 1.06, RULE)
        if not math.isnan(row.stable_to):
            calm = min(row.stable_to * 1.06, row.strained_from / 1.06 if row.strained_from > 0 else math.inf)
            bar(y, begin, row.stable_to * 1.06, PAPER)
            bar(y, begin, calm, tint)
            if calm < row.stable_to:
                bar(y, calm, row.stable_to * 1.06, tint, hatch="////")
        if not math.isnan(row.diverges_from):
            bar(y, begin if math.isnan(row.stable_to) else row.stable_to * 1.06, row.diverges_from, tint, alpha=0.35)
            ax.plot(row.diverges_from, y, marker="x", ms=7, mew=2, ls="", color=INK, zorder=5, gid="diverges_from")
        if math.isfinite(row.delta_min) and not math.isnan(row.delta_med):
            _bracket(ax, y - 0.36, (row.delta_min, row.delta_med), (left, right))
        else:
            ax.annotate("no finite limit predicted" if math.isinf(row.delta_min) else "no prediction",
                        (right, y - 0.36), ha="right", va="center", fontsize=7.5, color=ALARM)
    ax.set_yticks(range(len(labels)), labels)
    ax.set_ylim(len(labels) - 0.6, -0.75)
    ax.set(xscale="log", xlim=(left, right), xlabel="step size (data units)")
    borders = [v for c in ("smallest", "stable_to", "diverges_from", "largest") for v in frame[c].dropna()]
    here = {v for v in levels if left <= v <= right}  # a tick beyond would widen the axis
    log_ticks(ax, list(here) if 0 < len(here) <= TICKS else borders)
    ax.tick_params(axis="y", colors=INK)
    ax.grid(False)
    return ax


def _bracket(ax: Axes, y: float, limits: tuple[float, float], ends: tuple[float, float]) -> None:
    """From the one predicted limit to the other; an arrow with its value where one lies outside of the axis."""
    low, high = np.clip(limits, *ends)
    ax.plot([low, high], [y] * 2, color=ALARM, lw=3, solid_capstyle="butt", zorder=4, gid="predicted")
    beyond: dict[str, list[float]] = {"<": [], ">": []}
    for value in limits:
        side = outside(value, *ends)
        if side:
            beyond[side].append(value)
        else:
            ax.plot(value, y, ls="", marker="|", ms=8, mew=2, color=ALARM, zorder=4)
    said = []
    for side, values in beyond.items():
        if values:
            ax.plot(ends[0] if side == "<" else ends[1], y, marker=side, ms=5.5, ls="", color=ALARM, zorder=6,
                    clip_on=False, gid="outside")
        if values and all(map(math.isfinite, values)):
            said.append(outside_words(side, values))
    if said:
        ax.annotate("; ".join(said), (ends[1], y), xytext=(7, 0), textcoords="offset points", va="center", fontsize=7,
                    color=ALARM, gid="beyond")


def limit_key(frame: pd.DataFrame, ax: Axes) -> Axes:
    """What the parts of `limit_chart` mean, above it; only the parts that it shows."""
    handles: list[Any] = [Patch(color=LIGHT[0][0], label="none diverged")]  # an example of an arm's colour
    if frame["strained_from"].notna().any():
        handles.append(Patch(fc="none", ec=LIGHT[0][0], hatch="////", lw=0, label="none diverged, \u03ba > 2"))
    if frame["diverges_from"].notna().any():
        handles += [Patch(color=LIGHT[0][0], alpha=0.35, lw=0, label="up to the first diverged"),
                    Line2D([], [], marker="x", ls="", mew=2, color=INK, label="first diverged"),
                    Patch(color=RULE, label="run beyond")]
    if np.isfinite(frame["delta_min"]).any():
        handles.append(Line2D([], [], color=ALARM, lw=3, marker="|", ms=8, mew=2, label="predicted limit"))
    ax.legend(handles=handles, loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=3, borderpad=0.2,
              handlelength=1.4, handletextpad=0.5, columnspacing=1.2)
    return ax


def limit_by_horizon(
    frame: pd.DataFrame, ax: Axes, *, predicted: tuple[float, float], colour: str, levels: Sequence[float]
) -> Axes:
    """The step size at which half of one arm's replicates have diverged against the horizon, within its bounds.

    frame: `horizons.limits_by_horizon` of one arm and number of MCMC steps. predicted: the law's limit in the smallest
    and the median direction; infinite where it has none, NaN where it says nothing. levels: step sizes that this arm
    ran. A triangle on the upper edge: the limit lies beyond the largest of them; on the lower: half of the replicates
    diverge at the smallest already.
    """
    low, high = min(levels) / 1.15, max(levels) * 1.25
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
