"""Who failed when a round ends with an exception: Ray, or code of ours that Ray had called."""

from __future__ import annotations

import re
import sysconfig
import traceback
from collections.abc import Sequence
from pathlib import Path

OURS = ("study", "models")
ROOT = Path(__file__).resolve().parents[2]
INSTALLED = {"site-packages", "dist-packages", Path(sysconfig.get_path("stdlib")).name}
CODES = re.compile(r"\x1b\[[0-9;]*m")  # a terminal's colours
FRAME = re.compile(r'\s*File "(.+)", line (\d+)')
RAISED = re.compile(r"[A-Za-z_][\w.]*(Error|Exception|Exit|Interrupt|Iteration)\b")  # the line that names it


def root(error: Exception) -> Exception:
    """What Tune has wrapped: an exception of ours in Tune's loop comes as a TuneError, with its traceback as text."""
    while type(error).__name__ == "TuneError" and isinstance(within := error.__cause__ or error.__context__, Exception):
        error = within
    return error


def is_of_ray(error: Exception) -> bool:
    """Whether Ray raised it, or what Ray had called, rather than code of ours. error: a `root`."""
    if type(error).__module__.startswith("ray."):
        return not isinstance(getattr(error, "cause", None), Exception)  # what a remote function of ours raised
    for frame, _ in reversed(list(traceback.walk_tb(error.__traceback__))):
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package == "ray" or package in OURS:
            return package == "ray"
    return False


def one_line(error: Exception) -> str:
    """What a traceback in an error's text comes to, in one line."""
    return exception_in(str(error)) or type(error).__name__


def exception_in(text: str, most: int = 400) -> str:
    """What a traceback comes to, in one line: its exception, whose message may have several; else its last line."""
    lines = [line.rstrip() for line in CODES.sub("", text).splitlines() if line.strip()]
    begun = next((k for k in reversed(range(len(lines))) if RAISED.match(lines[k])), len(lines) - 1)
    said = " ".join(" ".join(lines[max(begun, 0):]).split())[:most]
    return "".join(letter for letter in said if letter.isprintable()) + _place(lines[:begun])


def _place(lines: Sequence[str]) -> str:
    """Where code from outside stood: ` (mylab/tempered.py:12)` of a traceback's lines; "" where none did."""
    frames = [(Path(found[1]), found[2]) for found in map(FRAME.match, lines) if found]
    own = [(path, line) for path, line in frames
           if not INSTALLED & {*path.parts} and not any(path.is_relative_to(ROOT / name) for name in OURS)]
    return f" ({'/'.join(own[-1][0].parts[-2:])}:{own[-1][1]})" if own else ""
