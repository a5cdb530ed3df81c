"""What a method is: where chains start (E2, E9), the potential they descend (E1, E8), and the losses of f and g.

A method holds no state: networks and particles are arguments, so that a variant overrides only the numbered terms in
which it differs. Shapes: R replicates, n particles, `shape` of the data, d = latent_dim.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, fields, replace
from functools import cache
from itertools import repeat
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self, TypeAlias, cast

from models.knobs import knob_problem
from models.methods.hparams import HParams
from models.methods.schedules import scheduled
from models.networks.choice import own_knobs
from models.registry import FindError, find

if TYPE_CHECKING:  # a spec is checked against the knobs in these files, without torch
    from torch import Tensor

    from models.data.data import Space
    from models.langevin import ChainInfo, Slope
    from models.networks.layers import Network
    from models.noise import Noise


MANY = 2**22  # values of particles, of all replicates, that pass the networks at once in an evaluation


class Networks(NamedTuple):
    """f, and g where the method has one."""

    f: Network
    g: Network | None

    @property
    def upsampler(self) -> Network:
        """g, for a method that has one."""
        assert self.g is not None
        return self.g


class Draw(NamedTuple):
    """What the chains of one update made. Nothing carries a graph."""

    x: Tensor  # (R, n, *shape): where the chains ended, as data
    point: Tensor  # the same in the space of the last chain: x, or z for `hidden`
    negatives: Tensor  # (R, n, *shape): the negatives of E4; differs from x only by `negatives_drift`
    z_start: Tensor | None  # (R, n, d)
    z: Tensor | None  # (R, n, d): what g is applied to in E10 and E11
    info: ChainInfo


def first(pool: Tensor, n: int) -> Tensor:
    """The first n particles of every replicate's pool, (R, n, ...). Raises ValueError where there are fewer."""
    if n > pool.shape[1]:
        raise ValueError(f"samples: found {n}, expected at most particles = {pool.shape[1]}")
    return pool[:, :n]


class Lesson(NamedTuple):
    """What g may learn from beside this update's chains."""

    x_data: Tensor  # (R, n, *shape)
    rows: Tensor  # (R, n): which of the train split these are
    memory: dict[str, Tensor]  # what the method keeps from update to update, each with leading R
    noise: Noise
    update: int  # updates done before this one


class FlowLoss(NamedTuple):
    """The loss of f and what it is made of; each with leading R."""

    loss: Tensor  # (R,)
    f_data: Tensor  # (R, n), no graph
    f_negatives: Tensor  # (R, n), no graph
    penalty: Tensor  # (R,), no graph: E6's E||grad||^2 before its weight; 0 for E4


