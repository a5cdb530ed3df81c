"""Where training breaks: predicted and observed limits, the limit by horizon, time to divergence."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
from matplotlib.axes import Axes

from analysis import horizons, tables
from analysis.beside import beside, nearest
from analysis.figures import key
from analysis.figures import limits as figures
from analysis.figures import survival as survival_figures
from analysis.palette import colours
from analysis.sections.canvas import Canvas, Panel, Section, cells_of, unfolded
from analysis.wording import count, slug


def limits(canvas: Canvas) -> Section | None:
    """T5 and its picture: the law's limits beside what happened."""
    frame = canvas.limits
    if frame.empty or frame["largest"].isna().all():
        return None
    ran = frame[frame["largest"] > frame["smallest"]]
    if ran.empty:  # one step size an arm: nothing to bracket a limit with
        return None

    def draw(ax: Axes) -> None:
        levels = canvas.grid.loc[canvas.grid["replicates"] > 0, "step_size"].unique()
        figures.limit_chart(ran, ax, arms=canvas.arms, levels=list(levels))
        figures.limit_key(ran, ax)
        n = canvas.grid.loc[canvas.grid["replicates"] > 0, "replicates"]
        key.say_n(ax, n, "replicates a step size")

    panel = canvas.panel("limits", "", frame, draw, (8.2, 1.5 + (0.46 if len(ran) < 13 else 0.36) * len(ran)),
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
    """The observed limit of each arm had the study ended earlier, at its number of MCMC steps nearest to the common."""
    frame = horizons.limits_by_horizon(canvas.study)
    if frame.empty or canvas.common is None:
        return None
    frame = frame.merge(canvas.limits[["arm", "mcmc_steps", "delta_min", "delta_med"]], on=["arm", "mcmc_steps"])
    ran = canvas.grid[canvas.grid["replicates"] > 0]
    close = nearest(ran, canvas.common[1]).groupby("arm")["mcmc_steps"]
    own_steps = close.agg(lambda steps: steps.mode().iloc[-1])
    frame = frame[frame["mcmc_steps"] == frame["arm"].map(own_steps)]
    panels, quiet, colour = [], [], colours(canvas.arms)
    for i, arm in enumerate(canvas.present(frame)):
        own = frame[frame["arm"] == arm]
        if not own["diverged"].any():
            quiet.append(arm)
            continue
        predicted = (float(own["delta_min"].iloc[0]), float(own["delta_med"].iloc[0]))
        levels = ran.loc[(ran["arm"] == arm) & (ran["mcmc_steps"] == own_steps[arm]), "step_size"].tolist()

        def draw(ax: Axes, own: pd.DataFrame = own, predicted: tuple[float, float] = predicted, arm: str = arm,
                 levels: list[float] = levels) -> None:
            figures.limit_by_horizon(own, ax, predicted=predicted, colour=colour[arm], levels=levels)
            key.say_n(ax, own["replicates"].unique(), f"replicates over {count(len(levels), 'step size')}")

        alt = f"Observed step-size limit of {arm} by the number of updates; its CSV file holds it"
        heading = f"{arm}, {own_steps[arm]:g} MCMC steps"
        panels.append(canvas.panel(f"horizon_{i}_{slug(arm)}", heading, own, draw, (3.6, 3.0), alt))
    if not panels:
        return None
    none = f" No replicate of {', '.join(quiet)} diverged." if quiet else ""
    if horizons.masked(canvas.design(canvas.study.finals)).any():
        none += " A masked divergence is found at the end, so it counts at the last horizon alone."
    return Section(
        "The limit depends on how long one looks",
        "Step size from which half of the replicates have diverged, had the study ended after so many updates "
        f"({canvas.common[1]:g} MCMC steps, or the arm's number nearest to it; {canvas.replicates('design')} a level). "
        f"Shaded: where Wilson's 95 % "
        f"intervals leave it; triangles: beyond the largest level, or at the smallest already.{none}", panels)


def survival(canvas: Canvas) -> Section | None:
    """F9: time to divergence wherever a replicate diverged, each arm at its cell nearest to the common number of MCMC
    steps (`beside`); and in the search, over all that the sampler chose."""
    frame = canvas.design(canvas.study.finals)
    knobs = canvas.study.cells.set_index("config_hash")["knobs"]
    frame = frame[frame["config_hash"].isin(knobs.index)]
    if frame.empty or canvas.common is None:
        return None
    frame = frame.assign(updates=[int(knobs[k]["updates"]) for k in frame["config_hash"]])
    lost = set(frame.loc[frame["diverged"].astype(bool), "config_hash"])
    groups = canvas.some_of([group for group in beside(canvas.study) if group.cells & lost])
    panels = []
    for group in groups:
        some = _survival(canvas, frame[frame["config_hash"].isin(group.cells)], f"survival_{slug(group.name)}",
                         group.heading, group.said)
        panels += [replace(panel, folded=not group.declared) for panel in some]
    panels = unfolded(panels)
    searched = horizons.search_ends(canvas.study)
    cut = int(searched["pruned"].sum())
    if searched["diverged"].any():
        panels += _survival(canvas, searched, "survival_search", "search, all step sizes and MCMC steps", {})
    if not panels:
        return None
    said = (f" Search: all trials of an arm together, wherever its sampler looked; ticks: {count(cut, 'replicate')} of "
            "pruned trials, censored at the last rung that was reported. Pruning looks at quality, so this curve "
            "describes and proves nothing." if cut and searched["diverged"].any() else "")
    shown = frozenset().union(*(group.cells for group in groups))
    rest = frame[frame["diverged"].astype(bool) & ~frame["config_hash"].isin(shown)]
    if len(rest):
        said += (f" Not drawn: {count(len(rest), 'diverged replicate')} of other cells ({cells_of(rest)}), "
                 "which the table of all cells counts.")
    if horizons.masked(frame).any():
        said += (" Masked: clipping hid the divergence, which is found at the last update only; when it began is not "
                 "known, so it is no event of the curve: an open mark at the end, at the share left with the masked "
                 "ones counted.")
    return Section(
        "Time to divergence",
        f"Kaplan and Meier's estimate with pointwise 95 % bounds (Wilson's where "
        "none was censored before), a mark where a replicate diverged; the others are "
        f"censored at their last update ({canvas.replicates('design')} an arm). {canvas.nearest_note()} Step sizes at "
        f"which none diverged are left out.{said}", panels, folded="other cells")


def _survival(canvas: Canvas, cell: pd.DataFrame, name: str, heading: str, said: dict[str, str]) -> list[Panel]:
    """Survival curves of a frame with `updates`, in as many panels as its arms need. said: of `beside`."""
    panels: list[Panel] = []
    cell = cell[cell["arm"].isin(canvas.arms)]
    for end, words, part in canvas.crowds(cell) if len(cell) else []:
        arms = part.groupby("arm", sort=False)
        data = pd.concat([horizons.survival(own).assign(arm=arm, replicates=len(own)) for arm, own in arms])
        ticks = pd.concat([horizons.censored(own).assign(arm=arm) for arm, own in arms])
        hidden = [horizons.masked_ends(own).assign(arm=arm) for arm, own in arms if horizons.masked(own).any()]
        masked = pd.concat(hidden) if hidden else None

        def draw(ax: Axes, data: pd.DataFrame = data, ticks: pd.DataFrame = ticks,
                 masked: pd.DataFrame | None = masked) -> None:
            survival_figures.survival_curves(data, ax, arms=canvas.arms, censored=ticks, masked=masked)
            extra = [*([key.mark("|", "censored")] if len(ticks) else []),
                     *([key.mark("o", "masked: time unknown")] if masked is not None else [])]
            key.legend(canvas.arms, ax, present=canvas.present(data), dots=False, extra=extra, said=said)
            key.say_n(ax, data["replicates"].unique(), "replicates an arm")

        title = heading + (f": {words}" if words else "")
        every = [("", data), ("censored", ticks), ("masked", masked)]
        table = pd.concat([of.assign(event=event) for event, of in every if of is not None and len(of)])
        panels.append(canvas.panel(f"{name}{end}", title, table if len(ticks) or hidden else data, draw, (4.6, 3.3),
                                   f"Share of replicates not diverged against update at {title}"))
    return panels
