"""Chance for R replicates: one generator each, so a replicate's draws do not depend on which others train beside it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

STREAMS = ("weights", "chain", "data", "evaluation", "samples")


def generators_for(seeds: Sequence[int], stream: str, device: torch.device | str = "cpu",
                   index: int = 0) -> list[torch.Generator]:
    """One generator a seed for a named stream of chance; `index` makes further independent ones of the same stream."""
    keys = [np.random.SeedSequence([seed, STREAMS.index(stream), index]) for seed in seeds]
    return [torch.Generator(device).manual_seed(int(key.generate_state(1, np.uint64)[0] >> 1)) for key in keys]


class Noise:
    """Draws with a replicate axis, row r from generator r. Rows are filled flat: layout changes no number."""

    def __init__(self, generators: Sequence[torch.Generator], dtype: torch.dtype) -> None:
        self.generators, self.dtype = list(generators), dtype
        self.device = self.generators[0].device

    def _rows(self, shape: Sequence[int]) -> Tensor:
        return torch.empty((len(self.generators), *shape), dtype=self.dtype, device=self.device)

    def zeros(self, *shape: int) -> Tensor:
        """No draws: (R, *shape) of zeros."""
        return self._rows(shape).zero_()

    def normal(self, *shape: int) -> Tensor:
        """Standard normal draws, (R, *shape)."""
        rows = self._rows(shape)
        for row, generator in zip(rows, self.generators, strict=True):
            row.normal_(generator=generator)
        return rows

    def uniform(self, *shape: int) -> Tensor:
        """Draws uniform in [0, 1), (R, *shape)."""
        rows = self._rows(shape)
        for row, generator in zip(rows, self.generators, strict=True):
            row.uniform_(generator=generator)
        return rows
