"""One round of Ray Tune: at most 500 units from a source, each in an actor that outlives it. Needs a running Ray."""

from __future__ import annotations

import json
import logging
import os
import signal
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ray import tune
from ray.tune import Callback
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from study.run.cluster import probe
from study.run.interrupt import tell_of_interrupt
from study.run.sources import Source
from study.schema.unit import Unit
from study.store.cache import cache_dir
from study.store.units import StorageError, Store

RETRIES = 1  # of a unit whose worker died or raised
MOVES = 10  # of a unit whose node died, or was unfit: a spot machine's end is not its fault, unless always there
MOVED, DIED = "its node died", "its worker died"
UNFOUND = "its worker finished, but no done.json of it, or not each file that it names, is in the storage"
UNFIT = "unfit"  # a worker's status, for its node (`probe.unfit`): the unit has not begun
NODE_ID = "ray.io/node-id"  # the label that Ray gives each node
KNOWN = "spec.json"  # a file of the study that every launch writes before its first unit
NODE_DIED = ("its node has died", "is unavailable")  # Ray's words; the second until it has missed enough heartbeats
LOW_MEMORY = ("OutOfMemoryError", "running low on memory")  # Ray's memory monitor killed the worker
# Workers, and nodes, that died under a unit, after which it is taken to have used up their memory: see _Gate.
DEADLY = {DIED: (2, "workers"), MOVED: (5, "nodes")}
ROUND = 500  # the driver's memory grows with every trial of one fit() (ray#64231)


class Watcher(Protocol):
    """Told by a round what happens, one call an event."""

    def started(self, unit: Unit) -> None:
        """A worker has begun."""

    def finished(self, unit: Unit, rungs: dict[int, float] | None) -> None:
        """The unit is done; rungs: what it had reported when it was pruned."""

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


class Worker(tune.Trainable):
    """A worker. Its state is one UnitRun, replaced for each unit, so a reused worker is as good as a new one."""

    def setup(self, config: dict[str, Any]) -> None:
        """Take the first unit."""
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next unit. Made in `step`, so that what goes wrong there counts as the unit's failure."""
        self._job = json.loads(new_config["job"])
        self._unit_run: Any = None
        return True

    def step(self) -> dict[str, Any]:
        """Train to the next evaluation point, or say that the node is unfit."""
        if self._unit_run is None:
            from study.run.unit_run import UnitRun

            job = self._job
            unit = Unit.read(job["unit"])
            store = Store(job["storage"], job["study"], job["stamp"], may_begin=False)
            if job["versions"] and (problem := probe.unfit(store, job["versions"], KNOWN)):  # a mount may go, too
                import ray

                return {"status": UNFIT, "node": ray.get_runtime_context().get_node_id(), "problem": problem,
                        "done": True}
            self._unit_run = UnitRun(unit, store, cache_dir=str(cache_dir(store)), **job["options"])
        report = dict(self._unit_run.advance())
        if notes := self._unit_run.take_notes():
            report["note"] = "; ".join(notes)
        return report


@dataclass
class _Desk:
    """What searcher, scheduler and callback of one round share. Tune pickles all three: a copy of a desk is bare."""

    source: Source
    watcher: Watcher
    job: dict[str, Any]
    options: Callable[[Unit], dict[str, Any]]
    room: Callable[[], int]
    shunned: set[str] = field(default_factory=set)  # ids of unfit nodes, on which no further unit is placed
    left: int = ROUND
    units: dict[str, Unit] = field(default_factory=dict)
    again: list[Unit] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    moves: Counter[str] = field(default_factory=Counter)
    rungs: dict[str, dict[int, float]] = field(default_factory=dict)
    pruned: set[str] = field(default_factory=set)
    out_of_memory: dict[str, str] = field(default_factory=dict)  # Tune's trials, and what to say of them
    moved: dict[str, str] = field(default_factory=dict)  # Tune's trials whose node died or is unfit, and which of these
    unfound: set[str] = field(default_factory=set)  # Tune's trials that ended, and of which nothing is here
    deaths: Counter[tuple[str, str]] = field(default_factory=Counter)  # of workers and nodes, by the unit they ran
    is_alone: bool = False  # whether a unit has a node to itself
    is_done: Callable[[Unit], bool] = lambda unit: True  # whether its files are where the driver reads
    error: StorageError | None = None  # of the driver's own files: the round ends with it

    def goes_on(self, unit: Unit) -> bool:
        """Whether a unit that failed gets another worker."""
        return self.failures[unit.key] <= RETRIES and self.moves[unit.key] <= MOVES

    def __reduce__(self) -> tuple[Any, ...]:
        return (object, ())


