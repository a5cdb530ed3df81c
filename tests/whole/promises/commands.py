"""Commands in a process of their own, which has all imports behind it already: a fresh one costs six seconds a command.

One process holds one Ray session only: Ray reads its token when it is imported, which is therefore not done before.
"""

from __future__ import annotations

import contextlib
import io
import json
import multiprocessing
import os
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PRELOADED = ["study.launch", "study.plan.make", "study.resume", "study.run.unit_run", "study.run.search",
             "models.training.step", "models.measures.evaluation", "mlflow", "analysis.report", "analysis.page.page",
             "analysis.panels.built_in"]
DEADLINE = 300.0  # seconds of all commands of a process; the longest takes 30


@dataclass(frozen=True)
class Said:
    """How a command ended."""

    code: int
    out: str
    err: str


def run(folder: Path, *commands: Sequence[str]) -> list[Said]:
    """Each command (`launch` or `report`, then its words) in this folder, until one does not end with 0."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    file = folder / ".said.json"
    file.unlink(missing_ok=True)
    process = context.Process(target=_run, args=(folder, commands, file))
    process.start()
    process.join(DEADLINE)
    if process.is_alive():
        process.kill()
        process.join()
    return [Said(*one) for one in json.loads(file.read_text())] if file.exists() else []


def _run(folder: Path, commands: Sequence[Sequence[str]], file: Path) -> None:
    from analysis.report import main as report
    from study.launch import main as launch

    os.chdir(folder)
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    said: list[tuple[int, str, str]] = []
    for name, *words in commands:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code = {"launch": launch, "report": report}[name](words)
            except BaseException:
                code = -1
                traceback.print_exc()
        said.append((code, out.getvalue(), err.getvalue()))
        file.write_text(json.dumps(said))
        if code:
            break
