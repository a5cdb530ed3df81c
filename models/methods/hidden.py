"""Hidden-space mapping: Langevin on z, with a trainable upsampler g between the hidden space and the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from models.knobs import knob
from models.methods.jko import PenaltyKnobs, chosen_flow
from models.methods.method import Draw, Flow, Method, Networks, PoolKnobs, step_conflicts

if TYPE_CHECKING:
    from torch import Tensor

    from models.noise import Noise


@dataclass(frozen=True, kw_only=True)
class UpsamplingKnobs(PenaltyKnobs):
    """Of a method with a g."""

    uses_generator: ClassVar[bool] = True
    flow: Literal["kl", "jko"] = knob("jko", "the flow that trains f: E4 or E6", enters=("law", "cost", "conflicts"))
    latent_dim: int = knob(16, "dimension d of the hidden variable z", low=1)
    lr_g: float = knob(1e-3, "Adam's learning rate of the upsampler g; keep it at or below lr_f", above=0)

    def per_particle(self) -> int:
        """The update of g counts 1."""
        return super().per_particle() + 1


@dataclass(frozen=True, kw_only=True)
class HiddenKnobs(UpsamplingKnobs, PoolKnobs):
    """Those of E7, E8 and E11."""

    latent_chain: ClassVar[bool] = True
    step_size: float = knob(0.5, "Langevin step size delta of the chain in z (E3)", above=0, enters=("conflicts",))
    mcmc_steps: int = knob(5, "Langevin steps T of one update, in z (E3)", low=1, enters=("cost",))
    chain: Literal["persistent", "noise"] = knob("persistent", "where a chain in z starts (E2)", enters=("conflicts",))
    upsampler_loss: Literal["potential", "regression"] = knob("potential", "how g learns: E11 or E10")

    @classmethod
    def conflicts(cls, given: Mapping[str, Any]) -> list[tuple[str, str]]:
        where = cls.now(given, "penalty_on")
        no_z = [] if where == "synthesis" else [
            ("penalty_on", f"found {where!r}, expected synthesis: data have no z in `hidden`")]
        return step_conflicts(cls.now(given, "step_size"), 1.0) + no_z + super().conflicts(given)


def regression_loss(nets: Networks, z: Tensor, x: Tensor) -> Tensor:
    """E10: E||sg[x_T] - g(z)||^2, summed over a particle. z: (R, n, d), x: (R, n, *shape). Returns (R,)."""
    return (x.detach() - nets.upsampler(z)).square().flatten(2).sum(-1).mean(1)


def potential_loss(nets: Networks, z: Tensor) -> Tensor:
    """E11: -E f(g(z_T)), z_T held fixed. z: (R, n, d). Returns (R,)."""
    return -nets.f(nets.upsampler(z)).mean(1)


def latent_potential(nets: Networks, z: Tensor) -> Tensor:
    """E8: U(z) = ||z||^2 / 2 - f(g(z)). z: (R, n, d). Returns (R, n)."""
    return z.square().sum(-1) / 2 - nets.f(nets.upsampler(z))


class Upsampling:
    """A mixin for methods with a g: chains start from a hidden variable, and the flow of f is a knob."""

    hp: Any

    def choose_flow(self) -> Flow:
        """E4 or E6."""
        return chosen_flow(self.hp)

    def reference(self, noise: Noise, n: int) -> Tensor:
        """E7: z ~ N(0, I)."""
        return noise.normal(n, self.hp.latent_dim)


class Hidden(Upsampling, Method):
    """E7, E8 and E11."""

    Knobs = HiddenKnobs

    def potential(self, nets: Networks, point: Tensor) -> Tensor:
        return latent_potential(nets, point)

    def image(self, nets: Networks, point: Tensor) -> Tensor:
        return nets.upsampler(point)

    def run(self, nets: Networks, start: Tensor, noise: Noise, mcmc_steps: int) -> tuple[Draw, Tensor]:
        z, info = self.chain(lambda p: latent_potential(nets, p), start, noise, mcmc_steps, self.hp.step_size)
        x = nets.propose(z)
        return Draw(x, z, self.drifted(nets, z) if self.hp.negatives_drift else x, start, z, info), z

    def generator_loss(self, nets: Networks, draw: Draw) -> Tensor:
        """E11, or E10 from where the chain in z started to the data it ended at."""
        assert draw.z is not None and draw.z_start is not None
        if self.hp.upsampler_loss == "potential":
            return potential_loss(nets, draw.z)
        return regression_loss(nets, draw.z_start, draw.x)
