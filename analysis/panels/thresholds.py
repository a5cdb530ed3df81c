"""Limits on the stability phase diagram: predicted and observed, and arrows to those outside of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from analysis.panels.palette import ALARM, INK, PAPER
from analysis.panels.plane import Plane
from analysis.read.study import rows

STYLES = {"delta_min": "-", "delta_med": (0, (1.6, 1.0))}
# The cells below are as light in the dark, so the box is, too: a colour that `themed` does not know.
BOX = {"facecolor": "#fefefd", "edgecolor": "none", "pad": 1.0, "alpha": 0.85}
IN_BOX = "#a3201a"


def draw(ax: Axes, plane: Plane, ran: Mapping[tuple[int, str], tuple[float, float]], *, limits: pd.DataFrame,
         observed: pd.DataFrame) -> Axes:
    """Predicted limits in the lower third of each row, the observed one along its top, and a key above.

    ran: the smallest and the largest step size that ran in each row, beyond which an observed limit may lie.
    """
    limits, observed = (of[np.array([key in ran for key in zip(of["mcmc_steps"], of["arm"], strict=True)], bool)]
                        for of in (limits, observed))
    for limit in rows(limits):
        _predicted(ax, limit, plane.rows[limit.mcmc_steps, limit.arm], plane)
    for seen in rows(observed):
        key = seen.mcmc_steps, seen.arm
        _observed(ax, seen, plane.rows[key] + 0.89, plane, ran[key])
    handles: list[Any] = []
    if np.isfinite(limits["delta_min"].astype(float)).any():
        handles = [Line2D([], [], color=ALARM, lw=2, label="predicted, smallest"),
                   Line2D([], [], color=ALARM, lw=2, ls=STYLES["delta_med"], label="median direction")]
    if np.isfinite(observed["limit"].astype(float)).any():
        handles.append(Line2D([], [], color=INK, marker="D", ms=5, lw=1.2, label="observed"))
    if len(observed) and not np.isfinite(observed["limit"].astype(float)).all():
        handles.append(Line2D([], [], color=INK, marker=">", ms=6, ls="", label="observed beyond"))
    none = len(limits) and np.isinf(limits["delta_min"]).all()
    if handles or none:
        left = -min(0.4, plane.names / plane.across)  # over the names of the rows, unless these are long
        ax.legend(handles=handles, loc="lower left", bbox_to_anchor=(left, 1.0), ncols=2, borderpad=0.2, fontsize=7.5,
                  handlelength=1.6, columnspacing=1.0, alignment="left", title_fontsize=7.5,
                  title="no finite limit predicted" if none else None)
    return ax


def outside(value: float, low: float, high: float) -> str:
    """`<` or `>`: on which side of the range a value lies; "" within."""
    return "<" if value < low else ">" if value > high else ""


def outside_words(side: str, values: Sequence[float]) -> str:
    """`0.01 and 0.03, below the grid`: predictions that lie outside of it."""
    return " and ".join(f"{v:.2g}" for v in values) + (", below the grid" if side == "<" else ", beyond the grid")


def arrow(ax: Axes, side: str, at: float, y: float, values: Sequence[float]) -> None:
    """A mark on the edge at `at` that points out of the plot, beside it the predictions that lie there in words."""
    ax.plot(at, y, marker=side, ms=5.5, ls="", color=ALARM, mec=PAPER, mew=0.4, zorder=6, gid="outside",
            clip_on=False)
    ax.annotate(outside_words(side, values), (at, y), xytext=(6 if side == "<" else -6, 0),
                textcoords="offset points", va="center",
                ha="left" if side == "<" else "right", fontsize=7, color=IN_BOX, zorder=6, bbox=BOX)


def _predicted(ax: Axes, limit: Any, y: int, plane: Plane) -> None:
    beyond: dict[str, list[float]] = {"<": [], ">": []}
    for name, style in STYLES.items():
        value = getattr(limit, name)
        if not math.isfinite(value):
            continue
        at, end = float(plane.place(value)), len(plane.levels)
        if at in (0, end):
            beyond[">" if at else "<"].append(value)
            continue
        low, high = plane.place([_or(getattr(limit, f"{name}_{bound}"), value) for bound in ("low", "high")])
        ax.fill_between([low, high], y + 0.02, y + 0.29, color=ALARM, alpha=0.3, lw=0, zorder=3)
        ax.plot([at, at], [y + 0.02, y + 0.29], color=PAPER, lw=4.5, solid_capstyle="butt", zorder=4)
        ax.plot([at, at], [y + 0.02, y + 0.29], color=ALARM, lw=2.2, ls=style, zorder=5, gid=name)
    for side, values in beyond.items():
        if values:
            arrow(ax, side, 0 if side == "<" else len(plane.levels), y + 0.2, values)


def _observed(ax: Axes, seen: Any, height: float, plane: Plane, ran: tuple[float, float]) -> None:
    """A diamond with its bar; an arrow where half diverge at the smallest level already, or at none."""
    start, end = float(plane.place(ran[0])) - 0.5, float(plane.place(ran[1])) + 0.5
    below = seen.limit <= ran[0]
    if below or not math.isfinite(seen.limit):
        ax.plot(start + 0.05 if below else end - 0.05, height, marker="<" if below else ">", ms=6, ls="", color=INK,
                mec=PAPER, zorder=6, gid="below" if below else "beyond")
        return
    low, high = np.clip(plane.place(np.maximum([seen.low, seen.high], 1e-300)), start, end)
    for colour, width in ((PAPER, 3.4), (INK, 1.4)):
        ax.plot([low, high], [height, height], color=colour, lw=width, solid_capstyle="butt", zorder=5)
    ax.plot(plane.place(seen.limit), height, marker="D", ms=5.5, ls="", color=INK, mec=PAPER, zorder=6, gid="observed")


def _or(value: float, other: float) -> float:
    return value if math.isfinite(value) else other
