"""GGCN, the union: a chain in z, an image chain from g(z_T), f by the chosen flow, g by regression on the pair."""

from __future__ import annotations

from torch import Tensor

from models.amortized import Amortized
from models.hidden import latent_potential
from models.method import Draw, Networks, first
from models.noise import Noise


class GGCN(Amortized):
    """E12: E8's chain in z, then Amortized from where it ended."""

    def run(self, nets: Networks, start: Tensor, noise: Noise, mcmc_steps: int) -> tuple[Draw, Tensor]:
        z, _ = self.chain(lambda p: latent_potential(nets, p), start, noise, self.hp.latent_steps,
                          self.hp.latent_step_size)
        draw, _ = super().run(nets, z, noise, mcmc_steps)
        return draw._replace(z_start=start), z

    def draw(self, nets: Networks, pool: Tensor | None, noise: Noise, n: int) -> Draw:
        """The pool holds z, so samples need both chains."""
        start = self.reference(noise, n) if pool is None else first(pool, n)
        return self.run(nets, start, noise, self.hp.mcmc_steps)[0]
