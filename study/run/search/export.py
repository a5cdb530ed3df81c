"""The searches as one SQLite file, which optuna-dashboard and Optuna itself can open. The study never reads it."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path

import optuna


def sqlite(studies: Mapping[str, optuna.Study], objectives: Mapping[str, int]) -> bytes:
    """A database that holds these studies by these names, with their objectives' names, after a minus where Optuna
    has the negated value (larger is better: `Plan.signs`); trials that wait to be asked again are left out."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optuna.db"
        storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
        for name, study in studies.items():
            copy = optuna.create_study(storage=storage, study_name=name, directions=study.directions)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # names for people, no more
                copy.set_metric_names([name if sign > 0 else f"-{name}" for name, sign in objectives.items()])
            copy.add_trials([trial for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()])
        storage.engine.dispose()
        return path.read_bytes()
