"""A real MLflow server, away, slow, broken or killed: training goes on, and in the end each run is there once."""

from __future__ import annotations

import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from study.show.tracking import Tracking, TrackingError, upload_queue
from study.store.units import Store
from tests.study.faulty_proxy import Fault, Proxy
from tests.study.test_launch import SPEC
from tests.study.test_launch_whole import Launch, launch  # noqa: F401  (fixtures)
from tests.study.test_launch_whole import run_round as train_all
from tests.study.test_tracking import HERE, PLAN, PROVENANCE, finished_unit, show
from tests.study.tracking_servers import (
    BINARIES,
    Postgres,
    Server,
    assert_shown_once,
    fresh_sqlite,
    launches,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    with Server(fresh_sqlite(folder), folder) as one:
        yield one


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    with Proxy(server.port) as one:
        yield one


@pytest.fixture
def study(request: pytest.FixtureRequest) -> str:
    """A name of its own for each test: they share a server."""
    return re.sub(r"\W+", "-", request.node.name)


@pytest.fixture
def between(launch: Launch, study: str, monkeypatch: pytest.MonkeyPatch) -> dict[int, Callable[[], None]]:  # noqa: F811
    """Number of done units -> what happens then, in a study of four units and two seeds."""
    Path("tiny.yaml").write_text(SPEC.replace("study: tiny", f"study: {study}"))
    events: dict[int, Callable[[], None]] = {}

    def run_round(source: Any, monitor: Any, store: Store, **rest: Any) -> bool:
        finished = monitor.finished

        def then(unit: Any, rungs: Any) -> bool:
            begun = time.monotonic()
            is_there: bool = finished(unit, rungs)
            assert time.monotonic() - begun < 1, "the driver waited for MLflow"
            events.get(monitor.progress.done, lambda: None)()
            return is_there

        monkeypatch.setattr(monitor, "finished", then)
        return train_all(source, monitor, store, **rest)

    monkeypatch.setitem(sys.modules, "study.run.rounds", SimpleNamespace(run_round=run_round))
    return events


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def first(times: int, fault: Fault, path: str) -> Callable[[str], Fault]:
    """So many requests to a path fail."""
    left = [times]

    def decide(asked: str) -> Fault:
        if asked.endswith(path):
            left[0] -= 1
            return fault if left[0] >= 0 else 0
        return 0
    return decide


def tries(job: Callable[[], None]) -> int:
    """Repeat a job until it succeeds, as a UploadQueue does, without its pauses; how often it failed."""
    for failures in range(100):
        try:
            job()
            return failures
        except TrackingError as error:
            assert error.away
    raise AssertionError("it never succeeds")


def test_runs_whose_creation_was_answered_into_the_void_are_found_again(
        server: Server, proxy: Proxy, study: str, tmp_path: Path) -> None:
    store = Store(str(tmp_path / "runs"), study)
    units = [finished_unit(store, (0, 1)), finished_unit(store, (0, 1), config_hash="def", step_size=0.3)]
    tracking = Tracking(proxy.url, study, "v1")
    rng, asked = Random(0), Counter[str]()

    def drops(path: str) -> Fault:
        asked[path] += 1
        return "drop" if (asked[path] % 2 if path.endswith("runs/create") else rng.random() < 0.2) else 0

    proxy.fault = drops
    assert tries(lambda: tracking.start_launch("", PLAN, PROVENANCE, HERE)) >= 1
    assert launches(server.url, study) == ["RUNNING"]
    assert sum(tries(lambda unit=unit: show(tracking, store, unit)) for unit in units) >= 6  # type: ignore[misc]
    tries(lambda: tracking.end_launch("finished", {"units_done": 2}))
    assert_shown_once(server.url, study, tmp_path / "runs")
    assert launches(server.url, study) == ["FINISHED"]


@pytest.mark.parametrize("healed", ["at the end", "at the next start", "when logged again"])
def test_runs_that_a_slow_server_makes_after_they_were_made_again_are_deleted(
        server: Server, proxy: Proxy, study: str, tmp_path: Path, healed: str) -> None:
    """Each create_run's connection is lost, it is asked for again, and then the first request is carried out too."""
    store = Store(str(tmp_path / "runs"), study)
    unit = finished_unit(store, (0, 1))
    tracking = Tracking(proxy.url, study, "v1")
    for step in (lambda: tracking.start_launch("", PLAN, PROVENANCE, HERE), lambda: show(tracking, store, unit)):
        proxy.fault = first(1, "late", "runs/create")
        assert tries(step) == 1
    proxy.fault = lambda path: 0
    if healed == "when logged again":  # with a further block of seeds
        assert proxy.release() == 2
        show(tracking, store, finished_unit(store, (2,)))
        assert_shown_once(server.url, study, tmp_path / "runs")
        return
    ends = [lambda: tracking.end_launch("finished", {})]
    again = Tracking(proxy.url, study, "v1")
    if healed == "at the next start":
        tracking.end_launch("finished", {})
        ends = [lambda: again.start_launch("", PLAN, PROVENANCE, HERE), lambda: again.end_launch("finished", {})]
    assert proxy.release() == 2
    assert len(Tracking(server.url, study, "").search("tags.kind = 'trial'")) == 2
    for end in ends:
        end()
    assert_shown_once(server.url, study, tmp_path / "runs")
    assert launches(server.url, study) == ["FINISHED"] * len(ends)


@pytest.mark.parametrize("fault", ["500", "429", "hole"])
def test_training_goes_on_without_a_server_that_comes_back(
        server: Server, proxy: Proxy, between: dict[int, Callable[[], None]], launch: Launch,  # noqa: F811
        study: str, fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    monkeypatch.setattr(upload_queue, "PATIENCE", 120.0)

    def broken() -> None:
        proxy.fault = lambda path: fault
        proxy.paths.clear()

    def whole() -> None:
        wait_until(lambda: len(proxy.paths) > 1)  # a person has been told
        proxy.fault = lambda path: 0

    between |= {1: broken, 3: whole}
    code, lines, errors = launch("--tracking-uri", proxy.url)
    assert (code, errors) == (0, []) and not any("View run" in line for line in lines)
    told = [line for line in lines if line.startswith("MLflow at ")]
    assert ["training goes on" in line for line in told] == [True, False] and "answers again" in told[1]
    assert_shown_once(server.url, study, Path("runs"))
    assert launches(server.url, study) == ["FINISHED"]


def test_the_next_launch_shows_what_a_black_hole_took_and_a_launch_may_begin_without_the_server(
        server: Server, proxy: Proxy, between: dict[int, Callable[[], None]], launch: Launch,  # noqa: F811
        study: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_queue, "PATIENCE", 3.0)

    def hole() -> None:
        proxy.fault = lambda path: "hole"

    words = ("--tracking-uri", proxy.url.replace("://", "://me:secret@"))
    between[2] = hole
    code, _, errors = launch(*words)
    assert code == 0 and errors[-1].endswith(" units are not shown in MLflow; the same command adds them")
    between.clear()
    proxy.fault = lambda path: "503"
    Path("tiny.yaml").write_text(Path("tiny.yaml").read_text().replace("[0.05, 0.3]", "[0.05, 0.3, 0.5]"))
    code, lines, errors = launch(*words)
    assert code == 0 and errors == ["up to 6 units are not shown in MLflow; the same command adds them"]
    assert sum("was shown there before, so it goes on" in line for line in lines) == 1
    assert not any("secret" in path.read_text() for path in Path("runs", study).glob("*.json"))
    proxy.fault = lambda path: 0
    code, lines, errors = launch(*words)
    assert (code, errors) == (0, []) and "units of work: 6 finished, 0 left" in lines
    assert_shown_once(server.url, study, Path("runs"))
    assert launches(server.url, study)[-1] == "FINISHED"


def test_server_that_is_away_at_the_first_launch_is_refused(
        proxy: Proxy, between: dict[int, Callable[[], None]], launch: Launch) -> None:  # noqa: F811
    proxy.fault = lambda path: "503"
    code, _, errors = launch("--tracking-uri", proxy.url)
    assert code == 2 and len(errors) == 1
    assert errors[0].startswith(f"{proxy.url} does not answer like an MLflow server (/health gives 503, Server: ")


@pytest.mark.skipif(None in BINARIES.values(), reason="PostgreSQL (initdb, postgres) is not installed here")
def test_postgresql_stopped_under_its_server_and_both_back_at_the_next_launch(
        tmp_path: Path, between: dict[int, Callable[[], None]], launch: Launch,  # noqa: F811
        study: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_queue, "PATIENCE", 5.0)
    with Postgres() as database, Server(database.uri, tmp_path) as server:
        def stop() -> None:
            wait_until(lambda: len(Tracking(server.url, study, "").shown()) == 1)
            database.stop()

        between |= {1: stop, 3: server.kill}
        code, lines, errors = launch("--tracking-uri", server.url)
        assert (code, errors) == (0, ["3 units are not shown in MLflow; the same command adds them"])
        assert sum("training goes on" in line for line in lines) == 1
        database.start()
        server.start()
        code, lines, errors = launch("--tracking-uri", server.url)
        assert (code, errors) == (0, []) and not any(line.startswith("[") for line in lines)
        assert_shown_once(server.url, study, Path("runs"))
        assert launches(server.url, study) == ["KILLED", "FINISHED"]


def test_server_killed_and_started_again_before_the_end(
        server: Server, between: dict[int, Callable[[], None]], launch: Launch, study: str) -> None:  # noqa: F811
    """Last of this file's: where it fails, no server is left for others."""
    def kill() -> None:
        wait_until(lambda: len(Tracking(server.url, study, "").shown()) == 1)
        server.kill()

    between |= {1: kill, 3: server.start}
    code, lines, errors = launch("--tracking-uri", server.url)
    assert (code, errors) == (0, []) and sum(line.startswith("[") for line in lines) == 4
    assert_shown_once(server.url, study, Path("runs"))
    assert launches(server.url, study) == ["FINISHED"]
