"""Every knob of every method: name, default, unit, bounds. Imports no torch, so a bad spec is refused at once.

One frozen, keyword-only dataclass a method; a knob is declared here and nowhere else. Equation numbers (E1 to E13)
are those of models/EQUATIONS.md.
"""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from functools import cache
from typing import Any, ClassVar, Literal

# Of any knob, and of one that may not be 0: so squares, products and quotients stay numbers. Data lie in about [-3, 3].
SMALLEST, LARGEST = 1e-12, 1e12


def knob(default: Any, text: str, *, above: float | None = None, low: float | None = None, high: float | None = None,
         below: float | None = None) -> Any:
    """A dataclass field with its help text and bounds: above < value < below, low <= value <= high."""
    bounds = {"above": above, "low": low, "high": high, "below": below}
    return field(default=default, metadata={"help": text, **{k: v for k, v in bounds.items() if v is not None}})


@dataclass(frozen=True, kw_only=True)
class HParams:
    """The knobs that every method has. Lengths are in units of the data (images lie in [-1, 1])."""

    method: ClassVar[str]
    uses_generator: ClassVar[bool] = False  # whether there is an upsampling network g
    latent_chain: ClassVar[bool] = False  # whether `step_size` and `mcmc_steps` belong to a chain in z
    # The balance of the stability law (stability/law.py) that this very method trains to: that of E4, or of E6 with
    # E4's for `flow: kl`. None: it has none, so no limit is predicted. Not inherited: a variant states its own.
    balance: ClassVar[Literal["E4", "E6"] | None] = None

    updates: int = knob(600, "training updates", low=1)
    batch_size: int = knob(64, "data points, and chains moved, in one update of one replicate", low=2)
    width: int = knob(16, "ConvNet channels w, 2w, 2w, ...; MLP layers 8w, 8w", low=1)
    lr_f: float = knob(2e-3, "Adam's learning rate of the score f", above=0)
    adam_beta1: float = knob(0.5, "Adam's first decay", low=0, below=1)
    adam_beta2: float = knob(0.999, "Adam's second decay", low=0, below=1)
    step_size: float = knob(0.1, "Langevin step size delta (E3)", above=0)
    mcmc_steps: int = knob(20, "Langevin steps T of one update (E3)", low=1)
    temperature: float = knob(1.0, "tau: scales the variance of the Langevin noise (E3)", low=0)
    negatives_drift: int = knob(0, "noise-free steps after the chain, for the negatives of E4 only", low=0)
    data_noise: float = knob(0.0, "standard deviation of Gaussian smoothing of the data", low=0)
    drift_clip: float | None = knob(None, "bound on the norm of one Langevin step's drift, a particle", above=0)
    grad_clip: float | None = knob(None, "bound on the norm of a replicate's parameter gradient", above=0)
    score_scale: float = knob(1.0, "f is so many times the network's output; a code that descends a grad f with noise "
                              "s has 2a/s^2 at step_size s", above=0)
    spectral_norm: bool = knob(False, "divide every weight of f by its largest singular value")
    energy_l2: float = knob(0.0, "weight of E f(data)^2 + E f(particles)^2 in the loss of f", low=0)
    precision: Literal["fp32", "bf16", "fp64"] = knob("fp32", "bf16: the networks while sampling; fp64: everything")


@dataclass(frozen=True, kw_only=True)
class _ImageChain(HParams):
    sigma: float = knob(1.0, "standard deviation of the reference N(0, sigma^2 I) (E1)", above=0)


@dataclass(frozen=True, kw_only=True)
class _PersistentPool(HParams):
    particles: int = knob(256, "persistent chains of a replicate; an update moves the next batch_size of them", low=1)
    refresh: float = knob(0.05, "share of the persistent chains that restart from the reference (E2)", low=0, high=1)


@dataclass(frozen=True, kw_only=True)
class _Penalty(HParams):
    jko_weight: float = knob(0.5, "c: the penalty's weight is c * step_size^2 / 2 (E6)", low=0)
    beta: float | None = knob(None, "the penalty's weight itself, instead of jko_weight (E6)", low=0)
    penalty_on: Literal["synthesis", "data", "both", "interpolates"] = knob(
        "synthesis", "where the penalty is taken; data is R1 (E6)")
    penalty_of: Literal["U", "f"] = knob("U", "whose gradient is penalised: the potential's or the score's (E6)")


@dataclass(frozen=True, kw_only=True)
class _Generator(_Penalty):
    uses_generator: ClassVar[bool] = True
    flow: Literal["kl", "jko"] = knob("jko", "the flow that trains f: E4 or E6")
    latent_dim: int = knob(16, "dimension d of the hidden variable z", low=1)
    lr_g: float = knob(1e-3, "Adam's learning rate of the upsampler g; keep it at or below lr_f", above=0)


@dataclass(frozen=True, kw_only=True)
class KL(_ImageChain, _PersistentPool):
    """KL flow (GCN): E1 to E4."""

    method: ClassVar[str] = "kl"
    balance: ClassVar[Literal["E4", "E6"] | None] = "E4"
    chain: Literal["persistent", "noise", "data"] = knob("persistent", "where a chain starts (E2)")


