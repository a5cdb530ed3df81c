"""Launches with Ray: the driver killed at three moments, a worker killed, a second launch, a clock that is set back.

Each study then holds what one that is left alone in this process does.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from tests.faults import in_process
from tests.faults.holdings import Holdings, differences
from tests.faults.kills import SEED, disturbed, moments, table
from tests.faults.tiny import LAUNCHER, SPEC, environment, held_here
from tests.study.launching import done, launch, workers

pytestmark = [pytest.mark.slow,
              pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")]  # MLflow's own use of SQLAlchemy

DAY = 86400


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Holdings:
    return in_process.undisturbed(SPEC, tmp_path_factory.mktemp("calm"))


class Harmed(NamedTuple):
    """A launch whose worker was killed, what became of others of its study meanwhile, and how long it took."""

    code: int
    lines: list[str]
    second: list[subprocess.CompletedProcess[str]]
    held: Holdings
    seconds: float


@pytest.fixture(scope="module")
def harmed(tmp_path_factory: pytest.TempPathFactory) -> Harmed:
    second: list[subprocess.CompletedProcess[str]] = []

    def interfere(line: str, pid: int) -> None:
        if line.startswith("[1/"):
            os.kill(workers(pid)[0], signal.SIGKILL)
        if line.startswith("[2/"):
            second.append(subprocess.run(
                [sys.executable, "-m", LAUNCHER, "--space", "tiny.yaml"], capture_output=True, text=True, check=False,
                env={**os.environ, **environment()}))

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("harmed"))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        Path("tiny.yaml").write_text(SPEC)
        begun = time.monotonic()
        code, lines = launch(module=LAUNCHER, environment=environment(), on_line=interfere)
        return Harmed(code, lines, second, held_here(), time.monotonic() - begun)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    Path("tiny.yaml").write_text(SPEC)
    yield tmp_path


def test_the_driver_is_killed_between_two_migrations_of_a_new_mlflow_store(folder: Path) -> None:
    """An SQLite file that was left there is of no use, and MLflow would refuse it for good."""
    uri = f"sqlite:///{folder}/mlflow.db"
    reach = f"from study.show.tracking import Tracking; Tracking({uri!r}, 'tiny', '').check_reachable()"
    dies = ("import os; from alembic.runtime.migration import HeadMaintainer; "  # a migration is done, and not noted
            "HeadMaintainer.update_to_step = lambda *step: os.kill(os.getpid(), 9); ")
    codes = [subprocess.run([sys.executable, "-c", code], env={**os.environ, **environment()}, check=False).returncode
             for code in (dies + reach, reach)]
    assert codes == [-signal.SIGKILL, 0]


def test_the_driver_is_killed_at_two_moments_in_a_row(folder: Path, calm: Holdings, harmed: Harmed) -> None:
    """The clock's test kills it where a line was printed; `make faults` has twenty."""
    kills = [kill for [kill] in moments(2, harmed.seconds, np.random.default_rng(SEED))]
    outcome = disturbed(kills, calm)
    assert outcome.problems == [], "\n".join([table(list(outcome.rows())), *outcome.lines])
    assert (outcome.twice, outcome.lost, outcome.doubled) == (0, 0, 0)


def test_a_worker_is_killed_and_a_second_launch_is_refused(calm: Holdings, harmed: Harmed) -> None:
    """The first launch finishes unharmed by either."""
    assert harmed.code == 0, "\n".join(harmed.lines)
    assert any("it goes on in a new worker" in line for line in harmed.lines)
    [refused] = harmed.second
    assert refused.returncode == 2 and refused.stderr.count("\n") == 1, refused.stderr
    assert refused.stderr.startswith("study 'tiny' in ") and " is being run by process " in refused.stderr
    assert differences(calm, harmed.held) == [] and harmed.held.launches == ["FINISHED"]


def test_the_clock_is_set_back_while_it_runs_and_before_it_goes_on(folder: Path, calm: Holdings) -> None:
    """By a day in all processes, then the driver is killed, then by another day."""
    clock = folder / "clock"
    clock.write_text("0")
    off = {**environment(Path(__file__).parent / "hook"), "FAULTS_CLOCK": str(clock)}

    def interfere(line: str, pid: int) -> None:
        if line.startswith("[2/"):
            clock.write_text(str(-DAY))
        if line.startswith("[4/"):
            os.kill(pid, signal.SIGKILL)

    code, lines = launch(module=LAUNCHER, environment=off, on_line=interfere)
    assert code == -signal.SIGKILL, "\n".join(lines)
    before = {path: path.stat().st_mtime_ns for path in done(folder)}
    clock.write_text(str(-2 * DAY))
    code, lines = launch(module=LAUNCHER, environment=off)
    assert code == 0, "\n".join(lines)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert differences(calm, held_here()) == []
