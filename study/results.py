"""Everything that is finished, from storage and MLflow together: counts, values, what a search is told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from study.aggregates import read_records
from study.storage import Store, Unit

if TYPE_CHECKING:
    from study.tracking import Finished

Row = dict[str, Any]


@dataclass(frozen=True)
class Result:
    """A finished unit. value: mean of the primary measure over surviving replicates; told: what
    its search was told, an objective each."""

    unit: Unit
    status: str
    replicates: int
    diverged: int
    value: float | None
    seconds: float
    told: tuple[float, ...] = ()
    rungs: dict[int, float] = field(default_factory=dict)

    @property
    def pruned(self) -> bool:
        """Whether it was stopped by its search: censored, no part of any rate."""
        return self.status == "pruned"


class Results:
    """Finished units by key. objectives, diverged_values: of the search; None: a diverged replicate's own counts."""

    def __init__(self, store: Store, primary: str, objectives: Sequence[str] = (),
                 diverged_values: Sequence[float | None] = ()) -> None:
        self._store, self._primary = store, primary
        self._objectives, self._diverged_values = tuple(objectives), tuple(diverged_values)
        self._found: dict[str, Result] = {}

    def all(self) -> list[Result]:
        """Every finished unit."""
        return list(self._found.values())

    def of(self, config_hash: str) -> list[Result]:
        """The finished units of one configuration."""
        return [r for r in self._found.values() if r.unit.config_hash == config_hash]

    def add_shown(self, shown: Iterable[Finished]) -> None:
        """Units that MLflow shows; their storage may be gone. Metrics there are over all blocks of a configuration."""
        for f in shown:
            unit = Unit(f.configuration, f.seeds, f.config_hash)
            replicates = f.metrics.get("replicates", 0.0)  # a pruned unit has no metrics
            share = len(f.seeds) / replicates if replicates else 1.0
            self._found[unit.key] = Result(
                unit, f.status, len(f.seeds), round(f.metrics.get("diverged", 0.0) * share),
                f.metrics.get(self._primary), f.metrics.get("wall_seconds", 0.0) * share,
                self._told_of_metrics(f.metrics) if replicates and _searched(unit) else (),
                {int(update): value for update, value in f.rungs.items()})

    def add_done(self, unit: Unit, manifest: dict[str, Any]) -> Result:
        """A unit that is done in the storage."""
        final = self._final(unit, manifest)
        survivors = [row for row in final if row["verdict"] != "diverged"]
        values = [row[self._primary] for row in survivors if row.get(self._primary) is not None]
        result = Result(
            unit, manifest["status"], len(unit.seeds), len(final) - len(survivors),
            sum(values) / len(values) if values else None,
            float(manifest.get("wall_seconds", manifest["ended"] - manifest["started"])),
            self._told(final) if final and _searched(unit) else (),
            {int(update): value for update, value in manifest.get("rungs", {}).items()})
        self._found[unit.key] = result
        return result

    def score(self, unit: Unit) -> Sequence[float]:
        """What a search is told about its finished unit: an objective each, a mean over all replicates, finite.

        A replicate that diverged, or lacks the measure, counts as the diverged value; where there is none (costs), its
        own value stands.
        """
        if unit.key not in self._found:
            manifest = self._store.done(unit)
            assert manifest is not None, f"{unit.key} is not done"
            self.add_done(unit, manifest)
        return self._found[unit.key].told

    def _final(self, unit: Unit, manifest: dict[str, Any]) -> list[Row]:
        if "records.parquet" not in manifest["files"]:
            return []
        rows = read_records(self._store.read_verified(unit, "records.parquet", manifest))
        return [row for row in rows if row["stage"] == "final"]

    def _told(self, final: Sequence[Row]) -> tuple[float, ...]:
        told = []
        for name, stated in zip(self._objectives, self._diverged_values, strict=True):
            total = 0.0
            for row in final:
                own = row.get(name) if stated is None or row["verdict"] != "diverged" else None
                value = stated if own is None else own
                assert value is not None, f"{name} is absent and nothing stands for it"
                total += value
            told.append(total / len(final))
        return tuple(told)

    def _told_of_metrics(self, metrics: Mapping[str, float]) -> tuple[float, ...]:
        """The same from a trial run's metrics: measures are means over survivors there, costs are sums."""
        told = []
        n, diverged = metrics["replicates"], metrics["diverged"]
        for name, stated in zip(self._objectives, self._diverged_values, strict=True):
            own = metrics.get(name)
            if own is not None and name == "particle_gradients":
                own /= n
            dead = 0.0 if stated is None else diverged if own is not None else n
            told.append(((n - dead) * (own or 0.0) + dead * (stated or 0.0)) / n)
        return tuple(told)


def _searched(unit: Unit) -> bool:
    return bool(unit.configuration["phase"] == "search")
