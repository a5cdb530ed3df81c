"""Commands in one process beside the tests', which has all imports and a started Ray behind it.

A fresh process costs each command six seconds of imports and each launch as many of Ray's start; other tests have
those. Ray reads its token when it is imported, so the tests' own process must not do so.
"""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

DEADLINE = 600.0  # seconds of all commands of a row; the longest takes 45 on two idle cores


@dataclass(frozen=True)
class Said:
    """How a command ended."""

    code: int
    out: str
    err: str


class Commands:
    """The process. After a row that hangs, or kills it, comes a new one."""

    def __init__(self) -> None:
        self._process: Any = None

    def run(self, folder: Path, *commands: Sequence[str]) -> list[Said]:
        """Each command (`launch`, `report`, `sample`, and its words) in this folder, until one does not end with 0."""
        if self._process is None:
            context = multiprocessing.get_context("spawn")
            self._pipe, theirs = context.Pipe()
            self._process = context.Process(target=_serve, args=(theirs,))
            self._process.start()
            theirs.close()
        said: list[Said] = []
        try:
            self._pipe.send((folder, commands))
            while self._pipe.poll(DEADLINE) and (one := self._pipe.recv()) is not None:
                said.append(Said(*one))
            if len(said) < len(commands) and not (said and said[-1].code):
                self._process.kill()
        except (EOFError, OSError):
            self.close()
        return said

    def close(self) -> None:
        """Ray ends with it."""
        if self._process is not None:
            self._pipe.close()
            self._process.join(30)
            self._process.kill()
            self._process = None


def _serve(pipe: Connection) -> None:
    from analysis.page import canvas
    from analysis.report import main as report
    from models.measures import features
    from study.launch import main as launch
    from study.plan import make, samplers
    from study.sample import main as sample
    from tests.stores import trained_once
    from tests.whole.promises.studies import STARTUP

    os.environ.pop("MLFLOW_TRACKING_URI", None)
    canvas._save_png = lambda *of: None  # tests/analysis/test_report.py looks at those; SVG, CSV and page stay
    features._cached = trained_once(features._cached)
    make.FLOOR_DRAWS = 3  # a floor's number is tests/models/test_sample_metrics.py's
    samplers.STARTUP = STARTUP
    with ExitStack() as until_the_end, contextlib.suppress(EOFError):
        _start_ray_once(until_the_end)
        while True:
            folder, commands = pipe.recv()
            os.chdir(folder)
            for name, *words in commands:
                out, err = io.StringIO(), io.StringIO()
                with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                    try:
                        code = {"launch": launch, "report": report, "sample": sample}[name](words)
                    except BaseException:
                        code = -1
                        traceback.print_exc()
                pipe.send((code, out.getvalue(), err.getvalue()))
                if code:
                    break
            pipe.send(None)


def _start_ray_once(stack: ExitStack) -> None:
    """Launches share what the first one starts, with the module that some of them import."""
    from study import cluster

    start, started = cluster.running, list[None]()

    @contextmanager
    def running(*arguments: Any) -> Iterator[None]:
        if not started:
            started.append(stack.enter_context(start(*arguments[:5], [os.path.abspath("promised.py")])))
        yield

    cluster.running = running
