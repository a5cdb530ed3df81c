"""The driver's hand in a running study: hands finished units on to MLflow, counts, and tells the live view."""

from __future__ import annotations

import functools
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from study.plan.cost import cost
from study.plan.identity import knobs_text
from study.plan.prediction import predicted
from study.schema.manifest import Manifest
from study.schema.plan import Plan
from study.schema.unit import Unit
from study.show.progress import Outcome, Progress
from study.show.redaction import redacted
from study.show.tracking import Tracking
from study.show.tracking.upload_queue import UploadQueue
from study.spec import StudySpec
from study.spec.yaml_text import as_yaml
from study.store.losses import Losses
from study.store.provenance import commit, provenance
from study.store.results import Result, Results
from study.store.sheet import DATA_SHEET
from study.store.units import StorageError, Store

UPDATE_SECONDS = 10.0  # between two updates of the launch's live counts, and between two lines of the last drain
LAUNCH = "this launch"  # the key of the job that shows it


class Monitor:
    """Watches a round (`rounds.Watcher`). What MLflow shows is left to a `UploadQueue`: no event waits for MLflow."""

    def __init__(self, spec: StudySpec, plan: Plan, store: Store, tracking: Tracking, results: Results,
                 progress: Progress) -> None:
        self.spec, self.plan, self.store, self.tracking = spec, plan, store, tracking
        self.results, self.progress = results, progress
        self.lost_units: list[tuple[Unit, str]] = []
        self.out_of_memory: list[Unit] = []  # to run again, a node each
        self.first_lost: list[Unit] = []  # those of the lost units that no earlier launch had lost
        self._alone: set[str] = set()  # units' keys that had a node each
        self._chosen: Mapping[str, Collection[str]] = {}
        self._losses = Losses(store)
        self._queue = UploadQueue(redacted(tracking.uri), progress.say)
        tracking.on_answer = self._queue.answered
        self._to_show: set[str] = set()  # keys of the jobs that show a done unit
        self._started: dict[str, float] = {}
        self._inputs: tuple[Any, ...] = ()  # of this launch's run in MLflow, once it may have one
        self._updated = 0.0
        self._is_stopping = False
        self.is_asked = True  # MLflow, for what it shows: else what waits to be shown may be there already

    def start(self) -> None:
        """Show the launch in MLflow: once nothing can refuse it any more. What waits to be shown is shown now."""
        self._inputs = (as_yaml(self.spec.resolved()), self.plan.plain(), provenance(), self.store.place,
                        self.store.read(DATA_SHEET), self.store.places)
        self._queue.put(LAUNCH, functools.partial(self._show_launch, self.counts(), *self._counted()), first=True)
        self._queue.start()

    # Events of a round.

    def started(self, unit: Unit) -> None:
        self._started[unit.key] = time.time()
        self.progress.running = len(self._started)

    def finished(self, unit: Unit, rungs: Mapping[int, float] | None) -> None:
        begun = self._started.pop(unit.key, time.time())
        self.progress.running = len(self._started)
        try:
            if rungs is not None:  # the worker was stopped: what it leaves is written here
                self.store.write_done(unit, Manifest(status="pruned", started=begun, primary=self.spec.primary,
                                                     commit=commit() or "", rungs=dict(rungs)))
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
        if out_of_memory and unit.key not in self._alone:
            self.out_of_memory.append(unit)
            self.progress.running = len(self._started)
            self.progress.say(f"{self.name(unit)}: {message}; it runs again at the end, with a node for itself")
            self._mark(unit, "oom", message)
            return
        self.lost_units.append((unit, message))
        if self._losses.is_first(unit):
            self.first_lost.append(unit)
        self.progress.running, self.progress.lost = len(self._started), len(self.lost_units)
        self.progress.say(f"lost: {self.name(unit)}: {message}")
        self._mark(unit, "oom" if out_of_memory else "crashed", message)

    def take_out_of_memory(self) -> list[Unit]:
        """The units that ran out of memory and have not run alone yet; from now on they count as tried."""
        units, self.out_of_memory = self.out_of_memory, []
        self._alone |= {unit.key for unit in units}
        return units

    def choose(self, chosen: Mapping[str, Collection[str]]) -> None:
        """Learn which confirmations count: arm -> config_hashes, of the arms of which the best are known."""
        self._chosen = {arm: set(hashes) for arm, hashes in chosen.items()}

    def noted(self, unit: Unit, note: str) -> None:
        if not self.progress.quiet:
            self.progress.say(f"{self.name(unit)}: {note}")

    def stopping(self) -> None:
        if not self._is_stopping and not self.progress.quiet:
            self.progress.say("stopping; what runs goes on from its last checkpoint, if it has one")
        self._is_stopping = True

    def expect(self, units: Sequence[Unit]) -> None:
        """Learn that these are all that is left."""
        self.progress.expect(len(units), sum(map(cost, units)))

    def interrupted(self, unit: Unit) -> None:
        self._started.pop(unit.key, None)
        self._mark(unit, "interrupted", "The same command continues it from its last checkpoint, if it has one.")

    # MLflow.

    def show(self, unit: Unit, manifest: Manifest) -> None:
        """Show a done unit in MLflow, as soon as MLflow can take it."""
        key = self.name(unit)
        self._to_show.add(key)
        self._queue.put(key, functools.partial(self._show, unit, manifest))

    def close(self, status: str) -> bool:
        """Show what is not shown yet, as long as MLflow takes it, and end the launch's run (finished | failed |
        interrupted). False: a person did not want to wait."""
        if self._inputs:
            self._queue.put(LAUNCH, functools.partial(self._show_launch, self.counts(), *self._counted(),
                                                         status))
        wanted, said = self.not_shown, time.monotonic()

        def tell() -> None:
            nonlocal said
            if wanted and time.monotonic() - said >= UPDATE_SECONDS and not self.progress.quiet:
                said = time.monotonic()
                self.progress.say(f"showing {wanted - self.not_shown} of {wanted} units in MLflow")

        return self._queue.close(tell)

    def stop(self) -> None:
        """Show nothing more: another launch has taken the study."""
        self._queue.stop()

    def _counted(self) -> tuple[dict[str, list[str]], set[str]]:
        """Copies, for the queue's thread: the configurations that count, and what this version's search stopped."""
        return self.results.counted, set(self.results.stopped)

    @property
    def not_shown(self) -> int:
        """Units that are done and that MLflow does not show yet."""
        return len(self._queue.waiting() & self._to_show)

    @property
    def is_refused(self) -> bool:
        """Whether MLflow, though it answers, has refused one of them."""
        return bool(self._queue.refused() & self._to_show)

    # Jobs, in the queue's thread.

    def _show(self, unit: Unit, manifest: Manifest) -> None:
        try:
            self.tracking.log_unit(self.store, unit, manifest)
            if unit.configuration.phase == "confirm":
                self.tracking.choose(self._chosen)
        except StorageError as error:
            self.lost_units.append((unit, str(error)))
            self.progress.say(str(error))

    def _show_launch(self, counts: dict[str, float], counted: Mapping[str, Sequence[str]] | None = None,
                     stopped: Collection[str] = (), status: str = "") -> None:
        """Whatever went before: a newer one replaces it. counted, stopped: see `Tracking.adopt`."""
        self.tracking.start_launch(*self._inputs)
        if counted:
            self.tracking.adopt(counted, stopped)
        if status:
            self.tracking.choose(self._chosen)
            self.tracking.end_launch(status, counts)
        else:
            self.tracking.update_launch(counts)

    def counts(self) -> dict[str, float]:
        """Live counts of this launch, as MLflow shows them."""
        p = self.progress
        found = {"units_done": p.done, "units_total": p.total, "units_lost": p.lost, "replicates": p.replicates,
                 "replicates_diverged": p.diverged}
        return {key: float(value) for key, value in found.items()}

    def _update_launch(self) -> None:
        if time.monotonic() - self._updated >= UPDATE_SECONDS:
            self._updated = time.monotonic()
            self._queue.put(LAUNCH, functools.partial(self._show_launch, self.counts()))

    def _mark(self, unit: Unit, status: str, message: str) -> None:
        self._queue.put(self.name(unit), functools.partial(self.tracking.mark, unit, status, message))

    # For people.

    def name(self, unit: Unit) -> str:
        """`design jko step_size=0.12 seeds 0-5 (1f2e...)`."""
        c = unit.configuration
        knobs = knobs_text(c.knobs, self.plan.factors)
        return f"{c.phase} {c.arm} {knobs} seeds {unit.block} ({unit.config_hash})"

    def outcome(self, result: Result) -> Outcome:
        """A result in the live view's words."""
        c = result.unit.configuration
        return Outcome(c.phase, c.arm, knobs_text(c.knobs, self.plan.factors), self.spec.primary,
                       result.value, result.replicates, result.diverged, result.seconds, cost(result.unit),
                       predicted(self.plan, c), result.pruned, result.kappa, result.verdicts)
