"""What the figures share: a key to the arms, ticks at levels that were run, round numbers on a log axis."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.lines import Line2D

from analysis.palette import colours, dashes, markers


def legend(arms: Sequence[str], ax: Axes, *, present: Sequence[str] | None = None, dots: bool = True) -> Axes:
    """One key to the arms, in the plan's order, above the axes. arms: all of the study, which fixes their colours;
    present: those in the figure.
    """
    colour, marker, line = colours(arms), markers(arms), dashes(arms)
    handles = [Line2D([], [], color=colour[a], marker=marker[a] if dots else "", ls="" if dots else line[a], ms=6,
                      label=a) for a in (arms if present is None else present)]
    ax.legend(handles=handles, loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=4, borderpad=0.2,
              handlelength=1.0 if dots else 2.4, handletextpad=0.4, columnspacing=1.2)
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


def plain_log(axis: Axis) -> None:
    """Round numbers written out on a logarithmic axis."""
    low, high = axis.get_view_interval()
    ticks = [t for t in round_levels(low, high) if low <= t <= high]
    axis.set_ticks(ticks, labels=[f"{t:,.10g}" for t in ticks])
    axis.set_ticks([], minor=True)
