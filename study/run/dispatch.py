"""Who trains what, and what becomes of it: a state machine of one round, which knows nothing of Ray.

A unit is assigned to a worker and ends in exactly one way: done, or lost, or interrupted. A worker that fails gives it
back, as long as its counts allow; one that ran out of memory leaves it to a round in which it has a node to itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from study.cluster import RunError
from study.run.sources import Source
from study.schema.unit import Unit
from study.store.units import StorageError

RETRIES = 1  # of a unit whose worker died or raised
MOVES = 10  # of a unit whose node died, or was unfit: a spot machine's end is not its fault, unless always there
MOVED, DIED = "its node died", "its worker died"
UNFOUND = "its worker finished, but no done.json of it, or not each file that it names, is in the storage"
# Workers, and nodes, that died under a unit, after which it is taken to have used up their memory: the kernel, or a
# pod's limit, that kills for memory says so to nobody but the machine's log. (Spot machines die for reasons of their
# own.) In a round where each has a node to itself it is judged by the usual counts.
DEADLY = {DIED: (2, "workers"), MOVED: (5, "nodes")}
ROUND = 500  # the driver's memory grows with every trial of one fit() (ray#64231)


@dataclass(frozen=True)
class Finished:
    """Its worker says that all is written, unless `rungs` (update -> value reported) say that it was pruned there."""

    status: str  # finished | diverged | pruned
    rungs: Mapping[int, float] | None = None


@dataclass(frozen=True)
class Failed:
    """Its worker raised or died (DIED)."""

    reason: str


@dataclass(frozen=True)
class Moved:
    """Its node died (MOVED), or is unfit; no fault of the unit."""

    reason: str = MOVED


@dataclass(frozen=True)
class OutOfMemory:
    """In words: a second try of the same kind does not mend it."""


End = Finished | Failed | Moved | OutOfMemory


class Watcher(Protocol):
    """Told what happens, one call an event."""

    def started(self, unit: Unit) -> None:
        """A worker has begun."""

    def advanced(self, unit: Unit, share: float) -> None:
        """This share of its updates is done."""

    def finished(self, unit: Unit, rungs: Mapping[int, float] | None) -> bool:
        """The unit's worker says that it is done: read, once and before its source is told, what it left; whether it is
        there. rungs: what it had reported when it was pruned. Raises StorageError for what cannot be read."""

    def retried(self, unit: Unit, message: str) -> None:
        """The worker died or raised; the unit goes on in another."""

    def lost(self, unit: Unit, message: str, out_of_memory: bool) -> None:
        """The unit failed twice, or ran out of memory, which a second try of the same kind does not mend."""

    def interrupted(self, unit: Unit) -> None:
        """The round was stopped while the unit ran."""

    def noted(self, unit: Unit, note: str) -> None:
        """What its worker says of its beginning: a checkpoint it goes on from, or found damaged."""

    def stopping(self) -> None:
        """A person has interrupted: the round ends, which takes some seconds."""


class Dispatch:
    """One round: at most `most` units of a source, each told to the watcher and to the source once it has ended.

    alone: each unit has a node to itself.
    """

    def __init__(self, source: Source, watcher: Watcher, *, alone: bool = False, most: int = ROUND) -> None:
        self._source, self._watcher, self._is_alone = source, watcher, alone
        self._left = most
        self._again: list[Unit] = []
        self._counts: Counter[tuple[str, Literal["failures", "moves"]]] = Counter()
        self._deaths: Counter[tuple[str, str]] = Counter()
        self.running: dict[str, Unit] = {}  # by the name of what runs it
        self.error: StorageError | RunError | None = None  # of a journal, or of a sampler from outside: the round's end

    def assign(self, name: str) -> Unit | None:
        """A unit for the worker of this name; None: nothing now, or nothing any more (`is_over`). Raises `error`."""
        if self.error is not None:
            raise self.error
        unit = None
        if self._again:
            unit = self._again.pop()
        elif self._left:
            unit = self._source.next()
            self._left -= unit is not None
        if unit is not None:
            self.running[name] = unit
        return unit

    @property
    def is_over(self) -> bool:
        """Whether no unit will come any more; a running one may fail and come again."""
        return not self.running and not self._again and (not self._left or self._source.is_exhausted)

    def should_prune(self, name: str, rungs: Mapping[int, float]) -> bool:
        """Whether its source stops the unit here. rungs: all that it reported, update -> value."""
        return self._source.should_prune(self.running[name], rungs)

    def ended(self, name: str, how: End) -> None:
        """The worker has ended with its unit. Source and watcher are told, unless it goes on in another worker."""
        unit = self.running.pop(name)
        if isinstance(how, Finished):
            try:
                if self._watcher.finished(unit, how.rungs):
                    self._tell(unit, how.status)
                    return
                how = Failed(UNFOUND)
            except StorageError as error:
                self._lose(unit, str(error), False)
                return
        if isinstance(how, OutOfMemory):
            self._lose(unit, "out of memory", True)
        elif deadly := self._is_deadly(unit, how.reason):
            self._lose(unit, deadly, True)
        else:
            kind: Literal["failures", "moves"] = "moves" if isinstance(how, Moved) else "failures"
            self._counts[unit.key, kind] += 1
            if self._counts[unit.key, "failures"] <= RETRIES and self._counts[unit.key, "moves"] <= MOVES:
                self._again.append(unit)
                self._watcher.retried(unit, how.reason)
            else:
                self._lose(unit, how.reason, False)

    def interrupt(self) -> None:
        """The round has ended: what still runs, or waits to go on, goes on in another launch."""
        for unit in [*self.running.values(), *self._again]:
            self._tell(unit, "interrupted")
            self._watcher.interrupted(unit)
        self.running, self._again = {}, []

    def _is_deadly(self, unit: Unit, reason: str) -> str:
        """What to say of a unit under which too many have died; "" where they have not."""
        if reason not in DEADLY or self._is_alone:
            return ""
        self._deaths[unit.key, reason] += 1
        many, what = DEADLY[reason]
        return f"{many} {what} died under it, perhaps for want of memory" if (
            self._deaths[unit.key, reason] >= many) else ""

    def _lose(self, unit: Unit, message: str, out_of_memory: bool) -> None:
        self._tell(unit, "lost")
        self._watcher.lost(unit, message, out_of_memory)

    def _tell(self, unit: Unit, status: str) -> None:
        try:
            self._source.finished(unit, status)
        except (StorageError, RunError) as problem:  # raised here, Tune would wrap it into a page of traceback
            self.error = problem
