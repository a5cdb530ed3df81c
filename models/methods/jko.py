"""JKO flow (wGCN): E4 plus the squared transport velocity of one proximal step (E5, E6)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from models.methods.kl import KL, kl_flow
from models.methods.method import Draw, Flow, FlowLoss, Method, Networks
from models.noise import Noise


def penalty_weight(method: Method) -> float:
    """beta of E6: absolute, or c * eta with eta = delta^2 / 2, so that it scales with the Langevin step."""
    hp = method.hp
    return float(hp.beta if hp.beta is not None else hp.jko_weight * hp.step_size**2 / 2)


def squared_gradient(method: Method, nets: Networks, point: Tensor) -> Tensor:
    """E||grad U||^2 (or of f) at fixed points: summed over a particle, averaged over the batch. Returns (R,)."""
    point = point.detach().requires_grad_()
    if method.hp.penalty_of == "f":
        value = nets.f(method.image(nets, point))
    else:
        value = method.potential(nets, point)
    (gradient,) = torch.autograd.grad(value.sum(), point, create_graph=True)
    return gradient.square().flatten(2).sum(-1).mean(1)


def penalty(method: Method, nets: Networks, draw: Draw, x_data: Tensor, noise: Noise) -> Tensor:
    """The expectation in E6, taken where `penalty_on` says; particles are held fixed. Returns (R,)."""
    where = method.hp.penalty_on
    if where == "synthesis":
        return squared_gradient(method, nets, draw.point)
    if where == "data":
        return squared_gradient(method, nets, x_data)
    if where == "both":
        return (squared_gradient(method, nets, draw.point) + squared_gradient(method, nets, x_data)) / 2
    share = noise.uniform(x_data.shape[1], *[1] * (x_data.dim() - 2))
    return squared_gradient(method, nets, share * x_data + (1 - share) * draw.x)


def jko_flow(method: Method, nets: Networks, draw: Draw, x_data: Tensor, noise: Noise) -> FlowLoss:
    """E6: E4 + beta E||grad U||^2, plus. At beta = 0 it is exactly E4."""
    kl = kl_flow(method, nets, draw, x_data, noise)
    if not penalty_weight(method):
        return kl
    velocity = penalty(method, nets, draw, x_data, noise)
    return kl._replace(loss=kl.loss + penalty_weight(method) * velocity, penalty=velocity.detach())


class JKO(KL):
    """E1 to E3 and E6."""

    def choose_flow(self) -> Flow:
        return jko_flow


def chosen_flow(hp: Any) -> Flow:
    """E4 or E6, for the methods in which the flow is a knob."""
    return jko_flow if hp.flow == "jko" else kl_flow
