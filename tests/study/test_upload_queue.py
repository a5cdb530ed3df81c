"""The single writer of MLflow: what it does in which order, what it says, and that nobody waits for it but the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from study.show.tracking import upload_queue
from study.show.tracking.errors import TrackingError
from study.show.tracking.upload_queue import UploadQueue

AWAY = TrackingError("MLflow at there: refused", away=True)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def writer(said: list[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[UploadQueue]:
    monkeypatch.setattr(upload_queue, "PAUSES", (0.01, 0.02))
    monkeypatch.setattr(upload_queue, "PATIENCE", 1.0)
    one = UploadQueue("there", said.append)
    yield one
    one.stop()


def close(writer: UploadQueue) -> bool:
    return writer.close(lambda: None)


def failing(times: int, error: Exception = AWAY, done: Callable[[], None] = lambda: None) -> Callable[[], None]:
    """A job that fails so often, then succeeds."""
    left = [times]

    def job() -> None:
        left[0] -= 1
        if left[0] >= 0:
            raise error
        done()
    return job


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_jobs_run_in_order_once_and_the_newest_of_a_key_replaces_those_that_wait(writer: UploadQueue) -> None:
    ran: list[str] = []
    for key, name in (("a", "a"), ("b", "old"), ("c", "c"), ("b", "new")):
        writer.put(key, lambda name=name: ran.append(name))  # type: ignore[misc]
    writer.put("start", lambda: ran.append("start"), first=True)
    assert ran == [], "nothing runs before the start"
    assert close(writer)
    assert ran == ["start", "a", "new", "c"] and writer.waiting() == set()


def test_what_was_refused_once_and_then_taken_is_refused_no_more(writer: UploadQueue) -> None:
    """Should it wait again, it waits for a server that is away."""
    writer.put("a", failing(1, TrackingError("no room")))
    writer.start()
    wait_until(lambda: not writer.waiting())
    writer.put("a", failing(10**6))
    assert writer.waiting() == {"a"} and writer.refused() == set()


def test_a_job_that_is_replaced_while_it_runs_runs_again(writer: UploadQueue) -> None:
    begun, go_on, ran = threading.Event(), threading.Event(), []

    def old() -> None:
        begun.set()
        assert go_on.wait(30)
        ran.append("old")

    writer.put("a", old)
    writer.start()
    assert begun.wait(30)
    writer.put("a", lambda: ran.append("new"))
    go_on.set()
    assert close(writer) and ran == ["old", "new"]


def test_an_outage_is_told_once_and_its_end_once(writer: UploadQueue, said: list[str]) -> None:
    ran: list[str] = []
    writer.put("a", failing(7, done=lambda: ran.append("a")))
    writer.start()
    wait_until(lambda: not writer.waiting())
    wait_until(lambda: len(said) == 2)
    writer.put("b", failing(1))
    assert close(writer) and ran == ["a"]
    assert said == ["MLflow at there: refused; training goes on, and what is missing there is added when it answers "
                    "again, or by the next launch", "MLflow at there answers again"], "one failure alone is no news"


def test_a_job_that_is_refused_holds_up_no_other_and_is_told_once(writer: UploadQueue, said: list[str]) -> None:
    ran: list[str] = []
    writer.put("bad", failing(10**9, TrackingError("params are immutable")))
    writer.put("broken", failing(10**9, KeyError("seed")))
    writer.put("good", lambda: ran.append("good"))
    writer.start()
    wait_until(lambda: ran == ["good"])
    assert close(writer) and writer.waiting() == {"bad", "broken"}
    assert sorted(said) == ["not shown in MLflow: bad: params are immutable",
                            "not shown in MLflow: broken: KeyError: 'seed'"]


def test_the_driver_never_waits_for_a_request_that_hangs(writer: UploadQueue) -> None:
    hang = threading.Event()
    writer.put("a", lambda: assert_true(hang.wait(60)))
    writer.start()
    begun = time.monotonic()
    for number in range(1000):
        writer.put(f"unit {number}", lambda: None)
    assert time.monotonic() - begun < 0.5
    assert close(writer) and 1 <= time.monotonic() - begun < 5, "and the end only for so long"
    assert len(writer.waiting()) == 1001
    hang.set()


def assert_true(value: object) -> None:
    assert value


def test_the_end_goes_on_as_long_as_mlflow_takes_something(writer: UploadQueue) -> None:
    ran: list[int] = []

    def slow(number: int) -> None:
        for _ in range(4):  # answers, each in good time, though the job as a whole takes longer than the patience
            time.sleep(0.4)
            writer.answered(False)
        ran.append(number)

    for number in range(2):
        writer.put(str(number), lambda number=number: slow(number))  # type: ignore[misc]
    assert close(writer) and ran == [0, 1]


def test_a_server_that_answers_and_takes_nothing_does_not_hold_the_end_up(writer: UploadQueue) -> None:
    def full() -> None:
        writer.answered(False)  # it can be searched
        raise AWAY

    writer.put("a", full)
    begun = time.monotonic()
    assert close(writer) and writer.waiting() == {"a"}
    assert time.monotonic() - begun < 5


def test_steps_that_cannot_be_repeated_count_as_taking(writer: UploadQueue) -> None:
    left = list(range(6))

    def flaky() -> None:  # a server that fails every other request: each try gets a run further
        time.sleep(0.4)
        writer.answered(True)
        if left.pop():
            raise AWAY

    writer.put("a", flaky)
    assert close(writer) and writer.waiting() == set() and left == []


def test_interrupting_the_last_uploads_ends_it_at_once(writer: UploadQueue) -> None:
    hang, calls = threading.Event(), []

    def tell() -> None:
        calls.append(1)
        raise KeyboardInterrupt

    writer.put("a", lambda: assert_true(hang.wait(60)))
    begun = time.monotonic()
    assert not writer.close(tell) and time.monotonic() - begun < 5
    with pytest.raises(TrackingError, match="ended"):
        writer.answered(True)
    hang.set()
