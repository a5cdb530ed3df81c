"""Annealed importance sampling of log Z, forward and reverse: the likelihood of a model whose density has no grid.

The path goes from the reference q = N(0, sigma^2 I), log Z_0 = (d/2) log(2 pi sigma^2), to the model exp(-U):
log p_b(x) = (1 - b) (-|x|^2 / (2 sigma^2)) - b U(x), b from 0 to 1, U divided by the temperature beforehand. A chain
that moves by transitions which leave each p_b invariant carries the weight (Neal 2001, eqs. 3-11)

    log w = sum_k log p_{b_{k+1}}(x_k) - log p_{b_k}(x_k),    E w = Z / Z_0.

Forward chains start at exact draws of q, so log Z_0 + log mean w is below log Z on average. Reverse chains start at
draws of the model and come back, E w = Z_0 / Z; if those draws are exact, log Z_0 - log mean w is above log Z on
average (Grosse, Ghahramani & Adams 2015). With a long run's particles in their place it is no bound: a mode that the
particles never found is missing there as well as forward, and both directions agree on a value that is too low by
the log of the missing share. Agreement of the two says that the annealing was slow enough, no more.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from models.langevin import Potential, potential_and_gradient
from models.noise import Noise

LEAPFROGS = 3
ACCEPT = 0.9  # what the pilot tunes the step size to
PILOTS = 16  # chains of the pilot
WARM_UP = 20  # transitions at b = 1 before the reverse run: particles of unadjusted chains lose their bias


class Annealed(NamedTuple):
    """One direction. log_weights: (R, n). acceptance: (R,), mean over chains and transitions."""

    log_weights: Tensor
    acceptance: Tensor

    @property
    def log_mean(self) -> Tensor:
        """log of the mean weight, (R,)."""
        return self.log_weights.logsumexp(1) - math.log(self.log_weights.shape[1])

    @property
    def effective(self) -> Tensor:
        """Effective sample size (sum w)^2 / sum w^2, from 1 to n, (R,). Blind to modes that no chain found."""
        return (2 * self.log_weights.logsumexp(1) - (2 * self.log_weights).logsumexp(1)).exp()


class Bounds(NamedTuple):
    """log Z from below (forward) and from above (reverse; None without particles), (R,) each, in nats."""

    low: Tensor
    high: Tensor | None
    forward: Annealed
    reverse: Annealed | None

    def likelihoods(self, mean_potential: Tensor, dim: int) -> list[dict[str, float]]:
        """Negative log-likelihoods (E U + log Z) / dim, nats per dimension, a dictionary a replicate.

        mean_potential: (R,), of held-out data. `forward` is the optimistic one: it bounds the truth from below.
        """
        n = self.forward.log_weights.shape[1]
        columns = {f"nll_ais_forward_{n}": (mean_potential + self.low) / dim,
                   f"ess_ais_forward_{n}": self.forward.effective}
        if self.high is not None and self.reverse is not None:
            m = self.reverse.log_weights.shape[1]
            columns |= {f"nll_ais_reverse_{m}": (mean_potential + self.high) / dim,
                        f"ess_ais_reverse_{m}": self.reverse.effective}
        return [{name: float(values[r]) for name, values in columns.items()} for r in range(len(self.low))]


class Path(NamedTuple):
    """The path's K + 1 inverse temperatures, (K + 1,), and the step size of the transition at each, (K + 1, R)."""

    b: Tensor
    step_sizes: Tensor


class _Point(NamedTuple):
    """Particles (R, n, *shape), the parts of log p_b there (R, n), and their gradients."""

    x: Tensor
    log_q: Tensor
    log_p: Tensor
    grad_q: Tensor
    grad_p: Tensor

    def log_density(self, b: Tensor) -> Tensor:
        return (1 - b) * self.log_q + b * self.log_p

    def gradient(self, b: Tensor) -> Tensor:
        return (1 - b) * self.grad_q + b * self.grad_p


def _point(potential: Potential, sigma: float, x: Tensor) -> _Point:
    u, gradient = potential_and_gradient(potential, x)
    return _Point(x, -x.square().flatten(2).sum(-1) / (2 * sigma**2), -u, -x / sigma**2, -gradient)


def _wide(values: Tensor, like: Tensor) -> Tensor:
    return values.reshape(*values.shape, *[1] * (like.dim() - values.dim()))


