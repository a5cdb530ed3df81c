"""Strategies for good specs, as trees: every method, knob, sampler, objective, data set; knobs at every place.

What may be said is read from models.methods.hparams and study.spec; only the rules about combinations are said here
again, in another way: a value is drawn so that it is right, where the checks look whether it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from models.data.datasets import DATASETS
from models.knobs import LARGEST, SMALLEST
from study.schema.columns import KAPPA
from study.spec.check_search import SAMPLERS
from study.spec.knobs import ALL_KNOBS, KNOBS, METHODS, _hint
from study.spec.objectives import measures

Tree = dict[str, Any]
PENALTY = ("jko_weight", "beta", "penalty_on", "penalty_of")
POOL = ("particles", "refresh")
LEANING = ("posterior_steps", "posterior_step_size", "posterior_sd", "pretrain", "slow_g", "bank",
           "widths_g", "warmup", "micro_batch", "budget")  # on other knobs
COLD = {"temperature", "temperature_end"}  # of which the first may be 0 where the other is not said
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn", "Co")), max_size=30)
MAYBE: SearchStrategy[bool] = st.booleans()


@dataclass
class Limits:
    """What one spec keeps to, so that any of its values goes with any other."""

    methods: set[str]
    scale: float  # step_size < 2 sigma: steps lie below 1.9 x scale, sigma above scale
    batch: int  # batch_size <= batch <= particles
    pool: bool  # all chains persistent; else none of POOL is said
    penalty: str  # weight, beta, zero or none: which of PENALTY may be said
    plane: bool  # points, of which some knobs say nothing
    taken: dict[str, set[str]] = field(default_factory=dict)  # knob -> its places


def bounds_of(method: str, knob: str) -> dict[str, float]:
    """A number's bounds, in the words of models.methods.hparams.knob."""
    declared = next(f for f in fields(METHODS[method]) if f.name == knob).metadata
    return {k: v for k, v in declared.items() if k not in ("help", "enters")}


def value(limits: Limits, knob: str, methods: set[str]) -> SearchStrategy[Any]:
    """Any value that all `methods` take for a knob."""
    hints = [_hint(knob, method) for method in sorted(methods)]
    kinds = hints[0][0]
    if knob == "chain" and limits.pool:
        return st.just("persistent")
    if knob == "penalty_on" and "hidden" in methods:
        return st.just("synthesis")
    if knob == "flow" and limits.penalty != "none":
        return st.just("jko")
    if knob == "network":
        return st.sampled_from([None, "mlp"])  # a ConvNet needs images
    if words := set.intersection(*(set(words) for _, words in hints)):
        return st.sampled_from(sorted(words))
    if bool in kinds:
        return st.booleans()
    numbers = whole(limits, knob, bounds_of(min(methods), knob)) if float not in kinds else real(
        limits, knob, bounds_of(min(methods), knob))
    return numbers | st.none() if type(None) in kinds and knob != "beta" else numbers


def whole(limits: Limits, knob: str, bounds: dict[str, float]) -> SearchStrategy[int]:
    low, high = int(bounds["low"]), int(bounds.get("high", LARGEST))
    if knob == "batch_size":
        high = limits.batch
    if knob == "particles":
        low = limits.batch
    return st.integers(low, min(high, low + 40)) | st.integers(low, high) | st.sampled_from([low, high])


def real(limits: Limits, knob: str, bounds: dict[str, float]) -> SearchStrategy[float]:
    low, high = bounds.get("low", SMALLEST), bounds.get("high", bounds.get("below", LARGEST))
    if knob in ("step_size", "step_size_end"):
        high = 1.9 * limits.scale
    if knob == "ema":
        high = 0.99  # of an update, of which there is one at least
    if knob == "sigma":
        low = limits.scale
    if "below" in bounds:
        high = math.nextafter(high, 0.0)
    if knob in PENALTY and limits.penalty != "zero":
        low = SMALLEST
    inside = st.floats(low, high) | st.sampled_from([low, high])
    if low <= 1 <= high:
        inside |= st.just(1) | st.floats(low, 1).map(lambda x: float(f"{x:.3g}")).filter(lambda x: x >= low)
    return inside | st.just(0) if low == 0 else inside


