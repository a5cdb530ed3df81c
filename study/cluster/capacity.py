"""What the running cluster has: whether a study can run there, what a unit asks for, how many run at once."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Container, Iterable, Mapping
from typing import TYPE_CHECKING

from study.cluster import OBJECT_STORE_BYTES, ClusterError

if TYPE_CHECKING:
    from study.store.units import Store

ADDRESSES = 7 * 2**29  # bytes that one process of Ray or torch maps, most of which it never uses
ROOM_SECONDS = 2.0  # between two looks at the cluster's size
JOIN_SECONDS = 900.0  # for the first node that can work: a cloud's machine with a GPU takes ten minutes to come


def nodes_problem(storage: str) -> str | None:
    """Why the running cluster cannot use that storage, as one sentence, or None. Needs `running`."""
    import ray

    alive = sum(bool(node["Alive"]) for node in ray.nodes())
    if alive > 1 and "://" not in storage:
        return (f"--storage {storage}: found a local path and {alive} nodes, expected a place that every node reaches: "
                "a URI such as s3://bucket/path, or file:///shared/path for a shared disk")
    return None


def gpu_problem(gpu: float | str) -> str | None:
    """Why no unit could have that much of a GPU on this machine alone, as one sentence, or None. Asks torch alone."""
    if isinstance(gpu, str) or not gpu:
        return None
    import torch

    has = torch.cuda.device_count()
    return f"found {gpu:g}, expected at most {has}, the GPUs that torch sees on this machine" if gpu > has else None


def limits_problem() -> str | None:
    """Which limit that a shell or a batch system set ends Ray's processes as they start, as one sentence, or None."""
    for name, limit, least in (("f", resource.RLIMIT_FSIZE, OBJECT_STORE_BYTES), ("v", resource.RLIMIT_AS, ADDRESSES)):
        found = resource.getrlimit(limit)[0]
        if found != resource.RLIM_INFINITY and found < least:
            return f"ulimit -{name}: found {found // 1024:,} KiB, expected at least {least // 1024:,}, for Ray"
    return None


def prepare(address: str | None, storage: str, store: Store, cpu: float, gpu: float | str,
            say: Callable[[str], None]) -> dict[str, float]:
    """Ray's request for one unit of work, once the running cluster has passed every check. Needs `running`.

    Raises ClusterError. A cluster at an address may have no CPU yet: workers that are still to join, an autoscaler
    that starts from none. Then this waits, and says so. Nodes that could take a unit are probed; those that join
    later are looked at by their first worker (`probe.unfit`).
    """
    if address is None:
        return resources_per_unit(cpu, gpu)
    from study.cluster import probe

    if not any(node.get("CPU") for node in _nodes()):
        say(f"waiting for a node: the cluster at {address} has no CPU yet (given up after {JOIN_SECONDS:g} s)")
        _wait_for_a_node(address, cpu, 0.0 if gpu == "auto" else float(gpu))
    if problem := nodes_problem(storage):
        raise ClusterError(problem)
    resources = resources_per_unit(cpu, gpu)
    if problem := probe.problem(store, _able(resources)):
        raise ClusterError(problem)
    return resources


def _wait_for_a_node(address: str, cpu: float, gpu: float) -> None:
    """Until a task of a unit's size has run. It is what an autoscaler adds a node for, and it dies with the driver."""
    import ray

    task = ray.remote(num_cpus=cpu, num_gpus=gpu)(lambda: None).remote()
    if not ray.wait([task], timeout=JOIN_SECONDS)[0]:
        ray.cancel(task, force=True)
        raise ClusterError(f"--address {address}: no node with cpu {cpu:g} and gpu {gpu:g} joined the cluster within "
                           f"{JOIN_SECONDS:g} s")


def _able(resources: Mapping[str, float]) -> dict[str, str]:
    """Id -> address of the living nodes that could take a unit."""
    import ray

    return {node["NodeID"]: node["NodeManagerAddress"] for node in ray.nodes()
            if node["Alive"] and fits([node["Resources"]], resources)}


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


def whole_node(resources: Mapping[str, float], excluded: Container[str] = ()) -> dict[str, float]:
    """Instead of `resources`, all CPUs of the largest node that has them, and a whole GPU if they hold a part of one.
    Needs `running`. excluded: ids of nodes that do not count.
    """
    cpus = max((node["CPU"] for node in _nodes(excluded) if fits([node], resources)), default=resources["cpu"])
    return {"cpu": cpus, **({"gpu": max(1.0, resources["gpu"])} if "gpu" in resources else {})}


def concurrency(resources: Mapping[str, float], excluded: Container[str] = ()) -> int:
    """Units that fit into the cluster as it is now, but for nodes with these ids. Needs `running`."""
    return fits(_nodes(excluded), resources)


def room(address: str | None, resources: Mapping[str, float], limit: int | None,
         say: Callable[[str], None], excluded: Container[str] = ()) -> Callable[[], int]:
    """How many units to ask for at once, read again as nodes come and go. Needs `running`. limit: at most so many.
    say: told when no node is left that can take a unit, and when one has come. excluded: ids of nodes that do not
    count, read again with the others.

    On a cluster at an address one more than fits: the one that waits is taken by a node that joins or comes free, and
    is what an autoscaler adds a node for. A node that dies takes its share away.
    """
    spare, read, had_nodes = 0 if address is None else 1, -ROOM_SECONDS, True
    wide = 1

    def now() -> int:
        nonlocal read, had_nodes, wide
        if time.monotonic() - read >= ROOM_SECONDS:
            fitting = concurrency(resources, excluded)
            read, wide = time.monotonic(), max(1, fitting + spare)
            if had_nodes is not bool(fitting):
                had_nodes = bool(fitting)
                say("a node has come; going on" if had_nodes else
                    f"waiting for a node: no living one can take a unit ({_asks(resources)})")
        return min(limit or wide, wide)

    return now


def _asks(resources: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {amount:g}" for name, amount in resources.items())


def _nodes(excluded: Container[str] = ()) -> list[dict[str, float]]:
    """What each living node has, in Ray's words, but for those with these ids."""
    import ray

    return [dict(node["Resources"]) for node in ray.nodes() if node["Alive"] and node["NodeID"] not in excluded]


def _workers_use_gpus(gpu: float) -> bool:
    """Whether torch in a worker that was given `gpu` GPUs sees one; this machine's torch may be another build."""
    import ray

    def probe() -> bool:
        import torch

        return torch.cuda.is_available()

    return bool(ray.get(ray.remote(num_cpus=0, num_gpus=gpu, max_retries=0)(probe).remote()))
