"""The search, shown as search; with several objectives its Pareto set."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from analysis import objectives, tables
from analysis.figures import key
from analysis.figures import search as figures
from analysis.sections.canvas import Canvas, Section
from analysis.wording import DASH, count, listed, number, share

MOST = 20  # rows of the Pareto set; the CSV file has all trials


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


def pareto(canvas: Canvas) -> Section | None:
    """The trials that no other one beats in all objectives: a panel for each objective beside the first, and a row per
    trial of the set."""
    frame, names = objectives.objective_values(canvas.study), objectives.objectives(canvas.study)
    if frame.empty:
        return None
    panels = []
    for other in names[1:]:

        def draw(ax: Axes, other: str = other) -> None:
            figures.pareto_set(frame, ax, across=other, up=names[0], arms=canvas.arms, joined=len(names) == 2)
            key.legend(canvas.arms, ax, present=canvas.present(frame), extra=[key.mark("o", "open: beaten")])
            key.say_n(ax, frame["replicates"], "replicates per trial")

        panels.append(canvas.panel(f"search_pareto_{other}", "", frame, draw, (5.2, 3.9),
                                   f"{names[0]} of each search trial against {other}; the Pareto set is filled"))
    shown = frame[frame["front"]].head(MOST)
    less = f" The table has the first {MOST}." if len(shown) < frame["front"].sum() else ""
    return Section(
        "The search's Pareto set",
        f"{frame['front'].sum()} of {count(len(frame), 'finished trial')} are beaten by no other in {listed(names)}. "
        "Each value is what the sampler was told: the mean over all replicates, where a diverged one counts as the "
        f"plan's diverged value. Few replicates and a chosen set: `confirm` tells what holds.{less}", panels,
        tables=[("search_pareto", _pareto_words(shown, names))],
        raw={"search_pareto": shown, "search_objectives": frame})


def _pareto_words(frame: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Rows of `objectives.objective_values` for a reader."""
    knobs = [str(c) for c in frame if c not in ("arm", *names, "replicates", "diverged", "config_hash", "front")]
    return pd.DataFrame([{
        "arm": r["arm"], **{k.replace("_", " ").replace("mcmc", "MCMC"): _knob(r[k]) for k in knobs},
        **{name: number(r[name]) for name in names}, "diverged": share(r["diverged"], r["replicates"])}
        for r in frame.to_dict("records")])


def _knob(value: object) -> str:
    if isinstance(value, float):
        return DASH if pd.isna(value) else f"{value:.4g}"
    return DASH if value is None else str(value)
