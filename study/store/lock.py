"""One launch a study: the operating system's lock where the storage is a path, a beating object where it is not.

An object store has no locks. There a launch writes an object and rewrites it every few seconds; another one watches
whether it changes, which needs no clock that two machines agree on.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import threading
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

from study.store.units import StorageError, Store

LOCK = ".lock"
BEAT_SECONDS = 10.0  # between two beats
SILENT_BEATS = 3  # so many are missing: the launch is dead
LOOK_SECONDS = 0.1
WATCH_SECONDS = 2.0  # between two looks whether a locked file is still there
SETTLE_SECONDS = 1.0  # two launches that write at once: the later write stays, and both see whose it is

Say = Callable[[str], None]


class StudyLockedError(StorageError):
    """Another launch runs this study."""


def held(store: Store, takeover: bool, say: Say) -> AbstractContextManager[Lock]:
    """Hold the study for this process. Raises StudyLockedError where another launch holds it.

    A path: the operating system lets go of the lock when the process ends, however it ends, so there is nothing to take
    over. Object store: a launch that has been silent for three beats is taken over, with `takeover` any launch at once;
    the one that lost the study is interrupted, as by Ctrl-C, at its next beat.
    """
    return _file(store, say) if store.local else _heartbeat(store, takeover, say)


def holder(store: Store) -> str | None:
    """Who holds the study, or seems to; None: nobody. Only looks."""
    if not store.local:
        found = store.read_json(LOCK)
        return str(found.get("holder")) if isinstance(found, dict) else None
    if not os.path.exists(store.path(LOCK)):
        return None
    with store.named("cannot be locked"):
        file = open(store.path(LOCK), encoding="utf-8", errors="replace")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return file.read().strip() or "another process"
        except OSError as error:
            raise _unlockable(store, error) from error
    return None


def check_free(store: Store, takeover: bool = False) -> None:
    """Before what takes long. Raises StudyLockedError where another launch holds a path; `held` is what counts."""
    if store.local and (by := holder(store)):
        raise _refusal(store, by, " (--takeover is for an object store: here a process that has ended holds nothing)"
                       if takeover else "")


def _unlockable(store: Store, error: OSError) -> StorageError:
    return StorageError(f"storage {store.uri!r} cannot be locked: {error.strerror or error}; expected a file system "
                        "with locks (of a shared disk: one that is mounted with them, such as Lustre's `flock`)")


def _me() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"


def _refusal(store: Store, by: str, cure: str = "") -> StudyLockedError:
    return StudyLockedError(f"study {store.study!r} in {store.uri!r} is being run by {by}; "
                            f"wait for it to end, or stop it, then start again{cure}")


@contextmanager
def _file(store: Store, say: Say) -> Iterator[Lock]:
    with store.named("cannot be locked"):
        os.makedirs(os.path.dirname(store.path(LOCK)), exist_ok=True)
        file = open(store.path(LOCK), "a+", encoding="utf-8", errors="replace")
    with file:
        for last in (False, True):  # `--status` looks by holding it for an instant
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if last:
                    file.seek(0)
                    raise _refusal(store, file.read().strip() or "another process") from None
                time.sleep(LOOK_SECONDS)
            except OSError as error:
                raise _unlockable(store, error) from error
        with store.named("cannot be locked"):  # a full disk, say
            file.truncate(0)
            file.write(_me())
            file.flush()
        watch = _Watch(store, say, os.fstat(file.fileno()))
        watch.start()
        try:
            yield watch
        finally:
            watch.stop()


@contextmanager
def _heartbeat(store: Store, takeover: bool, say: Say) -> Iterator[Lock]:
    beat = _Heartbeat(store, say)
    found = _read(store)
    if found is not None:
        by = found.get("holder", "another launch")
        if takeover:
            say(f"study {store.study!r} is taken over from {by}")
        else:
            _watch(store, found, by, say)
    beat.write()
    time.sleep(SETTLE_SECONDS)
    now = _read(store) or {}
    if now.get("token") != beat.token:
        raise _refusal(store, now.get("holder", "another launch"))
    beat.start()
    try:
        yield beat
    finally:
        beat.stop()


def _watch(store: Store, found: dict[str, Any], by: str, say: Say) -> None:
    """Return when its holder has ended or is silent. Raises StudyLockedError when it beats."""
    seconds = SILENT_BEATS * BEAT_SECONDS
    say(f"study {store.study!r} seems to be run by {by}: watching for {seconds:.0f} s whether it is "
        "(--takeover takes it at once)")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(BEAT_SECONDS / 4)
        now = _read(store)
        if now is None:
            return
        if now != found:
            raise _refusal(store, now.get("holder", "another launch"), "; --takeover takes the study from it")
    say(f"{by} has been silent for {seconds:.0f} s: its study goes on here")


def _read(store: Store) -> dict[str, Any] | None:
    found = store.read_json(LOCK)
    return found if isinstance(found, dict) else None


class Lock(threading.Thread, ABC):
    """A study held by this process. Looks again and again whether it is; where it is not the launch is interrupted.

    is_lost: another launch has taken it over, and this one must not write any more.
    """

    def __init__(self, store: Store, say: Say, seconds: float) -> None:
        """seconds: between two looks."""
        super().__init__(daemon=True, name="lock")
        self.is_lost = False
        self._store, self._say, self._seconds = store, say, seconds
        self._ended = threading.Event()

    @abstractmethod
    def lost(self) -> str | None:
        """Who has the study now, as one sentence; None: this launch."""

    def run(self) -> None:
        while not self._ended.wait(self._seconds):
            try:
                problem = self.lost()
            except StorageError:
                continue  # away for a moment; if meanwhile another launch takes over, the next look sees it
            if problem:
                self.is_lost = True
                self._say(f"{problem}: this launch stops")
                ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN  # a shell's background job
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM if ignored else signal.SIGINT)
                return

    def stop(self) -> None:
        """Look no more."""
        self._ended.set()
        self.join()


class _Watch(Lock):
    """Whether a locked file is still in its place: a lock on one that was removed keeps nobody out."""

    def __init__(self, store: Store, say: Say, file: os.stat_result) -> None:
        super().__init__(store, say, WATCH_SECONDS)
        self._file = file

    def lost(self) -> str | None:
        try:
            if os.path.samestat(os.stat(self._store.path(LOCK)), self._file):
                return None
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError:  # a shared disk that is away for a moment
            return None
        return f"study {self._store.study!r} was removed from {self._store.uri!r}, or moved"


class _Heartbeat(Lock):
    """Rewrites the object until it is stopped, or finds that it is another launch's."""

    def __init__(self, store: Store, say: Say) -> None:
        super().__init__(store, say, BEAT_SECONDS)
        self.token, self._beats = uuid.uuid4().hex, 0

    def write(self) -> None:
        self._store.write_json(LOCK, {"holder": _me(), "token": self.token, "beat": self._beats})
        self._beats += 1

    def lost(self) -> str | None:
        found = _read(self._store)
        if found is None or found.get("token") != self.token:  # none: the other one has ended already
            return f"{(found or {}).get('holder', 'another launch')} has taken study {self._store.study!r} over"
        self.write()
        return None

    def stop(self) -> None:
        """Let go of the study, unless it is another launch's."""
        super().stop()
        if not self.is_lost:
            with suppress(StorageError):  # away: what stays there is silent, and the launch has its own last words
                if (_read(self._store) or {}).get("token") == self.token:
                    self._store.delete(LOCK)
