"""docs/knobs.md from the knobs as declared:  python -m study.spec.knobs_page > docs/knobs.md"""

from __future__ import annotations

import typing
from collections.abc import Mapping
from dataclasses import fields

from models.knobs import expected
from models.networks.choice import own_knobs
from models.registry import NETWORKS
from study.spec.knobs import ALL_KNOBS, METHODS, names_of

HEAD = """\
# The knobs

Made from the files of `models/methods/`, and `models/networks/knobs.py`, by
`python -m study.spec.knobs_page > docs/knobs.md`. A knob stands in `train`, `design`, `search.space` or an arm of a
study's file ([spec.md](spec.md)), one of a network where that is named. E1 to E15 are the equations of
`models/EQUATIONS.md`. Lengths are in units of the data: images lie in [-1, 1].

| knob | of which method, or network | default | allowed | what |
|---|---|---|---|---|
"""


def page() -> str:
    """A row a knob; where methods differ in what it means, a row each meaning. Last those of a network."""
    methods: dict[str, type] = dict(METHODS)
    networks: dict[str, type] = {f"network: {name}": own for name in NETWORKS if (own := own_knobs(name))}
    own = dict.fromkeys(knob for knobs in networks.values() for knob in names_of(knobs))
    return HEAD + "".join([*(row for knob in ALL_KNOBS for row in _rows(knob, methods)),
                           *(row for knob in own for row in _rows(knob, networks))])


def _rows(knob: str, having: Mapping[str, type]) -> list[str]:
    """Of one knob, methods (or networks) that agree on help text and bounds together."""
    alike: dict[tuple[str, str], dict[str, str]] = {}
    for name, cls in having.items():
        if knob not in names_of(cls):
            continue
        f = next(f for f in fields(cls) if f.name == knob)
        allowed = expected(f, typing.get_type_hints(cls))[2]
        alike.setdefault((f.metadata["help"], allowed), {})[name] = _word(f.default)
    rows = []
    for (text, allowed), defaults in alike.items():
        where = "all" if len(defaults) == len(METHODS) else ", ".join(defaults)
        values = set(defaults.values())
        default = values.pop() if len(values) == 1 else ", ".join(f"{v} ({name})" for name, v in defaults.items())
        rows.append(f"| `{knob}` | {where} | {default} | {allowed} | {text} |\n")
    return rows


def _word(value: object) -> str:
    """As YAML has it."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    print(page(), end="")
