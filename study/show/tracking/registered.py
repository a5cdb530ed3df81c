"""The best networks of a study in MLflow's registry, each a version that says where it comes from."""

from __future__ import annotations

import re
import shutil
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.pyfunc import write
from study.schema.address import local_path
from study.schema.columns import SEED
from study.schema.tags import KIND
from study.show.tracking.errors import TrackingError, named
from study.show.tracking.launches import Launches
from study.show.tracking.tags import parameters

if TYPE_CHECKING:
    from study.store.kept import Replicate

STUDY, STATE, BEST = "study", "state_sha256", "best"
ROOT = Path(__file__).resolve().parents[3]
CODE = "models"  # travels with each model, so that it loads where nothing of ours is installed
REQUIRED = ("torch", "numpy", "safetensors")


class Registered(Launches):
    """The experiment of one study, and what of it is registered."""

    @named
    def register(self, arm: str, one: Replicate, payload: bytes, modules: Sequence[str]) -> None:
        """Make this replicate the newest version, and the alias `best`, of the arm's registered model. Harmless when
        repeated. payload: its state. modules: paths of the user's own code. Raises TrackingError, also for a model of
        that name which is another study's, or nobody's."""
        assert one.manifest.state is not None
        name, ask = model_name(self.name, arm), _Registry(self._client, self._ask)
        tags = {STUDY: self.name, STATE: one.manifest.state.sha256, SEED: str(one.seed),
                "config_hash": one.unit.config_hash, "verdict": one.verdict}
        versions = ask("search_model_versions", f"name = '{name}'")
        if versions and not any(STATE in v.tags and v.tags.get(STUDY, self.name) == self.name for v in versions):
            raise TrackingError(f"the registry has a model {name!r} that is not of the study {self.name}; rename it "
                                "there, or give the arm another name")
        version = next((v.version for v in versions if _is_same(v.tags, tags) and not _is_gone(v.source)), None)
        if version is None:
            model = self._logged(name, one, payload, modules, tags)
            if not ask("search_registered_models", f"name = '{name}'"):
                ask("create_registered_model", name, description=(
                    f"The best confirmed network of {arm} in the study {self.name}: `predict(64)` gives samples."))
            # Not `models:/...`, which MLflow would look for in its global store.
            version = ask("create_model_version", name, model.artifact_location, model.source_run_id, tags,
                          model_id=model.model_id, await_creation_for=0).version
        ask("set_registered_model_alias", name, BEST, version)

    def _logged(self, name: str, one: Replicate, payload: bytes, modules: Sequence[str], tags: dict[str, str]) -> Any:
        """The replicate as a logged model of its trial's run; one that was begun and not finished goes."""
        from mlflow.entities import LoggedModelOutput

        found = self._ask("search_logged_models", [self.experiment_id], f"name = '{name}'")
        for model in found:
            if _is_same(model.tags, tags):
                if model.status.name == "READY" and not _is_gone(model.artifact_location):
                    return model
                self._ask("delete_logged_model", model.model_id)
        [run] = [run for run in self.runs_of(one.unit.config_hash) if run.data.tags[KIND] == "trial"]
        model = self._ask("create_logged_model", self.experiment_id, name, run.info.run_id, tags,
                          parameters(one.unit.configuration))
        with tempfile.TemporaryDirectory() as folder:
            self._ask("log_model_artifacts", model.model_id, _saved(Path(folder), model, payload, one.seed, modules))
        self._ask("log_outputs", run.info.run_id, [LoggedModelOutput(model.model_id, step=0)])
        return self._ask("finalize_logged_model", model.model_id, "READY")


class _Registry:
    """MLflow's registry, which is another server than its runs' where MLFLOW_REGISTRY_URI names one: then what fails
    says so, and is no reason to wait with runs."""

    def __init__(self, client: Any, ask: Callable[..., Any]) -> None:
        self.uri, self._ask = str(client._registry_uri), ask
        self._is_apart = self.uri != client.tracking_uri

    def __call__(self, method: str, *args: Any, **options: Any) -> Any:
        try:
            return self._call(method, *args, **options)
        except TrackingError as error:
            raise TrackingError(str(error), error.away and not self._is_apart) from error

    @named
    def _call(self, method: str, *args: Any, **options: Any) -> Any:
        return self._ask(method, *args, **options)


def _is_same(tags: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return all(tags.get(key) == wanted[key] for key in (STATE, SEED))


def _is_gone(location: str) -> bool:
    """Whether what lies on this disk is there no more; of a server or a bucket nobody is asked."""
    folder = local_path(location)
    return folder is not None and not folder.exists()


def model_name(study: str, arm: str) -> str:
    """`jko-kl`; of signs that MLflow refuses a `_`."""
    return re.sub(r"[/:.%\"']", "_", f"{study}-{arm}")


def _saved(folder: Path, model: Any, payload: bytes, seed: int, modules: Sequence[str]) -> str:
    """The path of an MLflow model with one replicate of this state, and the code that loads it."""
    write(folder / "data", payload, seed)
    code = [shutil.copytree(ROOT / CODE, folder / CODE, ignore=shutil.ignore_patterns("__pycache__", "testing"))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about type hints of its own, and an example that nobody needs
        import mlflow.pyfunc
        from mlflow.models import Model
        from mlflow.models.signature import ModelSignature
        from mlflow.types import DataType, ParamSchema, ParamSpec

        optional = ParamSchema([ParamSpec("steps", DataType.long, 0), ParamSpec("seed", DataType.long, 0)])
        mlflow.pyfunc.save_model(
            str(folder / "model"), loader_module="models.pyfunc", data_path=str(folder / "data"),
            code_paths=[*map(str, code), *modules], pip_requirements=list(REQUIRED),
            signature=ModelSignature(params=optional),
            mlflow_model=Model(artifact_path=model.artifact_location, model_uuid=model.model_id,
                               run_id=model.source_run_id, model_id=model.model_id))
    return str(folder / "model")
