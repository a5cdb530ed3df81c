"""The search, shown as search."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.panels import axes
from analysis.panels.axes import log_if_wide, log_ticks, round_levels
from analysis.panels.groups import replicates
from analysis.panels.marks import name_marks
from analysis.panels.palette import PAPER, SOFT, colours, markers
from analysis.panels.panel import Figure, Panel
from analysis.read.study import Study
from analysis.stats.cells import summaries
from analysis.stats.objectives import excess
from analysis.text.formatting import count
from study.schema.bound import bounds_text


class Search(Panel):
    """Where the sampler looked, what was pruned, and what each finished trial gave."""

    name, title, wide = "search", "Search, shown as search", True

    def frame(self, study: Study) -> pd.DataFrame:
        found = summaries(study.finals[study.finals["phase"] == "search"], [study.primary])
        return found.assign(excess=found["config_hash"].map(excess(study))) if study.plan.constraints else found

    def plot(self, study: Study, frame: pd.DataFrame, ax: Axes) -> None:
        pruned = _pruned(study)
        search_trials(frame, pruned, ax, measure=study.primary, arms=study.arms)
        extra = [axes.mark(m, words) for m, words, some in (
            ("x", "all replicates diverged", (frame["n"] == 0).any()), ("o", "open: pruned", len(pruned)),
            ("", "pale: outside the bounds", _missed(frame[frame["n"] > 0]).any())) if some]
        axes.legend(study.arms, ax, present=[a for a in study.arms if a in {*frame["arm"], *pruned["arm"]}],
                    extra=extra)
        axes.say_n(ax, [len(frame) + len(pruned)], "trials; beside a mark: its MCMC steps")

    def figures(self, study: Study, frame: pd.DataFrame) -> list[Figure]:
        return [self.figure(study, frame, alt="Each search trial's mean against its step size")]

    def caption(self, study: Study, frame: pd.DataFrame) -> str:
        return (f"{count(len(frame), 'finished trial')} with {replicates(study, 'search')} each and "
                f"{len(_pruned(study))} pruned, where the sampler chose to look; the number beside a mark is its MCMC "
                "steps. Upper edge: all replicates diverged (cross) or pruned (open). "
                + (f"Pale: a replicate diverged or is not within the bounds ({bounds_text(study.plan.constraints)}). "
                   if study.plan.constraints else "")
                + "Points are not independent draws and carry no claim.")


def _missed(frame: pd.DataFrame) -> pd.Series:
    """Of each trial whether it misses a constraint."""
    return frame["excess"] > 0 if "excess" in frame else pd.Series(False, frame.index)


def _pruned(study: Study) -> pd.DataFrame:
    return study.trials[(study.trials["phase"] == "search") & (study.trials["status"] == "pruned")]


def search_trials(frame: pd.DataFrame, pruned: pd.DataFrame, ax: Axes, *, measure: str, arms: Sequence[str]) -> Axes:
    """Search, shown as search: each finished trial's mean at its step size, its MCMC steps beside it, pale where it
    misses a constraint; on the upper edge a cross where all seeds diverged and an open mark where the trial was pruned.

    frame: `summaries` of the search phase, with `excess` where it has constraints; pruned: rows of `Study.trials`.
    """
    colour, marker = colours(arms), markers(arms)
    for arm in arms:
        own = frame[frame["arm"] == arm]
        gone = own[own["n"] == 0]
        own = own[own["n"] > 0]
        for some, alpha in ((own[~_missed(own)], 1.0), (own[_missed(own)], 0.35)):
            [line] = ax.plot(some["step_size"], some["mean"], marker=marker[arm], ls="", ms=6, color=colour[arm],
                             mec=PAPER, alpha=alpha, gid="finished" if alpha == 1 else "missed")
            name_marks(line, some)
        for x, y, steps in zip(own["step_size"], own["mean"], own["mcmc_steps"], strict=True):
            ax.annotate(f"{steps:g}", (x, y), xytext=(5, 3), textcoords="offset points", fontsize=6.5, color=SOFT)
        stopped = pruned[pruned["arm"] == arm]
        for part, shape, gid in ((gone, "x", "diverged"), (stopped, marker[arm], "pruned")):
            [line] = ax.plot(part["step_size"], np.full(len(part), 0.97), marker=shape, ls="", ms=6, mew=1.2,
                             mfc="none", color=colour[arm], gid=gid, transform=ax.get_xaxis_transform())
            name_marks(line, part)
    log_if_wide(ax.yaxis, frame["mean"], 10)
    low, high = ax.get_ylim()
    ax.set_ylim(low, high * (high / low) ** 0.12 if ax.get_yscale() == "log" else high + 0.12 * (high - low))
    ax.set(xscale="log", xlabel="step size (data units)", ylabel=f"{measure}, mean over survivors")
    steps = pd.concat([frame["step_size"], pruned["step_size"]]).dropna()
    log_ticks(ax, round_levels(float(steps.min()), float(steps.max())))
    return ax
