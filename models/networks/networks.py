"""The score f and the upsampler g, with a replicate axis: R networks of one shape, trained at once, never touching.

Every parameter has a leading axis R. How a layer runs (`grouped` in one kernel, or a `loop` over replicates) changes
time, not results beyond rounding. SiLU, not a ReLU: the gauge kappa needs a second derivative in x.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, normalize, silu

Fuse = Literal["grouped", "loop"]
UNIT = (-1.0, 1.0)  # what tanh spans


class Layer(nn.Module):
    """A weight (R, out, in, ...) and a bias (R, out), uniform within 1 / sqrt(fan_in), from each replicate's generator.

    With `spectral`, the weight is divided by its largest singular value, followed by one power iteration an update
    (`follow_spectrum`); the left vector is a buffer, so that a checkpoint holds it.
    """

    def __init__(self, shape: Sequence[int], fan_in: int, out: int, generators: Sequence[torch.Generator],
                 dtype: torch.dtype, spectral: bool = False) -> None:
        super().__init__()
        bound = 1 / math.sqrt(fan_in)

        def draw(*size: int) -> Tensor:
            return torch.stack([torch.rand(size, generator=g, dtype=torch.float64) for g in generators])

        self.weight = nn.Parameter(((2 * draw(*shape) - 1) * bound).to(dtype))
        self.bias = nn.Parameter(((2 * draw(out) - 1) * bound).to(dtype))
        self.left: Tensor | None
        self.register_buffer("left", normalize(draw(shape[0]) - 0.5, dim=-1).to(dtype) if spectral else None)
        if spectral:
            for _ in range(10):
                self.follow_spectrum()

    def _right(self) -> Tensor:
        assert self.left is not None
        return normalize(torch.einsum("roi,ro->ri", self.weight.detach().flatten(2), self.left), dim=-1)

    def follow_spectrum(self, alive: Tensor | None = None) -> None:
        """One power iteration for the largest singular value of the weight, flattened to (R, out, rest)."""
        if self.left is not None:
            left = normalize(torch.einsum("roi,ri->ro", self.weight.detach().flatten(2), self._right()), dim=-1)
            self.left = left if alive is None else torch.where(alive.unsqueeze(1), left, self.left)

    def effective(self) -> Tensor:
        """The weight that the layer applies."""
        if self.left is None:
            return self.weight
        with torch.autocast(self.weight.device.type, enabled=False):  # what is sampled is what is trained
            top = torch.einsum("ro,roi,ri->r", self.left, self.weight.flatten(2), self._right())
        return self.weight / top.reshape(-1, *[1] * (self.weight.dim() - 1))


class Network(nn.Module):
    """Maps (R, n, *in) to (R, n, *out), replicate by replicate."""

    def __init__(self, layers: Iterable[Layer]) -> None:
        super().__init__()
        self.stack = nn.ModuleList(layers)

    @property
    def layers(self) -> list[Layer]:
        """From the input up."""
        return [layer for layer in self.stack if isinstance(layer, Layer)]

    def follow_spectrum(self, alive: Tensor) -> None:
        """Once an update: let every layer's power iteration follow its weight, where the replicate lives."""
        for layer in self.layers:
            layer.follow_spectrum(alive)

    def parts(self) -> list[tuple[Tensor, Tensor]]:
        """(weight, bias) of every layer, as applied."""
        return [(layer.effective(), layer.bias) for layer in self.layers]

    def hidden(self, x: Tensor) -> list[Tensor]:
        """What every hidden layer makes of x, averaged over pixels, from the input up; each (R, n, channels)."""
        return []


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

    def hidden(self, x: Tensor) -> list[Tensor]:
        found = []
        for w, b in self.parts()[:-1]:
            x = silu(torch.baddbmm(b.unsqueeze(1), x, w.transpose(1, 2)))
            found.append(x)
        return found


def sides(side: int) -> list[int]:
    """Spatial sides through the stride-2 convolutions, down to 2 or 3 pixels: 32 -> [32, 16, 8, 4, 2]."""
    found = [side]
    while found[-1] > 3:
        found.append(found[-1] // 2)
    return found


class ConvNetwork(Network, ABC):
    """Convolutions of R replicates: grouped in one kernel, or one replicate after another."""

    def __init__(self, layers: Iterable[Layer], fuse: Fuse) -> None:
        super().__init__(layers)
        self.fuse = fuse

    @abstractmethod
    def apply_grouped(self, x: Tensor, parts: list[tuple[Tensor, Tensor]]) -> Tensor:
        """The network with these weights, every replicate a group."""

    def forward(self, x: Tensor) -> Tensor:
        parts = self.parts()
        if self.fuse == "loop":
            return torch.cat([self.apply_grouped(x[r:r + 1], [(w[r:r + 1], b[r:r + 1]) for w, b in parts])
                              for r in range(x.shape[0])])
        return self.apply_grouped(x, parts)


class ConvScore(ConvNetwork):
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


class MLPScore(MLP):
    """f in two dimensions, times `scale`. x: (R, n, 2) -> (R, n)."""

    def __init__(self, sizes: Sequence[int], generators: Sequence[torch.Generator], dtype: torch.dtype,
                 spectral: bool = False, scale: float = 1.0) -> None:
        super().__init__(sizes, generators, dtype, spectral)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return scaled(super().forward(x).squeeze(-1), self.scale)


def scaled(f: Tensor, scale: float) -> Tensor:
    """f times `score_scale` (E1)."""
    return f if scale == 1 else f * scale


def fuse_for(shape: Sequence[int], device: torch.device | str) -> Fuse:
    """Grouped kernels on a GPU and for tiny images; above 8 pixels a CPU is faster one replicate after another."""
    return "grouped" if torch.device(device).type != "cpu" or len(shape) == 1 or shape[1] <= 8 else "loop"


def score_network(shape: Sequence[int], width: int, generators: Sequence[torch.Generator], *, dtype: torch.dtype,
                  fuse: Fuse, spectral: bool, scale: float = 1.0) -> Network:
    """f for data of this shape: (C, H, W) with H = W from 4 pixels up, or (dim,)."""
    if len(shape) == 1:
        return MLPScore([shape[0], 8 * width, 8 * width, 1], generators, dtype, spectral, scale)
    return ConvScore(shape, width, generators, dtype, fuse, spectral, scale)


def upsampler_network(latent_dim: int, shape: Sequence[int], width: int, generators: Sequence[torch.Generator], *,
                      dtype: torch.dtype, fuse: Fuse, extent: tuple[float, float] = UNIT) -> Network:
    """g from z of `latent_dim` to data of this shape. extent: of images; in the plane g is linear at its end."""
    if len(shape) == 1:
        return MLP([latent_dim, 8 * width, 8 * width, shape[0]], generators, dtype)
    return ConvUpsampler(latent_dim, shape, width, generators, dtype, fuse, extent)
