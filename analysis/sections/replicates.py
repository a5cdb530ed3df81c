"""Every replicate: learning curves, end values, the gauge kappa."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis import horizons, tables
from analysis.beside import beside
from analysis.figures import key
from analysis.figures import replicates as figures
from analysis.load import CELL
from analysis.sections.canvas import Canvas, Section, unfolded
from analysis.wording import count, listed, slug


def curves(canvas: Canvas) -> Section | None:
    """F4: the primary measure while training, each arm at its cell nearest to the common number of MCMC steps
    (`beside`)."""
    frame, measure = canvas.design(canvas.study.curves), canvas.study.primary
    if frame.empty or measure not in frame or canvas.common is None:
        return None
    ends = canvas.study.finals[["config_hash", "seed", "diverged"]]
    frame = frame.dropna(subset=[measure]).merge(ends, on=["config_hash", "seed"])
    panels = []
    for group in canvas.some_of(beside(canvas.study)):
        for end, words, cell in canvas.crowds(frame[frame["config_hash"].isin(group.cells)]):

            def draw(ax: Axes, cell: pd.DataFrame = cell, said: dict[str, str] = group.said) -> None:
                figures.learning_curves(cell, ax, measure=measure, arms=canvas.arms)
                lost = [key.mark("x", "diverged")] if cell["diverged"].any() else []
                key.legend(canvas.arms, ax, present=canvas.present(cell), dots=False, extra=lost, said=said)
                key.say_n(ax, cell.groupby("arm")["seed"].nunique(), "replicates an arm")

            if cell.empty:
                continue
            heading = group.heading + (f": {words}" if words else "")
            panel = canvas.panel(f"curves_{slug(group.name)}{end}", heading,
                                 cell[["arm", *CELL, "seed", "update", "diverged", measure]], draw, (4.4, 3.3),
                                 f"{measure} against update at {heading}")
            panels.append(replace(panel, folded=not group.declared))
    if not panels:
        return None
    masked = (" A masked divergence is found at the end, where its cross stands."
              if horizons.masked(canvas.design(canvas.study.finals)).any() else "")
    return Section(
        "Learning curves",
        f"{measure} while training. {canvas.nearest_note()} Thin lines: replicates, a cross at the last evaluation of "
        f"one that diverged.{masked} Thick line and band: mean and 95 % t interval, drawn while every one of the "
        f"arm's replicates lives, up to a bar ({canvas.replicates('design')} a cell).",
        unfolded(panels), folded="other cells")


def dots(canvas: Canvas) -> Section | None:
    """F7: each design replicate one mark."""
    frame, measure = canvas.design(canvas.study.finals), canvas.study.primary
    if frame.empty:
        return None
    panels = []
    for steps, all_arms in frame.groupby("mcmc_steps"):
        for end, words, part in canvas.crowds(all_arms):

            def draw(ax: Axes, part: pd.DataFrame = part) -> None:
                figures.replicate_dots(part, ax, measure=measure, arms=canvas.arms)
                beyond = any(line.get_gid() == "beyond" and np.size(line.get_xdata()) for line in ax.lines)
                key.legend(canvas.arms, ax, present=canvas.present(part),
                           extra=[key.mark(key.UP, "beyond the axis")] if beyond else [])
                key.say_n(ax, part.groupby(["arm", "step_size"]).size(), "replicates an arm and step size")

            heading = f"{steps:g} MCMC steps" + (f": {words}" if words else "")
            panels.append(canvas.panel(f"replicates_{slug(f'{steps:g}')}{end}", heading,
                                       part[["arm", *CELL, "seed", "diverged", "diverged_at", measure]], draw,
                                       (5.2, 3.5), f"Every replicate's {measure} at {heading}"))
    return Section(
        "Every replicate",
        f"{count(len(frame), 'design replicate')}, each one mark; the diverged have no quality and stand on the line "
        "above; arrows: beyond the axis.", panels)


def kappa(canvas: Canvas) -> Section | None:
    """The gauge of E13 at the end of training."""
    data = tables.late_kappa(canvas.study)
    if data.empty:
        return None
    panels = []
    for end, words, part in canvas.crowds(data):

        def draw(ax: Axes, part: pd.DataFrame = part) -> None:
            figures.kappa(part, ax, arms=canvas.arms)
            lost = [key.mark("o", "open: diverged")] if part["diverged"].any() else []
            key.legend(canvas.arms, ax, present=canvas.present(part), extra=lost)
            key.say_n(ax, part.groupby(["arm", "step_size"]).size(), "replicates an arm and step size")

        steps = listed([f"{steps:g}" for steps in sorted(part["mcmc_steps"].unique())])
        heading = f"{steps} MCMC steps" + (f": {words}" if words else "")
        panels.append(canvas.panel(f"kappa{end}", heading, part.drop(columns="config_hash"), draw, (6.4, 3.8),
                                   f"The gauge kappa of each replicate against its step size, {heading}"))
    return Section(
        "The gauge \u03ba",
        "\u03ba = step size\u00b2/2 \u00d7 the largest curvature at the particles: median of the last quarter of each "
        f"of {count(len(data), 'replicate')}, sideways by arm. Open marks diverged.", panels, wide=True)
