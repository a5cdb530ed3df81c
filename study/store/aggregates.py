"""What MLflow shows of a unit's records: curves of a replicate, and means with intervals over replicates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from study.schema.columns import BLOCK, COSTS, DIVERGED_AT, FINAL, KAPPA, NOT_MEASURED, SEED, SPENT, STAGE, TRAIN, WALL

CURVES = ("gap", "sd_f", "grad_norm_f", KAPPA, "acceptance")  # beside the objective; a few, each costs 2 ms
COUNTS = ("diverged", "replicates")  # of a trial

Row = Mapping[str, Any]


def curves(rows: Sequence[Row], primary: str) -> list[tuple[str, float, Row]]:
    """(name, value, row) of the curves of one replicate's training: the objective first."""
    return [(name, row[name], row) for row in rows if row[STAGE] == TRAIN
            for name in (primary, *CURVES) if row.get(name) is not None]


def final_rows(rows: Sequence[Row], block: str) -> dict[int, dict[str, Any]]:
    """Seed to its final row, which also says in which block of seeds it was trained."""
    return {row[SEED]: {**row, BLOCK: block} for row in rows if row[STAGE] == FINAL}


def aggregates(final: Sequence[Row]) -> dict[str, float]:
    """Counts, and what was spent on all replicates; each measure's mean and 95 % t interval over the surviving ones.

    `final`: rows of `final_rows`. A cost has the meaning that it has in a record, one replicate's: its mean stands
    without an interval, and `spent_<cost>` is the sum over all replicates. Replicates of one block share wall_seconds,
    which is elapsed time, so the sum has each block once. <measure>_n is there where fewer than all survivors have the
    measure. Of no rows: nothing.
    """
    if not final:
        return {}
    survivors = [row for row in final if row[DIVERGED_AT] is None]
    found: dict[str, float] = dict(zip(COUNTS, (len(final) - len(survivors), len(final)), strict=True))
    for name in COSTS:
        of = {row[BLOCK]: row for row in final}.values() if name == WALL else final
        found[SPENT + name] = sum(row.get(name) or 0.0 for row in of)
    for name in dict.fromkeys(name for row in survivors for name in row):
        if name not in NOT_MEASURED:
            values = [row[name] for row in survivors if row.get(name) is not None]
            shown = mean_interval(values)
            found |= {name + suffix: value for suffix, value in shown.items() if not suffix or name not in COSTS}
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
