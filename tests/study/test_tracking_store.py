"""MLflow's store or server before a study: made new, absent, wrong, deleted, or begun by two launches at once."""

from __future__ import annotations

import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import SQLAlchemyError

from analysis.read.address import PassingError, ReportError
from analysis.read.store import Store as ReadStore
from analysis.read.store import opened
from study.show.tracking import Tracking, TrackingError
from study.show.tracking.errors import AUTOFLUSH, _reason
from tests.stores import template
from tests.study.test_tracking import PROVENANCE, uri

__all__ = ["uri"]
pytestmark = pytest.mark.filterwarnings(  # MLflow's own use of SQLAlchemy
    "ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning")


REBINDING = b"Invalid Host header - possible DNS rebinding attack detected"  # MLflow's own words
PAGE = b"<!doctype html><html><title>Log in</title></html>"
Start = Callable[..., str]


@pytest.fixture
def server() -> Iterator[Start]:
    """A web server that answers every request alike, and keeps each request's headers in `asked`."""
    started: list[HTTPServer] = []

    def start(code: int, body: bytes = b"", name: str = "", asked: list[dict[str, str]] | None = None) -> str:
        class Handler(BaseHTTPRequestHandler):
            server_version = name or BaseHTTPRequestHandler.server_version

            def do_GET(self) -> None:
                if asked is not None:
                    asked.append(dict(self.headers))
                self.send_response(code)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Quiet."""

        started.append(HTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=started[-1].serve_forever, args=[0.01], daemon=True).start()
        return f"http://127.0.0.1:{started[-1].server_port}"

    yield start
    for one in started:
        one.shutdown()
        one.server_close()


def refusal(uri: str, timeout: float = 5.0) -> str:
    """What a launch says of a store that it cannot use: one sentence, soon, without a page's text."""
    begun = time.monotonic()
    with pytest.raises(TrackingError) as caught:
        Tracking(uri, "jko", "v1").check_reachable(timeout)
    said = str(caught.value)
    assert time.monotonic() - begun < 10 and not set("<\n") & set(said)
    return said


@pytest.mark.parametrize(("code", "body", "name", "words"), [
    (403, REBINDING, "", "refuses this host name (403); start it with --allowed-hosts naming it"),
    (403, b"", "AirTunes/715.2", "(/health gives 403, Server: AirTunes/715.2 "),
    (403, b"", "AirTunes/715.2", "macOS has AirPlay at port 5000"),
    (401, b"", "", "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"),
    (404, PAGE, "", "does not answer like an MLflow server (/health gives 404"),
    (500, PAGE, "", "does not answer like an MLflow server (/health gives 500"),
    (200, PAGE, "", "does not answer like an MLflow server (/health gives a page"),
    (200, b"OK", "", "does not answer like an MLflow server (not in JSON)")])
def test_what_is_no_mlflow_server_is_named(server: Start, code: int, body: bytes, name: str, words: str) -> None:
    uri = server(code, body, name)
    said = refusal(uri)
    assert words in said and ("--allowed-hosts" in said) == (body == REBINDING)
    if body != b"OK":
        with pytest.raises(PassingError, match=f"does not answer like an MLflow server \\(/health gives {code}"):
            ReadStore(uri)


def test_a_server_that_asks_who_one_is_is_told(server: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, str]] = []
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "me")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")
    refusal(server(404, asked=asked))
    assert asked[0]["Authorization"].startswith("Basic ")


def test_a_server_that_takes_connections_and_never_answers_is_not_waited_for() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert refusal(uri, timeout=0.2).startswith(f"{uri} takes the connection and does not answer within 0.2 s; ")


