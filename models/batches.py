"""Which data points an update sees: a function of (seed, update) alone, so that a resumed run continues exactly."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from models.noise import STREAMS


@lru_cache(maxsize=128)
def _order(seed: int, epoch: int, n: int) -> np.ndarray:
    return np.random.default_rng([seed, STREAMS.index("data"), epoch]).permutation(n)


def indices(seed: int, update: int, batch_size: int, n: int) -> np.ndarray:
    """Positions of update `update` (from 0) in the train split: every epoch is a fresh permutation. (batch_size,)."""
    places = update * batch_size + np.arange(batch_size)
    epochs = range(int(places[0] // n), int(places[-1] // n) + 1)
    return np.concatenate([_order(seed, epoch, n)[places[places // n == epoch] % n] for epoch in epochs])


def batch(train: np.ndarray, seeds: Sequence[int], update: int, batch_size: int) -> np.ndarray:
    """The data of one update, (R, batch_size, *shape)."""
    return np.stack([train[indices(seed, update, batch_size, len(train))] for seed in seeds])
