"""The Wasserstein distance of two point clouds."""

from __future__ import annotations

import math

import numpy as np

from models.measures.quality.arrays import Array, checked

W2_MOST = 1500  # rows: an exact matching of more takes many seconds


def w2(x: Array, y: Array) -> float:
    """W2 of the two empirical laws, exact: sqrt(min over matchings of mean |x_i - y_s(i)|^2). Units of the data.

    For equal n and equal weights an optimal plan is a matching (Birkhoff), found by `linear_sum_assignment`: .01 s at
    n = 256, 3 s at 1,500. Biased upwards by about the distance of two clouds of one law, in the plane
    O(sqrt(log n / n)): compare at equal n, beside the floor. Raises ValueError for unequal n or n > 1,500.
    """
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    x, y = checked(x, y, least=1)
    if len(x) != len(y) or len(x) > W2_MOST:
        raise ValueError(f"w2: found {len(x)} and {len(y)} rows, expected equally many, at most {W2_MOST}")
    cost = cdist(x, y, "sqeuclidean")
    return math.sqrt(float(np.mean(cost[linear_sum_assignment(cost)])))