class _Dealer(Searcher):
    def __init__(self, desk: _Desk) -> None:
        super().__init__()
        self._desk = desk

    def suggest(self, trial_id: str) -> Any:
        desk = self._desk
        if desk.error is not None:
            raise desk.error
        if len(desk.units) >= desk.room():
            return None
        if desk.again:
            unit: Unit | None = desk.again.pop()
        else:
            unit = desk.source.next() if desk.left else None
            desk.left -= unit is not None
        if unit is None:  # a running unit may fail and come again
            is_over = not desk.units and (not desk.left or desk.source.is_exhausted)
            return self.FINISHED if is_over else None
        desk.units[trial_id] = unit
        job = {**desk.job, "unit": unit.plain(), "options": desk.options(unit)}
        # Strings: Tune would look for search spaces in what is nested.
        return {"job": json.dumps(job), "shunned": ",".join(sorted(desk.shunned))}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        desk = self._desk
        unit = desk.units[trial_id]
        is_known = error or not result or trial_id in {*desk.out_of_memory, *desk.moved, *desk.pruned}
        if not is_known and not desk.is_done(unit):
            desk.unfound.add(trial_id)
        if trial_id in desk.out_of_memory:
            desk.source.finished(unit, "lost")
        elif error or not result or trial_id in desk.moved or trial_id in desk.unfound:
            # Not left to Tune's max_failures: a worker that dies while it is given its next unit counts twice there.
            (desk.moves if trial_id in desk.moved else desk.failures)[unit.key] += 1
            if desk.goes_on(unit):
                desk.again.append(unit)
            else:
                desk.source.finished(unit, "lost")
        else:
            try:
                desk.source.finished(unit, "pruned" if trial_id in desk.pruned else result["status"])
            except StorageError as problem:  # raised here, Tune would wrap it into a page of traceback
                desk.error = problem

    def save(self, checkpoint_path: str) -> None:
        """Nothing: storage remembers."""


class _Gate(FIFOScheduler):
    """Learns how a trial ended before searcher and callback are told, and asks the source whether to prune.

    The kernel, or a pod's limit, that kills for memory kills a worker or a whole node, and says so to nobody but the
    machine's log. A unit under which two workers or five nodes have died (spot machines die for reasons of their own)
    gets a node to itself at the study's end, like one that ran out of memory in words; there it is judged by the usual
    counts.
    """

    def __init__(self, desk: _Desk) -> None:
        super().__init__()
        self._desk = desk

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        desk, key, said, reason = self._desk, trial.trial_id, _said(trial), _reason(trial)
        if any(words in said for words in LOW_MEMORY):
            desk.out_of_memory[key] = "out of memory"
            return
        if reason == MOVED:
            desk.moved[key] = MOVED
        if reason in (MOVED, DIED):
            unit, (many, what) = desk.units[key].key, DEADLY[reason]
            desk.deaths[unit, reason] += 1
            if desk.deaths[unit, reason] >= many and not desk.is_alone:
                desk.out_of_memory[key] = f"{many} {what} died under it, perhaps for want of memory"

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        if result["status"] == "oom":
            self._desk.out_of_memory[trial.trial_id] = "out of memory"
        self._noted(trial, result)
        if result["status"] == UNFIT:
            self._desk.moved[trial.trial_id] = f"{result['problem']}; no unit is placed there any more"
            self._desk.shunned.add(result["node"])

    def _noted(self, trial: Any, result: dict[str, Any]) -> None:
        if note := result.get("note"):
            self._desk.watcher.noted(self._desk.units[trial.trial_id], note)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        desk = self._desk
        self._noted(trial, result)
        rungs = {} if result["done"] else dict(json.loads(result["rungs"]))
        if result["update"] not in rungs:
            return TrialScheduler.CONTINUE
        desk.rungs[trial.trial_id] = rungs
        if not desk.source.should_prune(desk.units[trial.trial_id], rungs):
            return TrialScheduler.CONTINUE
        desk.pruned.add(trial.trial_id)
        return TrialScheduler.STOP


