"""What the maps over step size and MCMC steps share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from analysis.panels.groups import replicates
from analysis.panels.palette import EMPTY, PAPER, SOFT
from analysis.read.study import Study

NARROWEST = 0.78  # inches that a cell needs for its words
WIDEST = 9.0
CROWDED = 72  # cells beyond which no words are written into them


def edges(levels: Sequence[float]) -> np.ndarray:
    """Borders of the cells around `levels` on a logarithmic axis: half way, and as far beyond the ends. (k + 1,)"""
    logs = np.log(np.asarray(levels, float))
    middle = (logs[1:] + logs[:-1]) / 2
    borders: np.ndarray = np.exp(np.add(logs, [-0.35, 0.35]) if len(logs) == 1 else np.concatenate(
        [[2 * logs[0] - middle[0]], middle, [2 * logs[-1] - middle[-1]]]))
    return borders


def size(frame: pd.DataFrame, taller: float = 0.0, even: bool = False) -> tuple[float, float]:
    """Width and height in inches at which the narrowest cell of `grid`'s arm still holds its words. even: all cells are
    of one width, not as wide as on a logarithmic axis."""
    at = np.log(edges(sorted(frame["step_size"].unique())))
    cells = len(at) - 1 if even else (at[-1] - at[0]) / np.diff(at).min()
    return 0.9 + min(max(NARROWEST * cells, 2.0), WIDEST), 0.95 + taller + 0.8 * frame["mcmc_steps"].nunique()


def blank(ax: Axes, box: tuple[float, float, float, float], word: str, ran: bool,
          at: tuple[float, float] | None = None) -> None:
    """A cell (x, y, width, height) without a value: hatched where replicates ran, grey where none did."""
    x, y, wide, high = box
    ax.add_patch(Rectangle((x, y), wide, high, facecolor=PAPER if ran else EMPTY, edgecolor=SOFT if ran else EMPTY,
                           hatch="////" if ran else None, lw=0, zorder=1, gid="no survivor" if ran else "not run"))
    ax.add_patch(Rectangle((x, y), wide, high, facecolor="none", edgecolor=PAPER, lw=2, zorder=1.5))
    if word:
        ax.text(*(at or (x + wide / 2, y + high / 2)), word, ha="center", va="center", color=SOFT, fontsize=8,
                linespacing=1.35, gid="cell", zorder=3,
                bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1.5} if ran else None)


def each(study: Study) -> str:
    """How many replicates a cell of a map has, as a sentence."""
    words = replicates(study, "design")
    return f"{words[0].upper()}{words[1:]} a cell; grey cells have no finished one."
