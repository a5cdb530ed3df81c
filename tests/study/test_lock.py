"""One launch a study: the operating system's lock, and the beating object of an object store."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from study.interrupt import terminable
from study.store import lock
from study.store.lock import LOCK, StudyLockedError, held, holder
from study.store.units import StorageError, Store


def test_second_launch_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    store = Store(str(tmp_path), "jko")
    hold = """if True:
        import sys
        from study.store.lock import held
        from study.store.units import Store
        with held(Store(sys.argv[1], "jko"), False, print):
            print("held", flush=True)
            input()
    """
    command = [sys.executable, "-c", hold, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"held\n"
        with pytest.raises(StudyLockedError, match=f"study 'jko' in .* is being run by process {other.pid} on "):
            with held(store, False, print):
                pass
        with held(Store(str(tmp_path), "another"), False, print):
            pass
        other.kill()
        other.wait()
    with held(store, False, print):
        pass


@pytest.mark.parametrize("gone", [shutil.rmtree, lambda folder: folder.rename(folder.with_name("moved"))])
def test_a_launch_whose_study_was_removed_stops_and_another_is_let_in(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: Callable[[Path], Any]) -> None:
    monkeypatch.setattr(lock, "WATCH_SECONDS", 0.1)
    said: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        with held(Store(str(tmp_path), "jko"), False, said.append) as mine:
            time.sleep(0.5)
            assert not mine.is_lost
            gone(tmp_path / "jko")
            time.sleep(20)
            pytest.fail("it was not interrupted")
    assert mine.is_lost and said == [f"study 'jko' was removed from '{tmp_path}', or moved: this launch stops"]
    with held(Store(str(tmp_path), "jko"), False, said.append):
        pass


def test_a_disk_that_is_away_for_a_moment_costs_no_launch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(str(tmp_path), "jko")
    with held(store, False, print):
        watch = lock._Watch(store, print, os.stat(store.path(LOCK)))

        def away(path: str) -> None:
            raise OSError(errno.EIO, "Input/output error")

        with monkeypatch.context() as patch:
            patch.setattr("study.store.lock.os.stat", away)
            assert watch.lost() is None
        assert watch.lost() is None
        os.remove(store.path(LOCK))
        assert watch.lost() is not None


# An object store: a path whose store is told that it is none, so that two stores see the same objects.


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(lock, "BEAT_SECONDS", 0.2)
    monkeypatch.setattr(lock, "SETTLE_SECONDS", 0.05)
    return []


def objects(folder: Path) -> Store:
    store = Store(str(folder), "jko")
    store.local = False
    return store


def test_a_beating_launch_is_left_alone_and_an_ended_one_leaves_nothing(tmp_path: Path, said: list[str]) -> None:
    with held(objects(tmp_path), False, said.append):
        assert holder(objects(tmp_path)) is not None
        with pytest.raises(StudyLockedError, match=r"is being run by process .*; --takeover takes the study from it$"):
            with held(objects(tmp_path), False, said.append):
                pass
        assert len(said) == 1 and "watching" in said[0]
        time.sleep(0.5)
        assert holder(objects(tmp_path)) is not None, "the refused launch must not remove it"
    assert holder(objects(tmp_path)) is None and not (tmp_path / "jko" / LOCK).exists()


def test_a_silent_launch_is_taken_over_after_a_while(tmp_path: Path, said: list[str]) -> None:
    objects(tmp_path).write_json(LOCK, {"holder": "process 1 on a dead host", "token": "t", "beat": 3})
    begun = time.monotonic()
    with held(objects(tmp_path), False, said.append) as mine:
        assert time.monotonic() - begun >= 0.6 and not mine.is_lost
    assert said[1] == "process 1 on a dead host has been silent for 1 s: its study goes on here"


def test_takeover_is_at_once_and_the_other_launch_is_interrupted(tmp_path: Path, said: list[str]) -> None:
    """It must not write any more, and must not remove the lock of the new one."""
    taken, ended = threading.Event(), threading.Event()

    def take() -> None:
        with held(objects(tmp_path), True, said.append):
            taken.set()
            ended.wait(20)

    other = threading.Thread(target=take)
    with pytest.raises(KeyboardInterrupt):
        with held(objects(tmp_path), False, said.append) as mine:
            other.start()
            assert taken.wait(10)
            time.sleep(20)
            pytest.fail('it was not interrupted')
    assert mine.is_lost and any("has taken study 'jko' over" in line for line in said)
    time.sleep(0.5)
    assert holder(objects(tmp_path)) is not None
    ended.set()
    other.join()
    assert holder(objects(tmp_path)) is None


def test_a_launch_that_slept_while_another_took_over_and_ended_goes_on_no_more(tmp_path: Path, said: list[str]) -> None:
    with pytest.raises(KeyboardInterrupt):
        with held(objects(tmp_path), False, said.append) as mine:
            objects(tmp_path).delete(LOCK)
            time.sleep(20)
            pytest.fail("it was not interrupted")
    assert mine.is_lost and not (tmp_path / "jko" / LOCK).exists()


def test_the_end_of_a_launch_leaves_the_lock_of_the_one_that_has_just_taken_over(
        tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "BEAT_SECONDS", 60.0)
    with held(objects(tmp_path), False, said.append):
        objects(tmp_path).write_json(LOCK, {"holder": "process 2 on another host", "token": "other", "beat": 0})
    assert holder(objects(tmp_path)) == "process 2 on another host"


def test_a_background_job_is_interrupted_too(tmp_path: Path, said: list[str]) -> None:
    """A shell starts it with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with pytest.raises(KeyboardInterrupt), terminable(), held(objects(tmp_path), False, said.append):
            objects(tmp_path).delete(LOCK)
            time.sleep(20)
            pytest.fail("it was not interrupted")
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_file_system_without_locks_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(file: object, how: int) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    store = Store(str(tmp_path), "jko")
    store.write(LOCK, b"process 1")
    monkeypatch.setattr("fcntl.flock", flock)
    for ask in (lambda: holder(store), lambda: held(store, False, print).__enter__()):
        with pytest.raises(StorageError, match=r"cannot be locked: Function not implemented; expected a file system"):
            ask()


def test_of_two_launches_at_the_same_moment_one_goes_on(tmp_path: Path, said: list[str]) -> None:
    """Both have found no lock, and both write: the later write stays."""
    store = objects(tmp_path)
    write = store.write_json

    def overtaken(path: str, value: object) -> None:
        write(path, value)
        write(path, {"holder": "process 2 on another host", "token": "other", "beat": 0})

    store.write_json = overtaken  # type: ignore[method-assign]
    with pytest.raises(StudyLockedError, match="is being run by process 2 on another host"):
        with held(store, False, said.append):
            pass
    assert holder(store) == "process 2 on another host"


@pytest.mark.parametrize("text", ["", "[]", "{", '{"token": 3}'])
def test_a_damaged_lock_is_no_obstacle_for_ever(tmp_path: Path, said: list[str], text: str) -> None:
    store = objects(tmp_path)
    store.write(LOCK, text.encode())
    with held(store, False, said.append):
        pass
    assert holder(store) is None
