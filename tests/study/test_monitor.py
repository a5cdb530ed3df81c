"""The driver's hand in a study: what it shows where, when MLflow or the storage fails; launches as in
`test_launch_whole`."""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from study.show import command
from study.show.tracking import Tracking
from study.show.tracking.upload_queue import UploadQueue
from study.store.units import DamagedError, StorageError, Store
from tests.study.test_launch_whole import Launch, done, launch, launches, run_round, shown  # noqa: F401

SEARCH = ("--set", "design=null", "--set",
          "search={replicates: 1, trials: 2, sampler: random, space: {step_size: {log: [0.02, 0.5]}}}")


def test_a_lost_journal_is_made_again_though_mlflow_is_away(launch: Launch,  # noqa: F811
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    """Each manifest says of which version it is; the commit is the driver's, where a worker knows of none."""
    monkeypatch.setattr("study.run.unit_run.commit", lambda: None)
    monkeypatch.setattr("study.resume.commit", lambda: "c0ffee")
    assert launch(*SEARCH)[0] == 0
    manifests = [json.loads(path.read_text()) for path in done()]
    assert [manifest["commit"] for manifest in manifests] == ["c0ffee"] * 4
    for path in Path("runs/tiny/search").glob("*/*.json"):
        path.unlink()
    stamps = [path.stat().st_mtime_ns for path in done()]
    assert "units of work: 0 left" in launch("--status", *SEARCH)[1]
    code, lines, errors = launch(*SEARCH, database="empty.db")
    assert (code, errors) == (0, []) and not any(line.startswith("[") for line in lines)
    assert [path.stat().st_mtime_ns for path in done()] == stamps


def test_a_lost_unit_that_is_trained_by_the_next_launch_is_shown_as_finished(
        launch: Launch, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    def lose_one(source: Any, monitor: Any, store: Store, **rest: Any) -> bool:
        unit = source.next()
        monitor.started(unit)
        source.finished(unit, "lost")
        monitor.lost(unit, "ValueError: no", False)
        return run_round(source, monitor, store, **rest)

    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "study.run.rounds", SimpleNamespace(run_round=lose_one))
        code, _, errors = launch()
    assert code == 1 and len(errors) == 1 and launches() == ["FAILED"]
    trials = shown().search("tags.kind = 'trial'")
    assert sorted(run.data.tags["status"] for run in trials) == ["crashed"] + ["finished"] * 3
    assert launch()[0] == 0
    trials = shown().search("tags.kind = 'trial'")
    assert [run.data.tags["status"] for run in trials] == ["finished"] * 4


@pytest.mark.parametrize("error", [DamagedError, StorageError])
def test_a_damaged_file_that_mlflow_wants_makes_its_unit_a_lost_one_and_one_that_is_away_does_not(
        launch: Launch, monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:  # noqa: F811
    """What cannot be read now is shown later."""
    asked: list[Any] = []

    def damaged(self: Tracking, store: Store, done: Any) -> None:
        [(unit, _)] = done
        asked.append(unit.key)
        if unit.key == asked[0]:
            raise error("the file is gone")
        show(self, store, done)

    def at_the_end(self: UploadQueue) -> None:
        if self._closing:
            start(self)

    show, start = Tracking.show, UploadQueue.start
    monkeypatch.setattr(Tracking, "show", damaged)
    monkeypatch.setattr(UploadQueue, "start", at_the_end)
    monkeypatch.setattr("study.show.tracking.upload_queue.PATIENCE", 2.0)
    code, _, errors = launch()
    is_lost = error is DamagedError
    assert code == int(is_lost) and len(errors) == 1 and len(shown().shown()) == 3
    assert errors[0].endswith(
        "the file is gone" if is_lost else "1 units are not shown in MLflow; the same command adds them")
    if is_lost:
        assert len(asked) == 4 and launches() == ["FAILED"]


def test_a_store_that_is_removed_while_the_study_runs_is_said_to_be(
        launch: Launch, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """No number of units, of which some were shown in it, and no commands that would find nothing."""
    def remove_it(source: Any, monitor: Any, store: Store, **rest: Any) -> bool:
        ended = run_round(source, monitor, store, **rest)
        for path in Path().glob("mlflow.db*"):
            path.unlink()
        return ended

    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "study.run.rounds", SimpleNamespace(run_round=remove_it))
        patch.setattr("study.show.tracking.upload_queue.PATIENCE", 2.0)
        code, lines, errors = launch()
    gone = (f"MLflow at sqlite:///{Path.cwd()}/mlflow.db is no longer there; the same command shows the study in a new "
            "one")
    assert (code, errors[-1]) == (0, gone) and not any("report.py" in line for line in lines)


def test_networks_that_a_registry_did_not_take_are_named_at_the_end(
        launch: Launch, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """MLflow's runs, which are elsewhere, are all there; the next launch registers."""
    words = ("--set", "confirm={top: 1, replicates: 2}")
    with monkeypatch.context() as patch:
        patch.setattr("study.show.tracking.upload_queue.PATIENCE", 6.0)
        patch.setenv("MLFLOW_REGISTRY_URI", "http://127.0.0.1:9")
        code, lines, errors = launch(*words)
    assert (code, errors) == (0, ["not in MLflow's registry: the best networks of jko, kl; the same command adds them"])
    assert not any("answers again" in line for line in lines) and launches() == ["FINISHED"]
    assert sum("not shown in MLflow: the network of " in line for line in lines) == 2
    assert launch(*words)[2] == []


def test_interrupting_the_last_uploads_ends_the_launch_in_order(
        launch: Launch, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    hang = threading.Event()

    def close(self: UploadQueue, tell: Any) -> bool:
        def interrupt() -> None:
            raise KeyboardInterrupt

        return wait(self, interrupt)

    wait = UploadQueue.close
    with monkeypatch.context() as patch:
        patch.setattr(UploadQueue, "close", close)
        patch.setattr(Tracking, "show", lambda *arguments: hang.wait(60) and None)
        code, lines, errors = launch()
    assert code == 130
    assert errors[0] == "4 units are not shown in MLflow; the same command adds them"
    assert errors[1].startswith(f"interrupted; to continue: {command.python()} -m study.launch ")
    assert any(line.startswith("units of work: 4 finished") for line in lines), "the summary is there"
    hang.set()
    code, lines, errors = launch()
    assert (code, errors) == (0, []) and len(shown().shown()) == 4


def test_no_thread_is_left_behind(launch: Launch) -> None:  # noqa: F811
    assert launch()[0] == 0 and Path("runs/tiny").is_dir()
    assert [thread for thread in threading.enumerate() if thread.name == "upload queue"] == []


def test_a_launch_that_is_interrupted_says_once_that_it_stops(launch: Launch,  # noqa: F811
                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    """And counts nothing where nothing waits to be shown, however long MLflow takes for the end of its run."""
    def interrupted(source: Any, monitor: Any, store: Store, **rest: Any) -> bool:
        monitor.stopping()
        raise KeyboardInterrupt

    end = Tracking.end_launch

    def slowly(*words: Any) -> None:
        time.sleep(1.2)
        end(*words)

    monkeypatch.setitem(sys.modules, "study.run.rounds", SimpleNamespace(run_round=interrupted))
    monkeypatch.setattr("study.show.monitor.UPDATE_SECONDS", 0.0)
    monkeypatch.setattr(Tracking, "end_launch", slowly)
    code, lines, _ = launch()
    assert code == 130 and [line for line in lines if line.startswith(("stopping", "showing"))] == [
        "stopping; what runs goes on from its last checkpoint, if it has one"]
