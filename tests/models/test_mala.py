"""E3 and its would-be acceptance against TorchEBM's Metropolis-adjusted chain, move by move at the same generator."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from models.langevin import langevin
from models.methods.method import Networks
from models.networks.mlp import MLPScore
from models.noise import Noise, generators_for
from models.testing import tiny

F64 = torch.float64


class Each(Noise):
    """One draw a particle, (R, 1, d), the same at every step: each particle is a replicate of its own."""

    def __init__(self, draws: Tensor) -> None:
        super().__init__(generators_for(range(len(draws)), "chain"), F64)
        self.draws = draws

    def normal(self, *shape: int) -> Tensor:
        return self.draws.reshape(-1, *shape)


@pytest.mark.parametrize("step_size", [0.6, 0.9])
def test_moves_and_decisions_are_torchebms(step_size: float) -> None:
    """TorchEBM has no MALA by that name: its Hamiltonian sampler of one leapfrog step is it, at delta = its step."""
    from torchebm.core import BaseModel
    from torchebm.samplers import HamiltonianMonteCarlo

    f = MLPScore([2, 16, 16, 1], generators_for([0], "weights"), F64)
    with torch.no_grad():
        for p in f.parameters():
            p.mul_(2)
    ours, nets = tiny.method("kl", tiny.data(tiny.PLANE), sigma=0.8), Networks(f, None)
    n, steps = 60, 6

    class Ours(BaseModel):
        def forward(self, x: Tensor) -> Tensor:
            return ours.potential(nets, x[None])[0]

    x = Noise(generators_for([3], "chain"), F64).normal(n, 2)[0]
    sampler = HamiltonianMonteCarlo(Ours(dtype=F64), step_size=step_size, n_leapfrog_steps=1, dtype=F64)
    theirs = sampler.sample(x=x, n_steps=steps, return_trajectory=True, generator=generators_for([5], "chain")[0])
    assert isinstance(theirs, Tensor)
    generator, refused = generators_for([5], "chain")[0], 0
    for k in range(steps):
        chance = Each(torch.empty(n, 2, dtype=F64).normal_(generator=generator))

        def potential(p: Tensor) -> Tensor:  # of (n, 1, 2)
            return ours.potential(nets, p.transpose(0, 1)).transpose(0, 1)

        moved, _ = langevin(potential, x[:, None], steps=1, step_size=step_size, noise=chance)
        _, info = langevin(potential, x[:, None], steps=2, step_size=step_size, noise=chance)  # judges the first move
        taken = torch.rand(n, generator=generator) < info.acceptance
        refused += int((~taken).sum())
        x = torch.where(taken[:, None], moved[:, 0], x)
        torch.testing.assert_close(x, theirs[:, k], rtol=1e-9, atol=1e-11)
    assert 5 < refused < n * steps / 2  # decisions of both kinds
