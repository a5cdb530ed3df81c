"""Hidden-space mapping: Langevin on z, with a trainable upsampler g between the hidden space and the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from models.knobs import knob
from models.methods.chains import PoolKnobs, step_conflicts
from models.methods.method import Draw, Method, Networks
from models.methods.upsampling import Upsampling, UpsamplingKnobs, latent_potential, latent_slope

if TYPE_CHECKING:
    from torch import Tensor

    from models.langevin import Slope
    from models.noise import Noise


@dataclass(frozen=True, kw_only=True)
class HiddenKnobs(UpsamplingKnobs, PoolKnobs):
    """Those of E7, E8 and E11."""

    latent_chain: ClassVar[bool] = True
    step_size: float = knob(0.5, "Langevin step size delta of the chain in z (E3)", above=0, enters=("conflicts",),
                            source="the paper")
    mcmc_steps: int = knob(5, "Langevin steps T of one update, in z (E3)", low=1, enters=("cost",), source="the paper")
    chain: Literal["persistent", "noise"] = knob("persistent", "where a chain in z starts (E2)", enters=("conflicts",),
                                                  source="ours")
    upsampler_loss: Literal["potential", "regression"] = knob("potential", "how g learns: E11 or E10",
                                                              enters=("conflicts",), source="the paper")

    @classmethod
    def conflicts(cls, given: Mapping[str, Any]) -> list[tuple[str, str]]:
        where = cls.now(given, "penalty_on")
        no_z = [] if where == "synthesis" else [
            ("penalty_on", f"found {where!r}, expected synthesis: data have no z in `hidden`")]
        return step_conflicts(cls, given, 1.0) + no_z + super().conflicts(given)


class Hidden(Upsampling, Method):
    """E7, E8 and E11."""

    Knobs = HiddenKnobs

    def potential(self, nets: Networks, point: Tensor) -> Tensor:
        return latent_potential(nets, point)

    def slope(self, nets: Networks) -> Slope | None:
        return latent_slope(nets, self.reduced) if type(self).potential is Hidden.potential else None

    def image(self, nets: Networks, point: Tensor) -> Tensor:
        return nets.upsampler(point)

    def run(self, nets: Networks, start: Tensor, noise: Noise, mcmc_steps: int) -> tuple[Draw, Tensor]:
        z, info = self.descend(nets, start, noise, mcmc_steps)
        x = self.made(nets, z)
        return Draw(x, z, self.drifted(nets, z) if self.hp.negatives_drift else x, start, z, info), z

    def pair(self, draw: Draw) -> tuple[Tensor, Tensor]:
        """Of E10: from where the chain in z started to the data it ended at."""
        assert draw.z_start is not None
        return draw.z_start, draw.x
