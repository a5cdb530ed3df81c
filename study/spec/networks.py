"""The network of each arm, read ahead: it says which knobs the arm has beside its method's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from models.methods.method import knobs_of
from models.registry import FindError
from study.spec.branches import Placed
from study.spec.knobs import Range, with_network
from study.spec.problems import Path
from study.spec.reading import Reader

Places = Mapping[str, Mapping[str, Placed]]


def kinds_of(reader: Reader, methods: Mapping[str, str], *phase: str) -> dict[str, str]:
    """arm -> its key in METHODS: that of its method with the one network that the spec gives it, in `train` and the arm
    itself, or in a phase. Where there are several, it has the method's knobs alone."""
    sections = [reader.mapping(path) for path in (("train",), phase) if path]
    found = {}
    for arm, method in methods.items():
        said = [one for section in sections for one in _networks(section, method, arm)]
        said += _networks(reader.mapping(("arms", arm)))
        network = said[-1] if said else None
        if isinstance(network, list):
            network = network[0] if len(network) == 1 else None
        found[arm] = with_network(method, network)
    return found


def _networks(section: Mapping[str, Any], *branches: str) -> Iterator[Any]:
    """What a section says of the network, the more specific last."""
    for place in (section, *map(section.get, branches)):
        if isinstance(place, dict):
            zipped = place.get("zip")
            pairs = zipped if isinstance(zipped, list) else [zipped]
            yield from (one["network"] for one in (*pairs, place) if isinstance(one, dict) and "network" in one)


def torn(methods: Mapping[str, str], fixed: Places, phases: Mapping[str, Places]) -> Iterator[tuple[Path, str]]:
    """Knobs of a network that a phase replaces by another one, and networks that do not go with a method; each place
    once."""
    seen: set[Path] = set()
    for places in phases.values():
        for arm, method in methods.items():
            here = {**fixed[arm], **places[arm]}
            value = here["network"].value if "network" in here else None
            names = value.choices if isinstance(value, Range) else value if isinstance(value, tuple) else (value,)
            for name in names:
                try:
                    lacks = [k for k in here if k not in {f.name for f in fields(knobs_of(method, name))}]
                    problems = [(here[knob].path, f"network {name or 'null'}, which arm {arm} has in some "
                                                  f"configurations, has no knob {knob}") for knob in lacks]
                except FindError as problem:
                    problems = [(here["network"].path, str(problem))]
                yield from (one for one in problems if one[0] not in seen)
                seen.update(path for path, _ in problems)
