"""The chains after training, run on: where they end, and the traces from which their convergence is told."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from models.measures.chains import LEAST, Array, convergence
from models.methods.method import Method, Networks
from models.noise import Noise

RECORDS = 400  # of each, at most
SCALARS = ("energy", "mean", "pc1", "pc2")


class LongRun(NamedTuple):
    """n chains of the last space a method samples in."""

    x: Tensor  # (R, n, *shape): where they ended, as data
    traces: Array  # (R, len(SCALARS), n, records) float64
    every: int  # Langevin steps between two records


def long_run(method: Method, nets: Networks, start: Tensor, noise: Noise, steps: int, axes: Array) -> LongRun:
    """`method.run` from `start` with `steps` >= 1 in its last chain, the same draws and numbers, recorded on the way.

    The scalars of SCALARS: the log-density F = -U in the chain's space; of the particle as data, its mean over pixels
    and its coordinates along axes (dim, 2).
    """
    every = -(-steps // RECORDS)
    directions = torch.as_tensor(axes, dtype=start.dtype, device=start.device)
    point = method.run(nets, start, noise, every)[0].point
    seen = [_scalars(method, nets, point, directions)]
    for done in range(every, steps, every):
        point, _ = method.descend(nets, point, noise, min(every, steps - done))
        if done + every <= steps:
            seen.append(_scalars(method, nets, point, directions))
    with torch.no_grad():
        x = method.image(nets, point)
    return LongRun(x, torch.stack(seen, -1).permute(1, 0, 2, 3).double().cpu().numpy(), every)


@torch.no_grad()
def _scalars(method: Method, nets: Networks, point: Tensor, directions: Tensor) -> Tensor:
    """(len(SCALARS), R, chains)."""
    flat = method.image(nets, point).flatten(2)
    return torch.stack([-method.potential(nets, point), flat.mean(-1), *(flat @ directions).unbind(-1)])


def told(run: LongRun, replicate: int) -> dict[str, float]:
    """R-hat, bulk ESS and IAT (in Langevin steps) of each scalar; nothing of chains too short to tell."""
    traces = run.traces[replicate]
    _, chains, records = traces.shape
    found: dict[str, float] = {}
    if records < LEAST or not np.isfinite(traces).all():
        return found
    for name, draws in zip(SCALARS, traces, strict=True):
        c = convergence(draws)
        found |= {f"rhat_{name}_{chains}": c.rhat, f"ess_{name}_{chains}": c.ess,
                  f"iat_{name}_{chains}": c.iat * run.every}
    return found
