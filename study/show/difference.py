"""Where the effective settings of two studies differ: `--diff`. Nothing is trained, or read but the two files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from study.plan.codes import in_codes, said
from study.spec import StudySpec
from study.spec.knobs import Range
from study.spec.model import Arm, fixed_in
from study.spec.problems import SpecError

ABSENT = "-"  # of a knob that a method has not


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
    """Every setting of an arm in the words of a spec, and what codes are compared by (`in_codes`); of a knob that the
    study varies all its values."""
    places = [arm.said(values) for values in fixed_in(spec, arm)]
    cells = places[:-1] if spec.search else places  # where what is searched has values
    ranges: dict[str, Range] = dict(spec.search.free[arm.name]) if spec.search else {}
    found = {"method": arm.method, "data": said([_data(spec.data)])}
    for knob in dict.fromkeys(knob for place in places for knob in place):
        fixed = said(place[knob] for place in (cells if knob in ranges else places) if knob in place)
        found[knob] = "; searched ".join(filter(None, [fixed, _range(ranges[knob]) if knob in ranges else ""]))
    return found | in_codes(spec, arm)


def _data(data: Mapping[str, Any]) -> str:
    return " ".join(f"{value}" for value in data.values() if isinstance(value, (str, int)))


def _range(found: Range) -> str:
    if found.kind == "choice":
        return " | ".join(map(str, found.choices))
    return f"{found.low:.4g} to {found.high:.4g}" + (" (log)" if found.log else "")
