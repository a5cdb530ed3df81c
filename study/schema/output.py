"""What a command says, wherever it goes: a reader that goes away, a full disk or a narrow encoding never ends it."""

from __future__ import annotations

import io
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

STDERR = 2
BAD_INPUT = 2  # the exit code


class _Lasting(io.FileIO):
    """A standard stream. Once it cannot be written, which is said on stderr, all that is written there is dropped."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:  # head or a pager has ended, the terminal is closed, the disk is full
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            if self.fileno() != STDERR:
                print(f"the output cannot be written ({error.strerror}): the command goes on without it",
                      file=sys.stderr)
            return len(data)


def lasting(stream: TextIO | None) -> TextIO:
    """Instead of `sys.stdout` or `sys.stderr` (None: it was closed from the start) one that always takes a text.

    Characters that its encoding lacks are escaped.
    """
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8")
    stream.flush()
    raw = io.BufferedWriter(_Lasting(stream.fileno(), "w", closefd=False))
    return io.TextIOWrapper(raw, stream.encoding, "backslashreplace", line_buffering=bool(stream.line_buffering))


def script(main: Callable[[], int]) -> Callable[[], int]:
    """As a console script calls it: with a standard output that lasts, and with Python's own way with warnings."""
    def run() -> int:
        sys.stdout, sys.stderr = lasting(sys.stdout), lasting(sys.stderr)
        if sys.flags.optimize > 1:
            print(f"PYTHONOPTIMIZE, or -O: found {sys.flags.optimize}, expected at most 1: MLflow and Ray use the "
                  "docstrings that it strips", file=sys.stderr)
            return BAD_INPUT
        _warnings_are_no_errors()
        return main()

    return run


def _warnings_are_no_errors() -> None:
    """Here and in the processes to come: the first warning of a library would end what the user cannot mend."""
    others = [entry for entry in warnings.filters if entry[0] != "error"]
    if len(others) < len(warnings.filters):
        os.environ.pop("PYTHONWARNINGS", None)  # else it stays: what it silences is silent in workers, too
        warnings.resetwarnings()
        cast(list[Any], warnings.filters).extend(others)


@contextmanager
def if_slow(seconds: float, tell: Callable[[], None]) -> Iterator[None]:
    """Where the block lasts so long, `tell()` is called once, in a thread of its own."""
    timer = threading.Timer(seconds, tell)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
