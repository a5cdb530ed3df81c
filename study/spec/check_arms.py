"""The keys `method`, `arms` and `baseline`: which arms a study compares."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from study.spec.branches import Placed, Section
from study.spec.check_search import KEYS as SEARCH_KEYS
from study.spec.knobs import ALL_KNOBS, METHODS, read_value
from study.spec.problems import Path
from study.spec.reading import Reader

MAX_ARMS = 100


def read_methods(reader: Reader) -> dict[str, str]:
    """arm -> method, in the order of the file; without those that are wrong."""
    value = reader.raw.get("method")
    if reader.raw.get("arms") is not None:
        if value is not None:
            reader.report(("method",), "found both method and arms, expected one of them")
        return _of_arms(reader)
    if value is None or value == []:
        reader.report(("method",), f"missing; expected one or several of {', '.join(METHODS)}")
        return {}
    found: dict[str, str] = {}
    for i, name in enumerate(value if isinstance(value, list) else [value]):
        where: Path = ("method", i) if isinstance(value, list) else ("method",)
        arm = name.rpartition(":")[2] if isinstance(name, str) else ""
        if not _is_method(reader, where, name, may_be_list=True):
            continue
        if arm in found:
            reader.report(where, f"{arm} stands twice in the list")
        else:
            found[arm] = name
    return found


def _of_arms(reader: Reader) -> dict[str, str]:
    found: dict[str, str] = {}
    arms = reader.mapping(("arms",))
    if len(arms) > MAX_ARMS:
        reader.report(("arms",), f"found {len(arms):,} arms, expected at most {MAX_ARMS}")
        return {}
    for arm, entry in arms.items():
        method = entry.get("method", arm) if isinstance(entry, dict) else arm if entry is None else None
        where = ("arms", arm)
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9+._=-]{0,49}", arm):
            reader.report(where, "expected a name of letters, digits, '+', '.', '_', '=' and '-', beginning "
                                 "with a letter or digit, at most 50 long")
        elif arm in ALL_KNOBS or arm in SEARCH_KEYS or arm == "zip":
            reader.report(where, f"{arm} is a key of the spec; give the arm another name")
        elif method is None:
            reader.report(where, f"found {entry!r}, expected a mapping such as {{method: kl, negatives_drift: 1}}")
        elif not (isinstance(entry, dict) and "method" in entry) and method not in METHODS:
            reader.report(where, f"method is missing; expected one of {', '.join(METHODS)}")
        elif not _is_method(reader, (*where, "method"), method):
            continue
        elif arm in METHODS and arm != method:
            reader.report((*where, "method"), f"found {method}, expected {arm}: an arm named like a method is of it")
        else:
            found[arm] = method
    if arms == {} and reader.raw["arms"] == {}:
        reader.report(("arms",), "found no arm, expected at least one")
    return found


def _is_method(reader: Reader, where: Path, name: Any, may_be_list: bool = False) -> bool:
    """Whether it names a method, built in or from outside. Reports what does not."""
    if isinstance(name, str) and ":" in name:
        return reader.find(where, "method", name) is not None
    if not isinstance(name, str) or name not in METHODS:
        reader.unknown(where, name, METHODS, "method", may_be_list=may_be_list)
        return False
    return True


def read_entries(reader: Reader, methods: Mapping[str, str]) -> dict[str, dict[str, Placed]]:
    """arm -> what it fixes beside its method. methods: arm -> key in METHODS."""
    places: dict[str, dict[str, Placed]] = {arm: {} for arm in methods}
    for arm, entry in reader.mapping(("arms",)).items():
        if arm in methods and isinstance(entry, dict):
            section = Section({arm: methods[arm]}, read_value, reader.report)
            places.update(section.take(("arms", arm), entry, ("method",)))
    return places


def read_baseline(reader: Reader, methods: Mapping[str, str]) -> str:
    """The arm that others are compared with; the first by default."""
    value: Any = reader.raw.get("baseline")
    if value is None:
        return next(iter(methods), "")
    if methods and (not isinstance(value, str) or value not in methods):
        reader.unknown(("baseline",), value, methods, "arm")
    return str(value)
