"""Where the effective settings of two studies differ: `--diff`. Nothing is trained, or read but the two files."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from study.spec import StudySpec
from study.spec.knobs import Range
from study.spec.model import Arm, fixed_in
from study.spec.problems import SpecError

ABSENT = "-"  # of a knob that a method has not
FEW = 6  # values, of which more are told by their ends


def show_difference(spec: StudySpec, other: StudySpec, file: str, console: Console) -> None:
    """A table for each arm: the knobs in which it differs from the other study's arm of the same name, or from its only
    one. Raises SpecError where there is none."""
    for name, arm in spec.arms.items():
        theirs = other.arms.get(name) or (next(iter(other.arms.values())) if len(other.arms) == 1 else None)
        if theirs is None:
            raise SpecError([f"{file}: found the arms {', '.join(other.arms)}, expected one of {', '.join(spec.arms)}, "
                             "or a single arm, which all are compared with"])
        mine, its = effective(spec, arm), effective(other, theirs)
        rows = [(knob, mine.get(knob, ABSENT), its.get(knob, ABSENT)) for knob in {**mine, **its}]
        differ = [row for row in rows if row[1] != row[2]]
        if not differ:
            console.print(Text(f"arm {name}: as {theirs.name} of {file}"), soft_wrap=True)
            continue
        table = Table(title=f"arm {name} of {spec.study}, and {theirs.name} of {other.study}", title_justify="left")
        for column in ("", spec.study, other.study):
            table.add_column(column, overflow="fold")
        for row in differ:
            table.add_row(*map(Text, row))
        console.print(table)


def effective(spec: StudySpec, arm: Arm) -> dict[str, str]:
    """Every setting of an arm in the words of a spec; of a knob that the study varies all its values. With it stand
    what comparisons between codes need (E1, E3): the noise of a step in each pixel, step_size sqrt(temperature), and
    2a / s^2 of a code that steps by a grad f + s eps: score_scale / temperature."""
    places = [arm.full(values) for values in fixed_in(spec, arm)]
    cells = places[:-1] if spec.search else places  # where what is searched has values
    ranges: dict[str, Range] = dict(spec.search.free[arm.name]) if spec.search else {}
    found = {"method": arm.method, "data": _said([_data(spec.data)])}
    for knob in places[0]:
        fixed = _said([place[knob] for place in (cells if knob in ranges else places)])
        found[knob] = "; searched ".join(filter(None, [fixed, _range(ranges[knob]) if knob in ranges else ""]))
    of = cells or ([] if {"step_size", "temperature", "score_scale"} & ranges.keys() else places)
    noise = [place["step_size"] * math.sqrt(place["temperature"]) for place in of]
    ratio = [place["score_scale"] / place["temperature"] if place["temperature"] else math.inf for place in of]
    return found | ({"noise a pixel": _said(noise), "2a / s^2": _said(ratio)} if of else {})


def _data(data: Mapping[str, Any]) -> str:
    return " ".join(f"{value}" for value in data.values() if isinstance(value, (str, int)))


def _said(values: list[Any]) -> str:
    unlike = list(dict.fromkeys(f"{v:.4g}" if isinstance(v, float) else "null" if v is None else str(v).lower()
                                if isinstance(v, bool) else str(v) for v in values))
    return ", ".join(unlike) if len(unlike) <= FEW else f"{unlike[0]} ... {unlike[-1]} ({len(unlike)} values)"


def _range(found: Range) -> str:
    if found.kind == "choice":
        return " | ".join(map(str, found.choices))
    return f"{found.low:.4g} to {found.high:.4g}" + (" (log)" if found.log else "")
