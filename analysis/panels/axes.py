"""What the figures share: a key to the arms, ticks at levels that were run, round numbers on a log axis, n."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.lines import Line2D
from matplotlib.path import Path

from analysis.panels.palette import SOFT, colours, dashes, markers
from analysis.text.formatting import brief

HATCHED = 3  # bands over each other whose hatches can still be read
LETTER, DOT, LINE, MARGIN = 0.073, 0.3, 0.5, 0.5  # inches in a key: a letter, what stands before a name, left of it
UP = Path([(0, -1), (0, 1), (-0.6, 0.3), (0, 1), (0.6, 0.3)], [1, 2, 1, 2, 2])  # an arrow, unlike any arm's mark
TICK, AXES = 0.16, (0.72, 0.55)  # inches that a tick's word is high; share of a figure that its axes have at least


def legend(arms: Sequence[str], ax: Axes, *, present: Sequence[str] | None = None, dots: bool = True,
           extra: Sequence[Line2D] = (), said: Mapping[str, str] | None = None) -> Axes:
    """One key to the arms, in the plan's order, above the axes, in as many columns as the figure is wide; long names
    are `brief`. arms: all of the study, which fixes their colours; present: those in the figure; extra: what other
    marks mean; said: words behind an arm's name.
    """
    colour, marker, line, short = colours(arms), markers(arms), dashes(arms), brief(arms)
    handles = [Line2D([], [], color=colour[a], marker=marker[a] if dots else "", ls="" if dots else line[a], ms=6,
                      label=short[a] + (said or {}).get(a, "")) for a in (arms if present is None else present)]
    handles += extra
    assert ax.figure is not None
    room = float(ax.figure.get_figwidth()) - MARGIN  # type: ignore[union-attr]
    wide = [len(str(h.get_label())) * LETTER + (DOT if dots else LINE) for h in handles]
    fits = [k for k in range(1, len(wide) + 1)  # as Matplotlib fills them: the first columns are one longer
            if sum(part.max() for part in np.array_split(wide, k)) <= room] or [1]
    rows = math.ceil(len(wide) / max(fits))
    columns = min(k for k in fits if math.ceil(len(wide) / k) == rows)  # rows of one length, as far as can be
    ax.legend(handles=handles, loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=columns,
              borderpad=0.2, handlelength=1.0 if dots else 2.4, handletextpad=0.4, columnspacing=1.2)
    return ax


def mark(marker: Any, label: str) -> Line2D:
    """An entry of a key: what a mark means, whatever the arm."""
    return Line2D([], [], color=SOFT, marker=marker, ls="", ms=6, mew=1.3, mfc="none", label=label)


def band(ax: Axes, x: Any, low: Any, high: Any, colour: str, hatch: str, step: Any = None) -> None:
    """A pale band between two lines, hatched so that bands over each other are told apart without colour; hatch "": of
    more than HATCHED bands in one figure, whose hatches would hide the lines."""
    ax.fill_between(x, low, high, step=step, color=colour, alpha=0.12, lw=0)
    if hatch:
        ax.fill_between(x, low, high, step=step, facecolor="none", edgecolor=colour, alpha=0.3, lw=0, hatch=hatch,
                        gid="hatch")


def reach(values: Any) -> float:
    """Up to where an axis of these values goes: the largest, or ten times what nine in ten stay below. One survivor on
    its way to infinity would flatten all others; what lies beyond is drawn on the edge and said."""
    seen = np.asarray(values, float)
    seen = seen[np.isfinite(seen)]
    return float(min(seen.max(), 10 * np.quantile(seen, 0.9))) if len(seen) and seen.min() > 0 else float(
        seen.max(initial=-math.inf))


def say_n(ax: Axes, counts: Iterable[int], of: str) -> Axes:
    """A line under the x axis' label that says n: `n = 7 replicates an arm`, or from the smallest to the largest."""
    every = sorted({int(n) for n in counts})
    ends = f"{every[0]}" if len(every) == 1 else f"{every[0]} to {every[-1]}"
    ax.set_xlabel(f"{ax.get_xlabel()}\nn = {ends} {of}")
    return ax


def log_ticks(ax: Axes, at: Sequence[float]) -> None:
    """Ticks at these levels of a logarithmic x axis, and no others."""
    ticks = sorted(set(at))
    ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
    ax.minorticks_off()


def round_levels(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten within [low, high] and the one beyond each end."""
    tens = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    every = [float(f"{a}e{k}") for k in tens for a in (1, 2, 5)]
    below, above = [v for v in every if v <= low], [v for v in every if v >= high]
    return [v for v in every if below[-1] <= v <= (above or every)[0]]


def log_if_wide(axis: Axis, values: pd.Series, ratio: float) -> None:
    """A logarithmic axis with round numbers where all values are positive and span more than `ratio`."""
    if values.min() > 0 and values.max() > ratio * values.min():
        (axis.axes.set_yscale if axis is axis.axes.yaxis else axis.axes.set_xscale)("log")
        plain_log(axis)


def plain_log(axis: Axis, upto: float = math.inf) -> None:
    """Round numbers written out on a logarithmic axis, none above `upto`: 1, 2 and 5 times powers of ten, or where
    these would touch each other powers of ten, or every second, third, ... of them; where fewer than three are seen
    multiples of a round step."""
    from matplotlib.ticker import MaxNLocator

    low, high = sorted(axis.get_view_interval())
    high = min(high, upto)
    ticks = [t for t in round_levels(low, high) if low <= t <= high]
    if not _fit(axis, ticks):
        tens = [t for t in ticks if f"{t:e}".startswith("1.0")]
        ticks = next((some for k in range(1, len(tens) + 1) if _fit(axis, some := tens[::k])), tens[:1])
    if len(ticks) < 3:
        tried = [[float(f"{t:.6g}") for t in MaxNLocator(most, steps=[1, 2, 5, 10]).tick_values(low, high)
                  if low <= t <= high] for most in (5, 4, 3, 2)]
        fit = [some for every in tried for some in (every, every[::2]) if _fit(axis, some)]
        ticks = max([ticks, *fit], key=len)
    axis.set_ticks(ticks, labels=[_plain(t) for t in ticks])
    axis.set_ticks([], minor=True)


def _plain(tick: float) -> str:
    return f"{tick:,.10g}"


def _fit(axis: Axis, ticks: Sequence[float]) -> bool:
    """Whether the words at these ticks of a logarithmic axis stay apart, in axes of the least share of their figure."""
    wide, high = axis.axes.get_figure(root=True).get_size_inches() * AXES  # type: ignore[union-attr]
    low, end = np.log(sorted(axis.get_view_interval()))
    if axis is axis.axes.yaxis:
        need = [TICK] * len(ticks)
    else:
        wide, high = high, wide
        need = [len(_plain(t)) * LETTER + 0.1 for t in ticks]
    at = (np.log(np.asarray(ticks, float)) - low) / (end - low) * high
    return all(b - a >= (m + n) / 2 for a, b, m, n in zip(at, at[1:], need, need[1:], strict=False))
