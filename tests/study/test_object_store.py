"""Studies on an object store: a server that speaks S3, the storage's contract against it, whole launches, refusals."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import signal
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from study.show import command
from study.store.units import StorageError, Store
from tests.study.launching import below
from tests.study.launching import launch as run_launch
from tests.study.test_launch_whole import Launch, launch, launches  # noqa: F401  the fixtures
from tests.study.test_units import (  # noqa: F401  the contract, here with the fixture `store` below
    UNIT,
    finish,
    test_a_unit_with_a_damaged_file_is_done_no_more,
    test_damaged_json_is_absent_and_told,
    test_done_unit_reads_back,
    test_json_refuses_what_is_not_finite,
    test_json_that_is_no_manifest_is_not_done,
    test_last_two_checkpoints_are_kept_and_a_damaged_one_falls_back,
)

pytestmark = pytest.mark.slow

USELESS = ("monitor.py", "dashboard.py", "ray::IDLE")  # processes of Ray


class Server:
    """A server of this process that speaks S3; `requests` are what it was asked, in their order."""

    def __init__(self) -> None:
        from moto.server import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
        from werkzeug.serving import make_server

        class Quiet(MotoRequestHandler):
            def log(self, *arguments: object) -> None:
                pass

        def counted(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
            self.requests.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}?{environ['QUERY_STRING']}")
            return application(environ, start)

        application = DomainDispatcherApplication(create_backend_app)
        self.requests: list[str] = []
        self._server = make_server("127.0.0.1", 0, counted, threaded=True, request_handler=Quiet)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.query = f"endpoint_override=127.0.0.1:{self._server.port}&scheme=http&region=us-east-1"

    def make(self, bucket: str) -> str:
        """The URI of a storage in a new bucket."""
        from pyarrow.fs import FileSystem

        made, path = FileSystem.from_uri(f"s3://{bucket}?{self.query}&allow_bucket_creation=true")
        made.create_dir(path)
        return f"s3://{bucket}/studies?{self.query}"

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    started = Server()
    yield started
    started.stop()


@pytest.fixture
def uri(server: Server, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A bucket of this test's own, and credentials in the environment."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    made = server.make(f"bucket-{hashlib.md5(request.node.nodeid.encode()).hexdigest()}")
    server.requests.clear()
    return made


@pytest.fixture
def store(uri: str) -> Store:
    return Store(uri, "jko")


def test_an_object_cut_short_is_not_done(store: Store) -> None:
    finish(store)
    for name in ("records.parquet", "done.json"):
        whole = store.read(f"{UNIT.key}/{name}")
        assert whole is not None and store.done(UNIT) is not None
        store.write(f"{UNIT.key}/{name}", whole[:-1])
        assert store.done(UNIT) is None and list(store.done_units()) == []
        store.write(f"{UNIT.key}/{name}", whole)


def test_a_write_is_one_request_and_a_unit_few(store: Store, server: Server) -> None:
    """Object stores bill and delay each request; pyarrow's defaults made 8 of a write and 76 of this unit."""
    store.write("plan.json", b"{}")
    assert [line.split("?")[0].split("/")[-1] for line in server.requests if line.startswith("PUT")] == ["plan.json"]
    assert [line for line in server.requests if line.startswith("POST")] == []
    server.requests.clear()
    for update in (10, 20, 30):
        store.write_checkpoint(UNIT, update, b"state")
    store.write(f"{UNIT.key}/samples_3.png", b"png")
    finish(store)
    assert 10 < len(server.requests) <= 27
    assert store.latest_checkpoint(UNIT) is None


def test_an_object_larger_than_a_part_is_whole(store: Store, server: Server) -> None:
    """A checkpoint of a large net goes in parts, which the store joins at the end."""
    payload = os.urandom(1024) * (12 * 1024)
    store.write_checkpoint(UNIT, 1, payload)
    assert store.latest_checkpoint(UNIT) == (1, payload)
    assert any("partNumber=2" in line for line in server.requests)


def test_a_relaunch_finds_everything_in_the_bucket(launch: Launch, uri: str, server: Server) -> None:  # noqa: F811
    code, lines, errors = launch("--storage", uri)
    assert (code, errors) == (0, [])
    assert sum(line.startswith("[") for line in lines) == 4
    assert len(list(Store(uri, "tiny").done_units())) == 4
    server.requests.clear()
    code, lines, errors = launch("--storage", uri, database="second.db")  # which knows of no run
    assert (code, errors) == (0, [])
    assert "units of work: 4 finished, 0 left" in lines and not any(line.startswith("[") for line in lines)
    assert len(server.requests) < 110, "a relaunch reads each finished unit once or twice"
    assert not Path("runs").exists(), "nothing was left on this machine"
    code, lines, _ = launch("--storage", uri, "--status")
    assert code == 0 and any("units of work: 0 left" in line for line in lines)


