"""MLflow's store or server before a study: made new, absent, wrong, deleted, or begun by two launches at once."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from study.tracking import Tracking, TrackingError
from tests.test_tracking import PROVENANCE, template, uri

__all__ = ["template", "uri"]
pytestmark = pytest.mark.filterwarnings(  # MLflow's own use of SQLAlchemy
    "ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning")


@pytest.fixture
def server() -> Iterator[Callable[[int], str]]:
    """A web server that answers every request with one status code."""
    started: list[HTTPServer] = []

    def start(code: int) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(code)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Quiet."""

        started.append(HTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=started[-1].serve_forever, args=[0.01], daemon=True).start()
        return f"http://127.0.0.1:{started[-1].server_port}"

    yield start
    for one in started:
        one.shutdown()
        one.server_close()


@pytest.mark.parametrize(("code", "words"), [(403, "--allowed-hosts"), (404, "does not answer like an MLflow server")])
def test_wrong_server_is_one_sentence(server: Callable[[int], str], code: int, words: str) -> None:
    with pytest.raises(TrackingError, match=words):
        Tracking(server(code), "jko", "v1").check_reachable()


def test_absent_server_is_one_sentence_at_once() -> None:
    begun = time.monotonic()
    with pytest.raises(TrackingError, match=r"no MLflow server answers at http://127\.0\.0\.1:9 ") as caught:
        Tracking("http://127.0.0.1:9", "jko", "v1").check_reachable(timeout=2)
    assert time.monotonic() - begun < 5 and "\n" not in str(caught.value)


def test_server_that_goes_away_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    tracking = Tracking("http://127.0.0.1:9", "jko", "v1")
    with pytest.raises(TrackingError, match=r"MLflow at http://127\.0\.0\.1:9 does not answer \(Connection refused\)"):
        tracking.finished()


def test_deleted_experiment_is_one_sentence(uri: str) -> None:
    tracking = Tracking(uri, "jko", "v1")
    tracking._client.delete_experiment(tracking.experiment_id)
    with pytest.raises(TrackingError, match="experiment 'jko' was deleted in MLflow"):
        Tracking(uri, "jko", "v1").check_reachable()


@pytest.mark.parametrize("links", [True, False])
def test_two_launches_that_start_together_use_the_store_that_is_there_first(
        template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    """The other one is made while this one migrates its own, and is in use: its experiments have to stay."""
    import mlflow

    client, path = mlflow.MlflowClient, tmp_path / "mlflow.db"
    monkeypatch.chdir(tmp_path)
    if not links:
        monkeypatch.setattr("os.link", lambda *paths: (_ for _ in ()).throw(PermissionError(1, "not permitted")))

    def migrating(uri: str) -> Any:
        if ".tmp" in uri:
            monkeypatch.setattr(mlflow, "MlflowClient", client)
            shutil.copy(template, uri.removeprefix("sqlite:///"))
            shutil.copy(template, path)
            client(f"sqlite:///{path}").create_experiment("the other's")
        return client(uri)

    monkeypatch.setattr(mlflow, "MlflowClient", migrating)
    Tracking(f"sqlite:///{path}", "jko", "v1").check_reachable()
    monkeypatch.undo()
    names = {found.name for found in client(f"sqlite:///{path}").search_experiments()}
    assert names >= {"the other's", "jko"} and not list(tmp_path.glob("*.tmp"))


@pytest.mark.slow
def test_first_start_in_an_empty_directory_is_silent_and_makes_the_store_of_a_bare_mlflow_ui(tmp_path: Path) -> None:
    code = ("from study.tracking import Tracking; t = Tracking(None, 'jko', 'v1'); t.check_reachable();"
            f"t.start_launch('', {{'cells': []}}, {PROVENANCE}, 'here');"
            "t.end_launch('finished', {}); print(t.uri)")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True,
                          env={"PATH": "", "PYTHONPATH": str(Path(__file__).parent.parent)})
    assert done.stdout == f"sqlite:///{tmp_path}/mlflow.db\n" and done.stderr == ""
