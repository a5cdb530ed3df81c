"""Heat maps over the plane of step size and MCMC steps: the stability phase diagram, and quality."""

from __future__ import annotations

from functools import partial

import pandas as pd

from analysis import horizons
from analysis.figures import maps
from analysis.sections.canvas import Canvas, Section
from analysis.wording import count, number, slug

KEY = 5.4  # inches at which the key of limits fits over the cells; a narrower figure gives the cells what it leaves


def divergence(canvas: Canvas) -> Section | None:
    """F2: divergence rate in every cell, the observed limit with its bounds, the law's two limits."""
    if not canvas.grid["replicates"].any():
        return None
    seen = horizons.limits_by_horizon(canvas.study)
    seen = seen.groupby(["arm", "mcmc_steps"], sort=False).tail(1)
    panels = []
    for i, arm in enumerate(canvas.study.arms):
        frame = canvas.grid[canvas.grid["arm"] == arm]
        if len(frame) < 2:  # no plane; its cell stands in the tables
            continue
        draw = partial(maps.divergence_map, frame, limits=canvas.limits[canvas.limits["arm"] == arm],
                       observed=seen[seen["arm"] == arm])
        wide, high = maps.size(frame, taller=0.2)
        panels.append(canvas.panel(f"divergence_{i}_{slug(arm)}", arm, frame, draw, (max(wide + 0.8, KEY), high),
                                   f"Divergence rate of {arm} by step size and MCMC steps, with predicted and observed "
                                   "limits; the table of all cells holds it"))
    return Section(
        "Stability phase diagram",
        "Diverged replicates of those that ran, with Wilson's 95 % interval. Red lines: the law's limit of the "
        "smallest (solid) and of the median direction (dashed), their standard errors shaded. Black diamond: the "
        "observed limit, between the last level at which fewer than half diverged and the first at which half did; "
        "its bar reaches from the largest level that is surely below to the smallest that is surely above "
        f"(Wilson, 95 %). An arrow on an edge: the limit lies outside of the grid. {_each(canvas)}",
        panels) if panels else None


def quality(canvas: Canvas) -> Section | None:
    """F1: the mean of the primary measure in every cell, one colour scale for all arms."""
    seen = canvas.grid["mean"].dropna()
    if not canvas.grid["replicates"].any():
        return None
    better_low = canvas.study.lower_is_better
    scale = maps.scale_of(seen, better_low) if len(seen) else (0.0, 1.0)
    clipped = int(((seen > scale[1]) | (seen < scale[0])).sum())
    panels = []
    for i, arm in enumerate(canvas.study.arms):
        frame: pd.DataFrame = canvas.grid[canvas.grid["arm"] == arm]
        if len(frame) < 2:
            continue
        draw = partial(maps.quality_map, frame, scale=scale, measure=canvas.study.primary,
                       lower_is_better=better_low, clipped=clipped > 0)
        wide, high = maps.size(frame, even=True)
        panels.append(canvas.panel(f"quality_{i}_{slug(arm)}", arm, frame, draw, (wide + 0.9, high),
                                   f"{canvas.study.primary} of {arm} by step size and MCMC steps; the table of all "
                                   "cells holds it"))
    better = "lower" if better_low else "higher"
    return Section(
        "Quality",
        f"{canvas.study.primary} ({better} is better): mean over surviving replicates, n of them, and how many "
        "diverged. One colour scale for all arms, darker is better"
        + (f", which ends at {number(scale[1] if better_low else scale[0], 2)}: {count(clipped, 'cell')} beyond "
           "share one pale colour of their own, the arrow of the colour bar" if clipped else "")
        + f"; few survivors flatter their cell. Hatched: all diverged. {_each(canvas)}",
        panels) if panels else None


def _each(canvas: Canvas) -> str:
    each = canvas.replicates("design")
    return f"{each[0].upper()}{each[1:]} a cell; grey cells have no finished one."
