"""A search with several objectives, interrupted, and continued from what a kill leaves: in the end it is as one that
was left alone."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.faults.holdings import Holdings, differences, holdings, stored
from tests.faults.in_process import Round, restart
from tests.study.test_launch_whole import Launch
from tests.study.test_upload_queue import wait_until

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
STOP, KILL = (4, 5), (3, 3)  # units that have ended, advances of the next


def test_wherever_it_stops_it_ends_as_the_undisturbed_one(launch: Launch, monkeypatch: pytest.MonkeyPatch,
                                                          tmp_path: Path) -> None:
    """Interrupted; and from a copy of what there was in the middle of a unit, which is what SIGKILL may leave."""
    Path("tiny.yaml").write_text(SPEC)

    def ends(name: str, *rounds: tuple[Round, int], database: str = "") -> Holdings:
        for one, code in (*rounds, (Round(), 0)):
            restart(monkeypatch, one)
            assert launch("--storage", name, database=database or f"{name}.db")[0] == code
        return holdings(Path(name) / "tiny", f"sqlite:///{tmp_path}/{database or f'{name}.db'}")

    def leave(finished: int) -> None:
        if finished >= KILL[0] and whole.advances == KILL[1] and not Path("left").exists():
            shutil.copytree("calm", "left")
            with closing(sqlite3.connect("calm.db")) as one, closing(sqlite3.connect("killed.db")) as other:
                wait_until(lambda: one.execute("select * from tags where value = 'launch'").fetchone() is not None)
                one.backup(other)

    whole = Round(on_advance=leave)
    calm = ends("calm", (whole, 0))
    told = [entry for journal in calm.journals.values() for entry in journal]
    assert len(told) == 8 and all(len(entry["values"]) == 2 for entry in told)
    assert [phase for phase, _ in calm.phases.values()].count("confirm") == 4
    assert differences(calm, ends("stopped", (Round(STOP), 130))) == []
    shutil.rmtree("calm")
    Path("left").rename("calm")
    assert stored(Path("calm/tiny")).units.keys() < calm.units.keys()
    assert list(Path("calm/tiny").glob("*/*/checkpoint-*"))
    killed = ends("calm", database="killed.db")
    assert differences(calm, killed) == [] and sorted(killed.launches) == ["FINISHED", "KILLED"]
