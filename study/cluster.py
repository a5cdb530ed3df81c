"""Where Ray runs: an instance of this launch alone, or the cluster at an address. Importing this imports no Ray."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

OBJECT_STORE_BYTES = 120 * 1024**2  # nothing but small dictionaries travels between driver and workers
WORKER_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
QUIET_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else every start warns about a change of Ray's default
    "RAY_AIR_NEW_OUTPUT": "0",  # the older output of Tune is the one that can be silenced
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # workers stay where the launch was started: relative paths keep their meaning
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # no CSV, JSON or TensorBoard files: units write what is kept
    "TUNE_GLOBAL_CHECKPOINT_S": "600",  # Tune's own snapshots are never read
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}


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


def resources_per_unit(cpu: float, gpu: float | str) -> dict[str, float]:
    """Ray's request for one unit of work; `gpu: auto` is 1 where the cluster has GPUs, else 0. Needs `running`."""
    import ray

    if gpu == "auto":
        gpu = 1.0 if ray.cluster_resources().get("GPU", 0) else 0.0
    return {"cpu": float(cpu), **({"gpu": float(gpu)} if float(gpu) else {})}


def concurrency(resources: dict[str, float]) -> int:
    """Units that fit into the cluster at once, at least 1. Needs `running`."""
    import ray

    total = ray.cluster_resources()
    fits = [total.get(name.upper(), 0.0) / amount for name, amount in resources.items() if amount]
    return max(1, int(min(fits))) if fits else 1


@contextmanager
def running(address: str | None, cpus: int, verbose: bool = False) -> Iterator[None]:
    """Ray, from here to the end of the block: an own local instance of `cpus` CPUs, or the cluster at `address`."""
    for name, value in {**QUIET_ENVIRONMENT, **WORKER_ENVIRONMENT}.items():
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

        ray.init(address=address, logging_level=level, log_to_driver=verbose,
                 runtime_env={"py_modules": [models, study], "env_vars": WORKER_ENVIRONMENT})
    for name in ("ray", "ray.tune"):  # after init, which sets them
        logging.getLogger(name).setLevel(level)
    try:
        yield
    finally:
        ray.shutdown()
