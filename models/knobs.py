"""What a knob is: name, default, unit, bounds, and what it enters. Imports no torch, so a bad spec is refused at once.

Knobs of one thing are a frozen, keyword-only dataclass in its file.
"""

from __future__ import annotations

import math
import re
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import Field, field, fields
from functools import cache
from typing import Any, Literal

from models.registry import TABLES, FindError, find

# Of any knob, and of one that may not be 0: so squares, products and quotients stay numbers. Data lie in about [-3, 3].
SMALLEST, LARGEST = 1e-12, 1e12
LIST = re.compile(r"[1-9][0-9]{0,4}(-[1-9][0-9]{0,4})*")  # of whole numbers, as one word
# Of a method: `balance`, `gradients_until`, `conflicts`; updates: at another value than its default it depends on
# how many there are, so that a longer training begins otherwise.
Part = Literal["law", "cost", "conflicts", "updates"]


class Knobs:
    """What a dataclass of knobs says of values that are fine alone and wrong together; the same of a network's own."""

    @classmethod
    def shape_conflicts(cls, given: Mapping[str, Any], shape: Sequence[int]) -> list[tuple[str, str]]:
        """(knob, message) for values that data of this shape, (C, H, W) or (dim,), have no use for."""
        return [] if len(shape) > 1 else [
            (f.name, f"has no effect in the plane: {f.metadata['plane']}") for f in fields(typing.cast(Any, cls))
            if "plane" in f.metadata and given.get(f.name, f.default) != f.default]


def knob(default: Any, text: str, *, above: float | None = None, low: float | None = None, high: float | None = None,
         below: float | None = None, names: str | None = None, like: str | None = None, plane: str | None = None,
         enters: tuple[Part, ...] = (), source: str | None = None) -> Any:
    """A dataclass field with its help text and bounds: above < value < below, low <= value <= high.

    names: the kind of thing (models.registry) that its words name. like: an example of a LIST, which is what it takes.
    plane: why points in the plane have no use for it. enters: what depends on it beside training. source: whose it is,
    shown in the place of the presets that set it.
    """
    said = {"above": above, "low": low, "high": high, "below": below, "names": names, "like": like,
            "plane": plane, "source": source}
    return field(default=default, metadata={"help": text, "enters": enters,
                                            **{k: v for k, v in said.items() if v is not None}})


def expected(f: Field[Any], hints: dict[str, Any]) -> tuple[tuple[type, ...], tuple[Any, ...], str]:
    """Accepted Python types, accepted literals and a phrase for messages, of one knob."""
    hint = hints[f.name]
    optional = isinstance(hint, types.UnionType)
    if optional:
        hint = next(a for a in typing.get_args(hint) if a is not type(None))
    kind = f.metadata.get("names")
    literals = tuple(TABLES[kind]) if kind else typing.get_args(hint) if typing.get_origin(hint) is Literal else ()
    kinds: tuple[type, ...] = (str,) if literals else (int, float) if hint is float else (hint,)
    noun = {int: "a whole number", float: "a number", bool: "true or false"}.get(hint, "")
    if like := f.metadata.get("like"):
        noun = f'text such as "{like}"'
    phrase = "one of " + ", ".join(map(str, literals)) if literals else noun
    phrase += ", package.module:Name" if kind else ""
    phrase += "".join(f" {sign} {f.metadata[key]:.4g}" for key, sign in
                      [("above", ">"), ("low", ">="), ("below", "<"), ("high", "<=")] if key in f.metadata)
    return (*kinds, type(None)) if optional else kinds, literals, phrase + (" or null" if optional else "")


@cache
def _known(knobs: Any, name: str) -> tuple[tuple[type, ...], tuple[Any, ...], str, Mapping[str, Any]]:
    """`expected` of a knob, and its bounds."""
    f = next(f for f in fields(knobs) if f.name == name)
    return *expected(f, typing.get_type_hints(knobs)), f.metadata


def knob_problem(knobs: type, name: str, value: Any) -> str | None:
    """What is wrong with one knob's value, as `found X, expected Y`, or None."""
    kinds, literals, phrase, b = _known(typing.cast(Any, knobs), name)  # mypy: a class is hashable
    if "names" in b and isinstance(value, str) and ":" in value:
        return _lost(b["names"], value)
    wrong_type = not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)
    if wrong_type or (literals and value is not None and value not in literals):
        return f"found {value!r}, expected {phrase}" + "; did you mean none?" * (value is None and "none" in literals)
    if "like" in b and isinstance(value, str) and not LIST.fullmatch(value):
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


def _lost(kind: str, name: str) -> str | None:
    try:
        find(kind, name)
    except FindError as problem:
        return str(problem)
    return None
