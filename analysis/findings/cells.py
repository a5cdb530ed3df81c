"""Best cells, confirmed configurations, the search, and what is missing."""

from __future__ import annotations

import pandas as pd

from analysis.findings.finding import Finding, at
from analysis.frames import rows
from analysis.inference import Interval
from analysis.load import VALID, Study
from analysis.main_table import verdicts
from analysis.tables import best_cells, grid, rates, summaries
from analysis.wording import DASH, count, interval, listed, number, share


def best(study: Study) -> list[Finding]:
    """Each arm's best design cell, with its verdicts, the floor and the long run."""
    out, long = [], study.primary_long
    floor = (study.plan.get("floors") or {}).get(study.primary)
    for cell in best_cells(study).to_dict("records"):
        here = summaries(
            study.finals[study.finals["config_hash"] == cell["config_hash"]],
            [m for m in (study.primary, long) if m in study.finals],
        ).set_index("measure")
        words = {m: interval(Interval(s["mean"], s["low"], s["high"], s["n"])) for m, s in here.iterrows()}
        only = (study.cells["arm"] == cell["arm"]).sum() == 1
        text = (
            f"{cell['arm']}'s {'one' if only else 'best'} design cell is {at(pd.Series(cell))}: {study.primary} "
            f"{words[study.primary]} "
            f"(n = {cell['n']}, {share(cell['diverged'], cell['replicates'])} diverged"
        )
        judged = verdicts(study.finals[study.finals["config_hash"] == cell["config_hash"]])
        text += f"; {judged})" if judged else ")"
        if floor:
            text += f"; the floor is {number(floor['mean'], 2)} \u00b1 {number(floor['sd'], 2)} (sd)"
        if long in words and here.loc[long, "n"]:
            text += f"; after chains longer than in training (`long_run`) it is {words[long]}"
        out.append(
            Finding("best cell", text + ("." if only else
                                         ". The cell was picked on these same seeds, so the value is optimistic."))
        )
    return out


def confirmed(study: Study) -> list[Finding]:
    """The best of the confirm phase."""
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
            f"is {best['arm']} at {at(best)}: {study.primary} "
            f"{interval(Interval(best['mean'], best['low'], best['high'], best['n']))} (n = {best['n']}, "
            f"{share(best['diverged'], best['replicates'])} diverged).",
        )
    ]


def searched(study: Study) -> list[Finding]:
    """The best of the search, said to be search."""
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
            f"({pruned} more pruned) is {best['arm']} at {at(best)} with {study.primary} "
            f"{number(best['mean'])} over {count(best['n'], 'seed')} {DASH} the winner of many draws.",
        )
    ]


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