def usable(limits: Limits, knob: str, methods: set[str]) -> bool:
    """Whether a knob may be said of these methods under these limits."""
    if any(knob not in KNOBS[method] for method in methods) or (knob in POOL and not limits.pool):
        return False
    if knob == "sigma" and limits.scale < 0.5 and "step_size" not in limits.taken:
        return False
    if knob in LEANING or (knob in COLD and (COLD - {knob}) & limits.taken.keys()):
        return False
    if limits.plane and any(METHODS[method].shape_conflicts({knob: ...}, (2,)) for method in methods):
        return False
    allowed = {"weight": {"jko_weight", "penalty_on", "penalty_of"}, "beta": {"beta", "penalty_on", "penalty_of"},
               "zero": {"jko_weight"}, "none": set()}[limits.penalty]
    return knob not in PENALTY or knob in allowed


@st.composite
def levels(draw: DrawFn, limits: Limits, knob: str, methods: set[str], most: int = 3) -> Any:
    """A value or a list of different ones."""
    one = value(limits, knob, methods)
    return draw(one | st.lists(one, min_size=1, max_size=most, unique_by=lambda v: _as_read(knob, methods, v)))


@st.composite
def freed(draw: DrawFn, limits: Limits, knob: str, methods: set[str]) -> Any:
    """A value, a choice or an interval in any of its forms."""
    one = value(limits, knob, methods)
    kinds, words = _hint(knob, min(methods))
    distinct = st.lists(one, min_size=1, max_size=3, unique_by=lambda v: _as_read(knob, methods, v))
    ways = [one, distinct.map(lambda values: {"choice": values})]
    if not words and bool not in kinds:
        number = one.filter(lambda v: v is not None)
        ends = st.tuples(number, number).map(sorted).filter(lambda e: e[0] < e[1])
        ways += [ends.map(lambda e: {"low": e[0], "high": e[1]}),
                 ends.filter(lambda e: e[0] > 0).map(lambda e: {"log": e})]
        ways += [ends.map(lambda e: {"float": e})] if float in kinds else []
        whole_ends = ends.filter(lambda e: all(type(x) is int for x in e))
        ways += [whole_ends.map(lambda e: {"int": e})] if float not in kinds else []
    return draw(st.one_of(ways))


def _as_read(knob: str, methods: set[str], v: Any) -> tuple[type, Any]:
    return (float, float(v)) if float in _hint(knob, min(methods))[0] and v is not None else (type(v), v)


@st.composite
def section(draw: DrawFn, limits: Limits, arms: dict[str, str], place: str) -> Tree:
    """Knobs, shared and in branches by method or arm."""
    found: Tree = {}
    branches = ["", *dict.fromkeys([*arms.values(), *arms])]
    for knob in draw(st.lists(st.sampled_from(ALL_KNOBS), max_size=6, unique=True)):
        others = limits.taken.get(knob, set()) - {place}
        if "entry" in others or (others and place == "entry"):
            continue  # a phase may not undo what makes an arm
        branch = draw(st.sampled_from(branches))
        methods = set(arms.values()) if not branch else {arms.get(branch, branch)}
        if not usable(limits, knob, methods):
            continue
        inner = found.setdefault(branch, {}) if branch else found
        if place == "train":
            inner[knob] = draw(value(limits, knob, methods))
        else:
            inner[knob] = draw((levels if place == "design" else freed)(limits, knob, methods))
        limits.taken.setdefault(knob, set()).add(place)
    return found


@st.composite
def zipped(draw: DrawFn, limits: Limits, design: Tree, methods: set[str]) -> Tree:
    """Two or three shared knobs with lists of one length, that nothing else in the design says."""
    said = set(design).union(*(branch for branch in design.values() if isinstance(branch, dict)))
    free = [k for k in ALL_KNOBS if k not in said and usable(limits, k, methods)
            and "entry" not in limits.taken.get(k, set()) and not set(_hint(k, min(methods))[1])
            and bool not in _hint(k, min(methods))[0]]
    size = draw(st.integers(1, 3))
    pair: Tree = {}
    for knob in draw(st.lists(st.sampled_from(free), min_size=2, max_size=3, unique=True).filter(
            lambda knobs: not set(knobs) >= COLD)):
        pair[knob] = draw(st.lists(value(limits, knob, methods), min_size=size, max_size=size,
                                   unique_by=lambda v, knob=knob: _as_read(knob, methods, v)))  # type: ignore[misc]
        limits.taken.setdefault(knob, set()).add("design")
    return pair


