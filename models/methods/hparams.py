"""The knobs that every method has, and what a method says of its knobs. Imports no torch.

Equation numbers (E1 to E16) are those of models/EQUATIONS.md.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal

from models.knobs import LARGEST, Knobs, Part, knob
from models.stability.law import Balance


@dataclass(frozen=True, kw_only=True)
class HParams(Knobs):
    """The knobs that every method has. Lengths are in units of the data (images lie in [-1, 1])."""

    uses_generator: ClassVar[bool] = False  # whether there is an upsampling network g
    latent_chain: ClassVar[bool] = False  # whether `step_size` and `mcmc_steps` belong to a chain in z

    updates: int = knob(600, "training updates", low=1, enters=("cost", "conflicts"), source="every code")
    budget: float | None = knob(None, "particle-gradient evaluations of a replicate's training, in place of `updates`: "
                                "as many as they pay for, at any mcmc_steps", above=0, enters=("cost", "conflicts"),
                                source="ours")
    batch_size: int = knob(64, "data points, and chains moved, in one update of one replicate", low=2,
                           enters=("cost", "conflicts"))
    micro_batch: int | None = knob(None, "particles that pass the networks at once, for less memory; numbers are those "
                                   "of the whole batch but for rounding; null: all", low=1, enters=("conflicts",),
                                   source="gradient accumulation, of every framework")
    network: str | None = knob(None, "the score f; null: by the data's shape, mlp in the plane and convnet for images",
                               names="network")
    width: int = knob(16, "ConvNet channels w, 2w, 2w, ...; MLP layers 8w, 8w", low=1, source="every code")
    init: Literal["uniform", "normal", "xavier"] = knob(
        "uniform", "how f and g begin: weights and biases uniform within 1 / sqrt(inputs); or biases 0 and weights "
        "normal, of standard deviation 0.02 (DCGAN), or of xavier's sqrt(2 / (inputs + outputs))",
        source="DCGAN; Glorot and Bengio 2010")
    lr_f: float = knob(2e-3, "Adam's learning rate of the score f", above=0)
    warmup: int = knob(0, "updates over which the learning rates rise to their values", low=0,
                       enters=("conflicts",))
    decay: Literal["none", "cosine", "step"] = knob(
        "none", "how the learning rates fall over `updates`: cosine to 0; step to a tenth at half, a hundredth at "
        "three quarters", enters=("updates",))
    ema: float | None = knob(None, "half-life, in updates, of averages of the weights, which are then what is sampled "
                             "and measured; null: the weights themselves", above=0, enters=("conflicts",))
    adam_beta1: float = knob(0.5, "Adam's first decay", low=0, below=1)
    adam_beta2: float = knob(0.999, "Adam's second decay", low=0, below=1)
    flip: bool = knob(False, "mirror each image of a batch, and each image that goes on in a persistent chain, left to "
                      "right with probability 1/2", plane="points have no left and right")
    step_size: float = knob(0.1, "Langevin step size delta (E3)", above=0, enters=("conflicts",))
    step_size_end: float | None = knob(None, "delta of the last update: it goes there from step_size, by equal factors "
                                       "from update to update", above=0, enters=("law", "conflicts", "updates"),
                                       source="ours")
    mcmc_steps: int = knob(20, "Langevin steps T of one update (E3)", low=1, enters=("cost",))
    temperature: float = knob(1.0, "tau: scales the variance of the Langevin noise (E3)", low=0,
                              enters=("law", "conflicts"))
    temperature_end: float | None = knob(None, "tau of the last update, as step_size_end", above=0,
                                         enters=("law", "conflicts", "updates"),
                                         source="CoopNets in PyTorch, where noise ends after 100 epochs")
    anneal: bool = knob(False, "within a chain step k of T has 1 - (k - 1) / T of its noise", enters=("law",))
    last_step: Literal["noisy", "noise-free"] = knob(
        "noisy", "noise-free: samples are measured after one more step of E3 without noise", source="DRL")
    negatives_drift: int = knob(0, "noise-free steps after the chain, for the negatives of E4 only", low=0,
                                enters=("law", "cost"), source="ours, derived")
    data_noise: float = knob(0.0, "standard deviation of Gaussian smoothing of the data", low=0, enters=("law",))
    drift_clip: float | None = knob(None, "bound on the norm of one Langevin step's drift, a particle", above=0)
    grad_clip: float | None = knob(None, "bound on the norm of a replicate's parameter gradient", above=0)
    score_scale: float = knob(1.0, "f is so many times the network's output; a code that descends a grad f with noise "
                              "s has 2a/s^2 at step_size s", above=0)
    spectral_norm: bool = knob(False, "divide every weight of f by its largest singular value", enters=("law",))
    energy_l2: float = knob(0.0, "weight of E f(data)^2 + E f(particles)^2 in the loss of f", low=0, enters=("law",))
    precision: Literal["fp32", "bf16", "fp64"] = knob("fp32", "bf16: the networks while sampling; fp64: everything",
                                                      source="every framework")

    def __init_subclass__(cls) -> None:
        """A variant states its own balance, or has none: its loss is another one."""
        super().__init_subclass__()
        if "balance" not in vars(cls):
            cls.balance = HParams.balance  # type: ignore[method-assign]

    def __post_init__(self) -> None:
        """A budget becomes the updates that it pays for, and is forgotten: the same training is the same however it is
        said. Raises ValueError where it pays for none."""
        if (budget := self.budget) is not None:
            if not self.gradients_until(1) <= budget <= LARGEST:
                raise ValueError(f"budget: found {budget!r}, expected a number from {self.gradients_until(1):,}, which "
                                 f"one update costs, to {LARGEST:g}")
            object.__setattr__(self, "budget", None)  # frozen
            object.__setattr__(self, "updates", _paid(self, budget))

    def balance(self) -> Balance | None:
        """The terms of the stability law (E13) of training with these knobs. None: no prediction. Not inherited."""
        return None

    def gradients_until(self, update: int) -> int:
        """Particle-gradient evaluations of the first so many updates of one replicate: the currency of equal budgets.
        It rises from update to update, and does not depend on `updates`.

        One evaluation is one backward pass through f (and g before it, or g alone) for one particle.
        """
        return update * self.per_particle() * self.batch_size

    def per_particle(self) -> int:
        """Each step of a chain counts 1 a particle, the update of f 1 a data point and 1 a negative."""
        return self.chain_steps() + 2

    def chain_steps(self) -> int:
        """Langevin and drift steps of a particle, each time that the chains of an update run."""
        return self.mcmc_steps + self.negatives_drift

    @classmethod
    def conflicts(cls, given: Mapping[str, Any]) -> list[tuple[str, str]]:
        """(knob, message) for values that are fine alone and wrong together. `given`: those that the user gave."""
        found, ema, updates = [], cls.now(given, "ema"), cls.now(given, "updates")
        if given.get("budget") is not None and "updates" in given:
            found.append(("budget", f"found it and updates = {given['updates']}, expected one of the two; null: none"))
        elif updates < 1:
            one = _unpaid(cls, given).gradients_until(1)
            return [("budget", f"found {given['budget']:g}, expected at least {one:,}, which one update costs")]
        if cls.now(given, "temperature_end") is not None and cls.now(given, "temperature") == 0:
            found.append(("temperature_end", "has no effect from temperature: 0, which no factor changes"))
        if ema is not None and ema >= updates:
            found.append(("ema", f"found {ema:g}, expected a half-life below updates = {updates}"))
        micro_batch, batch_size = cls.now(given, "micro_batch"), cls.now(given, "batch_size")
        if micro_batch is not None and micro_batch >= batch_size:
            found.append(("micro_batch", f"found {micro_batch}, expected less than batch_size = {batch_size}, or null"))
        if (warmup := cls.now(given, "warmup")) >= updates:
            found.append(("warmup", f"found {warmup}, expected less than updates = {updates}: the learning rates would "
                                    "never reach their values"))
        return found

    @classmethod
    def entering(cls, part: Part) -> set[str]:
        """The knobs that a part of what the method says of itself depends on."""
        return {f.name for f in fields(cls) if part in f.metadata.get("enters", ())}

    @classmethod
    def now(cls, given: Mapping[str, Any], name: str) -> Any:
        """A knob's value: given, or its default; of updates those that a budget pays for. None for a knob that this
        method lacks."""
        if name == "updates" and given.get("budget") is not None:
            return _paid(_unpaid(cls, given), given["budget"])
        return given.get(name, getattr(cls, name, None))


def _unpaid(knobs: type[HParams], given: Mapping[str, Any]) -> HParams:
    """What is given, but for its budget."""
    return knobs(**{f.name: given[f.name] for f in fields(knobs) if f.name in given and f.name != "budget"})


def _paid(hp: HParams, budget: float) -> int:
    """The most updates that cost no more."""
    above = 1
    while hp.gradients_until(above) <= budget:
        above *= 2
    return bisect_right(range(above), budget, key=hp.gradients_until) - 1
