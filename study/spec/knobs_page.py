"""docs/knobs.md from the knobs as declared:  python -m study.spec.knobs_page > docs/knobs.md"""

from __future__ import annotations

import typing
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from models.knobs import expected
from models.networks.choice import own_knobs
from models.registry import NETWORKS
from study.spec.knobs import ALL_KNOBS, METHODS, names_of
from study.spec.yaml_text import parse, text_of

HEAD = """\
# The knobs

Made from the files of `models/methods/`, and `models/networks/knobs.py`, by
`python -m study.spec.knobs_page > docs/knobs.md`. A knob stands in `train`, `design`, `search.space` or an arm of a
study's file ([spec.md](spec.md)), one of a network where that is named. E1 to E16 are the equations of
`models/EQUATIONS.md`. Lengths are in units of the data: images lie in [-1, 1]. *found in*: the files of
`search_spaces/presets/`, each a released code, that set it; or whose it is, *the paper* being arXiv 1910.14216.

| knob | of which method, or network | default | allowed | what | found in |
|---|---|---|---|---|---|
"""
PRESETS = Path(__file__).resolve().parents[2] / "search_spaces/presets"
MANY = 4  # presets, which are counted rather than named
NETWORK = "network: "


def page() -> str:
    """A row a knob; where methods differ in what it means, a row each meaning. Last those of a network."""
    methods: dict[str, type] = dict(METHODS)
    networks: dict[str, type] = {NETWORK + name: own for name in NETWORKS if (own := own_knobs(name))}
    own = dict.fromkeys(knob for knobs in networks.values() for knob in names_of(knobs))
    presets = arms_of_presets()
    return HEAD + "".join([*(row for knob in ALL_KNOBS for row in _rows(knob, methods, presets)),
                           *(row for knob in own for row in _rows(knob, networks, presets))])


def arms_of_presets() -> list[tuple[str, dict[str, Any]]]:
    """Each preset's name and one of its arms."""
    return [(file.stem, arm) for file in sorted(PRESETS.glob("*.yaml"))
            for arm in parse(text_of(file), file.name).value["arms"].values()]


def _found(knob: str, having: Collection[str], presets: Sequence[tuple[str, dict[str, Any]]]) -> str:
    """The presets that set a knob of one of these methods, or networks."""
    names = dict.fromkeys(name for name, arm in presets
                          if knob in arm and not {arm["method"], NETWORK + arm["network"]}.isdisjoint(having))
    return ", ".join(names) if len(names) <= MANY else f"{len(names)} presets"


def _rows(knob: str, having: Mapping[str, type], presets: Sequence[tuple[str, dict[str, Any]]]) -> list[str]:
    """Of one knob, methods (or networks) that agree on help text and bounds together."""
    alike: dict[tuple[str, str, str], dict[str, str]] = {}
    for name, cls in having.items():
        if knob not in names_of(cls):
            continue
        f = next(f for f in fields(cls) if f.name == knob)
        allowed = expected(f, typing.get_type_hints(cls))[2]
        alike.setdefault((f.metadata["help"], allowed, f.metadata.get("source", "")), {})[name] = _word(f.default)
    rows = []
    for (text, allowed, source), defaults in alike.items():
        where = "all" if len(defaults) == len(METHODS) else ", ".join(defaults)
        values = set(defaults.values())
        default = values.pop() if len(values) == 1 else ", ".join(f"{v} ({name})" for name, v in defaults.items())
        found = source or _found(knob, defaults, presets)
        rows.append(f"| `{knob}` | {where} | {default} | {allowed} | {text} | {found} |\n")
    return rows


def _word(value: object) -> str:
    """As YAML has it."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    print(page(), end="")
