"""One round of Ray Tune: units from a `Dispatch`, each in an actor that outlives it. Needs a running Ray."""

from __future__ import annotations

import json
import logging
import os
import signal
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ray import tune
from ray.air.execution._internal import actor_manager
from ray.exceptions import OutOfMemoryError, RayActorError
from ray.tune import Callback
from ray.tune.execution import tune_controller
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from study.cluster import probe
from study.cluster.failure import exception_in
from study.interrupt import tell_of_interrupt
from study.run.dispatch import DIED, Dispatch, End, Failed, Finished, Moved, OutOfMemory, Watcher
from study.run.sources import Source
from study.schema.unit import Unit
from study.store.cache import cache_dir
from study.store.units import Store

UNFIT = "unfit"  # a worker's status, for its node (`probe.unfit`): the unit has not begun
NODE_ID = "ray.io/node-id"  # the label that Ray gives each node
KNOWN = "spec.json"  # a file of the study that every launch writes before its first unit
NODE_DIED = ("its node has died", "is unavailable")  # Ray's words; the second until it has missed enough heartbeats
LOW_MEMORY = ("OutOfMemoryError", "running low on memory")  # Ray's memory monitor killed the worker
for module in (actor_manager, tune_controller):  # Tune knows a dead worker by the first, and would end by the second
    vars(module)["RayActorError"] = (RayActorError, OutOfMemoryError)


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
            store = Store(job["storage"], job["study"], job["stamp"], may_begin=False)
            if job["versions"] and (problem := probe.unfit(store, job["versions"], KNOWN)):  # a mount may go, too
                import ray

                return {"status": UNFIT, "node": ray.get_runtime_context().get_node_id(), "problem": problem,
                        "done": True}
            self._unit_run = UnitRun(Unit.read(job["unit"]), store, cache_dir=str(cache_dir(store)), **job["options"])
        report = dict(self._unit_run.advance())
        if notes := self._unit_run.take_notes():
            report["note"] = "; ".join(notes)
        return report


@dataclass
class _Round:
    """What Tune's three hooks share. Tune pickles each of them: a copy of a round is bare."""

    dispatch: Dispatch
    watcher: Watcher
    job: Callable[[Unit], dict[str, Any]]
    room: Callable[[], int]
    excluded: set[str] = field(default_factory=set)  # ids of unfit nodes, on which no further unit is placed

    def __reduce__(self) -> tuple[Any, ...]:
        return (object, ())


class _Assign(Searcher):
    """Tune's trials are units, named by what `Dispatch` calls the worker."""

    def __init__(self, of: _Round) -> None:
        super().__init__()
        self._round = of

    def suggest(self, trial_id: str) -> Any:
        dispatch = self._round.dispatch
        if len(dispatch.running) >= self._round.room() and dispatch.error is None:
            return None
        unit = dispatch.assign(trial_id)
        if unit is None:
            return self.FINISHED if dispatch.is_over else None
        # Strings: Tune would look for search spaces in what is nested.
        return {"job": json.dumps(self._round.job(unit)), "excluded": ",".join(sorted(self._round.excluded))}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Nothing: `_Judge` has been told before."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: storage remembers."""


class _Judge(FIFOScheduler):
    """Asks whether to prune, and tells how a trial ended: of Tune's hooks this one hears of it first."""

    def __init__(self, of: _Round) -> None:
        FIFOScheduler.__init__(self)
        self._round = of
        self._pruned: dict[str, dict[int, float]] = {}

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        if result["done"]:  # `on_trial_complete` follows
            return TrialScheduler.CONTINUE
        self._note(trial, result)
        self._round.watcher.advanced(self._round.dispatch.running[trial.trial_id], result["update"] / result["updates"])
        rungs = dict(json.loads(result["rungs"]))
        if result["update"] not in rungs or not self._round.dispatch.should_prune(trial.trial_id, rungs):
            return TrialScheduler.CONTINUE
        self._pruned[trial.trial_id] = rungs
        return TrialScheduler.STOP

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        if trial.trial_id in self._pruned:
            self._end(trial, Finished("pruned", self._pruned.pop(trial.trial_id)))
            return
        self._note(trial, result)
        if result["status"] == UNFIT:
            self._round.excluded.add(result["node"])
            self._end(trial, Moved(f"{result['problem']}; no unit is placed there any more"))
        else:
            self._end(trial, OutOfMemory() if result["status"] == "oom" else Finished(result["status"]))

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        self._end(trial, _failure(trial))

    def _end(self, trial: Any, how: End) -> None:
        self._round.dispatch.ended(trial.trial_id, how)

    def _note(self, trial: Any, result: dict[str, Any]) -> None:
        if note := result.get("note"):
            self._round.watcher.noted(self._round.dispatch.running[trial.trial_id], note)


