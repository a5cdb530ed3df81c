"""Frames of finished replicates -> tables: counts and intervals a cell, what is missing, limits beside outcomes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import pandas as pd

from analysis import endings
from analysis.frames import rows
from analysis.horizons import observed_limit
from analysis.inference import t_interval, wilson
from analysis.load import CELL, LIMITS, TIMES, VALID, Study
from analysis.wording import DASH, number, share

GROUP = ["phase", "arm", *CELL, "config_hash"]


def rates(finals: pd.DataFrame) -> pd.DataFrame:
    """One row a configuration: replicates, diverged, and Wilson's interval of the divergence rate."""
    found = []
    for key, group in finals.groupby(GROUP, sort=True):
        i = wilson(int(group["diverged"].sum()), len(group))
        found.append(
            {
                **dict(zip(GROUP, key, strict=True)),
                "replicates": len(group),
                "diverged": int(group["diverged"].sum()),
                "rate": i.estimate,
                "rate_low": i.low,
                "rate_high": i.high,
            }
        )
    return pd.DataFrame(found, columns=[*GROUP, "replicates", "diverged", "rate", "rate_low", "rate_high"])


def summaries(finals: pd.DataFrame, measures: list[str]) -> pd.DataFrame:
    """One row a configuration and measure: mean and t interval over the n survivors, beside the count of diverged.

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
    planned = int(study.plan.get("planned", {}).get("design", {}).get("replicates", 0))
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
    order = {arm: i for i, arm in enumerate(study.arms)}
    return out.sort_values(["arm", *CELL], key=lambda c: c.map(order) if c.name == "arm" else c, ignore_index=True)


def common_cell(study: Study) -> tuple[float, int] | None:
    """The one cell where arms are compared: the plan's `common_cell`, chosen before any result. None without cells.

    A plan that declares none (of an earlier version) gets the plan's own rule: of the baseline's planned cells those
    with its largest number of MCMC steps, of their step sizes those that most arms share, and of these the middle one,
    the lower of two. No outcome is looked at.
    """
    declared = study.plan.get("common_cell")
    if declared:
        return float(declared["step_size"]), int(declared["mcmc_steps"])
    base = study.cells[study.cells["base_arm"] == study.plan.get("baseline")]
    base = base if len(base) else study.cells
    if base.empty:
        return None
    steps = base["mcmc_steps"].max()
    row = study.cells[(study.cells["mcmc_steps"] == steps)
                      & study.cells["step_size"].isin(base.loc[base["mcmc_steps"] == steps, "step_size"])]
    arms = row.groupby("step_size")["arm"].nunique()
    sizes = sorted(arms.index[arms == arms.max()])
    return float(sizes[(len(sizes) - 1) // 2]), int(steps)


def best_cells(study: Study) -> pd.DataFrame:
    """For each arm the design cell with the best mean of the primary among those with the fewest diverged."""
    frame = grid(study)
    frame = frame[frame["n"] > 0].sort_values(
        ["rate", "mean", *CELL], ascending=[True, study.lower_is_better, True, True]
    )
    best = frame.drop_duplicates("arm")
    return best.set_index("arm").reindex([a for a in study.arms if a in set(best["arm"])]).reset_index()


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


def limits(study: Study) -> pd.DataFrame:
    """Predicted and observed limits, one row an arm and number of MCMC steps.

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
    called "as predicted".
    """
    found, kappas = [], late_kappa(study)
    for (arm, steps), cells in grid(study).groupby(["arm", "mcmc_steps"], sort=False):
        seen = cells[cells["replicates"] > 0].sort_values("step_size")
        hit, most = seen[seen["diverged"] > 0], seen[seen["rate"] > 0.5]
        quiet = seen[seen["step_size"] < (hit["step_size"].min() if len(hit) else math.inf)]
        knobs = study.cells.loc[study.cells["config_hash"] == cells["config_hash"].iloc[0], "knobs"].iloc[0]
        half = observed_limit(seen["step_size"].tolist(), seen["diverged"].tolist(), seen["replicates"].tolist()) if (
            len(seen) > 1) else {}
        row = {
            "arm": arm,
            "mcmc_steps": steps,
            **_predicted(study.plan, cells["base_arm"].iloc[0], knobs),
            "half": half.get("limit", math.nan),
            "half_low": half.get("low", math.nan),
            "half_high": half.get("high", math.nan),
            "stable_to": quiet["step_size"].max(),
            "stable_n": int(quiet["replicates"].sum()),
            **_first(hit, "diverges"),
            "diverges_why": endings.reasons(study.finals[study.finals["config_hash"].isin(hit["config_hash"].head(1))]),
            **_first(most, "mostly"),
            "strained_from": _strained_from(kappas[(kappas["arm"] == arm) & (kappas["mcmc_steps"] == steps)]),
            "horizon": knobs.get("updates"),
            "smallest": seen["step_size"].min(),
            "largest": seen["step_size"].max(),
            **_poor(study, seen),
            "levels": len(seen),
        }
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
    count = endings.poor(study.finals[study.finals["config_hash"] == last["config_hash"]])
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


def _predicted(plan: dict[str, Any], arm: str, knobs: dict[str, Any]) -> dict[str, float]:
    """The plan's limits of an arm whose stated knobs all agree with `knobs`. null: no finite limit; absent: unknown."""
    for entry in plan.get("arms", {}).get(arm, {}).get("limits") or []:
        if all(knobs.get(k, v) == v for k, v in entry.get("knobs", {}).items()):
            given = {k: math.inf if entry[k] is None else float(entry[k]) for k in LIMITS if k in entry}
            return {k: given.get(k, math.nan) for k in LIMITS}
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


