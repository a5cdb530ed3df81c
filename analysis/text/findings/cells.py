"""Best cells, the search, and what is missing."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import pandas as pd

from analysis.read.frames import rows
from analysis.read.study import Study
from analysis.read.trials import VALID
from analysis.stats.cells import best_cells, grid, summaries
from analysis.stats.inference import Interval
from analysis.stats.objectives import objective_values
from analysis.stats.outcomes import reasons
from analysis.text.findings.finding import Finding, at
from analysis.text.formatting import DASH, count, interval, listed, number, plus_minus
from analysis.text.outcomes import gone, verdicts

SAID = 3  # best cells that the sentence names; the table has all


def best(study: Study) -> list[Finding]:
    """The best of the arms' best design cells in one sentence, with their verdicts and long runs, and the floor."""
    cells = best_cells(study)
    if cells.empty:
        return []
    cells = cells.sort_values(["rate", "mean"], ascending=[True, study.lower_is_better], kind="stable")
    shown = "; ".join(f"{cell['arm']} at {at(pd.Series(cell))}: {_measured(study, cell)}"
                      for cell in cells.head(SAID).to_dict("records"))
    picked, few = study.cells["arm"].duplicated().any(), min(SAID, len(cells))
    rest = f"; table best_cells has all {len(cells)}" if few < len(cells) else ""
    of = f"The best {few} of the arms'" if few < len(cells) else "The arms'"
    text = f"{of} {'best' if picked else 'single'} design cells (fewest diverged, then the mean{rest}): {shown}"
    floor = study.plan.floors.get(study.primary)
    if floor:
        text += f". The floor of {study.primary} is {plus_minus(floor.mean, floor.sd)} (sd)"
    return [Finding("best cell", text + (". Cells were picked on these same seeds, so their values are optimistic."
                                         if picked else "."))]


def _measured(study: Study, cell: dict[Hashable, Any]) -> str:
    """The primary measure of one configuration with n, counts, verdicts and its long run."""
    runs = study.finals[study.finals["config_hash"] == cell["config_hash"]]
    names = [m for m in (study.primary, study.primary_long) if m in runs]
    here = summaries(runs, names).set_index("measure")
    words = {str(m): interval(Interval.of(s)) for m, s in here.iterrows() if s["n"]}
    judged = verdicts(runs)
    text = (f"{study.primary} {words.get(study.primary, DASH)} (n = {cell['n']}, "
            f"{gone(int(runs['diverged'].sum()), len(runs), reasons(runs))} diverged{'; ' if judged else ''}{judged})")
    if study.primary_long in words:
        text += f", after longer chains {study.primary_long} {words[study.primary_long]}"
    return text


def searched(study: Study) -> list[Finding]:
    """The best of the search, said to be search."""
    frame = summaries(study.finals[study.finals["phase"] == "search"], [study.primary])
    pruned = int(((study.trials["phase"] == "search") & (study.trials["status"] == "pruned")).sum())
    clean = frame[(frame["n"] > 0) & (frame["diverged"] == 0)]
    if clean.empty:
        return []
    best = clean.sort_values("mean", ascending=study.lower_is_better).iloc[0]
    by = f" by {study.primary} alone" if len(study.plan.objectives) > 1 else ""
    said = (f"Search, not a claim: the best of {count(len(frame), 'finished trial')}{by} ({pruned} more pruned) is "
            f"{best['arm']} at {at(best)} with {study.primary} {number(best['mean'])} over {count(best['n'], 'seed')} "
            f"{DASH} the winner of many draws.")
    return [Finding("search", said), *_pareto(study)]


def _pareto(study: Study) -> list[Finding]:
    """How large the Pareto set of several objectives is, and each arm's part of it."""
    frame = objective_values(study)
    if frame.empty:
        return []
    arms = frame[frame["front"]].groupby("arm", sort=False).size()
    parts = listed([f"{arm} {n}" for arm, n in arms.items()])
    return [Finding("search", f"{int(arms.sum())} of {count(len(frame), 'finished trial')} are beaten by no other in "
                              f"{listed(study.plan.objectives)}: {parts}. Table search_pareto names them.")]


def missing(study: Study) -> list[str]:
    """What is planned and not there yet, and what was lost; empty for a finished study."""
    out = []
    cells = grid(study)
    absent = cells[cells["state"] != "complete"]
    if len(absent):
        some = [f"{c.arm} at step size {c.step_size:g}, {c.mcmc_steps:g} MCMC steps ({c.state})" for c in rows(absent)]
        out.append(f"{len(absent)} of {count(len(cells), 'planned design cell')} "
                   f"{'is' if len(absent) == 1 else 'are'} missing or short: {listed(some)}.")
    for phase in ("search", "confirm"):
        planned = study.plan.configurations(phase)
        of = study.trials[(study.trials["phase"] == phase) & study.trials["complete"]]
        if len(of) < planned:
            out.append(f"The {phase} has {len(of)} of {count(planned, 'planned trial')}.")
    lost = study.trials.loc[study.trials["phase"] != "design", "status"].value_counts().sort_index()
    for status, n in lost.items():
        if status not in ("", *VALID, "pruned"):
            out.append(f"{count(n, 'trial')} outside the design ended as {status!s}; none of them is counted.")
    return out