def test_a_proxy_of_the_environment_is_named(server: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it is away, or answers itself."""
    for name in ("no_proxy", "NO_PROXY", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for proxy in ("http://127.0.0.1:9", server(503, PAGE)):
        monkeypatch.setenv("http_proxy", proxy)
        assert f"through the proxy {proxy} " in refusal("http://127.0.0.1:10")
        assert refusal("http://127.0.0.1:10").endswith("export no_proxy=127.0.0.1")
        with pytest.raises(PassingError, match=r"export no_proxy=127\.0\.0\.1"):
            ReadStore("http://127.0.0.1:10")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert "no_proxy" not in refusal("http://127.0.0.1:10")


def test_tls_where_there_is_none_is_named(server: Start) -> None:
    uri = server(200, b"OK")
    assert refusal(uri.replace("http", "https")).endswith(f" has no TLS; did you mean {uri}?")


def test_a_store_that_cannot_be_opened_is_said_in_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow itself tries for 100 s."""
    (tmp_path / "mlflow.db").mkdir()
    (tmp_path / "text").write_text("no database")
    at = f"sqlite:///{tmp_path}"
    assert refusal(f"{at}/mlflow.db").endswith(f"found the folder '{tmp_path}/mlflow.db', expected a file; did you "
                                               f"mean {at}/mlflow.db/mlflow.db?")
    assert "is damaged, or no database (file is not a database)" in refusal(f"{at}/text")
    assert f"'{tmp_path}/text' cannot be written, where {at}/text/m.db is to be kept" in refusal(f"{at}/text/m.db")
    assert "***@127.0.0.1:9" in refusal("postgresql+psycopg2://me:secret@127.0.0.1:9/x")
    monkeypatch.setattr("os.access", lambda place, mode: Path(place) != tmp_path)
    assert f"'{tmp_path}' cannot be written, where {at}/m.db is to be kept" in refusal(f"{at}/m.db")
    assert not (tmp_path / "m.db").exists()
    monkeypatch.undo()
    monkeypatch.setattr("pathlib.Path.touch", lambda path: open("/dev/null/x"))
    assert "Not a directory" in refusal(f"{at}/m.db")


def test_a_file_that_is_removed_meanwhile_is_named_as_gone(tmp_path: Path) -> None:
    said = f"{AUTOFLUSH} (sqlite3.OperationalError) attempt to write a readonly database\n[SQL: INSERT]"
    assert _reason(SQLAlchemyError(said), f"sqlite:///{tmp_path}/gone.db") == " is no longer there"
    (tmp_path / "gone.db").touch()
    assert _reason(SQLAlchemyError(said), f"sqlite:///{tmp_path}/gone.db") == (
        ": (sqlite3.OperationalError) attempt to write a readonly database")


def test_another_program_s_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    import optuna

    uri = f"sqlite:///{tmp_path}/optuna.db"
    optuna.create_study(storage=uri)
    before = (tmp_path / "optuna.db").read_bytes()
    said = f"'{tmp_path}/optuna.db' is the database of another program (tables alembic_version, "
    assert said in refusal(uri)
    with pytest.raises(ReportError, match=re.escape(said)), opened(uri):
        pass
    assert (tmp_path / "optuna.db").read_bytes() == before


def test_only_an_earlier_store_is_to_be_upgraded(uri: str) -> None:
    import mlflow
    from alembic.script import ScriptDirectory

    path = Path(uri.removeprefix("sqlite:///"))
    migrations = ScriptDirectory(str(Path(mlflow.__file__).parent / "store" / "db_migrations"))
    earlier = list(migrations.walk_revisions())[1].revision
    for revision, words, other in ((earlier, f"mlflow db upgrade {uri}", "newer"),
                                   ("ffffffffffff", "is the store of a newer MLflow, which", "upgrade")):
        with sqlite3.connect(path) as database:
            database.execute("UPDATE alembic_version SET version_num = ?", [revision])
        database.close()
        said = refusal(uri)
        assert words in said and other not in said
        with pytest.raises(PassingError, match="it is of another release of MLflow than the installed"), opened(uri):
            pass


def test_absent_server_is_one_sentence_at_once() -> None:
    begun = time.monotonic()
    with pytest.raises(TrackingError, match=r"no MLflow server answers at http://127\.0\.0\.1:9 ") as caught:
        Tracking("http://127.0.0.1:9", "jko", "v1").check_reachable(timeout=2)
    assert time.monotonic() - begun < 5 and "\n" not in str(caught.value)


def test_server_that_goes_away_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    tracking = Tracking("http://127.0.0.1:9", "jko", "v1")
    with pytest.raises(TrackingError, match=r"MLflow at http://127\.0\.0\.1:9 does not answer \(Connection refused\)"):
        tracking.shown()


def test_deleted_experiment_is_one_sentence(uri: str) -> None:
    tracking = Tracking(uri, "jko", "v1")
    tracking._client.delete_experiment(tracking.experiment_id)
    with pytest.raises(TrackingError, match="experiment 'jko' was deleted in MLflow"):
        Tracking(uri, "jko", "v1").check_reachable()


@pytest.mark.parametrize("links", [True, False])
def test_two_launches_that_start_together_use_the_store_that_is_there_first(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    """The other one is made while this one migrates its own, and is in use: its experiments have to stay."""
    import mlflow

    client, path = mlflow.MlflowClient, tmp_path / "mlflow.db"
    monkeypatch.chdir(tmp_path)
    if not links:
        monkeypatch.setattr("os.link", lambda *paths: (_ for _ in ()).throw(PermissionError(1, "not permitted")))

    def migrating(uri: str) -> Any:
        if ".tmp" in uri:
            monkeypatch.setattr(mlflow, "MlflowClient", client)
            shutil.copy(template(), uri.removeprefix("sqlite:///"))
            shutil.copy(template(), path)
            client(f"sqlite:///{path}").create_experiment("the other's")
        return client(uri)

    monkeypatch.setattr(mlflow, "MlflowClient", migrating)
    Tracking(f"sqlite:///{path}", "jko", "v1").check_reachable()
    monkeypatch.undo()
    names = {found.name for found in client(f"sqlite:///{path}").search_experiments()}
    assert names >= {"the other's", "jko"} and not list(tmp_path.glob("*.tmp"))


@pytest.mark.slow
def test_first_start_in_an_empty_directory_is_silent_and_makes_the_store_of_a_bare_mlflow_ui(tmp_path: Path) -> None:
    code = ("from study.show.tracking import Tracking; from study.provenance import Provenance;"
            "t = Tracking(None, 'jko', 'v1'); t.check_reachable();"
            f"t.start_launch('', {{'cells': []}}, {PROVENANCE}, 'here');"
            "t.end_launch('finished', {}); print(t.uri)")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True,
                          env={"PATH": "", "PYTHONPATH": str(Path(__file__).parents[2])})
    assert done.stdout == f"sqlite:///{tmp_path}/mlflow.db\n" and done.stderr == ""
