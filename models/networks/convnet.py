"""The ConvNet of generative ConvNets: strided convolutions, no normalisation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import conv2d, silu

from models.networks.layers import ConvNetwork, Fuse, Layer, Score, scaled, sides


class ConvScore(ConvNetwork, Score):
    """f: a 3x3 convolution to w channels, 4x4 stride-2 convolutions to 2w each, a linear layer; times `scale`.

    x: (R, n, C, H, W) -> (R, n).
    """

    def __init__(self, shape: Sequence[int], width: int, generators: Sequence[torch.Generator], dtype: torch.dtype,
                 fuse: Fuse, spectral: bool = False, scale: float = 1.0) -> None:
        stages = sides(shape[1])
        widths = [shape[0], width, *[2 * width] * (len(stages) - 1)]
        kernels = [3] + [4] * (len(stages) - 1)
        layers = [Layer((o, i, k, k), i * k * k, o, generators, dtype, spectral)
                  for i, o, k in zip(widths, widths[1:], kernels, strict=False)]
        top = widths[-1] * stages[-1] ** 2
        super().__init__([*layers, Layer((1, top), top, 1, generators, dtype, spectral)], fuse)
        self.scale = scale

    @classmethod
    def make(cls, shape: Sequence[int], hp: Any, generators: Sequence[torch.Generator], *, dtype: torch.dtype,
             fuse: Fuse) -> ConvScore:
        return cls(shape, hp.width, generators, dtype, fuse, hp.spectral_norm, hp.score_scale)

    def _responses(self, x: Tensor, parts: list[tuple[Tensor, Tensor]]) -> Iterator[Tensor]:
        """What each convolution makes of x, (n, R C, H, W)."""
        h = x.transpose(0, 1).flatten(1, 2)  # one group a replicate
        for k, (w, b) in enumerate(parts[:-1]):
            h = silu(conv2d(h, w.flatten(0, 1), b.flatten(), stride=2 if k else 1, padding=1, groups=x.shape[0]))
            yield h

    def hidden(self, x: Tensor) -> list[Tensor]:
        return [h.mean((2, 3)).unflatten(1, (x.shape[0], -1)).transpose(0, 1)
                for h in self._responses(x, self.parts())]

    def apply_grouped(self, x: Tensor, parts: list[tuple[Tensor, Tensor]]) -> Tensor:
        r, n = x.shape[:2]
        *_, h = self._responses(x, parts)
        w, b = parts[-1]
        flat = h.reshape(n, r, -1).transpose(0, 1)
        return scaled(torch.baddbmm(b.unsqueeze(1), flat, w.transpose(1, 2)).squeeze(-1), self.scale)
