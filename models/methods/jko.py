"""JKO flow (wGCN): E4 plus the squared transport velocity of one proximal step (E5, E6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from models.knobs import knob
from models.methods.hparams import HParams
from models.methods.kl import KL, KLKnobs, kl_balance, kl_flow
from models.methods.method import Draw, Flow, FlowLoss, Method, Networks
from models.stability.law import Balance

if TYPE_CHECKING:
    from torch import Tensor

    from models.noise import Noise

# Of the points at which the penalty is taken: how much of their variance is the data's and how much the particles'.
PLACES = {"synthesis": (0.0, 1.0), "data": (1.0, 0.0), "both": (0.5, 0.5), "interpolates": (1 / 3, 1 / 3)}


@dataclass(frozen=True, kw_only=True)
class PenaltyKnobs(HParams):
    """Those of E6's penalty."""

    jko_weight: float = knob(0.5, "c: the penalty's weight is c * step_size^2 / 2 (E6)", low=0,
                             enters=("law", "conflicts"), source="the paper, its scale ours")
    beta: float | None = knob(None, "the penalty's weight itself, instead of jko_weight (E6)", low=0,
                              enters=("law", "conflicts"), source="the paper, its scale ours")
    penalty_on: Literal["synthesis", "data", "both", "interpolates"] = knob(
        "synthesis", "where the penalty is taken; data is R1 (E6)", enters=("law", "cost", "conflicts"),
        source="ours; R1: VERA; interpolates: WGAN-GP")
    penalty_of: Literal["U", "f"] = knob("U", "whose gradient is penalised: the potential's or the score's (E6)",
                                         enters=("law", "conflicts"), source="ours")

    def per_particle(self) -> int:
        """The penalty's double backward counts 3 a point; `both` has two points."""
        weight = self.jko_weight if self.beta is None else self.beta
        if not weight or getattr(self, "flow", "jko") == "kl":
            return super().per_particle()
        return super().per_particle() + (6 if self.penalty_on == "both" else 3)

    @classmethod
    def conflicts(cls, given: Mapping[str, Any]) -> list[tuple[str, str]]:
        beta, found = cls.now(given, "beta"), super().conflicts(given)
        if given.get("beta") is not None and "jko_weight" in given:
            found.append(("beta", "beta and jko_weight both set the penalty's weight; give one"))
        if cls.now(given, "flow") == "kl":
            found += [(name, "has no effect with flow: kl; remove it or take flow: jko")
                      for name in ("jko_weight", "beta", "penalty_on", "penalty_of") if name in given]
        elif beta == 0 or (beta is None and cls.now(given, "jko_weight") == 0):
            found += [(name, "has no effect where the penalty's weight is 0") for name in ("penalty_on", "penalty_of")
                      if name in given]
        return found


def jko_balance(hp: Any) -> Balance | None:
    """E13's terms of E6, of knobs with `sigma`."""
    terms = kl_balance(hp)
    p, q = PLACES[hp.penalty_on]
    return terms and terms._replace(weight=hp.jko_weight if hp.beta is None else hp.beta, absolute=hp.beta is not None,
                                    p=p, q=q, rho=1 / hp.sigma**2 if hp.penalty_of == "f" else 0.0)


@dataclass(frozen=True, kw_only=True)
class JKOKnobs(PenaltyKnobs, KLKnobs):
    """Those of E1 to E3 and E6."""

    def balance(self) -> Balance | None:
        return jko_balance(self)


def penalty_weight(method: Method) -> float:
    """beta of E6: absolute, or c * eta with eta = delta^2 / 2, so that it scales with the Langevin step."""
    hp = method.hp
    return float(hp.beta if hp.beta is not None else hp.jko_weight * hp.step_size**2 / 2)


def squared_gradient(method: Method, nets: Networks, point: Tensor) -> Tensor:
    """E||grad U||^2 (or of f) at fixed points: summed over a particle, averaged over the batch. Returns (R,)."""
    import torch

    @torch.enable_grad()
    def squared(point: Tensor) -> Tensor:
        point = point.detach().requires_grad_()
        if method.hp.penalty_of == "f":
            value = nets.f(method.image(nets, point))
        else:
            value = method.potential(nets, point)
        (gradient,) = torch.autograd.grad(value.sum(), point, create_graph=True)
        return gradient.square().flatten(2).sum(-1)

    return method.applied(squared, point, nets.f).mean(1)


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

    Knobs = JKOKnobs

    def choose_flow(self) -> Flow:
        return jko_flow


def chosen_flow(hp: Any) -> Flow:
    """E4 or E6, for the methods in which the flow is a knob."""
    return jko_flow if hp.flow == "jko" else kl_flow
