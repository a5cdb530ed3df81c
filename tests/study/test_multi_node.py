"""Clusters of several nodes for real: nodes that join and die, a storage and versions that differ, tokens."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import in_process
from tests.faults.holdings import Holdings, differences, holdings
from tests.stores import template
from tests.study.raylets import WAIT_SECONDS, Nodes, bare_python, nodes, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")]

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "0123456789abcdef" * 4
SPEC = """\
study: tiny
data: moons
method: [kl, jko]
train: {updates: 60, batch_size: 16, width: 4, particles: 64, mcmc_steps: 5}
design:
  replicates: 2
  step_size: [0.02, 0.05]
evaluation: {points: 12, samples: 64, long_run: 1}
"""
UNITS = 4
HELD = """\
        import os
        while self._state is not None and os.path.exists({hold!r}):
            time.sleep(0.05)
        state, infos = next(self._training)
"""
LOOK = """
import os
import sys
from study import cluster
from study.cluster import capacity
from study.store.units import Store

def where():
    import models, mylab, one, study
    return study.__file__, models.__file__, mylab.__file__, one.__file__

address, storage, insecure = sys.argv[1:]
own = os.path.dirname(os.environ["PYTHONPATH"])  # the head's own disk
modules = [os.path.join(own, "mylab"), os.path.join(own, "one.py")]
try:
    with cluster.running(address, 1, insecure=insecure == "insecure", modules=modules):
        import ray
        print("resources", capacity.prepare(address, storage, Store(storage, "tiny"), 1, 0, print))
        print(*ray.get(ray.remote(num_cpus=1)(where).remote()))  # not on the head
except cluster.ClusterError as error:
    print("refused:", error)