def limit_words(frame: pd.DataFrame) -> pd.DataFrame:
    """`limits` for a reader."""
    found = []
    for row in frame.to_dict("records"):
        none = DASH if math.isnan(row["stable_to"]) else (
            f"{row['stable_to']:g} ({share(0, row['stable_n'])}{poor_at(row, 'stable_to')})")
        found.append({
            "arm": row["arm"], "MCMC steps": f"{row['mcmc_steps']:g}",
            "limit, smallest": _bounded(row, "delta_min"), "limit, median": _bounded(row, "delta_med"),
            "half diverged from": _observed(row), "none up to": none,
            **{words: DASH if math.isnan(row[f"{name}_from"]) else
               f"{row[f'{name}_from']:g} ({share(row[f'{name}_k'], row[f'{name}_n'])}"
               f"{', ' + row['diverges_why'] if name == 'diverges' and row['diverges_why'] else ''}"
               f"{poor_at(row, f'{name}_from')})"
               for words, name in (("first at", "diverges"), ("most from", "mostly"))},
            "outcome": row["outcome"]})
    return pd.DataFrame(found)


def poor_at(row: Mapping[Any, Any], level: str) -> str:
    """`; 4 of 7 survivors of poor quality`, where `level` (a column of `limits`) is the last at which any survived."""
    if math.isnan(row["poor"]) or not row["poor"] or row[level] != row["poor_at"]:
        return ""
    return f"; {endings.poor_words(int(row['poor']), int(row['poor_n']))}"


def _bounded(row: Mapping[Any, Any], name: str) -> str:
    """A predicted limit with the bounds that the plan gives it."""
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    known = math.isfinite(row[name]) and not (math.isnan(low) or math.isnan(high))
    return number(row[name], 2) + (f" [{number(low, 2)}, {number(high, 2)}]" if known else "")


def _observed(row: Mapping[Any, Any]) -> str:
    """The observed boundary: `0.14 [0.05, 0.4]`, `> 0.4` where no step size reached one half."""
    if math.isnan(row["half"]):
        return DASH
    low = f"{row['half_low']:g}" if row["half_low"] > 0 else f"< {row['smallest']:g}"
    high = f"{row['half_high']:g}" if math.isfinite(row["half_high"]) else f"> {row['largest']:g}"
    return (number(row["half"], 2) if math.isfinite(row["half"]) else f"> {row['largest']:g}") + f" [{low}, {high}]"
