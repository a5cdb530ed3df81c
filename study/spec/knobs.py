"""One knob in a spec: whether its method has it, and its fixed value, levels or range."""

from __future__ import annotations

import math
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

from models import registry
from models.knobs import expected, knob_problem
from models.methods.hparams import HParams
from models.methods.method import knobs_of
from study.spec.problems import Path, nearest
from study.spec.written import as_number

Report = Callable[[Path, str], None]


WITH = " with network "


def with_network(method: str, network: Any) -> str:
    """The key in METHODS of a method with this network: the method's own where the network states no knobs."""
    try:
        own = isinstance(network, str) and knobs_of(method, network) is not knobs_of(method)
    except registry.FindError:  # said where the knob `network` is checked
        own = False
    return f"{method}{WITH}{network}" if own else method


class _Methods(dict[str, type[HParams]]):
    """Method -> the class of its knobs. Holds the built-in ones; `package.module:Name` is looked up, and so is either
    `with_network`."""

    def __missing__(self, key: str) -> type[HParams]:
        method, _, network = key.partition(WITH)
        return knobs_of(method, network or None)


def names_of(knobs: Any) -> tuple[str, ...]:
    """Those of a dataclass of knobs; none of None."""
    return tuple(f.name for f in fields(knobs)) if knobs else ()


class _Knobs(dict[str, tuple[str, ...]]):
    """Method -> the names of its knobs."""

    def __missing__(self, name: str) -> tuple[str, ...]:
        return names_of(METHODS[name])


METHODS = _Methods({name: registry.find("method", name).Knobs for name in registry.METHODS})
KNOBS = _Knobs({name: names_of(cls) for name, cls in METHODS.items()})
ALL_KNOBS: tuple[str, ...] = tuple(dict.fromkeys(knob for knobs in KNOBS.values() for knob in knobs))


def hparams(method: str, knobs: Mapping[str, Any]) -> HParams:
    """These knobs of a method, and of the network that they name; the others at their defaults."""
    return METHODS[with_network(method, knobs.get("network"))](**knobs)


def idle(method: str, knobs: Mapping[str, Any]) -> set[str]:
    """Those that others switch off, such as jko_weight by `flow: kl`."""
    kind = METHODS[with_network(method, knobs.get("network"))]
    return {knob for knob, why in kind.conflicts(knobs) if why.startswith("has no effect")}


def is_number(value: Any) -> bool:
    """Whether a value is a finite number, and not a truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


@dataclass(frozen=True)
class Range:
    """The values among which a sampler chooses: `choices`, or low <= value <= high."""

    kind: str  # float, int or choice
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    choices: tuple[Any, ...] = ()

    def corners(self) -> tuple[Any, ...]:
        """Both ends; of choices the least and the largest number, and every one that is no number."""
        if self.kind != "choice":
            return self.low, self.high
        numbers = [choice for choice in self.choices if is_number(choice)]
        others = tuple(choice for choice in self.choices if not is_number(choice))
        return tuple(dict.fromkeys([min(numbers), max(numbers)])) + others if numbers else others

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        if self.kind == "choice":
            return {"choice": list(self.choices)}
        return {self.kind: [self.low, self.high], "log": self.log}


def missing(knob: str, method: str, others: Iterable[str]) -> str | None:
    """Why `method` has no such knob, given that some method has it, be it one of `others`; or None."""
    if knob in KNOBS[method]:
        return None
    return (f"knob {knob!r} does not exist in method {method}; it exists in "
            + ", ".join(m for m in dict.fromkeys([*KNOBS, *others]) if knob in KNOBS[m]))


def value_problem(method: str, knob: str, value: Any) -> str | None:
    """What is wrong with one value, as `found X, expected Y`, with the nearest word; or None."""
    problem = knob_problem(METHODS[method], knob, value)
    if problem is None:
        return None
    kinds, words = _hint(knob, method)
    near = nearest(value, words) if words and isinstance(value, str) else None
    if near:
        return f"{problem}; did you mean {near}?"
    return problem + (as_number(value, whole=float not in kinds) if int in kinds else "")


def coerce(method: str, knob: str, value: Any) -> Any:
    """A valid value as the knob's own type: 1 -> 1.0 where the knob is a float, so that both hash alike."""
    kinds = _hint(knob, method)[0]
    return float(value) + 0.0 if float in kinds and isinstance(value, int | float) else value


def read_value(methods: Iterable[str], knob: str, path: Path, raw: Any, report: Report) -> Any:
    """One fixed value, checked against each method; None stands for a bad one too, once `report` was called."""
    if isinstance(raw, dict | list):
        report(path, f"found {'a mapping' if isinstance(raw, dict) else 'a list'}, expected one value")
        return None
    methods = list(methods)
    problems = {method: problem for method in methods if (problem := value_problem(method, knob, raw))}
    if problems:
        method, problem = next(iter(problems.items()))
        partly = f" in method {method}; move it into a branch" if len(problems) < len(methods) else ""
        report(path, problem + partly)
        return None
    return coerce(methods[0], knob, raw)


