"""Which data points an update sees: a function of (seed, update) alone, so that a resumed run continues exactly, and so
that images on disk can be decoded before their turn.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from models.noise import STREAMS

if TYPE_CHECKING:
    from models.data.disk.rows import DiskImages

AHEAD = 4  # updates whose images are decoded while this one trains
ORDERS_BYTES = 2**27  # of permutations that are kept, beside the one in use
_orders: OrderedDict[tuple[int, int, int], np.ndarray] = OrderedDict()


def _order(seed: int, epoch: int, n: int) -> np.ndarray:
    """One epoch's permutation, made once: of 100,000 images it takes 400 kB and 2 ms."""
    key = seed, epoch, n
    if key not in _orders:
        order = np.random.default_rng([seed, STREAMS.index("data"), epoch]).permutation(n).astype(np.int32)
        while _orders and sum(kept.nbytes for kept in _orders.values()) + order.nbytes > ORDERS_BYTES:
            _orders.popitem(last=False)
        _orders[key] = order
    _orders.move_to_end(key)
    return _orders[key]


def indices(seed: int, update: int, batch_size: int, n: int) -> np.ndarray:
    """Positions of update `update` (from 0) in the train split: every epoch is a fresh permutation. (batch_size,)."""
    places = update * batch_size + np.arange(batch_size)
    epochs = range(int(places[0] // n), int(places[-1] // n) + 1)
    return np.concatenate([_order(seed, epoch, n)[places[places // n == epoch] % n] for epoch in epochs])


def rows(seeds: Sequence[int], update: int, batch_size: int, n: int) -> np.ndarray:
    """`indices` of every replicate, (R, batch_size)."""
    return np.stack([indices(seed, update, batch_size, n) for seed in seeds])


def batch(train: np.ndarray | DiskImages, seeds: Sequence[int], update: int, batch_size: int) -> np.ndarray:
    """The data of one update, (R, batch_size, *shape). Images on disk: those of the next updates are begun."""
    n = len(train)
    found = np.stack([train[row] for row in rows(seeds, update, batch_size, n)])
    if not isinstance(train, np.ndarray):
        soon = [indices(seed, update + k, batch_size, n) for k in range(1, AHEAD + 1) for seed in seeds]
        train.prefetch(np.concatenate(soon))
    return found
