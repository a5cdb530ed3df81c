"""Checks over the whole of a spec: knobs that are wrong together, arms that are one arm under two names."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, product
from typing import Any

from models.methods.hparams import HParams
from models.networks.choice import network_problem
from study.schema.canonical import canonical
from study.spec.branches import Placed
from study.spec.knobs import METHODS, Range, coerce, with_network
from study.spec.model import Arm, Design, Factor, Search, cells_of
from study.spec.problems import Path, dotted

MAX_CELLS = 20_000  # of one arm, and of all together
MAX_PLACES = 10_000  # of two searches, that are looked at one by one
Places = Mapping[str, Mapping[str, Placed]]
Problems = Iterator[tuple[Path, str]]


def factors_of(places: Mapping[str, Placed]) -> tuple[Factor, ...]:
    """The factors of one arm: each knob alone, but those of one `zip` together."""
    groups: dict[Path | str, list[str]] = {}
    for knob, placed in places.items():
        groups.setdefault(placed.zip or knob, []).append(knob)
    return tuple(Factor(tuple(knobs), tuple(zip(*(places[knob].value for knob in knobs), strict=False)))
                 for knobs in groups.values())


def arm_conflicts(entries: Places, phase: Places) -> Problems:
    """A phase that changes what makes an arm that arm."""
    for arm, knobs in entries.items():
        for knob in knobs:
            if placed := phase.get(arm, {}).get(knob):
                yield placed.path, f"arm {arm} fixes {knob} itself; move this into branches of the other arms"


def several_budgets(phase: Places) -> Problems:
    """A budget that a phase varies: what it pays for depends on other knobs, so that no level would have a name."""
    for knobs in phase.values():
        if (placed := knobs.get("budget")) and not (isinstance(placed.value, tuple) and len(placed.value) == 1):
            yield placed.path, "expected one value; vary updates, or give arms budgets of their own"


def wrong_together(methods: Mapping[str, str], fixed: Places, phases: Mapping[str, Places]) -> Problems:
    """`conflicts` of the knobs in every cell of the design and at the corners of the search space, each once."""
    seen = set()
    for phase, places in phases.items():
        for arm, method in methods.items():
            here = {**fixed[arm], **places[arm]}
            base = {knob: placed.value for knob, placed in fixed[arm].items()}
            knobs = METHODS[method]
            for row in cells_of(factors_of(places[arm]) if phase == "design" else _corners(places[arm], knobs)):
                for knob, message in knobs.conflicts({**base, **row}):
                    culprit = knob if knob in here else "sigma" if knob == "step_size" and "sigma" in here else None
                    path = here[culprit].path if culprit else (phase,)
                    if knob == "budget" and "updates" in here:
                        message += f" (updates stands at {dotted(here['updates'].path)})"
                    if (path, knob) not in seen:
                        seen.add((path, knob))
                        yield path, message if culprit == knob else f"{knob} {message}"


def wrong_for_the_data(methods: Mapping[str, str], fixed: Places, phases: Mapping[str, Places],
                       shape: tuple[int, ...]) -> Problems:
    """Networks that data of this shape cannot have, and knobs they have no use for; each place once."""
    seen = set()
    for phase in phases.values():
        for arm, method in methods.items():
            here = {**fixed[arm], **phase[arm]}
            names = _values(here, "network", METHODS[method])
            found = [("network", problem) for name in names if (problem := network_problem(name, shape))]
            found += [problem for knob in here for name in names for value in _values(here, knob, METHODS[method])
                      for problem in METHODS[with_network(method, name)].shape_conflicts({knob: value}, shape)]
            for knob, text in found:
                if here[knob].path not in seen:
                    seen.add(here[knob].path)
                    yield here[knob].path, text


def _corners(places: Mapping[str, Placed], method: type[HParams]) -> tuple[Factor, ...]:
    """A search space as a small design; a knob that no combination is about stays at its first end. Costs are part of
    them: they say how many updates a budget pays for."""
    read = method.entering("conflicts") | method.entering("cost")
    ends = {k: p.value.corners() if isinstance(p.value, Range) else p.value for k, p in places.items()}
    return tuple(Factor((knob,), tuple((end,) for end in (values if knob in read else values[:1])))
                 for knob, values in ends.items())


def least_particles(methods: Mapping[str, str], fixed: Places, phases: Mapping[str, Places]) -> dict[str, int]:
    """arm -> the fewest persistent chains that any of its configurations has; without arms that have none."""
    found: dict[str, int] = {}
    for arm, method in methods.items():
        for places in phases.values():
            here = {**fixed[arm], **places[arm]}
            chain, particles = (_values(here, knob, METHODS[method]) for knob in ("chain", "particles"))
            if "persistent" in chain:
                found[arm] = int(min(*particles, found.get(arm, math.inf)))
    return found


def _values(here: Mapping[str, Placed], knob: str, hparams: type[HParams]) -> tuple[Any, ...]:
    """What a knob may be in a phase; of a range its ends."""
    value = here[knob].value if knob in here else getattr(hparams, knob, None)
    return tuple(value.corners()) if isinstance(value, Range) else value if isinstance(value, tuple) else (value,)


def too_many_cells(design: Design) -> Problems:
    """A grid that nobody meant."""
    cells = {arm: math.prod(len(factor.rows) for factor in factors) for arm, factors in design.factors.items()}
    for arm, count in cells.items():
        if count > MAX_CELLS:
            yield ("design",), f"found {count:,} cells in arm {arm}, expected at most {MAX_CELLS:,}"
    if sum(cells.values()) > MAX_CELLS >= max(cells.values()):
        yield ("design",), (f"found {sum(cells.values()):,} cells in {len(cells)} arms, expected at most "
                            f"{MAX_CELLS:,} in all")


def same_cells(arms: Mapping[str, Arm], design: Design | None, search: Search | None) -> Problems:
    """Two arms that would train the same thing: their evidence would be counted twice."""
    cells = {name: {canonical([arm.method, arm.full(cell)]) for cell in cells_of(design.factors[name])}
             for name, arm in arms.items()} if design else {}
    for first, second in combinations(arms, 2):
        a, b = arms[first], arms[second]
        shared = len(cells[first] & cells[second]) if design else 0
        if shared:
            yield ("arms", second), (f"same configuration as arm {first} in {shared} of {len(cells[second])} cells "
                                     "of the design; change one of them")
        elif search and a.method == b.method:
            same_fixed = a.said(search.fixed[first]) == b.said(search.fixed[second])
            if same_fixed and search.free[first] == search.free[second]:
                yield ("arms", second), f"same configuration and search space as arm {first}; change one of them"
            elif _may_meet(a, b, search):
                yield ("arms", second), (f"its search may ask for the same configuration as arm {first}'s; give one of "
                                         "them a value, or a range, that the other lacks")


def _may_meet(a: Arm, b: Arm, search: Search) -> bool:
    """Whether two arms of a method may be suggested the same. A number from a continuous range never comes twice."""
    free = [search.free[arm.name] for arm in (a, b)]
    if any(r.kind == "float" for ranges in free for r in ranges.values()):
        return False
    sides = [arm.full(search.fixed[arm.name]) for arm in (a, b)]
    values = {knob: [_finite(with_network(arm.method, side["network"]), knob, ranges.get(knob), side[knob])
                     for arm, ranges, side in zip((a, b), free, sides, strict=True)] for knob in sides[0]}
    if any("budget" in arm.said(search.fixed[arm.name]) for arm in (a, b)):
        del values["updates"]
        return all(_meet(*both) for both in values.values()) and _updates_meet(a, b, search, values)
    return all(_meet(*both) for both in values.values())


def _updates_meet(a: Arm, b: Arm, search: Search, values: Mapping[str, Sequence[Sequence[Any]]]) -> bool:
    """Whether a budget pays for as many updates in both arms somewhere where all else is the same. Of too many such
    places it is taken for granted."""
    common = {knob: [value for value in one if value in other] for knob, (one, other) in values.items()
              if knob in METHODS[a.method].entering("cost")}
    return math.prod(map(len, common.values())) > MAX_PLACES or any(
        len({arm.hparams({**search.fixed[arm.name], **dict(zip(common, row, strict=True))}).updates
             for arm in (a, b)}) == 1 for row in product(*common.values()))


def _finite(method: str, knob: str, values: Range | None, fixed: Any) -> Sequence[Any]:
    """What a knob may be in a search."""
    if values is None:
        return [fixed]
    if values.kind == "int":
        return range(int(values.low), int(values.high) + 1)
    return [coerce(method, knob, choice) for choice in values.choices]


def _meet(one: Sequence[Any], other: Sequence[Any]) -> bool:
    if isinstance(one, range) and isinstance(other, range):
        return max(one[0], other[0]) <= min(one[-1], other[-1])
    few, many = (other, one) if isinstance(one, range) else (one, other)
    return any(value in many for value in few)
