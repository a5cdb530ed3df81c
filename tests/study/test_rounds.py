"""One round without Ray: what Tune's hooks make of what it tells them, and what a worker does with its units."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.air.execution._internal import actor_manager
from ray.exceptions import OutOfMemoryError
from ray.tune.execution import tune_controller

from study.cluster import probe
from study.run import unit_run as study_trial
from study.run.dispatch import DIED, Dispatch, End, Failed, Moved, OutOfMemory
from study.run.rounds import UNFIT, Worker, _Assign, _failure, _Judge, _placement, _Round, _Watch
from study.run.sources import Fixed
from study.schema.unit import Unit
from study.store.units import StorageError, Store
from tests.configurations import unit
from tests.study.test_dispatch import Watcher


def a_round(watcher: Any, source: Fixed, excluded: set[str] | None = None) -> _Round:
    return _Round(Dispatch(source, watcher), watcher, lambda unit: {}, lambda: 1, excluded or set())


@pytest.mark.parametrize("said, how", [
    ("ray.exceptions.ActorDiedError\nThe actor died unexpectedly before finishing this task.\n", Failed(DIED)),
    ("ray.exceptions.ActorDiedError: The actor died because its node has died. Node Id: 1f\n", Moved()),
    ("ray.exceptions.OutOfMemoryError: Task was killed\n", OutOfMemory()),
    ("ValueError: no\n", Failed("ValueError: no")), ("", Failed(DIED)), (None, Failed(DIED)),
    ("Traceback:\n  File \"a.py\"\nKeyError: 1\n  File \"b.py\"\nown.BadError: third\nupdate: 3\n",
     Failed("own.BadError: third update: 3"))])
def test_how_a_worker_failed_is_read_from_what_ray_says_of_it(tmp_path: Path, said: str | None, how: End) -> None:
    if said is not None:
        (tmp_path / "error").write_text(said)
    assert _failure(SimpleNamespace(error_file=tmp_path / "error")) == how


def test_tune_goes_on_where_ray_s_memory_monitor_stops_a_worker_that_trains() -> None:
    """Ray raises another class than for a worker that dies while it starts; Tune alone would end the round."""
    failed, ended = list[Exception](), list[Exception]()
    actor = SimpleNamespace(actor_id=1, _on_error=lambda actor, error: ended.append(error))
    task = SimpleNamespace(_tracked_actor=actor, _on_error=lambda actor, error: failed.append(error))
    manager = SimpleNamespace(_failed_actor_ids=set(), _cleanup_actor=lambda tracked_actor: None)
    error = OutOfMemoryError("low on memory")
    actor_manager.RayActorManager._actor_task_failed(manager, task, error)
    assert failed == ended == [error] and isinstance(error, tune_controller.RayActorError)


def test_a_trial_that_is_pruned_is_not_asked_for_its_files(tmp_path: Path) -> None:
    """Tune stops it with its last report, as if that were its end."""
    watcher, told = Watcher(), list[str]()

    class Strict(Fixed):
        def should_prune(self, unit: Unit, rungs: Any) -> bool:
            return rungs[2] > 0.4

    one = a_round(watcher, Strict([unit()], lambda unit, status: told.append(status)))
    assign, judge, trial = _Assign(one), _Judge(one), SimpleNamespace(trial_id="0")
    assign.suggest("0")
    report = {"update": 2, "updates": 8, "rungs": "[[2, 0.5]]", "status": "running", "done": False}
    assert judge.on_trial_result(None, trial, report) == "STOP"
    judge.on_trial_complete(None, trial, report)
    assert (told, watcher.told) == (["pruned"], [("advanced", 0.25), ("finished", {2: 0.5})])
    assert assign.suggest("1") == assign.FINISHED


def test_nothing_more_is_placed_on_a_node_that_is_unfit(tmp_path: Path) -> None:
    """It is no failure of the unit, which goes on elsewhere; the searcher's next words keep it away from there."""
    watcher, told, excluded = Watcher(), list[str](), {"bb"}
    one = a_round(watcher, Fixed([unit()], lambda unit, status: told.append(status)), excluded)
    assign, judge = _Assign(one), _Judge(one)
    for key, result in (("0", {"status": UNFIT, "node": "aa", "problem": "node aa: old", "done": True}),
                        ("1", {"status": "finished", "update": 5, "done": True})):
        assert assign.suggest(key)["excluded"] == ("bb" if key == "0" else "aa,bb")
        judge.on_trial_complete(None, SimpleNamespace(trial_id=key), result)
    assert watcher.told == [("retried", "node aa: old; no unit is placed there any more"), ("finished", None)]
    assert told == ["finished"] and excluded == {"aa", "bb"}
    placed = [_placement({"cpu": 1.0, "gpu": 0.5}, ids) for ids in ("", "aa,bb")]
    assert [p.bundles for p in placed] == 2 * [[{"CPU": 1.0, "GPU": 0.5}]]
    assert ["!in(aa,bb)" in repr(p) for p in placed] == [False, True]
    assert placed[0] != placed[1], "an actor that waits on an unfit node is not taken again"


