"""The Pareto set of a search with several objectives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from study.plan.identity import knobs_text
from study.schema.pareto import unbeaten
from study.store.results import Result

MAX_ROWS = 20  # of the Pareto set, for people; the report has them all


def pareto_set(results: Sequence[Result]) -> list[Result]:
    """Of the search's results those that no other one beats in an objective without losing in another, by the first
    objective. Smaller is better of all that is told; what was pruned was told none, what misses a constraint is in no
    set."""
    told = [r for r in results if r.told and not r.pruned and not r.excess]
    kept = unbeaten([r.told for r in told])
    found = [r for r, keeps in zip(told, kept, strict=True) if keeps]
    return sorted(found, key=lambda r: (r.told, r.unit.config_hash))


def pareto_lines(results: Sequence[Result], objectives: Mapping[str, int], factors: Sequence[str]) -> list[str]:
    """The Pareto set of a search with several objectives, a line each; none where there is one objective.
    objectives: `Plan.signs`."""
    told = sum(bool(r.told) and not r.pruned for r in results)
    if len(objectives) < 2 or not told:
        return []
    found = pareto_set(results)
    more = [f"  and {len(found) - MAX_ROWS} more"] if len(found) > MAX_ROWS else []
    rows = [f"  {r.unit.configuration.arm} {knobs_text(r.unit.configuration, factors)}: "
            + ", ".join(f"{sign * value:.4g}" for sign, value in zip(objectives.values(), r.told, strict=True))
            + (f" | {r.verdicts}" if r.verdicts else "")
            for r in found[:MAX_ROWS]]
    if not found:
        return [f"Pareto set of the search ({', '.join(objectives)}): none of {told} is within the bounds"]
    return [f"Pareto set of the search, {len(found)} of {told} ({', '.join(objectives)}):", *rows, *more]
