"""What MLflow shows of a unit's records: curves of a replicate, and means with intervals over replicates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from study.prediction import LIMITS

CURVES = ("gap", "sd_f", "grad_norm_f", "kappa", "acceptance")  # beside the objective; a few, each costs 2 ms
COSTS = ("wall_seconds", "cpu_seconds", "particle_gradients")
NOT_MEASURED = ("block", "seed", "stage", "update", "verdict", "reason", "flags", "diverged_at", "long_run_seconds",
                *LIMITS, *COSTS)

Row = Mapping[str, Any]


def curves(rows: Sequence[Row], primary: str) -> list[tuple[str, float, Row]]:
    """(name, value, row) of the curves of one replicate's training: the objective first."""
    return [(name, row[name], row) for row in rows if row["stage"] == "train"
            for name in (primary, *CURVES) if row.get(name) is not None]


def final_rows(rows: Sequence[Row], block: str) -> dict[int, dict[str, Any]]:
    """Seed to its final row, which also says in which block of seeds it was trained."""
    return {row["seed"]: {**row, "block": block} for row in rows if row["stage"] == "final"}


def aggregates(final: Sequence[Row]) -> dict[str, float]:
    """Counts and costs of all replicates; each measure's mean and 95 % t interval over the surviving ones.

    `final`: rows of `final_rows`. wall_seconds is elapsed time: replicates of one block share it, blocks add up.
    <measure>_n is there where fewer than all survivors have the measure. Of no rows: nothing.
    """
    if not final:
        return {}
    survivors = [row for row in final if row["diverged_at"] is None]
    blocks = {row["block"]: row["wall_seconds"] for row in final}
    found: dict[str, float] = {
        "replicates": len(final), "diverged": len(final) - len(survivors), "wall_seconds": sum(blocks.values()),
        "cpu_seconds": sum(row["cpu_seconds"] for row in final),
        "long_run_seconds": sum(row.get("long_run_seconds") or 0.0 for row in final),
        "particle_gradients": sum(row["particle_gradients"] for row in final)}
    for name in dict.fromkeys(name for row in survivors for name in row):
        if name not in NOT_MEASURED:
            values = [row[name] for row in survivors if row.get(name) is not None]
            found |= {name + suffix: value for suffix, value in mean_interval(values).items()}
            if 0 < len(values) < len(survivors):
                found[f"{name}_n"] = len(values)
    return found


def mean_interval(values: Sequence[float]) -> dict[str, float]:
    """{"": mean, "_low", "_high": 95 % t interval}; no interval for one value, nothing for none."""
    from scipy.special import stdtrit

    n = len(values)
    if n == 0:
        return {}
    mean = float(np.mean(values))
    if n == 1:
        return {"": mean}
    half = float(stdtrit(n - 1, 0.975) * np.std(values, ddof=1) / np.sqrt(n))
    return {"": mean, "_low": mean - half, "_high": mean + half}
