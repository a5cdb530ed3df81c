"""What is finished, a replicate at a time; and of it what this launch's study counts.

The storage holds all versions of a study. Only expected units count: cells of the design, what the searches of
this version asked, what is confirmed; with the seeds of this spec, and under the arm that this spec gives them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from study.schema.bound import Bound
from study.schema.columns import CPU, DIVERGED_AT, GRADIENTS, KAPPA, LONG_RUN, SPENT, WALL
from study.schema.counted import Counted
from study.schema.manifest import Manifest
from study.schema.outcomes import verdicts
from study.schema.unit import Unit
from study.store.aggregates import aggregates, final_rows
from study.store.units import Store

Row = dict[str, Any]


@dataclass(frozen=True)
class Result:
    """What is finished of a unit. value: mean of the primary measure over surviving replicates; told: what its search
    is told, an objective each. status: finished | diverged (all replicates) | pruned. kappa: at the end, the survivors'
    mean. seconds, gradients, cpu, long_run: spent on all replicates: elapsed, particle-gradient evaluations of training
    (of a pruned one its rungs tell), CPU seconds, and their part in the long run. verdicts: in
    words, with flags."""

    unit: Unit
    status: str
    replicates: int
    diverged: int
    value: float | None
    seconds: float
    gradients: float = 0.0
    told: tuple[float, ...] = ()
    kappa: float | None = None
    cpu: float = 0.0
    long_run: float = 0.0
    verdicts: str = ""
    missed: Mapping[str, float] = field(default_factory=dict)  # a search's constraint -> by how much

    @property
    def pruned(self) -> bool:
        """Whether it was stopped by its search: censored, no part of any rate."""
        return self.status == "pruned"

    @property
    def excess(self) -> float:
        """By how much it misses its constraints: 0 where it keeps them."""
        return sum(self.missed.values())


class Results:
    """Finished replicates by (config_hash, seed).

    objectives: of the search, each with its sign (`Plan.signs`). diverged_values: arm -> what a diverged replicate
    counts as, an objective each; None: its own value counts. constraints: of the search, measure -> bound.
    """

    def __init__(self, store: Store, primary: str, objectives: Mapping[str, int] | None = None,
                 diverged_values: Mapping[str, Sequence[float | None]] | None = None,
                 constraints: Mapping[str, Bound] | None = None) -> None:
        self._store, self.primary = store, primary
        self._signs, self._diverged_values = dict(objectives or {}), dict(diverged_values or {})
        self._constraints = dict(constraints or {})
        self._final: dict[tuple[str, int], Row] = {}
        self._rungs: dict[str, dict[int, float]] = {}  # unit's key -> update -> what was reported there
        self._pruned: set[str] = set()  # units' keys
        self.stopped: set[str] = set()  # config_hashes of those of them that this version's search stopped
        self._expected: dict[tuple[str, str], Unit] = {}
        self._settings: dict[str, dict[str, tuple[str, str]]] = {}  # by arm
        self._chosen: set[str] = set()  # arms of which the best, which are confirmed, are known
        self._done: dict[str, Unit] = {}
        self._begun: dict[str, list[tuple[int, ...]]] = {}  # config_hash -> blocks that have a checkpoint

    def expect(self, unit: Unit) -> None:
        """Count this configuration, with all seeds of its phase, under the arm that it names."""
        self._expected[unit.config_hash, unit.configuration.arm] = unit

    def choose(self, arm: str, units: Sequence[Unit], settings: Mapping[str, tuple[str, str]] | None = None) -> None:
        """Count the confirmation of these, the best of an arm as it is known now, and of no others of it. settings: of
        those that exchange them (`Counted`)."""
        self._chosen.add(arm)
        self._settings[arm] = dict(settings or {})
        for key, unit in [*self._expected.items()]:
            if key[1] == arm and unit.configuration.phase == "confirm":
                del self._expected[key]
        for unit in units:
            self.expect(unit)

    @property
    def superseded(self) -> list[str]:
        """Configurations that were confirmed and are no longer to be."""
        counted = {config_hash for config_hash, _ in self._expected}
        return [config_hash for config_hash, unit in self._done.items() if config_hash not in counted
                and unit.configuration.phase == "confirm" and unit.configuration.arm in self._chosen]

    @property
    def counted(self) -> Counted:
        """What counts, for a reader of MLflow. A trial of two arms stays with the one that trained it; what another
        version pruned is none of this one's."""
        arms: dict[str, str] = {}
        pruned = {key.partition("/")[0] for key in self._pruned}
        for (config_hash, arm), unit in self._expected.items():
            if config_hash in pruned and self.result(unit) is None:
                continue
            done = self._done.get(config_hash)
            if config_hash not in arms or (done and done.configuration.arm == arm):
                arms[config_hash] = arm
        return Counted(arms, tuple(self.superseded), self.settings)

    @property
    def settings(self) -> dict[str, tuple[str, str]]:
        """Whose settings the confirmed have that exchange them (`Counted`)."""
        return {config_hash: of for found in self._settings.values() for config_hash, of in found.items()}

    def begin(self, config_hash: str, seeds: tuple[int, ...]) -> None:
        """A block of seeds that a checkpoint continues: what is left of its configuration is cut at it."""
        self._begun.setdefault(config_hash, []).append(seeds)

    def has(self, config_hash: str, seeds: Iterable[int]) -> bool:
        """Whether all these seeds of a configuration are done."""
        return all((config_hash, seed) in self._final for seed in seeds)

    def stop(self, unit: Unit) -> None:
        """This version's search stopped it, whether or not another version's did so, too."""
        self.stopped.add(unit.config_hash)

    def all(self) -> list[Result]:
        """Of every unit that counts, what is finished."""
        return [found for unit in self._expected.values() if (found := self.result(unit)) is not None]

    def complete(self) -> int:
        """How many of the units that count have nothing left to train."""
        return sum(map(self.is_complete, self._expected.values()))

    def is_complete(self, unit: Unit) -> bool:
        """Whether nothing is left to train of it."""
        return unit.config_hash in self.stopped or self.remaining_block(unit) is None

    def add(self, unit: Unit, status: str, rows: Sequence[Row], rungs: Mapping[int, float]) -> Result:
        """A unit that is done. rows: its records, none of a pruned one."""
        if status == "pruned":
            self._pruned.add(unit.key)
        self._done[unit.config_hash] = unit
        self._rungs[unit.key] = dict(rungs)
        for seed, row in final_rows(rows, unit.block).items():
            self._final[unit.config_hash, seed] = row
        found = self.result(unit) or (_pruned(unit) if status == "pruned" else None)
        assert found is not None, f"{unit.key} is done and has neither records nor been pruned"
        return found

    def add_done(self, unit: Unit, manifest: Manifest) -> Result:
        """A unit that is done in the storage. Raises StorageError for records that are not what the manifest says."""
        return self.add(unit, manifest.status, self._store.rows(unit, manifest), manifest.rungs)

    def result(self, unit: Unit) -> Result | None:
        """Of the unit's seeds that are done; None where none is. What another version pruned is to be trained here."""
        rows = self._rows(unit)
        if rows:
            # Of another version there may be no arm, objective or diverged value of its search any more.
            expected = (unit.config_hash, unit.configuration.arm) in self._expected
            measured = aggregates(rows)
            diverged = int(measured["diverged"])
            return Result(unit, "diverged" if diverged == len(rows) else "finished", len(rows), diverged,
                          measured.get(self.primary), measured[SPENT + WALL],
                          measured[SPENT + GRADIENTS], self._told(unit, rows) if expected else (),
                          measured.get(KAPPA), measured[SPENT + CPU], measured[SPENT + LONG_RUN],
                          verdicts(rows), {k: v for k, v in self._excess(unit, rows).items() if v > 0})
        return _pruned(unit) if unit.config_hash in self.stopped else None

    def remaining_block(self, unit: Unit) -> Unit | None:
        """What is left to train of a unit, as one block: from its first seed that is missing to the last; None where
        all are done. So a search trains it, which is told of all seeds at once."""
        missing = [i for i, seed in enumerate(unit.seeds) if (unit.config_hash, seed) not in self._final]
        if not missing:
            return None
        return Unit(unit.configuration, unit.seeds[missing[0]:missing[-1] + 1], unit.config_hash)

    def remaining_blocks(self, unit: Unit) -> list[Unit]:
        """What is left to train of a unit, in blocks of missing seeds without a gap; one that has begun stays a block.

        More replicates add seeds at the end; a block that was damaged, or has only begun, leaves a gap before them.
        """
        missing = {seed for seed in unit.seeds if (unit.config_hash, seed) not in self._final}
        heads: dict[int, tuple[int, ...]] = {}  # first seed -> the block that begins there
        for block in sorted(self._begun.get(unit.config_hash, ()), key=len, reverse=True):
            if missing.issuperset(block):
                missing -= set(block)
                heads[block[0]] = block
        for seed in sorted(missing):
            if (run := next((b for first, b in heads.items() if b[-1] + 1 == seed and first in missing), None)) is None:
                heads[seed] = (seed,)
            else:
                heads[run[0]] = (*run, seed)
        return [Unit(unit.configuration, heads[first], unit.config_hash) for first in sorted(heads)]

    def is_pruned(self, unit: Unit) -> bool:
        """Whether a search stopped this very unit, of whatever version."""
        return unit.key in self._pruned

    def rungs(self, unit: Unit) -> dict[int, float]:
        """Update -> what the unit reported there, where its seeds were trained together."""
        return self._rungs.get(unit.key, {})

    def score(self, unit: Unit) -> tuple[float, ...]:
        """What a search is told about its finished unit: an objective each, a mean over all replicates, finite.

        Smaller is better: a measure that is better larger is told negated. A replicate that diverged, or lacks the
        measure, counts as the diverged value; where there is none (costs), its own value stands.
        """
        return self._told(unit, self._rows(unit))

    def excess(self, unit: Unit) -> dict[str, float]:
        """Constraint -> by how much a finished unit of the search misses it (`Bound.excess`)."""
        return self._excess(unit, self._rows(unit))

    def lacking(self, arm: str) -> dict[str, int]:
        """Objective -> how many replicates of an arm's search survived and have no value of it: their search was told
        the diverged value."""
        found: dict[str, int] = {}
        for unit in self._expected.values():
            if (unit.configuration.phase, unit.configuration.arm) == ("search", arm):
                for row in self._rows(unit):
                    for name in self._signs if row[DIVERGED_AT] is None else ():
                        found[name] = found.get(name, 0) + (row.get(name) is None)
        return {name: n for name, n in found.items() if n}

    def _rows(self, unit: Unit) -> list[Row]:
        return [row for seed in unit.seeds if (row := self._final.get((unit.config_hash, seed))) is not None]

    def _told(self, unit: Unit, rows: Sequence[Row]) -> tuple[float, ...]:
        if unit.configuration.phase != "search":
            return ()
        told, diverged_values = [], self._diverged_values[unit.configuration.arm]
        for (name, sign), stated in zip(self._signs.items(), diverged_values, strict=True):
            total = 0.0
            for row in rows:
                own = row.get(name) if stated is None or row[DIVERGED_AT] is None else None
                value = stated if own is None else own
                assert value is not None, f"{name} is absent and nothing stands for it"
                total += value
            told.append(sign * total / len(rows))
        return tuple(told)


    def _excess(self, unit: Unit, rows: Sequence[Row]) -> dict[str, float]:
        if unit.configuration.phase != "search":
            return {}
        return {name: bound.excess(row.get(name) if row[DIVERGED_AT] is None else None for row in rows)
                for name, bound in self._constraints.items()}


def _pruned(unit: Unit) -> Result:
    return Result(unit, "pruned", len(unit.seeds), 0, None, 0.0)
