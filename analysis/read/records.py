"""Records of a study's trials, from the files that their runs hold and one that is kept in the cache."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa

from analysis.read.store import Store
from analysis.read.trials import CELL, OF_RECORDS, TRIAL, VALID

if TYPE_CHECKING:
    from mlflow.entities import Run


def records_of(store: Store, trials: pd.DataFrame, runs: dict[str, Run], cache: Path,
               prefix: str) -> tuple[pd.DataFrame, list[str]]:
    """Records of all valid, complete trials, each row with its trial's columns; a replicate is counted once.

    A trial's tag `seeds` names its files (`records/0-6.parquet`), which change with its tag `content` alone: nothing is
    listed or fetched again, and as long as no trial changes all are kept in one file, whose name begins with `prefix`.
    """
    wanted = trials[trials["complete"] & trials["status"].isin(VALID)]
    said = wanted[["run_id", "seeds", "content", "device", *OF_RECORDS]].to_json(orient="values")
    whole = cache / f"{prefix}{hashlib.sha256(said.encode()).hexdigest()[:16]}.parquet"
    if whole.exists():
        return pd.read_parquet(whole), []
    records, warnings = _together(store, wanted, runs, cache)
    if not warnings:
        for old in cache.glob(f"{prefix}*.parquet"):
            old.unlink()
        records.to_parquet(whole.with_suffix(".tmp"))
        whole.with_suffix(".tmp").rename(whole)
    return records, warnings


def _together(store: Store, wanted: pd.DataFrame, runs: dict[str, Run], cache: Path) -> tuple[pd.DataFrame, list[str]]:
    """The records of the wanted trials from their files."""
    parts, warnings = [], []
    for trial in wanted.to_dict("records"):
        for block in filter(None, trial["seeds"].split(",")):
            part = _block(store, runs[trial["run_id"]], f"records/{block}.parquet", cache / trial["content"])
            if part is None:
                warnings.append(f"Trial {trial['config_hash']} is complete but its run holds no records of {block}.")
                continue
            part = part.drop(columns=TRIAL, errors="ignore").assign(block=block, **{k: trial[k] for k in OF_RECORDS})
            if trial["device"] not in ("", "cpu") and "wall_seconds" in part:  # a block's replicates share the device
                part["gpu_seconds"] = part["wall_seconds"] / part["seed"].nunique()
            parts.append(part)
    if not parts:
        columns = ["seed", "stage", "update", "verdict", "diverged_at", "block", *OF_RECORDS]
        return pd.DataFrame(columns=columns), warnings
    key = ["config_hash", "seed", "stage", "update"]
    records = pd.concat([p.dropna(axis=1, how="all") for p in parts], ignore_index=True)
    doubled = records.duplicated(key)
    if doubled.any():
        warnings.append(f"{int(doubled.sum())} records were there twice; each is counted once.")
    return records[~doubled].sort_values([*key[:2], "stage", "update"], ignore_index=True), warnings


def _block(store: Store, run: Run, name: str, cache: Path) -> pd.DataFrame | None:
    """One file of records; fetched anew where the cache holds a damaged one. None where the run has none."""
    from mlflow.exceptions import MlflowException

    for attempt in (0, 1):
        try:
            return pd.read_parquet(store.artifact(run, name, cache, fixed=not attempt))
        except pa.ArrowInvalid:
            continue
        except (OSError, MlflowException) as problem:
            if isinstance(problem, OSError) or "such" in str(problem) or "exist" in str(problem):
                return None
            raise
    return None


def planned_seeds(records: pd.DataFrame, seeds: dict[str, list[int]]) -> pd.DataFrame:
    """Without seeds that this plan does not have: of more replicates before, or of another study seed."""
    planned = {(phase, seed) for phase, some in seeds.items() for seed in some}
    keep = [pair in planned for pair in zip(records["phase"], records["seed"], strict=True)]
    return records[np.array(keep, bool)].reset_index(drop=True)  # an empty list would choose no column


def finals_of(records: pd.DataFrame, primary: str) -> pd.DataFrame:
    """Final records, without measures that no replicate has. The primary stays: before the first survivor it is NaN."""
    finals = records[records["stage"] == "final"].drop(columns=["stage", "update"])
    needed = {"seed", "block", "verdict", "diverged_at", primary, *OF_RECORDS}
    finals = finals.drop(columns=[c for c in finals if c not in needed and finals[c].isna().all()])
    finals = finals.reindex(columns=list(dict.fromkeys([*finals, primary, "diverged_at"])))
    return finals.assign(
        diverged=(finals["verdict"] == "diverged").astype(bool), seed=finals["seed"].astype("int64"),
        **{c: finals[c].astype("float64") for c in (primary, "diverged_at", *CELL)}).reset_index(drop=True)
