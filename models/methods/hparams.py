"""What the knobs of every method have in common: name, default, unit, bounds, and what they enter. Imports no torch, so
a bad spec is refused at once.

A method's own knobs are a frozen, keyword-only dataclass in its file. Equation numbers (E1 to E13) are those of
models/EQUATIONS.md.
"""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from functools import cache
from typing import Any, ClassVar, Literal

from models.stability.law import Balance

# Of any knob, and of one that may not be 0: so squares, products and quotients stay numbers. Data lie in about [-3, 3].
SMALLEST, LARGEST = 1e-12, 1e12
Part = Literal["law", "cost", "conflicts"]  # of HParams: `balance`, `gradient_evaluations`, `conflicts`


def knob(default: Any, text: str, *, above: float | None = None, low: float | None = None, high: float | None = None,
         below: float | None = None, enters: tuple[Part, ...] = ()) -> Any:
    """A dataclass field with its help text and bounds: above < value < below, low <= value <= high; and what depends
    on it beside training."""
    bounds = {"above": above, "low": low, "high": high, "below": below}
    return field(default=default, metadata={"help": text, "enters": enters,
                                            **{k: v for k, v in bounds.items() if v is not None}})


@dataclass(frozen=True, kw_only=True)
class HParams:
    """The knobs that every method has. Lengths are in units of the data (images lie in [-1, 1])."""

    uses_generator: ClassVar[bool] = False  # whether there is an upsampling network g
    latent_chain: ClassVar[bool] = False  # whether `step_size` and `mcmc_steps` belong to a chain in z

    updates: int = knob(600, "training updates", low=1, enters=("cost",))
    batch_size: int = knob(64, "data points, and chains moved, in one update of one replicate", low=2,
                           enters=("cost", "conflicts"))
    width: int = knob(16, "ConvNet channels w, 2w, 2w, ...; MLP layers 8w, 8w", low=1)
    lr_f: float = knob(2e-3, "Adam's learning rate of the score f", above=0)
    adam_beta1: float = knob(0.5, "Adam's first decay", low=0, below=1)
    adam_beta2: float = knob(0.999, "Adam's second decay", low=0, below=1)
    step_size: float = knob(0.1, "Langevin step size delta (E3)", above=0, enters=("conflicts",))
    mcmc_steps: int = knob(20, "Langevin steps T of one update (E3)", low=1, enters=("cost",))
    temperature: float = knob(1.0, "tau: scales the variance of the Langevin noise (E3)", low=0, enters=("law",))
    negatives_drift: int = knob(0, "noise-free steps after the chain, for the negatives of E4 only", low=0,
                                enters=("law", "cost"))
    data_noise: float = knob(0.0, "standard deviation of Gaussian smoothing of the data", low=0, enters=("law",))
    drift_clip: float | None = knob(None, "bound on the norm of one Langevin step's drift, a particle", above=0)
    grad_clip: float | None = knob(None, "bound on the norm of a replicate's parameter gradient", above=0)
    score_scale: float = knob(1.0, "f is so many times the network's output; a code that descends a grad f with noise "
                              "s has 2a/s^2 at step_size s", above=0)
    spectral_norm: bool = knob(False, "divide every weight of f by its largest singular value", enters=("law",))
    energy_l2: float = knob(0.0, "weight of E f(data)^2 + E f(particles)^2 in the loss of f", low=0, enters=("law",))
    precision: Literal["fp32", "bf16", "fp64"] = knob("fp32", "bf16: the networks while sampling; fp64: everything")

    def __init_subclass__(cls) -> None:
        """A variant states its own balance, or has none: its loss is another one."""
        super().__init_subclass__()
        if "balance" not in vars(cls):
            cls.balance = HParams.balance  # type: ignore[method-assign]

    def balance(self) -> Balance | None:
        """The terms of the stability law (E13) of training with these knobs. None: no prediction. Not inherited."""
        return None

    def gradient_evaluations(self) -> int:
        """Particle-gradient evaluations of one update of one replicate: the currency of equal budgets.

        One evaluation is one backward pass through f (and g before it) for one particle.
        """
        return self.per_particle() * self.batch_size

    def per_particle(self) -> int:
        """Each Langevin or drift step counts 1 a particle, the update of f 1 a data point and 1 a negative."""
        return self.mcmc_steps + self.negatives_drift + 2

    @classmethod
    def conflicts(cls, given: Mapping[str, Any]) -> list[tuple[str, str]]:
        """(knob, message) for values that are fine alone and wrong together. `given`: those that the user gave."""
        return []

    @classmethod
    def entering(cls, part: Part) -> set[str]:
        """The knobs that a part of what the method says of itself depends on."""
        return {f.name for f in fields(cls) if part in f.metadata["enters"]}

    @classmethod
    def now(cls, given: Mapping[str, Any], name: str) -> Any:
        """A knob's value: given, or its default. None for a knob that this method lacks."""
        return given.get(name, getattr(cls, name, None))



def expected(f: Field[Any], hints: dict[str, Any]) -> tuple[tuple[type, ...], tuple[Any, ...], str]:
    """Accepted Python types, accepted literals and a phrase for messages, of one knob."""
    hint = hints[f.name]
    optional = isinstance(hint, types.UnionType)
    if optional:
        hint = next(a for a in typing.get_args(hint) if a is not type(None))
    literals = typing.get_args(hint) if typing.get_origin(hint) is Literal else ()
    kinds: tuple[type, ...] = (str,) if literals else (int, float) if hint is float else (hint,)
    noun = {int: "a whole number", float: "a number", bool: "true or false"}.get(hint, "")
    phrase = "one of " + ", ".join(map(str, literals)) if literals else noun
    phrase += "".join(f" {sign} {f.metadata[key]:.4g}" for key, sign in
                      [("above", ">"), ("low", ">="), ("below", "<"), ("high", "<=")] if key in f.metadata)
    return (*kinds, type(None)) if optional else kinds, literals, phrase + (" or null" if optional else "")


@cache
def _known(hparams: Any, name: str) -> tuple[tuple[type, ...], tuple[Any, ...], str, Mapping[str, Any]]:
    """`expected` of a knob, and its bounds."""
    f = next(f for f in fields(hparams) if f.name == name)
    return *expected(f, typing.get_type_hints(hparams)), f.metadata


def knob_problem(hparams: type[HParams], name: str, value: Any) -> str | None:
    """What is wrong with one knob's value, as `found X, expected Y`, or None."""
    kinds, literals, phrase, b = _known(typing.cast(Any, hparams), name)  # mypy: a class is hashable
    wrong_type = not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)
    if wrong_type or (literals and value not in literals):
        return f"found {value!r}, expected {phrase}"
    if value is None or isinstance(value, str):
        return None
    inside = (math.isfinite(value) and value > b.get("above", -math.inf) and value >= b.get("low", -math.inf)
              and value < b.get("below", math.inf) and value <= b.get("high", math.inf))
    if not inside:
        return f"found {value!r}, expected {phrase}"
    if value > LARGEST or ("above" in b and value < SMALLEST):
        return f"found {value!r}, expected {f'a number >= {SMALLEST:g} and' if 'above' in b else 'one'} <= {LARGEST:g}"
    return None