class _Watch(Callback):
    def __init__(self, of: _Round) -> None:
        self._round = of
        self._is_told = False

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        if not self._is_told:  # Tune has its own handler by now
            self._is_told = True
            tell_of_interrupt(self._round.watcher.stopping)
        self._round.room()  # also while Tune asks for no unit: it is what notices that no node is left

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._round.watcher.started(self._round.dispatch.running[trial.trial_id])


def _failure(trial: Any) -> End:
    """From what Tune wrote of a worker that failed."""
    try:
        with open(trial.error_file, errors="replace") as file:
            said = file.read()
    except (OSError, TypeError):
        said = ""
    if any(words in said for words in LOW_MEMORY):
        return OutOfMemory()
    if any(words in said for words in NODE_DIED):
        return Moved()
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return Failed(DIED if not lines or lines[-1].startswith("The actor") else exception_in(said, 300))


def _placement(resources: Mapping[str, float], excluded: str) -> tune.PlacementGroupFactory:
    """One bundle, anywhere but on the nodes with these ids (joined by commas)."""
    bundle = {name.upper(): amount for name, amount in resources.items()}
    selector: dict[str, Any] = {"bundle_label_selector": [{NODE_ID: f"!in({excluded})"}]} if excluded else {}
    return tune.PlacementGroupFactory([bundle], **selector)


def run_round(source: Source, watcher: Watcher, store: Store, *, options: Callable[[Unit], dict[str, Any]],
              resources: dict[str, float], room: Callable[[], int], excluded: set[str] | None = None,
              alone: bool = False, verbose: bool = False) -> bool:
    """Run up to 500 units; whether the round came to its end (False: SIGINT). Blocks.

    options: UnitRun's arguments beside unit, store and cache_dir. room: how many units to have at once, asked before
    each. excluded: ids of unfit nodes, to which those are added that are found; None: no node is looked at. alone: each
    has a node to itself.
    """
    common = {"storage": store.uri, "study": store.study, "stamp": store.stamp,
              "versions": None if excluded is None else probe.versions()}
    dispatch = Dispatch(source, watcher, alone=alone)
    one = _Round(dispatch, watcher, lambda unit: {**common, "unit": unit.plain(), "options": options(unit)}, room,
                 set() if excluded is None else excluded)
    logging.getLogger("ray.tune").setLevel(logging.INFO if verbose else logging.CRITICAL)
    os.environ["TUNE_PRINT_ALL_TRIAL_ERRORS"] = "1" if verbose else "0"
    with tempfile.TemporaryDirectory(prefix="tune-", ignore_cleanup_errors=True) as folder:
        tuner = tune.Tuner(
            tune.with_resources(Worker, lambda config: _placement(resources, config["excluded"])),
            tune_config=tune.TuneConfig(
                search_alg=_Assign(one), scheduler=_Judge(one), num_samples=-1, reuse_actors=True,
                trial_name_creator=lambda t: t.trial_id, trial_dirname_creator=lambda t: t.trial_id),
            run_config=tune.RunConfig(
                name="round", storage_path=folder, verbose=2 if verbose else 0, callbacks=[_Watch(one)],
                checkpoint_config=tune.CheckpointConfig(num_to_keep=1, checkpoint_at_end=False)))
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGUSR1)}
        try:
            tuner.fit()
        finally:  # Tune leaves its own, which swallow the first Ctrl-C after it, one for each round
            for number, handler in handlers.items():
                signal.signal(number, handler or signal.SIG_DFL)
    complete = dispatch.is_over
    dispatch.interrupt()
    return complete
