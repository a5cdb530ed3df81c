"""A constraint of a search: what every replicate of a trial is to keep."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

FARTHEST = 10.0  # no trial misses a bound by more


@dataclass(frozen=True)
class Bound:
    """Of a measure: at most `limit`, or at least where larger is better (`direction`: minimize | maximize)."""

    limit: float
    direction: str

    def excess(self, values: Iterable[float | None]) -> float:
        """By how much the worst replicate misses the bound, as a part of it (of 1, where that is 0): at most 0 where
        all keep it. None, for one that diverged or lacks the measure, counts as `FARTHEST`, as does no replicate."""
        sign = -1 if self.direction == "maximize" else 1
        return max((FARTHEST if v is None else min(FARTHEST, sign * (v - self.limit) / (abs(self.limit) or 1.0))
                    for v in values), default=FARTHEST)


def bounds_text(bounds: Mapping[str, Bound]) -> str:
    """`kappa at most 1, modes at least 8`."""
    return ", ".join(f"{name} at {'least' if bound.direction == 'maximize' else 'most'} {bound.limit:.10g}"
                     for name, bound in bounds.items())
