"""The upsampler g, from the hidden variable to data."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.functional import conv2d, conv_transpose2d, silu

from models.networks.layers import ConvNetwork, Fuse, Layer, Network, sides
from models.networks.mlp import MLP

UNIT = (-1.0, 1.0)  # what tanh spans


class ConvUpsampler(ConvNetwork):
    """g: the mirror of ConvScore, with a tanh at the end that spans what black and white are, `extent`.

    z: (R, n, d) -> (R, n, C, H, W), each value strictly between the two ends.
    """

    def __init__(self, latent_dim: int, shape: Sequence[int], width: int, generators: Sequence[torch.Generator],
                 dtype: torch.dtype, fuse: Fuse, extent: tuple[float, float] = UNIT) -> None:
        stages = sides(shape[1])[::-1]
        widths = [2 * width] * (len(stages) - 1) + [width]
        base = widths[0] * stages[0] ** 2
        super().__init__([
            Layer((base, latent_dim), latent_dim, base, generators, dtype),
            *[Layer((i, o, 4, 4), 4 * i, o, generators, dtype) for i, o in pairwise(widths)],
            Layer((shape[0], width, 3, 3), 9 * width, shape[0], generators, dtype)], fuse)
        self.sides, self.extent = stages, extent

    def apply_grouped(self, x: Tensor, parts: list[tuple[Tensor, Tensor]]) -> Tensor:
        r, n = x.shape[:2]
        (w, b), *ups, (w_last, b_last) = parts
        h = torch.baddbmm(b.unsqueeze(1), x, w.transpose(1, 2)).transpose(0, 1)
        h = silu(h).reshape(n, -1, self.sides[0], self.sides[0])
        for (w, b), side, smaller in zip(ups, self.sides[1:], self.sides, strict=False):
            h = silu(conv_transpose2d(h, w.flatten(0, 1), b.flatten(), stride=2, padding=1, groups=r,
                                      output_padding=side - 2 * smaller))
        h = torch.tanh(conv2d(h, w_last.flatten(0, 1), b_last.flatten(), padding=1, groups=r))
        if self.extent != UNIT:  # else nothing is rounded once more
            low, high = self.extent
            h = (low + high) / 2 + (high - low) / 2 * h
        return h.reshape(n, r, -1, *h.shape[2:]).transpose(0, 1)


def upsampler_network(latent_dim: int, shape: Sequence[int], width: int, generators: Sequence[torch.Generator], *,
                      dtype: torch.dtype, fuse: Fuse, extent: tuple[float, float] = UNIT) -> Network:
    """g from z of `latent_dim` to data of this shape. extent: of images; in the plane g is linear at its end."""
    if len(shape) == 1:
        return MLP([latent_dim, 8 * width, 8 * width, shape[0]], generators, dtype)
    return ConvUpsampler(latent_dim, shape, width, generators, dtype, fuse, extent)