class _Events(Callback):
    def __init__(self, desk: _Desk) -> None:
        self._desk = desk
        self._is_told = False

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        if not self._is_told:  # Tune has its own handler by now
            self._is_told = True
            tell_of_interrupt(self._desk.watcher.stopping)
        self._desk.room()  # also while Tune asks for no unit: it is what notices that no node is left

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._desk.watcher.started(self._desk.units[trial.trial_id])

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        desk, key = self._desk, trial.trial_id
        unit, rungs = desk.units.pop(key), desk.rungs.pop(key, {})
        if key in desk.out_of_memory:
            desk.watcher.lost(unit, desk.out_of_memory[key], True)
        elif key in desk.moved:
            self._failed(unit, desk.moved[key])
        elif key in desk.unfound:
            self._failed(unit, UNFOUND)
        else:
            desk.watcher.finished(unit, rungs if key in desk.pruned else None)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        unit = self._desk.units.pop(trial.trial_id)
        if trial.trial_id in self._desk.out_of_memory:
            self._desk.watcher.lost(unit, self._desk.out_of_memory[trial.trial_id], True)
        else:
            self._failed(unit, _reason(trial))

    def _failed(self, unit: Unit, reason: str) -> None:
        if self._desk.goes_on(unit):
            self._desk.watcher.retried(unit, reason)
        else:
            self._desk.watcher.lost(unit, reason, False)


def _is_done(store: Store, unit: Unit) -> bool:
    try:
        return store.done(unit) is not None
    except StorageError:  # it cannot be read now: source and watcher, which read it next, say so
        return True


def _said(trial: Any) -> str:
    """What a worker said when it failed."""
    try:
        with open(trial.error_file, errors="replace") as file:
            return file.read()
    except (OSError, TypeError):
        return ""


def _reason(trial: Any) -> str:
    """Its last line."""
    said = _said(trial)
    if any(words in said for words in NODE_DIED):
        return MOVED
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return DIED if not lines or lines[-1].startswith("The actor") else lines[-1][:300]


def _placement(resources: Mapping[str, float], shunned: str) -> tune.PlacementGroupFactory:
    """One bundle, anywhere but on the nodes with these ids (joined by commas)."""
    bundle = {name.upper(): amount for name, amount in resources.items()}
    selector: dict[str, Any] = {"bundle_label_selector": [{NODE_ID: f"!in({shunned})"}]} if shunned else {}
    return tune.PlacementGroupFactory([bundle], **selector)


def run_round(source: Source, watcher: Watcher, store: Store, *, options: Callable[[Unit], dict[str, Any]],
              resources: dict[str, float], room: Callable[[], int], shunned: set[str] | None = None,
              alone: bool = False, verbose: bool = False) -> bool:
    """Run up to 500 units; whether the round came to its end (False: SIGINT). Blocks.

    options: UnitRun's arguments beside unit, store and cache_dir. room: how many units to have at once, asked before
    each. shunned: ids of unfit nodes, to which those are added that are found; None: no node is looked at. alone: each
    has a node to itself.
    """
    job = {"storage": store.uri, "study": store.study, "stamp": store.stamp,
           "versions": None if shunned is None else probe.versions()}
    desk = _Desk(source, watcher, job, options, room, set() if shunned is None else shunned, is_alone=alone,
                 is_done=lambda unit: _is_done(store, unit))
    logging.getLogger("ray.tune").setLevel(logging.INFO if verbose else logging.CRITICAL)
    os.environ["TUNE_PRINT_ALL_TRIAL_ERRORS"] = "1" if verbose else "0"
    with tempfile.TemporaryDirectory(prefix="tune-", ignore_cleanup_errors=True) as folder:
        tuner = tune.Tuner(
            tune.with_resources(Worker, lambda config: _placement(resources, config["shunned"])),
            tune_config=tune.TuneConfig(
                search_alg=_Dealer(desk), scheduler=_Gate(desk), num_samples=-1,
                reuse_actors=True, trial_name_creator=lambda t: t.trial_id,
                trial_dirname_creator=lambda t: t.trial_id),
            run_config=tune.RunConfig(
                name="round", storage_path=folder, verbose=2 if verbose else 0, callbacks=[_Events(desk)],
                checkpoint_config=tune.CheckpointConfig(num_to_keep=1, checkpoint_at_end=False)))
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGUSR1)}
        try:
            tuner.fit()
        finally:  # Tune leaves its own, which swallow the first Ctrl-C after it, one for each round
            for number, handler in handlers.items():
                signal.signal(number, handler or signal.SIG_DFL)
    complete = not desk.units and not desk.again and (not desk.left or source.is_exhausted)
    for unit in [*desk.units.values(), *desk.again]:
        source.finished(unit, "interrupted")
        watcher.interrupted(unit)
    return complete
