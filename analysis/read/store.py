"""A tracking store: studies by name, their runs, and artifacts, kept in a cache by run."""

from __future__ import annotations

import difflib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from analysis.read.address import PassingError, ReportError, check, words
from study.schema.address import local_path, resolved, sqlite_path

if TYPE_CHECKING:
    from mlflow.entities import Run

_PAGE = 1000  # runs a search may return at once
DATA = "data_samples.png"


# MLflow's own: no bar for each artifact, and a server that is away is said to be so in seconds.
_ENVIRONMENT = {"MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
                "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}


@contextmanager
def opened(uri: str | None) -> Iterator[Store]:
    """The store at `uri`. A store that cannot be reached becomes a PassingError, whenever it stops answering."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield Store(uri)
    except (MlflowException, SQLAlchemyError, ConnectionError, ImportError) as problem:
        if (getattr(problem, "name", None) or "").startswith("analysis"):  # ours is broken, and no driver is missing
            raise
        raise PassingError(f"cannot read the tracking store: {words(problem)}") from problem


class Store:
    """A tracking store, which is only read but for `put`. To open one sets MLflow's options that this process lacks."""

    def __init__(self, uri: str | None = None) -> None:
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        import mlflow

        self.uri = resolved(uri)
        check(self.uri)
        self._file = sqlite_path(self.uri)
        self.client = mlflow.MlflowClient(tracking_uri=self.uri)

    @property
    def page(self) -> str:
        """Where a browser finds MLflow's page, without user and password; "" of a store without one, such as a file."""
        parts = urlsplit(self.uri)
        if parts.scheme not in ("http", "https"):
            return ""
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))

    def names(self) -> list[str]:
        """Names of all studies, the one launched last first. A study is an experiment with a launch run."""
        experiments = {e.experiment_id: e.name for e in self.client.search_experiments()}
        launches = self.runs(list(experiments), "tags.kind = 'launch'")
        newest: dict[str, int] = {}
        for run in launches:
            name = experiments[run.info.experiment_id]
            newest[name] = max(newest.get(name, 0), run.info.start_time)
        return sorted(newest, key=lambda name: (-newest[name], name))

    def choose(self, wanted: str | None) -> str:
        """The study `wanted`, or the newest. Raises ReportError with the nearest name and the list."""
        names = self.names()
        if wanted and wanted not in names and (found := self.client.get_experiment_by_name(wanted)) and (
                found.lifecycle_stage != "active"):
            raise ReportError(f"the experiment {wanted!r} was deleted in MLflow; `mlflow experiments restore "
                              f"--experiment-id {found.experiment_id}` brings it back")
        if not names:
            raise ReportError("the tracking store holds no study yet: run `python -m study.launch --space FILE` first")
        if wanted is None or wanted in names:
            return wanted or names[0]
        near = difflib.get_close_matches(wanted, names, 1, 0.4)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ReportError(f"no study named {wanted!r}{hint} (studies: {', '.join(sorted(names))})")

    def runs(self, experiments: list[str], query: str) -> list[Run]:
        """All runs of these experiments that the query finds, in the order of their ids."""
        def pages() -> Iterator[Run]:
            token = None
            while True:
                page = self.client.search_runs(experiments, query, max_results=_PAGE, page_token=token)
                yield from page
                token = page.token
                if not token:
                    return

        return sorted(pages(), key=lambda r: r.info.run_id) if experiments else []

    def has(self, run: Run, name: str) -> bool:
        """Whether the run holds an artifact of this name at its top."""
        if folder := self._folder(run):
            return (folder / name).is_file()
        return any(f.path == name for f in self.client.list_artifacts(run.info.run_id))

    def text(self, run: Run, name: str, cache: Path) -> str:
        """An artifact's text, or "" where there is none."""
        return self.artifact(run, name, cache).read_text(encoding="utf-8") if self.has(run, name) else ""

    def artifact(self, run: Run, name: str, cache: Path, fixed: bool = False) -> Path:
        """One artifact in the cache; fetched again unless it is `fixed` (never changes once written) and there."""
        target: Path = cache / run.info.run_id / name
        if fixed and target.exists():
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            folder = self._folder(run)
            os.replace(shutil.copy(folder / name, scratch) if folder and (folder / name).is_file() else
                       self.client.download_artifacts(run.info.run_id, name, scratch), target)
        return target

    def put(self, run: Run, name: str, content: bytes) -> None:
        """One artifact of the run, in the place of what has this name."""
        folder = self._folder(run)
        if folder is None:
            with tempfile.TemporaryDirectory() as scratch:
                file = Path(scratch) / Path(name).name
                file.write_bytes(content)
                self.client.log_artifact(run.info.run_id, str(file), str(Path(name).parent))
            return
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)

    def _folder(self, run: Run) -> Path | None:
        """The run's artifacts on this disk: beside an SQLite store, where a launch puts them, else where MLflow says.
        That is an absolute path, and the store may have been moved since. None: ask MLflow, which takes longer."""
        said = local_path(run.info.artifact_uri or "")
        if said is None or not said.is_absolute():
            return None
        last = said.parts[-4:]  # mlruns/1/<id>/artifacts
        beside = [self._file.absolute().parent.joinpath(*last)] if self._file and last[:1] == ("mlruns",) else []
        return next((place for place in (*beside, said) if place.is_dir()), None)


@dataclass(frozen=True)
class Pictures:
    """Where a study's images are: its experiments, its newest launch with a plan, and a cache."""

    store: Store
    experiments: tuple[str, ...]
    launch: str
    cache: Path

    def sheet(self, kind: str, config_hash: str, seed: int) -> Path | None:
        """`samples` or `nearest` of one replicate, or None where it was not kept. Of several studies in one report the
        hash stands behind the study's name."""
        known, name = config_hash.split("/")[-1], f"{kind}_{seed}.png"
        found = self.store.runs(list(self.experiments), f"tags.kind = 'replicate' and tags.config_hash = '{known}' and "
                                                        f"tags.seed = '{seed}'")
        return next((self.store.artifact(run, name, self.cache) for run in found if self.store.has(run, name)), None)

    def data(self) -> Path | None:
        """The sheet of training data, or None where the launch kept none."""
        run = self.store.client.get_run(self.launch)
        return self.store.artifact(run, DATA, self.cache) if self.store.has(run, DATA) else None
