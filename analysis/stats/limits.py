"""Where training breaks: the law's limits beside what happened, one row per arm and number of MCMC steps."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import pandas as pd

from analysis.read.study import CELL, Study
from analysis.stats.cells import grid
from analysis.stats.horizons import observed_limit
from analysis.stats.outcomes import poor, reasons
from study.schema.columns import LIMITS


def late_kappa(study: Study) -> pd.DataFrame:
    """The gauge of each design replicate: the median of its last quarter. Empty where it was not recorded."""
    frame = study.curves[study.curves["phase"] == "design"]
    if "kappa" not in frame or frame["kappa"].isna().all():
        return pd.DataFrame(columns=["arm", *CELL, "config_hash", "seed", "kappa", "diverged"])
    known = frame.dropna(subset=["kappa"])
    last = known.groupby(["config_hash", "seed"])["update"].transform("max")
    late = known[known["update"] >= 0.75 * last].groupby(["arm", *CELL, "config_hash", "seed"])["kappa"].median()
    return late.reset_index().merge(study.finals[["config_hash", "seed", "diverged"]], on=["config_hash", "seed"])


def _strained_from(kappas: pd.DataFrame) -> float:
    """The smallest step size at which more than half of the survivors ended with kappa > 2; NaN where there is none."""
    over = (kappas["kappa"] > 2)[~kappas["diverged"].astype(bool)].groupby(kappas["step_size"]).mean()
    return float(over[over > 0.5].index.min()) if (over > 0.5).any() else math.nan


@lru_cache(4)
def limits(study: Study) -> pd.DataFrame:
    """Predicted and observed limits, one row per arm and number of MCMC steps.

    delta_min, delta_med (with bounds): the law's limits, inf where it predicts none, NaN where it says nothing.
    half, half_low, half_high: `observed_limit`, where half of the replicates diverge, NaN where one step size ran.
    stable_to: the largest step size up to which no replicate diverged; diverges_from: the smallest at which one did,
    for the reasons diverges_why; mostly_from: the smallest at which more than half did (_k of _n replicates diverged
    there; for stable_to _n is over all step sizes up to it); strained_from: the smallest at which most survivors ended
    with kappa > 2, where the sampler is unstable and only time is missing. NaN where there is none. horizon: updates.
    poor: survivors of poor quality at the largest step size that any survived, `poor_at`, of `poor_n` survivors; NaN
    where none was judged.
    levels: how many step sizes ran; inside: how many of them lie within delta_min and delta_med; agreeing: of the
    levels + 1 outcomes that the grid can have (the first divergence at each level, or none), how many would have been
    called "as predicted". Computed once per study: callers read it, none writes to it. Empty without planned cells.
    """
    if study.cells.empty:
        return pd.DataFrame()
    found, kappas = [], late_kappa(study)
    for (arm, steps), cells in grid(study).groupby(["arm", "mcmc_steps"], sort=False):
        seen = cells[cells["replicates"] > 0].sort_values("step_size")
        hit, most = seen[seen["diverged"] > 0], seen[seen["rate"] > 0.5]
        quiet = seen[seen["step_size"] < (hit["step_size"].min() if len(hit) else math.inf)]
        knobs = study.cells.loc[study.cells["config_hash"] == cells["config_hash"].iloc[0], "knobs"].iloc[0]
        half = dict.fromkeys(("limit", "low", "high"), math.nan) if len(seen) < 2 else observed_limit(
            seen["step_size"].tolist(), seen["diverged"].tolist(), seen["replicates"].tolist())
        row = {
            "arm": arm, "mcmc_steps": steps, **_predicted(study, cells["base_arm"].iloc[0], knobs),
            "half": half["limit"], "half_low": half["low"], "half_high": half["high"],
            "stable_to": quiet["step_size"].max(), "stable_n": int(quiet["replicates"].sum()),
            **_first(hit, "diverges"),
            "diverges_why": reasons(study.finals[study.finals["config_hash"].isin(hit["config_hash"].head(1))]),
            **_first(most, "mostly"),
            "strained_from": _strained_from(kappas[(kappas["arm"] == arm) & (kappas["mcmc_steps"] == steps)]),
            "horizon": knobs.get("updates"), "smallest": seen["step_size"].min(), "largest": seen["step_size"].max(),
            **_poor(study, seen), "levels": len(seen)}
        row |= {"inside": int(seen["step_size"].between(row["delta_min"], row["delta_med"]).sum()),
                "agreeing": _agreeing(seen["step_size"].tolist(), row["delta_min"], row["delta_med"])}
        found.append({**row, "outcome": _outcome(row) + _strength(row)})
    return pd.DataFrame(found)


def _poor(study: Study, seen: pd.DataFrame) -> dict[str, float]:
    """Survivors of poor quality at the largest step size at which a replicate survived. seen: cells that ran."""
    none = {"poor": math.nan, "poor_at": math.nan, "poor_n": 0}
    alive = seen[seen["diverged"] < seen["replicates"]]
    if alive.empty:
        return none
    last = alive.iloc[-1]
    count = poor(study.replicates_of(last["config_hash"]))
    return none if count is None else {"poor": count, "poor_at": float(last["step_size"]),
                                       "poor_n": int(last["replicates"] - last["diverged"])}


def _agreeing(levels: list[float], low: float, high: float) -> int:
    """How many of the outcomes of these step sizes (increasing) agree with a limit between low and high: the first
    divergence lies above low, and the level before it (where there is one) not above high."""
    firsts = [*levels, math.inf]  # inf: none diverged
    return sum(first > low or math.isinf(first) for k, first in enumerate(firsts) if not k or levels[k - 1] <= high)


def _strength(row: dict[str, Any]) -> str:
    """How much an "as predicted" says: on a coarse grid a wide band agrees with nearly everything."""
    if not _outcome(row).startswith("as predicted"):
        return ""
    band = "" if math.isinf(row["delta_med"]) else f"the band holds {row['inside']} of the {row['levels']} levels run, "
    return f" ({band}{row['agreeing']} of {row['levels'] + 1} possible outcomes would have agreed)"


def _first(cells: pd.DataFrame, name: str) -> dict[str, float]:
    """The smallest step size of these cells, and how many of its replicates diverged."""
    step, k, n = cells[["step_size", "diverged", "replicates"]].iloc[0] if len(cells) else (math.nan, 0, 0)
    return {f"{name}_from": float(step), f"{name}_k": int(k), f"{name}_n": int(n)}


def _predicted(study: Study, arm: str, knobs: dict[str, Any]) -> dict[str, float]:
    """The plan's limits of an arm whose stated knobs all agree with `knobs`: inf where there is no finite one, NaN
    where the law is silent or a bound is not known."""
    planned = study.plan.arms.get(arm)
    for limit in planned.limits if planned else []:
        if all(knobs.get(k, v) == v for k, v in limit.knobs.items()):
            found = {k: getattr(limit, k) for k in LIMITS}
            return {k: math.inf if v is None else float(v) for k, v in found.items()}
    return dict.fromkeys(LIMITS, math.nan)


def _outcome(row: dict[str, Any]) -> str:
    """The prediction beside what happened. The limit lies between delta_min and delta_med, or beyond the grid."""
    low, high, first, quiet = row["delta_min"], row["delta_med"], row["diverges_from"], row["stable_to"]
    if math.isnan(low) or math.isnan(high):
        return "no prediction"
    if math.isnan(first):
        if math.isnan(quiet):
            return "not run"
        if not math.isnan(row["strained_from"]):
            return f"undecided: none diverged, but \u03ba > 2 from {row['strained_from']:g}"
        return "as predicted: none diverged" if quiet <= high else "stable beyond the predicted limit"
    if math.isinf(low):
        return "diverged though no limit was predicted"
    if first <= low:
        return "diverged below the predicted limit"
    return "as predicted" if math.isnan(quiet) or quiet <= high else "stable beyond the predicted limit"
