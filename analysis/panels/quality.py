"""Quality in every cell of step size and MCMC steps."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize

from analysis.panels.axes import plain_log
from analysis.panels.palette import PAPER, SOFT
from analysis.panels.panel import Figure, Panel
from analysis.panels.plane import CROWDED, blank, each, size
from analysis.read.frames import rows
from analysis.read.study import Study
from analysis.stats.cells import grid
from analysis.text.formatting import count, number, share, slug

COLOURS = "crest"  # seaborn's, perceptually uniform
WORSE = "#f2ddc9"  # of cells beyond the scale: no colour of COLOURS
CLIPPED = 3.0  # how many times the end of the scale the worst cell may be without an end before it
WIDE = 4.0  # ratio of the ends of a scale from which it is logarithmic


class Quality(Panel):
    """F1: the mean of the primary measure in every cell, one colour scale for all arms."""

    name, title = "quality", "Quality"

    def frame(self, study: Study) -> pd.DataFrame:
        return grid(study)

    def is_shown(self, study: Study, frame: pd.DataFrame) -> bool:
        return bool(frame["replicates"].any())

    def figures(self, study: Study, frame: pd.DataFrame) -> list[Figure]:
        scale, clipped = _scale(study, frame)
        found = []
        for i, arm in enumerate(study.arms):
            own: pd.DataFrame = frame[frame["arm"] == arm]
            if len(own) < 2:  # no plane; its cell stands in the tables
                continue
            draw = partial(quality_map, own, scale=scale, measure=study.primary,
                           lower_is_better=study.lower_is_better, clipped=clipped > 0)
            wide, high = size(own, even=True)
            found.append(Figure(f"quality_{i}_{slug(arm)}", arm, own, draw, (wide + 0.9, high),
                                f"{study.primary} of {arm} by step size and MCMC steps; the table of all cells holds "
                                "it"))
        return found

    def caption(self, study: Study, frame: pd.DataFrame) -> str:
        scale, clipped = _scale(study, frame)
        low = study.lower_is_better
        end = (f", which ends at {number(scale[1] if low else scale[0], 2)}: {count(clipped, 'cell')} beyond share one "
               "pale colour of their own, the arrow of the colour bar" if clipped else "")
        return (f"{study.primary} ({'lower' if low else 'higher'} is better): mean over surviving replicates, n of "
                f"them, and how many diverged. One colour scale for all arms, darker is better{end}; few survivors "
                f"flatter their cell. Hatched: all diverged. {each(study)}")


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


def quality_map(frame: pd.DataFrame, ax: Axes, *, scale: tuple[float, float], measure: str,
                lower_is_better: bool, clipped: bool = False) -> Axes:
    """Mean of the primary over survivors; each cell says the mean, n and k/n diverged. frame: one arm of `grid`.

    scale: `scale_of` all arms, logarithmic from a ratio of WIDE on; clipped: whether some arm has a cell beyond it;
    such cells have the colour WORSE, as the end of the colour bar says. Hatched: ran, but none survived; grey: no
    finished replicate.
    """
    import seaborn as sns

    words = [
        cell.state
        if not cell.replicates
        else (f"{number(cell.mean, 2)}\nn = {cell.n}" if cell.n else "no survivor")
        + f"\n{share(cell.diverged, cell.replicates)} div."
        for cell in rows(frame)
    ]
    low, high = scale
    log = 0 < WIDE * low < high
    end = "max" if clipped and lower_is_better else "min" if clipped else "neither"
    wide = frame.assign(words=words).pivot(index="mcmc_steps", columns="step_size")
    mean, text = wide["mean"], wide["words"].fillna("not planned")
    crowded = text.size > CROWDED  # colours alone; the table of all cells has the numbers
    sns.heatmap(mean, mask=mean.isna(), ax=ax, vmin=low, vmax=high, norm=LogNorm(low, high) if log else
                Normalize(low, max(high, low + 1e-12)), linewidths=2, linecolor=PAPER, fmt="",
                cmap=sns.color_palette(COLOURS + ("_r" if lower_is_better else ""), as_cmap=True).with_extremes(
                    over=WORSE, under=WORSE),
                annot=False if crowded else text, annot_kws={"fontsize": 8, "linespacing": 1.35, "gid": "cell"},
                cbar_kws={"pad": 0.02, "aspect": 14, "label": measure, "extend": end},
                yticklabels=[f"{v:g}" for v in mean.index], xticklabels=_some(mean.columns, crowded))
    ran = frame.pivot(index="mcmc_steps", columns="step_size", values="replicates").fillna(0)
    for i, j in np.argwhere(mean.isna().to_numpy()):
        blank(ax, (j, i, 1, 1), "" if crowded else text.to_numpy()[i, j], bool(ran.to_numpy()[i, j]))
    ax.invert_yaxis()
    ax.grid(False)
    ax.tick_params(axis="both", rotation=0)
    ax.set(xlabel="step size (data units)", ylabel="MCMC steps")
    bar = ax.collections[0].colorbar
    assert bar is not None
    if log:
        plain_log(bar.ax.yaxis)
    bar.outline.set_visible(False)
    bar.ax.grid(False)
    if clipped:
        bar.ax.set_title("worse", fontsize=7.5, fontweight="normal", color=SOFT, loc="center") if lower_is_better else (
            bar.ax.set_xlabel("worse", fontsize=7.5, color=SOFT))
    return ax


def _some(levels: Any, crowded: bool) -> list[str]:
    """Labels of the step sizes; of many every third alone."""
    return [f"{v:g}" if not crowded or k % 3 == 0 else "" for k, v in enumerate(levels)]
