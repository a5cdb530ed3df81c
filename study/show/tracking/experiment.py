"""One MLflow experiment: reach its store, look runs up by their tags, log in few requests."""

from __future__ import annotations

import contextlib
import functools
import io
import logging
import math
import os
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study.schema import address
from study.schema.tags import NOTE
from study.show.tracking.errors import TrackingError, named
from study.show.tracking.moved import follow
from study.show.tracking.reach import check_database, check_server

if TYPE_CHECKING:
    from mlflow.entities import Metric, Run

BATCH = 800  # metrics in one request; MLflow takes 1,000 entries, and the last brings parameters and tags too
PAGE = 1000  # runs in one request
ENVIRONMENT = {
    # MLflow's defaults phone home, draw bars, and print two lines for each run.
    "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}

log = logging.getLogger(__name__)


class Experiment:
    """The MLflow experiment `name`, made on first use with `note`. No global state of MLflow is touched."""

    def __init__(self, uri: str | None, name: str, note: str = "") -> None:
        """uri: None for MLFLOW_TRACKING_URI, else mlflow.db in the working directory (see `address.resolved`)."""
        for variable, value in ENVIRONMENT.items():
            os.environ.setdefault(variable, value)
        # Whatever a user prefers: a repeated create_run makes a second run. `UploadQueue` tries again, and looks first.
        os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # stories; what fails is raised as well
        self.uri = address.resolved(uri)
        self.name = name
        self._note = note
        self.on_answer: Callable[[bool], None] = lambda step: None  # told of each answer (see UploadQueue.answered)
        self.is_unsure = False  # whether a run may have been made although no answer said so

    @functools.cached_property
    def _client(self) -> Any:
        """Made on first use, inside of a named method: an unknown or damaged store fails here already."""
        import mlflow

        return mlflow.MlflowClient(self.uri)

    def _ask(self, method: str, *args: Any, step: bool = False, **options: Any) -> Any:
        """One call of MLflow's client. step: it made or completed a run."""
        found = getattr(self._client, method)(*args, **options)
        self.on_answer(step)
        return found

    @named
    def check_reachable(self, timeout: float = 5.0, make: bool = True) -> None:
        """Find or make the experiment, and before it a new SQLite store. Raises TrackingError, soon for no server.

        make: False where a store or an experiment that is not there is to be refused, too.
        """
        if problem := address.problem(self.uri):
            raise TrackingError(problem)
        if self.is_server:
            check_server(self.uri, timeout)
        else:
            check_database(self.uri)
            if make:
                self._make_database()
            elif (path := address.sqlite_path(self.uri)) and not path.exists():
                raise TrackingError(f"no MLflow store at {self.uri}")
        self._check_kind()
        if not make and self._ask("get_experiment_by_name", self.name) is None:
            raise TrackingError(f"MLflow at {self.uri} shows no study {self.name!r}")
        _ = self.experiment_id
        self._follow()  # last: a store that is refused, such as another release's, is not written

    @property
    def is_gone(self) -> bool:
        """Whether the SQLite store, which there was, was removed."""
        path = address.sqlite_path(self.uri)
        return path is not None and not path.exists()

    def _check_kind(self) -> None:
        from mlflow.tracking.registry import UnsupportedModelRegistryStoreURIException

        try:
            _ = self._client
        except UnsupportedModelRegistryStoreURIException as error:
            raise TrackingError(f"tracking URI: found {self.uri!r}, expected a database such as sqlite:///mlflow.db or "
                                "postgresql://..., or a server's http(s)://HOST:PORT") from error

    def _make_database(self) -> None:
        """A new SQLite store, under another name at first: a kill between two migrations would spoil it for good.

        Another launch may do the same at the same moment: the store that is there first is everybody's, since its
        launch may have begun to use it.
        """
        path = address.sqlite_path(self.uri)
        if path is None or path.exists():
            return
        import mlflow

        temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.touch()  # where that fails MLflow would try for minutes
            mlflow.MlflowClient(address.sqlite_uri(temporary)).search_experiments(max_results=1)
            with contextlib.suppress(FileExistsError):
                _put(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)

    def _follow(self) -> None:
        path = address.sqlite_path(self.uri)
        if path and (moved := follow(path, self.name)):
            log.warning("study %r was moved: its artifacts in MLflow are those in %s from now on (were: %s)", self.name,
                        moved[1], moved[0])

    @property
    def is_server(self) -> bool:
        """Whether the store is behind a server, which may be away, and not a file or database of ours."""
        return self.uri.startswith(address.SERVER)

    @functools.cached_property
    def experiment_id(self) -> str:
        """Raises TrackingError where the experiment was deleted in MLflow."""
        found = self._ask("get_experiment_by_name", self.name)
        if found is None:
            return str(self._ask("create_experiment", self.name, self._artifacts(), {NOTE: self._note}))
        if found.lifecycle_stage != "active":
            raise TrackingError(f"experiment {self.name!r} was deleted in MLflow at {self.uri}; restore it there, or "
                                "give the study another name")
        return str(found.experiment_id)

    @property
    def known_id(self) -> str | None:
        """The experiment's id where a request has found it already; asks nobody."""
        return self.__dict__.get("experiment_id")

    def _artifacts(self) -> str | None:
        """Where artifacts go: beside an SQLite file that lies elsewhere; MLflow would put them into the working
        directory, whose name it decodes. None: MLflow's own choice."""
        path = address.sqlite_path(self.uri)
        folder = path and path.absolute().parent
        is_elsewhere = folder is not None and (folder != Path.cwd() or "%" in str(folder))
        return (folder / "mlruns" / self.name).as_uri() if folder and is_elsewhere else None

    def search(self, condition: str) -> list[Run]:
        """All runs, deleted ones aside, that meet the condition."""
        found: list[Run] = []
        token = None
        while True:
            page = self._ask("search_runs", [self.experiment_id], condition, max_results=PAGE, page_token=token)
            found += page
            token = page.token
            if not token:
                return found

    def create(self, name: str, tags: dict[str, str], start: int) -> str:
        """A run with all tags that find it again, in one request. start: milliseconds. Returns its id."""
        experiment = self.experiment_id
        before, self.is_unsure = self.is_unsure, True
        run = self._ask("create_run", experiment, start, tags, name, step=True)
        self.is_unsure = before
        return str(run.info.run_id)

    def delete(self, run_id: str) -> None:
        """MLflow keeps it, out of sight."""
        self._ask("delete_run", run_id)

    def log(self, run_id: str, metrics: list[Metric], tags: dict[str, str] | None = None,
            params: dict[str, str] | None = None) -> None:
        """In as few requests as MLflow allows; the tags with the last one."""
        from mlflow.entities import Param, RunTag

        while len(metrics) > BATCH:
            self._ask("log_batch", run_id, metrics=metrics[:BATCH])
            metrics = metrics[BATCH:]
        self._ask("log_batch", run_id, metrics, [Param(k, v) for k, v in (params or {}).items()],
                  [RunTag(k, v) for k, v in (tags or {}).items()], step="complete" in (tags or {}))

    def log_bytes(self, run_id: str, path: str, payload: bytes) -> None:
        """An artifact; one of the same path is replaced."""
        self._ask("log_stream", run_id, io.BytesIO(payload), path)

    def artifacts(self, run_id: str, folder: str) -> list[str]:
        """Paths of the artifacts in a folder of the run."""
        return [file.path for file in self._ask("list_artifacts", run_id, folder)]

    def lacks(self, run: Run, name: str) -> bool:
        """Whether an artifact that lies on this disk is gone; of a server's or a bucket's nobody is asked."""
        folder = address.local_path(run.info.artifact_uri or "")
        return folder is not None and not (folder / name).exists()

    def read_artifact(self, run_id: str, path: str) -> bytes:
        """An artifact's bytes."""
        with tempfile.TemporaryDirectory() as folder:
            return Path(self._ask("download_artifacts", run_id, path, folder)).read_bytes()

    def end(self, run_id: str, status: str, end: int | None = None) -> None:
        """status: FINISHED, FAILED or KILLED. end: milliseconds, None for now."""
        self._ask("set_terminated", run_id, status, end)


def _put(temporary: Path, path: Path) -> None:
    """Give a file its name. Raises FileExistsError where that is taken, which os.replace would not."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links; a moment is left in which another launch may do the same
        if not path.exists():
            os.replace(temporary, path)


def metric(name: str, value: float, timestamp: int, step: int) -> Metric:
    """A finite metric; MLflow would store infinity as 1.8e308. timestamp: milliseconds."""
    from mlflow.entities import Metric

    assert math.isfinite(value), f"{name} = {value} must never reach MLflow"
    return Metric(name, float(value), timestamp, step)
