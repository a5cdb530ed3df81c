"""Rounds of a real Ray that says it has a GPU: what it places at once where units take a part of it. No GPU is used,
and nothing is trained."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from study import cluster
from study.cluster import capacity
from study.run import rounds
from study.run.sources import Fixed
from study.schema.unit import Unit
from study.store.units import Store
from tests.configurations import unit

pytestmark = pytest.mark.slow

CPUS, MORE = 3, 2
PATIENCE = 120.0  # seconds in which as many units begin as fit
PARTS = {0.5: 2, 0.2: 3}  # of a GPU that a unit takes -> units at once: the second has no more CPUs


class Waits(rounds.Worker):
    """A unit that ends once as many as it is told have begun, in place of one that trains."""

    def step(self) -> dict[str, Any]:
        options, end = self._job["options"], time.monotonic() + PATIENCE
        begun = Path(options["folder"])
        (begun / str(self._job["unit"]["seeds"][0])).touch()
        while len(list(begun.iterdir())) < options["at_once"] and time.monotonic() < end:
            time.sleep(0.05)
        time.sleep(2)  # in which one too many would begin
        return {"status": "finished", "done": True}


class Watcher:
    """How many units run at once, at most; what else a round tells."""

    def __init__(self) -> None:
        self.running, self.most, self.told = 0, 0, list[str]()

    def started(self, unit: Unit) -> None:
        self.running += 1
        self.most = max(self.most, self.running)

    def advanced(self, unit: Unit, share: float) -> None:
        """No end."""

    def __getattr__(self, name: str) -> Any:
        def note(*event: Any) -> bool:
            self.running -= 1
            self.told.append(name)
            return True

        return note


def play(folder: str, gpu: float, at_once: int) -> dict[str, Any]:
    """A round of more units than fit."""
    resources = capacity.resources_per_unit(1, gpu)
    store, watcher, begun = Store(folder, "tiny"), Watcher(), Path(folder, "begun")
    begun.mkdir(parents=True)
    units = [unit((seed,)) for seed in range(at_once + MORE)]
    is_over = rounds.run_round(Fixed(units), watcher, store, resources=resources,
                               options=lambda unit: {"folder": str(begun), "at_once": at_once},
                               room=capacity.room("auto", resources, None, lambda line: None))
    return {"resources": resources, "fit": capacity.concurrency(resources), "over": is_over, "most": watcher.most,
            "told": watcher.told}


def start() -> None:
    """One GPU and some CPUs."""
    import ray

    rounds.Worker = Waits  # type: ignore[misc]
    capacity._workers_use_gpus = lambda gpu: True  # torch here is a build for the CPU
    ray.init(address="local", num_cpus=CPUS, num_gpus=1, include_dashboard=False, log_to_driver=False,
             object_store_memory=cluster.OBJECT_STORE_BYTES)


def test_as_many_units_run_at_once_as_parts_of_the_gpu_or_cpus_there_are(tmp_path: Path) -> None:
    """In a process and a home of its own: Ray leaves a token there, and its marks in the environment."""
    environment = {**os.environ, **cluster.QUIET_ENVIRONMENT, **cluster.WORKER_ENVIRONMENT, "OMP_NUM_THREADS": "1",
                   "HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-m", "tests.study.test_parts_of_a_gpu", str(tmp_path)],
                          env=environment, capture_output=True, text=True, check=False, timeout=550)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line) for line in done.stdout.splitlines()[-len(PARTS):]] == [{
        "resources": {"cpu": 1, "gpu": gpu}, "fit": at_once, "over": True, "most": at_once,
        "told": ["finished"] * (at_once + MORE)} for gpu, at_once in PARTS.items()]


if __name__ == "__main__":
    start()
    for part, at_once in PARTS.items():
        print(json.dumps(play(f"{sys.argv[1]}/{at_once}", part, at_once)))
