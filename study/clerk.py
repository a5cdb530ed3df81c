"""The driver's hand in a running study: drains finished units to MLflow, counts, and tells the live view."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from study.identity import knobs_text
from study.plan import as_yaml
from study.prediction import predicted
from study.progress import Outcome, Progress
from study.provenance import commit, provenance
from study.results import Result, Results
from study.spec import StudySpec
from study.storage import StorageError, Store, Unit
from study.tracking import Tracking, TrackingError
from study.work import cost

UPDATE_SECONDS = 10.0  # between two updates of the launch's live counts


class Clerk:
    """Watches a round (`rounds.Watcher`). Failures of MLflow are told once and made good later."""

    def __init__(self, spec: StudySpec, plan: Mapping[str, Any], store: Store, tracking: Tracking, results: Results,
                 progress: Progress) -> None:
        self.spec, self.plan, self.store, self.tracking = spec, plan, store, tracking
        self.results, self.progress = results, progress
        self.lost_units: list[tuple[Unit, str]] = []
        self._undrained: list[tuple[Unit, dict[str, Any]]] = []
        self._started: dict[str, float] = {}
        self._tracking_failed = False
        self._updated = 0.0

    def start(self) -> None:
        """Make the launch's run in MLflow: once nothing can refuse the launch any more."""
        self.tracking.start_launch(as_yaml(self.spec.resolved()), dict(self.plan), provenance(), self.store.place)
        self.tracking.adopt(self.results.hashes)

    # Events of a round.

    def started(self, unit: Unit) -> None:
        self._started[unit.key] = time.time()
        self.progress.running = len(self._started)

    def finished(self, unit: Unit, rungs: Mapping[int, float] | None) -> None:
        begun = self._started.pop(unit.key, time.time())
        self.progress.running = len(self._started)
        try:
            if rungs is not None:  # the worker was stopped: what it leaves is written here
                self.store.write_done(unit, {
                    "status": "pruned", "started": begun, "ended": time.time(), "primary": self.spec.primary,
                    "direction": self.plan["direction"], "commit": commit(),
                    "rungs": {str(update): value for update, value in rungs.items()}})
            manifest = self.store.done(unit)
            if manifest is None:
                raise StorageError(f"{unit.key} has no done.json, or a file of it is missing")
            result = self.results.add_done(unit, manifest)
        except StorageError as error:  # raised here it would end the round, and with it all other units
            self.lost(unit, str(error), False)
            return
        self.progress.finished(self.outcome(result))
        self.show(unit, manifest)
        self._update_launch()

    def retried(self, unit: Unit, message: str) -> None:
        self._started.pop(unit.key, None)
        self.progress.say(f"{self.name(unit)}: {message}; it goes on in a new worker")

    def lost(self, unit: Unit, message: str, out_of_memory: bool) -> None:
        self._started.pop(unit.key, None)
        self.lost_units.append((unit, message))
        self.progress.running, self.progress.lost = len(self._started), len(self.lost_units)
        self.progress.say(f"lost: {self.name(unit)}: {message}")
        self._mark(unit, "oom" if out_of_memory else "crashed", message)

    def interrupted(self, unit: Unit) -> None:
        self._started.pop(unit.key, None)
        self._mark(unit, "interrupted", "The same command continues it from its last checkpoint, if it has one.")

    # MLflow.

    def show(self, unit: Unit, manifest: dict[str, Any]) -> None:
        """Show a done unit in MLflow. What MLflow cannot take now is left to the end, or to the next launch."""
        if self._tracking_failed or not self._drain(unit, manifest):
            self._undrained.append((unit, manifest))

    def close(self, status: str) -> None:
        """End the launch's run (finished | failed | interrupted), after a last try at what MLflow could not take."""
        self._tracking_failed = False
        while self._undrained and self._drain(*self._undrained[0]):
            self._undrained.pop(0)
        if not self._tracking_failed:
            try:
                self.tracking.adopt(self.results.hashes)
                self.tracking.end_launch(status, self.counts())
            except TrackingError as error:
                self._failed(error)

    @property
    def not_shown(self) -> int:
        """Units that are done and that MLflow could not take."""
        return len(self._undrained)

    def _drain(self, unit: Unit, manifest: dict[str, Any]) -> bool:
        try:
            self.tracking.drain(self.store, unit, manifest)
        except TrackingError as error:
            self._failed(error)
            return False
        except StorageError as error:
            self.progress.say(str(error))
            self.lost_units.append((unit, str(error)))
        return True

    def counts(self) -> dict[str, float]:
        """Live counts of this launch, as MLflow shows them."""
        p = self.progress
        found = {"units_done": p.done, "units_total": p.total, "units_lost": p.lost, "replicates": p.replicates,
                 "replicates_diverged": p.diverged}
        return {key: float(value) for key, value in found.items()}

    def _update_launch(self) -> None:
        if time.monotonic() - self._updated >= UPDATE_SECONDS and not self._tracking_failed:
            self._updated = time.monotonic()
            try:
                self.tracking.update_launch(self.counts())
            except TrackingError as error:
                self._failed(error)

    def _mark(self, unit: Unit, status: str, message: str) -> None:
        try:
            self.tracking.mark(unit, status, message)
        except TrackingError as error:
            self._failed(error)

    def _failed(self, error: TrackingError) -> None:
        if not self._tracking_failed:
            self.progress.say(f"{error}; training goes on, and what is missing there is added at the end of this "
                              "launch, or by the next")
        self._tracking_failed = True

    # For people.

    def name(self, unit: Unit) -> str:
        """`design jko step_size=0.12 seeds 0-5 (1f2e...)`."""
        c = unit.configuration
        knobs = knobs_text(c["knobs"], self.plan["factors"])
        return f"{c['phase']} {c['arm']} {knobs} seeds {unit.block} ({unit.config_hash})"

    def outcome(self, result: Result) -> Outcome:
        """A result in the live view's words."""
        c = result.unit.configuration
        return Outcome(c["phase"], c["arm"], knobs_text(c["knobs"], self.plan["factors"]), self.spec.primary,
                       result.value, result.replicates, result.diverged, result.seconds, cost(result.unit),
                       predicted(self.plan, c), result.pruned)
