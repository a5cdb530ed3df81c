"""GGCN, the union: a chain in z, an image chain from g(z_T), f by the chosen flow, g by regression on the pair."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from models.methods.amortized import Amortized
from models.methods.hidden import latent_potential
from models.methods.method import Draw, Networks, first
from models.noise import Noise


class GGCN(Amortized):
    """E12: E8's chain in z, then Amortized from where it ended."""

    def run(self, nets: Networks, start: Tensor, noise: Noise, mcmc_steps: int) -> tuple[Draw, Tensor]:
        z, hidden = self.chain(lambda p: latent_potential(nets, p), start, noise, self.hp.latent_steps,
                               self.hp.latent_step_size)
        draw, _ = super().run(nets, z, noise, mcmc_steps)
        clipped = torch.maximum(hidden.clip_fraction, draw.info.clip_fraction)  # a clip in either chain may mask
        return draw._replace(z_start=start, info=draw.info._replace(clip_fraction=clipped)), z

    def gauged(self, nets: Networks, draw: Draw) -> list[tuple[Callable[[Tensor], Tensor], Tensor, float]]:
        """Both chains."""
        assert draw.z is not None
        return [*super().gauged(nets, draw), (lambda z: latent_potential(nets, z), draw.z, self.hp.latent_step_size)]

    def draw(self, nets: Networks, pool: Tensor | None, noise: Noise, n: int) -> Draw:
        """The pool holds z, so samples need both chains."""
        start = self.reference(noise, n) if pool is None else first(pool, n)
        return self.run(nets, start, noise, self.hp.mcmc_steps)[0]
