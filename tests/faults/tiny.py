"""The study that the faults happen to: three phases, eleven units of a third of a second, four checkpoints each."""

from __future__ import annotations

import os
from pathlib import Path

from tests.faults.holdings import Holdings, holdings

SPEC = """\
study: tiny
data: moons
method: [kl, jko]
train: {updates: 24, batch_size: 16, width: 4, particles: 64, mcmc_steps: 3}
design:
  replicates: 2
  step_size: [0.05, 1.5]
search:
  replicates: 2
  trials: 2
  space:
    step_size: {log: [0.02, 0.5]}
confirm: {top: 1, replicates: 2}
evaluation: {points: 4, samples: 64, long_run: 2}
"""
UNITS = 4 + 5 + 2  # the search gives the cheaper arm a third trial
LAUNCHER = "tests.faults.launcher"
ROOT = Path(__file__).resolve().parents[2]


def environment(*folders: Path) -> dict[str, str]:
    """What a launch from another working directory needs to find this repository, and the folders before it."""
    return {"PYTHONPATH": os.pathsep.join(map(str, (*folders, ROOT))), "PYTHONDONTWRITEBYTECODE": ""}


def held_here(database: str = "mlflow.db") -> Holdings:
    """What the study in the working directory holds."""
    return holdings(Path("runs/tiny"), f"sqlite:///{Path.cwd()}/{database}")  # MLflow keeps one engine for each URI
