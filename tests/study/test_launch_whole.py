"""Whole launches in this process, units trained one after the other in place of Ray: what goes wrong, and what it says.

`tests/study/test_study_smoke.py` has the same with Ray.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from study import cluster
from study.cluster import capacity
from study.launch import main
from study.run.dispatch import Dispatch, Finished
from study.show.tracking import Tracking, TrackingError
from study.store.units import AGAIN, StorageError, Store
from tests.stores import template
from tests.study.test_launch import SPEC

Launch = Callable[..., tuple[int, list[str], list[str]]]


def run_round(source: Any, monitor: Any, store: Store, *, options: Callable[[Any], dict[str, Any]],
              **rest: Any) -> bool:
    """As rounds.run_round, without Ray."""
    from study.run.unit_run import UnitRun

    dispatch = Dispatch(source, monitor)
    while (unit := dispatch.assign("the only worker")) is not None:
        monitor.started(unit)
        worker = UnitRun(unit, store, **options(unit))
        while not (report := worker.advance())["done"]:
            monitor.advanced(unit, report["update"] / report["updates"])
        dispatch.ended("the only worker", Finished(report["status"]))
    return True


def without_ray(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """What a launch in this process, in that folder, finds in its place."""
    patch.chdir(folder)
    patch.delenv("MLFLOW_TRACKING_URI", raising=False)
    patch.setattr(cluster, "running", lambda *arguments: contextlib.nullcontext())
    patch.setattr(capacity, "_nodes", lambda excluded=(): [{"CPU": 2.0}])


@pytest.fixture
def launch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
           capsys: pytest.CaptureFixture[str]) -> Iterator[Launch]:
    """Launch tiny.yaml: (exit code, lines of stdout, lines of stderr). database: another one knows of no runs yet."""
    without_ray(tmp_path, monkeypatch)
    Path("tiny.yaml").write_text(SPEC)
    monkeypatch.setitem(sys.modules, "study.run.rounds", SimpleNamespace(run_round=run_round))

    def run(*words: str, database: str = "mlflow.db") -> tuple[int, list[str], list[str]]:
        if not Path(database).exists():
            shutil.copy(template(), database)
        capsys.readouterr()
        code = main(["--space", "tiny.yaml", "--tracking-uri", f"sqlite:///{tmp_path}/{database}", *words])
        said = capsys.readouterr()
        return code, said.out.splitlines(), said.err.splitlines()

    yield run


def shown(database: str = "mlflow.db") -> Tracking:
    """What MLflow holds."""
    return Tracking(f"sqlite:///{Path.cwd()}/{database}", "tiny", "")


def launches() -> list[str]:
    """The status of each launch's run in MLflow."""
    return [run.info.status for run in shown().search("tags.kind = 'launch'")]


def done() -> list[Path]:
    return sorted(Path("runs/tiny").glob("*/*/done.json"))


def test_more_gpus_than_a_node_has_are_refused_before_anything_runs(launch: Launch) -> None:
    """Ray would wait for such a node for ever, and say nothing."""
    code, _, errors = launch("--set", "resources.gpu=99")
    assert code == 2 and len(errors) == 1
    assert errors[0].startswith("--set resources.gpu: found 99, expected at most ")
    assert launches() == [] and done() == []


def test_address_where_no_cluster_can_be_joined_is_one_sentence(launch: Launch,
                                                                monkeypatch: pytest.MonkeyPatch) -> None:
    def init(*arguments: Any, **options: Any) -> None:
        raise ConnectionError("Could not find any running Ray instance.\nPlease start one")

    monkeypatch.undo()
    fake = SimpleNamespace(init=init, exceptions=SimpleNamespace(RayError=OSError))
    monkeypatch.setitem(sys.modules, "ray", fake)
    monkeypatch.setattr(cluster.auth, "check_access", lambda address, insecure: (address, None))
    monkeypatch.setattr(cluster, "_job", lambda *folders: None)
    with pytest.raises(cluster.ClusterError) as found, cluster.running("auto", 2):
        pass
    assert str(found.value) == ("--address auto: no Ray cluster can be joined there: Could not find any running Ray "
                                "instance. Please start one")


