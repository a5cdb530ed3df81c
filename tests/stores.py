"""A new MLflow store in SQLite, which costs MLflow seconds of migrations: made once on this machine, then copied."""

from __future__ import annotations

import contextlib
import os
import tempfile
from functools import cache
from importlib import metadata
from pathlib import Path

from study.show.tracking.experiment import Experiment


@cache
def template() -> Path:
    """To be copied."""
    kept = Path(tempfile.gettempdir()) / f"ebm-study-tests-{os.getuid()}-mlflow-{metadata.version('mlflow')}.db"
    if not kept.exists():
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):  # where MLflow makes a folder
            Experiment(f"sqlite:///{folder}/mlflow.db", "unused", "")._client.search_experiments()
            whole = kept.with_suffix(f".{os.getpid()}")
            whole.write_bytes(Path("mlflow.db").read_bytes())
            whole.replace(kept)  # other processes may do the same
    return kept
