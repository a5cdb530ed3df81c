"""A batch in pieces (`micro_batch`): the numbers of the whole batch, for the memory of one piece.

A chain is that of the whole, with gradients piece after piece. Where a loss is descended a piece's graph is built when
its gradient is asked for, and freed before the next one's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from models.langevin import Slope, Value
    from models.networks.layers import Network


def applied(run: Callable[[Tensor], Tensor], points: Tensor, size: int | None, *learning: Network) -> Tensor:
    """run(points), each particle by itself; points: (R, n, ...), without a graph. learning: networks in whose
    parameters a gradient may be asked for, once."""
    if size is None or size >= points.shape[1]:
        return run(points)
    parameters = [p for network in learning for p in network.parameters()]
    again: Callable[..., Tensor] = _Again.apply
    return torch.cat([again(run, piece, *parameters) for piece in points.split(size, 1)], 1)


def in_pieces(slopes: Iterable[Slope], size: int) -> Slope:
    """The potential of a batch and its gradient, by a slope for each piece."""
    def slope(x: Tensor) -> tuple[Value, Tensor]:
        found = [of(piece) for of, piece in zip(slopes, x.split(size, 1), strict=False)]
        values, gradients = zip(*found, strict=True)
        return lambda: torch.cat([value() for value in values], 1), torch.cat(gradients, 1)

    return slope


class _Again(torch.autograd.Function):
    """run(points), computed again with its graph when the gradient in the parameters is asked for."""

    @staticmethod
    def forward(ctx: Any, run: Callable[[Tensor], Tensor], points: Tensor, *parameters: Tensor) -> Tensor:
        ctx.run, ctx.points, ctx.parameters = run, points, parameters
        return run(points).detach()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        with torch.enable_grad():
            found = ctx.run(ctx.points)
        return None, None, *torch.autograd.grad(found, ctx.parameters, gradients[0], allow_unused=True)
