"""Launches with Ray: the driver killed at two moments, a worker killed, a second launch, a clock that is set back.

The study then holds what one that is left alone in this process does.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import in_process
from tests.faults.holdings import Holdings
from tests.faults.kills import Moment, disturbed, table
from tests.faults.tiny import LAUNCHER, SPEC, environment, held_here
from tests.study.launching import workers

pytestmark = [pytest.mark.slow,
              pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")]  # MLflow's own use of SQLAlchemy

DAY = 86400


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Holdings:
    return in_process.undisturbed(SPEC, tmp_path_factory.mktemp("calm"))


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


def test_killed_twice_under_a_clock_that_is_set_back_then_a_worker_and_a_second_launch(
        folder: Path, calm: Holdings) -> None:
    """The driver is killed as Ray has started, then, with the clock a day back, after the fourth unit's line (`make
    faults` has twenty moments). In the launch that finishes, with the clock two days back, a worker is killed, and a
    second launch is refused meanwhile."""
    clock, second, killed = folder / "clock", list[subprocess.Popen[str]](), list[int]()
    clock.write_text("0")
    off = {**environment(Path(__file__).parent / "hook"), "FAULTS_CLOCK": str(clock)}

    def interfere(number: int, line: str, pid: int) -> None:
        if number == 0 and line.startswith("training;"):
            os.kill(pid, signal.SIGKILL)
        if number == 1 and line.startswith("[2/"):
            clock.write_text(str(-DAY))
        if number == 1 and line.startswith("[4/"):
            clock.write_text(str(-2 * DAY))
        if number == 2 and line == "starting Ray":
            second.append(subprocess.Popen([sys.executable, "-m", LAUNCHER, "--space", "tiny.yaml"], text=True,
                                           stderr=subprocess.PIPE, env={**os.environ, **off}))
        if number == 2 and line.startswith("[") and not killed:
            killed.append(workers(pid)[0])
            os.kill(killed[0], signal.SIGKILL)

    try:
        outcome = disturbed([Moment(line=1), Moment(line=4)], calm, interfere, off)
    finally:
        for one in second:  # while the last launch runs, it is refused within its imports
            said = one.communicate(timeout=60)[1]
    assert outcome.problems == [], "\n".join([table(list(outcome.rows())), *outcome.lines])
    assert (outcome.twice, outcome.lost, outcome.doubled) == (0, 0, 0)
    assert [len(hit.done) > 0 for hit in outcome.hits] == [False, True] and len(killed) == len(second) == 1
    assert outcome.hits[0].where == "start of Ray"
    assert any("it goes on in another worker" in line for line in outcome.lines)
    assert not any("(raylet)" in line for line in outcome.lines)
    assert second[0].returncode == 2 and said.count("\n") == 1, said
    assert said.startswith("study 'tiny' in ") and " is being run by process " in said
    assert sorted(held_here().launches) == ["FINISHED", *["KILLED"] * (len(held_here().launches) - 1)]
