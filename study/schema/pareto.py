"""The Pareto set: points that no other one beats in an objective without losing in another. All are minimized."""

from __future__ import annotations

from collections.abc import Sequence

Point = Sequence[float]


def unbeaten(points: Sequence[Point]) -> list[bool]:
    """Of each point, whether it is in the set. Equal points are in it together."""
    return [not any(_beats(other, point) for other in points) for point in points]


def fronts(points: Sequence[Point]) -> list[int]:
    """Of each point 0 in the Pareto set, 1 in the set of the others, and so on."""
    found, left, front = [0] * len(points), list(range(len(points))), 0
    while left:
        kept = unbeaten([points[i] for i in left])
        for i in (i for i, keeps in zip(left, kept, strict=True) if keeps):
            found[i] = front
        left, front = [i for i, keeps in zip(left, kept, strict=True) if not keeps], front + 1
    return found


def _beats(one: Point, other: Point) -> bool:
    return all(a <= b for a, b in zip(one, other, strict=True)) and tuple(one) != tuple(other)
