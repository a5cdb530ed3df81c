"""The report in MLflow: at the launch, as artifacts and tables, and as a card of the experiment."""

from __future__ import annotations

import json
from contextlib import chdir
from pathlib import Path
from shutil import copytree

import mlflow
import pandas as pd
import pytest

from analysis import report
from analysis.read.store import Store
from study.schema.address import sqlite_path
from study.schema.tags import NOTE


@pytest.fixture
def store(toy_uri: str, tmp_path: Path) -> str:
    """A copy, since this report writes into it."""
    database = sqlite_path(toy_uri)
    assert database is not None
    copytree(database.parent, tmp_path / "home", symlinks=True)
    return f"sqlite:///{tmp_path / 'home' / database.name}"


def launch(uri: str) -> tuple[mlflow.MlflowClient, mlflow.entities.Run]:
    opened = Store(uri)
    (experiment,) = (e.experiment_id for e in opened.client.search_experiments() if e.name == "toy")
    return opened.client, max(opened.runs([experiment], "tags.kind = 'launch'"), key=lambda run: run.info.start_time)


@pytest.mark.usefixtures("few_panels")
def test_page_tables_and_card_stand_in_mlflow_and_replace_those_before(store: str, tmp_path: Path) -> None:
    words = ["--study", "toy", "--tracking-uri", store, "--out", "r", "--show-in-mlflow"]
    with chdir(tmp_path):
        for _ in range(2):
            assert report.main(words) == 0
        client, run = launch(store)
        found = Store(store)
        page = found.artifact(run, "report/index.html", tmp_path / "c")
        assert page.read_bytes() == Path("r/index.html").read_bytes()
        tables = json.loads(run.data.tags["mlflow.loggedArtifacts"])
        names = {Path(table["path"]).stem for table in tables}
        assert len(names) >= 3 and all(table["type"] == "table" for table in tables)
        name = min(names)
        shown = json.loads(found.artifact(run, f"report/{name}.json", tmp_path / "c").read_text())
    written = pd.read_csv(tmp_path / f"r/tables/{name}.csv")
    assert shown["columns"] == list(written) and len(shown["data"]) == len(written)  # not those of two reports
    card = client.get_experiment(run.info.experiment_id).tags[NOTE]
    said = (tmp_path / "r/findings.md").read_text(encoding="utf-8").splitlines()
    assert card.startswith(f"**{said[2]}**") and said[4].strip("*") in card and run.info.run_id in card


@pytest.mark.usefixtures("few_panels")
def test_without_the_word_nothing_is_written(toy_uri: str, tmp_path: Path) -> None:
    with chdir(tmp_path):
        assert report.main(["--study", "toy", "--tracking-uri", toy_uri, "--out", "r"]) == 0
    _, run = launch(toy_uri)
    assert "mlflow.loggedArtifacts" not in run.data.tags


def test_artifacts_that_are_not_on_this_disk_go_by_mlflow(store: str, tmp_path: Path,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    _, run = launch(store)
    sent: list[tuple[str, bytes, str]] = []
    monkeypatch.setattr(Store, "_folder", lambda self, run: None)
    one = Store(store)
    monkeypatch.setattr(one.client, "log_artifact", lambda run_id, file, folder: sent.append(
        (run_id, Path(file).read_bytes(), f"{folder}/{Path(file).name}")))
    one.put(run, "report/index.html", b"page")
    assert sent == [(run.info.run_id, b"page", "report/index.html")]
