"""Rounds of a real Ray that says it has a GPU: what it places at once where units take a part of it. No GPU is used."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from study import cluster
from study.cluster import capacity
from study.rounds import run_round
from study.sources import Fixed
from study.storage import Store, Unit
from tests.test_trial import unit

pytestmark = pytest.mark.slow

CPUS = 4


@pytest.fixture(scope="module")
def one_gpu() -> Iterator[None]:
    """torch here is a build for the CPU, which workers would be asked about."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**cluster.QUIET_ENVIRONMENT, **cluster.WORKER_ENVIRONMENT, "OMP_NUM_THREADS": "1"}.items():
            patch.setenv(name, value)
        patch.setattr(capacity, "_workers_use_gpus", lambda gpu: True)
        ray.init(address="local", num_cpus=CPUS, num_gpus=1, include_dashboard=False, log_to_driver=False,
                 object_store_memory=cluster.OBJECT_STORE_BYTES)
        try:
            yield
        finally:
            ray.shutdown()


class Watcher:
    """How many units run at once, at most; what else a round tells."""

    def __init__(self) -> None:
        self.running, self.most, self.told = 0, 0, list[str]()

    def started(self, unit: Unit) -> None:
        self.running += 1
        self.most = max(self.most, self.running)

    def __getattr__(self, name: str) -> Any:
        def note(*event: Any) -> None:
            self.running -= 1
            self.told.append(name)

        return note


@pytest.mark.parametrize("gpu, at_once", [(0.5, 2), (0.2, 4)])
def test_as_many_units_run_at_once_as_parts_of_the_gpu_or_cpus_there_are(
        one_gpu: None, tmp_path: Path, gpu: float, at_once: int) -> None:
    resources = capacity.resources_per_unit(1, gpu)
    assert resources == {"cpu": 1, "gpu": gpu} and capacity.concurrency(resources) == at_once
    store, watcher = Store(str(tmp_path), "tiny"), Watcher()
    store.write("spec.json", b"{}")
    units = [unit((seed, seed + 1), updates=60) for seed in range(0, 2 * (at_once + 3), 2)]
    assert run_round(Fixed(units), watcher, store, options=lambda unit: {"device": "cpu"}, resources=resources,
                     room=capacity.room("auto", resources, None, print))
    assert watcher.most == at_once and watcher.told == ["finished"] * len(units)
    assert all(store.done(one) for one in units)