def test_a_launch_that_cannot_go_on_leaves_no_run_that_seems_to_live(launch: Launch,
                                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*arguments: Any) -> None:
        raise StorageError("the journal cannot be read")

    with monkeypatch.context() as patch:
        patch.setattr("study.run.work.Work.__init__", fails)
        assert launch()[0::2] == (2, ["the journal cannot be read"])
    with monkeypatch.context() as patch:
        patch.setattr(capacity, "resources_per_unit",
                      lambda cpu, gpu: (_ for _ in ()).throw(cluster.ClusterError("no")))
        assert launch()[0::2] == (2, ["no"])
    assert launches() == []


def test_damaged_storage_is_told_and_only_what_is_damaged_runs_again(
        launch: Launch, caplog: pytest.LogCaptureFixture) -> None:
    assert launch()[0] == 0
    units = done()
    assert len(units) == 4
    for number, text in enumerate(["{}", "[]", '{"files": {}}', '{"status": "fin']):
        units[number].write_text(text)
    Path("runs/tiny/spec.json").write_text('{"a": 1}')
    code, lines, errors = launch(database="second.db")  # the first one knows of them
    assert code == 0 and errors == [f"{Path('runs').absolute()}/tiny/spec.json is damaged; a launch makes it again"]
    told = set(caplog.messages)
    assert [sum(words in line for line in told) for words in (
        "is no manifest", "is damaged; a launch makes it again")] == [3, 1]
    assert sum(line.startswith("[") for line in lines) == 4

    records = units[0].parent / "records.parquet"
    stamps = [unit.stat().st_mtime_ns for unit in units]
    records.write_bytes(records.read_bytes()[::-1])
    Path("runs/tiny/spec.json").write_text('{"study')
    caplog.clear()
    code, lines, errors = launch(database="third.db")
    assert (code, errors) == (0, [])
    assert caplog.messages[0].startswith(
        f"{Path('runs').absolute()}/tiny/spec.json is damaged; a launch makes it again: ")
    assert caplog.messages[1:] == [f"{records.absolute()} is not what done.json says; {AGAIN}"]
    assert "units of work: 3 finished, 1 left" in lines
    assert [unit.stat().st_mtime_ns == before for unit, before in zip(done(), stamps, strict=True)] == [
        False, True, True, True]


