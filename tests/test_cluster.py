"""What a cluster is asked for and how many units it takes at once; stopping in order. Without Ray."""

from __future__ import annotations

import os
import signal
import sys
from types import SimpleNamespace

import pytest

from study import cluster
from study.cluster import ClusterError, connect_problem, fits, resources_per_unit, terminable


@pytest.mark.parametrize(("nodes", "resources", "units"), [
    ([{"CPU": 2}], {"cpu": 1}, 2), ([{"CPU": 2}], {"cpu": 0.25}, 8), ([{"CPU": 2}], {"cpu": 4}, 0),
    ([{"CPU": 3}, {"CPU": 3}], {"cpu": 2}, 2),  # not the 3 that 6 CPUs on one node would take
    ([{"CPU": 8, "GPU": 1}, {"CPU": 8}], {"cpu": 1, "gpu": 0.25}, 4),
])
def test_no_unit_spans_two_nodes(nodes: list[dict[str, float]], resources: dict[str, float], units: int) -> None:
    assert fits(nodes, resources) == units


CPU, GPU, SMALL = {"CPU": 4.0}, {"CPU": 4.0, "GPU": 2.0}, {"CPU": 1.0, "GPU": 2.0}


@pytest.mark.parametrize(("nodes", "works", "cpu", "gpu", "resources"), [
    ([CPU, CPU], True, 2, "auto", {"cpu": 2}), ([CPU, GPU], True, 1, "auto", {"cpu": 1, "gpu": 1}),
    ([GPU], False, 1, "auto", {"cpu": 1}), ([GPU], True, 1, 0.25, {"cpu": 1, "gpu": 0.25}),
    ([GPU], False, 1, 0, {"cpu": 1}),
    ([CPU], True, 1, 1, "resources.gpu: found 1, expected at most 0, what a node of the cluster has at most"),
    ([GPU, GPU], True, 1, 3, "resources.gpu: found 3, expected at most 2, what a node of the cluster has at most"),
    ([CPU, CPU], True, 8, 0, "resources.cpu: found 8, expected at most 4, what a node of the cluster has at most"),
    ([CPU, SMALL], True, 2, 1, "resources: found cpu 2 and gpu 1, expected what one node of the cluster has"),
    ([GPU], False, 1, 1, "resources.gpu: found 1, expected 0: torch in the cluster's workers uses no GPU (is it a "
     "build for the CPU?)"),
])
def test_resources_that_no_worker_could_have_are_refused(
        nodes: list[dict[str, float]], works: bool, cpu: float, gpu: float | str, resources: dict[str, float] | str,
        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_nodes", lambda: nodes)
    monkeypatch.setattr(cluster, "_workers_use_gpus", lambda gpu: works)
    if isinstance(resources, dict):
        assert resources_per_unit(cpu, gpu) == resources
        return
    with pytest.raises(ClusterError) as found:
        resources_per_unit(cpu, gpu)
    assert str(found.value) == resources


@pytest.mark.parametrize(("address", "error"), [("127.0.0.1:1", "ConnectionRefusedError"),
                                                ("127.0.0.1:1000000000000000000000", "OverflowError")])
def test_an_address_that_nothing_has_is_one_sentence(address: str, error: str) -> None:
    assert connect_problem(address) == f"--address {address}: no Ray cluster answers there ({error})"
    assert connect_problem("auto") is None, "Ray knows at once"


def test_termination_is_an_interruption_and_only_inside() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), terminable():
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_local_instance_gives_workers_their_threads_and_stops_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers inherit the environment; Ray's own handler of SIGTERM would end the launch without its last words."""
    told: list[str] = []
    fake = SimpleNamespace(init=lambda **options: told.append("init"), shutdown=lambda: told.append("shutdown"))
    monkeypatch.setitem(sys.modules, "ray", fake)
    monkeypatch.setattr(os, "environ", {})
    with pytest.raises(KeyboardInterrupt), cluster.running(None, 4, 3):
        assert os.environ["OMP_NUM_THREADS"] == "3"
        os.kill(os.getpid(), signal.SIGTERM)
    assert told == ["init", "shutdown"]