@st.composite
def searches(draw: DrawFn, limits: Limits, arms: dict[str, str], data: str, samples: int, space: Tree) -> Tree:
    """The search section, from the space that was drawn for it."""
    named = [m for m in measures(data, samples) if m.needs <= samples
             and not (m.needs_density and any(METHODS[method].latent_chain for method in arms.values()))]
    chosen = draw(st.lists(st.sampled_from(named), min_size=1, max_size=3, unique=True))
    words = [draw(st.sampled_from([m.name, m.family])) for m in chosen]
    ways = [m.direction for m in chosen]
    found: Tree = {"objective": words if len(words) > 1 or draw(MAYBE) else words[0]}
    if len(chosen) == 1 and not chosen[0].at_end_only and draw(MAYBE):
        found["prune"] = draw(st.sampled_from(["successive_halving", None]))
    stand_in = st.just("reference") | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-9, 9)
    several = st.lists(stand_in, min_size=len(words), max_size=len(words))
    optional: dict[str, SearchStrategy[Any]] = {
        "sampler": st.sampled_from(SAMPLERS), "trials": st.integers(1, 40), "replicates": st.integers(1, 1000),
        "direction": st.sampled_from([ways, *([ways[0]] if len(set(ways)) == 1 else [])]),
        "constraints": st.dictionaries(st.sampled_from([KAPPA, *(m.name for m in named)]), st.floats(-9, 9),
                                       max_size=3),
        "diverged_value": several | st.just("reference") | (stand_in if len(words) == 1 else several)}
    found |= draw(st.fixed_dictionaries({}, optional=optional))
    bare: bool = draw(MAYBE)
    return {**found, "space": space} if space or bare else found


@st.composite
def arms_of(draw: DrawFn) -> tuple[Tree, dict[str, str], str]:
    """`method` or `arms` as a tree, arm -> method, and the knob that tells arms of one method apart, or ""."""
    if draw(MAYBE):
        chosen = draw(st.lists(st.sampled_from(sorted(METHODS)), min_size=1, max_size=3, unique=True))
        return {"method": chosen if len(chosen) > 1 or draw(MAYBE) else chosen[0]}, {m: m for m in chosen}, ""
    letters = "abcXYZ019"
    name = st.text(letters + "+._=-", min_size=1, max_size=12).filter(
        lambda s: s[0] in letters) | st.sampled_from(["no", "null", "1e3", "0x10", "2024-01-31", "kl.x", "1.5"])
    names = draw(st.lists(name | st.sampled_from(sorted(METHODS)), min_size=1, max_size=4, unique=True))
    arms = {n: n if n in METHODS else draw(st.sampled_from(sorted(METHODS))) for n in names}
    apart = draw(st.sampled_from(["lr_f", "adam_beta1", "width", "updates", "data_noise"]))
    entries: Tree = {}
    for i, (n, method) in enumerate(arms.items()):
        entry: Tree = {apart: (i + 1) / 8 if apart in ("lr_f", "adam_beta1", "data_noise") else i + 1}
        entries[n] = entry if n == method and draw(MAYBE) else {"method": method, **entry}
    return {"arms": entries}, arms, apart