def test_a_unit_whose_files_cannot_be_read_is_lost_and_the_others_go_on(launch: Launch,
                                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def full(self: Store, unit: Any, name: str, manifest: Any) -> bytes:
        asked.append(unit.key)
        if unit.key == asked[0]:
            raise StorageError("storage 'runs' cannot be read: the disk is gone")
        return read(self, unit, name, manifest)

    read = Store.read_verified
    monkeypatch.setattr(Store, "read_verified", full)
    code, lines, errors = launch()
    assert code == 1 and len(errors) == 1
    assert errors[0].startswith("lost: design kl step_size=0.05 ")
    assert errors[0].endswith("storage 'runs' cannot be read: the disk is gone")
    assert sum(line.startswith("[") for line in lines) == 3 and launches() == ["FAILED"]


def test_storage_that_fails_the_driver_ends_the_launch_as_lost(launch: Launch, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*arguments: Any, **options: Any) -> bool:
        raise StorageError("storage 'runs' is not writable: no space left")

    monkeypatch.setitem(sys.modules, "study.run.rounds", SimpleNamespace(run_round=fails))
    code, lines, errors = launch()
    assert (code, errors) == (1, ["stopped: storage 'runs' is not writable: no space left; once that is "
                                  "mended the same command continues"])
    assert lines[-1].startswith("units of work: none finished"), "nothing is there for a page, a report or samples"
    assert launches() == ["FAILED"]


class GcsError(Exception):
    """As Ray's own."""

    __module__ = "ray.exceptions"


@pytest.mark.parametrize(("error", "sentence"), [
    (GcsError("a page\nof text\nthe head does not answer"),
     "Ray failed: the head does not answer (--verbose shows all of it)"),
    (OSError(28, "No space left on device", "/tmp/tune-1"), "[Errno 28] No space left on device: '/tmp/tune-1'")])
def test_what_fails_in_the_middle_is_no_bad_input(launch: Launch, monkeypatch: pytest.MonkeyPatch, error: Exception,
                                                  sentence: str) -> None:
    def fails(source: Any, monitor: Any, store: Store, **options: Any) -> bool:
        raise error

    monkeypatch.setitem(sys.modules, "study.run.rounds", SimpleNamespace(run_round=fails))
    code, _, errors = launch()
    assert (code, errors) == (1, [f"stopped: {sentence}; once that is mended the same command continues"])
    assert launches() == ["FAILED"]


def test_our_own_failure_within_tune_is_not_called_rays(launch: Launch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tune makes a TuneError of it; what cannot happen is told with its traceback, what can in a sentence."""
    class TuneError(GcsError):
        pass

    def fails(source: Any, monitor: Any, store: Store, **options: Any) -> bool:
        try:
            raise error
        except Exception as inner:
            raise TuneError(f"Traceback\n{inner}")  # noqa: B904  as Tune does

    monkeypatch.setitem(sys.modules, "study.run.rounds", SimpleNamespace(run_round=fails))
    error: Exception = ValueError("CategoricalDistribution does not support dynamic value space.")
    with pytest.raises(ValueError, match="dynamic value space"):
        launch()
    error = StorageError("the journal cannot be written")
    assert launch()[2] == ["stopped: the journal cannot be written; once that is mended the same command continues"]
    assert launches() == ["FAILED"] * 2


def test_a_launch_whose_study_another_has_taken_does_not_say_how_to_continue(launch: Launch,
                                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    """The same command would be in the other's way."""
    lock = SimpleNamespace(is_lost=False)

    def taken(source: Any, monitor: Any, store: Store, **options: Any) -> bool:
        lock.is_lost = True
        raise KeyboardInterrupt

    monkeypatch.setattr("study.store.lock.held", lambda *arguments: contextlib.nullcontext(lock))
    monkeypatch.setitem(sys.modules, "study.run.rounds", SimpleNamespace(run_round=taken))
    assert launch()[0::2] == (130, [])


def test_what_mlflow_does_not_show_is_said_last_and_added_later(launch: Launch,
                                                                monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*arguments: Any) -> None:
        raise TrackingError("MLflow has no room")

    with monkeypatch.context() as patch:
        patch.setattr("study.show.tracking.upload_queue.PATIENCE", 1.0)
        patch.setattr(Tracking, "show", refuses)
        code, lines, errors = launch()
    assert (code, errors[-1]) == (0, "4 units are not shown in MLflow; once that is mended (see above) the same "
                                     "command adds them")
    assert any(line.endswith("MLflow has no room") for line in lines)
    assert shown().shown() == {}
    code, _, errors = launch()
    assert (code, errors) == (0, [])
    assert len(shown().shown()) == 4


def test_interrupted_units_are_not_promised_a_checkpoint(launch: Launch, monkeypatch: pytest.MonkeyPatch) -> None:
    """One is written at an evaluation point, and not at each."""
    def interrupted(source: Any, monitor: Any, store: Store, **options: Any) -> bool:
        monitor.interrupted(source.next())
        return False

    monkeypatch.setitem(sys.modules, "study.run.rounds", SimpleNamespace(run_round=interrupted))
    code, _, errors = launch()
    assert (code, len(errors)) == (130, 1)
    [trial] = shown().search("tags.kind = 'trial'")
    assert trial.data.tags["mlflow.note.content"].endswith(
        "interrupted. The same command continues it from its last checkpoint, if it has one.")


def test_the_estimate_counts_units_at_once_as_the_cluster_will(launch: Launch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("study.launch.usable_cpus", lambda: 4)

    def cpus(*words: str) -> int:
        code, lines, _ = launch("--dry-run", *words)
        [line] = [line for line in lines if line.startswith("estimated cost: ")]
        assert code == 0
        return int(line.rpartition(" on ")[2].split()[0])

    assert [cpus(), cpus("--set", "resources.cpu=3"), cpus("--set", "resources.cpu=0.25", "--max-concurrent", "16"),
            cpus("--max-concurrent", "2")] == [4, 1, 4, 2]


SEARCH = "search={replicates: 1, trials: 2, space: {step_size: {log: [0.02, 0.5]}}}"


def test_units_that_ran_out_of_memory_run_again_at_the_end_with_a_node_each(
        launch: Launch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only then is known which are the best; one that fails again is lost, and said, and its arm waits."""
    order: list[tuple[str, float]] = []
    heavy: list[str] = []

    def short_of_memory(source: Any, monitor: Any, store: Store, *, resources: Any, options: Any, **rest: Any) -> bool:
        def next_unit() -> Any:
            while (unit := take()) is not None:
                phase = unit.configuration.phase
                order.append((phase, resources["cpu"]))
                if resources["cpu"] == 1 and phase == "search" and len(heavy) < 2:
                    heavy.append(unit.config_hash)
                elif heavy[1:] != [unit.config_hash]:
                    return unit
                source.finished(unit, "lost")
                monitor.lost(unit, "out of memory", True)
            return None

        take, source.next = source.next, next_unit
        return run_round(source, monitor, store, options=options)

    monkeypatch.setitem(sys.modules, "study.run.rounds", SimpleNamespace(run_round=short_of_memory))
    words = ("--set", SEARCH, "--set", "confirm={top: 1, replicates: 1}")
    code, lines, errors = launch(*words)
    assert code == 1 and len(errors) == 1 and "out of memory" in errors[0] and heavy[1] in errors[0]
    assert order == [("design", 1.0)] * 4 + [("search", 1.0)] * 4 + [("search", 2.0)] * 2 + [("confirm", 1.0)]
    assert sum("it runs again at the end" in line for line in lines) == 2
    statuses = {run.data.tags["config_hash"]: run.data.tags["status"] for run in shown().search("tags.kind = 'trial'")}
    assert statuses[heavy[1]] == "oom" and [*statuses.values()].count("finished") == 4 + 3 + 1
    states = {entry["unit"][:12]: entry["state"] for path in Path("runs/tiny/search").glob("*/*.json")
              for entry in json.loads(path.read_text())["entries"]}
    assert (states[heavy[0]], states[heavy[1]]) == ("told", "asked") and [*states.values()].count("told") == 3

    monkeypatch.setitem(sys.modules, "study.run.rounds", SimpleNamespace(run_round=run_round))
    code, lines, errors = launch(*words)
    assert (code, errors) == (0, []) and len(done()) == 4 + 4 + 2


def test_what_crashed_is_not_tried_again_beside_what_ran_out_of_memory(launch: Launch,
                                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[tuple[str, float]] = []

    def failing(source: Any, monitor: Any, store: Store, *, resources: Any, options: Any, **rest: Any) -> bool:
        def next_unit() -> Any:
            while (unit := take()) is not None:
                order.append((unit.configuration.phase, resources["cpu"]))
                if unit.configuration.phase == "design" or resources["cpu"] > 1:
                    return unit
                source.finished(unit, "lost")
                monitor.lost(unit, "out of memory" if order.count(("confirm", 1.0)) == 2 else "boom",
                           order.count(("confirm", 1.0)) == 2)
            return None

        take, source.next = source.next, next_unit
        return run_round(source, monitor, store, options=options)

    monkeypatch.setitem(sys.modules, "study.run.rounds", SimpleNamespace(run_round=failing))
    code, _, errors = launch("--set", "confirm={top: 1, replicates: 1}")
    assert code == 1 and len(errors) == 1 and errors[0].endswith("boom")
    assert order == [("design", 1.0)] * 4 + [("confirm", 1.0)] * 2 + [("confirm", 2.0)]
