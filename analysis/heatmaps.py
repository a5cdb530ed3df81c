"""Heat maps over step size and MCMC steps: quality, and divergence with its predicted limits. `f(frame, ax) -> ax`."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.frames import rows
from analysis.palette import ALARM, EMPTY, PAPER, SOFT
from analysis.wording import number, share

QUALITY_MAP, RATE_MAP = "crest", "rocket_r"  # seaborn's perceptually uniform maps


def place(levels: Sequence[float], value: float) -> float:
    """Where `value` lies on an axis of equally spaced `levels`, by its logarithm; clipped to the edges of the cells."""
    logs = [math.log(v) for v in levels]
    if len(logs) == 1 or math.isinf(value):
        return (
            len(logs) / 2 if len(logs) == 1 and value == levels[0] else (0.0 if value < levels[0] else len(logs) * 1.0)
        )
    x, step = math.log(value), (logs[1] - logs[0], logs[-1] - logs[-2])
    if x <= logs[0]:
        return max(0.0, 0.5 + (x - logs[0]) / step[0])
    if x >= logs[-1]:
        return min(float(len(logs)), len(logs) - 0.5 + (x - logs[-1]) / step[1])
    return float(np.interp(x, logs, np.arange(len(logs)) + 0.5))


def _heat(
    frame: pd.DataFrame,
    ax: Axes,
    column: str,
    words: Sequence[str],
    scale: tuple[float, float],
    cmap: str,
    lift: float = 0.0,
) -> Axes:
    """MCMC steps by step size, one text a cell; what was not run stays grey and says so."""
    import seaborn as sns

    wide = frame.assign(words=list(words)).pivot(index="mcmc_steps", columns="step_size")
    text = wide["words"].to_numpy()
    sns.heatmap(
        wide[column].astype(float),
        ax=ax,
        vmin=scale[0],
        vmax=scale[1],
        cmap=cmap,
        cbar=False,
        linewidths=2,
        linecolor=PAPER,
    )
    ax.set_facecolor(EMPTY)
    ax.grid(False)
    mesh = ax.collections[0]
    mesh.update_scalarmappable()
    shade = np.asarray(mesh.get_facecolor()).reshape(*text.shape, 4)
    values = wide[column].to_numpy(float)
    for (i, j), word in np.ndenumerate(text):
        dark = shade[i, j, :3] @ (0.2126, 0.7152, 0.0722) < 0.5
        ink = SOFT if math.isnan(values[i, j]) else "#ffffff" if dark else "#14171a"
        ax.text(
            j + 0.5,
            i + 0.5 + lift,
            word if isinstance(word, str) else "not planned",
            ha="center",
            va="center",
            color=ink,
            fontsize=8.5,
            linespacing=1.35,
        )
    ax.set_xticklabels([f"{v:g}" for v in wide[column].columns])
    ax.set_yticklabels([f"{v:g}" for v in wide.index], rotation=0)
    ax.set(xlabel="step size (data units)", ylabel="MCMC steps")
    ax.invert_yaxis()
    return ax


def quality_map(frame: pd.DataFrame, ax: Axes, *, scale: tuple[float, float]) -> Axes:
    """Mean of the primary over survivors; each cell says the mean, n and k/n diverged. frame: one arm of `grid`."""
    words = [
        cell.state
        if not cell.replicates
        else (f"{number(cell.mean, 2)}\nn = {cell.n}" if cell.n else "no survivor")
        + f"\n{share(cell.diverged, cell.replicates)} div."
        for cell in rows(frame)
    ]
    return _heat(frame, ax, "mean", words, scale, QUALITY_MAP)


def divergence_map(frame: pd.DataFrame, ax: Axes, *, limits: pd.DataFrame) -> Axes:
    """Divergence rate with Wilson's interval; the predicted limits as lines at each number of MCMC steps.

    frame: one arm of `grid`; limits: the same arm's rows of `tables.limits`.
    """
    words = [
        f"{share(c.diverged, c.replicates)}\n[{c.rate_low + 0:.2f}, {c.rate_high:.2f}]" if c.replicates else c.state
        for c in rows(frame)
    ]
    _heat(frame, ax, "rate", words, (0, 1.2), RATE_MAP, lift=0.14)  # 1.2: the map's own end is black
    steps, chains = sorted(frame["step_size"].unique()), sorted(frame["mcmc_steps"].unique())
    for limit in rows(limits):
        y = chains.index(limit.mcmc_steps)
        for name, dashes in (("delta_min", (None, None)), ("delta_med", (1.6, 1.0))):
            at = getattr(limit, name)
            if not math.isfinite(at):
                continue
            x = place(steps, at)
            low, high = (
                place(steps, bound) if math.isfinite(bound) else x
                for bound in (getattr(limit, f"{name}_low"), getattr(limit, f"{name}_high"))
            )
            ax.fill_between([low, high], y + 0.04, y + 0.27, color=ALARM, alpha=0.3, lw=0, zorder=3)
            ax.plot([x, x], [y + 0.02, y + 0.29], color=PAPER, lw=4.5, solid_capstyle="butt", zorder=4)
            ax.plot([x, x], [y + 0.02, y + 0.29], color=ALARM, lw=2.2, dashes=dashes, zorder=5, gid=name)
    said = limits[["delta_min", "delta_med"]].iloc[0] if len(limits) else pd.Series(dtype=float)
    note = (
        ""
        if said.empty or said.isna().all()
        else "no finite limit predicted"
        if np.isinf(said["delta_min"])
        else "\u2502 smallest direction   \u2506 median direction"
    )
    ax.set_title(note, fontsize=8.5, fontweight="normal", color=ALARM if "direction" in note else SOFT, pad=5)
    return ax


