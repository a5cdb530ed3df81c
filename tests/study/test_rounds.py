"""One round without Ray: what searcher, scheduler and callback make of what Tune tells them of workers that fail."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from study.run import unit_run as study_trial
from study.run.cluster import probe
from study.run.rounds import MOVES, RETRIES, UNFIT, UNFOUND, Worker, _Dealer, _Desk, _Events, _Gate, _placement
from study.run.sources import Fixed
from study.schema.unit import Unit
from study.store.units import StorageError, Store
from tests.configurations import unit

KILLED = "ray.exceptions.ActorDiedError\nThe actor died unexpectedly before finishing this task.\n"
GONE = "ray.exceptions.ActorDiedError: The actor died because its node has died. Node Id: 1f\n"
RAISED = "ValueError: no\n"


class Watcher:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda unit, *rest: self.told.append((name, *rest))


def play(folder: Path, errors: list[str], alone: bool = False) -> list[tuple[Any, ...]]:
    """One unit whose workers fail with these words, one after the other, as long as it gets another."""
    watcher, told = Watcher(), []
    source = Fixed([unit()], lambda unit, status: told.append(status))
    desk = _Desk(source, watcher, {}, lambda unit: {}, lambda: 1, is_alone=alone)
    dealer, gate, events = _Dealer(desk), _Gate(desk), _Events(desk)
    for number, said in enumerate(errors):
        if dealer.suggest(str(number)) == dealer.FINISHED:
            break
        (folder / "error").write_text(said)
        trial = SimpleNamespace(trial_id=str(number), error_file=folder / "error")
        gate.on_trial_error(None, trial)
        dealer.on_trial_complete(trial.trial_id, None, error=True)
        events.on_trial_error(0, [], trial)
    assert told == ["lost"] * sum(what == "lost" for what, *_ in watcher.told)
    return watcher.told


@pytest.mark.parametrize("errors, died", [
    ([KILLED, KILLED], "2 workers"), ([GONE] * 5, "5 nodes"), ([KILLED, *[GONE] * 4, KILLED], "2 workers")])
def test_what_two_workers_or_five_nodes_died_under_runs_again_alone(tmp_path: Path, errors: list[str],
                                                                    died: str) -> None:
    """The kernel, or a pod's limit, kills for memory without a word that Ray hears."""
    *before, last = play(tmp_path, [*errors, RAISED])
    assert {what for what, *_ in before} <= {"retried"}
    assert last == ("lost", f"{died} died under it, perhaps for want of memory", True)
    assert len(before) == len(errors) - 1


def test_alone_the_usual_counts_hold(tmp_path: Path) -> None:
    """There a spot machine's end is no fault of the unit, and a worker's second one is."""
    told = play(tmp_path, [GONE] * 99, alone=True)
    assert told == [("retried", "its node died")] * MOVES + [("lost", "its node died", False)]
    told = play(tmp_path, [KILLED] * 99, alone=True)
    assert told == [("retried", "its worker died")] * RETRIES + [("lost", "its worker died", False)]


def test_nothing_more_is_placed_on_a_node_that_is_unfit(tmp_path: Path) -> None:
    """It is no failure of the unit, which goes on elsewhere; the searcher's next words keep it away from there."""
    watcher, told, shunned = Watcher(), [], {"bb"}
    source = Fixed([unit()], lambda unit, status: told.append(status))
    desk = _Desk(source, watcher, {}, lambda unit: {}, lambda: 1, shunned)
    dealer, gate, events = _Dealer(desk), _Gate(desk), _Events(desk)
    for key, result in (("0", {"status": UNFIT, "node": "aa", "problem": "node aa: old", "done": True}),
                        ("1", {"status": "finished", "update": 5, "done": True})):
        config = dealer.suggest(key)
        assert config["shunned"] == ("bb" if key == "0" else "aa,bb")
        trial = SimpleNamespace(trial_id=key)
        gate.on_trial_complete(None, trial, result)
        dealer.on_trial_complete(key, result)
        events.on_trial_complete(0, [], trial)
    assert watcher.told == [("retried", "node aa: old; no unit is placed there any more"), ("finished", None)]
    assert told == ["finished"] and shunned == {"aa", "bb"} and not desk.failures
    placed = [_placement({"cpu": 1.0, "gpu": 0.5}, ids) for ids in ("", "aa,bb")]
    assert [p.bundles for p in placed] == 2 * [[{"CPU": 1.0, "GPU": 0.5}]]
    assert ["!in(aa,bb)" in repr(p) for p in placed] == [False, True]
    assert placed[0] != placed[1], "an actor that waits on an unfit node is not taken again"


