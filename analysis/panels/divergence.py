"""The stability phase diagram: how many diverge in every cell of step size and MCMC steps, and the limits."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, Normalize

from analysis.panels import thresholds
from analysis.panels.axes import log_ticks, round_levels
from analysis.panels.palette import PAPER
from analysis.panels.panel import Figure, Panel
from analysis.panels.plane import CROWDED, blank, each, edges, size
from analysis.read.frames import rows
from analysis.read.study import Study
from analysis.stats.cells import grid
from analysis.stats.horizons import limits_by_horizon
from analysis.stats.limits import limits
from analysis.text.formatting import share, slug

COLOURS = "rocket_r"  # seaborn's, perceptually uniform; its own end is black
KEY = 5.4  # inches at which the key of limits fits over the cells; a narrower figure gives the cells what it leaves


class Divergence(Panel):
    """F2: divergence rate in every cell, the observed limit with its bounds, the law's two limits."""

    name, title = "divergence", "Stability phase diagram"

    def frame(self, study: Study) -> pd.DataFrame:
        return grid(study)

    def is_shown(self, study: Study, frame: pd.DataFrame) -> bool:
        return bool(frame["replicates"].any())

    def figures(self, study: Study, frame: pd.DataFrame) -> list[Figure]:
        law, seen = limits(study), limits_by_horizon(study).groupby(["arm", "mcmc_steps"], sort=False).tail(1)
        found = []
        for i, arm in enumerate(study.arms):
            own: pd.DataFrame = frame[frame["arm"] == arm]
            if len(own) < 2:  # no plane; its cell stands in the tables
                continue
            draw = partial(divergence_map, own, limits=law[law["arm"] == arm], observed=seen[seen["arm"] == arm])
            wide, high = size(own, taller=0.2)
            found.append(Figure(f"divergence_{i}_{slug(arm)}", arm, own, draw, (max(wide + 0.8, KEY), high),
                                f"Divergence rate of {arm} by step size and MCMC steps, with predicted and observed "
                                "limits; the table of all cells holds it"))
        return found

    def caption(self, study: Study, frame: pd.DataFrame) -> str:
        return ("Diverged replicates of those that ran, with Wilson's 95 % interval. Red lines: the law's limit of the "
                "smallest (solid) and of the median direction (dashed), their standard errors shaded. Black diamond: "
                "the observed limit, between the last level at which fewer than half diverged and the first at which "
                "half did; its bar reaches from the largest level that is surely below to the smallest that is surely "
                "above (Wilson, 95 %). An arrow on an edge: the limit lies outside of the grid. " + each(study))


def divergence_map(frame: pd.DataFrame, ax: Axes, *, limits: pd.DataFrame, observed: pd.DataFrame) -> Axes:
    """Divergence rate with Wilson's interval in each cell of a true logarithmic axis; at each number of MCMC steps the
    predicted limits as red lines, and the observed one as a diamond with its bounds.

    frame: one arm of `grid`; limits: the same arm's rows of `limits`; observed: of `limits_by_horizon`, at the
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
    shades = sns.color_palette(COLOURS, as_cmap=True)(np.linspace(0, 1 / 1.2, 256))  # without its black end
    mesh = ax.pcolormesh(borders, np.arange(len(rate) + 1), np.ma.masked_invalid(values), norm=Normalize(0, 1),
                         cmap=ListedColormap(shades), edgecolors=PAPER, linewidth=2)
    crowded = text.size > CROWDED
    for i, j in np.ndindex(values.shape):
        word = "" if crowded else said[i, j]
        if math.isnan(values[i, j]):
            blank(ax, (borders[j], i, borders[j + 1] - borders[j], 1), word, False, (levels[j], i + 0.64))
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
    return thresholds.draw(ax, levels, borders, right, limits=limits, observed=observed)
