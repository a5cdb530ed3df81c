"""Residual networks without normalisation: f as a stack of blocks, as DRL, Improved CD, VAEBM and dual-MCMC have it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, silu

from models.networks.held import Part
from models.networks.knobs import ResNetKnobs, stages
from models.networks.layers import ConvNetwork, Fuse, Layer, Score, convolved, pooled, summed


def residual_layers(i: int, o: int, conv: Callable[[int, int, int], Layer]) -> list[Layer]:
    """A block from i to o channels; conv: makes a layer of (channels in, out, kernel)."""
    return [conv(i, o, 3), conv(o, o, 3)] + ([conv(i, o, 1)] if i != o else [])


def residual(h: Tensor, left: Iterator[Part], replicates: int,
             norm: Callable[[Tensor], Tensor] = lambda h: h) -> Tensor:
    """h + conv(silu(conv(silu(h)))), h by a 1x1 convolution where channels differ. h: (n, R C, H, W); left: the weights
    of what is still to come, from which the block takes its own; norm: before each SiLU."""
    y = h
    for _ in range(2):
        y = convolved(silu(norm(y)), next(left), replicates)
    return (h if h.shape[1] == y.shape[1] else convolved(h, next(left), replicates)) + y


class ResNetScore(ConvNetwork, Score):
    """f: a 3x3 convolution to widths[0] channels; each stage's blocks; SiLU, the sum over pixels, a linear layer to
    `outputs`, whose sum it is; times `scale`.

    Between stages pixels are halved by average pooling (DRL, dual-MCMC) or by a 4x4 convolution of stride 2. DRL for 32
    pixels, apart from its noise levels: widths 128-256-256-256, 2 blocks. x: (R, n, C, H, W) -> (R, n).
    """

    Knobs = ResNetKnobs

    def __init__(self, shape: Sequence[int], widths: Sequence[int], generators: Sequence[torch.Generator],
                 dtype: torch.dtype, fuse: Fuse, spectral: bool = False, scale: float = 1.0, outputs: int = 1,
                 blocks: int = 1, strided: bool = False) -> None:
        def conv(i: int, o: int, kernel: int) -> Layer:
            return Layer((o, i, kernel, kernel), i * kernel**2, o, generators, dtype, spectral)

        layers = [conv(shape[0], widths[0], 3)]
        for stage, (i, o) in enumerate(pairwise([widths[0], *widths])):
            if strided and stage:
                layers.append(conv(i, i, 4))
            for block in range(blocks):
                layers += residual_layers(o if block else i, o, conv)
        top = Layer((outputs, widths[-1]), widths[-1], outputs, generators, dtype, spectral)
        super().__init__([*layers, top], fuse)
        self.stages, self.blocks, self.strided, self.scale = len(widths), blocks, strided, scale

    @classmethod
    def make(cls, shape: Sequence[int], hp: Any, generators: Sequence[torch.Generator], *, dtype: torch.dtype,
             fuse: Fuse) -> ResNetScore:
        return cls(shape, stages(shape, hp), generators, dtype, fuse, hp.spectral_norm, hp.score_scale, hp.outputs,
                   hp.blocks, hp.down == "strided")

    def _responses(self, x: Tensor, parts: list[Part]) -> Iterator[Tensor]:
        """What each stage makes of x, (n, R C, H, W)."""
        r, left = x.shape[0], iter(parts)
        h = convolved(x.transpose(0, 1).flatten(1, 2), next(left), r)  # one group a replicate
        for stage in range(self.stages):
            if stage:
                h = convolved(h, next(left), r, stride=2) if self.strided else avg_pool2d(h, 2)
            for _ in range(self.blocks):
                h = residual(h, left, r)
            yield h

    def hidden(self, x: Tensor) -> list[Tensor]:
        return [pooled(h, x.shape[0]) for h in self._responses(x, self.parts())]

    def apply_grouped(self, x: Tensor, parts: list[Part]) -> Tensor:
        *_, h = self._responses(x, parts)
        features = silu(h).sum((2, 3)).unflatten(1, (x.shape[0], -1)).transpose(0, 1)
        return summed(features, parts[-1], self.scale)
