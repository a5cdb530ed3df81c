"""Stable, oscillating, vanished, collapsed, diverged: what became of the replicates, arm by arm."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from analysis.read.study import Study
from analysis.stats.cells import grid
from analysis.stats.comparisons import compared_cells, confirmed_cells
from analysis.stats.outcomes import flags, is_judged
from analysis.text.findings.divergence import widest_cells
from analysis.text.findings.finding import Finding, at, named
from analysis.text.formatting import count as count_of
from analysis.text.formatting import share

ORDER = ("oscillating", "vanished", "collapsed", "diverged")  # verdicts beside stable, the mildest first
MOST = 3  # different counts of a flag that a sentence names; the tables have all


def verdicts(study: Study) -> list[Finding]:
    """How many replicates are stable where the arms are compared: at the declared cells, at those where divergence
    differs most, and in the confirm phase. A sentence where some arm's verdicts differ from its baseline's."""
    said = [("At their declared cells", "common_cell", {c["arm"]: study.replicates_of(c["config_hash"])
                                                        for c in compared_cells(study).to_dict("records")})]
    cells = grid(study)
    for base, step, steps in widest_cells(study):
        own_base = cells["arm"].map(lambda arm: study.baseline_of(arm) or arm)
        here = cells[(cells["step_size"] == step) & (cells["mcmc_steps"] == steps) & (cells["replicates"] > 0)
                     & (own_base == base)]
        said.append((f"At {at(here.iloc[0])}", "design_cells",
                     {c["arm"]: study.replicates_of(c["config_hash"]) for c in here.to_dict("records")}))
    fresh = [c for c in confirmed_cells(study).to_dict("records") if not c["of"]]
    said.append(("On fresh seeds", "confirm_cells", {c["name"]: study.replicates_of(c["config_hash"]) for c in fresh}))
    own = {c["name"]: c["arm"] for c in fresh}
    return [Finding("verdict", f"{where}, {text}.", table) for where, table, runs in said if runs
            for text in _sentences(study, runs, own)]


def _sentences(study: Study, runs: Mapping[str, pd.DataFrame], arm_of: Mapping[str, str]) -> list[str]:
    """Arms with the same verdicts share a clause, the baseline's first; then the flags, since stable says nothing of
    quality. None where all have the same or none was judged."""
    if not is_judged(pd.concat(list(runs.values()))):
        return []
    groups: dict[tuple[int, int, str], list[str]] = {}
    for name in sorted(runs, key=lambda n: study.baseline_of(arm_of.get(n, n)) is not None):
        counts = runs[name]["verdict"].value_counts()
        rest = ", ".join(f"{counts[v]} {v}" for v in ORDER if counts.get(v, 0))
        groups.setdefault((int(counts.get("stable", 0)), len(runs[name]), rest), []).append(name)
    if len(groups) < 2:
        return []
    clauses = [f"{named(names)} on {share(k, n)}{' each' if len(names) > 1 else ''}"
               + (f" ({rest})" if rest else "") for (k, n, rest), names in groups.items()]
    raised = sorted(set().union(*(flags(own) for own in runs.values())))
    beside = "; ".join(f"{flag} {_flagged(runs, flag)}" for flag in raised)
    return [f"stable are {'; '.join(clauses)}", *([f"flags of survivors: {beside}"] if beside else [])]


def _flagged(runs: Mapping[str, pd.DataFrame], flag: str) -> str:
    """How many survivors have a flag, arm by arm; of many different counts the ends."""
    groups: dict[tuple[int, int], list[str]] = {}
    for name, own in runs.items():
        if count := flags(own)[flag]:
            groups.setdefault((count, int((own["verdict"] != "diverged").sum())), []).append(name)
    ordered = sorted(groups.items(), key=lambda item: -item[0][0] / item[0][1])
    if len(ordered) > MOST:
        arms = count_of(sum(map(len, groups.values())), "arm")
        return f"{arms}, from {share(*ordered[-1][0])} to {share(*ordered[0][0])}"
    return ", ".join(f"{named(names)} {share(*counts)}{' each' if len(names) > 1 else ''}" for counts, names in ordered)
