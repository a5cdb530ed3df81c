"""The Pareto set of a search with several objectives."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pandas as pd
from matplotlib.axes import Axes

from analysis.panels import axes
from analysis.panels.axes import log_if_wide
from analysis.panels.groups import present
from analysis.panels.marks import name_marks
from analysis.panels.palette import INK, PAPER, colours, markers
from analysis.panels.panel import Figure, Panel, Table
from analysis.read.study import Study
from analysis.stats.objectives import objective_values
from analysis.text.formatting import DASH, count, listed, number, share
from study.schema.bound import bounds_text

MOST = 20  # rows of the Pareto set; the CSV file has all trials


class SearchPareto(Panel):
    """The trials that no other one beats in all objectives: a figure for each objective beside the first, and a row per
    trial of the set."""

    name, title = "search_pareto", "The search's Pareto set"

    def frame(self, study: Study) -> pd.DataFrame:
        return objective_values(study)

    def figures(self, study: Study, frame: pd.DataFrame) -> list[Figure]:
        first, *others = study.plan.objectives
        return [Figure(f"search_pareto_{other}", "", frame, partial(_plot, study, frame, other), (5.2, 3.9),
                       f"{first} of each search trial against {other}; the Pareto set is filled") for other in others]

    def tables(self, study: Study, frame: pd.DataFrame) -> list[Table]:
        shown = _best(frame)
        return [Table(self.name, _pareto_words(shown, study.plan.objectives), shown),
                Table("search_objectives", None, frame)]

    def caption(self, study: Study, frame: pd.DataFrame) -> str:
        less = f" The table has the first {MOST}." if len(_best(frame)) < frame["front"].sum() else ""
        bounds = bounds_text(study.plan.constraints)
        within = f", among those within the bounds ({bounds})" if bounds else ""
        return (f"{frame['front'].sum()} of {count(len(frame), 'finished trial')} are in the set: beaten by none in "
                f"{listed(study.plan.objectives)}{within}. Each value is what the sampler was told: the mean over all "
                "replicates, where a diverged one counts as the plan's diverged value. Few replicates and a chosen "
                f"set: `confirm` tells what holds.{less}")


def _best(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["front"]].head(MOST)


def _plot(study: Study, frame: pd.DataFrame, other: str, ax: Axes) -> None:
    names = study.plan.objectives
    pareto_set(frame, ax, across=other, up=names[0], arms=study.arms, joined=len(names) == 2)
    axes.legend(study.arms, ax, present=present(study, frame), extra=[axes.mark(
        "o", "open: beaten, or outside the bounds" if study.plan.constraints else "open: beaten")])
    axes.say_n(ax, frame["replicates"], "replicates per trial")


def pareto_set(frame: pd.DataFrame, ax: Axes, *, across: str, up: str, arms: Sequence[str], joined: bool) -> Axes:
    """Each finished trial at two of its objectives, as its sampler was told them; filled where it is in the Pareto set.

    frame: `objectives.objective_values`. joined: a line along the set, which two objectives alone have.
    """
    colour, marker = colours(arms), markers(arms)
    for arm in [a for a in arms if a in set(frame["arm"])]:
        for is_best in (False, True):
            own = frame[(frame["arm"] == arm) & (frame["front"] == is_best)]
            [line] = ax.plot(own[across], own[up], marker=marker[arm], ls="", ms=6 if is_best else 4.5,
                             color=colour[arm], mfc=colour[arm] if is_best else "none",
                             mec=PAPER if is_best else colour[arm], mew=0.5 if is_best else 0.9,
                             gid="front" if is_best else "beaten", zorder=3)
            name_marks(line, own)
    if joined:
        best = frame[frame["front"]].sort_values([across, up])
        ax.plot(best[across], best[up], color=INK, lw=1.0, drawstyle="steps-post", zorder=2, gid="line")
    ax.margins(0.1)
    log_if_wide(ax.xaxis, frame[across], 5)
    log_if_wide(ax.yaxis, frame[up], 5)
    ax.set(xlabel=across, ylabel=up)
    return ax


def _pareto_words(frame: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Rows of `objective_values` for a reader."""
    knobs = [str(c) for c in frame if c not in ("arm", *names, "replicates", "diverged", "config_hash", "front")]
    return pd.DataFrame([{
        "arm": r["arm"], **{k.replace("_", " ").replace("mcmc", "MCMC"): _knob(r[k]) for k in knobs},
        **{name: number(r[name]) for name in names}, "diverged": share(r["diverged"], r["replicates"])}
        for r in frame.to_dict("records")])


def _knob(value: object) -> str:
    if isinstance(value, float):
        return DASH if pd.isna(value) else f"{value:.4g}"
    return DASH if value is None else str(value)
