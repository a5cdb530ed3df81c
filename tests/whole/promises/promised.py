"""What the matrix has from outside: lies beside the studies' files, and travels to the workers."""

from __future__ import annotations

import numpy as np
from optuna.samplers import RandomSampler

from models.data.datasets import DataSet, DatasetInfo
from models.measures.table import Measure


class Square(DataSet):
    """Points of the plane, whose density is not known."""

    info = DatasetInfo("a square", 400, 150, 150)

    def rows(self, split: str, n: int, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        return rng.uniform(-1, 1, (n, *shape))


class Sampler(RandomSampler):
    """Optuna's own, from outside."""


spread = Measure(family="spread", label="sd of the samples over that of the data", spaces=("pixels",),
                 function=lambda x, y: x.std() / y.std(), objective=True, direction="maximize")
