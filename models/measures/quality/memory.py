"""Whether samples are copies of training data: their nearest-neighbour distances against those of held-out data."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from models.measures.quality.arrays import Array, checked

CLOSE = 0.05  # quantile of the held-out distances below which a sample counts as a copy


class Memory(NamedTuple):
    """nearer_train: chance that a sample lies nearer to its nearest training point than a held-out point does to its
    own; 1/2 without memorisation, 1 for copies, below 1/2 where samples are far from all data. copies: share of
    samples nearer than all but about 5 % of held-out points; `copies_null` without memorisation, whatever the law."""

    nearer_train: float
    copies: float
    copies_null: float


def nearest(x: Array, train: Array) -> Array:
    """Distance of each row of x to its nearest row of train. x: (n, d), train: (m, d). Returns (n,)."""
    x, _ = checked(x, train[:256], least=1)
    middle = x.mean(0)  # about it less is lost to cancellation
    best = np.full(len(x), np.inf)
    for i in range(0, len(train), 256):  # only a slice is ever copied to float64
        centred, part = (array - middle for array in checked(x, train[i:i + 256], least=1))
        best = np.minimum(best, (np.square(part).sum(1) - 2 * centred @ part.T).min(1))
    return np.asarray(np.sqrt(np.maximum(best + np.square(x - middle).sum(1), 0)))


def memory(samples: Array, held_out: Array) -> Memory:
    """The rank statistic of Meehan et al. 2020 (their C_T is its z-score, over the whole space), and the closest tail.

    samples (n,), held_out (m,): what `nearest` gives for each, against one and the same train split. The AUC is
    Mann-Whitney's U / (n m), ties halved: standard error sqrt((n + m + 1)/(12 n m)) without memorisation. Blurred or
    noisy samples are far from everything and pull the AUC down, which may hide copies among them: the tail share sees
    those. It compares with the j-th smallest held-out distance, j = floor(0.05 (m + 1)) but at least 1, so its null
    is exactly j / (m + 1).
    """
    samples, held_out = np.asarray(samples, np.float64), np.sort(np.asarray(held_out, np.float64))
    if not (samples.ndim == held_out.ndim == 1 and len(samples) and len(held_out)):
        raise ValueError(f"memory: found shapes {samples.shape} and {held_out.shape}, expected (n,) and (m,)")
    m = len(held_out)
    farther = m - (np.searchsorted(held_out, samples, "left") + np.searchsorted(held_out, samples, "right")) / 2
    j = max(1, int(CLOSE * (m + 1)))
    return Memory(float(farther.mean()) / m, float(np.mean(samples < held_out[j - 1])), j / (m + 1))
