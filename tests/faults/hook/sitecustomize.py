"""Loaded by every Python process of a launch that finds this folder on its PYTHONPATH: a clock that may be set back.

FAULTS_CLOCK names a file; while it holds a number, the clock is off by so many seconds.
"""

import os
import time

_path = os.environ.get("FAULTS_CLOCK", "")
_now, _now_ns = time.time, time.time_ns


def _shift() -> float:
    try:
        with open(_path) as file:
            return float(file.read() or 0)
    except OSError:
        return 0.0


if _path:
    time.time = lambda: _now() + _shift()
    time.time_ns = lambda: _now_ns() + int(_shift() * 1e9)
