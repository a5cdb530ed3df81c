"""Sources of units without Ray: phases in one round, and two arms that ask for the same unit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from study.run.sources import Fixed, Phases
from study.schema.unit import Unit
from tests import configurations


def unit(name: str, arm: str = "a") -> Unit:
    return configurations.unit(config_hash=name, arm=arm)


class Told(Fixed):
    """A list that notes how its units ended."""

    def __init__(self, *units: Unit) -> None:
        self.ends: list[tuple[str, str, str]] = []
        super().__init__(units, lambda unit, status: self.ends.append(
            (unit.config_hash, unit.configuration.arm, status)))

    def should_prune(self, unit: Unit, rungs: Mapping[int, float]) -> bool:
        return unit.configuration.arm == "b"


def phases(*sources: tuple[Any, bool]) -> Phases:
    return Phases([(lambda source=source: source, waits) for source, waits in sources])  # type: ignore[misc]


def test_a_unit_that_another_arm_has_running_waits_for_it() -> None:
    source = Told(unit("x"), unit("x", "b"), unit("y"))
    rounds = phases((source, False))
    first, second = rounds.next(), rounds.next()
    assert (first, second) == (unit("x"), unit("y"))
    assert rounds.next() is None and not rounds.is_exhausted, "one is held"
    rounds.finished(unit("x"), "finished")
    held = rounds.next()
    assert held == unit("x", "b")
    assert held.configuration.arm == "b" and rounds.should_prune(unit("x", "b"), {}) and rounds.is_exhausted
    rounds.finished(unit("x", "b"), "finished")
    rounds.finished(unit("y"), "finished")
    assert source.ends == [("x", "a", "finished"), ("x", "b", "finished"), ("y", "a", "finished")]


def test_a_phase_that_needs_results_waits_for_what_is_held_and_an_interrupt_ends_it() -> None:
    one, other = Told(unit("x"), unit("x", "b")), Told(unit("z"))
    rounds = phases((one, False), (other, True))
    assert rounds.next() == unit("x") and rounds.next() is None
    assert not rounds.is_exhausted
    rounds.finished(unit("x"), "finished")
    assert rounds.next() == unit("x", "b") and rounds.next() is None
    rounds.finished(unit("x", "b"), "finished")
    assert rounds.next() == unit("z")

    one = Told(unit("x"), unit("x", "b"))
    rounds = phases((one, False))
    rounds.next()
    rounds.next()
    rounds.finished(unit("x"), "interrupted")
    assert one.ends == [("x", "a", "interrupted"), ("x", "b", "interrupted")], "nothing is left asked and untold"
