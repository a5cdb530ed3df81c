"""Quality against cost, and how often a quality is reached at all."""

from __future__ import annotations

from functools import partial

from matplotlib.axes import Axes

from analysis import cost
from analysis.budget import budget as spent
from analysis.budget import budget_words
from analysis.figures import cost as figures
from analysis.figures import key
from analysis.sections.canvas import Canvas, Section
from analysis.wording import count

LABELS = {"particle_gradients": "particle gradients a replicate", "cpu_seconds": "CPU seconds a replicate"}


def pareto(canvas: Canvas) -> Section | None:
    """F3: a panel in particle-gradient evaluations and one in time."""
    frame, study = cost.costs(canvas.study), canvas.study
    known = [c for c in LABELS if c in frame and (frame[c] > 0).any()]
    if len(frame) < 2 or not known:
        return None
    panels = []
    for name in known:

        def draw(ax: Axes, name: str = name) -> None:
            figures.pareto(frame, ax, measure=study.primary, cost=name, label=LABELS[name], arms=study.arms,
                           lower_is_better=study.lower_is_better)
            key.legend(study.arms, ax, present=canvas.present(frame))

        panels.append(canvas.panel(f"pareto_{name}", "", frame, draw, (4.9, 3.6),
                                   f"{study.primary} of each design cell against its {LABELS[name]}"))
    return Section(
        "Quality against cost",
        f"{count(len(frame), 'design cell')} with survivors; open marks: a replicate diverged there. The line joins "
        "the cells that no other cell without divergence beats in both.", panels)


def profiles(canvas: Canvas) -> Section | None:
    """F5: divergence counts as failure, so that no arm profits from its lost replicates."""
    study = canvas.study
    runs = cost.shared_cells(study)
    if runs.empty or runs["arm"].nunique() < 2:
        return None
    frame = cost.profile(runs, study.primary, study.lower_is_better)
    if frame.empty:
        return None
    draw = partial(figures.profiles, frame, measure=study.primary, arms=study.arms,
                   lower_is_better=study.lower_is_better)

    def with_key(ax: Axes) -> None:
        key.legend(study.arms, draw(ax), present=canvas.present(frame), dots=False)

    cells = runs.groupby(["step_size", "mcmc_steps"]).ngroups
    each = sorted(set(frame["replicates"]))
    n = f"{each[0]}" if len(each) == 1 else f"{each[0]} to {each[-1]}"
    return Section(
        "How often a quality is reached",
        f"Share of an arm's replicates at least as good as a threshold, over the {count(cells, 'cell')} that all arms "
        f"ran ({n} replicates an arm). A diverged replicate never is: a line that stays below 1 lost the rest. Band: "
        "pointwise 95 % bootstrap within cells.",
        [canvas.panel("profiles", "", frame, with_key, (6.4, 3.6), "Performance profiles of the arms")], wide=True)


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
