"""Real `mlflow server` and PostgreSQL processes for tests, and what MLflow must hold in the end."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from study.show.tracking import Tracking
from study.store.aggregates import curves
from study.store.records import read_records
from study.store.units import Store
from tests.stores import template
from tests.study.faulty_proxy import free_port

BINARIES = {name: shutil.which(name) or next(map(str, Path("/usr/lib/postgresql").glob(f"*/bin/{name}")), None)
            for name in ("initdb", "postgres")}


class Server:
    """`mlflow server` on a database, with one worker. Use as a context, which ends it."""

    def __init__(self, database: str, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", database, "--workers", "1",
                         "--artifacts-destination", str(folder / "artifacts"), "--port", str(self.port)]
        self._log = folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, wait: bool = True) -> None:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, start_new_session=True, cwd=self._log.parent,
                env={**environment, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"})
        if wait:
            self.wait()

    def wait(self) -> None:
        """Until it answers."""
        assert self._process is not None
        end = time.monotonic() + 300
        while True:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/health", timeout=5):
                return
            assert self._process.poll() is None and time.monotonic() < end, self._log.read_text()[-3000:]
            time.sleep(0.2)

    def kill(self) -> None:
        """SIGKILL, to it and its workers."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()


class Postgres:
    """A new PostgreSQL cluster. It refuses to be run by root, who becomes nobody. Use as a context, which ends it."""

    def __init__(self) -> None:
        self.port = free_port()
        self.uri = f"postgresql+psycopg2://mlflow@127.0.0.1:{self.port}/postgres"
        self._folder = Path(tempfile.mkdtemp(prefix="postgres-"))  # not pytest's, which only root may enter
        self._user: dict[str, Any] = {}
        if os.geteuid() == 0:
            shutil.chown(self._folder, "nobody")
            self._user = {"user": "nobody", "extra_groups": []}
        subprocess.run([str(BINARIES["initdb"]), "-D", str(self._folder / "data"), "-A", "trust", "-U", "mlflow",
                        "-E", "UTF8", "--no-sync"], check=True, capture_output=True, cwd="/", **self._user)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        import psycopg2

        self._process = subprocess.Popen(
            [str(BINARIES["postgres"]), "-D", str(self._folder / "data"), "-p", str(self.port), "-c",
             "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={self._folder}"],
            cwd="/", stderr=subprocess.DEVNULL, **self._user)
        end = time.monotonic() + 120
        while True:
            with contextlib.suppress(psycopg2.OperationalError):
                psycopg2.connect(self.uri.replace("+psycopg2", "")).close()
                return
            assert self._process.poll() is None and time.monotonic() < end
            time.sleep(0.1)

    def stop(self) -> None:
        """At once, as if the machine were switched off."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(120)
            self._process = None

    def __enter__(self) -> Postgres:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
        shutil.rmtree(self._folder)


def assert_shown_once(uri: str, study: str, storage: Path) -> None:
    """MLflow shows what the storage holds: a run for each configuration and each of its seeds, whole, no more runs,
    and each point of each curve once."""
    tracking, store = Tracking(uri, study, ""), Store(str(storage), study)
    expected: dict[tuple[str, str], dict[str, list[tuple[int, float]]]] = {}
    for unit, manifest in store.done_units():
        rows = read_records(store.read_verified(unit, "records.parquet", manifest))
        for seed in unit.seeds:
            points = defaultdict(list)
            for name, value, row in curves([row for row in rows if row["seed"] == seed], manifest.primary):
                points[name].append((row["update"], value))
            expected[unit.config_hash, str(seed)] = dict(points)
    runs = tracking.search("tags.kind != 'launch'")
    assert [run for run in runs if run.data.tags.get("complete") != "true" or run.info.status != "FINISHED"] == []
    kinds = defaultdict(list)
    for run in runs:
        kinds[run.data.tags["kind"]].append(run)
    assert Counter(run.data.tags["config_hash"] for run in kinds["trial"]) == Counter({key for key, _ in expected})
    trials = {run.info.run_id: run.data.tags["config_hash"] for run in kinds["trial"]}
    found: dict[tuple[str, str], dict[str, list[tuple[int, float]]]] = {}
    for run in kinds["replicate"]:
        tags = run.data.tags
        assert trials[tags["mlflow.parentRunId"]] == tags["config_hash"]
        assert (tags["config_hash"], tags["seed"]) not in found, "a replicate is shown twice"
        found[tags["config_hash"], tags["seed"]] = {
            name: [(m.step, m.value) for m in tracking._client.get_metric_history(run.info.run_id, name)]
            for name in run.data.metrics}
    assert found == expected


def launches(uri: str, study: str) -> list[str]:
    """The status of each launch's run, in the order of their starts."""
    found = Tracking(uri, study, "").search("tags.kind = 'launch'")
    return [run.info.status for run in sorted(found, key=lambda run: run.info.start_time)]


def fresh_sqlite(folder: Path) -> str:
    """A store like MLflow's own, not made in the server's start."""
    return f"sqlite:///{shutil.copy(template(), folder / 'mlflow.db')}"
