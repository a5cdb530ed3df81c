"""What a cluster is asked for and how many units it takes at once; stopping in order. Without Ray."""

from __future__ import annotations

import os
import resource
import signal
import sys
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from study import cluster
from study.cluster import ClusterError, RunError, address_problem, capacity, connect_problem
from study.cluster.capacity import fits, resources_per_unit


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
    monkeypatch.setattr(capacity, "_nodes", lambda excluded=(): nodes)
    monkeypatch.setattr(capacity, "_workers_use_gpus", lambda gpu: works)
    if isinstance(resources, dict):
        assert resources_per_unit(cpu, gpu) == resources
        return
    with pytest.raises(ClusterError) as found:
        resources_per_unit(cpu, gpu)
    assert str(found.value) == resources


def test_room_follows_the_cluster_and_parts_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """One unit more than fits waits on a cluster, for a node that joins; a limit holds; a look lasts for 2 s. That no
    node is left is said once, and so is that one has come."""
    said: list[str] = []
    nodes, clock = [{"CPU": 8.0, "GPU": 1.0}], [100.0]
    monkeypatch.setattr(capacity, "_nodes", lambda excluded=(): nodes)
    monkeypatch.setattr(capacity.time, "monotonic", lambda: clock[0])
    quarter = {"cpu": 1.0, "gpu": 0.25}
    assert capacity.concurrency(quarter) == 4
    here, there, few = (capacity.room(*words) for words in (
        (None, quarter, None, said.append), ("auto", quarter, None, said.append),
        ("auto", quarter, 2, lambda line: None)))
    assert (here(), there(), few()) == (4, 5, 2)
    nodes.append({"CPU": 8.0, "GPU": 2.0})
    assert there() == 5, "no look yet"
    clock[0] += capacity.ROOM_SECONDS
    assert (there(), few()) == (13, 2)
    nodes.clear()
    clock[0] += capacity.ROOM_SECONDS
    assert (here(), there(), few()) == (1, 1, 1), "what is left waits for a node"
    assert said == 2 * ["waiting for a node: no living one can take a unit (cpu 1, gpu 0.25)"]
    clock[0] += capacity.ROOM_SECONDS
    assert there() == 1
    nodes.append({"CPU": 8.0, "GPU": 1.0})
    clock[0] += capacity.ROOM_SECONDS
    assert there() == 5 and said[2:] == ["a node has come; going on"]


