"""One round of Ray Tune: at most 500 units from a source, each in an actor that outlives it. Needs a running Ray."""

from __future__ import annotations

import json
import logging
import os
import signal
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from ray import tune
from ray.tune import Callback
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from study.cache import cache_dir
from study.sources import Source
from study.storage import StorageError, Store, Unit

RETRIES = 1  # of a unit whose worker died or raised
MOVES = 10  # of a unit whose node died: a spot machine's end is no fault of the unit, unless it is always there
MOVED, DIED = "its node died", "its worker died"
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
        """Train to the next evaluation point."""
        if self._unit_run is None:
            from study.trial import UnitRun

            job = self._job
            unit = Unit(job["configuration"], tuple(job["seeds"]), job["config_hash"])
            store = Store(job["storage"], job["study"], job["stamp"])
            self._unit_run = UnitRun(unit, store, cache_dir=str(cache_dir(store)), **job["options"])
        return dict(self._unit_run.advance())


@dataclass
class _Desk:
    """What searcher, scheduler and callback of one round share. Tune pickles all three: a copy of a desk is bare."""

    source: Source
    watcher: Watcher
    job: dict[str, Any]
    options: Callable[[Unit], dict[str, Any]]
    room: Callable[[], int]
    left: int = ROUND
    units: dict[str, Unit] = field(default_factory=dict)
    again: list[Unit] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    moves: Counter[str] = field(default_factory=Counter)
    rungs: dict[str, dict[int, float]] = field(default_factory=dict)
    pruned: set[str] = field(default_factory=set)
    out_of_memory: dict[str, str] = field(default_factory=dict)  # Tune's trials, and what to say of them
    moved: set[str] = field(default_factory=set)  # Tune's trials whose node died
    deaths: Counter[tuple[str, str]] = field(default_factory=Counter)  # of workers and nodes, by the unit they ran
    is_alone: bool = False  # whether a unit has a node to itself
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
        job = {**desk.job, "configuration": unit.configuration, "seeds": unit.seeds, "config_hash": unit.config_hash,
               "options": desk.options(unit)}
        return {"job": json.dumps(job)}  # one string: Tune would look for search spaces in nested dictionaries

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        desk = self._desk
        unit = desk.units[trial_id]
        if trial_id in desk.out_of_memory:
            desk.source.finished(unit, "lost")
        elif error or not result:
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
            desk.moved.add(key)
        if reason in (MOVED, DIED):
            unit, (many, what) = desk.units[key].key, DEADLY[reason]
            desk.deaths[unit, reason] += 1
            if desk.deaths[unit, reason] >= many and not desk.is_alone:
                desk.out_of_memory[key] = f"{many} {what} died under it, perhaps for want of memory"

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        if result["status"] == "oom":
            self._desk.out_of_memory[trial.trial_id] = "out of memory"

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        desk = self._desk
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

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self._desk.room()  # also while Tune asks for no unit: it is what notices that no node is left

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._desk.watcher.started(self._desk.units[trial.trial_id])

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        desk, key = self._desk, trial.trial_id
        unit, rungs = desk.units.pop(key), desk.rungs.pop(key, {})
        if key in desk.out_of_memory:
            desk.watcher.lost(unit, desk.out_of_memory[key], True)
        else:
            desk.watcher.finished(unit, rungs if key in desk.pruned else None)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        unit = self._desk.units.pop(trial.trial_id)
        if trial.trial_id in self._desk.out_of_memory:
            self._desk.watcher.lost(unit, self._desk.out_of_memory[trial.trial_id], True)
        elif self._desk.goes_on(unit):
            self._desk.watcher.retried(unit, _reason(trial))
        else:
            self._desk.watcher.lost(unit, _reason(trial), False)


def _said(trial: Any) -> str:
    """What a worker said when it failed."""
    try:
        with open(trial.error_file) as file:
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


def run_round(source: Source, watcher: Watcher, store: Store, *, options: Callable[[Unit], dict[str, Any]],
              resources: dict[str, float], room: Callable[[], int], alone: bool = False,
              verbose: bool = False) -> bool:
    """Run up to 500 units; whether the round came to its end (False: SIGINT). Blocks.

    options: UnitRun's arguments beside unit, store and cache_dir. room: how many units to have at once, asked before
    each. alone: each has a node to itself.
    """
    desk = _Desk(source, watcher, {"storage": store.uri, "study": store.study, "stamp": store.stamp}, options,
                 room, is_alone=alone)
    logging.getLogger("ray.tune").setLevel(logging.INFO if verbose else logging.CRITICAL)
    os.environ["TUNE_PRINT_ALL_TRIAL_ERRORS"] = "1" if verbose else "0"
    with tempfile.TemporaryDirectory(prefix="tune-", ignore_cleanup_errors=True) as folder:
        tuner = tune.Tuner(
            tune.with_resources(Worker, resources),
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
