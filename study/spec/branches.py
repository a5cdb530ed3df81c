"""A section of knobs, with branches by method or arm -> what it says about each arm.

A key is a knob (for every arm), a method's name (for every arm of that method) or an arm's name (for that arm). The
more specific place wins. `zip`, where a section has it, pairs the levels of several knobs; a list of
such pairings does so for each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from study.spec.knobs import ALL_KNOBS, KNOBS, METHODS, WITH, Report, missing
from study.spec.places import unknown
from study.spec.problems import Path, dotted

Read = Callable[..., Any]  # of (methods, knob, path, raw, report), as those of knobs.py


@dataclass(frozen=True)
class Placed:
    """A knob's value, where the spec says it, and the `zip` that it belongs to."""

    value: Any
    path: Path
    zip: Path | None = None


class Section:
    """Reads one section for arms (name -> key in METHODS). `found[arm][knob]` is the outcome; problems go to `report`.
    """

    def __init__(self, arms: Mapping[str, str], read: Read, report: Report, zips: bool = False) -> None:
        self.arms, self.read, self._report, self.zips = arms, read, report, zips
        self.found: dict[str, dict[str, Placed]] = {arm: {} for arm in arms}
        self.problems = 0

    def report(self, path: Path, message: str) -> None:
        self.problems += 1
        self._report(path, message)

    def take(self, path: Path, raw: Mapping[str, Any], other_keys: Iterable[str] = ()) -> dict[str, dict[str, Placed]]:
        """Read a whole section: what is shared, then branches by method, then by arm.

        `other_keys` of the section are left to the caller.
        """
        branches = {key: value for key, value in raw.items() if key in METHODS or key in self.arms}
        shared = {key: value for key, value in raw.items() if key not in branches}
        self._knobs(path, shared, self.arms, other_keys, is_shared=True)
        for key in sorted(branches, key=lambda key: key not in METHODS):
            members = {arm: method for arm, method in self.arms.items()
                       if (method.partition(WITH)[0] == key if key in METHODS else arm == key)}
            value, where = branches[key], (*path, key)
            if not isinstance(value, dict):
                self.report(where, f"found {value!r}, expected a mapping of knobs: {key} is a "
                                   f"{'method' if key in METHODS else 'arm'}")
            elif self.arms and not members:
                self.report(where, f"no arm of this study has the method {key}; its arms are {', '.join(self.arms)}")
            else:
                self._knobs(where, value, members, ())
        self._check_pairs()
        return self.found

    def _knobs(self, path: Path, raw: Mapping[str, Any], arms: Mapping[str, str], other_keys: Iterable[str],
               is_shared: bool = False) -> None:
        for key, value in raw.items():
            if key == "zip" and self.zips:
                self._zips((*path, key), value, raw, arms, is_shared)
            elif key in ALL_KNOBS or any(key in KNOBS[method] for method in arms.values()):
                self._knob((*path, key), key, value, arms, is_shared)
            elif key not in other_keys:
                knobs = dict.fromkeys(knob for method in arms.values() or METHODS for knob in KNOBS[method])
                words = [*knobs, *other_keys, *(["zip"] if self.zips else []), *(self.arms if is_shared else [])]
                self.report((*path, key), unknown(key, words, "knob", knobs=True))

    def _knob(self, path: Path, knob: str, raw: Any, arms: Mapping[str, str], is_shared: bool,
              zipped: Path | None = None) -> int:
        """Returns the number of levels read; 0 where something is wrong."""
        lacking = next((m for method in arms.values() if (m := missing(knob, method, arms.values()))), None)
        having = {arm: method for arm, method in arms.items() if knob in KNOBS[method]}
        methods = list(dict.fromkeys(having.values()))
        if lacking:
            branch = methods[0] if methods and methods[0] in METHODS else next(iter(having), "")
            hint = f"; move it into a branch, such as {branch}: {{{knob}: ...}}" if is_shared and branch else ""
            self.report(path, lacking + hint)
            return 0
        before, read = self.problems, partial(self.read, paired=True) if zipped else self.read
        value = read(methods or [m for m in METHODS if knob in KNOBS[m]][:1], knob, path, raw, self.report)
        if self.problems > before:
            return 0
        for arm in arms:
            self.found[arm][knob] = Placed(value, path, zipped)
        return len(value) if zipped else 1

    def _zips(self, path: Path, raw: Any, beside: Iterable[str], arms: Mapping[str, str], is_shared: bool) -> None:
        taken = {knob: (*path[:-1], knob) for knob in beside}
        if not isinstance(raw, list) or not raw:
            self._zip(path, raw, taken, arms, is_shared)
            return
        for i, pairs in enumerate(raw):
            self._zip((*path, i), pairs, taken, arms, is_shared)
            taken = {**{knob: (*path, i, knob) for knob in (pairs if isinstance(pairs, dict) else ())}, **taken}

    def _zip(self, path: Path, raw: Any, taken: Mapping[str, Path], arms: Mapping[str, str], is_shared: bool) -> None:
        """taken: where knobs were given before."""
        if not isinstance(raw, dict) or len(raw) < 2:
            self.report(path, "expected two or more knobs with lists of equal length, "
                              "such as {step_size: [0.1, 0.2], mcmc_steps: [20, 5]}")
            return
        sizes = {}
        for knob, levels in raw.items():
            where = (*path, knob)
            if knob not in ALL_KNOBS and not any(knob in KNOBS[method] for method in arms.values()):
                self.report(where, unknown(knob, ALL_KNOBS, "knob"))
            elif knob in taken:
                self.report(where, f"also given at {dotted(taken[knob])}; keep one")
            else:
                sizes[knob] = self._knob(where, knob, levels, arms, is_shared, zipped=path)
        if all(sizes.values()) and len(set(sizes.values())) > 1:
            counts = ", ".join(f"{knob} has {size}" for knob, size in sizes.items())
            self.report(path, f"expected lists of equal length; {counts}")
        elif len(sizes) == len(raw) and all(sizes.values()) and arms:
            rows = Counter(zip(*(self.found[next(iter(arms))][knob].value for knob in raw), strict=True))
            if twice := [row for row, times in rows.items() if times > 1]:
                said = ", ".join(f"{knob} {level}" for knob, level in zip(raw, twice[0], strict=True))
                self.report(path, f"{said} stand together twice")

    def _check_pairs(self) -> None:
        """A branch that replaces one knob of a shared pair leaves the other without partner."""
        torn = {}
        for knobs in self.found.values():
            for path in {placed.zip for placed in knobs.values() if placed.zip}:
                here = {knob for knob, placed in knobs.items() if placed.zip == path}
                everywhere = {k for ks in self.found.values() for k, placed in ks.items() if placed.zip == path}
                if gone := sorted(everywhere - here):
                    torn[knobs[gone[0]].path] = f"{gone[0]} is paired at {dotted(path)}; repeat the whole zip here"
        for where, message in torn.items():
            self.report(where, message)