@pytest.mark.parametrize(("environment", "address", "sentence"), [
    ("", "auto", None), ("10.0.0.1:6379", "auto", None), ("ray://head:10001", "10.0.0.1:6379", None),
    ("ray://head:10001", "auto", "--address auto: RAY_ADDRESS=ray://head:10001: found a Ray Client address, expected "),
    ("http://head:8265", "auto", "--address auto: RAY_ADDRESS=http://head:8265: found a URI, expected one of a "),
    ("", "local", "--address local: expected a cluster's HOST:PORT, or auto; leave --address out to run on this "),
])
def test_an_address_that_ray_would_read_otherwise_is_refused(
        environment: str, address: str, sentence: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", environment)
    found = address_problem(address)
    assert found is None if sentence is None else str(found).startswith(sentence)


def test_a_cluster_without_a_cpu_is_waited_for_and_every_check_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    nodes: list[dict[str, float]] = [{"CPU": 0.0}]
    monkeypatch.setattr(capacity, "_nodes", lambda excluded=(): nodes)
    monkeypatch.setattr(capacity, "_wait_for_a_node", lambda *words: nodes.append({"CPU": 2.0}))
    monkeypatch.setattr(capacity, "nodes_problem", lambda storage: "a path" if storage == "./runs" else None)
    monkeypatch.setattr(capacity, "_able", lambda resources: {"id": "10.0.0.2"})
    monkeypatch.setattr("study.cluster.probe.problem",
                        lambda store, able: None if store == "seen" else f"{able} not")

    def prepare(storage: str, store: Any) -> dict[str, float]:
        return capacity.prepare("auto", storage, store, 1, "auto", said.append)

    assert prepare("s3://b", "seen") == {"cpu": 1.0}
    assert said == ["waiting for a node: the cluster at auto has no CPU yet (given up after 900 s)"]
    for storage, store, sentence in (("./runs", "seen", "a path"), ("s3://b", "unseen", "{'id': '10.0.0.2'} not")):
        with pytest.raises(ClusterError) as found:
            prepare(storage, store)
        assert str(found.value) == sentence
    assert len(said) == 1


@pytest.mark.parametrize(("address", "error"), [("127.0.0.1:1", "ConnectionRefusedError"),
                                                ("127.0.0.1:1000000000000000000000", "OverflowError")])
def test_an_address_that_nothing_has_is_one_sentence(address: str, error: str) -> None:
    assert connect_problem(address) == f"--address {address}: no Ray cluster answers there ({error})"
    assert connect_problem("auto") is None, "Ray knows at once"


def test_a_local_instance_gives_workers_their_threads_and_stops_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers inherit the environment; Ray's own handler of SIGTERM would end the launch without its last words."""
    told: list[str] = []

    def init(**options: Any) -> None:
        assert services.start_api_server("any") == ("", None)
        told.append(f"init in group {services.ConsolePopen.keywords}")

    fake = SimpleNamespace(init=init, shutdown=lambda: told.append("shutdown"))
    monkeypatch.setitem(sys.modules, "ray", fake)
    monkeypatch.setitem(sys.modules, "ray.job_config", SimpleNamespace(JobConfig=SimpleNamespace))
    services = SimpleNamespace(ConsolePopen=print, start_api_server=print)
    monkeypatch.setitem(sys.modules, "ray._private.services", services)
    monkeypatch.setitem(sys.modules, "ray._private.parameter", SimpleNamespace(RayParams=print))
    monkeypatch.setitem(sys.modules, "ray._private.worker", SimpleNamespace(print_to_stdstream=print))
    monkeypatch.setattr(os, "environ", {"OMP_NUM_THREADS": "64", "MKL_NUM_THREADS": "64", "DO_NOT_TRACK": "mine"})
    monkeypatch.setattr(cluster.auth, "own_token", lambda: told.append("token"))
    with pytest.raises(KeyboardInterrupt), cluster.running(None, 4, 3):
        assert {os.environ[name] for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")} == {"3"}
        assert os.environ["DO_NOT_TRACK"] == "mine"
        os.kill(os.getpid(), signal.SIGTERM)
    assert told == ["token", "init in group {'process_group': 0}", "shutdown"] and services.ConsolePopen is print
    assert services.start_api_server is print


@pytest.mark.parametrize(("given", "temporary", "folder"), [
    (None, "/scratch", "/scratch/ray"), (None, "/" + 34 * "s", "/" + 34 * "s" + "/ray"),
    (None, "/" + 35 * "s", "/tmp/ray"), (None, "/" + 18 * "ü", "/tmp/ray"),
    ("/mine", "/scratch", "/mine/ray"), ("mine", "/scratch", "/mine/ray"),
    ("/" + 35 * "m", "/tmp", ""),
])
def test_rays_sockets_have_short_and_absolute_paths(given: str | None, temporary: str, folder: str,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    monkeypatch.setattr("tempfile.tempdir", temporary)
    monkeypatch.setenv("RAY_TMPDIR", given or "")
    if folder:
        assert cluster._temporary() == folder
        return
    with pytest.raises(ClusterError) as found:
        cluster._temporary()
    assert str(found.value).startswith(f"RAY_TMPDIR: found {given}, expected a path of at most 35 bytes, such as /tmp")


def test_ray_that_does_not_start_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """It raises a bare Exception, of several lines."""
    def init(**options: Any) -> None:
        raise Exception("a page\nof text\nThe current node timed out during startup.")

    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(init=init))
    monkeypatch.setattr(cluster, "_job", lambda *folders: None)
    monkeypatch.setattr(cluster, "_replaced", lambda *place: nullcontext())
    with pytest.raises(RunError) as found:
        cluster._start(1, False, 0, [], print)
    assert str(found.value) == ("Ray did not start: The current node timed out during startup. (its logs: "
                                f"{cluster._temporary()}/session_latest/logs; a busy machine may need "
                                "another try)")
    with pytest.raises(Exception, match="a page"):
        cluster._start(1, True, 0, [], print)


@pytest.mark.parametrize(("limit", "kib", "problem"), [
    ("RLIMIT_FSIZE", 100, "ulimit -f: found 100 KiB, expected at least 122,880, for Ray"),
    ("RLIMIT_FSIZE", 122_880, None),
    ("RLIMIT_AS", 2_000_000, "ulimit -v: found 2,000,000 KiB, expected at least 3,670,016, for Ray"),
    ("RLIMIT_NOFILE", 0, None),
])
def test_a_limit_that_ends_rays_processes_is_named(monkeypatch: pytest.MonkeyPatch, limit: str, kib: int,
                                                   problem: str | None) -> None:
    """Else Ray says after half a minute that a part of it timed out, or ends the launch with a C++ stack."""
    which = getattr(resource, limit)
    monkeypatch.setattr(resource, "getrlimit",
                        lambda asked: (kib * 1024, -1) if asked == which else (resource.RLIM_INFINITY, -1))
    assert capacity.limits_problem() == problem


@pytest.mark.parametrize("modules", [[], ["/lab/mylab", "/lab/one.py"]])
def test_a_local_instance_copies_the_user_s_modules_alone(modules: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without them no runtime environment is made, which would cost every launch."""
    asked: list[Any] = []
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(init=lambda **options: asked.append(options)))
    monkeypatch.setattr(cluster, "_job", lambda *folders: None)
    monkeypatch.setattr(cluster, "_replaced", lambda *place: nullcontext())
    cluster._start(1, False, 0, modules, print)
    assert asked[0]["runtime_env"] == ({"py_modules": modules} if modules else None)


def test_workers_look_for_modules_in_no_folder_of_the_driver() -> None:
    """Ray itself adds the working directory, first of all, where a models/ or a random.py may lie."""
    job = cluster._job("/ours")
    job._py_driver_sys_path.extend(["/home/somebody"])  # as ray.init does
    assert list(job._get_proto_job_config().py_driver_sys_path) == ["/ours"]


def test_a_node_for_itself_is_waited_for_where_none_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five nodes died under a unit, and its round at the end begins while no other has come."""
    nodes: list[dict[str, float]] = []
    monkeypatch.setattr(capacity, "_nodes", lambda excluded=(): nodes)
    assert capacity.whole_node({"cpu": 2.0}) == {"cpu": 2.0}
    nodes += [{"CPU": 4.0}, {"CPU": 8.0}, {"CPU": 1.0}]
    assert capacity.whole_node({"cpu": 2.0}) == {"cpu": 8.0}
