"""An SQLite store whose folder was renamed, moved or copied: MLflow keeps absolute paths of artifacts in it."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from study.schema.address import local_path

ARTIFACTS = "mlruns"  # beside the store; MLflow's own name
PLACES = (("runs", "artifact_uri"), ("logged_models", "artifact_location"), ("model_versions", "source"),
          ("model_versions", "storage_location"))  # tables and columns that name what lies below an experiment's


def follow(store: Path, name: str) -> tuple[Path, Path] | None:
    """Let the experiment, its runs and its models name the artifacts beside the store, where they were when it was
    somewhere else.

    Returns the folders before and after; None where nothing had to change. Raises sqlite3.Error.
    """
    if not store.is_file() or not store.stat().st_size:
        return None
    with closing(sqlite3.connect(store, timeout=20)) as database, database:
        if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'experiments'").fetchone():
            return None
        row = database.execute("SELECT experiment_id, artifact_location FROM experiments WHERE name = ?",
                               (name,)).fetchone()
        before = local_path(row[1]) if row else None
        if before is None or before.parent.name != ARTIFACTS:
            return None
        after = Path(os.path.abspath(store)).parent / ARTIFACTS / before.name
        if before == after or (before.exists() and after.exists() and before.samefile(after)):
            return None
        is_copy = (before.parent.parent / store.name).exists()  # of a store that is still where the artifacts were
        if not after.exists() and not is_copy:
            return None
        there = after.as_uri() if row[1].startswith("file:") else str(after)
        database.execute("UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?", (there, row[0]))
        for table, column in PLACES:
            database.execute(f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",
                             (there, len(row[1]) + 1, len(row[1]) + 1, f"{row[1]}/"))
    return before, after
