"""Launches in processes of their own, with Ray: started, watched line by line, interfered with; and what they leave."""

from __future__ import annotations

import codecs
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.stores import template

POLL_SECONDS = 0.005
DEADLINE = 600.0  # of one launch; the longest takes two minutes on a busy machine


def launch(*words: str, on_line: Callable[[str, int], None] = lambda line, pid: None, kill_after: float | None = None,
           module: str = "study.launch", environment: Mapping[str, str] | None = None,
           deadline: float = DEADLINE) -> tuple[int, list[str]]:
    """Run the command on tiny.yaml here, in its own process group; (exit code, lines of stdout and stderr).

    on_line(line, pid) may interfere. kill_after: seconds after which the driver alone is killed (SIGKILL), as the
    kernel does when memory is short. The lines go through a file: a pipe would end only with the last orphan.
    deadline: seconds after which all that the launch started is killed, and the test fails with what it had said.
    """
    command = [sys.executable, "-m", module, "--space", "tiny.yaml", *words]
    if not ("--tracking-uri" in words or "MLFLOW_TRACKING_URI" in {**os.environ, **(environment or {})}
            or Path("mlflow.db").exists()):
        shutil.copy(template(), "mlflow.db")
    with tempfile.NamedTemporaryFile("w+", encoding="utf-8") as file:
        begun = time.monotonic()
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, start_new_session=True,
                                   env={**os.environ, **(environment or {})})
        lines: list[str] = []
        decoder = codecs.getincrementaldecoder("utf-8")()  # the file may end within a character
        with process, open(file.name, "rb") as tail:
            pending, ended = "", False
            while True:
                if kill_after is not None and time.monotonic() - begun >= kill_after:
                    process.kill()  # does nothing to a process that has been waited for
                ended = process.poll() is not None  # before the file is read: what was written last is read, too
                *complete, pending = (pending + decoder.decode(tail.read())).split("\n")
                for line in complete:
                    lines.append(line)
                    on_line(line, process.pid)
                if ended:
                    return process.returncode, [*lines, pending] if pending else lines
                if time.monotonic() - begun >= deadline:
                    kill_all(process.pid)
                    raise AssertionError("\n".join([f"no end within {deadline:g} s:", *command, *lines, pending]))
                time.sleep(POLL_SECONDS)


def kill_all(ancestor: int) -> None:
    """Kill a process and all that it started, Ray's with their own process group, too."""
    for pid in [*below(ancestor), ancestor]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def done(folder: Path) -> list[Path]:
    """The manifests of the study's finished units."""
    return sorted(folder.glob("runs/tiny/*/*/done.json"))


def processes() -> dict[int, tuple[int, str]]:
    """Process -> (its parent, its command line), of those that live now."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                stat, command = (entry / "stat").read_text(), (entry / "cmdline").read_text()
            except OSError:  # it has ended meanwhile
                continue
            state, parent = stat.rpartition(")")[2].split()[:2]
            if state != "Z":
                found[int(entry.name)] = int(parent), command.replace("\0", " ")
    return found


def below(ancestor: int) -> dict[int, str]:
    """Process -> command line, of every process that the ancestor started, or that those started."""
    living = processes()

    def is_below(pid: int) -> bool:
        while pid in living and pid != ancestor:
            pid = living[pid][0]
        return pid == ancestor

    return {pid: command for pid, (_, command) in living.items() if pid != ancestor and is_below(pid)}


def workers(driver: int) -> list[int]:
    """Ray's busy workers below a driver, those that train first."""
    names = "ray::ResourceTrainable", "ray::Worker"  # while it trains, and between two calls
    found = {pid: command for pid, command in below(driver).items() if command.startswith(names)}
    return sorted(found, key=lambda pid: ".train" not in found[pid])