"""


def equip(cluster: Nodes) -> Path:
    """Put this project on the head's own disk, which no other node reads. Units leave a checkpoint at each evaluation
    point, and go no further than the first while there is a file `hold`."""
    code = cluster.folder / "of-0" / "code"
    for package in ("study", "models"):
        shutil.copytree(ROOT / package, code / package, ignore=shutil.ignore_patterns("__pycache__"))
    (code.parent / "mylab").mkdir()
    (code.parent / "mylab/__init__.py").touch()
    (code.parent / "one.py").touch()
    worker, hold = code / "study" / "run" / "unit_run.py", cluster.folder / "hold"
    text = worker.read_text()
    for line, changed in (("CHECKPOINT_SECONDS = 20.0", "CHECKPOINT_SECONDS = 0"),
                          ("        state, infos = next(self._training)\n", HELD.format(hold=str(hold)))):
        assert line in text
        text = text.replace(line, changed)
    worker.write_text(text)
    shutil.copy(template(), cluster.folder / "mlflow.db")
    (cluster.folder / "tiny.yaml").write_text(SPEC)
    (cluster.folder / "look.py").write_text(LOOK)
    return cluster.own("0") / "code"


def look(cluster: Nodes, storage: str = "shared", address: str = "", insecure: str = "",
         **environment: str | None) -> list[str]:
    """What a launch finds before it starts a study. storage: `shared`, or a URI."""
    uri = f"file://{cluster.folder}/runs" if storage == "shared" else storage
    path = {"PYTHONPATH": str(cluster.own("0") / "code")}
    command = [f"{cluster.folder}/look.py", address or cluster.address, uri, insecure]
    return cluster.drive(command, {**path, **environment})[1]


def other_numpy(folder: Path) -> Path:
    """A Python that says of its numpy that it is another version."""
    python = bare_python(folder / "other")
    packages = next((folder / "other").glob("lib/python*/site-packages"))
    (packages / "numpy-1.99.0.dist-info").mkdir()
    about = packages / "numpy-1.99.0.dist-info" / "METADATA"
    about.write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 1.99.0\n")
    return python


@pytest.fixture(scope="module")
def guarded() -> Iterator[Nodes]:
    """A cluster that asks for a token: a head without CPUs and one worker."""
    with nodes(token=TOKEN) as cluster:
        equip(cluster)
        cluster.add("1", cpus=1)
        yield cluster


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Holdings:
    """The study in this process alone."""
    return in_process.undisturbed(SPEC, tmp_path_factory.mktemp("undisturbed"))


def test_a_study_waits_for_nodes_takes_those_that_join_and_survives_those_that_die(undisturbed: Holdings) -> None:
    """With another numpy, the first worker finds out: its unit goes on elsewhere, and no other is placed there."""
    with nodes(token=TOKEN) as cluster:
        code, folder = equip(cluster), cluster.folder
        units, other = folder / "runs" / "tiny", other_numpy(cluster.folder)
        command = ["-m", "study.launch", "--space", "tiny.yaml", "--storage", f"file://{folder}/runs", "--address",
                   "auto"]
        said_at, hold = folder / "said", folder / "hold"
        hold.touch()

        def said(words: str) -> list[str]:
            return [line for line in said_at.read_text().splitlines() if words in line]

        with open(said_at, "w") as file:
            launch = cluster.popen("0", [sys.executable, *command], {
                "PYTHONPATH": str(code), "RAY_ADDRESS": cluster.address}, file)
            wait_for(lambda: said("waiting for a node: the cluster at auto has no CPU yet"), launch, said_at)
            cluster.add("1", cpus=1)
            wait_for(lambda: list(units.glob("*/*/checkpoint-*")), launch, said_at)
            cluster.add("2", cpus=1)

            def busy() -> list[Path]:
                return [unit for unit in units.glob("*/*") if list(unit.glob("checkpoint-*"))
                        and not (unit / "done.json").exists()]

            def moved() -> list[str]:
                return [line.split(": ")[0] for line in said("it goes on in another worker")]

            def trains(node: str) -> bool:
                return any(c.startswith("ray::ResourceTrainable.train") for c in cluster.pids(node).values())

            wait_for(lambda: len(busy()) == 2 and trains("2"), launch, said_at)
            left, killed = busy(), time.time()
            cluster.kill("2")
            cluster.kill("1")
            wait_for(lambda: said("waiting for a node: no living one can take a unit"), launch, said_at)
            cluster.add("3", cpus=2, python=other)
            wait_for(lambda: said("found numpy 1.99.0"), launch, said_at)
            for node in "456789":  # until a unit has lost its second node
                before = len(moved())
                cluster.add(node, cpus=1)
                wait_for(lambda node=node: trains(node), launch, said_at)  # type: ignore[misc]
                cluster.kill(node)
                wait_for(lambda before=before: len(moved()) > before, launch, said_at)  # type: ignore[misc]
                if len(moved()) > len(set(moved())):
                    break
            hold.unlink()
            cluster.add("20", cpus=1)
            launch.wait(timeout=WAIT_SECONDS)
        assert launch.returncode == 0, said_at.read_text()
        assert len(moved()) > len(set(moved())), said_at.read_text()
        assert 1 <= len(said(refusal(cluster.host("3")))) <= 3  # not more than there were on their way at that moment
        manifests = {path.parent: json.loads(path.read_text()) for path in units.glob("*/*/done.json")}
        assert len(manifests) == UNITS and len(left) == 2
        # The time of the start is in the checkpoint: whoever was working then has not begun again.
        assert all(manifests[unit]["started"] < killed < manifests[unit]["ended"] for unit in left)
        held = holdings(units, f"sqlite:///{folder}/mlflow.db")
        assert differences(undisturbed, held) == [] and held.launches == ["FINISHED"]


def refusal(host: str) -> str:
    import numpy

    return (f": node {host}: found numpy 1.99.0, expected {numpy.__version__}, as where the launch runs; no unit is "
            "placed there any more; it goes on in another worker")


def test_a_node_gets_the_study_from_the_launch_with_a_token_in_a_file_and_sees_the_storage(guarded: Nodes) -> None:
    file = guarded.folder / "token"
    file.write_text(TOKEN)
    file.chmod(0o600)
    lines = look(guarded, RAY_AUTH_MODE=None, RAY_AUTH_TOKEN=None, RAY_AUTH_TOKEN_PATH=str(file))
    assert "resources {'cpu': 1.0}" in lines, lines
    if guarded.apart:
        assert all("/runtime_resources/py_modules_files/" in path for path in lines[-1].split()), lines


def test_storage_that_a_node_does_not_see_is_refused(guarded: Nodes) -> None:
    if guarded.apart:
        uri, node = f"file://{guarded.folder}/local/runs", guarded.host("1")
        assert look(guarded, uri)[-1] == (
            f"refused: --storage {uri}: node {node} does not see what this launch wrote there; expected a place that "
            "every node reads and writes")
    assert look(guarded, "./runs")[-1] == (
        "refused: --storage ./runs: found a local path and 2 nodes, expected a place that every node reaches: a URI "
        "such as s3://bucket/path, or file:///shared/path for a shared disk")


def test_a_node_with_another_numpy_is_refused_by_name(guarded: Nodes) -> None:
    guarded.add("2", cpus=1, python=other_numpy(guarded.folder))
    import numpy

    assert look(guarded)[-1] == (f"refused: node {guarded.host('2')}: found numpy 1.99.0, expected "
                                 f"{numpy.__version__}, as where the launch runs")
    guarded.kill("2")


@pytest.mark.parametrize("kind", ["none", "wrong", "open"])
def test_a_launch_needs_the_clusters_token_in_a_private_file(guarded: Nodes, kind: str) -> None:
    file = guarded.folder / f"{kind}-token"
    if kind != "none":
        file.write_text(TOKEN if kind == "open" else "f" * 64)
        file.chmod(0o644 if kind == "open" else 0o600)
    said = look(guarded, RAY_AUTH_MODE=None, RAY_AUTH_TOKEN=None, RAY_AUTH_TOKEN_PATH=str(file))[-1]
    if kind == "open":
        assert said == (f"refused: Ray's token {file}: found mode 644, with which others can use it, expected 600: "
                        f"chmod 600 {file}")
    else:
        assert said == (f"refused: --address {guarded.address}: the cluster at {guarded.address} does not take this "
                        "launch's token; expected the cluster's in the file that RAY_AUTH_TOKEN_PATH names, or in "
                        "~/.ray/auth_token")


def test_a_cluster_that_asks_for_no_token_is_refused_unless_told() -> None:
    with nodes(head_cpus=1) as cluster:
        equip(cluster)
        lines = look(cluster, RAY_ADDRESS=cluster.address)
        found = lines[-1].partition("found a cluster at ")[2].split()[0]  # 127.0.0.1 is what Ray takes it for
        assert lines[-1] == (
            f"refused: --address {cluster.address}: found a cluster at {found} that asks for no token, so that "
            "whoever reaches it can run programs there; expected RAY_AUTH_MODE=token on all its nodes (--insecure "
            "goes on)")
        # A token that lies about on this machine changes nothing.
        told = look(cluster, "shared", "auto", "insecure", RAY_ADDRESS=cluster.address, RAY_AUTH_MODE=None,
                    RAY_AUTH_TOKEN=TOKEN)
        assert "resources {'cpu': 1.0}" in told, told
