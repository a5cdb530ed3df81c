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
from analysis.read.frames import rows

STYLES = {"delta_min": "-", "delta_med": (0, (1.6, 1.0))}
BOX = {"facecolor": PAPER, "edgecolor": "none", "pad": 1.0, "alpha": 0.85}


def draw(ax: Axes, levels: Sequence[float], borders: np.ndarray, ran: Mapping[float, float], *,
         limits: pd.DataFrame, observed: pd.DataFrame) -> Axes:
    """Predicted limits in the lower third of each row, the observed one along its top, and a key above.

    levels: the step sizes of the columns; borders: of their cells; ran: each row's number of MCMC steps and the right
    border of the largest step size that ran with it, beyond which an observed limit that was not reached lies.
    """
    chains, ends = list(ran), borders[[0, -1]]
    for limit in rows(limits):
        _predicted(ax, limit, chains.index(limit.mcmc_steps), ends)
    for seen in rows(observed):
        _observed(ax, seen, chains.index(seen.mcmc_steps) + 0.89, levels, (ends[0], ran[seen.mcmc_steps]))
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
        ax.legend(handles=handles, loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=3, borderpad=0.2, fontsize=7.5,
                  handlelength=1.6, columnspacing=1.0, title="no finite limit predicted" if none else None,
                  title_fontsize=7.5, alignment="left")
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
                ha="left" if side == "<" else "right", fontsize=7, color=ALARM, zorder=6, bbox=BOX)


def _predicted(ax: Axes, limit: Any, y: int, ends: np.ndarray) -> None:
    beyond: dict[str, list[float]] = {"<": [], ">": []}
    for name, style in STYLES.items():
        at = getattr(limit, name)
        if not math.isfinite(at):
            continue
        side = outside(at, ends[0], ends[1])
        if side:
            beyond[side].append(at)
            continue
        low, high = np.clip([_or(getattr(limit, f"{name}_{end}"), at) for end in ("low", "high")], *ends)
        ax.fill_between([low, high], y + 0.02, y + 0.29, color=ALARM, alpha=0.3, lw=0, zorder=3)
        ax.plot([at, at], [y + 0.02, y + 0.29], color=PAPER, lw=4.5, solid_capstyle="butt", zorder=4)
        ax.plot([at, at], [y + 0.02, y + 0.29], color=ALARM, lw=2.2, ls=style, zorder=5, gid=name)
    for side, values in beyond.items():
        if values:
            arrow(ax, side, ends[0] if side == "<" else ends[1], y + 0.39, values)


def _observed(ax: Axes, seen: Any, height: float, levels: Sequence[float], ends: tuple[float, float]) -> None:
    """A diamond with its bar; an arrow where half diverge at the smallest level already, or at none."""
    if not math.isfinite(seen.limit) or seen.limit <= min(levels):
        side = "<" if seen.limit <= min(levels) else ">"
        ax.plot(ends[0] * 1.02 if side == "<" else ends[1] / 1.02, height, marker=side, ms=6, ls="", color=INK,
                mec=PAPER, zorder=6, gid="below" if side == "<" else "beyond")
        return
    low, high = np.clip([seen.low, seen.high], *ends)
    for colour, width in ((PAPER, 3.4), (INK, 1.4)):
        ax.plot([low, high], [height, height], color=colour, lw=width, solid_capstyle="butt", zorder=5)
    ax.plot(seen.limit, height, marker="D", ms=5.5, ls="", color=INK, mec=PAPER, zorder=6, gid="observed")


def _or(value: float, other: float) -> float:
    return value if math.isfinite(value) else other
