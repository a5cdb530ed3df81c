"""The searches as one SQLite file, which optuna-dashboard and Optuna itself can open. The study never reads it."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import optuna

from models.measures.table import larger_is_better


def sqlite(studies: Mapping[str, optuna.Study], objectives: Sequence[str]) -> bytes:
    """A database that holds these studies by these names, with their objectives' names, after a minus where Optuna
    has the negated value (larger is better); trials that wait to be asked again are left out."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optuna.db"
        storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
        for name, study in studies.items():
            copy = optuna.create_study(storage=storage, study_name=name, directions=study.directions)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # names for people, no more
                copy.set_metric_names([f"-{name}" if larger_is_better(name) else name for name in objectives])
            copy.add_trials([trial for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()])
        storage.engine.dispose()
        return path.read_bytes()
