"""The search in parallel coordinates: which knobs the good trials share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.panels import axes
from analysis.panels.axes import round_levels
from analysis.panels.groups import arm_groups, present
from analysis.panels.marks import name_marks
from analysis.panels.palette import PAPER, RULE, SOFT, colours, markers
from analysis.panels.panel import Figure, Panel
from analysis.read.study import Study
from analysis.stats.cells import summaries
from analysis.stats.objectives import excess, searched
from analysis.text.formatting import count

BEST = 3  # trials of an arm that are drawn on top
MOST = 300  # lines of a figure: more are one grey
WIDE = 10.0  # ratio of the largest value to the smallest from which an axis of which nothing is known is logarithmic
OFF = 0.13  # below or above an axis: what has no value on it
TICKS = 6  # of an axis
_OWN = ["arm", "config_hash", "outcome", "rank", "mean"]  # columns beside the knobs'


class Parallel(Panel):
    """A line a trial over the searched knobs, and what it gave on the last axis."""

    name, title, wide = "parallel", "What good trials share", True

    def frame(self, study: Study) -> pd.DataFrame:
        return trials(study)

    def is_shown(self, study: Study, frame: pd.DataFrame) -> bool:
        return len(frame) > 1 and len(_knobs(frame)) > 1 and bool(frame["mean"].notna().any())

    def figures(self, study: Study, frame: pd.DataFrame) -> list[Figure]:
        log = study.plan.search.log if study.plan.search else None
        return [Figure(f"{self.name}{end}", words, part, partial(_plot, study, part, frame, log),
                       (1.2 + 1.4 * len(_knobs(frame)), 3.9),
                       f"Search trials over their knobs and {study.primary} {words}".strip())
                for end, words, part in arm_groups(study, frame)]

    def caption(self, study: Study, frame: pd.DataFrame) -> str:
        few = (f" At most {MOST} trials of a figure are drawn, the best first; the CSV file has all."
               if len(frame) > MOST else "")
        n, bounds = frame["outcome"].value_counts(), study.plan.constraints
        pruned = (f" Dashed: {count(int(n['pruned']), 'pruned trial')}, without a value." if "pruned" in n else "")
        lost = (" Dotted, to a cross: all replicates diverged." if "diverged" in n else "")
        return (f"A line a search trial, through its knobs to its mean of {study.primary} over survivors "
                f"({'lower' if study.lower_is_better else 'higher'} is better). Strong: the {BEST} best of each arm, "
                f"by the fewest diverged, then {'by the bounds, then ' if bounds else ''}by the mean.{pruned}{lost} "
                f"`none`: not a knob of that arm, or without effect there.{few} The sampler chose these points: they "
                "show where it looked and carry no claim.")


def trials(study: Study) -> pd.DataFrame:
    """A row per search trial that finished or was pruned, the best first, of those that keep the constraints: `arm`, a
    column per knob that the search varied (NaN or None where the arm has no such knob), `mean` of the primary over
    survivors, `outcome` (finished, diverged: all replicates; pruned), and its `rank` in its arm."""
    finals = study.finals[study.finals["phase"] == "search"]
    found = summaries(finals, [study.primary])[["config_hash", "rate", "mean", "n"]]
    every = study.trials[study.trials["phase"] == "search"].drop_duplicates("config_hash")
    frame = every[["arm", "base_arm", "config_hash", "status", "settings"]].merge(found, "left", "config_hash")
    frame = frame[frame["n"].notna() | (frame["status"] == "pruned")]
    ended = np.where(frame["n"] > 0, "finished", "diverged")
    frame = frame.assign(outcome=np.where(frame["n"].isna(), "pruned", ended),
                         excess=frame["config_hash"].map(excess(study)))
    frame = frame.sort_values(["rate", "excess", "mean"], ascending=[True, True, study.lower_is_better],
                              ignore_index=True)
    settings = searched(study, frame)
    varied = [k for k in settings if settings[k].dropna().map(str).nunique() > 1]
    return pd.concat([frame[["arm", "config_hash"]], settings[varied], frame[["mean", "outcome"]]], axis=1).assign(
        rank=frame.groupby("arm").cumcount() + 1)


def _knobs(frame: pd.DataFrame) -> list[str]:
    return [str(c) for c in frame if c not in _OWN]


def _plot(study: Study, frame: pd.DataFrame, within: pd.DataFrame, log: list[str] | None, ax: Axes) -> None:
    parallel(frame, ax, measure=study.primary, arms=study.arms, lower_is_better=study.lower_is_better, log=log,
             within=within)
    axes.legend(study.arms, ax, present=present(study, frame))
    ax.set_xlabel(f"n = {len(frame)} trials")


def parallel(frame: pd.DataFrame, ax: Axes, *, measure: str, arms: Sequence[str], lower_is_better: bool,
             log: Sequence[str] | None = None, within: pd.DataFrame | None = None) -> Axes:
    """Each trial a line through its knobs to its mean: faint, but for the best of each arm, which lie on top; dashed
    where it was pruned, dotted where all replicates diverged.

    frame: `trials`. log: knobs whose axis is logarithmic; None: judged by their values. within: of all figures, whose
    axes are one.
    """
    colour, marker = colours(arms), markers(arms)
    within, knobs = frame if within is None else within, _knobs(frame)
    heights = pd.DataFrame({knob: _axis(ax, k, frame[knob], within[knob], None if log is None else knob in log)
                            for k, knob in enumerate(knobs)}, index=frame.index)
    end, worst = len(knobs), 1 + OFF if lower_is_better else -OFF
    mean = _axis(ax, end, frame["mean"], within["mean"], None, at=worst, word="diverged")
    heights["mean"] = np.where(frame["outcome"] == "pruned", np.nan, mean)
    for k in frame.index[:MOST][::-1]:  # the best last, on top
        arm, outcome = frame.loc[k, ["arm", "outcome"]]
        best = outcome == "finished" and frame.loc[k, "rank"] <= BEST
        ax.plot(range(end + 1), heights.loc[k], color=colour[arm], lw=2.2 if best else 0.8, alpha=1.0 if best else 0.4,
                ls={"pruned": (0, (4, 2.5)), "diverged": (0, (1, 1.5))}.get(outcome, "-"), zorder=4 if best else 2,
                gid="best" if best else outcome)
    for arm in [a for a in arms if a in set(frame["arm"])]:
        own = frame.head(MOST)[frame["arm"].head(MOST) == arm]
        for outcome, shape in (("finished", marker[arm]), ("diverged", "x"), ("pruned", marker[arm])):
            part = own[own["outcome"] == outcome]
            at = end if outcome != "pruned" else end - 1
            [line] = ax.plot(np.full(len(part), at), heights.loc[part.index].iloc[:, at], marker=shape, ls="", ms=4.5,
                             color=colour[arm], mec=PAPER if outcome == "finished" else colour[arm], mew=0.5 if outcome
                             == "finished" else 1.0, mfc=colour[arm] if outcome == "finished" else "none", zorder=5,
                             gid="end")
            name_marks(line, part)
    words = [knob.replace("_", " ").replace("mcmc", "MCMC") for knob in knobs]
    ax.set_xticks(range(end + 1), [*words, f"{measure}\n({'lower' if lower_is_better else 'higher'} is better)"])
    ax.set(xlim=(-0.15, end + 0.45), yticks=[])
    ax.grid(False)
    ax.spines[:].set_visible(False)
    return ax


def _axis(ax: Axes, place: int, own: pd.Series, every: pd.Series, log: bool | None, at: float = -OFF,
          word: str = "none") -> np.ndarray:
    """Draws the axis of one column over all its values, with ticks; the heights of `own` on it, from 0 to 1. What has
    no value lies at height `at`, which `word` names there."""
    height, ticks = _scale(every.dropna().tolist(), log)
    ax.plot([place, place], [0, 1], color=RULE, lw=1.2, zorder=1, gid="axis")
    said = [(height(value), text) for value, text in ticks.items()]
    if own.isna().any():
        said.append((at, word))
    for y, text in said:
        ax.annotate(text, (place, y), xytext=(4, 0), textcoords="offset points", va="center", fontsize=7.5, color=SOFT,
                    bbox={"facecolor": PAPER, "alpha": 0.75, "lw": 0, "pad": 0.6}, zorder=6, gid="tick")
    return np.array([at if pd.isna(v) else height(v) for v in own])


def _scale(known: Sequence[Any], log: bool | None) -> tuple[Callable[[Any], float], dict[Any, str]]:
    """How high a value lies between the ends of these, and the ticks: round numbers, or every level of what is none."""
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in known):
        levels = sorted({str(v) for v in known})
        return lambda v: levels.index(str(v)) / max(len(levels) - 1, 1), {v: v for v in levels}
    low, high = float(min(known)), float(max(known))
    log = low > 0 and (high > WIDE * low if log is None else log)
    first, last = (math.log(low), math.log(high)) if log else (low, high)
    return (lambda v: ((math.log(v) if log else float(v)) - first) / (last - first or 1.0),
            {t: f"{t:g}" for t in _levels(low, high, log)})


def _levels(low: float, high: float, log: bool) -> list[float]:
    """Round numbers from low to high, some TICKS at most."""
    from matplotlib.ticker import MaxNLocator

    if low == high:
        return [low]
    if log:
        every = [t for t in round_levels(low, high) if low <= t <= high]
        if len(every) > 1:
            return every if len(every) <= TICKS else [t for t in every if f"{t:e}".startswith("1.0")]
    ticks = MaxNLocator(TICKS - 1, steps=[1, 2, 5, 10]).tick_values(low, high)
    return [float(f"{t:.6g}") for t in ticks if low <= t <= high]
