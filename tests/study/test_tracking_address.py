"""Which tracking store is meant, by a launch and by the report."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.read import address as read
from study.schema import address
from study.show.tracking import Tracking, TrackingError


@pytest.mark.parametrize(("given", "near"), [
    ("127.0.0.1:5000", "http://127.0.0.1:5000"), ("localhost:5000/x", "http://localhost:5000/x"),
    ("http:/host:5000", "http://host:5000"), ("https:host", "https://host"), ("http://", None),
    ("sqlite://mlflow.db", "sqlite:///mlflow.db"), ("sqlite:/a/m.db", "sqlite:///a/m.db"),
    ("sqlite://", "sqlite:///mlflow.db"), ("sqlite:///:memory:", "sqlite:///mlflow.db"),
    ("file:mlruns", "sqlite:///mlruns/mlflow.db"), ("file:///a/mlruns/", "sqlite:////a/mlruns/mlflow.db"),
    ("./mlruns", "sqlite:///mlruns/mlflow.db"), ("here/m.db", "sqlite:///here/m.db"), ("", None), ("  ", None),
    ("databricks-uc", None), ("uc:http://localhost:8080", None), ("'http://host:5000'", None)])
def test_what_no_store_can_have_is_refused_with_what_is_meant(given: str, near: str | None) -> None:
    with pytest.raises(TrackingError, match="tracking URI: found ") as caught:
        Tracking(given, "jko", "v1").check_reachable()
    assert str(caught.value).partition("; did you mean ")[2] == (f"{near}?" if near else "")
    with pytest.raises(read.ReportError) as refused:
        read.check(address.resolved(given))
    assert str(refused.value) == str(caught.value)


@pytest.mark.parametrize("given", ["http://127.0.0.1:5000/#/experiments/1/runs", "http://127.0.0.1:5000/",
                                   " http://127.0.0.1:5000", "http://127.0.0.1:5000"])
def test_a_page_s_address_is_its_server_s(given: str) -> None:
    assert Tracking(given, "jko", "v1").uri == "http://127.0.0.1:5000"
    for page in ("https://host/mlflow/#/x?y=#z", "https://host/mlflow#"):
        assert address.resolved(page) == "https://host/mlflow"


@pytest.mark.parametrize(("folder", "where"), [("run", None), ("run copy", None), ("run%20copy", "run%2520copy")])
def test_artifacts_lie_in_the_working_directory_whatever_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                                  folder: str, where: str | None) -> None:
    """MLflow decodes the name of the one that it finds: runs in `run%20copy` had theirs in `run copy`."""
    (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert Tracking(None, "jko", "v1")._artifacts() == (where and f"file://{tmp_path}/{where}/mlruns/jko")


def test_what_is_meant_by_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An earlier MLflow's ./mlruns is not: this MLflow refuses to write it."""
    folder = tmp_path / "100% mine?"
    (folder / "mlruns" / "0").mkdir(parents=True)
    (folder / "mlruns" / "0" / "meta.yaml").write_text("name: Default\n")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    assert address.resolved(None) == f"sqlite:///{tmp_path}/100%25 mine%3F/mlflow.db"
    assert address.sqlite_path(address.resolved(None)) == folder / "mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host:5000/")
    assert address.resolved(None) == "http://host:5000"
