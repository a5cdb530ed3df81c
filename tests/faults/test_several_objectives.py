"""A search with several objectives, interrupted at any moment and killed: in the end it is as one that was not."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.faults.holdings import Holdings, differences, holdings
from tests.faults.in_process import Round, restart
from tests.faults.tiny import LAUNCHER, environment
from tests.study.launching import done
from tests.study.launching import launch as ray_launch
from tests.study.test_launch_whole import Launch

pytestmark = [pytest.mark.slow,
              pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")]  # MLflow's own use of SQLAlchemy

SPEC = """\
study: tiny
data: moons
method: [kl, jko]
train: {updates: 12, batch_size: 16, width: 4, particles: 64}
search:
  replicates: 2
  sampler: nsga2
  trials: 3
  objective: [energy_distance_64, particle_gradients]
  space: {step_size: {log: [0.05, 0.4]}, mcmc_steps: {int: [2, 5]}, score_scale: {choice: [1.0, 1.0e+12]}}
confirm: {top: 2, replicates: 2}
evaluation: {points: 6, samples: 64, long_run: 2}
"""
STOP = (4, 5)  # units that have ended, advances of the next


def test_wherever_it_stops_it_ends_as_the_undisturbed_one(launch: Launch, monkeypatch: pytest.MonkeyPatch,
                                                          tmp_path: Path) -> None:
    """Interrupted in this process; and killed (SIGKILL) on Ray, a unit at a time."""
    Path("tiny.yaml").write_text(SPEC)

    def ends(name: str, stop: tuple[int, int] | None = None) -> Holdings:
        for one, code in ([] if stop is None else [(Round(stop), 130)]) + [(Round(), 0)]:
            restart(monkeypatch, one)
            assert launch("--storage", name, database=f"{name}.db")[0] == code
        return holdings(Path(name) / "tiny", f"sqlite:///{tmp_path}/{name}.db")

    def kill(line: str, pid: int) -> None:
        if line.startswith("[3/"):
            os.kill(pid, signal.SIGKILL)

    calm = ends("calm")
    told = [entry for journal in calm.journals.values() for entry in journal]
    assert len(told) == 8 and all(len(entry["values"]) == 2 for entry in told)
    assert [phase for phase, _ in calm.phases.values()].count("confirm") == 4
    assert differences(calm, ends("stopped", STOP)) == []
    words = ("--max-concurrent", "1", "--tracking-uri", f"sqlite:///{tmp_path}/runs.db")
    code, _ = ray_launch(*words, on_line=kill, module=LAUNCHER, environment=environment())
    assert code == -signal.SIGKILL and 3 <= len(done(Path())) < 8 + 4
    code, lines = ray_launch(*words, module=LAUNCHER, environment=environment())
    assert code == 0, "\n".join(lines)
    assert differences(calm, holdings(Path("runs/tiny"), f"sqlite:///{tmp_path}/runs.db")) == []
