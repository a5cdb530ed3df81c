"""Heat maps over step size and MCMC steps: quality, and divergence with its limits. `f(frame, ax) -> ax`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import LogNorm, Normalize
from matplotlib.lines import Line2D

from analysis.figures.key import log_ticks, round_levels
from analysis.frames import rows
from analysis.palette import ALARM, EMPTY, INK, PAPER, SOFT
from analysis.wording import number, share

QUALITY_MAP, RATE_MAP = "crest", "rocket_r"  # seaborn's perceptually uniform maps; the second one's own end is black
NARROWEST = 0.72  # inches that a cell needs for its words
WIDEST = 9.0
CROWDED = 72  # cells beyond which no words are written into them


def edges(levels: Sequence[float]) -> np.ndarray:
    """Borders of the cells around `levels` on a logarithmic axis: half way, and as far beyond the ends. (k + 1,)"""
    logs = np.log(np.asarray(levels, float))
    if len(logs) == 1:
        return np.exp(np.array([logs[0] - 0.35, logs[0] + 0.35]))
    middle = (logs[1:] + logs[:-1]) / 2
    return np.exp(np.concatenate([[2 * logs[0] - middle[0]], middle, [2 * logs[-1] - middle[-1]]]))


def size(frame: pd.DataFrame, taller: float = 0.0) -> tuple[float, float]:
    """Width and height in inches at which the narrowest cell of `grid`'s arm still holds its words."""
    at = np.log(edges(sorted(frame["step_size"].unique())))
    wide = NARROWEST * (at[-1] - at[0]) / np.diff(at).min()
    return 0.9 + min(max(wide, 2.0), WIDEST), 0.95 + taller + 0.8 * frame["mcmc_steps"].nunique()


def quality_map(frame: pd.DataFrame, ax: Axes, *, scale: tuple[float, float], measure: str,
                lower_is_better: bool) -> Axes:
    """Mean of the primary over survivors; each cell says the mean, n and k/n diverged. frame: one arm of `grid`.

    scale: the smallest and the largest mean of all arms; logarithmic where it spans more than a decade.
    """
    words = [
        cell.state
        if not cell.replicates
        else (f"{number(cell.mean, 2)}\nn = {cell.n}" if cell.n else "no survivor")
        + f"\n{share(cell.diverged, cell.replicates)} div."
        for cell in rows(frame)
    ]
    low, high = scale
    norm = LogNorm(low, high) if 0 < 10 * low < high else Normalize(low, max(high, low + 1e-12))
    mesh = _heat(frame, ax, "mean", words, norm, QUALITY_MAP + ("_r" if lower_is_better else ""))
    assert ax.figure is not None
    bar = ax.figure.colorbar(mesh, ax=ax, pad=0.02, aspect=14, label=measure)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=7.5)
    return ax


