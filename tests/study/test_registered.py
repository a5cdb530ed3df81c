"""The model registry: who has a name there, files that are gone, and a registry apart from the runs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import mlflow
import pytest

from study.schema.manifest import File
from study.show.tracking import Tracking, TrackingError
from study.store.kept import Replicate
from study.store.units import Store
from tests.models.test_kept import of
from tests.study.test_tracking import finished_unit, show, store, uri

__all__ = ["store", "uri"]
pytestmark = pytest.mark.filterwarnings(  # MLflow's own use of SQLAlchemy
    "ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning")


class Best:
    """The network of one finished trial, registered as often as asked."""

    def __init__(self, uri: str, store: Store, study: str = "jko", arm: str = "kl") -> None:
        self.uri, self.arm, self.tracking = uri, arm, Tracking(uri, study, "v1")
        unit = finished_unit(store, (3, 4, 5), phase="confirm")
        show(self.tracking, store, unit)
        manifest = store.done(unit)
        assert manifest is not None
        self.payload = of("kl")[0]
        kept = manifest.model_copy(update={"state": File(sha256="5" * 64, bytes=len(self.payload))})
        self.one = Replicate(unit, kept, {"seed": 4, "verdict": "stable"})

    def register(self) -> None:
        self.tracking.register(self.arm, self.one, self.payload, [])

    def versions(self, name: str = "jko-kl") -> list[str]:
        return sorted(str(v.version) for v in self.tracking._client.search_model_versions(f"name = '{name}'"))

    def loaded(self, name: str = "jko-kl") -> Any:
        client = mlflow.MlflowClient(self.uri)
        return mlflow.pyfunc.load_model(client.get_model_version_by_alias(name, "best").source)


def test_a_model_goes_with_a_folder_that_was_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str,
                                                   store: Store) -> None:
    """It loads where it is now; one whose files were deleted is registered again."""
    (tmp_path / "old").mkdir()
    monkeypatch.chdir(tmp_path / "old")
    shutil.move(tmp_path / "mlflow.db", "mlflow.db")
    Best(f"sqlite:///{tmp_path}/old/mlflow.db", store).register()
    shutil.move(tmp_path / "old", tmp_path / "new")
    monkeypatch.chdir(tmp_path / "new")
    moved = Best(f"sqlite:///{tmp_path}/new/mlflow.db", store)
    moved.tracking.check_reachable()
    assert moved.loaded().predict(2).shape == (2, 1, 8, 8)
    moved.register()
    assert moved.versions() == ["1"]
    shutil.rmtree(tmp_path / "new/mlruns/1/models")
    moved.register()
    moved.register()
    assert moved.versions() == ["1", "2"] and moved.loaded().predict(2).shape == (2, 1, 8, 8)


def test_a_name_that_another_has_is_left_to_it(uri: str, store: Store, tmp_path: Path) -> None:
    """A person's model, or another study's: `a-b` + `c` reads like `a` + `b-c`."""
    Best(uri, store).register()
    other = Best(uri, Store(str(tmp_path / "others"), "jko-kl"), "jko-kl", "fast")
    other.register()
    mine = Best(uri, store, arm="kl-fast")
    client = mine.tracking._client
    client.create_registered_model("jko-mine")
    client.create_model_version("jko-mine", str(tmp_path))
    client.set_registered_model_alias("jko-mine", "best", "1")
    before = client.get_model_version_by_alias("jko-kl-fast", "best").tags
    assert before["study"] == "jko-kl"
    for best in (mine, Best(uri, store, arm="mine")):
        with pytest.raises(TrackingError, match=f"has a model 'jko-{best.arm}' that is not of the study jko; rename"):
            best.register()
        assert best.versions(f"jko-{best.arm}") == ["1"]
    assert client.get_model_version_by_alias("jko-kl-fast", "best").tags == before


def test_what_fails_in_a_registry_apart_is_said_of_it_and_holds_up_no_run(
        uri: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "http://127.0.0.1:9")
    with pytest.raises(TrackingError, match=r"^MLflow at http://127.0.0.1:9 does not answer") as caught:
        Best(uri, store).register()
    assert not caught.value.away