def test_a_worker_asks_before_each_unit_whether_its_node_is_fit(tmp_path: Path,
                                                                monkeypatch: pytest.MonkeyPatch) -> None:
    """Other versions, or a storage without the study, are unfit; one that does not answer is left to the unit."""
    store, mine = Store(f"file://{tmp_path}", "tiny"), probe.versions()
    store.write("spec.json", b"{}")
    assert probe.unfit(store, mine, "spec.json") is None
    assert probe.unfit(store, {**mine, "numpy": "1.0"}, "spec.json").endswith(
        f"found numpy {mine['numpy']}, expected 1.0, as where the launch runs")
    assert probe.unfit(store, mine, "other").endswith(
        " does not see what this launch wrote there; expected a place that every node reads and writes")

    def away(name: str) -> None:
        raise StorageError("away")

    monkeypatch.setattr(store, "read", away)
    assert probe.unfit(store, mine, "spec.json") is None
    asked: list[Any] = []
    monkeypatch.setattr(probe, "unfit", lambda store, expected, known: asked.append(expected))
    one = SimpleNamespace(take_notes=list, advance=lambda: {"done": 1})
    monkeypatch.setattr(study_trial, "UnitRun", lambda *words, **options: one)
    for versions in (mine, None):  # None: a local instance's
        job = {"unit": unit().plain(), "storage": str(tmp_path), "study": "tiny",
               "stamp": {}, "options": {}, "versions": versions}
        worker = Worker({"job": json.dumps(job)})
        for _ in range(2):
            assert worker.step() == {"done": 1}
            worker.reset_config({"job": json.dumps(job)})
    assert asked == [mine, mine], "a disk may be unmounted between two units"


@pytest.mark.parametrize("is_done", [False, True])
def test_what_a_worker_notes_of_its_beginning_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                           is_done: bool) -> None:
    notes = ["checkpoint-9 is damaged", "it goes on from update 5 of 12"]
    reports = iter([{"update": 6, "updates": 12, "rungs": "[]", "status": "running", "done": is_done}] * 2)
    one = SimpleNamespace(take_notes=lambda: [notes.pop(0), notes.pop(0)] if notes else [],
                          advance=lambda: next(reports))
    monkeypatch.setattr(study_trial, "UnitRun", lambda *words, **options: one)
    worker = Worker({"job": json.dumps({"unit": unit().plain(), "study": "tiny",
                                        "storage": str(tmp_path), "stamp": {}, "options": {}, "versions": None})})
    watcher = Watcher()
    one_round = a_round(watcher, Fixed([unit()]))
    one_round.dispatch.assign("1")
    judge = _Judge(one_round)
    tell = judge.on_trial_complete if is_done else judge.on_trial_result
    for _ in range(1 if is_done else 2):
        tell(None, SimpleNamespace(trial_id="1"), worker.step())
    assert watcher.told[:1] == [("noted", "checkpoint-9 is damaged; it goes on from update 5 of 12")]


def test_an_interrupt_of_a_round_is_told_before_tune_answers_it() -> None:
    """Tune has set its handler when the first step begins; later steps must not put another one over it."""
    said: list[str] = []
    watcher = SimpleNamespace(stopping=lambda: said.append("stopping"))
    events = _Watch(a_round(watcher, Fixed([])))
    before = signal.signal(signal.SIGINT, lambda *_: said.append("Tune"))
    try:
        for step in range(3):
            events.on_step_begin(step, [])
        os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert said == ["stopping", "Tune"]


@pytest.mark.parametrize("home", ["its own", "none"])
def test_a_worker_keeps_extractors_where_its_own_user_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                          home: str) -> None:
    """The driver's home may be another user's, or on another machine."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    if home == "none":
        (tmp_path / ".cache").write_text("a file")
    given: dict[str, Any] = {}

    def run(unit: Unit, store: Any, **options: Any) -> Any:
        given.update(options)
        return SimpleNamespace(advance=dict, take_notes=list)

    monkeypatch.setattr(study_trial, "UnitRun", run)
    worker = Worker({"job": json.dumps({
        "unit": unit().plain(), "storage": "mock:///bucket", "study": "s", "stamp": {},
        "options": {"device": "cpu"}, "versions": None})})
    worker.step()
    expected = tmp_path / ".cache/ebm-study" if home == "its own" else tmp_path / f"tmp/ebm-study-{os.getuid()}"
    assert given == {"device": "cpu", "cache_dir": str(expected)}
