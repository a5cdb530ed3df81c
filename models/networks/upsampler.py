"""The upsampler g, from the hidden variable to data."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import conv2d, conv_transpose2d, group_norm, silu

from models.networks.layers import ConvNetwork, Fuse, Layer, Network, sides
from models.networks.mlp import MLP

UNIT = (-1.0, 1.0)  # what tanh spans
CHANNELS = 4  # of a group that is normalised, at least


class ConvUpsampler(ConvNetwork):
    """g: the mirror of ConvScore, with a tanh at the end that spans what black and white are, `extent`.

    z: (R, n, d) -> (R, n, C, H, W), each value strictly between the two ends, or `gain` times as far from their middle.
    """

    def __init__(self, latent_dim: int, shape: Sequence[int], width: int, generators: Sequence[torch.Generator],
                 dtype: torch.dtype, fuse: Fuse, extent: tuple[float, float] = UNIT, norm: bool = False,
                 gain: float = 1.0) -> None:
        stages = sides(shape[1])[::-1]
        widths = [2 * width] * (len(stages) - 1) + [width]
        base = widths[0] * stages[0] ** 2
        super().__init__([
            Layer((base, latent_dim), latent_dim, base, generators, dtype),
            *[Layer((i, o, 4, 4), 4 * i, o, generators, dtype) for i, o in pairwise(widths)],
            Layer((shape[0], width, 3, 3), 9 * width, shape[0], generators, dtype)], fuse)
        self.sides, self.extent, self.norm, self.gain = stages, extent, norm, gain

    def apply_grouped(self, x: Tensor, parts: list[tuple[Tensor, Tensor]]) -> Tensor:
        r, n = x.shape[:2]
        (w, b), *ups, (w_last, b_last) = parts
        h = torch.baddbmm(b.unsqueeze(1), x, w.transpose(1, 2)).transpose(0, 1)
        if self.norm:
            h = self._normalised(h.reshape(n, -1, self.sides[0], self.sides[0]), r)
        h = silu(h).reshape(n, -1, self.sides[0], self.sides[0])
        for (w, b), side, smaller in zip(ups, self.sides[1:], self.sides, strict=False):
            h = conv_transpose2d(h, w.flatten(0, 1), b.flatten(), stride=2, padding=1, groups=r,
                                 output_padding=side - 2 * smaller)
            h = silu(self._normalised(h, r) if self.norm else h)
        h = torch.tanh(conv2d(h, w_last.flatten(0, 1), b_last.flatten(), padding=1, groups=r))
        low, high = self.extent
        if self.extent != UNIT or self.gain != 1:  # else nothing is rounded once more
            h = (low + high) / 2 + self.gain * (high - low) / 2 * h
        return h.reshape(n, r, -1, *h.shape[2:]).transpose(0, 1)

    def _normalised(self, h: Tensor, replicates: int) -> Tensor:
        """Over groups of at least CHANNELS channels, of each replicate. h: (n, R C, H, W)."""
        channels = h.shape[1] // replicates
        groups = max(k for k in range(1, max(1, channels // CHANNELS) + 1) if channels % k == 0)
        return group_norm(h, replicates * groups)


def upsampler_network(shape: Sequence[int], hp: Any, generators: Sequence[torch.Generator], *, dtype: torch.dtype,
                      fuse: Fuse, extent: tuple[float, float] = UNIT) -> Network:
    """g with the knobs hp, from z to data of this shape. extent: of images; in the plane g is linear at its end."""
    width = hp.width if hp.width_g is None else hp.width_g
    if len(shape) == 1:
        return MLP([hp.latent_dim, 8 * width, 8 * width, shape[0]], generators, dtype)
    return ConvUpsampler(hp.latent_dim, shape, width, generators, dtype, fuse, extent, hp.norm_g == "group", hp.gain_g)
