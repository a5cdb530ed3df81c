"""The ConvNet of generative ConvNets: strided convolutions, no normalisation."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import silu

from models.networks.held import Held, Part, as_matrix, by_matrices, few, halved, kept, summing
from models.networks.knobs import ConvNetKnobs, sides, stages
from models.networks.layers import ConvNetwork, Fuse, Layer, Score, convolved, pooled, summed


class ConvScore(ConvNetwork, Score):
    """f: a 3x3 convolution to widths[0] channels, 4x4 stride-2 convolutions to the others, a linear layer to `outputs`,
    whose sum it is; times `scale`.

    CoopNets for 32 pixels: widths 64-128-256, 100 outputs. x: (R, n, C, H, W) -> (R, n).
    """

    Knobs = ConvNetKnobs

    def __init__(self, shape: Sequence[int], widths: Sequence[int], generators: Sequence[torch.Generator],
                 dtype: torch.dtype, fuse: Fuse, spectral: bool = False, scale: float = 1.0, outputs: int = 1) -> None:
        kernels = [3] + [4] * (len(widths) - 1)
        layers = [Layer((o, i, k, k), i * k * k, o, generators, dtype, spectral)
                  for (i, o), k in zip(pairwise([shape[0], *widths]), kernels, strict=True)]
        self.images = [tuple(shape), *((w, side, side) for w, side in zip(widths, sides(shape[1]), strict=False))]
        top = math.prod(self.images[-1])
        super().__init__([*layers, Layer((outputs, top), top, outputs, generators, dtype, spectral)], fuse)
        self.scale = scale

    @classmethod
    def make(cls, shape: Sequence[int], hp: Any, generators: Sequence[torch.Generator], *, dtype: torch.dtype,
             fuse: Fuse) -> ConvScore:
        return cls(shape, stages(shape, hp), generators, dtype, fuse, hp.spectral_norm, hp.score_scale,
                   hp.outputs)

    def _responses(self, x: Tensor, parts: list[Part]) -> Iterator[Tensor]:
        """What each convolution makes of x, (n, R C, H, W)."""
        h = x.transpose(0, 1).flatten(1, 2)  # one group a replicate
        for k, part in enumerate(parts[:-1]):
            h = silu(convolved(h, part, x.shape[0], 2 if k else 1))
            yield h

    def in_matrices(self, parts: list[Part]) -> Held | None:
        if not few(self.images):
            return None
        maps = [as_matrix(halved if k else kept, part, image)
                for k, (part, image) in enumerate(zip(parts[:-1], self.images, strict=False))]
        return summing(by_matrices([*maps, parts[-1]]), parts[-1][1].shape[1], self.scale)

    def hidden(self, x: Tensor) -> list[Tensor]:
        return [pooled(h, x.shape[0]) for h in self._responses(x, self.parts())]

    def apply_grouped(self, x: Tensor, parts: list[Part]) -> Tensor:
        r, n = x.shape[:2]
        *_, h = self._responses(x, parts)
        return summed(h.reshape(n, r, -1).transpose(0, 1), parts[-1], self.scale)
