"""Precision, recall, density and coverage: samples and data as unions of balls that reach to the k-th neighbour."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from models.measures.quality.arrays import Array, checked

NEIGHBOURS = 5


class Manifold(NamedTuple):
    """precision: share of samples inside the data's balls. recall: share of data inside the samples' balls. density:
    mean number of data balls around a sample, over k (1 where the laws agree). coverage: share of data balls that
    hold a sample."""

    precision: float
    recall: float
    density: float
    coverage: float


def manifold(x: Array, y: Array, k: int = NEIGHBOURS) -> Manifold:
    """Precision and recall (Kynkaanniemi et al. 2019), density and coverage (Naeem et al. 2020). x: samples, y: data.

    A row's ball reaches to the k-th nearest other row of its own array. All four depend on both numbers of rows, so
    compare at equal numbers. Raises ValueError for k rows or fewer.
    """
    from scipy.spatial.distance import cdist

    x, y = checked(x, y, k + 1)
    across = cdist(x, y)
    inside_data = across < _radii(cdist(y, y), k)
    inside_samples = across < _radii(cdist(x, x), k)[:, None]
    return Manifold(float(inside_data.any(1).mean()), float(inside_samples.any(0).mean()),
                    float(inside_data.sum(1).mean()) / k, float(inside_data.any(0).mean()))


def _radii(within: Array, k: int) -> Array:
    """Distance of each row to its k-th nearest other row. within: (n, n) with itself at distance 0."""
    return np.asarray(np.partition(within, k, axis=1)[:, k])


def expected_coverage(samples: int, data: int, k: int = NEIGHBOURS) -> float:
    """Coverage's expectation where the laws agree and are continuous: 1 - prod_{i < k} (m - 1 - i)/(n + m - 1 - i).

    A ball is empty when its k nearest among the n samples and m - 1 other data points are all data (Naeem et al. 2020,
    lemma 2). 1 - 2^-k for many rows of each; exact at any n and m, in any dimension.
    """
    return 1 - math.prod((data - 1 - i) / (samples + data - 1 - i) for i in range(k))
