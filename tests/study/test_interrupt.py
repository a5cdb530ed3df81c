"""Ctrl-C, SIGTERM and SIGHUP end a launch in order, wherever they come."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from study.interrupt import tell_of_interrupt, terminable
from tests.study.test_launch_whole import Launch, launch  # noqa: F401

ROOT = Path(__file__).resolve().parents[2]


def test_termination_is_an_interruption_and_only_inside() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), terminable():
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


def test_termination_reaches_a_background_job_that_ignores_interruptions() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with pytest.raises(KeyboardInterrupt), terminable():
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("ignored", [False, True])
def test_a_hang_up_is_one_interruption_however_often_it_comes(ignored: bool) -> None:
    """The kernel sends it when the terminal closes, and the shell that ends sends it again. SIGINT is ignored in a
    shell's background job."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN) if ignored else signal.getsignal(signal.SIGINT)
    last_words = []
    try:
        with pytest.raises(KeyboardInterrupt), terminable():
            with pytest.raises(KeyboardInterrupt), terminable():
                os.kill(os.getpid(), signal.SIGHUP)
            os.kill(os.getpid(), signal.SIGHUP)
            last_words.append("to continue")
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGINT, before)
    assert last_words and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL


def test_a_hang_up_that_is_ignored_stays_so() -> None:
    """`nohup python -m study.launch ...`."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with terminable():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


class Interrupting:
    """logging's lock, with a signal on its way while it is held and not yet guarded."""

    def __init__(self, lock: Any, number: int) -> None:
        self.lock, self.number, self.left = lock, number, 1

    def acquire(self) -> None:
        self.lock.acquire()
        if self.left:
            self.left = 0
            os.kill(os.getpid(), self.number)

    def release(self) -> None:
        self.lock.release()


@pytest.mark.parametrize(("number", "ignored"), [
    (signal.SIGINT, False), (signal.SIGTERM, False), (signal.SIGTERM, True), (signal.SIGHUP, False),
    (signal.SIGHUP, True)])
def test_an_interrupt_within_logging_comes_later_and_leaves_its_lock_free(
        number: int, ignored: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Held for ever, it would stop every thread that logs. ignored: SIGINT is, as in a shell's background job."""
    lock = logging._lock  # type: ignore[attr-defined]
    before = signal.signal(signal.SIGINT, signal.SIG_IGN) if ignored else signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch, terminable():
        patch.setattr(logging, "_lock", Interrupting(lock, number))
        logging.getLogger("never.asked.before").isEnabledFor(number)
        with pytest.raises(KeyboardInterrupt):
            time.sleep(5)
    signal.signal(signal.SIGINT, before)
    took: list[bool] = []

    def take() -> None:
        took.append(lock.acquire(timeout=1))
        if took[0]:
            lock.release()

    thread = threading.Thread(target=take)
    thread.start()
    thread.join()
    assert took == [True]


def test_the_first_interrupt_is_told_before_it_is_answered() -> None:
    said: list[str] = []
    before = signal.signal(signal.SIGINT, lambda *_: said.append("answered"))
    try:
        tell_of_interrupt(lambda: said.append("told"))
        os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert said == ["told", "answered"]


@pytest.mark.parametrize("command", ["launch", "sample", "measure", "restore", "new"])
def test_a_command_that_is_stopped_while_it_imports_says_nothing(command: str) -> None:
    """Ctrl-C as the first of its own modules is looked for, but for that which prepares for it."""
    code = ("import os, runpy, signal, sys; import study.interrupt\n"
            "class Stop:\n"
            "    def find_spec(name, *more):\n"
            "        if name.startswith(('study.', 'models.')): os.kill(os.getpid(), signal.SIGINT)\n"
            "sys.meta_path.insert(0, Stop)\n"
            f"sys.argv = ['study.{command}']; runpy.run_path('study/{command}.py', run_name='__main__')")
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (found.returncode, found.stdout, found.stderr) == (-signal.SIGINT, "", "")


def test_a_thread_that_is_not_the_main_one_changes_no_handler() -> None:
    seen: list[Any] = []

    def run() -> None:
        with terminable():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGTERM)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_launch_that_is_stopped_while_it_plans_says_how_to_continue(
        number: int, launch: Launch, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setattr("models.data.load.load", lambda *data, **more: os.kill(os.getpid(), number))
    code, _, errors = launch()
    assert code == 130
    [line] = errors
    assert re.fullmatch(r"interrupted; to continue: \S+ -m study\.launch --space tiny\.yaml --tracking-uri \S+", line)
