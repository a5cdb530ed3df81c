"""Hidden-space mapping: Langevin on z, with a trainable upsampler g between the hidden space and the data."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from models.methods.jko import chosen_flow
from models.methods.method import Draw, Flow, Method, Networks
from models.noise import Noise


def regression_loss(nets: Networks, z: Tensor, x: Tensor) -> Tensor:
    """E10: E||sg[x_T] - g(z)||^2, summed over a particle. z: (R, n, d), x: (R, n, *shape). Returns (R,)."""
    return (x.detach() - nets.upsampler(z)).square().flatten(2).sum(-1).mean(1)


def potential_loss(nets: Networks, z: Tensor) -> Tensor:
    """E11: -E f(g(z_T)), z_T held fixed. z: (R, n, d). Returns (R,)."""
    return -nets.f(nets.upsampler(z)).mean(1)


def latent_potential(nets: Networks, z: Tensor) -> Tensor:
    """E8: U(z) = ||z||^2 / 2 - f(g(z)). z: (R, n, d). Returns (R, n)."""
    return z.square().sum(-1) / 2 - nets.f(nets.upsampler(z))


class Upsampling:
    """A mixin for methods with a g: chains start from a hidden variable, and the flow of f is a knob."""

    hp: Any

    def choose_flow(self) -> Flow:
        """E4 or E6."""
        return chosen_flow(self.hp)

    def reference(self, noise: Noise, n: int) -> Tensor:
        """E7: z ~ N(0, I)."""
        return noise.normal(n, self.hp.latent_dim)


class Hidden(Upsampling, Method):
    """E7, E8 and E11."""

    def potential(self, nets: Networks, point: Tensor) -> Tensor:
        return latent_potential(nets, point)

    def image(self, nets: Networks, point: Tensor) -> Tensor:
        return nets.upsampler(point)

    def run(self, nets: Networks, start: Tensor, noise: Noise, mcmc_steps: int) -> tuple[Draw, Tensor]:
        z, info = self.chain(lambda p: latent_potential(nets, p), start, noise, mcmc_steps, self.hp.step_size)
        with torch.no_grad():
            x = self.image(nets, z)
        return Draw(x, z, self.drifted(nets, z) if self.hp.negatives_drift else x, start, z, info), z

    def generator_loss(self, nets: Networks, draw: Draw) -> Tensor:
        """E11, or E10 from where the chain in z started to the data it ended at."""
        assert draw.z is not None and draw.z_start is not None
        if self.hp.upsampler_loss == "potential":
            return potential_loss(nets, draw.z)
        return regression_loss(nets, draw.z_start, draw.x)