@pytest.mark.parametrize("found", [[False, True], [False, False]])
def test_what_is_finished_and_nowhere_found_fails_alone(found: list[bool]) -> None:
    """Its worker wrote elsewhere, or the driver's disk does not show it yet: it is tried once more, and the round goes
    on, though a search would find nothing to be told."""
    watcher, told, answers = Watcher(), [], list(found)
    source = Fixed([unit(), unit((1,))], lambda unit, status: told.append(status))
    desk = _Desk(source, watcher, {}, lambda unit: {}, lambda: 1,
                 is_done=lambda unit: not answers or answers.pop(0))
    dealer, gate, events = _Dealer(desk), _Gate(desk), _Events(desk)
    for key in "012":
        assert dealer.suggest(key) != dealer.FINISHED
        trial, result = SimpleNamespace(trial_id=key), {"status": "finished", "update": 5, "done": True}
        gate.on_trial_complete(None, trial, result)
        dealer.on_trial_complete(key, result)
        events.on_trial_complete(0, [], trial)
    assert dealer.suggest("3") == dealer.FINISHED
    ends = ["finished"] if found[1] else ["lost"]
    assert told == [*ends, "finished"]
    assert watcher.told == [("retried", UNFOUND), ("finished", None) if found[1] else ("lost", UNFOUND, False),
                            ("finished", None)]


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
    reports = iter([{"update": 6, "rungs": "[]", "status": "running", "done": is_done}] * 2)
    one = SimpleNamespace(take_notes=lambda: [notes.pop(0), notes.pop(0)] if notes else [],
                          advance=lambda: next(reports))
    monkeypatch.setattr(study_trial, "UnitRun", lambda *words, **options: one)
    worker = Worker({"job": json.dumps({"unit": unit().plain(), "study": "tiny",
                                        "storage": str(tmp_path), "stamp": {}, "options": {}, "versions": None})})
    watcher = Watcher()
    desk = _Desk(Fixed([]), watcher, {}, lambda unit: {}, lambda: 1, units={"1": unit()})
    tell = _Gate(desk).on_trial_complete if is_done else _Gate(desk).on_trial_result
    for _ in range(2):
        tell(None, SimpleNamespace(trial_id="1"), worker.step())
    assert watcher.told == [("noted", "checkpoint-9 is damaged; it goes on from update 5 of 12")]


def test_an_interrupt_of_a_round_is_told_before_tune_answers_it() -> None:
    """Tune has set its handler when the first step begins; later steps must not put another one over it."""
    said: list[str] = []
    watcher = SimpleNamespace(stopping=lambda: said.append("stopping"))
    events = _Events(_Desk(Fixed([]), watcher, {}, lambda unit: {}, lambda: 1))
    before = signal.signal(signal.SIGINT, lambda *_: said.append("Tune"))
    try:
        for step in range(3):
            events.on_step_begin(step, [])
        os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert said == ["stopping", "Tune"]


def test_what_raises_twice_is_lost(tmp_path: Path) -> None:
    assert play(tmp_path, [RAISED] * 9) == [("retried", "ValueError: no"), ("lost", "ValueError: no", False)]
    assert play(tmp_path, ["ray.exceptions.OutOfMemoryError: Task was killed\n"]) == [("lost", "out of memory", True)]


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
