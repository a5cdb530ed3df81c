"""The upsampler g, from the hidden variable to data."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import conv_transpose2d, group_norm, interpolate, silu

from models.networks.held import Held, Part, Pullback, Value, as_matrix, by_matrices, doubled, few, kept
from models.networks.knobs import listed, sides
from models.networks.layers import ConvNetwork, Fuse, Layer, Network, convolved, merged
from models.networks.mlp import MLP
from models.networks.resnet import residual, residual_layers

UNIT = (-1.0, 1.0)  # what tanh spans
CHANNELS = 4  # of a group that is normalised, at least


class Upsampler(ConvNetwork):
    """g of images: a linear layer to few pixels of widths[0] channels, stage by stage twice as many pixels of the other
    widths, a 3x3 convolution, and a tanh that spans what black and white are, `extent`.

    z: (R, n, d) -> (R, n, C, H, W), each value strictly between the two ends, or `gain` times as far from their middle.
    """

    def __init__(self, latent_dim: int, shape: Sequence[int], widths: Sequence[int],
                 generators: Sequence[torch.Generator], dtype: torch.dtype, fuse: Fuse,
                 extent: tuple[float, float] = UNIT, norm: bool = False, gain: float = 1.0) -> None:
        def layer(size: Sequence[int], fan_in: int, out: int) -> Layer:
            return Layer(size, fan_in, out, generators, dtype)

        stages = sides(shape[1])[:len(widths)][::-1]
        base = widths[0] * stages[0] ** 2
        super().__init__([
            layer((base, latent_dim), latent_dim, base),
            *[one for i, o in pairwise(widths) for one in self.stage(i, o, layer)],
            layer((shape[0], widths[-1], 3, 3), 9 * widths[-1], shape[0])], fuse)
        self.images = [(width, side, side) for width, side in zip(widths, stages, strict=True)]
        self.latent_dim, self.shape = latent_dim, tuple(shape)
        self.sides, self.extent, self.norm, self.gain = stages, extent, norm, gain

    @staticmethod
    @abstractmethod
    def stage(i: int, o: int, layer: Any) -> list[Layer]:
        """The layers of a stage; layer: makes one of (shape, fan in, out)."""

    @abstractmethod
    def upsampled(self, h: Tensor, left: Iterator[Part], replicates: int) -> Tensor:
        """What the stages make of the linear layer's output h, (n, R ...), after a SiLU; left: their weights."""

    def apply_grouped(self, x: Tensor, parts: list[Part]) -> Tensor:
        r, n = x.shape[:2]
        (w, b), *ups, last = parts
        h = torch.baddbmm(b.unsqueeze(1), x, w.transpose(1, 2)).transpose(0, 1)
        h = self.upsampled(h, iter(ups), r)
        h = self._spanned(torch.tanh(convolved(h, last, r)))
        return h.reshape(n, r, -1, *h.shape[2:]).transpose(0, 1)

    def _spanned(self, h: Tensor) -> Tensor:
        """What tanh gave, between the two ends."""
        low, high = self.extent
        if self.extent == UNIT and self.gain == 1:
            return h  # nothing is rounded once more
        return (low + high) / 2 + self.gain * (high - low) / 2 * h

    def _grid(self, h: Tensor) -> Tensor:
        """The linear layer's output as pixels."""
        return h.reshape(len(h), -1, self.sides[0], self.sides[0])

    def _normalised(self, h: Tensor, replicates: int) -> Tensor:
        """Over groups of at least CHANNELS channels, of each replicate. h: (n, R C, H, W)."""
        channels = h.shape[1] // replicates
        groups = max(k for k in range(1, max(1, channels // CHANNELS) + 1) if channels % k == 0)
        return group_norm(h, replicates * groups)


class ConvUpsampler(Upsampler):
    """g: the mirror of ConvScore, transposed 4x4 convolutions of stride 2 (DCGAN, CoopNets)."""

    @staticmethod
    def stage(i: int, o: int, layer: Any) -> list[Layer]:
        return [layer((i, o, 4, 4), 4 * i, o)]

    def upsampled(self, h: Tensor, left: Iterator[Part], replicates: int) -> Tensor:
        h = self._grid(silu(self._normalised(self._grid(h), replicates) if self.norm else h))
        for (w, b), side, smaller in zip(left, self.sides[1:], self.sides, strict=False):
            h = conv_transpose2d(h, merged(w), b.flatten(), stride=2, padding=1, groups=replicates,
                                 output_padding=side - 2 * smaller)
            h = silu(self._normalised(h, replicates) if self.norm else h)
        return h

    def in_matrices(self, parts: list[Part]) -> Held | None:
        if self.norm or not few([(self.latent_dim,), *self.images, self.shape]):
            return None
        first, *ups, last = parts
        maps = [as_matrix(doubled(b - 2 * a), part, image)
                for part, image, a, b in zip(ups, self.images, self.sides, self.sides[1:], strict=False)]
        stack = by_matrices([first, *maps, as_matrix(kept, last, self.images[-1])])
        slope = self.gain * (self.extent[1] - self.extent[0]) / 2

        def held(z: Tensor) -> tuple[Value, Pullback]:
            h, pullback = stack(z)
            t = torch.tanh(h())
            return (lambda: self._spanned(t).unflatten(2, self.shape),
                    lambda v: pullback(torch.ops.aten.tanh_backward(slope * v.flatten(2), t)))

        return held


class ResUpsampler(Upsampler):
    """g: a residual block after each nearest-neighbour upsampling (SNGAN; dual-MCMC's is bilinear)."""

    @staticmethod
    def stage(i: int, o: int, layer: Any) -> list[Layer]:
        return residual_layers(i, o, lambda i, o, k: layer((o, i, k, k), i * k**2, o))

    def upsampled(self, h: Tensor, left: Iterator[Part], replicates: int) -> Tensor:
        def norm(h: Tensor) -> Tensor:
            return self._normalised(h, replicates) if self.norm else h

        h = self._grid(h)
        for side in self.sides[1:]:
            h = residual(interpolate(h, size=side), left, replicates, norm)
        return silu(norm(h))


NETWORKS: dict[str, type[Upsampler]] = {"convnet": ConvUpsampler, "resnet": ResUpsampler}  # what `network_g` names


def upsampler_network(shape: Sequence[int], hp: Any, generators: Sequence[torch.Generator], *, dtype: torch.dtype,
                      fuse: Fuse, extent: tuple[float, float] = UNIT) -> Network:
    """g with the knobs hp, from z to data of this shape. extent: of images; in the plane g is linear at its end."""
    width = hp.width if hp.width_g is None else hp.width_g
    if len(shape) == 1:
        g: Network = MLP([hp.latent_dim, 8 * width, 8 * width, shape[0]], generators, dtype)
    else:
        widths = listed(hp.widths_g, shape) or [*[2 * width] * (len(sides(shape[1])) - 1), width]
        g = NETWORKS[hp.network_g](hp.latent_dim, shape, widths, generators, dtype, fuse, extent, hp.norm_g == "group",
                                   hp.gain_g)
    return g.begin(hp.init, generators)
