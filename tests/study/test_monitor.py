"""The driver's hand in a study: what it shows where, when MLflow or the storage fails; launches as in
`test_launch_whole`."""

from __future__ import annotations

import json
import shutil
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
from study.store.units import StorageError, Store
from tests.study.test_launch_whole import Launch, done, launch, launches, run_round, shown  # noqa: F401


def test_what_only_mlflow_still_knows_is_not_trained_again(launch: Launch) -> None:  # noqa: F811
    """Its records are written into the storage again, so that it counts in the summary."""
    code, first, _ = launch()
    assert code == 0
    for unit in done()[:2]:
        shutil.rmtree(unit.parent)
    code, lines, errors = launch()
    assert (code, errors) == (0, []) and len(done()) == 4
    assert "4 units of work are finished, 0 are left" in lines and not any(line.startswith("[") for line in lines)
    counts = "units of work: 4 finished, 0 lost; 0/8 replicates diverged"
    assert counts in first and counts in lines
    assert [line for line in lines if line.startswith("best ")] == [line for line in first if line.startswith("best ")]


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
    assert "0 units are left" in launch("--status", *SEARCH)[1]
    code, lines, errors = launch(*SEARCH, database="empty.db")
    assert (code, errors) == (0, []) and not any(line.startswith("[") for line in lines)
    assert [path.stat().st_mtime_ns for path in done()] == stamps


def test_what_mlflow_alone_holds_keeps_its_version_its_commit_and_all_its_rungs(
        launch: Launch, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setattr("study.run.unit_run.commit", lambda: "c0ffee")
    monkeypatch.setattr("study.show.tracking.tags.LONGEST", 20)
    words = (*SEARCH, "--set", "train.updates=8", "--set", "evaluation.points=8")
    assert launch(*words)[0] == 0
    before = {path: json.loads(path.read_text()) for path in done()}
    shutil.rmtree("runs")
    assert launch(*words, "--set", "search.sampler=tpe")[0::2] == (0, [])
    for path, manifest in before.items():
        again = json.loads(path.read_text())
        assert {key: again[key] for key in ("rungs", "commit", "study_version")} == {
            key: manifest[key] for key in ("rungs", "commit", "study_version")} and len(again["rungs"]) == 8


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


def test_a_file_that_cannot_be_read_when_mlflow_wants_it_makes_its_unit_a_lost_one(
        launch: Launch, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    asked: list[Any] = []

    def damaged(self: Tracking, store: Store, unit: Any, manifest: Any) -> None:
        asked.append(unit.key)
        if unit.key == asked[0]:
            raise StorageError("the file is gone")
        log_unit(self, store, unit, manifest)

    log_unit = Tracking.log_unit
    monkeypatch.setattr(Tracking, "log_unit", damaged)
    code, _, errors = launch()
    assert code == 1 and len(errors) == 1 and errors[0].endswith("the file is gone")
    assert len(asked) == 4 and len(shown().finished()) == 3


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
        patch.setattr(Tracking, "log_unit", lambda *arguments: hang.wait(60) and None)
        code, lines, errors = launch()
    assert code == 130
    assert errors[0] == "4 units are not shown in MLflow; the same command adds them"
    assert errors[1].startswith(f"interrupted; to continue: {command.python()} -m study.launch ")
    assert any(line.startswith("units of work: 4 finished") for line in lines), "the summary is there"
    hang.set()
    code, lines, errors = launch()
    assert (code, errors) == (0, []) and len(shown().finished()) == 4


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
