"""Amortized sampling: g proposes, a short image-space chain improves, g learns where the chain ended.

With `flow: kl` this is cooperative learning (CoopNets) without latent inference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from models.knobs import knob
from models.methods.chains import ImageChain, ImageKnobs
from models.methods.hparams import HParams
from models.methods.jko import jko_balance
from models.methods.kl import kl_balance
from models.methods.method import Draw, Method, Networks
from models.methods.upsampling import Upsampling, UpsamplingKnobs
from models.stability.law import Balance

if TYPE_CHECKING:
    from torch import Tensor

    from models.noise import Noise


@dataclass(frozen=True, kw_only=True)
class AmortizedKnobs(UpsamplingKnobs, ImageKnobs):
    """Those of E9 and E10."""

    step_size: float = knob(0.2, "Langevin step size delta (E3)", above=0, enters=("conflicts",))
    mcmc_steps: int = knob(5, "Langevin steps T of one update, from g(z) (E3, E9)", low=1, enters=("cost",))
    upsampler_loss: Literal["potential", "regression"] = knob("regression", "how g learns: E11 or E10",
                                                              enters=("conflicts",), source="the paper")

    def balance(self) -> Balance | None:
        return kl_balance(self) if self.flow == "kl" else jko_balance(self)


class Amortized(Upsampling, ImageChain, Method):
    """E9 and E10."""

    Knobs: ClassVar[type[HParams]] = AmortizedKnobs

    def run(self, nets: Networks, start: Tensor, noise: Noise, mcmc_steps: int) -> tuple[Draw, Tensor]:
        """E9: the image chain starts at g(z)."""
        x, info = self.descend(nets, self.made(nets, start), noise, mcmc_steps)
        return Draw(x, x, self.drifted(nets, x), start, start, info), start
