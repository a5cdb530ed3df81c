"""Best cells, the search, and what is missing."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from analysis.read.study import Study, rows
from analysis.read.trials import VALID
from analysis.stats.cells import best_cells, grid, summaries
from analysis.stats.objectives import excess, objective_values
from analysis.stats.outcomes import poor
from analysis.text.findings.finding import Finding, at
from analysis.text.formatting import count, listed, number, plus_minus, share
from study.schema.bound import bounds_text

SAID = 3  # best cells that the sentence names; the table has all


def best(study: Study) -> list[Finding]:
    """The best of the arms' best design cells in one sentence, with what is bad in them, and the floor."""
    cells = best_cells(study)
    if cells.empty:
        return []
    cells = cells.sort_values(["rate", "mean"], ascending=[True, study.lower_is_better], kind="stable")
    shown = [f"{cell['arm']} {number(cell['mean'])}{_bad(study, cell)}" for cell in cells.head(SAID).to_dict("records")]
    picked = study.cells["arm"].duplicated().any()
    of = f" of {SAID} of {len(cells)} arms" if len(cells) > SAID else ""
    floor = study.plan.floors.get(study.primary)
    known = f" (floor {plus_minus(floor.mean, floor.sd)})" if floor else ""
    return [Finding("best cell", f"{'Best' if picked else 'Single'} design cells{of} by {study.primary}{known}: "
                                 f"{', '.join(shown)}{'; picked on these seeds' if picked else ''}.", "best_cells")]


def _bad(study: Study, cell: dict[Hashable, Any]) -> str:
    """` (1/7 diverged, 4 poor)`, where a replicate is so."""
    lost = f"{share(cell['diverged'], cell['replicates'])} diverged" if cell["diverged"] else ""
    bad = poor(study.replicates_of(cell["config_hash"]))
    said = ", ".join(filter(None, (lost, f"{bad}/{cell['n']} poor" if bad else "")))
    return f" ({said})" if said else ""


def searched(study: Study) -> list[Finding]:
    """The best of the search, said to be search."""
    frame = summaries(study.finals[study.finals["phase"] == "search"], [study.primary])
    pruned = int(((study.trials["phase"] == "search") & (study.trials["status"] == "pruned")).sum())
    kept = frame["config_hash"].map(excess(study)) == 0
    bounds = bounds_text(study.plan.constraints)
    clean = frame[(frame["n"] > 0) & (frame["diverged"] == 0) & kept]
    if clean.empty:
        return [Finding("search", f"None of {count(len(frame), 'finished trial')} of the search is within the bounds "
                                  f"({bounds}).", "search_cells")] if bounds and len(frame) and not kept.any() else []
    best = clean.sort_values("mean", ascending=study.lower_is_better).iloc[0]
    by = f" by {study.primary} alone" if len(study.plan.objectives) > 1 else ""
    said = (f"Search, not a claim: best of {count(len(frame), 'finished trial')}{by} ({pruned} pruned) is "
            f"{best['arm']} at {at(best)}: {study.primary} {number(best['mean'])} ({count(best['n'], 'seed')})."
            + (f" {kept.sum()} of {len(frame)} are within the bounds ({bounds})." if bounds else ""))
    return [Finding("search", said, "search_cells"), *_pareto(study)]


def _pareto(study: Study) -> list[Finding]:
    """How large the Pareto set of several objectives is, and each arm's part of it."""
    frame = objective_values(study)
    if frame.empty:
        return []
    arms = frame[frame["front"]].groupby("arm", sort=False).size()
    parts = listed([f"{arm} {n}" for arm, n in arms.items()])
    return [Finding("search", f"{int(arms.sum())} of {count(len(frame), 'finished trial')} are beaten by no other in "
                              f"{listed(study.plan.objectives)}: {parts}.", "search_pareto")]


def missing(study: Study) -> list[str]:
    """What is planned and not there yet, and what was lost; empty for a finished study."""
    out = []
    cells = grid(study)
    absent = cells[cells["state"] != "complete"]
    if len(absent):
        some = [f"{c.arm} at step size {c.step_size:g}, {c.mcmc_steps:g} MCMC steps ({c.state})" for c in rows(absent)]
        out.append(f"{len(absent)} of {count(len(cells), 'planned design cell')} "
                   f"{'is' if len(absent) == 1 else 'are'} missing or short in MLflow, to which a launch adds what its "
                   f"storage has: {listed(some)}.")
    for phase in ("search", "confirm"):
        planned = study.plan.configurations(phase) - (study.plan.exchanged if phase == "confirm" else 0)
        of = study.trials[(study.trials["phase"] == phase) & study.trials["complete"]]
        taken = study.exchanged
        if left := len(set(taken["config_hash"]) - set(of["config_hash"])) if phase == "confirm" else 0:
            out.append(f"{left} of {count(len(taken), 'confirmation')} with another arm's settings "
                       f"{'is' if left == 1 else 'are'} not trained yet.")
        of = of[~of["config_hash"].isin(taken["config_hash"])]
        if len(of) < planned:
            out.append(f"The {phase} has {len(of)} of {count(planned, 'planned trial')}.")
    lost = study.trials.loc[study.trials["phase"] != "design", "status"].value_counts().sort_index()
    for status, n in lost.items():
        if status not in ("", *VALID, "pruned"):
            out.append(f"{count(n, 'trial')} outside the design ended as {status!s}; none of them is counted.")
    return out
