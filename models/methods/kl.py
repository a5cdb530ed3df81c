"""KL flow (GCN): contrastive divergence on Langevin particles in the space of the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from models.knobs import SMALLEST, knob
from models.methods.chains import ImageChain, ImageKnobs, PoolKnobs
from models.methods.method import Draw, Flow, FlowLoss, Method, Networks
from models.stability.law import Balance

if TYPE_CHECKING:
    from torch import Tensor

    from models.noise import Noise


def kl_balance(hp: Any) -> Balance | None:
    """E13's terms of E4. None where the knobs leave its model (models/stability/law.py says why)."""
    changes = hp.step_size_end is not None or hp.temperature_end is not None or hp.anneal
    if hp.energy_l2 or hp.spectral_norm or changes or hp.clamp or hp.temperature < SMALLEST:
        return None
    return Balance(hp.temperature, hp.data_noise, hp.negatives_drift)


@dataclass(frozen=True, kw_only=True)
class KLKnobs(ImageKnobs, PoolKnobs):
    """Those of E1 to E4."""

    chain: Literal["persistent", "noise", "data"] = knob("persistent", "where a chain starts (E2)",
                                                         enters=("conflicts",))

    def balance(self) -> Balance | None:
        return kl_balance(self)


def kl_flow(method: Method, nets: Networks, draw: Draw, x_data: Tensor, noise: Noise) -> FlowLoss:
    """E4: E_rho f - E_data f, descended by f. x_data, draw.negatives: (R, n, *shape)."""
    f_negatives, f_data = (method.applied(nets.f, x, nets.f) for x in (draw.negatives, x_data))
    loss = f_negatives.mean(1) - f_data.mean(1)
    if method.hp.energy_l2:
        loss = loss + method.hp.energy_l2 * (f_data.square().mean(1) + f_negatives.square().mean(1))
    return FlowLoss(loss, f_data.detach(), f_negatives.detach(), loss.new_zeros(loss.shape))


class KL(ImageChain, Method):
    """E1 to E4."""

    Knobs = KLKnobs

    def choose_flow(self) -> Flow:
        return kl_flow

    def run(self, nets: Networks, start: Tensor, noise: Noise, mcmc_steps: int) -> tuple[Draw, Tensor]:
        x, info = self.descend(nets, start, noise, mcmc_steps)
        return Draw(x, x, self.drifted(nets, x), None, None, info), x
