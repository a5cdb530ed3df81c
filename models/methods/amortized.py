"""Amortized sampling: g proposes, a short image-space chain improves, g learns where the chain ended.

With `flow: kl` this is cooperative learning (CoopNets) without latent inference.
"""

from __future__ import annotations

import torch
from torch import Tensor

from models.methods.hidden import Upsampling, potential_loss, regression_loss
from models.methods.method import Draw, ImageChain, Method, Networks
from models.noise import Noise


class Amortized(Upsampling, ImageChain, Method):
    """E9 and E10."""

    def run(self, nets: Networks, start: Tensor, noise: Noise, mcmc_steps: int) -> tuple[Draw, Tensor]:
        """E9: the image chain starts at g(z)."""
        with torch.no_grad():
            proposed = nets.upsampler(start)
        x, info = self.chain(lambda p: self.potential(nets, p), proposed, noise, mcmc_steps, self.hp.step_size)
        return Draw(x, x, self.drifted(nets, x), start, start, info), start

    def generator_loss(self, nets: Networks, draw: Draw) -> Tensor:
        """E10, or E11 at the z that the chain started from."""
        assert draw.z is not None
        if self.hp.upsampler_loss == "potential":
            return potential_loss(nets, draw.z)
        return regression_loss(nets, draw.z, draw.x)
