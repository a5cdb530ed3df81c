"""Ctrl-C, SIGTERM and SIGHUP: how a launch is stopped in order, from its first second on. Standard library only."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

LATER = 0.02  # seconds after which an interrupt that came at a bad moment comes again


def silent() -> None:
    """From here to `terminable`, while modules are imported, Ctrl-C ends the process at once, without a traceback."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def terminable() -> Iterator[None]:
    """In the block SIGTERM and SIGHUP (the terminal closes) are taken like SIGINT: KeyboardInterrupt, so that the study
    stops in order and says how to continue. None comes within `logging`, whose lock would be held for ever, and all
    threads that log with it.

    A SIGINT that is ignored stays so: a shell's background job, in which Ctrl-C is for others; and so do a SIGHUP that
    is ignored (`nohup`) and a handler that is not Python's own. Outside of the main thread nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {signal.SIGTERM: signal.signal(signal.SIGTERM, _on_sigterm)}
    if signal.getsignal(signal.SIGINT) in (signal.default_int_handler, signal.SIG_DFL):
        before[signal.SIGINT] = signal.signal(signal.SIGINT, _interrupt)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, _on_sighup)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)  # None: it was not set from Python


def tell_of_interrupt(say: Callable[[], None]) -> None:
    """From now on the first SIGINT is answered with `say()`, before what answers it now (Ray Tune ends its units first,
    in silence). Whoever calls this puts the handler back."""
    before = signal.getsignal(signal.SIGINT)

    def tell(number: int, frame: FrameType | None) -> None:
        say()
        if callable(before):
            before(number, frame)

    if callable(before):
        signal.signal(signal.SIGINT, tell)


def _on_sigterm(number: int, frame: FrameType | None) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        _interrupt(number, frame)
    else:
        signal.raise_signal(signal.SIGINT)  # whoever has taken Ctrl-C, such as Tune, is asked


def _on_sighup(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # one hang-up is several: of the kernel, then of the shell that ends
    _on_sigterm(signal.SIGTERM, frame)


def _interrupt(number: int, frame: FrameType | None) -> None:
    if not _is_within_logging(frame):
        raise KeyboardInterrupt
    again = threading.Timer(LATER, signal.pthread_kill, (threading.main_thread().ident, number))
    again.daemon = True
    again.start()


def _is_within_logging(frame: Any) -> bool:
    """`_acquireLock()` and `_releaseLock()` there are calls, with steps of Python between the lock and its `try`."""
    while frame is not None:
        if frame.f_globals.get("__name__") == logging.__name__:
            return True
        frame = frame.f_back
    return False
