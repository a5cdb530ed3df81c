"""Heat maps over step size and MCMC steps: quality, and divergence with its limits. `f(frame, ax) -> ax`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, LogNorm, Normalize
from matplotlib.patches import Rectangle

from analysis.figures.key import log_ticks, plain_log, round_levels
from analysis.figures.thresholds import draw as draw_limits
from analysis.frames import rows
from analysis.palette import EMPTY, PAPER, SOFT
from analysis.wording import number, share

QUALITY_MAP, RATE_MAP = "crest", "rocket_r"  # seaborn's perceptually uniform maps; the second one's own end is black
NARROWEST = 0.78  # inches that a cell needs for its words
WIDEST = 9.0
WORSE = "#f2ddc9"  # of cells beyond the scale: no colour of QUALITY_MAP
CLIPPED = 3.0  # how many times the end of the scale the worst cell may be without an end before it
WIDE = 4.0  # ratio of the ends of a scale from which it is logarithmic
CROWDED = 72  # cells beyond which no words are written into them


def edges(levels: Sequence[float]) -> np.ndarray:
    """Borders of the cells around `levels` on a logarithmic axis: half way, and as far beyond the ends. (k + 1,)"""
    logs = np.log(np.asarray(levels, float))
    if len(logs) == 1:
        return np.exp(np.array([logs[0] - 0.35, logs[0] + 0.35]))
    middle = (logs[1:] + logs[:-1]) / 2
    return np.exp(np.concatenate([[2 * logs[0] - middle[0]], middle, [2 * logs[-1] - middle[-1]]]))


def size(frame: pd.DataFrame, taller: float = 0.0, even: bool = False) -> tuple[float, float]:
    """Width and height in inches at which the narrowest cell of `grid`'s arm still holds its words. even: all cells are
    of one width, not as wide as on a logarithmic axis."""
    at = np.log(edges(sorted(frame["step_size"].unique())))
    cells = len(at) - 1 if even else (at[-1] - at[0]) / np.diff(at).min()
    return 0.9 + min(max(NARROWEST * cells, 2.0), WIDEST), 0.95 + taller + 0.8 * frame["mcmc_steps"].nunique()


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
                cmap=sns.color_palette(QUALITY_MAP + ("_r" if lower_is_better else ""), as_cmap=True).with_extremes(
                    over=WORSE, under=WORSE),
                annot=False if crowded else text, annot_kws={"fontsize": 8, "linespacing": 1.35, "gid": "cell"},
                cbar_kws={"pad": 0.02, "aspect": 14, "label": measure, "extend": end},
                yticklabels=[f"{v:g}" for v in mean.index], xticklabels=_every(mean.columns, crowded))
    ran = frame.pivot(index="mcmc_steps", columns="step_size", values="replicates").fillna(0)
    for i, j in np.argwhere(mean.isna().to_numpy()):
        _blank(ax, (j, i, 1, 1), "" if crowded else text.to_numpy()[i, j], bool(ran.to_numpy()[i, j]))
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


def divergence_map(frame: pd.DataFrame, ax: Axes, *, limits: pd.DataFrame, observed: pd.DataFrame) -> Axes:
    """Divergence rate with Wilson's interval in each cell of a true logarithmic axis; at each number of MCMC steps the
    predicted limits as red lines, and the observed one as a diamond with its bounds.

    frame: one arm of `grid`; limits: the same arm's rows of `tables.limits`; observed: of `limits_by_horizon`, at the
    last horizon. A limit outside of the cells is an arrow on their edge; a predicted one has its value beside it.
    """
    import seaborn as sns

    words = [
        f"{share(c.diverged, c.replicates)}\n[{c.rate_low + 0:.2f}, {c.rate_high:.2f}]" if c.replicates else c.state
        for c in rows(frame)
    ]
    wide = frame.assign(words=words).pivot(index="mcmc_steps", columns="step_size")
    rate, text = wide["rate"], wide["words"].fillna("not planned")
    levels, values = list(rate.columns), rate.to_numpy(float)
    said: Any = text.to_numpy()
    borders: Any = edges(levels)
    shades = sns.color_palette(RATE_MAP, as_cmap=True)(np.linspace(0, 1 / 1.2, 256))  # without its black end
    mesh = ax.pcolormesh(borders, np.arange(len(rate) + 1), np.ma.masked_invalid(values), norm=Normalize(0, 1),
                         cmap=ListedColormap(shades), edgecolors=PAPER, linewidth=2)
    crowded = text.size > CROWDED
    for i, j in np.ndindex(values.shape):
        word = "" if crowded else said[i, j]
        if math.isnan(values[i, j]):
            _blank(ax, (borders[j], i, borders[j + 1] - borders[j], 1), word, False, (levels[j], i + 0.64))
        elif word:
            dark = np.asarray(mesh.to_rgba(values[i, j])[:3]) @ (0.2126, 0.7152, 0.0722) < 0.5
            ax.text(levels[j], i + 0.64, word, ha="center", va="center", color="#ffffff" if dark else "#14171a",
                    fontsize=8, linespacing=1.35, gid="cell")
    ax.set(xscale="log", xlabel="step size (data units)", ylabel="MCMC steps", xlim=borders[[0, -1]],
           ylim=(0, len(rate)))
    log_ticks(ax, levels if not crowded else round_levels(levels[0], levels[-1])[1:-1])
    ax.set_yticks(np.arange(len(rate)) + 0.5, [f"{v:g}" for v in rate.index])
    ax.grid(False)
    ax.spines[:].set_visible(False)
    bar = ax.figure.colorbar(mesh, ax=ax, pad=0.02, aspect=14, label="share diverged", ticks=[0, 0.5, 1])
    bar.outline.set_visible(False)
    bar.ax.grid(False)
    right = {steps: borders[1:][row.notna().to_numpy()].max(initial=borders[0]) for steps, row in rate.iterrows()}
    return draw_limits(ax, levels, borders, right, limits=limits, observed=observed)


def _every(levels: Any, crowded: bool) -> list[str]:
    """Labels of the step sizes; of many every third alone."""
    return [f"{v:g}" if not crowded or k % 3 == 0 else "" for k, v in enumerate(levels)]


def _blank(ax: Axes, box: tuple[float, float, float, float], word: str, ran: bool,
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