class Method(ABC):
    """One method at fixed knobs and data shape."""

    Knobs: ClassVar[type[HParams]]

    def __init__(self, hp: Any, shape: tuple[int, ...], extent: tuple[float, float] = (-1.0, 1.0)) -> None:
        """extent: black and white."""
        self.hp = self.given = hp
        self.shape, self.extent = shape, extent
        self.flow = self.choose_flow()

    def at(self, update: int) -> Self:
        """This method with its knobs as they are in an update (its number, from 1)."""
        given = self.given
        changed = {name: scheduled(getattr(given, name), end, max(update - 1, 0) / max(given.updates - 1, 1))
                   for name in ("step_size", "temperature") if (end := getattr(given, f"{name}_end")) is not None}
        if not changed:
            return self
        now = copy(self)
        now.hp = replace(given, **changed)
        return now

    @property
    def reduced(self) -> bool:
        """Whether networks are rounded to bf16 while a chain runs."""
        return bool(self.hp.precision == "bf16")

    def at_once(self, replicates: int) -> int:
        """How many particles of each replicate pass the networks together: `micro_batch`, else a whole batch, or as
        many as have MANY values where that is more: an evaluation's samples may be far more than a batch."""
        return int(self.hp.micro_batch or max(self.hp.batch_size, MANY // (replicates * prod(self.shape))))

    @abstractmethod
    def choose_flow(self) -> Flow:
        """E4 or E6."""

    @abstractmethod
    def reference(self, noise: Noise, n: int) -> Tensor:
        """n particles of the reference, where chains start afresh."""

    @abstractmethod
    def potential(self, nets: Networks, point: Tensor) -> Tensor:
        """U at points of the space whose chain made the negatives. Returns (R, n)."""

    @abstractmethod
    def run(self, nets: Networks, start: Tensor, noise: Noise, mcmc_steps: int) -> tuple[Draw, Tensor]:
        """The chains from `start`; also the particles to keep in the pool."""

    def image(self, nets: Networks, point: Tensor) -> Tensor:
        """Points of the last chain's space, as data."""
        return point

    def log_density(self, f_values: Tensor, x: Tensor) -> Tensor:
        """F, the log-density without its constant, from f at x. Where the reference lives in z it is f. (R, n)."""
        return f_values

    def start(self, pool: Tensor | None, block: Tensor | None, x_data: Tensor, noise: Noise) -> Tensor:
        """E2: where the chains of an update start. `block`: indices of the pool's particles whose turn it is."""
        chain = getattr(self.hp, "chain", "noise")
        if chain == "data":
            return x_data
        fresh = self.reference(noise, x_data.shape[1])
        if pool is None or block is None:
            return fresh
        restart = noise.uniform(x_data.shape[1]) < self.hp.refresh
        return fresh.where(restart.reshape(*restart.shape, *[1] * (fresh.dim() - 2)), pool[:, block])

    def slope(self, nets: Networks) -> Slope | None:
        """`potential` and its gradient without a graph, for these weights as they are now, where a method knows how."""
        return None

    def descend(self, nets: Networks, point: Tensor, noise: Noise | None, steps: int) -> tuple[Tensor, ChainInfo]:
        """The last chain: E3 on `potential`."""
        return self.chain(lambda p: self.potential(nets, p), point, noise, steps, self.hp.step_size, self.slope(nets))

    def chain(self, potential: Callable[[Tensor], Tensor], x: Tensor, noise: Noise | None, steps: int,
              step_size: float, slope: Slope | None = None) -> tuple[Tensor, ChainInfo]:
        """E3 with this method's temperature, clip and precision. slope: of the potential, where there is a fast one."""
        import torch

        from models.langevin import langevin, slope_of
        from models.methods.pieces import in_pieces

        def rounded(x: Tensor) -> Tensor:
            with torch.autocast(x.device.type, torch.bfloat16):
                return potential(x).float()

        hp = self.hp
        slope = slope_of(rounded if self.reduced else potential) if slope is None else slope
        if x.shape[1] > (size := self.at_once(len(x))):
            slope = in_pieces(repeat(slope), size)
        x, info = langevin(potential, x, steps=steps, step_size=step_size, noise=noise, temperature=hp.temperature,
                           drift_clip=hp.drift_clip, anneal=hp.anneal, slope=slope, **self.bounds(x.shape[2:]))
        if self.reduced:  # differences of rounded potentials are mostly rounding
            unknown = torch.full_like(info.acceptance, torch.nan)
            info = info._replace(dissipation_first=unknown, dissipation_last=unknown, acceptance=unknown)
        return x, info

    def applied(self, run: Callable[[Tensor], Tensor], points: Tensor, *learning: Network) -> Tensor:
        """run(points), so many `at_once`. points: (R, n, ...), without a graph; learning: networks in whose
        parameters a gradient may be asked for."""
        from models.methods.pieces import applied

        return applied(run, points, self.at_once(len(points)), *learning)

    def made(self, nets: Networks, z: Tensor) -> Tensor:
        """g(z) without a graph. z: (R, n, d). Returns (R, n, *shape)."""
        import torch

        with torch.no_grad():
            return self.applied(nets.upsampler, z)

    def bounds(self, shape: Sequence[int]) -> dict[str, Any]:
        """What `langevin` bounds beside a drift's norm, in a chain of particles of this shape: of images alone."""
        clamp, move = (getattr(self.hp, name, None) for name in ("clamp", "move_clip"))
        return {"clamp": self.extent if clamp else None, "move_clip": move} if tuple(shape) == self.shape else {}

    def curvature_probes(self, nets: Networks, draw: Draw) -> list[tuple[Callable[[Tensor], Tensor], Tensor, float]]:
        """What the gauge kappa looks at: potential, particles and step size of each of the method's chains."""
        return [(lambda p: self.potential(nets, p), draw.point, self.hp.step_size)]

    def drifted(self, nets: Networks, point: Tensor) -> Tensor:
        """The negatives of E4: `negatives_drift` noise-free steps after the chain, as data."""
        import torch

        if self.hp.negatives_drift:
            point, _ = self.descend(nets, point, None, self.hp.negatives_drift)
        with torch.no_grad():
            return self.applied(lambda p: self.image(nets, p), point)

    def draw(self, nets: Networks, pool: Tensor | None, noise: Noise, n: int, steps: int = 0) -> Draw:
        """n samples as training sees them: the persistent chains as they stand, else fresh chains of T steps.

        With `chain: data` the chains start at the reference: from data, any model would look good. steps: by which
        persistent chains go on first.
        """
        if pool is None:
            return self.run(nets, self.reference(noise, n), noise, self.hp.mcmc_steps)[0]
        return self.run(nets, first(pool, n), noise, steps)[0]

    def scored(self, nets: Networks, draw: Draw) -> Tensor:
        """What is measured of a draw: x, or where one more step without noise leads (`last_step`). (R, n, *shape)."""
        import torch

        if self.hp.last_step == "noisy":
            return draw.x
        point, _ = self.descend(nets, draw.point, None, 1)
        with torch.no_grad():
            return self.applied(lambda p: self.image(nets, p), point)

    def energy_loss(self, nets: Networks, draw: Draw, x_data: Tensor, noise: Noise) -> FlowLoss:
        """The loss that f descends: E4 or E6."""
        return self.flow(self, nets, draw, x_data, noise)

    def memory(self, noise: Noise, rows: int) -> dict[str, Tensor]:
        """What the method keeps from update to update beside its particles, each with leading R, as it begins.
        rows: of the train split."""
        return {}

    def generator_loss(self, nets: Networks, draw: Draw | None, lesson: Lesson | None = None) -> Tensor | None:
        """The loss that g descends, (R,): E10 or E11; None where there is no g. draw: None while f waits."""
        return None


Flow: TypeAlias = "Callable[[Method, Networks, Draw, Tensor, Noise], FlowLoss]"


def build(method: str, data: Space, **knobs: Any) -> Method:
    """The method of this name (models.registry) for this data's shape, with `knobs` over its defaults. ValueError for
    a knob that it does not have, or a value that no study may give it."""
    kind = knobs_of(method, knobs.get("network"))
    names = [f.name for f in fields(kind)]
    for name, value in knobs.items():
        if name not in names:
            raise ValueError(f"{name}: unknown knob of {method}; its knobs are {', '.join(names)}")
        if problem := knob_problem(kind, name, value):
            raise ValueError(f"{name}: {problem}")
    hp = kind(**knobs)
    found: Method = find("method", method)(hp, tuple(data.shape), data.extent)
    return found


def knobs_of(method: str, network: str | None = None) -> type[HParams]:
    """The knobs of a method, and those that a network states of its own, which leave the balance alone.

    Raises FindError for a network whose knobs have names of the method's.
    """
    knobs: type[HParams] = find("method", method).Knobs
    own = own_knobs(network)
    if own is None:
        return knobs
    if both := {f.name for f in fields(own)} & {f.name for f in fields(knobs)}:
        raise FindError(f"found {network!r}, expected a network: its knob {min(both)} is one of the method {method}")
    return _joined(cast(Any, knobs), own)


@cache
def _joined(knobs: Any, own: Any) -> type[HParams]:
    both = type(knobs.__name__, (own, knobs), {"balance": knobs.balance})
    return dataclass(frozen=True, kw_only=True)(both)
