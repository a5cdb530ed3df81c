"""The stability phase diagram: how many diverge in every cell of step size and MCMC steps, and the limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, Normalize

from analysis.panels import thresholds
from analysis.panels.panel import Figure, Panel
from analysis.panels.plane import Plane, each, parts
from analysis.read.study import Study, rows
from analysis.stats.cells import grid
from analysis.stats.horizons import limits_by_horizon
from analysis.stats.limits import limits
from analysis.text.formatting import share

COLOURS = "rocket_r"  # seaborn's, perceptually uniform; its own end is black
ROW = 0.44  # inches


class Divergence(Panel):
    """F2: divergence rate in every cell, the observed limit with its bounds, the law's two limits."""

    name, title, wide, lead = "divergence", "Stability phase diagram", True, True
    folded = "all numbers of MCMC steps"

    def frame(self, study: Study) -> pd.DataFrame:
        return grid(study)

    def is_shown(self, study: Study, frame: pd.DataFrame) -> bool:
        return bool(frame["replicates"].any())

    def figures(self, study: Study, frame: pd.DataFrame) -> list[Figure]:
        found: list[Figure] = []
        for end, heading, own in parts(study, frame):
            wide, high = Plane.of(own, study.arms).size(ROW)
            found.append(self.figure(study, own, end, heading, size=(wide, high + 0.3), folded=bool(found),
                                     alt="Diverged replicates by step size and MCMC steps, with predicted and observed "
                                         f"limits {heading}".strip() + "; the table of all cells holds them"))
        return found

    def plot(self, study: Study, frame: pd.DataFrame, ax: Axes) -> None:
        seen = limits_by_horizon(study).groupby(["arm", "mcmc_steps"], sort=False).tail(1)
        divergence_map(frame, ax, arms=study.arms, limits=limits(study), observed=seen)

    def caption(self, study: Study, frame: pd.DataFrame) -> str:
        return ("Diverged replicates of those that ran; darker: more. Wilson's intervals stand in the table of all "
                "cells. Red lines: the law's limit of the smallest (solid) and of the median direction (dashed), their "
                "standard errors shaded. Black diamond: the observed limit, between the last level at which fewer than "
                "half diverged and the first at which half did; its bar reaches from the largest level that is surely "
                "below to the smallest that is surely above (Wilson, 95 %). An arrow on an edge: the limit lies "
                "outside of the grid. Between two columns step sizes go by their logarithm. " + each(study))


def divergence_map(frame: pd.DataFrame, ax: Axes, *, arms: Sequence[str], limits: pd.DataFrame, observed: pd.DataFrame
                   ) -> Axes:
    """How many diverged in each cell; in each row the predicted limits as red lines, and the observed one as a diamond
    with its bounds.

    frame: rows of `grid`; limits: of `limits`; observed: of `limits_by_horizon`, at the last horizon; of both those of
    this frame's rows are drawn. A limit outside of the cells is an arrow on their edge; a predicted one has its value
    beside it.
    """
    import seaborn as sns

    plane = Plane.of(frame, arms)
    shades = sns.color_palette(COLOURS, as_cmap=True)(np.linspace(0, 1 / 1.2, 256))  # without its black end
    words = [share(c.diverged, c.replicates) if c.replicates else c.state for c in rows(frame)]
    mesh = plane.plot(frame, ax, "rate", words, Normalize(0, 1), ListedColormap(shades), up=0.62)
    if plane.is_crowded:
        bar = ax.figure.colorbar(mesh, ax=ax, pad=0.02, aspect=14, label="share diverged", ticks=[0, 0.5, 1])
        bar.outline.set_visible(False)
        bar.ax.grid(False)
    ran: dict[Any, tuple[float, float]] = {
        key: (own.min(), own.max())
        for key, own in frame[frame["replicates"] > 0].groupby(["mcmc_steps", "arm"])["step_size"]}
    return thresholds.draw(ax, plane, ran, limits=limits, observed=observed)
