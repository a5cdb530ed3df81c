"""What tells that training diverges: the gauge kappa, the per-replicate monitor, and masked divergence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from models.noise import Noise
from models.stability.verdict import UNSTABLE, late, window

REASONS = ("non-finite", "runaway particles", "update norm")  # index: the code that `observe` returns; -1 for none

FARTHER = 10.0  # particles this many times farther out than the data
FARTHER_UPDATES = 3  # in a row
LOUDER = 1000.0  # an update norm this many times its running median
LOUDER_UPDATES = 10  # in a row
CLIPPED = 0.1  # masked: a larger share of steps whose drift was clipped


def kappa(potential: Callable[[Tensor], Tensor], x: Tensor, step_size: float, generators: Sequence[torch.Generator],
          iterations: int = 10) -> Tensor:
    """kappa = eta L, eta = delta^2 / 2: L is the largest curvature of U, in magnitude, at any of the particles.

    Above 1 KL's training feedback is inverted; above 2 the sampler itself is unstable (E13). x: (R, n, *shape);
    `potential` maps it to (R, n), each particle alone. Power iteration on each particle's Hessian by double backward,
    from vectors drawn from each replicate's generator; it approaches L from below. Returns (R,), NaN where a
    replicate's potential is not finite.
    """
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(potential(x).sum(), x, create_graph=True)
    v = Noise(generators, x.dtype).normal(*x.shape[1:])
    length = _norm(v)
    for _ in range(iterations):
        v = v / length.clamp_min(torch.finfo(x.dtype).tiny)
        with torch.enable_grad():  # of the product: for a vector of its own autograd imports half a second of sympy
            product = (gradient * v).sum()
        (v,) = torch.autograd.grad(product, x, retain_graph=True)
        length = _norm(v)
    return step_size**2 / 2 * length.flatten(1).amax(1)


def _norm(v: Tensor) -> Tensor:
    """Norm of each particle, (R, n, 1, ...), to broadcast against it."""
    norm: Tensor = v.flatten(2).norm(dim=-1)
    return norm.reshape(*v.shape[:2], *[1] * (v.dim() - 2))


class Monitor(NamedTuple):
    """Memory of the divergence rule for R replicates; tensors only, so a checkpoint holds it as it is."""

    norms: Tensor  # (R, W): the last W update norms that raised no alarm, a ring; inf where not yet filled
    filled: Tensor  # (R,) int64: how many norms have entered the ring so far
    far: Tensor  # (R,) int64: updates in a row with runaway particles
    loud: Tensor  # (R,) int64: updates in a row with an alarmed norm

    @classmethod
    def start(cls, replicates: int, updates: int, *, dtype: torch.dtype = torch.float32,
              device: torch.device | str = "cpu") -> Monitor:
        """A monitor that has seen nothing. W is the `window` of so many updates."""
        count = torch.zeros(replicates, dtype=torch.int64, device=device)
        norms = torch.full((replicates, window(updates)), torch.inf, dtype=dtype, device=device)
        return cls(norms, count, count.clone(), count.clone())


def observe(monitor: Monitor, *, finite: Tensor, update_norm: Tensor, particle_max: Tensor,
            data_max: Tensor) -> tuple[Monitor, Tensor, Tensor]:
    """One update through the divergence rule. Returns (monitor, diverged (R,) bool, reason (R,) int64).

    finite (R,) bool: no NaN or inf in the loss; update_norm (R,): norm of the parameter gradient; particle_max,
    data_max (R,): largest norm of a particle, of a data point. Diverged is: one of the first three not finite, at once;
    or particle_max > 10 data_max for 3 updates in a row; or update_norm > 1,000 times the median of the earlier norms
    in the window for 10 in a row. `reason` indexes REASONS, -1: none. Alarmed norms do not enter the window. Nothing
    here waits for the device.
    """
    known = monitor.filled.clamp_max(monitor.norms.shape[1])
    middle = (known - 1).clamp_min(0).div(2, rounding_mode="floor").unsqueeze(1)  # the lower median
    scale = monitor.norms.sort(dim=1).values.gather(1, middle).squeeze(1)
    alarmed = (scale > 0) & (update_norm > LOUDER * scale)  # without a norm so far, scale is inf
    loud = torch.where(alarmed, monitor.loud + 1, 0)
    far = torch.where(particle_max > FARTHER * data_max, monitor.far + 1, 0)
    broken = ~(finite & update_norm.isfinite() & particle_max.isfinite())

    enters = ~(alarmed | broken)
    slot = (monitor.filled % monitor.norms.shape[1]).unsqueeze(1)
    kept = torch.where(enters, update_norm.to(monitor.norms.dtype), monitor.norms.gather(1, slot).squeeze(1))
    updated = Monitor(monitor.norms.scatter(1, slot, kept.unsqueeze(1)), monitor.filled + enters.long(), far, loud)

    reason = torch.where(loud >= LOUDER_UPDATES, 2, -1)
    reason = torch.where(far >= FARTHER_UPDATES, 1, reason)
    reason = torch.where(broken, 0, reason)
    return updated, reason >= 0, reason


def masked(clip_fraction: Sequence[float], kappa: Sequence[float]) -> bool:
    """Whether a finished trace hides divergence: mean clip fraction > 0.1 and median kappa > 2 in `late` evaluations.

    A bound on the drift then keeps particles in place while the sampler of the density they stand for is unstable:
    samples can look fine while the density is far off. Both hold one value per evaluation, NaN where it is not known.
    """
    clipped, gauge = (late(np.asarray(values, dtype=float)) for values in (clip_fraction, kappa))
    known = np.isfinite(clipped) & np.isfinite(gauge)
    return bool(known.any() and clipped[known].mean() > CLIPPED and np.median(gauge[known]) > UNSTABLE)
