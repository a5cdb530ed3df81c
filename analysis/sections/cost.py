"""Quality against cost, and how often a quality is reached at all."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from analysis import cost
from analysis.beside import profiled
from analysis.budget import budget as spent
from analysis.budget import budget_words
from analysis.figures import cost as figures
from analysis.figures import key
from analysis.sections.canvas import Canvas, Section
from analysis.wording import count, listed

LABELS = {"particle_gradients": "particle-gradient evaluations a replicate", "gpu_seconds": "GPU seconds a replicate",
          "cpu_seconds": "CPU seconds a replicate", "wall_seconds": "wall seconds of its block of replicates"}
TIMES = ("gpu_seconds", "cpu_seconds", "wall_seconds")  # the first that was recorded: wall time has waiting in it


def pareto(canvas: Canvas) -> Section | None:
    """F3: a panel in particle-gradient evaluations and one in time."""
    frame, study = cost.costs(canvas.study), canvas.study
    if "gpu_seconds" in study.finals and "gpu_seconds" not in frame:
        frame = frame.merge(study.finals.groupby("config_hash")["gpu_seconds"].mean().reset_index(), on="config_hash")
    known = [c for c in LABELS if c in frame and (frame[c] > 0).any()]
    time = next((c for c in TIMES if c in known), None)
    if len(frame) < 2 or not known:
        return None
    panels = []
    for name in [c for c in known if c not in TIMES or c == time]:
        points = figures.numbered(frame, name, study.lower_is_better)

        def draw(ax: Axes, name: str = name, points: pd.DataFrame = points) -> None:
            figures.pareto(points, ax, measure=study.primary, cost=name, label=LABELS[name], arms=canvas.arms,
                           lower_is_better=study.lower_is_better)
            lost = [key.mark("o", "open: a replicate diverged")] if (frame["diverged"] > 0).any() else []
            key.legend(canvas.arms, ax, present=canvas.present(frame), extra=lost)
            key.say_n(ax, frame["n"], "surviving replicates a mark")
            figures.number_front(points, ax, cost=name, arms=canvas.arms, lower_is_better=study.lower_is_better)

        listed = min(int(points["front"].notna().sum()), figures.LISTED) + 2
        panels.append(canvas.panel(f"pareto_{name}", "", points, draw, (5.2, 3.9 + 0.05 * len(study.arms)
                                                                         + 0.136 * listed),
                                   f"{study.primary} of each design cell against its {LABELS[name]}; the front's cells "
                                   "are listed below the axes"))
    return Section(
        "Quality against cost",
        f"{count(len(frame), 'design cell')} with survivors; open marks: a replicate diverged there. The line joins "
        "the cells that no other cell without divergence beats in both: the front, numbered from the cheapest on and "
        "listed below each figure; `front` in the CSV files.", panels)


def profiles(canvas: Canvas) -> Section | None:
    """F5: divergence counts as failure, so that no arm profits from its lost replicates."""
    study = canvas.study
    runs, said = profiled(study)
    if runs.empty or runs["arm"].nunique() < 2:
        return None
    frame = cost.profile(runs, study.primary, study.lower_is_better)
    if frame.empty:
        return None
    panels = []
    for end, words, part in canvas.crowds(frame):

        def draw(ax: Axes, part: pd.DataFrame = part) -> None:
            figures.profiles(part, ax, measure=study.primary, arms=canvas.arms, lower_is_better=study.lower_is_better)
            key.legend(canvas.arms, ax, present=canvas.present(part), dots=False)
            key.say_n(ax, part["replicates"].unique(), "replicates an arm")

        at = runs[runs["arm"].isin(part["arm"])].groupby("mcmc_steps")["step_size"].unique()
        heading = "; ".join(f"step size {listed([f'{s:g}' for s in sorted(some)])} at {steps:g} MCMC steps"
                            for steps, some in at.items()) + (f": {words}" if words else "")
        panels.append(canvas.panel(f"profiles{end}", heading, part, draw, (6.4, 3.8),
                                   f"Performance profiles of the arms {words}".strip()))
    each = sorted(set(frame["replicates"]))
    n = f"{each[0]}" if len(each) == 1 else f"{each[0]} to {each[-1]}"
    return Section(
        "How often a quality is reached",
        f"Share of an arm's replicates at least as good as a threshold, over {said} "
        f"({n} replicates an arm). A diverged replicate never is: a line that stays below 1 lost the rest. Band: "
        "pointwise 95 % bootstrap of seeds, each with all its cells.",
        panels, wide=True)


def budget(canvas: Canvas) -> Section | None:
    """T3: equal budgets are seen, not claimed."""
    frame = spent(canvas.study)
    if frame.empty:
        return None
    return Section(
        "Budget and fairness",
        "What each arm was given: sums over all replicates, the diverged and the pruned too. Particle gradients are "
        "what the search's budgets are equal in; in the design a cell costs what its method costs. Wall seconds are "
        "elapsed, once for the replicates that trained together. Lost: crashed, out of memory, interrupted or "
        "unfinished. \u2265: MLflow holds no such cost of some pruned or lost trials.",
        tables=[("budget", budget_words(frame))], raw={"budget": frame})
