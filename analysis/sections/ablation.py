"""What each part and each factor does: ladder, path, effects, importance."""

from __future__ import annotations

from functools import partial

from analysis import ablation
from analysis import effects as factors
from analysis.figures import importance as figures
from analysis.sections.canvas import Canvas, Section
from analysis.wording import count


def ladder(canvas: Canvas) -> Section | None:
    """T2: from GCN by parts to the union."""
    frame = ablation.ladder(canvas.study)
    if frame.empty:
        return None
    return Section(
        "Ablation: from GCN to GGCN",
        "Arms that differ only by parts of the union (no controls), each at its own best design cell (picked on these "
        "seeds, so optimistic); full minus: the one part that it lacks. Costs are a surviving replicate's, as quality "
        "is: one that diverged stopped early.",
        tables=[("ladder", ablation.ladder_words(canvas.study, frame))], raw={"ladder": frame})


def path(canvas: Canvas) -> Section | None:
    """F6, second half: the way from the baseline to the best cell, as measured."""
    frame = ablation.path(canvas.study)
    if frame.empty:
        return None
    draw = partial(figures.ablation_path, frame, measure=canvas.study.primary, arms=canvas.study.arms)
    return Section(
        "From the baseline to the best cell",
        "One factor a step, the one that helps most first (fewer diverged, then the better mean); each cell as it was "
        f"measured, with 95 % t intervals over survivors ({canvas.replicates('design')} each).",
        [canvas.panel("path", "", frame, draw, (6.4, 0.9 + 0.55 * len(frame)),
                      f"Path from the baseline to the best cell in {count(len(frame) - 1, 'step')}")], wide=True)


def effects(canvas: Canvas) -> Section | None:
    """T4: the design's factors."""
    frame = factors.effects(canvas.study)
    if frame.empty:
        return None
    return Section(
        "What each factor does",
        "Each level of the design averaged over the levels of the other factors that all levels ran with; the method's "
        "levels are the arms that share cells with the baseline. Mean [95 % t interval] over the n seeds that survived "
        "in all of a level's cells; poor: of poor quality, among all survivors there. Diverged: over those cells; rate "
        "over seeds: the mean of a seed's share of cells in which it diverged [95 % t interval over seeds; none "
        "where all have the same share, whose spread of 0 says nothing of other seeds].",
        tables=[("effects", factors.effect_words(canvas.study, frame))], raw={"effects": frame}, late=True)


def importance(canvas: Canvas) -> Section | None:
    """F6, first half: knobs by how much of the ranking they explain."""
    frame = factors.importance(canvas.study)
    if frame.empty:
        return None
    arms = frame.drop_duplicates("arm")
    n = "; ".join(f"{row['arm']}: {row['configurations']} configurations, {row['replicates']} replicates, R\u00b2 "
                  f"{row['r2']:.2f}" for row in arms.to_dict("records"))
    draw = partial(figures.importances, frame, arms=canvas.study.arms)
    return Section(
        "Which knob matters",
        f"Evaluator: permutation importance of a random forest ({factors.TREES} trees) fitted to ranks with divergence "
        f"as worst; bars are means over {factors.REPEATS} shuffles, whiskers their standard deviation. R\u00b2: of "
        f"configurations that the forest has not seen ({factors.FOLDS} folds, a configuration's replicates together); "
        f"where it is low, the bars say little. {n}.",
        [canvas.panel("importance", "", frame, draw, (6.4, 0.8 + 0.3 * len(frame)), "Importance of each arm's knobs")],
        wide=True)
