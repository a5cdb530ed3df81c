"""GGCN, the union: a chain in z, an image chain from g(z_T), f by the chosen flow, g by regression on the pair."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from models.knobs import knob
from models.methods.amortized import Amortized
from models.methods.chains import ImageKnobs, PoolKnobs
from models.methods.method import Draw, Networks, first
from models.methods.upsampling import UpsamplingKnobs, latent_potential, latent_slope

if TYPE_CHECKING:
    from torch import Tensor

    from models.noise import Noise


@dataclass(frozen=True, kw_only=True)
class GGCNKnobs(UpsamplingKnobs, ImageKnobs, PoolKnobs):
    """Those of E12. No balance: no limit is known for two chains and a trained g."""

    step_size: float = knob(0.2, "Langevin step size delta of the chain in x (E3)", above=0, enters=("conflicts",),
                            source="the paper")
    mcmc_steps: int = knob(5, "Langevin steps T of one update, in x from g(z_T) (E3)", low=1, enters=("cost",),
                           source="the paper")
    lr_g: float = knob(3e-4, "Adam's learning rate of the upsampler g; keep it well below lr_f", above=0,
                       source="the paper")
    chain: Literal["persistent", "noise"] = knob("persistent", "where the chain in z starts (E2)",
                                                 enters=("conflicts",), source="ours")
    latent_steps: int = knob(5, "Langevin steps in z", low=1, enters=("cost",), source="the paper")
    latent_step_size: float = knob(0.3, "step size of the chain in z; the reference alone needs < sqrt 2", above=0,
                                   below=math.sqrt(2), source="the paper")
    upsampler_loss: Literal["potential", "regression"] = knob("regression", "how g learns: E11 or E10",
                                                              enters=("conflicts",), source="the paper")

    def chain_steps(self) -> int:
        return super().chain_steps() + self.latent_steps


class GGCN(Amortized):
    """E12: E8's chain in z, then Amortized from where it ended."""

    Knobs = GGCNKnobs

    def run(self, nets: Networks, start: Tensor, noise: Noise, mcmc_steps: int) -> tuple[Draw, Tensor]:
        z, hidden = self.chain(lambda p: latent_potential(nets, p), start, noise, self.hp.latent_steps,
                               self.hp.latent_step_size, latent_slope(nets, self.reduced))
        draw, _ = super().run(nets, z, noise, mcmc_steps)
        clipped = hidden.clip_fraction.maximum(draw.info.clip_fraction)  # a clip in either chain may mask
        return draw._replace(z_start=start, info=draw.info._replace(clip_fraction=clipped)), z

    def curvature_probes(self, nets: Networks, draw: Draw) -> list[tuple[Callable[[Tensor], Tensor], Tensor, float]]:
        """Both chains."""
        assert draw.z is not None
        latent = (lambda z: latent_potential(nets, z), draw.z, self.hp.latent_step_size)
        return [*super().curvature_probes(nets, draw), latent]

    def draw(self, nets: Networks, pool: Tensor | None, noise: Noise, n: int, steps: int = 0) -> Draw:
        """The pool holds z, so samples need both chains."""
        start = self.reference(noise, n) if pool is None else first(pool, n)
        return self.run(nets, start, noise, self.hp.mcmc_steps)[0]
