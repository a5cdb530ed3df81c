"""What costs seconds to make and is made once on this machine: a new MLflow store, and feature extractors."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from functools import cache
from importlib import metadata
from pathlib import Path

from models.measures import feature_training, features
from study.show.tracking.experiment import Experiment


@cache
def template() -> Path:
    """A new MLflow store in SQLite, which costs migrations: to be copied."""
    kept = _kept(f"mlflow-{metadata.version('mlflow')}.db")
    if not kept.exists():
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):  # where MLflow makes a folder
            Experiment(f"sqlite:///{folder}/mlflow.db", "unused", "")._client.search_experiments()
            whole = kept.with_suffix(f".{os.getpid()}")
            whole.write_bytes(Path("mlflow.db").read_bytes())
            whole.replace(kept)  # other processes may do the same
    return kept


def share_features(storage: Path) -> None:
    """A storage's cache of extractors is that of all tests with this code."""
    code = b"".join(Path(str(module.__file__)).read_bytes() for module in (features, feature_training))
    shared = _kept(f"features-{hashlib.sha256(code).hexdigest()[:12]}")
    shared.mkdir(exist_ok=True)
    storage.mkdir(parents=True, exist_ok=True)
    (storage / ".cache").symlink_to(shared)


def _kept(name: str) -> Path:
    return Path(tempfile.gettempdir()) / f"ebm-study-tests-{os.getuid()}-{name}"