def refused(launch: Launch, uri: str) -> str:  # noqa: F811
    """The one sentence of a launch that ends with exit code 2, and soon."""
    begun = time.monotonic()
    code, _, errors = launch("--storage", uri)
    assert code == 2 and len(errors) == 1, errors
    assert time.monotonic() - begun < 60
    return errors[0]


def test_a_bucket_that_is_not_there_is_not_made(launch: Launch, uri: str) -> None:  # noqa: F811
    away = uri.replace("s3://", "s3://not-")
    for _ in range(2):
        assert refused(launch, away).startswith(f"storage '{away}' is not writable: ")


def test_an_endpoint_that_does_not_answer(launch: Launch, uri: str) -> None:  # noqa: F811
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        away = re.sub(r"127\.0\.0\.1:\d+", f"127.0.0.1:{free.getsockname()[1]}", uri)
        sentence = refused(launch, away)
    assert sentence.startswith(f"storage '{away}' is not writable: ") and "Could not connect to server" in sentence


def test_credentials_that_the_store_does_not_know(
        launch: Launch, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setattr("moto.settings.INITIAL_NO_AUTH_ACTION_COUNT", 0.0)  # from now on the server asks who it is
    sentence = refused(launch, uri)
    assert " is not writable: " in sentence and "secret" not in sentence


def test_a_misspelt_option_is_named(launch: Launch, uri: str) -> None:  # noqa: F811
    assert refused(launch, uri + "&conect_timeout=1").endswith("Unexpected query parameter in S3 URI: 'conect_timeout'")


@pytest.mark.parametrize("who", ["somebody:s3cret@", "somebody:s3c/ret@", ":s3cret@"])
def test_a_password_in_the_uri_is_refused_and_not_repeated(launch: Launch, uri: str, who: str) -> None:  # noqa: F811
    assert refused(launch, uri.replace("s3://", f"s3://{who}")) == (
        "storage s3://...: found a password in the URI, which MLflow keeps; expected it in the environment, such as "
        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")


def test_a_colon_and_an_at_sign_in_a_name_are_no_password(uri: str) -> None:
    Store(uri.replace("/studies?", "/at:9@home?"), "jko").check_writable()


def test_a_store_that_goes_away_is_one_sentence(uri: str) -> None:
    """Listing, too: nothing of pyarrow's own reaches the launch. (Writing: see an endpoint that does not answer.)"""
    gone = Server()
    store = Store(gone.make("gone"), "jko")
    finish(store)
    gone.stop()
    for ask in (lambda: list(store.done_units()), lambda: store.latest_checkpoint(UNIT)):
        with pytest.raises(StorageError, match=r"cannot be read: [^\n]*Could not connect to server"):
            ask()


def test_with_ray_the_workers_reach_the_bucket_until_it_is_terminated_in_order(
        launch: Launch, uri: str) -> None:  # noqa: F811
    """What they wrote there, this process reads, and goes on from."""
    def terminate(line: str, pid: int) -> None:
        if line.startswith("[1/"):  # by now the one worker trains: nothing that Ray started is of no use
            assert not any(name in said for said in below(pid).values() for name in USELESS)
            os.killpg(pid, signal.SIGTERM)  # as `timeout` and schedulers do: to Ray's processes, too, were they in it

    words = ("--storage", uri, "--set", "train.updates=120")
    code, lines = run_launch(*words, "--max-concurrent", "1", on_line=terminate)
    assert code == 130, "\n".join(lines)
    said = shlex.join(["--space", "tiny.yaml", *words, "--max-concurrent", "1"])
    assert lines[-1] == f"interrupted; to continue: {command.python()} -m study.launch {said}"
    assert sum(line.startswith("stopping; ") for line in lines) == 1
    finished = len(list(Store(uri, "tiny").done_units()))
    assert 1 <= finished < 4 and not Path("runs").exists() and launches() == ["KILLED"]
    code, lines, errors = launch(*words)
    assert (code, errors) == (0, []) and sum(line.startswith("[") for line in lines) == 4 - finished
    assert any(line.startswith("units of work: 4 finished, 0 lost; ") for line in lines), "\n".join(lines)
    assert sorted(launches()) == ["FINISHED", "KILLED"]
