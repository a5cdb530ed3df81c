"""Sentences written from the numbers. Which ones are written is a stated rule, so none is picked for its result."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.frames import rows
from analysis.inference import Interval, PairedDifference, holm, paired_difference, wilson
from analysis.load import CELL, VALID, Study
from analysis.tables import best_cells, common_cell, grid, limits, rates, summaries
from analysis.wording import DASH, bounds, count, interval, listed, number, p_value, share

ALPHA = 0.05
RULE = (
    "Each arm gets one sentence on divergence: the design cell where its count differs most from the baseline's (of "
    "equals the smallest step); one on quality at the common cell, which is chosen without a look at quality; and one "
    "on the predicted limit at the largest number of MCMC steps. Differences are paired by seed over seeds that "
    "survived in both arms; a difference is called significant only if Holm's p over these comparisons is at most "
    f"{ALPHA}."
)


@dataclass(frozen=True)
class Finding:
    """One sentence and what it is about: progress, divergence, quality, law, best cell, confirm or search."""

    about: str
    text: str


def findings(study: Study) -> list[Finding]:
    """All sentences of the report, the most important first. Claims rest on the design and confirm phases alone."""
    parts = [*_divergence(study), *_quality(study), *_law(study), *_best(study), *_confirmed(study), *_searched(study)]
    return [*parts, *(Finding("progress", text) for text in missing(study))]


def missing(study: Study) -> list[str]:
    """What is planned and not there yet, and what was lost; empty for a finished study."""
    out = []
    cells = grid(study)
    absent = cells[cells["state"] != "complete"]
    if len(absent):
        some = [f"{c.arm} at step size {c.step_size:g}, {c.mcmc_steps:g} MCMC steps ({c.state})" for c in rows(absent)]
        out.append(
            f"{len(absent)} of {count(len(cells), 'planned design cell')} "
            f"{'is' if len(absent) == 1 else 'are'} missing or short: {listed(some)}."
        )
    for phase in ("search", "confirm"):
        planned = int(study.plan.get("planned", {}).get(phase, {}).get("configurations", 0))
        of = study.trials[(study.trials["phase"] == phase) & study.trials["complete"]]
        if len(of) < planned:
            out.append(f"The {phase} has {len(of)} of {count(planned, 'planned trial')}.")
    lost = study.trials.loc[study.trials["phase"] != "design", "status"].value_counts().sort_index()
    for status, n in lost.items():
        if status not in ("", *VALID, "pruned"):
            out.append(f"{count(n, 'trial')} outside the design ended as {status!s}; none of them is counted.")
    return out


def _at(cell: pd.Series) -> str:
    return f"step size {cell['step_size']:g} with {cell['mcmc_steps']:g} MCMC steps"


def _divergence(study: Study) -> list[Finding]:
    out = []
    cells = grid(study)
    cells = cells[cells["replicates"] > 0]
    law = limits(study) if len(cells) else pd.DataFrame()
    for arm in study.arms:
        own, base = cells[cells["arm"] == arm], study.baseline_of(arm)
        if own.empty or base is None:
            continue
        both = own.merge(cells[cells["arm"] == base], on=CELL, suffixes=("", "_base"))
        if both.empty:
            continue
        gap = (both["rate"] - both["rate_base"]).abs()
        if gap.max() == 0:
            out.append(
                Finding(
                    "divergence",
                    f"{arm} and {base} diverged equally often in all {count(len(both), 'cell')} that both ran.",
                )
            )
            continue
        cell = both.assign(gap=gap).sort_values(["gap", *CELL], ascending=[False, True, False]).iloc[0]
        a = wilson(cell["diverged_base"], cell["replicates_base"])
        b = wilson(cell["diverged"], cell["replicates"])
        apart = "the intervals do not overlap" if a.high < b.low or b.high < a.low else "the intervals overlap"
        text = (
            f"At {_at(cell)}, {base} diverged on {share(cell['diverged_base'], cell['replicates_base'])} seeds "
            f"{bounds(a)}, {arm} on {share(cell['diverged'], cell['replicates'])} {bounds(b)}; {apart}."
        )
        row = law[(law["arm"] == base) & (law["mcmc_steps"] == cell["mcmc_steps"])].iloc[0]
        if not math.isnan(row["delta_min"]):
            text += f" Predicted limit for {base}: {_span(row)}."
        out.append(Finding("divergence", text))
    return out


def _span(row: pd.Series) -> str:
    if math.isinf(row["delta_min"]):
        return "none"
    return f"{number(row['delta_min'], 2)} (smallest direction) to {number(row['delta_med'], 2)} (median direction)"


def comparisons(study: Study) -> pd.DataFrame:
    """Each arm against its baseline at the common cell, paired by seed: one row an arm, p corrected by Holm."""
    chosen, found = common_cell(study), []
    design = study.finals[(study.finals["phase"] == "design")]
    if chosen is None:
        return pd.DataFrame()
    for arm in study.arms:
        base = study.baseline_of(arm)
        if base is None:
            continue
        here = design[(design["step_size"] == chosen[0]) & (design["mcmc_steps"] == chosen[1]) & ~design["diverged"]]
        a, b = (here[here["arm"] == x].set_index("seed")[study.primary].dropna() for x in (arm, base))
        seeds = a.index.intersection(b.index).sort_values()
        if len(seeds) < 2:
            continue
        test: PairedDifference = paired_difference(a[seeds].to_list(), b[seeds].to_list(), np.random.default_rng(0))
        found.append(
            {
                "arm": arm,
                "baseline": base,
                "step_size": chosen[0],
                "mcmc_steps": chosen[1],
                "difference": test.difference.estimate,
                "low": test.difference.low,
                "high": test.difference.high,
                "pairs": test.difference.n,
                "p": test.p,
                "p_attainable": test.p_attainable,
                "test": test,
            }
        )
    frame = pd.DataFrame(found)
    return frame.assign(p_holm=holm(list(frame["p"]))) if found else frame


def _quality(study: Study) -> list[Finding]:
    out = []
    frame = comparisons(study)
    for row in frame.to_dict("records"):
        i, m = row["test"].difference, len(frame)
        attainable = min(1.0, row["p_attainable"] * m)
        way = "lower" if i.estimate < 0 else "higher"
        better = "better" if (i.estimate < 0) == study.lower_is_better else "worse"
        text = (
            f"At {_at(pd.Series(row))}, {row['arm']}'s {study.primary} is {way} ({better}) than {row['baseline']}'s "
            f"by {_size(i)} ({count(i.n, 'paired seed')}; sign-flip {p_value(row['p'])}, attainable minimum "
            f"{number(row['p_attainable'], 2)}" + (f"; Holm over {m}: {p_value(row['p_holm'])}). " if m > 1 else "). ")
        )
        if attainable > ALPHA:
            text += (
                f"With {count(i.n, 'pair')} and {count(m, 'comparison')} no result could have reached {ALPHA}: "
                "the interval is the evidence."
            )
        else:
            text += f"{'Significant' if row['p_holm'] <= ALPHA else 'Not significant'} at {ALPHA}."
        out.append(Finding("quality", text))
    return out


def _size(i: Interval) -> str:
    """The difference without its sign, and its interval turned the same way round."""
    low, high = (i.low, i.high) if i.estimate >= 0 else (-i.high, -i.low)
    return interval(Interval(abs(i.estimate), low, high, i.n))


def _law(study: Study) -> list[Finding]:
    frame = limits(study) if len(study.cells) else pd.DataFrame()
    out = []
    for arm in study.arms if len(frame) else []:
        found = frame[
            (frame["arm"] == arm) & frame["stable_to"].notna() | (frame["arm"] == arm) & frame["diverges_from"].notna()
        ]
        if found.empty:
            continue
        row = found.sort_values("mcmc_steps").iloc[-1]
        if row["outcome"] == "no prediction":
            continue
        seen = [
            f"none diverged up to {row['stable_to']:g}" if not math.isnan(row["stable_to"]) else "",
            f"the first diverged at {row['diverges_from']:g}" if not math.isnan(row["diverges_from"]) else "",
            f"most at {row['mostly_from']:g}" if not math.isnan(row["mostly_from"]) else "",
        ]
        out.append(
            Finding(
                "law",
                f"Step-size limit of {arm} at {row['mcmc_steps']:g} MCMC steps: predicted "
                f"{_span(row)}; observed{_horizon(row)}: {listed([s for s in seen if s])}. {_verdict(row)}",
            )
        )
    return out


def _horizon(row: pd.Series) -> str:
    """Divergence near a limit takes hundreds to thousands of updates: without the horizon, "stable" says little."""
    return "" if pd.isna(row["horizon"]) else f" within {row['horizon']:g} updates"


def _verdict(row: pd.Series) -> str:
    text = str(row["outcome"])
    return text[0].upper() + text[1:] + "."


def _best(study: Study) -> list[Finding]:
    out, long = [], f"{study.primary}_long"
    floor = (study.plan.get("floors") or {}).get(study.primary)
    for cell in best_cells(study).to_dict("records"):
        here = summaries(
            study.finals[study.finals["config_hash"] == cell["config_hash"]],
            [m for m in (study.primary, long) if m in study.finals],
        ).set_index("measure")
        words = {m: interval(Interval(s["mean"], s["low"], s["high"], s["n"])) for m, s in here.iterrows()}
        text = (
            f"{cell['arm']}'s best design cell is {_at(pd.Series(cell))}: {study.primary} {words[study.primary]} "
            f"(n = {cell['n']}, {share(cell['diverged'], cell['replicates'])} diverged)"
        )
        if floor:
            text += f"; the floor is {number(floor['mean'], 2)} \u00b1 {number(floor['sd'], 2)} (sd)"
        if long in words and here.loc[long, "n"]:
            text += f"; after the long run {words[long]}"
        out.append(
            Finding("best cell", text + ". The cell was picked on these same seeds, so the value is optimistic.")
        )
    return out


def _confirmed(study: Study) -> list[Finding]:
    frame = rates(study.finals[study.finals["phase"] == "confirm"])
    if frame.empty:
        return []
    means = summaries(study.finals[study.finals["phase"] == "confirm"], [study.primary])
    means = means[means["n"] > 0].sort_values(["diverged", "mean"], ascending=[True, study.lower_is_better])
    if means.empty:
        return [Finding("confirm", "Every confirmed configuration diverged on every fresh seed.")]
    best = means.iloc[0]
    return [
        Finding(
            "confirm",
            f"On fresh seeds and held-out samples the best of {count(len(frame), 'confirmed configuration')} "
            f"is {best['arm']} at {_at(best)}: {study.primary} "
            f"{interval(Interval(best['mean'], best['low'], best['high'], best['n']))} (n = {best['n']}, "
            f"{share(best['diverged'], best['replicates'])} diverged).",
        )
    ]


def _searched(study: Study) -> list[Finding]:
    frame = summaries(study.finals[study.finals["phase"] == "search"], [study.primary])
    pruned = int(((study.trials["phase"] == "search") & (study.trials["status"] == "pruned")).sum())
    clean = frame[(frame["n"] > 0) & (frame["diverged"] == 0)]
    if clean.empty:
        return []
    best = clean.sort_values("mean", ascending=study.lower_is_better).iloc[0]
    return [
        Finding(
            "search",
            f"Search, not a claim: the best of {count(len(frame), 'finished trial')} "
            f"({pruned} more pruned) is {best['arm']} at {_at(best)} with {study.primary} "
            f"{number(best['mean'])} over {count(best['n'], 'seed')} {DASH} the winner of many draws.",
        )
    ]