@st.composite
def trees(draw: DrawFn, sets: tuple[str, ...] = tuple(DATASETS), cpu: float = 64.0) -> Tree:
    """A whole good spec. sets: the data sets to choose from; cpu: the most a unit may ask for."""
    data = draw(st.sampled_from(sets))
    said: bool = draw(MAYBE)
    size = draw(st.sampled_from(DATASETS[data].sizes)) if DATASETS[data].sizes and said else None
    head, arms, apart = draw(arms_of())
    scale = draw(st.sampled_from([0.5, 0.5, 1.0, 0.05, 1e-11, 1e11]))
    if set(arms.values()) & {"hidden"} and scale > 1:
        scale = 1.0  # its reference has sigma 1
    limits = Limits(set(arms.values()), scale, draw(st.sampled_from([64, 64, 2, 20, 256, 10**6])), draw(MAYBE),
                    draw(st.sampled_from(["weight", "beta", "zero", "none"])), DATASETS[data].density,
                    {apart: {"entry"}} if apart else {})
    must: Tree = {}
    if scale != 0.5:
        must["step_size"] = draw(value(limits, "step_size", limits.methods))
        limits.taken["step_size"] = {"train"}
    if scale > 1:  # a sigma for those that have one, so that larger steps are right
        limits.taken["sigma"] = {"train"}
    if limits.batch < 64:
        must["batch_size"] = draw(value(limits, "batch_size", limits.methods))
        limits.taken["batch_size"] = {"train"}
    pooled = {method for method in arms.values() if "particles" in KNOBS[method]}
    if limits.batch > 256 and pooled and limits.pool:
        limits.taken["particles"] = {"train"}
    elif not limits.pool:
        limits.batch = min(limits.batch, 256)  # of chains that may be persistent, at the default
    train = {**draw(section(limits, arms, "train")), **must}
    for method in sorted(set(arms.values())):
        for knob, needed in (("sigma", scale > 1), ("particles", limits.batch > 256 and limits.pool)):
            if needed and knob in KNOBS[method]:
                branch = train.setdefault(method, {})
                branch.setdefault(knob, draw(value(limits, knob, {method})))
    if draw(MAYBE) and "arms" in head:
        for arm, entry in head["arms"].items():
            knob = draw(st.sampled_from(ALL_KNOBS))
            if usable(limits, knob, {arms[arm]}) and not limits.taken.get(knob, set()) - {"entry"}:
                entry.setdefault(knob, draw(value(limits, knob, {arms[arm]})))
                limits.taken.setdefault(knob, set()).add("entry")
    found: Tree = {"study": draw(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)),
                   "data": data if size is None and draw(MAYBE) else {"name": data} | (
                       {"size": size} if size else {}), **head}
    if train or said:
        found["train"] = train
    phases = draw(st.sampled_from([("design",), ("search",), ("design", "search")]))
    cells = math.inf
    if "design" in phases:
        design = draw(section(limits, arms, "design"))
        if draw(st.integers(0, 3)) == 0:
            design["zip"] = draw(zipped(limits, design, limits.methods))
        design |= draw(st.fixed_dictionaries({}, optional={"replicates": st.integers(1, 1000)}))
        found["design"] = design
    space = draw(section(limits, arms, "search")) if "search" in phases else {}
    confirmed = draw(MAYBE)
    split = draw(st.sampled_from(["train", "search", "confirm"]))
    room = min([getattr(DATASETS[data], s) for s in ({split, "confirm"} if confirmed else {split})])
    least = min([room, 256, limits.batch])
    samples = draw(st.integers(2, least)) if least > 2 else 2
    found["evaluation"] = {"split": split, "samples": samples, **draw(st.fixed_dictionaries(
        {}, optional={"points": st.integers(1, 10**6), "long_run": st.integers(1, 10**6),
                      "ais_steps": st.integers(0, 10**5)}))}
    if "search" in phases:
        found["search"] = draw(searches(limits, arms, data, samples, space))
        cells = found["search"].get("trials", 16)
    if confirmed:
        top = draw(st.integers(1, int(cells))) if cells < math.inf else 1
        found["confirm"] = {"top": top, **draw(st.fixed_dictionaries({}, optional={
            "replicates": st.integers(1, 1000), "exchange": st.integers(0, top if "search" in phases else 0)}))}
    share, gpus = st.floats(0.01, cpu) | st.just(1), st.just("auto") | st.floats(0.0001, 1) | st.integers(0, 8)
    return found | draw(st.fixed_dictionaries({}, optional={
        "question": TEXT | st.sampled_from(["yes", "null", "1e3", "2024-01-31", "# no", "a: b", "\tx"]),
        "seed": st.integers(0, 2**31), "baseline": st.sampled_from(list(arms)),
        "resources": st.fixed_dictionaries({}, optional={"cpu": share, "gpu": gpus})}))


