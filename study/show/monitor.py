"""The driver's hand in a running study: hands finished units on to MLflow, counts, and tells the live view."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import cached_property

from study.plan.cost import cost
from study.plan.identity import knobs_text
from study.plan.prediction import predicted
from study.provenance import commit, provenance
from study.schema.columns import DIVERGED_AT, SEED
from study.schema.counted import Counted
from study.schema.manifest import Manifest
from study.schema.plan import Plan
from study.schema.unit import Unit, block_seeds
from study.show.progress import Outcome, Progress
from study.show.redaction import redacted
from study.show.tracking import Tracking, TrackingError
from study.show.tracking.upload_queue import UploadQueue
from study.show.tracking.view import shared_view
from study.spec import StudySpec
from study.spec.yaml_text import as_yaml
from study.store.aggregates import final_rows
from study.store.kept import Replicate, best_of, is_planned, write_counted
from study.store.losses import Losses
from study.store.results import Result, Results
from study.store.sheet import DATA_SHEET
from study.store.units import DamagedError, StorageError, Store

UPDATE_SECONDS = 10.0  # between two updates of the launch's live counts, and between two lines of the last uploads
LAUNCH, LACKING, END = "this launch", "what the storage lacks", "the end of this launch"  # keys of jobs
NETWORK = "the network of "  # what a key begins with, before its arm


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
        self._losses = Losses(store)
        self._queue = UploadQueue(redacted(tracking.uri), progress.say)
        tracking.on_answer = self._queue.answered
        self._done: dict[str, dict[str, tuple[Unit, Manifest]]] = {}  # config_hash -> block of seeds -> what is done
        self._to_show: dict[str, set[str]] = {}  # key of a job -> the blocks that it shows
        self._started: dict[str, float] = {}
        self._start: Callable[..., None] | None = None  # makes this launch's run in MLflow, once it may have one
        self._updated = 0.0
        self._told_storage: Counted | None = None
        self._is_stopping = False

    def start(self) -> None:
        """Show the launch in MLflow: once nothing can refuse it any more. What waits to be shown is shown now."""
        self._start = functools.partial(
            self.tracking.start_launch, as_yaml(self.spec.resolved()), self.plan.plain(), provenance(),
            self.store.place, self.store.read(DATA_SHEET), self.store.places, view=shared_view(self.plan))
        counted = self.results.counted
        self._tell_storage(counted)
        held = {config_hash: {*sum(map(block_seeds, units), ())} for config_hash, units in self._done.items()}
        self._queue.put(LACKING, functools.partial(self._tell_of_lacking, counted, held), first=True)
        self._queue.put(LAUNCH, functools.partial(self._show_launch, self.counts(), counted), first=True)
        self._queue.start()

    # Events of a round.

    def started(self, unit: Unit) -> None:
        self._started[unit.key] = time.time()
        self.progress.running = len(self._started)

    def advanced(self, unit: Unit, share: float) -> None:
        self.progress.advanced(self.name(unit), cost(unit), share)

    def finished(self, unit: Unit, rungs: Mapping[int, float] | None) -> bool:
        begun = self._started.get(unit.key, time.time())
        if rungs is not None:  # the worker was stopped: what it leaves is written here
            self.store.write_done(unit, Manifest(status="pruned", started=begun, primary=self.spec.primary,
                                                 commit=commit() or "", rungs=dict(rungs)))
        manifest = self.store.done(unit)
        if manifest is None:
            return False
        result = self.results.add_done(unit, manifest)
        self.progress.left(self.name(unit))
        self._started.pop(unit.key, None)
        self.progress.running = len(self._started)
        self.progress.finished(self.outcome(result))
        self.show(unit, manifest)
        self._update_launch()
        return True

    def retried(self, unit: Unit, message: str) -> None:
        self._started.pop(unit.key, None)
        self.progress.left(self.name(unit))
        self.progress.say(f"{self.name(unit)}: {message}; it goes on in another worker")

    def lost(self, unit: Unit, message: str, out_of_memory: bool) -> None:
        self._started.pop(unit.key, None)
        self.progress.left(self.name(unit))
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

    def noted(self, unit: Unit, note: str) -> None:
        if not self.progress.quiet:
            self.progress.say(f"{self.name(unit)}: {note}")

    def stopping(self) -> None:
        if not self._is_stopping and not self.progress.quiet:
            self.progress.say("stopping; what runs goes on from its last checkpoint, if it has one")
        self._is_stopping = True

    def expect(self, units: Sequence[Unit]) -> None:
        """Learn that these are all that is left: what is to be confirmed is known now."""
        self._tell_storage(self.results.counted)
        self.progress.expect(len(units), sum(map(cost, units)))

    def interrupted(self, unit: Unit) -> None:
        self._started.pop(unit.key, None)
        self._mark(unit, "interrupted", "The same command continues it from its last checkpoint, if it has one.")

    # MLflow.

    def show(self, unit: Unit, manifest: Manifest) -> None:
        """Show a done unit in MLflow, as soon as MLflow can take it."""
        self._done.setdefault(unit.config_hash, {})[unit.block] = unit, manifest
        key = self._name_of(unit)
        self._to_show.setdefault(key, set()).add(unit.block)
        self._queue.put(key, functools.partial(self._show, unit))

    def register(self) -> None:
        """Have the best confirmed network of each arm in MLflow's registry, where it is kept."""
        counted = self.results.counted.arms
        done = [one for config_hash in counted for one in self._done.get(config_hash, {}).values()]
        confirmed = [Replicate(unit, manifest, row) for unit, manifest in done
                     if unit.configuration.phase == "confirm" and manifest.state
                     for row in final_rows(self.store.rows(unit, manifest), unit.block).values()
                     if row[DIVERGED_AT] is None and is_planned(row[SEED], unit, self.plan)]
        for arm in self.spec.arms:
            mine = [one for one in confirmed if counted[one.unit.config_hash] == arm]
            if mine:
                one = best_of(mine, self.plan)
                self._queue.put(f"{NETWORK}{arm}", functools.partial(self._register, arm, one))

    def _register(self, arm: str, one: Replicate) -> None:
        payload = self.store.read_state(one.unit, one.manifest)
        if payload is not None:
            modules = [self.spec.imports[name].path for name in one.unit.configuration.imports]
            self.tracking.register(arm, one, payload, modules)

    def close(self, status: str) -> bool:
        """Show what is not shown yet, as long as MLflow takes it, and end the launch's run (finished | failed |
        interrupted). False: a person did not want to wait."""
        if self._start:
            counted = self.results.counted
            with suppress(StorageError):  # which has ended the launch, as it has said: the next one writes it
                self._tell_storage(counted)
            self._queue.put(END, functools.partial(self._show_launch, self.counts(), counted, status))
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

    @cached_property
    def kept_bytes(self) -> int:
        """Of all networks that the storage keeps, as it is asked first."""
        return sum(self.store.kept().values())

    @property
    def not_shown(self) -> int:
        """Units that are done and that MLflow does not show yet."""
        return sum(len(self._to_show.get(key, ())) for key in self._queue.waiting())

    def what_lacks(self) -> list[str]:
        """A line of what MLflow does not show, and of what is not in its registry."""
        if self.tracking.is_gone:
            return [f"MLflow at {self.tracking.uri} is no longer there; the same command shows the study in a new one"]
        lines = []
        if units := self.not_shown:
            most = "" if self.tracking.is_known else "up to "
            is_refused = self._queue.refused() & self._to_show.keys()  # though MLflow answers
            cure = f"{'once that is mended (see above) ' if is_refused else ''}the same command"
            lines.append(f"{most}{units} units are not shown in MLflow; {cure} adds them")
        if arms := sorted(key.removeprefix(NETWORK) for key in self._queue.waiting() if key.startswith(NETWORK)):
            lines.append(f"not in MLflow's registry: the best networks of {', '.join(arms)}; the same command adds "
                         "them")
        return lines

    # Jobs, in the queue's thread.

    def _show(self, unit: Unit) -> None:
        """With all that is done of its configuration by now, under whatever name its arm had then."""
        try:
            self.tracking.show(self.store, [*self._done[unit.config_hash].values()])
        except DamagedError as error:
            self.lost_units.append((unit, str(error)))
            self.progress.say(str(error))
        except StorageError as error:
            raise TrackingError(str(error), away=True) from error

    def _tell_of_lacking(self, counted: Counted, held: Mapping[str, Collection[int]]) -> None:
        """held: config_hash -> seeds that are finished as the launch begins."""
        mine = {config_hash: tags for config_hash, tags in self.tracking.shown().items()
                if config_hash in counted.arms or self.plan.study_version in tags.versions}
        lacking = [config_hash for config_hash, tags in mine.items()
                   if {*sum(tags.blocks, ())}.difference(held.get(config_hash, ()))]
        if lacking:
            self.progress.say(f"MLflow shows results of {len(lacking)} configurations that the storage lacks; they are "
                              "trained again. `python -m study.restore` with the same options brings them back instead")

    def _show_launch(self, counts: Mapping[str, float], counted: Counted, status: str = "") -> None:
        """Whatever went before: a newer one replaces it."""
        assert self._start
        self._start(counted=counted)
        if status:
            self.tracking.end_launch("failed" if status == "finished" and self.lost_units else status, counts, counted)
        else:
            self.tracking.update_launch(counts, counted)

    def counts(self) -> dict[str, float]:
        """Live counts of this launch, as MLflow shows them."""
        p = self.progress
        found = {"units_done": p.done, "units_total": p.total, "units_lost": p.lost, "replicates": p.replicates,
                 "replicates_diverged": p.diverged}
        return {key: float(value) for key, value in found.items()}

    def _update_launch(self) -> None:
        if time.monotonic() - self._updated >= UPDATE_SECONDS:
            self._updated, counted = time.monotonic(), self.results.counted
            self._tell_storage(counted)
            self._queue.put(LAUNCH, functools.partial(self._show_launch, self.counts(), counted))

    def _tell_storage(self, counted: Counted) -> None:
        """Leave what counts beside the plan, for whoever samples or measures."""
        if counted != self._told_storage:
            write_counted(self.store, self.plan, counted)
            self._told_storage = counted

    def _mark(self, unit: Unit, status: str, message: str) -> None:
        if unit.config_hash not in self._done:  # what is shown of other seeds stays
            self._queue.put(self._name_of(unit), functools.partial(self.tracking.mark, unit, status, message))

    # For people.

    def name(self, unit: Unit) -> str:
        """`design jko step_size=0.12 seeds 0-5 (1f2e...)`."""
        return self._name_of(unit, f"seeds {unit.block} ")

    def _name_of(self, unit: Unit, seeds: str = "") -> str:
        c = unit.configuration
        named = " ".join(filter(None, (c.phase, c.arm, knobs_text(c, self.plan.factors))))
        return f"{named} {seeds}({unit.config_hash})"

    def outcome(self, result: Result) -> Outcome:
        """A result in the live view's words."""
        c = result.unit.configuration
        giver, _ = self.results.settings.get(result.unit.config_hash, (c.arm, ""))
        return Outcome(c.phase, c.arm, knobs_text(c, self.plan.factors), self.spec.primary,
                       result.value, result.replicates, result.diverged, result.seconds, cost(result.unit),
                       predicted(self.plan, c), result.pruned, result.kappa, result.verdicts, [*result.missed],
                       giver if giver != c.arm else "")