@dataclass(frozen=True, kw_only=True)
class JKO(_Penalty, KL):
    """JKO flow (wGCN): E1 to E3 and E6."""

    method: ClassVar[str] = "jko"
    balance: ClassVar[Literal["E4", "E6"] | None] = "E6"


@dataclass(frozen=True, kw_only=True)
class Hidden(_Generator, _PersistentPool):
    """Hidden-space mapping: Langevin in z (E7, E8), g trained along the potential (E11)."""

    method: ClassVar[str] = "hidden"
    latent_chain: ClassVar[bool] = True
    step_size: float = knob(0.5, "Langevin step size delta of the chain in z (E3)", above=0)
    mcmc_steps: int = knob(5, "Langevin steps T of one update, in z (E3)", low=1)
    chain: Literal["persistent", "noise"] = knob("persistent", "where a chain in z starts (E2)")
    upsampler_loss: Literal["potential", "regression"] = knob("potential", "how g learns: E11 or E10")


@dataclass(frozen=True, kw_only=True)
class Amortized(_Generator, _ImageChain):
    """Amortized sampling: chains start at g(z) (E9), g learns where they end (E10)."""

    method: ClassVar[str] = "amortized"
    balance: ClassVar[Literal["E4", "E6"] | None] = "E6"
    step_size: float = knob(0.2, "Langevin step size delta (E3)", above=0)
    mcmc_steps: int = knob(5, "Langevin steps T of one update, from g(z) (E3, E9)", low=1)
    upsampler_loss: Literal["potential", "regression"] = knob("regression", "how g learns: E11 or E10")


@dataclass(frozen=True, kw_only=True)
class GGCN(_Generator, _ImageChain, _PersistentPool):
    """The union: a chain in z, then a chain in x from g(z_T) (E12)."""

    method: ClassVar[str] = "ggcn"
    step_size: float = knob(0.2, "Langevin step size delta of the chain in x (E3)", above=0)
    mcmc_steps: int = knob(5, "Langevin steps T of one update, in x from g(z_T) (E3)", low=1)
    lr_g: float = knob(3e-4, "Adam's learning rate of the upsampler g; keep it well below lr_f", above=0)
    chain: Literal["persistent", "noise"] = knob("persistent", "where the chain in z starts (E2)")
    latent_steps: int = knob(5, "Langevin steps in z", low=1)
    latent_step_size: float = knob(0.3, "step size of the chain in z; the reference alone needs < sqrt 2", above=0,
                                   below=math.sqrt(2))
    upsampler_loss: Literal["potential", "regression"] = knob("regression", "how g learns: E11 or E10")


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


def combination_problems(hparams: type[HParams], values: dict[str, Any]) -> list[tuple[str, str]]:
    """(knob, message) for values that are fine alone and wrong together. `values` holds what the user gave."""
    def get(name: str) -> Any:
        return values.get(name, getattr(hparams, name, None))

    found = []
    sigma = 1.0 if hparams.latent_chain else get("sigma")
    if get("step_size") >= 2 * sigma:
        found.append(("step_size", f"{get('step_size')!r} >= 2 sigma = {2 * sigma:g}: the reference alone breaks the "
                                   "chain; take a smaller step_size"))
    if values.get("beta") is not None and "jko_weight" in values:
        found.append(("beta", "beta and jko_weight both set the penalty's weight; give one"))
    if get("flow") == "kl":
        for name in ("jko_weight", "beta", "penalty_on", "penalty_of"):
            if name in values:
                found.append((name, "has no effect with flow: kl; remove it or take flow: jko"))
    elif get("beta") == 0 or (get("beta") is None and get("jko_weight") == 0):
        found += [(name, "has no effect where the penalty's weight is 0") for name in ("penalty_on", "penalty_of")
                  if name in values]
    if hparams.latent_chain and get("penalty_on") != "synthesis":
        found.append(("penalty_on", f"found {get('penalty_on')!r}, expected synthesis: data have no z in `hidden`"))
    if get("chain") == "persistent" and get("particles") < get("batch_size"):
        found.append(("particles", f"found {get('particles')}, expected at least batch_size = {get('batch_size')}"))
    if get("chain") not in (None, "persistent"):
        for name in ("particles", "refresh"):
            if name in values:
                found.append((name, f"has no effect with chain: {get('chain')}; only persistent chains have a pool"))
    return found


def gradient_evaluations(hp: HParams) -> int:
    """Particle-gradient evaluations of one update of one replicate: the currency of equal budgets.

    One evaluation is one backward pass through f (and g before it) for one particle. Each Langevin or drift step
    counts 1 a particle, the update of f 1 a data point and 1 a negative, the penalty's double backward 3 a point
    (`both` has two points), the update of g 1 a particle.
    """
    latent = hp.latent_steps if isinstance(hp, GGCN) else 0
    per_particle = hp.mcmc_steps + latent + hp.negatives_drift + 2
    penalised = isinstance(hp, _Penalty) and getattr(hp, "flow", "jko") == "jko"
    if isinstance(hp, _Penalty) and penalised and (hp.jko_weight if hp.beta is None else hp.beta):
        per_particle += 6 if hp.penalty_on == "both" else 3
    if hp.uses_generator:
        per_particle += 1
    return per_particle * hp.batch_size
