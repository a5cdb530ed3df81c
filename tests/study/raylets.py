"""Ray clusters of several nodes on this one machine: each node a raylet with an address and a folder of its own.

A node is a network namespace on a bridge; without the right to make one, all nodes share this machine's address. What
is <folder>/local differs from node to node, as a machine's own disk does; the rest of the folder is shared. A node's
Python has every package but this project, so what it runs of it came with the launch.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from study.interrupt import terminable
from tests.study.launching import processes

WAIT_SECONDS = 240.0  # for what takes seconds on a machine that is free
FAST_DEATH = {"RAY_health_check_period_ms": "500", "RAY_health_check_failure_threshold": "4"}
PRIVATE = 'mount --bind "$0" "$1" && shift && exec "$@"'  # $0: the node's own folder, $1: what it is called there
MARK = "STUDY_TEST_NODE"


def has_namespaces() -> bool:
    """Whether this process may make network and mount namespaces."""
    name = f"es{os.getpid()}-try"
    if os.geteuid() or not shutil.which("ip") or not shutil.which("unshare"):
        return False
    if subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode:
        return False
    works = subprocess.run(["ip", "netns", "exec", name, "unshare", "-m", "true"], capture_output=True, check=False)
    subprocess.run(["ip", "netns", "del", name], check=True)
    return works.returncode == 0


@dataclass
class Nodes:
    """The machines of one cluster. apart: in namespaces. token: what all nodes ask for, None: nothing."""

    folder: Path
    apart: bool
    token: str | None
    port: int
    python: Path
    started: list[str] = field(default_factory=list)

    def host(self, name: str) -> str:
        """The node's address."""
        if self.apart:
            return f"{self._net}.{1 + int(name)}"
        import ray

        return str(ray.util.get_node_ip_address())

    @property
    def address(self) -> str:
        """The cluster's, on its first node."""
        return f"{self.host('0')}:{self.port}"

    def add(self, name: str, cpus: int, python: Path | None = None) -> None:
        """Start node `name` ("0" is the head) and wait until `ray start` says that it runs."""
        self.started.append(name)
        if self.apart:
            self._wire(name)
        where = ["--head", f"--port={self.port}", "--include-dashboard=false", "--no-monitor"] if name == "0" else [
            f"--address={self.address}"]
        done = self.popen(name, [str(python or self.python), "-m", "ray.scripts.scripts", "start", *where,
                                 f"--node-ip-address={self.host(name)}", f"--num-cpus={cpus}",
                                 "--object-store-memory=100000000", "--include-log-monitor=false",
                                 f"--temp-dir={self.own(name)}/ray"], FAST_DEATH)
        said = done.communicate(timeout=WAIT_SECONDS)[0]
        assert done.returncode == 0, said

    def own(self, name: str) -> Path:
        """The node's own folder, as it is called there."""
        return self.folder / ("local" if self.apart else f"of-{name}")

    def popen(self, name: str, command: list[str], environment: Mapping[str, str | None] = {},
              said: int | IO[str] = subprocess.PIPE) -> subprocess.Popen[str]:
        """Start a process on a node. environment: None leaves a name out. said: where stdout and stderr go."""
        (self.folder / f"of-{name}").mkdir(exist_ok=True)
        if self.apart:
            private = ["sh", "-c", PRIVATE, f"{self.folder}/of-{name}", f"{self.folder}/local"]
            command = ["ip", "netns", "exec", self._space(name), "unshare", "-m", *private, *command]
        base = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "PYTHONPATH", "MLFLOW_TRACKING"))}
        token = {"RAY_AUTH_MODE": "disabled"} if self.token is None else {
            "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token}
        merged: dict[str, str | None] = {**base, **token, "RAY_USAGE_STATS_ENABLED": "0", "HOME": str(self.folder),
                                         "TMPDIR": str(self.own(name)), MARK: f"{self.folder}:{name}", **environment}
        return subprocess.Popen(command, cwd=self.folder, stdout=said, stderr=subprocess.STDOUT, text=True,
                                env={k: v for k, v in merged.items() if v is not None}, start_new_session=True)

    def drive(self, command: list[str], environment: Mapping[str, str | None] = {}) -> tuple[int, list[str]]:
        """Run a command on the head node, with this process's Python; (exit code, lines)."""
        process = self.popen("0", [sys.executable, *command], environment)
        said = process.communicate(timeout=WAIT_SECONDS)[0]
        return process.returncode, said.splitlines()

    def pids(self, name: str) -> dict[int, str]:
        """The node's living processes -> their command lines."""
        living = processes()
        if self.apart:
            listed = subprocess.run(["ip", "netns", "pids", self._space(name)], capture_output=True, text=True,
                                    check=False).stdout.split()
            return {int(pid): living[int(pid)][1] for pid in listed if int(pid) in living}
        mark = f"{MARK}={self.folder}:{name}".encode()
        found = {pid for pid in living if mark in _environment(pid)}
        while more := {pid for pid, (parent, _) in living.items() if parent in found} - found:
            found |= more  # workers whose title has overwritten their environment
        return {pid: living[pid][1] for pid in found}

    def kill(self, name: str) -> None:
        """SIGKILL for the raylet first, then all else of the node, until nothing is left."""
        end = time.monotonic() + WAIT_SECONDS
        while living := self.pids(name):
            for pid in sorted(living, key=lambda pid: "raylet" not in living[pid]):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            assert time.monotonic() < end, living
            time.sleep(0.05)

    def end(self) -> None:
        """Every process and every namespace."""
        for name in reversed(self.started):
            self.kill(name)
            if self.apart:
                subprocess.run(["ip", "netns", "del", self._space(name)], check=False)
        if self.apart:
            subprocess.run(["ip", "link", "del", self._bridge], check=False)

    @property
    def _net(self) -> str:
        return f"198.18.{self.port % 250}"  # of the block for tests of networks

    @property
    def _bridge(self) -> str:
        return f"es{self.port}"

    def _space(self, name: str) -> str:
        return f"es{self.port}-{name}"

    def _wire(self, name: str) -> None:
        space, link = self._space(name), f"es{self.port}-{name}"
        if name == "0":
            _ip(f"link add {self._bridge} type bridge")
            _ip(f"link set {self._bridge} up")
        _ip(f"netns add {space}")
        _ip(f"link add {link} type veth peer name eth0 netns {space}")
        _ip(f"link set {link} master {self._bridge} up")
        _ip(f"-n {space} addr add {self.host(name)}/24 dev eth0")
        _ip(f"-n {space} link set eth0 up")
        _ip(f"-n {space} link set lo up")


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # it has ended meanwhile
        return []


def _ip(words: str) -> None:
    subprocess.run(["ip", *words.split()], check=True, capture_output=True)


def wait_for(met: Callable[[], object], alive: subprocess.Popen[str], said: Path) -> None:
    """Until `met()`; fails, with what it said, where that takes too long or the process has ended first."""
    end = time.monotonic() + WAIT_SECONDS
    while not met():
        assert time.monotonic() < end and alive.poll() is None, said.read_text()
        time.sleep(0.1)


def bare_python(folder: Path) -> Path:
    """A Python with the packages of this one, except those that are installed as editable: this project."""
    venv.EnvBuilder(symlinks=True, with_pip=False).create(folder)
    packages = sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)})
    Path(packages, "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin" / "python"


@contextmanager
def nodes(head_cpus: int = 0, token: str | None = None, apart: bool | None = None) -> Iterator[Nodes]:
    """A cluster of one node, which `add` makes larger. Whatever happens, nothing of it is left."""
    with tempfile.TemporaryDirectory(prefix="es", dir="/tmp", ignore_cleanup_errors=True) as name:  # short, for sockets
        folder = Path(name)
        (folder / "local").mkdir()
        with socket.socket() as free:
            free.bind(("", 0))
            port = free.getsockname()[1]
        cluster = Nodes(folder, has_namespaces() if apart is None else apart, token, port, bare_python(folder / "site"))
        with terminable():  # a test run that is told to end cleans up, too
            try:
                cluster.add("0", head_cpus)
                yield cluster
            finally:
                cluster.end()
