"""The search, shown as search."""

from __future__ import annotations

from matplotlib.axes import Axes

from analysis import tables
from analysis.figures import key
from analysis.figures import search as figures
from analysis.sections.canvas import Canvas, Section
from analysis.wording import count


def search(canvas: Canvas) -> Section | None:
    """Where the sampler looked, what was pruned, and what each finished trial gave."""
    study = canvas.study
    frame = tables.summaries(study.finals[study.finals["phase"] == "search"], [study.primary])
    if frame.empty:
        return None
    pruned = study.trials[(study.trials["phase"] == "search") & (study.trials["status"] == "pruned")]

    def draw(ax: Axes) -> None:
        figures.search_trials(frame, pruned, ax, measure=study.primary, arms=canvas.arms)
        extra = [key.mark(m, words) for m, words, some in (
            ("x", "all replicates diverged", (frame["n"] == 0).any()), ("o", "open: pruned", len(pruned))) if some]
        key.legend(canvas.arms, ax, present=[a for a in study.arms if a in {*frame["arm"], *pruned["arm"]}],
                   extra=extra)
        key.say_n(ax, [len(frame) + len(pruned)], "trials; beside a mark: its MCMC steps")

    panel = canvas.panel("search", "", frame, draw, (6.4, 3.8), "Each search trial's mean against its step size")
    return Section(
        "Search, shown as search",
        f"{count(len(frame), 'finished trial')} with {canvas.replicates('search')} each and {len(pruned)} pruned, "
        "where the sampler chose to look; the number beside a mark is its MCMC steps. Upper edge: all replicates "
        "diverged (cross) or pruned (open). Points are not independent draws and carry no claim.", [panel], wide=True)
