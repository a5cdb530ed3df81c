"""The ConvNet of generative ConvNets: strided convolutions, no normalisation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import conv2d, silu

from models.networks.knobs import ConvNetKnobs, sides, stages
from models.networks.layers import ConvNetwork, Fuse, Layer, Score, pooled, summed


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
        top = widths[-1] * sides(shape[1])[len(widths) - 1] ** 2
        super().__init__([*layers, Layer((outputs, top), top, outputs, generators, dtype, spectral)], fuse)
        self.scale = scale

    @classmethod
    def make(cls, shape: Sequence[int], hp: Any, generators: Sequence[torch.Generator], *, dtype: torch.dtype,
             fuse: Fuse) -> ConvScore:
        return cls(shape, stages(shape, hp), generators, dtype, fuse, hp.spectral_norm, hp.score_scale,
                   hp.outputs)

    def _responses(self, x: Tensor, parts: list[tuple[Tensor, Tensor]]) -> Iterator[Tensor]:
        """What each convolution makes of x, (n, R C, H, W)."""
        h = x.transpose(0, 1).flatten(1, 2)  # one group a replicate
        for k, (w, b) in enumerate(parts[:-1]):
            h = silu(conv2d(h, w.flatten(0, 1), b.flatten(), stride=2 if k else 1, padding=1, groups=x.shape[0]))
            yield h

    def hidden(self, x: Tensor) -> list[Tensor]:
        return [pooled(h, x.shape[0]) for h in self._responses(x, self.parts())]

    def apply_grouped(self, x: Tensor, parts: list[tuple[Tensor, Tensor]]) -> Tensor:
        r, n = x.shape[:2]
        *_, h = self._responses(x, parts)
        return summed(h.reshape(n, r, -1).transpose(0, 1), parts[-1], self.scale)
