"""Frames of finished replicates -> one row per configuration: counts, intervals, what is missing, which stand out."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import pandas as pd

from analysis.read.study import CELL, TIMES, Study, rows
from analysis.read.trials import VALID
from analysis.stats.inference import t_interval, wilson

GROUP = ["phase", "arm", *CELL, "config_hash"]


def rates(finals: pd.DataFrame) -> pd.DataFrame:
    """One row per configuration: replicates, diverged, and Wilson's interval of the divergence rate."""
    counts = finals.groupby(GROUP)["diverged"].agg(replicates="size", diverged="sum").astype(int).reset_index()
    found = [wilson(int(k), int(n)) for k, n in zip(counts["diverged"], counts["replicates"], strict=True)]
    return counts.assign(rate=[i.estimate for i in found], rate_low=[i.low for i in found],
                         rate_high=[i.high for i in found])


def summaries(finals: pd.DataFrame, measures: list[str]) -> pd.DataFrame:
    """One row per configuration and measure: mean and t interval over the n survivors, beside the count of diverged.

    Diverged replicates enter no mean; a configuration without survivors has n = 0 and no mean. Times have no interval:
    replicates of a block are trained at once and share its clock.
    """
    counts = rates(finals)
    alive = finals[~finals["diverged"].astype(bool)]
    tall = alive.melt("config_hash", measures, "measure").dropna() if measures else pd.DataFrame()
    if counts.empty or tall.empty:
        found = {}
    else:
        found = {key: t_interval(part.to_numpy(float)) for key, part in
                 tall.groupby(["config_hash", "measure"])["value"]}
    none = t_interval([])
    out = [{**row, "measure": measure, "mean": i.estimate, "low": math.nan if measure in TIMES else i.low,
            "high": math.nan if measure in TIMES else i.high, "n": i.n}
           for row in counts.to_dict("records") for measure in measures
           for i in [found.get((row["config_hash"], measure), none)]]
    return pd.DataFrame(out, columns=[*counts.columns, "measure", "mean", "low", "high", "n"])


@lru_cache(4)
def grid(study: Study) -> pd.DataFrame:
    """Every planned design cell with the primary measure, its counts and its state: complete, or what is missing.

    Computed once a study: callers read it, none writes to it.
    """
    frame = summaries(study.finals[study.finals["phase"] == "design"], [study.primary])
    columns = ["config_hash", "replicates", "diverged", "rate", "rate_low", "rate_high", "mean", "low", "high", "n"]
    out = study.cells[["arm", "base_arm", *CELL, "config_hash"]].merge(frame[columns], "left", "config_hash")
    out[["replicates", "diverged", "n"]] = out[["replicates", "diverged", "n"]].fillna(0).astype(int)
    planned = study.plan.replicates("design")
    status = dict(zip(study.trials["config_hash"], study.trials["status"], strict=True))
    done = dict(zip(study.trials["config_hash"], study.trials["complete"], strict=True))

    def state(cell: Any) -> str:
        if cell.replicates >= max(planned, 1):
            return "complete"
        if cell.replicates:
            return f"{cell.replicates} of {planned} replicates"
        if cell.config_hash not in status:
            return "not run"
        if status[cell.config_hash] in VALID:
            return "no records" if done[cell.config_hash] else "unfinished"
        return status[cell.config_hash] or "unfinished"

    out["state"] = [state(cell) for cell in rows(out)]
    return in_plan_order(study, out)


def in_plan_order(study: Study, cells: pd.DataFrame) -> pd.DataFrame:
    """The cells of the study's arms, by arm as the plan has these, then by step size and MCMC steps."""
    order = {arm: i for i, arm in enumerate(study.arms)}
    return cells[cells["arm"].isin(study.arms)].sort_values(
        ["arm", *CELL], key=lambda c: c.map(order) if c.name == "arm" else c, ignore_index=True)


def ran(study: Study) -> pd.DataFrame:
    """The rows of `grid` with a finished replicate."""
    frame = grid(study)
    return frame[frame["replicates"] > 0]


def common_cell(study: Study) -> tuple[float, int] | None:
    """The one cell where arms are compared, which the plan chose before any result. None without one."""
    cell = study.plan.common_cell
    return None if cell is None else (cell.step_size, cell.mcmc_steps)


def best_cells(study: Study, phase: str = "design") -> pd.DataFrame:
    """For each arm the design cell, or the confirmed configuration, with the best mean of the primary among those with
    the fewest diverged."""
    frame = grid(study) if phase == "design" else summaries(study.finals[study.finals["phase"] == phase],
                                                            [study.primary])
    best_first = frame[frame["n"] > 0].sort_values(["rate", "mean", *CELL],
                                                   ascending=[True, study.lower_is_better, True, True])
    return in_plan_order(study, best_first.drop_duplicates("arm"))