def read_levels(methods: Iterable[str], knob: str, path: Path, raw: Any, report: Report, *,
                paired: bool = False) -> tuple[Any, ...]:
    """The levels of a factor of the design: a list, or one fixed value. () after a report. paired: in a `zip`, where a
    level may come again beside another one."""
    if isinstance(raw, dict):
        report(path, "found a mapping, expected a list of levels or one value; ranges belong to search.space")
        return ()
    return _distinct(methods, knob, path, raw if isinstance(raw, list) else [raw], report,
                     lambda i: (*path, i) if isinstance(raw, list) else path, again=paired)


def read_range(methods: Iterable[str], knob: str, path: Path, raw: Any, report: Report) -> Range | tuple[Any] | None:
    """A Range, a fixed value as a 1-tuple, or None after a report."""
    if isinstance(raw, list):
        report(path, f"found a list, expected a value, {{choice: {raw}}} or {{float: [low, high]}}")
        return None
    if not isinstance(raw, dict):
        fixed = _distinct(methods, knob, path, [raw], report, lambda i: path)
        return (fixed[0],) if fixed else None
    if set(raw) == {"choice"}:
        if not isinstance(raw["choice"], list):
            report((*path, "choice"), f"found {raw['choice']!r}, expected a list of values")
            return None
        choices = _distinct(methods, knob, (*path, "choice"), raw["choice"], report, lambda i: (*path, "choice", i))
        return Range("choice", choices=choices) if choices else None
    return _read_interval(list(methods), knob, path, raw, report)


def _distinct(methods: Iterable[str], knob: str, path: Path, raw: list[Any], report: Report,
              place: Callable[[int], Path], again: bool = False) -> tuple[Any, ...]:
    problems = 0

    def count(where: Path, message: str) -> None:
        nonlocal problems
        problems += 1
        report(where, message)

    if not raw:
        count(path, "found an empty list, expected at least one value")
    values: list[tuple[type, Any]] = []
    for i, item in enumerate(raw):
        before = problems
        value = read_value(methods, knob, place(i), item, count)
        if problems == before and (type(value), value) in values and not again:
            count(place(i), f"{value!r} stands twice in the list")
        values.append((type(value), value))
    return () if problems else tuple(value for _, value in values)


def _read_interval(methods: list[str], knob: str, path: Path, raw: dict[str, Any], report: Report) -> Range | None:
    kinds = _hint(knob, methods[0])[0]
    form = next((word for word in ("log", "int", "float") if set(raw) == {word}), None)
    if form is None and set(raw) != {"low", "high"}:
        report(path, f"found the keys {', '.join(raw) or '(none)'}, expected one of {{low: a, high: b}}, "
                     "{log: [a, b]}, {int: [a, b]}, {float: [a, b]}, {choice: [...]}")
        return None
    ends = [raw["low"], raw["high"]] if form is None else raw[form]
    places: list[Path] = [(*path, "low"), (*path, "high")] if form is None else [(*path, form, 0), (*path, form, 1)]
    where = path if form is None else (*path, form)
    whole = int in kinds and float not in kinds
    if bool in kinds or str in kinds:
        report(where, f"{knob} has no order, expected {{choice: [...]}}")
    elif not isinstance(ends, list) or len(ends) != 2:
        report(where, f"found {ends!r}, expected two numbers [low, high]")
    elif whole and form == "float":
        report(where, f"{knob} is a whole number, expected {{int: [low, high]}}")
    elif form == "log" and (bad := [e for e in ends if is_number(e) and e <= 0]):
        report(where, f"found {bad[0]!r}, expected numbers > 0: it has no logarithm")
    else:
        bad_ends = [(place, problem) for place, end in zip(places, ends, strict=True)
                    if (problem := _end_problem(methods, knob, form, end))]
        for place, problem in bad_ends:
            report(place, problem)
        if not bad_ends and ends[0] >= ends[1]:
            report(where, f"found low {ends[0]!r} >= high {ends[1]!r}, expected low < high")
        elif not bad_ends:
            kind = "int" if whole or form == "int" else "float"
            low, high = (ends if kind == "int" else map(float, ends))
            return Range(kind, low, high, log=form == "log")
    return None


def _end_problem(methods: list[str], knob: str, form: str | None, end: Any) -> str | None:
    if form == "int" and not (isinstance(end, int) and not isinstance(end, bool)):
        return f"found {end!r}, expected a whole number"
    if end is None:
        return "found None, expected a number"
    return next((problem for method in methods if (problem := value_problem(method, knob, end))), None)


def _hint(knob: str, method: str) -> tuple[tuple[type, ...], tuple[Any, ...]]:
    """Accepted types and words of a knob."""
    return _hint_of(typing.cast(Any, METHODS[method]), knob)  # mypy: a class is hashable


@cache
def _hint_of(cls: Any, knob: str) -> tuple[tuple[type, ...], tuple[Any, ...]]:
    field = next(f for f in fields(cls) if f.name == knob)
    return expected(field, typing.get_type_hints(cls))[:2]
