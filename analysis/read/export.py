"""All finished replicates of a study as one tidy table, for whatever a report does not show."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pandas as pd

from analysis.read.address import ReportError
from analysis.read.study import CELL, Study


def table(study: Study) -> pd.DataFrame:
    """One row per finished replicate: study, phase, arm, method, config_hash, seed, verdict, flags, diverged, its knobs
    (one a column, `knob_` before a name that a measure has too), then every measure."""
    knobs = pd.DataFrame([{"config_hash": t["config_hash"], **json.loads(t["settings"])}
                          for t in study.trials.drop_duplicates("config_hash").to_dict("records")])
    first = ["phase", "arm", "method", "config_hash", "seed", "verdict", "flags", "diverged", "diverged_at"]
    first = [c for c in first if c in study.finals]
    rest = [c for c in study.finals if c not in {*first, *CELL, "base_arm"}]
    knobs = knobs.rename(columns={k: f"knob_{k}" for k in knobs if k in rest or (k in first and k != "config_hash")})
    mixed = [k for k in knobs if knobs[k].map(type).nunique() > 1 and knobs[k].dtype == object]
    knobs = knobs.astype(dict.fromkeys(mixed, str))  # a column of Parquet has one type
    out = study.finals[[*first, *rest]].merge(knobs, on="config_hash", how="left")
    order = [*first, *(k for k in knobs if k != "config_hash"), *rest]
    return out[order].assign(study=study.name)[["study", *order]]


def write(study: Study, path: Path) -> int:
    """Writes `table` whole or not at all; the number of rows. The name ends in .parquet or .csv."""
    if path.suffix not in (".parquet", ".csv"):
        raise ReportError(f"--export {path}: expected a name that ends in .parquet or .csv")
    frame = table(study)
    scratch = path.with_name(f".{path.name}.tmp")
    try:
        if path.suffix == ".csv":
            frame.to_csv(scratch, index=False)
        else:
            frame.to_parquet(scratch, index=False)
        os.replace(scratch, path)
    except OSError as problem:
        raise ReportError(f"--export {path}: {problem.strerror or problem}") from problem
    finally:
        scratch.unlink(missing_ok=True)
    return len(frame)
