"""The single writer of MLflow: jobs, and a thread that works them off at MLflow's pace, never at training's cost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from study.show.tracking.errors import TrackingError

PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)  # seconds before the next try, by the failures since the last step forward
LAST_PAUSE = 2.0  # the longest one once the launch waits for its end
PATIENCE = 30.0  # seconds without a step forward after which the launch ends without MLflow

Job = Callable[[], None]


class UploadQueue:
    """Jobs by key, first in, first out; a newer job of a key takes the place of an older one that still waits.

    A job that fails goes to the end of the queue, so that it holds up no other, and is tried again as a whole. Steps
    forward are told by `answered`: only they say that waiting is worth it, since a server may answer what it is asked
    and yet take nothing.
    """

    def __init__(self, where: str, say: Callable[[str], None]) -> None:
        """where: MLflow's URI, for people. say: tells a person one line; called from the thread."""
        self._where, self._say = where, say
        self._jobs: dict[str, Job] = {}
        self._changed = threading.Condition()
        # A daemon: a hung request ends with us.
        self._thread = threading.Thread(target=self._work, name="upload queue", daemon=True)
        self._failures = 0  # since the last step forward
        self._is_away = False  # and a person was told so
        self._told: set[str] = set()  # keys of jobs that MLflow refuses, and a person was told so
        self._forward = time.monotonic()
        self._closing = self._over = False

    def put(self, key: str, job: Job, first: bool = False) -> None:
        """Queue a job; it may raise TrackingError, and runs as often as it takes. Returns at once. first: before all
        others."""
        with self._changed:
            if first:
                self._jobs = {key: job, **self._jobs}
            self._jobs[key] = job
            self._changed.notify_all()

    def waiting(self) -> set[str]:
        """Keys of the jobs that are not done."""
        with self._changed:
            return set(self._jobs)

    def refused(self) -> set[str]:
        """Keys of the jobs that MLflow has refused, though it answers, and that are not done."""
        return self._told & self.waiting()

    def start(self) -> None:
        """Begin to work; jobs that were put before have waited."""
        if not self._thread.ident:
            self._thread.start()

    def close(self, tell: Callable[[], None]) -> bool:
        """Wait until all jobs are done, or nothing has gone forward for PATIENCE seconds; `tell` is called meanwhile.

        Nothing runs afterwards: what is not done is in `waiting`. False: a person interrupted (SIGINT).
        """
        with self._changed:
            self._closing, self._forward = True, time.monotonic()
            self._changed.notify_all()
        self.start()
        try:
            while self.waiting() and time.monotonic() - self._forward < PATIENCE:
                with self._changed:
                    self._changed.wait_for(lambda: not self._jobs, timeout=0.5)
                tell()
        except KeyboardInterrupt:
            return False
        finally:
            self.stop()
        self._thread.join(timeout=1.0)
        return True

    def stop(self) -> None:
        """Do no more: a job that runs ends with MLflow's next answer."""
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def answered(self, step: bool) -> None:
        """MLflow answered a request. step: that made or completed a run, which never happens twice.

        Raises TrackingError after the end, so that a job stops there.
        """
        if self._over:
            raise TrackingError("the launch has ended")
        if step:
            self._failures = 0
        if not self._failures:  # after a failure answers to what was asked before are no news
            self._forward = time.monotonic()

    # In the thread.

    def _work(self) -> None:
        while (found := self._next()) is not None:
            key, job = found
            try:
                job()
            except Exception as error:  # whatever it is must not end the thread: all other jobs would be lost with it
                self._failed(key, error)
            else:
                self._succeeded(key, job)

    def _next(self) -> tuple[str, Job] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._over)
            return None if self._over else next(iter(self._jobs.items()))

    def _succeeded(self, key: str, job: Job) -> None:
        with self._changed:
            if self._jobs[key] is job:
                del self._jobs[key]
            self._told.discard(key)
            self._failures, self._forward = 0, time.monotonic()
            left = len(self._jobs)
            self._changed.notify_all()
        if self._is_away and not self._over:
            self._is_away = False
            self._say(f"MLflow at {self._where} answers again" + (f"; {left} things wait to be shown" if left else ""))

    def _failed(self, key: str, error: Exception) -> None:
        with self._changed:
            self._jobs[key] = self._jobs.pop(key)
            self._failures += 1
            failures = self._failures
        if not self._over:
            self._tell(key, error, failures)
        pause = PAUSES[min(failures, len(PAUSES)) - 1]
        with self._changed:
            closing = self._closing
            self._changed.wait_for(lambda: self._over or self._closing is not closing,
                                   timeout=min(pause, LAST_PAUSE) if closing else pause)

    def _tell(self, key: str, error: Exception, failures: int) -> None:
        """Once for each outage, from the second failure on: a hiccup is no news. Once for each job that is refused."""
        if isinstance(error, TrackingError) and error.away:
            if failures > 1 and not self._is_away:
                self._is_away = True
                self._say(f"{error}; training goes on, and what is missing there is added when it answers again, or "
                          "by the next launch")
        elif key not in self._told:
            self._told.add(key)
            text = str(error) if isinstance(error, TrackingError) else f"{type(error).__name__}: {error}"
            self._say(f"not shown in MLflow: {key}: {text}")
