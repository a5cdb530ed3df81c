"""Where units of work come from: a fixed list, a search, or several phases one after the other. No Ray here."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from study.schema.unit import Unit


class Source(Protocol):
    """Deals out units of work and learns how they ended."""

    def next(self) -> Unit | None:
        """A unit to run, or None: nothing now, or nothing any more (`is_exhausted`)."""

    @property
    def is_exhausted(self) -> bool:
        """Whether no unit will come any more."""

    def should_prune(self, unit: Unit, rungs: Mapping[int, float]) -> bool:
        """Report a running unit's intermediate values, update -> value, all so far; whether to stop the unit here."""

    def finished(self, unit: Unit, status: str) -> None:
        """How a unit ended: `finished`, `diverged`, `pruned`; or `lost`, `interrupted`, which teach nothing."""


class Fixed:
    """A list of units, dealt in order, never pruned. learn: told how each ended."""

    def __init__(self, units: Iterable[Unit], learn: Callable[[Unit, str], None] = lambda unit, status: None) -> None:
        self._units, self._learn = deque(units), learn

    def next(self) -> Unit | None:
        """The next of the list."""
        return self._units.popleft() if self._units else None

    @property
    def is_exhausted(self) -> bool:
        """Whether the list is empty."""
        return not self._units

    def should_prune(self, unit: Unit, rungs: Mapping[int, float]) -> bool:
        """Never: these units are for claims."""
        return False

    def finished(self, unit: Unit, status: str) -> None:
        """Pass it on."""
        self._learn(unit, status)


class Phases:
    """Sources one after the other, in one round, so that workers stay. Each is made when its turn comes.

    A phase starts while the last units of the one before still run, except where `waits` says that it needs their
    results.
    """

    def __init__(self, phases: Sequence[tuple[Callable[[], Source], bool]]) -> None:
        self._later = deque(phases)
        self._source: Source = Fixed([])
        self._running: dict[str, Source] = {}
        self._held: list[tuple[Unit, Source]] = []  # two arms may ask for one unit: the second gets what the first left
        self._advance()

    def _advance(self) -> None:
        while self._source.is_exhausted and self._later:
            make, waits = self._later[0]
            if waits and (self._running or self._held):
                return
            self._later.popleft()
            self._source = make()

    def next(self) -> Unit | None:
        """A unit of the current phase that is not running already."""
        for i, (unit, source) in enumerate(self._held):
            if unit.key not in self._running:
                del self._held[i]
                self._running[unit.key] = source
                return unit
        while (found := self._deal()) is not None and found.key in self._running:
            self._held.append((found, self._source))
        if found is not None:
            self._running[found.key] = self._source
        return found

    def _deal(self) -> Unit | None:
        self._advance()
        unit = self._source.next()
        while unit is None and self._source.is_exhausted and self._later and not (
                self._later[0][1] and (self._running or self._held)):
            self._advance()
            unit = self._source.next()
        return unit

    @property
    def is_exhausted(self) -> bool:
        """Whether the last phase is."""
        self._advance()
        return self._source.is_exhausted and not self._later and not self._held

    def should_prune(self, unit: Unit, rungs: Mapping[int, float]) -> bool:
        """Ask the phase that the unit came from."""
        return self._running[unit.key].should_prune(unit, rungs)

    def finished(self, unit: Unit, status: str) -> None:
        """Tell the phase that the unit came from."""
        self._running.pop(unit.key).finished(unit, status)
        if status == "interrupted":
            while self._held:
                held, source = self._held.pop()
                source.finished(held, status)
