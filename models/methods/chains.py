"""What methods with persistent chains have, and those whose last chain runs in the space of the data (E1, E2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from models.knobs import knob
from models.methods.hparams import HParams

if TYPE_CHECKING:
    from torch import Tensor

    from models.langevin import Slope, Value
    from models.methods.method import Networks
    from models.noise import Noise


@dataclass(frozen=True, kw_only=True)
class PoolKnobs(HParams):
    """Of a method with persistent chains, beside its knob `chain`."""

    particles: int = knob(256, "persistent chains of a replicate; an update moves the next batch_size of them", low=1,
                          enters=("conflicts",))
    refresh: float = knob(0.05, "share of the persistent chains that restart from the reference (E2)", low=0, high=1,
                          enters=("conflicts",))

    @classmethod
    def conflicts(cls, given: Mapping[str, Any]) -> list[tuple[str, str]]:
        chain, particles, batch_size = (cls.now(given, name) for name in ("chain", "particles", "batch_size"))
        found = super().conflicts(given)
        if chain == "persistent" and particles < batch_size:
            found.append(("particles", f"found {particles}, expected at least batch_size = {batch_size}"))
        if chain != "persistent":
            found += [(name, f"has no effect with chain: {chain}; only persistent chains have a pool")
                      for name in ("particles", "refresh") if name in given]
        return found


@dataclass(frozen=True, kw_only=True)
class ImageKnobs(HParams):
    """Of a method whose last chain runs in the space of the data."""

    sigma: float = knob(1.0, "standard deviation of the reference N(0, sigma^2 I) (E1)", above=0,
                        enters=("law", "conflicts"))
    clamp: bool = knob(False, "put values beyond black and white back to them after each Langevin step",
                       plane="points have no range", enters=("law",))
    move_clip: float | None = knob(None, "bound on one Langevin step's drift in each pixel", above=0)

    @classmethod
    def conflicts(cls, given: Mapping[str, Any]) -> list[tuple[str, str]]:
        return step_conflicts(cls, given, cls.now(given, "sigma")) + super().conflicts(given)


def step_conflicts(knobs: type[HParams], given: Mapping[str, Any], sigma: float) -> list[tuple[str, str]]:
    """E3 on the reference alone needs step_size < 2 sigma."""
    sizes = {name: knobs.now(given, name) for name in ("step_size", "step_size_end")}
    return [(name, f"{size!r} >= 2 sigma = {2 * sigma:g}: the reference alone breaks the chain; take a smaller {name}")
            for name, size in sizes.items() if size is not None and size >= 2 * sigma]


class ImageChain:
    """E1: the potential in the space of the data. A mixin for methods whose last chain runs there."""

    hp: ImageKnobs
    shape: tuple[int, ...]
    reduced: bool

    def reference(self, noise: Noise, n: int) -> Tensor:
        return self.hp.sigma * noise.normal(n, *self.shape)

    def potential(self, nets: Networks, point: Tensor) -> Tensor:
        """E1: U(x) = ||x||^2 / (2 sigma^2) - f(x)."""
        return -self.log_density(nets.f(point), point)

    def slope(self, nets: Networks) -> Slope | None:
        """E1's gradient x / sigma^2 - grad f(x); None where a method has another potential."""
        if any(getattr(type(self), name) is not getattr(ImageChain, name) for name in ("potential", "log_density")):
            return None
        f = nets.f.held(self.reduced)

        def found(x: Tensor) -> tuple[Value, Tensor]:
            value, pullback = f(x)
            return lambda: -self.log_density(value(), x), x / self.hp.sigma**2 - pullback(x.new_ones(x.shape[:2]))

        return found

    def log_density(self, f_values: Tensor, x: Tensor) -> Tensor:
        """F = -U of E1, from f at x. f_values: (R, n), x: (R, n, *shape)."""
        return f_values - x.square().flatten(2).sum(-1) / (2 * self.hp.sigma**2)
