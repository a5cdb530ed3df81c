"""Quality against what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import combinations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.text import Annotation

from analysis.panels import axes
from analysis.panels.axes import log_if_wide, plain_log, reach
from analysis.panels.groups import present
from analysis.panels.marks import name_marks
from analysis.panels.palette import INK, PAPER, SOFT, colours, markers
from analysis.panels.panel import Figure, Panel
from analysis.read.study import Study, rows
from analysis.stats.costs import costs
from analysis.text.formatting import brief, count, number, size_of
from study.schema.columns import GRADIENTS
from study.schema.pareto import unbeaten

LABELS = {"particle_gradients": "particle-gradient evaluations a replicate", "gpu_seconds": "GPU seconds a replicate",
          "cpu_seconds": "CPU seconds a replicate", "wall_seconds": "wall seconds of its block of replicates"}
LISTED = 20  # points of the front that the list below the figure has room for


class Pareto(Panel):
    """F3: a figure in particle-gradient evaluations and one in time."""

    name, title = "pareto", "Quality against cost"

    def frame(self, study: Study) -> pd.DataFrame:
        return costs(study)

    def is_shown(self, study: Study, frame: pd.DataFrame) -> bool:
        return len(frame) > 1 and bool(_known(frame))

    def figures(self, study: Study, frame: pd.DataFrame) -> list[Figure]:
        known, found = _known(frame), []
        times = [c for c in known if c != GRADIENTS]
        for name in [c for c in known if c not in times[1:]]:  # of times the first: wall time has waiting in it
            points = numbered(frame, name, study.lower_is_better)
            listed = min(int(points["front"].notna().sum()), LISTED) + 2
            found.append(Figure(f"pareto_{name}", "", points, partial(_plot, study, points, name),
                                (5.2, 3.9 + 0.05 * len(study.arms) + 0.136 * listed),
                                f"{study.primary} of each design cell against its {LABELS[name]}; the front's cells "
                                "are listed below the axes"))
        return found

    def caption(self, study: Study, frame: pd.DataFrame) -> str:
        return (f"{count(len(frame), 'design cell')} with survivors; open marks: a replicate diverged there. The line "
                "joins the cells that no other cell without divergence beats in both: the front, numbered from the "
                "cheapest on and listed below each figure; `front` in the CSV files.")


def _known(frame: pd.DataFrame) -> list[str]:
    """The costs that were recorded."""
    return [c for c in LABELS if c in frame and (frame[c] > 0).any()]


def _plot(study: Study, points: pd.DataFrame, name: str, ax: Axes) -> None:
    pareto(points, ax, measure=study.primary, cost=name, label=LABELS[name], arms=study.arms,
           lower_is_better=study.lower_is_better)
    lost = [axes.mark("o", "open: a replicate diverged")] if (points["diverged"] > 0).any() else []
    axes.legend(study.arms, ax, present=present(study, points), extra=lost)
    axes.say_n(ax, points["n"], "surviving replicates a mark")
    number_front(points, ax, cost=name, arms=study.arms, lower_is_better=study.lower_is_better)


def numbered(frame: pd.DataFrame, cost: str, lower_is_better: bool) -> pd.DataFrame:
    """`frame` with `front`: 1, 2, 3, ... along the Pareto front of the configurations without divergence, from the
    cheapest on; NaN off it. frame: one row per configuration with `mean`, `diverged` and `cost`."""
    whole = frame[frame["diverged"] == 0]
    points = np.stack([whole[cost], whole["mean"] * (1 if lower_is_better else -1)], axis=1)
    best = whole[np.array(unbeaten(points.tolist()), bool)].sort_values([cost, "mean"], kind="stable")
    return frame.assign(front=pd.Series(range(1, len(best) + 1), best.index, dtype=float).reindex(frame.index))


def pareto(frame: pd.DataFrame, ax: Axes, *, measure: str, cost: str, label: str, arms: Sequence[str],
           lower_is_better: bool) -> Axes:
    """Each configuration at its cost a replicate; open where a replicate diverged. The line joins those that no other
    configuration without divergence beats in both; `number_front` numbers and names them. What lies beyond the axis'
    `reach` is drawn at its end, with its value.

    frame: one row per configuration with `arm`, `mean`, `diverged`, `cost` and the `front` of `numbered`.
    """
    colour, marker, top = colours(arms), markers(arms), reach(frame["mean"])
    for row in rows(frame[frame["mean"] > top]):
        ax.annotate(f"\u2191 {number(row.mean, 2)}", (getattr(row, cost), top), xytext=(4, 2), fontsize=7, color=SOFT,
                    textcoords="offset points", gid="beyond")
    frame = frame.assign(mean=frame["mean"].clip(upper=top))
    for arm in [a for a in arms if a in set(frame["arm"])]:
        for gone in (False, True):
            own = frame[(frame["arm"] == arm) & ((frame["diverged"] > 0) == gone)]
            [line] = ax.plot(own[cost], own["mean"], marker=marker[arm], ls="", ms=5.5, color=colour[arm],
                             mfc="none" if gone else colour[arm], mec=colour[arm] if gone else PAPER,
                             mew=1.1 if gone else 0.5, gid="diverged" if gone else "whole", zorder=3)
            name_marks(line, own)
    best = frame[frame["front"].notna()].sort_values("front")
    ax.plot(best[cost], best["mean"], color=INK, lw=1.0, drawstyle="steps-post", zorder=2, gid="front")
    ax.margins(x=0.14, y=0.1)
    ax.set(xscale="log", xlabel=label, ylabel=f"{measure}, mean over survivors")
    log_if_wide(ax.yaxis, frame["mean"], 5)
    plain_log(ax.xaxis)
    return ax


def number_front(frame: pd.DataFrame, ax: Axes, *, cost: str, arms: Sequence[str], lower_is_better: bool) -> Axes:
    """A number at each point of the front, `3\u20135` at those too near for three, and below the axes what
    they are. To be called last: where a number has room depends on all that stands around the axes.

    frame: as of `pareto`, with `step_size` and `mcmc_steps`.
    """
    best, short = frame[frame["front"].notna()].sort_values("front"), brief(arms)
    lines = [f"{row.front:g}  {short[row.arm]}, {row.step_size:.4g}, {row.mcmc_steps:g}: {number(row.mean, 2)} at "
             f"{size_of(getattr(row, cost))}" for row in rows(best.head(LISTED))]
    more = [f"and {len(best) - LISTED} more, which the CSV file lists"] if len(best) > LISTED else []
    ax.annotate("\n".join(["front: arm, step size, MCMC steps: mean at its cost", *lines, *more]), (0, 0),
                xycoords="axes fraction", xytext=(-34, -50), textcoords="offset points", va="top", fontsize=7.5,
                linespacing=1.3, color=INK, gid="list")
    ax.get_figure(root=True).draw_without_rendering()  # type: ignore[union-attr]
    points = [(float(getattr(row, cost)), float(min(row.mean, ax.get_ylim()[1]))) for row in rows(best)]
    groups = [[k] for k in range(len(points))]
    while True:  # neighbours whose numbers would lie on each other share one label, until none do
        labels = [_label(ax, group, points, lower_is_better) for group in groups]
        boxes = [label.get_window_extent().padded(1) for label in labels]
        clashes = [(i, j) for i, j in combinations(range(len(boxes)), 2) if boxes[i].overlaps(boxes[j])]
        if not clashes:
            return ax
        for label in labels:
            label.remove()
        groups = _joined(groups, clashes)


def _joined(groups: Sequence[list[int]], clashes: Sequence[tuple[int, int]]) -> list[list[int]]:
    """The groups with all from i to j in one, for each clash (i, j)."""
    joined: list[list[int]] = []
    last = -1
    for i, group in enumerate(groups):
        if i <= last:
            joined[-1] = joined[-1] + group
        else:
            joined.append(group)
        last = max([last, *(j for k, j in clashes if k == i)])
    return joined


def _label(ax: Axes, group: Sequence[int], points: Sequence[tuple[float, float]], lower_is_better: bool) -> Annotation:
    """The numbers of these points of the front beside the middle one: on the side where, by what a front is, no other
    point without divergence can be, and within the axes."""
    text = f"{group[0] + 1}" + (f"\u2013{group[-1] + 1}" if len(group) > 1 else "")
    label = ax.annotate(text, points[group[len(group) // 2]], xytext=(-4, -4 if lower_is_better else 4),
                        textcoords="offset points", ha="right", va="top" if lower_is_better else "bottom", fontsize=7.5,
                        color=INK, gid="number")
    box, room = label.get_window_extent(), ax.get_window_extent()
    point = ax.get_figure(root=True).dpi / 72  # type: ignore[union-attr]  # pixels
    x, y = label.xyann
    label.xyann = (x + (max(0.0, room.x0 + 2 - box.x0) - max(0.0, box.x1 + 2 - room.x1)) / point,
                   y + (max(0.0, room.y0 + 2 - box.y0) - max(0.0, box.y1 + 2 - room.y1)) / point)
    return label