def _hamiltonian(potential: Potential, sigma: float, at: _Point, b: Tensor, step: Tensor,
                 noise: Noise) -> tuple[_Point, Tensor]:
    """One Hamiltonian Monte Carlo transition that leaves p_b invariant. step: (R,). Also the acceptance, (R, n).

    Each chain's step is a random part of it, 1/2 to 3/2: trajectories of one length can be periodic, and stand still.
    """
    wide = _wide(step[:, None] * (0.5 + noise.uniform(at.x.shape[1])), at.x)
    momentum = noise.normal(*at.x.shape[1:])
    energy = at.log_density(b) - momentum.square().flatten(2).sum(-1) / 2
    new, velocity = at, momentum
    for _ in range(LEAPFROGS):
        velocity = velocity + wide / 2 * new.gradient(b)
        new = _point(potential, sigma, new.x + wide * velocity)
        velocity = velocity + wide / 2 * new.gradient(b)
    ratio = new.log_density(b) - velocity.square().flatten(2).sum(-1) / 2 - energy
    chance = torch.where(ratio.isfinite(), ratio, -torch.inf).clamp(max=0).exp()  # a broken proposal is refused
    taken = noise.uniform(at.x.shape[1]) < chance
    return _Point(*(torch.where(_wide(taken, a), a, o) for a, o in zip(new, at, strict=True))), chance


def schedule(steps: int) -> Tensor:
    """steps + 1 inverse temperatures from 0 to 1 (float64), a logistic curve: dense at both ends."""
    curve = torch.sigmoid(torch.linspace(-4, 4, steps + 1, dtype=torch.float64))
    return (curve - curve[0]) / (curve[-1] - curve[0])


def pilot(potential: Potential, sigma: float, shape: tuple[int, ...], noise: Noise, steps: int) -> Path:
    """A path whose step sizes follow a target acceptance, found with chains of its own.

    The chains that count run at fixed step sizes: steps adapted to their own past would not leave p_b invariant.
    """
    b = schedule(steps).to(noise.device, noise.dtype)
    at = _point(potential, sigma, sigma * noise.normal(PILOTS, *shape))
    log_step = torch.full((at.x.shape[0],), math.log(sigma / math.prod(shape) ** 0.25), dtype=noise.dtype,
                          device=noise.device)
    found = [log_step.exp()]
    for k in range(1, steps + 1):
        at, chance = _hamiltonian(potential, sigma, at, b[k], log_step.exp(), noise)
        log_step = log_step + 0.2 * (chance.mean(1) - ACCEPT)
        found.append(log_step.exp())
    # Sixteen chains say little at one temperature: a running mean over a twentieth of the path says more.
    half = max(1, steps // 40)
    smooth = [torch.stack(found[max(0, k - half):k + half + 1]).mean(0) for k in range(steps + 1)]
    return Path(b, torch.stack(smooth))


def anneal(potential: Potential, sigma: float, path: Path, x: Tensor, noise: Noise, *, reverse: bool = False,
           warm_up: int = 0) -> Annealed:
    """Run the chains x (R, n, *shape) along the path: from draws of q, or with `reverse` from draws of the model.

    warm_up: transitions at the start of the path before weights are counted; exact draws stay exact.
    """
    order = list(range(len(path.b)))[::-1 if reverse else 1]
    at = _point(potential, sigma, x)
    log_weights, accepted, moves = torch.zeros_like(at.log_q), torch.zeros_like(at.log_q[:, 0]), 0
    for _ in range(warm_up):
        at, _ = _hamiltonian(potential, sigma, at, path.b[order[0]], path.step_sizes[order[0]], noise)
    for here, there in pairwise(order):
        log_weights = log_weights + at.log_density(path.b[there]) - at.log_density(path.b[here])
        if there != order[-1]:  # the last move would change no weight
            at, chance = _hamiltonian(potential, sigma, at, path.b[there], path.step_sizes[there], noise)
            accepted, moves = accepted + chance.mean(1), moves + 1
    return Annealed(log_weights, accepted / max(moves, 1))


def log_z_bounds(potential: Potential, sigma: float, shape: tuple[int, ...], noise: Noise, steps: int = 500,
                 chains: int = 64, particles: Tensor | None = None) -> Bounds:
    """log of the integral of exp(-U) for R replicates, between a forward and a reverse run of AIS.

    potential: (R, n, *shape) -> (R, n), U over the temperature, its reference included. sigma: the reference's sd.
    particles: (R, m, *shape), draws of the model for the reverse run. Costs `LEAPFROGS` gradients a step and chain
    in each of the two runs, and as many for each of the pilot's 16. Raises ValueError where steps < 2.
    """
    if steps < 2:
        raise ValueError(f"ais: found steps = {steps}, expected at least 2")
    path = pilot(potential, sigma, shape, noise, steps)
    log_z0 = math.prod(shape) / 2 * math.log(2 * math.pi * sigma**2)
    forward = anneal(potential, sigma, path, sigma * noise.normal(chains, *shape), noise)
    if particles is None:
        return Bounds(log_z0 + forward.log_mean, None, forward, None)
    reverse = anneal(potential, sigma, path, particles, noise, reverse=True, warm_up=WARM_UP)
    return Bounds(log_z0 + forward.log_mean, log_z0 - reverse.log_mean, forward, reverse)
