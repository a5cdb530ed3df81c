"""A study whose folder was renamed, moved or copied after a launch: MLflow's store has absolute paths in it."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from analysis.read.store import Store as ReadStore
from study.show.tracking import Tracking, TrackingError
from tests.stores import template
from tests.study.test_tracking import HERE, PLAN, PROVENANCE

pytestmark = pytest.mark.filterwarnings(  # MLflow's own use of SQLAlchemy
    "ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning")


@pytest.fixture(params=["here", "elsewhere"])
def uri(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store with a launch in the folder `a b`, made there (MLflow keeps paths) or from elsewhere (it keeps URIs)."""
    folder = tmp_path / "a b"
    folder.mkdir()
    monkeypatch.chdir(folder if request.param == "here" else tmp_path)
    launched(f"sqlite:///{shutil.copy(template(), folder / 'mlflow.db')}")
    return f"sqlite:///{tmp_path}/c d/mlflow.db"


def launched(uri: str) -> None:
    tracking = Tracking(uri, "jko", "v1")
    tracking.check_reachable()
    tracking.start_launch("study: jko\n", PLAN, PROVENANCE, HERE)


def read_plans(uri: str, cache: Path) -> list[str]:
    store = ReadStore(uri)
    runs = store.runs([store.client.get_experiment_by_name("jko").experiment_id], "tags.kind = 'launch'")
    assert all(store.has(run, "plan.json") and not store.has(run, "no.json") for run in runs)
    return [store.text(run, "plan.json", cache) for run in runs]


@pytest.mark.parametrize("is_copy", [False, True])
def test_its_report_and_its_relaunch_know_it_where_it_is(
        uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
        is_copy: bool) -> None:
    old, new, cache = tmp_path / "a b", tmp_path / "c d", tmp_path / "cache"
    cache.mkdir()
    monkeypatch.chdir(tmp_path)
    (shutil.copytree if is_copy else shutil.move)(old, new)
    before = {path for path in old.rglob("*")}
    if is_copy:
        next(path for path in old.rglob("plan.json")).write_text("another's")
    monkeypatch.chdir(new)
    [plan] = read_plans(uri, cache)
    assert plan.startswith("{")
    for said in (1, 0):
        caplog.clear()
        launched(uri)
        assert [f"(were: {old}/mlruns/" in line for line in caplog.messages] == [True] * said
    assert len(read_plans(uri, cache)) == 3 and {path for path in old.rglob("*")} == before
    tracking = Tracking(uri, "jko", "v1")
    for run in tracking.search("tags.kind = 'launch'"):
        assert tracking.read_artifact(run.info.run_id, "spec.yaml") == b"study: jko\n"


def test_a_copy_without_its_artifacts_writes_nothing_into_the_folder_it_is_of(
        uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = tmp_path / "a b", tmp_path / "c d"
    shutil.copytree(old, new)
    shutil.rmtree(new / "mlruns")
    before = {path for path in old.rglob("*")}
    monkeypatch.chdir(new)
    launched(uri)
    assert {path for path in old.rglob("*")} == before and [*new.rglob("plan.json")]


def test_a_store_that_is_refused_is_not_written(uri: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It was moved, and is of an earlier MLflow: whoever upgrades or copies it finds it as it was."""
    shutil.move(tmp_path / "a b", tmp_path / "c d")
    store = tmp_path / "c d/mlflow.db"
    with closing(sqlite3.connect(store)) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '451aebb31d03'")
    before = store.read_bytes()
    with pytest.raises(TrackingError, match="store of an earlier MLflow"):
        Tracking(uri, "jko", "v1").check_reachable()
    assert store.read_bytes() == before and not caplog.messages


def test_a_store_that_was_not_moved_is_left_alone(uri: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """By another name, too; nor are artifacts that a person put elsewhere."""
    (tmp_path / "c d").symlink_to(tmp_path / "a b")
    launched(uri)
    tracking = Tracking(uri, "other", "v1")
    there = tracking._client.create_experiment("other", (tmp_path / "mine").as_uri())
    tracking.check_reachable()
    assert not caplog.messages and tracking._client.get_experiment(there).artifact_location.endswith("/mine")
