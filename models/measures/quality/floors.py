"""Floors: what measures say of real data against real data."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from models.measures.quality.arrays import Array


class Floor(NamedTuple):
    """Mean, sd and 95 % quantile of a measure of real data against real data: n rows in the samples' place, m as the
    reference."""

    mean: float
    sd: float
    high: float
    n: int
    m: int


def floors(measures: Callable[[Array, Array], dict[str, float]], rows: int, n: int, m: int, draws: int,
           rng: np.random.Generator) -> dict[str, Floor]:
    """What each measure gives for two disjoint random parts of `rows` held-out data, over `draws` draws, by name.

    measures: numbers of rows in the samples' place (n,) and in the reference's (m,) -> values by name, the same names
    every time. Where there are fewer than n + m rows, m is limited to half of them and n to the rest: the result says
    what was used. Draws overlap, so sd is that of the measure over splits of these rows, not a standard error; it is
    too small where n + m is nearly all there is. Raises ValueError where draws < 2.
    """
    if draws < 2:
        raise ValueError(f"floors: found draws = {draws}, expected at least 2")
    m = min(m, rows // 2)
    n = min(n, rows - m)
    found = []
    for _ in range(draws):
        order = rng.permutation(rows)
        found.append(measures(order[:n], order[n:n + m]))
    values = {name: [row[name] for row in found] for name in found[0]}
    return {name: Floor(float(np.mean(v)), float(np.std(v, ddof=1)), float(np.quantile(v, 0.95)), n, m)
            for name, v in values.items()}
