"""One MLflow experiment: reach its store, look runs up by their tags, log in few requests."""

from __future__ import annotations

import functools
import io
import logging
import math
import os
import tempfile
from collections.abc import Callable
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

if TYPE_CHECKING:
    from mlflow.entities import Metric, Run

BATCH = 800  # metrics in one request; MLflow takes 1,000 entries, and the last brings parameters and tags too
PAGE = 1000  # runs in one request
ENVIRONMENT = {  # MLflow's defaults phone home, retry an absent server for minutes, and draw bars
    "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}
NOTE = "mlflow.note.content"

P = ParamSpec("P")
T = TypeVar("T")


class TrackingError(Exception):
    """The tracking store cannot be used; one sentence. Nothing is lost: storage remembers, a relaunch drains."""


def named(method: Callable[Concatenate[Any, P], T]) -> Callable[Concatenate[Any, P], T]:
    """A method of an Experiment that raises TrackingError for what MLflow, its database or a missing driver raises."""
    @functools.wraps(method)
    def wrapper(self: Experiment, *args: P.args, **kwargs: P.kwargs) -> T:
        from mlflow.exceptions import MlflowException
        from requests import RequestException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            return method(self, *args, **kwargs)
        except (MlflowException, RequestException, SQLAlchemyError, ImportError, OSError) as error:
            raise TrackingError(f"MLflow at {self.uri}: {' '.join(str(error).split())[:300]}") from error
    return wrapper


class Experiment:
    """The MLflow experiment `name`, made on first use with `note`. No global state of MLflow is touched."""

    def __init__(self, uri: str | None, name: str, note: str) -> None:
        """uri: None for MLflow's own default (MLFLOW_TRACKING_URI, else mlflow.db in the working directory)."""
        for variable, value in ENVIRONMENT.items():
            os.environ.setdefault(variable, value)
        import mlflow

        logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)  # the story of a new SQLite store
        self.uri = uri or mlflow.get_tracking_uri()
        self.name = name
        self._note = note

    @functools.cached_property
    def _client(self) -> Any:
        """Made on first use, inside of a named method: an unknown or damaged store fails here already."""
        import mlflow

        return mlflow.MlflowClient(self.uri)

    @named
    def check_reachable(self, timeout: float = 5.0) -> None:
        """Find or make the experiment, and before it a new SQLite store. Raises TrackingError, soon for no server."""
        if ":" not in self.uri and not self.uri.startswith("databricks"):
            path = PurePath(self.uri)
            database = path if path.suffix == ".db" else path / "mlflow.db"
            raise TrackingError(f"tracking URI: found the path {self.uri!r}, expected the URI of a store or server; "
                                f"did you mean sqlite:///{database}?")
        if self.uri.startswith(("http://", "https://")):
            self._check_server(timeout)
        _ = self.experiment_id

    def _check_server(self, timeout: float) -> None:
        import requests

        try:
            code = requests.get(f"{self.uri.rstrip('/')}/health", timeout=timeout).status_code
        except requests.RequestException as error:
            raise TrackingError(f"no MLflow server answers at {self.uri} ({type(error).__name__}); start it, or leave "
                                "out --tracking-uri to keep the study in mlflow.db here") from error
        if code == 403:
            raise TrackingError(f"the MLflow server at {self.uri} refuses this host name (403); start it with "
                                "--allowed-hosts naming it")
        if code != 200:
            raise TrackingError(f"{self.uri} does not answer like an MLflow server (/health gives {code})")

    @functools.cached_property
    def experiment_id(self) -> str:
        """Raises TrackingError where the experiment was deleted in MLflow."""
        found = self._client.get_experiment_by_name(self.name)
        if found is None:
            return str(self._client.create_experiment(self.name, self._artifacts(), {NOTE: self._note}))
        if found.lifecycle_stage != "active":
            raise TrackingError(f"experiment {self.name!r} was deleted in MLflow at {self.uri}; restore it there, or "
                                "give the study another name")
        return str(found.experiment_id)

    def _artifacts(self) -> str | None:
        """Where artifacts go: beside an SQLite file that lies elsewhere; MLflow would put them into the working
        directory. None: MLflow's own choice."""
        folder = Path(self.uri.removeprefix("sqlite:///")).parent.absolute()
        elsewhere = self.uri.startswith("sqlite:///") and folder != Path.cwd()
        return (folder / "mlruns" / self.name).as_uri() if elsewhere else None

    def search(self, condition: str) -> list[Run]:
        """All runs, deleted ones aside, that meet the condition."""
        found: list[Run] = []
        token = None
        while True:
            page = self._client.search_runs([self.experiment_id], condition, max_results=PAGE, page_token=token)
            found += page
            token = page.token
            if not token:
                return found

    def create(self, name: str, tags: dict[str, str], start: int) -> str:
        """A run with all tags that find it again, in one request. start: milliseconds. Returns its id."""
        return str(self._client.create_run(self.experiment_id, start, tags, name).info.run_id)

    def log(self, run_id: str, metrics: list[Metric], tags: dict[str, str] | None = None,
            params: dict[str, str] | None = None) -> None:
        """In as few requests as MLflow allows; the tags with the last one."""
        from mlflow.entities import Param, RunTag

        while len(metrics) > BATCH:
            self._client.log_batch(run_id, metrics=metrics[:BATCH])
            metrics = metrics[BATCH:]
        self._client.log_batch(run_id, metrics, [Param(k, v) for k, v in (params or {}).items()],
                               [RunTag(k, v) for k, v in (tags or {}).items()])

    def log_bytes(self, run_id: str, path: str, payload: bytes) -> None:
        """An artifact; one of the same path is replaced."""
        self._client.log_stream(run_id, io.BytesIO(payload), path)

    def artifacts(self, run_id: str, folder: str) -> list[str]:
        """Paths of the artifacts in a folder of the run."""
        return [file.path for file in self._client.list_artifacts(run_id, folder)]

    def read_artifact(self, run_id: str, path: str) -> bytes:
        """An artifact's bytes."""
        with tempfile.TemporaryDirectory() as folder:
            return Path(self._client.download_artifacts(run_id, path, folder)).read_bytes()

    def end(self, run_id: str, status: str, end: int | None = None) -> None:
        """status: FINISHED, FAILED or KILLED. end: milliseconds, None for now."""
        self._client.set_terminated(run_id, status, end)


def metric(name: str, value: float, timestamp: int, step: int) -> Metric:
    """A finite metric; MLflow would store infinity as 1.8e308. timestamp: milliseconds."""
    from mlflow.entities import Metric

    assert math.isfinite(value), f"{name} = {value} must never reach MLflow"
    return Metric(name, float(value), timestamp, step)
