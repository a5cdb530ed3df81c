"""Where Ray runs: an instance of this launch alone, or the cluster at an address. Importing this imports no Ray."""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

OBJECT_STORE_BYTES = 120 * 1024**2  # nothing but small dictionaries travels between driver and workers
WORKER_ENVIRONMENT = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}  # and OMP_NUM_THREADS
ANSWER_SECONDS = 5.0  # for the cluster at an address
QUIET_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else every start warns about a change of Ray's default
    "RAY_AIR_NEW_OUTPUT": "0",  # the older output of Tune is the one that can be silenced
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # workers stay where the launch was started: relative paths keep their meaning
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # no CSV, JSON or TensorBoard files: units write what is kept
    "TUNE_GLOBAL_CHECKPOINT_S": "600",  # Tune's own snapshots are never read
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}


class ClusterError(Exception):
    """The cluster cannot run this study; one sentence."""


def address_problem(address: str | None) -> str | None:
    """Why this launch cannot go to that address, as one sentence, or None."""
    if address is not None and address.startswith("ray://"):
        return (f"--address {address}: found a Ray Client address, expected one of a cluster node: run the launch on "
                "the cluster (ray job submit -- python -m study.launch ...) with --address auto")
    return None


def nodes_problem(storage: str) -> str | None:
    """Why the running cluster cannot use that storage, as one sentence, or None. Needs `running`."""
    import ray

    alive = sum(bool(node["Alive"]) for node in ray.nodes())
    if alive > 1 and "://" not in storage:
        return (f"--storage {storage}: found a local path and {alive} nodes, expected a place that every node reaches: "
                "a URI such as s3://bucket/path, or file:///shared/path for a shared disk")
    return None


def fits(nodes: Iterable[Mapping[str, float]], resources: Mapping[str, float]) -> int:
    """How many units run at once. nodes: what each has, in Ray's words (CPU, GPU). No unit spans two nodes."""
    return sum(int(min(node.get(name.upper(), 0.0) / amount for name, amount in resources.items())) for node in nodes)


def resources_per_unit(cpu: float, gpu: float | str) -> dict[str, float]:
    """Ray's request for one unit of work; `gpu: auto` is 1 where workers can use a GPU, else 0. Needs `running`.

    Raises ClusterError where no node could ever take a unit: Ray would wait for one without a word.
    """
    nodes, auto = _nodes(), gpu == "auto"
    wanted = {"cpu": float(cpu), "gpu": float(any(node.get("GPU", 0.0) >= 1 for node in nodes) if auto else gpu)}
    if auto and wanted["gpu"] and not _workers_use_gpus(1.0):
        wanted["gpu"] = 0.0
    for name, amount in wanted.items():
        most = max((node.get(name.upper(), 0.0) for node in nodes), default=0.0)
        if amount > most:
            raise ClusterError(f"resources.{name}: found {amount:g}, expected at most {most:g}, what a node of the "
                               "cluster has at most")
    resources = {name: amount for name, amount in wanted.items() if amount}
    if not fits(nodes, resources):
        raise ClusterError(f"resources: found cpu {wanted['cpu']:g} and gpu {wanted['gpu']:g}, expected what one node "
                           "of the cluster has")
    if not auto and wanted["gpu"] and not _workers_use_gpus(resources["gpu"]):
        raise ClusterError(f"resources.gpu: found {wanted['gpu']:g}, expected 0: torch in the cluster's workers "
                           "uses no GPU (is it a build for the CPU?)")
    return resources


def concurrency(resources: Mapping[str, float]) -> int:
    """Units that fit into the cluster at once. Needs `running`."""
    return fits(_nodes(), resources)


def _nodes() -> list[dict[str, float]]:
    """What each living node has, in Ray's words."""
    import ray

    return [dict(node["Resources"]) for node in ray.nodes() if node["Alive"]]


def _workers_use_gpus(gpu: float) -> bool:
    """Whether torch in a worker that was given `gpu` GPUs sees one; this machine's torch may be another build."""
    import ray

    def probe() -> bool:
        import torch

        return torch.cuda.is_available()

    return bool(ray.get(ray.remote(num_cpus=0, num_gpus=gpu, max_retries=0)(probe).remote()))


def connect_problem(address: str, seconds: float = ANSWER_SECONDS) -> str | None:
    """Why nothing answers at `host:port`, as one sentence, or None. Ray itself would try for minutes."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal():
        return None  # `auto` and the like: Ray knows at once
    try:
        socket.create_connection((host.strip("[]"), int(port)), seconds).close()
    except (OSError, OverflowError) as error:
        return f"--address {address}: no Ray cluster answers there ({type(error).__name__})"
    return None


@contextmanager
def terminable() -> Iterator[None]:
    """In the block SIGTERM is taken like SIGINT: the study stops in order and says how to continue."""
    def interrupt(number: int, frame: Any) -> None:
        signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)  # None: it was not set from Python


@contextmanager
def running(address: str | None, cpus: int, threads: int = 1, verbose: bool = False) -> Iterator[None]:
    """Ray, from here to the end of the block: an own local instance of `cpus` CPUs, or the cluster at `address`.

    threads: of a worker. Raises ClusterError where there is no such cluster.
    """
    environment = {**WORKER_ENVIRONMENT, "OMP_NUM_THREADS": str(threads)}
    for name, value in {**QUIET_ENVIRONMENT, **environment}.items():
        os.environ.setdefault(name, value)
    import ray

    level = logging.INFO if verbose else logging.CRITICAL
    if address is None:
        # Workers of a local instance inherit this process's environment, which costs less than a runtime environment.
        ray.init(address="local", num_cpus=cpus, include_dashboard=False, object_store_memory=OBJECT_STORE_BYTES,
                 configure_logging=True, logging_level=level, log_to_driver=verbose)
    else:
        import models
        import study

        try:
            ray.init(address=address, logging_level=level, log_to_driver=verbose,
                     runtime_env={"py_modules": [models, study], "env_vars": environment})
        except (ConnectionError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ClusterError(f"--address {address}: no Ray cluster can be joined there: {reason}") from error
    for name in ("ray", "ray.tune"):  # after init, which sets them
        logging.getLogger(name).setLevel(level)
    with terminable():  # after init, which has its own way with SIGTERM: to die at once
        try:
            yield
        finally:
            ray.shutdown()
