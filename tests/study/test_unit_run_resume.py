"""One unit of work in several workers: it goes on from its checkpoint, exactly, or starts afresh and says so."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from models.training import fit as training
from models.training.step import train_step
from study.run import unit_run as trial
from study.run.unit_progress import HEADER_BYTES
from study.run.unit_run import UnitRun
from study.store.units import Store
from tests.study.test_unit_run import rows, run, saves_always, store, unit

__all__ = ["saves_always", "store"]


@pytest.mark.usefixtures("saves_always")
@pytest.mark.parametrize("damaged", [False, True])
@pytest.mark.parametrize("killed_after", [1, 2])
def test_resumed_unit_equals_an_undisturbed_one(store: Store, tmp_path: Path, killed_after: int, damaged: bool) -> None:
    undisturbed = Store(str(tmp_path / "undisturbed"), "jko")
    reports = run(UnitRun(unit(), undisturbed))
    one = UnitRun(unit(), store)
    for _ in range(killed_after):
        one.advance()
    if damaged:
        store.write(f"{unit().key}/checkpoint-{3 * killed_after:09d}", b"cut")
    assert run(UnitRun(unit(), store)) == reports[0 if damaged and killed_after == 1 else killed_after - damaged:]
    assert rows(store, unit()) == rows(undisturbed, unit())
    for seed in unit().seeds:
        name = f"{unit().key}/samples_{seed}.png"
        assert store.read(name) == undisturbed.read(name) is not None
    assert store.done(unit()).rungs == undisturbed.done(unit()).rungs  # type: ignore[union-attr]
    assert store.latest_checkpoint(unit()) is None


@pytest.mark.usefixtures("saves_always")
def test_a_worker_lost_between_two_evaluations_loses_no_update(store: Store, tmp_path: Path,
                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    """A trial may train for hours between two of them; the means over that time are those of an undisturbed one."""
    once, undisturbed = unit(points=1), Store(str(tmp_path / "undisturbed"), "jko")
    run(UnitRun(once, undisturbed, checkpoint_seconds=1e9))
    real, done = train_step, []

    def dies_at_its_sixth(*given: Any) -> Any:
        if len(done) == 5:
            raise KeyboardInterrupt
        done.append(given[2].update)
        return real(*given)

    monkeypatch.setattr(training, "train_step", dies_at_its_sixth)
    with pytest.raises(KeyboardInterrupt):
        UnitRun(once, store).advance()
    monkeypatch.setattr(training, "train_step", lambda *given: done.append(given[2].update) or real(*given))
    run(UnitRun(once, store))
    assert done == list(range(9))
    assert rows(store, once) == rows(undisturbed, once)


def test_checkpoints_change_no_record(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor one between two evaluations in a worker that goes on: what it kept for another is not counted twice."""
    never = Store(str(tmp_path / "never"), "jko")
    run(UnitRun(unit(), never))
    due = itertools.cycle([False, True, False])  # after the second of three updates, not at the evaluation
    monkeypatch.setattr(UnitRun, "_checkpoint_is_due", lambda self: next(due))
    run(UnitRun(unit(), store))
    assert rows(store, unit()) == rows(never, unit())


@pytest.mark.usefixtures("saves_always")
def test_a_unit_that_goes_on_under_another_commit_names_both(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("b" * 40, "a" * 40):
        monkeypatch.setattr(trial, "commit", lambda name=name: name)
        one = UnitRun(unit(), store)
        one.advance()
    run(one)
    assert store.done(unit()).commit == f"{'a' * 40},{'b' * 40}"  # type: ignore[union-attr]


@pytest.mark.usefixtures("saves_always")
def test_clocks_go_on_after_a_resume(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    first = UnitRun(unit(), store)
    first.advance()
    spent, started = first._progress.wall_seconds, first._progress.started
    run(UnitRun(unit(), store))
    assert [r["wall_seconds"] > spent for r in rows(store, unit(), ())] == [False] * 2 + [True] * 6
    assert store.done(unit()).started == started  # type: ignore[union-attr]


def test_short_unit_writes_no_checkpoint(store: Store) -> None:
    one = UnitRun(unit(), store)
    while not one.advance()["done"]:
        assert store.latest_checkpoint(unit()) is None


@pytest.mark.usefixtures("saves_always")
def test_a_checkpoint_of_another_device_starts_afresh_and_says_so(store: Store,
                                                                  caplog: pytest.LogCaptureFixture) -> None:
    UnitRun(unit(), store).advance()
    update, payload = store.latest_checkpoint(unit()) or (0, b"")
    assert update and payload.count(b'\\"device\\":\\"cpu\\"') + payload.count(b'\\"device\\": \\"cpu\\"') == 1
    store.write_checkpoint(unit(), update, payload.replace(b'\\"cpu\\"', b'\\"xpu\\"'))
    again = UnitRun(unit(), store)
    assert run(again)[-1]["done"]
    [note] = again.take_notes()
    assert note.startswith("it starts afresh: ") and "made on xpu, resumed on cpu" in note


@pytest.mark.usefixtures("saves_always")
@pytest.mark.parametrize("change, why", [
    (lambda header: {**header, "later": 1}, "its checkpoint is of another release: found later, which is unknown here"),
    (lambda header: {**header, "window": {"gap": [[0.0, 0.0]], "later": [[0.0, 0.0]]}},
     "its checkpoint is of another release, which noted other things of an update")])
def test_a_checkpoint_of_another_release_starts_afresh_and_says_so(
        store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture, change: Any, why: str) -> None:
    one = UnitRun(unit(), store)
    one.advance()
    one.advance()
    update, payload = store.latest_checkpoint(unit()) or (0, b"")
    end = HEADER_BYTES + int.from_bytes(payload[:HEADER_BYTES], "little")
    header = json.dumps(change(json.loads(payload[HEADER_BYTES:end]))).encode()
    store.write_checkpoint(unit(), update, len(header).to_bytes(HEADER_BYTES, "little") + header + payload[end:])
    again = UnitRun(unit(), store)
    assert again.advance()["update"] == 3 and again.take_notes() == [f"it starts afresh: {why}"]
    assert again.take_notes() == []
    assert (store.latest_checkpoint(unit()) or (0,))[0] == 3, "the next worker goes on from here"
    assert run(again)[-1]["status"] == "finished"


def test_a_worker_that_hangs_ends_and_its_unit_goes_on(store: Store) -> None:
    """In a lock that nobody gives back, say. Between two calls it may wait as long as it likes."""
    code = f"""
import threading, time
from models.training import fit
from study.run import unit_run
from study.store.units import Store
from study.run.unit_run import UnitRun
from tests.study.test_unit_run import unit
unit_run.CHECKPOINT_SHARE = 0
one = UnitRun(unit(), Store({store.uri!r}, 'jko'), checkpoint_seconds=0.0, patience=100.0)
one.advance()  # imports torch, which takes seconds on a busy machine
one._patience = 5.0
time.sleep(5.5)
print(one.advance()['update'], flush=True)
def hang(*_):
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()
fit.train_step = hang
one.advance()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert (done.stdout, done.returncode) == ("6\n", 1), done.stderr
    assert "Timeout (0:00:05)!" in done.stderr and "in hang" in done.stderr and "study/run/unit_run.py" in done.stderr
    assert [report["update"] for report in run(UnitRun(unit(), store, patience=60.0))] == [9]
