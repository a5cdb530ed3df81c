"""What costs seconds to make and is made once on this machine: a new MLflow store, and feature extractors."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable
from functools import cache
from importlib import metadata
from pathlib import Path

import torch

from models.data.data import Data
from models.measures import features
from models.measures.features import Extractor
from study.show.tracking.experiment import Experiment


@cache
def template() -> Path:
    """A new MLflow store in SQLite, which costs migrations: to be copied."""
    kept = _kept(f"mlflow-{metadata.version('mlflow')}.db")
    if not kept.exists():
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):  # where MLflow makes a folder
            Experiment(f"sqlite:///{folder}/mlflow.db", "unused", "")._client.search_experiments()
            _copy(Path("mlflow.db"), kept)
    return kept


def trained_once(cached: Callable[..., Extractor]) -> Callable[..., Extractor]:
    """`features._cached` of tests: what one process has trained with this code, others find in their storage."""
    code = b"".join(path.read_bytes() for path in sorted(Path(features.__file__).parents[1].rglob("*.py")))
    shared = _kept(f"features-{hashlib.sha256(code + torch.__version__.encode()).hexdigest()[:12]}")

    def found(name: str, data: Data, seed: int, cache_dir: Path, make: Callable[[], Extractor]) -> Extractor:
        own, _ = features._file(name, data, seed, cache_dir)
        _copy(shared / own.name, own)
        extractor = cached(name, data, seed, cache_dir, make)
        _copy(own, shared / own.name)
        return extractor

    return found


def _copy(one: Path, other: Path) -> None:
    """Whole or not at all, where there is one and not the other."""
    if one.exists() and not other.exists():
        other.parent.mkdir(parents=True, exist_ok=True)
        part = other.with_suffix(f".{os.getpid()}")
        part.write_bytes(one.read_bytes())
        part.replace(other)


def _kept(name: str) -> Path:
    return Path(tempfile.gettempdir()) / f"ebm-study-tests-{os.getuid()}-{name}"