def divergence_map(frame: pd.DataFrame, ax: Axes, *, limits: pd.DataFrame, observed: pd.DataFrame) -> Axes:
    """Divergence rate with Wilson's interval in each cell of a true logarithmic axis; at each number of MCMC steps the
    predicted limits as red lines, and the observed one as a diamond with its bounds.

    frame: one arm of `grid`; limits: the same arm's rows of `tables.limits`; observed: of `limits_by_horizon`, at the
    last horizon.
    """
    words = [
        f"{share(c.diverged, c.replicates)}\n[{c.rate_low + 0:.2f}, {c.rate_high:.2f}]" if c.replicates else c.state
        for c in rows(frame)
    ]
    _heat(frame, ax, "rate", words, Normalize(0, 1.2), RATE_MAP, lift=0.14)
    chains, ends = sorted(frame["mcmc_steps"].unique()), edges(sorted(frame["step_size"].unique()))
    for limit in rows(limits):
        y = chains.index(limit.mcmc_steps)
        for name, style in (("delta_min", "-"), ("delta_med", (0, (1.6, 1.0)))):
            at = getattr(limit, name)
            if not math.isfinite(at):
                continue
            x, low, high = np.clip([at, *(_or(getattr(limit, f"{name}_{end}"), at) for end in ("low", "high"))],
                                   ends[0] * 1.01, ends[-1] / 1.01)
            ax.fill_between([low, high], y + 0.02, y + 0.29, color=ALARM, alpha=0.3, lw=0, zorder=3)
            ax.plot([x, x], [y + 0.02, y + 0.29], color=PAPER, lw=4.5, solid_capstyle="butt", zorder=4)
            ax.plot([x, x], [y + 0.02, y + 0.29], color=ALARM, lw=2.2, ls=style, zorder=5, gid=name)
    for seen in rows(observed):
        height = chains.index(seen.mcmc_steps) + 0.89
        if not math.isfinite(seen.limit):
            ax.plot(ends[-1] / 1.02, height, marker=">", ms=6, ls="", color=INK, mec=PAPER, zorder=6, gid="beyond")
            continue
        low, high = np.clip([seen.low, seen.high], ends[0], ends[-1])
        for colour, width in ((PAPER, 3.4), (INK, 1.4)):
            ax.plot([low, high], [height, height], color=colour, lw=width, solid_capstyle="butt", zorder=5)
        ax.plot(seen.limit, height, marker="D", ms=5.5, ls="", color=INK, mec=PAPER, zorder=6, gid="observed")
    handles: list[Any] = []
    if np.isfinite(limits["delta_min"].astype(float)).any():
        handles = [Line2D([], [], color=ALARM, lw=2, label="predicted, smallest"),
                   Line2D([], [], color=ALARM, lw=2, ls=(0, (1.6, 1.0)), label="median direction")]
    if np.isfinite(observed["limit"].astype(float)).any():
        handles.append(Line2D([], [], color=INK, marker="D", ms=5, lw=1.2, label="observed"))
    none = len(limits) and np.isinf(limits["delta_min"]).all()
    if handles or none:
        ax.legend(handles=handles, loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=3, borderpad=0.2, fontsize=7.5,
                  handlelength=1.6, columnspacing=1.0, title="no finite limit predicted" if none else None,
                  title_fontsize=7.5, alignment="left")
    return ax


def _or(value: float, other: float) -> float:
    return value if math.isfinite(value) else other


def _heat(frame: pd.DataFrame, ax: Axes, column: str, words: Sequence[str], norm: Normalize, cmap: str,
          lift: float = 0.0) -> QuadMesh:
    """MCMC steps (rows of equal height) by step size (logarithmic), one text a cell; what was not run stays grey and
    says so.
    """
    import seaborn as sns

    wide = frame.assign(words=list(words)).pivot(index="mcmc_steps", columns="step_size")
    levels, text, values = list(wide[column].columns), wide["words"].to_numpy(), wide[column].to_numpy(float)
    mesh = ax.pcolormesh(edges(levels), np.arange(len(text) + 1), np.ma.masked_invalid(values), norm=norm,
                         cmap=sns.color_palette(cmap, as_cmap=True), edgecolors=PAPER, linewidth=2)
    ax.set_facecolor(EMPTY)
    ax.grid(False)
    crowded = text.size > CROWDED  # colours alone; the table of all cells has the numbers
    for (i, j), word in np.ndenumerate(text) if not crowded else ():
        shade = mesh.to_rgba(values[i, j]) if math.isfinite(values[i, j]) else (1.0, 1.0, 1.0)
        dark = np.asarray(shade[:3]) @ (0.2126, 0.7152, 0.0722) < 0.5
        ink = SOFT if math.isnan(values[i, j]) else "#ffffff" if dark else "#14171a"
        ax.text(levels[j], i + 0.5 + lift, word if isinstance(word, str) else "not planned", ha="center", va="center",
                color=ink, fontsize=8, linespacing=1.35, gid="cell")
    ax.set(xscale="log", xlabel="step size (data units)", ylabel="MCMC steps", xlim=edges(levels)[[0, -1]],
           ylim=(0, len(text)))
    log_ticks(ax, levels if not crowded else round_levels(levels[0], levels[-1])[1:-1])
    ax.set_yticks(np.arange(len(text)) + 0.5, [f"{v:g}" for v in wide.index])
    ax.spines[:].set_visible(False)
    return mesh
