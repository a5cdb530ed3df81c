"""The Pareto set of a search with several objectives."""

from __future__ import annotations

from collections.abc import Sequence

from study.results import Result


def pareto_set(results: Sequence[Result]) -> list[Result]:
    """Of the search's results those that no other one beats in an objective without losing in another, by the first
    objective. All objectives are minimized; what was pruned was told none."""
    told = [r for r in results if r.told and not r.pruned]
    found = [r for r in told if not any(_dominates(other.told, r.told) for other in told)]
    return sorted(found, key=lambda r: (r.told, r.unit.config_hash))


def fronts(results: Sequence[Result]) -> dict[str, int]:
    """config_hash -> 0 in the Pareto set, 1 in that of the others, and so on; of results that were told."""
    found: dict[str, int] = {}
    left, front = [r for r in results if r.told and not r.pruned], 0
    while left:
        found |= {r.unit.config_hash: front for r in pareto_set(left)}
        left, front = [r for r in left if r.unit.config_hash not in found], front + 1
    return found


def _dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    return all(a <= b for a, b in zip(one, other, strict=True)) and tuple(one) != tuple(other)
