"""Quality in every cell of step size and MCMC steps."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize

from analysis.panels.axes import plain_log
from analysis.panels.panel import Figure, Panel
from analysis.panels.plane import Plane, each, parts
from analysis.read.study import Study, rows
from analysis.stats.cells import grid
from analysis.stats.comparisons import gaps
from analysis.text.formatting import count, number

COLOURS = "crest"  # seaborn's, perceptually uniform
WORSE = "#f2ddc9"  # of cells beyond the scale: no colour of COLOURS
CLIPPED = 3.0  # how many times the end of the scale the worst cell may be without an end before it
ROW = 0.6  # inches
WIDE = 4.0  # ratio of the ends of a scale from which it is logarithmic


class Quality(Panel):
    """F1: the mean of the primary measure in every cell, one colour scale for all arms."""

    name, title, wide = "quality", "Quality", True
    folded = "all numbers of MCMC steps"

    def frame(self, study: Study) -> pd.DataFrame:
        return grid(study).assign(gap=gaps(study, grid(study)))

    def is_shown(self, study: Study, frame: pd.DataFrame) -> bool:
        return bool(frame["replicates"].any())

    def figures(self, study: Study, frame: pd.DataFrame) -> list[Figure]:
        found: list[Figure] = []
        scale = _scale(study, frame)
        for end, heading, own in parts(study, frame):
            draw = partial(quality_map, own, scale=scale[0], measure=study.primary, arms=study.arms,
                           lower_is_better=study.lower_is_better, clipped=scale[1] > 0)
            wide, high = Plane.of(own, study.arms).size(ROW)
            found.append(Figure(f"quality{end}", heading, own, draw, (wide, high + 0.5),
                                f"{study.primary} by step size and MCMC steps {heading}".strip() +
                                "; the table of all cells holds it", bool(found)))
        return found

    def caption(self, study: Study, frame: pd.DataFrame) -> str:
        scale, clipped = _scale(study, frame)
        low = study.lower_is_better
        end = (f", which ends at {number(scale[1] if low else scale[0], 2)}: {count(clipped, 'cell')} beyond share one "
               "pale colour of their own, the arrow of the colour bar" if clipped else "")
        return (f"{study.primary} ({'lower' if low else 'higher'} is better): mean over surviving replicates; below it "
                "the mean difference to the baseline in the same cell, over the seeds on which both survived; n where "
                f"some diverged, since few survivors flatter their cell. One colour scale, darker is better{end}. "
                f"Hatched: all diverged. {each(study)}")


def _scale(study: Study, frame: pd.DataFrame) -> tuple[tuple[float, float], int]:
    """`scale_of` all arms, and how many cells lie beyond it."""
    seen = frame["mean"].dropna()
    low, high = scale_of(seen, study.lower_is_better) if len(seen) else (0.0, 1.0)
    return (low, high), int(((seen > high) | (seen < low)).sum())


def scale_of(means: pd.Series, lower_is_better: bool) -> tuple[float, float]:
    """From where to where the colours of a map of these means go: its better end is the best; its worse end is the
    worst, or where three quarters of the cells are better, if the worst is more than CLIPPED times as far from 0.
    One cell on its way to infinity would give all others one colour. The means are finite and at least one."""
    low, high = float(means.min()), float(means.max())
    if lower_is_better:
        fence = float(means.quantile(0.75))
        return (low, fence) if low > 0 and high > CLIPPED * fence else (low, high)
    fence = float(means.quantile(0.25))
    return (fence, high) if low < fence - CLIPPED * (high - fence) else (low, high)


def quality_map(frame: pd.DataFrame, ax: Axes, *, scale: tuple[float, float], measure: str, arms: Sequence[str],
                lower_is_better: bool, clipped: bool = False) -> Axes:
    """Mean of the primary over survivors; each cell says it, its difference to the baseline (`gap`) and n where some
    diverged. frame: rows of `grid`.

    scale: `scale_of` all arms, logarithmic from a ratio of WIDE on; clipped: whether some arm has a cell beyond it;
    such cells have the colour WORSE, as the end of the colour bar says. Hatched: ran, but none survived; grey: no
    finished replicate.
    """
    import seaborn as sns

    (low, high), plane = scale, Plane.of(frame, arms)
    log = 0 < WIDE * low < high
    end = "max" if clipped and lower_is_better else "min" if clipped else "neither"
    mesh = plane.plot(
        frame, ax, "mean", [_words(cell) for cell in rows(frame)],
        LogNorm(low, high) if log else Normalize(low, max(high, low + 1e-12)),
        sns.color_palette(COLOURS + ("_r" if lower_is_better else ""), as_cmap=True).with_extremes(
            over=WORSE, under=WORSE))
    bar = ax.figure.colorbar(mesh, ax=ax, location="bottom", pad=0.02, aspect=28, shrink=0.8, extend=end,
                             label=f"{measure}; {'right' if lower_is_better else 'left'} of the end: worse" if clipped
                             else measure)
    if log:
        plain_log(bar.ax.xaxis)
    else:
        bar.ax.locator_params(nbins=4)  # of values that hardly differ each tick has many digits
    bar.outline.set_visible(False)
    bar.ax.grid(False)
    return ax


def _words(cell: Any) -> str:
    """`0.108`, its difference to the baseline, and `n = 5 of 7` where some diverged."""
    if not cell.n:
        return "no survivor" if cell.replicates else str(cell.state)
    gap = "" if np.isnan(cell.gap) else f"{'+' if cell.gap > 0 else ''}{number(cell.gap, 2)}"
    few = f"n = {cell.n} of {cell.replicates}" if cell.diverged else ""
    return "\n".join(filter(None, (number(cell.mean, 2), gap, few)))
