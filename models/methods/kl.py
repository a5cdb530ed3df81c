"""KL flow (GCN): contrastive divergence on Langevin particles in the space of the data."""

from __future__ import annotations

import torch
from torch import Tensor

from models.methods.method import Draw, Flow, FlowLoss, ImageChain, Method, Networks
from models.noise import Noise


def kl_flow(method: Method, nets: Networks, draw: Draw, x_data: Tensor, noise: Noise) -> FlowLoss:
    """E4: E_rho f - E_data f, descended by f. x_data, draw.negatives: (R, n, *shape)."""
    f_negatives, f_data = nets.f(draw.negatives), nets.f(x_data)
    loss = f_negatives.mean(1) - f_data.mean(1)
    if method.hp.energy_l2:
        loss = loss + method.hp.energy_l2 * (f_data.square().mean(1) + f_negatives.square().mean(1))
    return FlowLoss(loss, f_data.detach(), f_negatives.detach(), torch.zeros_like(loss.detach()))


class KL(ImageChain, Method):
    """E1 to E4."""

    def choose_flow(self) -> Flow:
        return kl_flow

    def run(self, nets: Networks, start: Tensor, noise: Noise, mcmc_steps: int) -> tuple[Draw, Tensor]:
        x, info = self.chain(lambda p: self.potential(nets, p), start, noise, mcmc_steps, self.hp.step_size)
        return Draw(x, x, self.drifted(nets, x), None, None, info), x
