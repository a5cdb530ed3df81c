"""Networks held fixed, as a chain needs them: their output and its pullback, without a graph where that pays."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache, partial
from itertools import pairwise, product
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import conv2d, conv_transpose2d, silu

Value = Callable[[], Tensor]  # asks for y: most steps of a chain never do
Pullback = Callable[[Tensor], Tensor]  # v, shaped as the output, -> v dy/dx, shaped as x
Held = Callable[[Tensor], tuple[Value, Pullback]]  # x: (R, n, *in) -> y: (R, n, *out)
Part = tuple[Tensor, Tensor]  # a weight (R, out, in, ...) and a bias (R, out)
Convolve = Callable[[Tensor, Tensor], Tensor]  # (n, C, H, W) and a weight -> (n, ...)

silu_backward = torch.ops.aten.silu_backward

FEW_CHANNELS = 4
FEW = 2**18  # entries of the matrices of a replicate, up to which they are faster than its convolutions


def by_autograd(function: Callable[[Tensor], Tensor]) -> Held:
    """Any function."""
    def held(x: Tensor) -> tuple[Value, Pullback]:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            y = function(x)
        value = y.detach()
        return lambda: value, lambda v: torch.autograd.grad(y, x, v)[0]

    return held


def by_matrices(maps: Sequence[Part]) -> Held:
    """Affine maps with SiLU between them, of inputs flattened: the kernels that autograd calls, and no graph."""
    forward = [(b.unsqueeze(1), w.transpose(1, 2)) for w, b in maps]
    backward = [w for w, _ in reversed(maps)]

    def held(x: Tensor) -> tuple[Value, Pullback]:
        h, met = x.flatten(2), []
        for b, w in forward[:-1]:
            before = torch.baddbmm(b, h, w)
            met.append(before)
            h = silu(before)

        def pullback(v: Tensor) -> Tensor:
            v = torch.bmm(v, backward[0])
            for w, before in zip(backward[1:], reversed(met), strict=True):
                v = torch.bmm(silu_backward(v, before), w)
            return v.view_as(x)

        return lambda: torch.baddbmm(forward[-1][0], h, forward[-1][1]), pullback

    return held


def summing(held: Held, outputs: int, scale: float) -> Held:
    """The sum of a function's outputs, times `scale`: (R, n, outputs) -> (R, n)."""
    def total(x: Tensor) -> tuple[Value, Pullback]:
        y, pullback = held(x)
        return lambda: scale * y().sum(-1), lambda v: pullback((scale * v).unsqueeze(-1).expand(-1, -1, outputs))

    return total


def in_bf16(held: Held) -> Held:
    """A function whose weights are in bf16, of and to tensors that are not."""
    def rounded(x: Tensor) -> tuple[Value, Pullback]:
        y, pullback = held(x.bfloat16())
        return lambda: y().to(x.dtype), lambda v: pullback(v.bfloat16()).to(x.dtype)

    return rounded


class Pixels(NamedTuple):
    """The weight, (1, o, C, 3, 3), and bias of a first convolution that is held fixed, of images of few channels."""

    weight: Tensor
    bias: Tensor


class FewChannels(torch.autograd.Function):
    """A 3x3 convolution of one replicate's images. Its pullback is one matrix product and nine shifted sums: with few
    channels, two to three times as fast as torch's. A chain needs no second derivative."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.weight = weight
        return conv2d(x, weight, bias, padding=1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, v: Tensor) -> tuple[Tensor, None, None]:
        n, out, side, _ = v.shape
        flat = ctx.weight.permute(2, 3, 1, 0).reshape(-1, out) @ v.permute(0, 2, 3, 1).reshape(-1, out).T
        padded = v.new_zeros(ctx.weight.shape[1], n, side + 2, side + 2)
        for i, j in product(range(3), repeat=2):
            padded[:, :, i:i + side, j:j + side] += flat.view(3, 3, -1, n, side, side)[i, j]
        return padded[:, :, 1:-1, 1:-1].transpose(0, 1), None, None


@cache
def taps(convolve: Convolve, weight: tuple[int, ...], image: tuple[int, ...]) -> Tensor:
    """Which entry of a weight of this shape, from 1, leads from each value of an image to each output; 0: none.

    (outputs, inputs), of convolve(images, weight). An image's value meets an output through one entry at most.
    """
    ones = torch.eye(torch.Size(image).numel(), dtype=torch.float64).unflatten(1, image)
    numbers = torch.arange(1, torch.Size(weight).numel() + 1, dtype=torch.float64).reshape(weight)
    return convolve(ones, numbers).flatten(1).T.round().long().contiguous()


kept, halved = partial(conv2d, padding=1), partial(conv2d, stride=2, padding=1)  # 3x3; 4x4 of stride 2


@cache
def doubled(extra: int) -> Convolve:
    """A transposed 4x4 convolution of stride 2, and `extra` pixels."""
    return partial(conv_transpose2d, stride=2, padding=1, output_padding=extra)


def few(images: Sequence[tuple[int, ...]]) -> bool:
    """Whether the matrices between tensors of these shapes are small."""
    return sum(math.prod(i) * math.prod(o) for i, o in pairwise(images)) <= FEW


def as_matrix(convolve: Convolve, part: Part, image: tuple[int, ...]) -> Part:
    """A convolution of every replicate as a matrix. part: (R, ...) and (R, C), image: (C, H, W)."""
    weight, bias = part
    places = taps(convolve, tuple(weight.shape[1:]), image).to(weight.device)
    entries = torch.cat([weight.new_zeros(len(weight), 1), weight.flatten(1)], 1)
    matrix = entries.index_select(1, places.flatten()).unflatten(1, tuple(places.shape))
    return matrix, bias.repeat_interleave(len(places) // bias.shape[1], 1)
