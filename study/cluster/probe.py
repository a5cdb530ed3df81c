"""A look at every node before a study starts there, and at each that joins later: the versions it has, and whether it
sees the storage.
"""

from __future__ import annotations

import contextlib
import platform
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata

from study.store.units import StorageError, Store

SECONDS = 120.0  # for all nodes together: each starts a worker and unpacks the packages
NOT_SEEN = "does not see what this launch wrote there"
SAME = ("ray", "torch", "numpy")  # a study's numbers depend on them; the others are recorded with each unit


@dataclass(frozen=True)
class Sight:
    """What a node sees. versions: name -> version, "none" for what is not installed. storage: "" or what is wrong."""

    versions: dict[str, str] = field(default_factory=dict)
    storage: str = ""


def versions() -> dict[str, str]:
    """Python's minor version and the packages of SAME, without the build (+cpu, +cu126): drivers differ by node."""
    found = {"python": ".".join(platform.python_version_tuple()[:2])}
    for name in SAME:
        try:
            found[name] = metadata.version(name).partition("+")[0]
        except metadata.PackageNotFoundError:
            found[name] = "none"
    return found


def look(uri: str, study: str, note: str, answer: str) -> Sight:
    """Run on a node: reads what the driver wrote at `note`, writes it at `answer`."""
    try:
        store = Store(uri, study)
        text = store.read(note)
        if text is None:
            return Sight(versions(), NOT_SEEN)
        store.write(answer, text)
    except StorageError as error:
        return Sight(versions(), f"cannot use it: {error}")
    return Sight(versions())


def problem(store: Store, nodes: Mapping[str, str], seconds: float = SECONDS) -> str | None:
    """Why these nodes cannot work on the study, as one sentence about the first of them, or None. Blocks.

    nodes: id -> address of those to ask, each in a task of its own. A node that has died meanwhile is passed over.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    note = f".probe-{secrets.token_hex(8)}"
    answers = {node: f"{note}-{node}" for node in nodes}
    store.write(note, note.encode())
    try:
        task = ray.remote(num_cpus=0, max_retries=0)(look)
        asked = {node: task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(
            store.uri, store.study, note, answer) for node, answer in answers.items()}
        _, silent = ray.wait(list(asked.values()), num_returns=len(asked), timeout=seconds)
        for ref in silent:
            ray.cancel(ref, force=True)
        found: dict[str, Sight | str] = {}
        for node, ref in asked.items():
            if ref in silent:
                found[node] = f"no answer within {seconds:g} s"
                continue
            try:
                found[node] = ray.get(ref)
            except ray.exceptions.RayError as error:
                found[node] = " ".join(str(error).split())[:300]
        alive = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
        unread = {node for node, sight in found.items()
                  if isinstance(sight, Sight) and not sight.storage and store.read(answers[node]) is None}
    finally:
        for path in [note, *answers.values()]:
            store.delete(path)
    mine = versions()
    problems = [sentence for node, sight in sorted(found.items(), key=lambda item: nodes[item[0]]) if node in alive
                if (sentence := _judge(nodes[node], sight, mine, store.uri, node in unread))]
    more = f" (and {len(problems) - 1} more nodes)" if len(problems) > 1 else ""
    return problems[0] + more if problems else None


def unfit(store: Store, expected: Mapping[str, str], known: str) -> str | None:
    """Why the node that this runs on cannot work on the study, as one sentence, or None: a worker's own look, for nodes
    that have joined since `problem`.

    expected: `versions` of the driver. known: a file that the driver has written into the study. Storage that does not
    answer is another matter, and may be so everywhere: it is left to the unit.
    """
    import ray

    wrong = ""
    with contextlib.suppress(StorageError):
        wrong = "" if store.read(known) is not None else NOT_SEEN
    return _judge(str(ray.util.get_node_ip_address()), Sight(versions(), wrong), expected, store.uri, False)


def _judge(node: str, sight: Sight | str, mine: Mapping[str, str], uri: str, unread: bool) -> str | None:
    if isinstance(sight, str):
        return f"node {node} cannot run the study: {sight}"
    for name, version in mine.items():
        if sight.versions.get(name) != version:
            return (f"node {node}: found {name} {sight.versions.get(name)}, expected {version}, as where the launch "
                    "runs")
    if sight.storage or unread:
        wrong = sight.storage or "writes where this launch does not read"
        return f"--storage {uri}: node {node} {wrong}; expected a place that every node reads and writes"
    return None
