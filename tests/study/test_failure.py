"""What of a worker's traceback a person is told."""

from __future__ import annotations

import traceback
from pathlib import Path

import numpy as np

from study.cluster.failure import exception_in

SAID = """\x1b[36mray::Trainable.train()\x1b[39m (pid=7, ip=127.0.0.1)
  File "/usr/lib/python3.11/concurrent/futures.py", line 3, in run
  File "/tmp/ray/session/lab/mylab/outer.py", line 5, in call
  File "/tmp/ray/session/lab/mylab/tempered.py", line 12, in energy_loss
    return f(x, y)
  File "/venv/lib/python3.11/site-packages/torch/nn/functional.py", line 9, in linear
TypeError: \x1b[31mmade of\x07
two lines
"""


def test_an_exception_is_one_line_with_its_place_in_code_from_outside() -> None:
    assert exception_in(SAID) == "TypeError: made of two lines (mylab/tempered.py:12)"
    assert exception_in(SAID.replace("/tmp/ray/session/lab/mylab", "/venv/site-packages/mylab")) == (
        "TypeError: made of two lines")
    assert exception_in("no traceback") == "no traceback" and exception_in("") == ""


def test_the_place_is_the_innermost_line_outside_of_our_packages() -> None:
    try:
        from study.store.records import records

        records(np.zeros(2))  # type: ignore[arg-type]
    except Exception as error:
        said = exception_in("".join(traceback.format_exception(error)))
    assert said.endswith(f"(study/{Path(__file__).name}:{_line()})")


def _line() -> int:
    return 1 + [line.strip() for line in Path(__file__).read_text().splitlines()].index(
        "records(np.zeros(2))  # type: ignore[arg-type]")
