"""A batch in pieces (`micro_batch`): the numbers of the whole batch, for the memory of one piece.

Chains run piece after piece on the noise that the whole would have drawn. Where a loss is descended a piece's graph is
built when its gradient is asked for, and freed before the next one's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from models.noise import Noise, split

if TYPE_CHECKING:
    from models.langevin import ChainInfo
    from models.networks.layers import Network

Chain = Callable[[slice, Noise | None], "tuple[Tensor, ChainInfo]"]  # of these particles of a batch


def applied(run: Callable[[Tensor], Tensor], points: Tensor, size: int | None, *learning: Network) -> Tensor:
    """run(points), each particle by itself; points: (R, n, ...), without a graph. learning: networks in whose
    parameters a gradient may be asked for, once."""
    if size is None or size >= points.shape[1]:
        return run(points)
    parameters = [p for network in learning for p in network.parameters()]
    again: Callable[..., Tensor] = _Again.apply
    return torch.cat([again(run, piece, *parameters) for piece in points.split(size, 1)], 1)


def chained(run: Chain, n: int, size: int | None, noise: Noise | None) -> tuple[Tensor, ChainInfo]:
    """A chain of n particles, (R, n, ...), and the means over them of what its pieces show."""
    if size is None or size >= n:
        return run(slice(0, n), noise)
    found = [run(which, part) for which, part in split(noise, n, size)]
    ends, infos = [end for end, _ in found], [info for _, info in found]
    share = torch.tensor([end.shape[1] / n for end in ends], dtype=ends[0].dtype, device=ends[0].device)
    means = ((torch.stack(of, -1) * share).sum(-1) for of in zip(*infos, strict=True))
    return torch.cat(ends, 1), type(infos[0])(*means)


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
