"""Multilayer perceptrons."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import silu

from models.networks.held import Held, by_matrices, in_bf16, summing
from models.networks.layers import Fuse, Layer, Network, Score, scaled


class MLP(Network):
    """Linear layers with SiLU between them, as batched matrix products. x: (R, n, sizes[0]) -> (R, n, sizes[-1])."""

    def __init__(self, sizes: Sequence[int], generators: Sequence[torch.Generator], dtype: torch.dtype,
                 spectral: bool = False) -> None:
        super().__init__(Layer((o, i), i, o, generators, dtype, spectral)
                         for i, o in pairwise(sizes))

    def forward(self, x: Tensor) -> Tensor:
        for k, (w, b) in enumerate(self.parts()):
            x = torch.baddbmm(b.unsqueeze(1), silu(x) if k else x, w.transpose(1, 2))
        return x

    def held(self, reduced: bool = False) -> Held:
        held = by_matrices(self.fixed(reduced))
        return in_bf16(held) if reduced else held

    def hidden(self, x: Tensor) -> list[Tensor]:
        found = []
        for w, b in self.parts()[:-1]:
            x = silu(torch.baddbmm(b.unsqueeze(1), x, w.transpose(1, 2)))
            found.append(x)
        return found


class MLPScore(MLP, Score):
    """f as an MLP, of points or of flattened images, times `scale`. x: (R, n, *shape) -> (R, n)."""

    def __init__(self, sizes: Sequence[int], generators: Sequence[torch.Generator], dtype: torch.dtype,
                 spectral: bool = False, scale: float = 1.0) -> None:
        super().__init__(sizes, generators, dtype, spectral)
        self.scale = scale

    @classmethod
    def make(cls, shape: Sequence[int], hp: Any, generators: Sequence[torch.Generator], *, dtype: torch.dtype,
             fuse: Fuse) -> MLPScore:
        return cls([math.prod(shape), 8 * hp.width, 8 * hp.width, 1], generators, dtype, hp.spectral_norm,
                   hp.score_scale)

    def forward(self, x: Tensor) -> Tensor:
        return scaled(super().forward(x.flatten(2)).squeeze(-1), self.scale)

    def held(self, reduced: bool = False) -> Held:
        return summing(super().held(reduced), self.layers[-1].bias.shape[1], self.scale)

    def hidden(self, x: Tensor) -> list[Tensor]:
        return super().hidden(x.flatten(2))
