"""Where training breaks: predicted and observed limits, the limit by horizon, time to divergence."""

from __future__ import annotations

from functools import partial

import pandas as pd
from matplotlib.axes import Axes

from analysis import horizons, tables
from analysis.figures import key
from analysis.figures import limits as figures
from analysis.palette import colours
from analysis.sections.canvas import Canvas, Section
from analysis.wording import slug


def limits(canvas: Canvas) -> Section | None:
    """T5 and its picture: the law's limits beside what happened."""
    frame = canvas.limits
    if frame.empty or frame["largest"].isna().all():
        return None
    ran = frame[frame["largest"] > frame["smallest"]]
    if ran.empty:  # one step size an arm: nothing to bracket a limit with
        return None

    def draw(ax: Axes) -> None:
        figures.limit_chart(ran, ax, arms=canvas.study.arms)
        figures.limit_key(ran, ax)

    panel = canvas.panel("limits", "", frame, draw, (7.6, 1.3 + 0.46 * len(ran)),
                         f"Predicted and observed step-size limits of {len(ran)} rows; the table below holds them")
    return Section(
        "Where it breaks: predicted and observed",
        "A bar spans the step sizes that were run. Full: no replicate diverged here or below; hatched: none diverged, "
        "but most ended with \u03ba > 2, where only time is missing; pale: up to the first level with a diverged "
        "replicate (cross); grey: run beyond it. Red bracket: the limit that the stability law (E13) gives from the "
        f"data's local spread, from its smallest to its median direction. Each level has "
        f"{canvas.replicates('design')}.",
        [panel], [("limits", tables.limit_words(frame))], {"limits": frame}, True)


def by_horizon(canvas: Canvas) -> Section | None:
    """The observed limit of each arm had the study ended earlier, at the common number of MCMC steps."""
    frame = horizons.limits_by_horizon(canvas.study)
    if frame.empty or canvas.common is None:
        return None
    frame = frame.merge(canvas.limits[["arm", "mcmc_steps", "delta_min", "delta_med"]], on=["arm", "mcmc_steps"])
    frame = frame[frame["mcmc_steps"] == canvas.common[1]]
    levels = sorted(canvas.grid.loc[canvas.grid["replicates"] > 0, "step_size"].unique())
    panels, quiet, colour = [], [], colours(canvas.study.arms)
    for i, arm in enumerate(canvas.present(frame)):
        own = frame[frame["arm"] == arm]
        if not own["diverged"].any():
            quiet.append(arm)
            continue
        predicted = (float(own["delta_min"].iloc[0]), float(own["delta_med"].iloc[0]))
        draw = partial(figures.limit_by_horizon, own, predicted=predicted, colour=colour[arm], levels=levels)
        alt = f"Observed step-size limit of {arm} by the number of updates; its CSV file holds it"
        panels.append(canvas.panel(f"horizon_{i}_{slug(arm)}", arm, own, draw, (3.6, 2.8), alt))
    if not panels:
        return None
    none = f" No replicate of {', '.join(quiet)} diverged." if quiet else ""
    return Section(
        "The limit depends on how long one looks",
        "Step size from which half of the replicates have diverged, had the study ended after so many updates "
        f"({canvas.common[1]:g} MCMC steps, {canvas.replicates('design')} a level). Shaded: where Wilson's 95 % "
        f"intervals leave it; triangles: beyond the largest level.{none}", panels)


def survival(canvas: Canvas) -> Section | None:
    """Time to divergence at each step size at which a replicate diverged, at the common number of MCMC steps."""
    frame = canvas.design(canvas.study.finals)
    if frame.empty or canvas.common is None:
        return None
    knobs = canvas.study.cells.set_index("config_hash")["knobs"]
    frame = frame[(frame["mcmc_steps"] == canvas.common[1]) & frame["config_hash"].isin(knobs.index)]
    frame = frame.assign(updates=[int(knobs[k]["updates"]) for k in frame["config_hash"]])
    panels = []
    broken = frame.loc[frame["diverged"].astype(bool), "step_size"]
    for step in canvas.some(broken):
        cell = frame[frame["step_size"] == step]
        data = pd.concat([horizons.survival(own).assign(arm=arm) for arm, own in cell.groupby("arm", sort=False)])

        def draw(ax: Axes, data: pd.DataFrame = data) -> None:
            figures.survival_curves(data, ax, arms=canvas.study.arms)
            key.legend(canvas.study.arms, ax, present=canvas.present(data), dots=False)

        panels.append(canvas.panel(f"survival_{slug(f'{step:g}')}", f"step size {step:g}", data, draw, (4.4, 3.1),
                                   f"Share of replicates not diverged against update at step size {step:g}"))
    return Section(
        "Time to divergence",
        f"Kaplan and Meier's estimate at {canvas.common[1]:g} MCMC steps with pointwise 95 % bounds, a mark where a "
        f"replicate diverged; the others are censored at their last update ({canvas.replicates('design')} an arm). "
        "Step sizes at which none diverged are left out.", panels) if panels else None
