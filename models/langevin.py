"""E3: unadjusted Langevin dynamics, in any space, batched over replicates; and what the chain tells for free."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from models.noise import Noise

Potential = Callable[[Tensor], Tensor]  # (R, n, *shape) -> (R, n)
Value = Callable[[], Tensor]
Slope = Callable[[Tensor], tuple[Value, Tensor]]  # what asks for the potential, and its gradient in x, without graphs


class ChainInfo(NamedTuple):
    """What a chain shows without extra gradients; each (R,). NaN where the chain is too short to tell."""

    drift_ratio: Tensor  # norm of the last step's drift over that of its noise, mean over particles
    clip_fraction: Tensor  # share of steps and particles (`move_clip`: pixels) whose drift was clipped
    virial: Tensor  # E[x . grad U] / (tau dim) at the last step; 1 at equilibrium
    dissipation_first: Tensor  # (E U(x_0) - E U(x_1)) / eta
    dissipation_last: Tensor  # the same between the last two points whose potential was evaluated
    acceptance: Tensor  # would-be Metropolis acceptance of the last move between two such points


def potential_and_gradient(potential: Potential, x: Tensor) -> tuple[Tensor, Tensor]:
    """U(x), (R, n), and its gradient in x, shaped as x; neither carries a graph."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        u = potential(x)
        (gradient,) = torch.autograd.grad(u.sum(), x)
    return u.detach(), gradient


def slope_of(potential: Potential) -> Slope:
    """By autograd."""
    def slope(x: Tensor) -> tuple[Value, Tensor]:
        u, gradient = potential_and_gradient(potential, x)
        return lambda: u, gradient

    return slope


def _inner(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).flatten(2).sum(-1)


@torch.no_grad()
def langevin(potential: Potential, x: Tensor, *, steps: int, step_size: float, noise: Noise | None,
             temperature: float = 1.0, drift_clip: float | None = None, move_clip: float | None = None,
             clamp: tuple[float, float] | None = None, anneal: bool = False,
             slope: Slope | None = None) -> tuple[Tensor, ChainInfo]:
    """E3: x <- x - (delta^2 / 2) grad U(x) + delta sqrt(tau) eps, `steps` times. x: (R, n, *shape).

    `noise=None` leaves the noise out (gradient descent on U). `drift_clip` bounds the norm of a particle's drift,
    `move_clip` its drift in each coordinate, `clamp` the coordinates themselves. With `anneal` step k has 1 - (k - 1) /
    steps of its noise. The acceptance is known of E3 alone. slope: a faster way to the potential and its gradient.
    """
    slope = slope_of(potential) if slope is None else slope
    eta, spread = step_size**2 / 2, step_size * math.sqrt(temperature) if noise is not None else 0.0
    nan = torch.full(x.shape[:1], math.nan, dtype=x.dtype, device=x.device)
    first = last = acceptance = nan
    clipped = torch.zeros_like(nan)
    past: tuple[Value, Tensor, Tensor] | None = None
    altered = anneal or clamp is not None or move_clip is not None
    for k in range(steps):
        u, gradient = slope(x)
        drift = eta * gradient
        if drift_clip is not None or move_clip is not None:
            drift, share = _held(drift, drift_clip, move_clip)
            clipped = clipped + share
        if past is not None and k in (1, steps - 1):
            last = (past[0]() - u()).mean(1) / eta
            first = last if k == 1 else first
            if k == steps - 1 and spread and not altered:
                acceptance = _acceptance(past, (u, x, drift), spread, temperature)
        past = (u, x, drift)
        x = x - drift
        if noise is not None:
            x += spread * (1 - k / steps if anneal else 1.0) * noise.normal(*x.shape[1:])
        if clamp is not None:
            x = x.clamp(*clamp)
    ratio, virial = nan, nan
    if past is not None:
        dim = x[0, 0].numel()
        ratio = _inner(drift, drift).sqrt().mean(1) / (spread * math.sqrt(dim)) if spread else nan
        virial = _inner(past[1], gradient).mean(1) / (temperature * dim) if temperature else nan
    return x.detach(), ChainInfo(ratio, clipped / max(steps, 1), virial, first, last, acceptance)


def _held(drift: Tensor, drift_clip: float | None, move_clip: float | None) -> tuple[Tensor, Tensor]:
    """The drift within its bounds, and the share of particles, or where that is more of coordinates, it was cut at."""
    share = torch.zeros_like(drift.flatten(1)[:, 0])
    if drift_clip is not None:
        norm = _inner(drift, drift).sqrt()
        share = (norm > drift_clip).to(drift.dtype).mean(1)
        scale = torch.clamp(drift_clip / norm, max=1.0)
        drift = drift * scale.reshape(*scale.shape, *[1] * (drift.dim() - 2))
    if move_clip is not None:
        share = share.maximum((drift.abs() > move_clip).to(drift.dtype).flatten(1).mean(1))
        drift = drift.clamp(-move_clip, move_clip)
    return drift, share


def _acceptance(past: tuple[Value, Tensor, Tensor], now: tuple[Value, Tensor, Tensor], spread: float,
                temperature: float) -> Tensor:
    """Mean Metropolis acceptance of the move past -> now for the target exp(-U / tau). Returns (R,)."""
    (u0, x0, drift0), (u1, x1, drift1) = past, now
    forward, backward = x1 - x0 + drift0, x0 - x1 + drift1
    log_ratio = (u0() - u1()) / temperature + (_inner(forward, forward) - _inner(backward, backward)) / (2 * spread**2)
    return log_ratio.clamp(max=0).exp().mean(1)
