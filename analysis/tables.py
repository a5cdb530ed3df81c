"""Frames of finished replicates -> tables: counts and intervals a cell, what is missing, limits beside outcomes."""

from __future__ import annotations

import math
from collections import Counter
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from analysis.frames import rows
from analysis.inference import Interval, bca_interval, iqm, t_interval, wilson
from analysis.load import CELL, VALID, Study
from analysis.wording import DASH, bounds, interval, number, share

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

    Diverged replicates enter no mean; a configuration without survivors has n = 0 and no mean.
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
    out = [{**row, "measure": measure, "mean": i.estimate, "low": i.low, "high": i.high, "n": i.n}
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
    """The one cell where arms are compared, chosen without a look at quality.

    The plan's `common_cell` if it declares one. Otherwise, of the baseline's cells that most arms ran: the cell with
    the fewest diverged replicates in its worst arm, then the largest step, then the most MCMC steps.
    """
    declared = study.plan.get("common_cell")
    if declared:
        return float(declared["step_size"]), int(declared["mcmc_steps"])
    frame = grid(study)
    frame = frame[frame["replicates"] > 0]
    if frame.empty:
        return None
    base = frame[frame["base_arm"] == study.plan.get("baseline")]
    if len(base):
        frame = frame[frame.set_index(CELL).index.isin(base.set_index(CELL).index)]
    ranked = frame.groupby(CELL).agg(arms=("arm", "nunique"), worst=("rate", "max")).reset_index()
    best = ranked.sort_values(["arms", "worst", *CELL], ascending=[False, True, False, False]).iloc[0]
    return float(best["step_size"]), int(best["mcmc_steps"])


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
    stable_to: the largest step size up to which no replicate diverged; diverges_from: the smallest at which one did;
    mostly_from: the smallest at which more than half did; strained_from: the smallest at which most survivors ended
    with kappa > 2, where the sampler is unstable and only time is missing. NaN where there is none. horizon: updates.
    """
    found, kappas = [], late_kappa(study)
    for (arm, steps), cells in grid(study).groupby(["arm", "mcmc_steps"], sort=False):
        seen = cells[cells["replicates"] > 0].sort_values("step_size")
        hit, most = seen[seen["diverged"] > 0]["step_size"], seen[seen["rate"] > 0.5]["step_size"]
        quiet = seen[seen["step_size"] < (hit.min() if len(hit) else math.inf)]["step_size"]
        knobs = study.cells.loc[study.cells["config_hash"] == cells["config_hash"].iloc[0], "knobs"].iloc[0]
        row = {
            "arm": arm,
            "mcmc_steps": steps,
            **_predicted(study.plan, cells["base_arm"].iloc[0], knobs),
            "stable_to": quiet.max(),
            "diverges_from": hit.min(),
            "mostly_from": most.min(),
            "strained_from": _strained_from(kappas[(kappas["arm"] == arm) & (kappas["mcmc_steps"] == steps)]),
            "horizon": knobs.get("updates"),
        }
        found.append(
            {**row, "outcome": _outcome(row), "smallest": seen["step_size"].min(), "largest": seen["step_size"].max()}
        )
    return pd.DataFrame(found)


_LIMITS = ["delta_min", "delta_min_low", "delta_min_high", "delta_med", "delta_med_low", "delta_med_high"]


def _predicted(plan: dict[str, Any], arm: str, knobs: dict[str, Any]) -> dict[str, float]:
    """The plan's limits of an arm whose stated knobs all agree with `knobs`. null: no finite limit; absent: unknown."""
    for entry in plan.get("arms", {}).get(arm, {}).get("limits") or []:
        if all(knobs.get(k, v) == v for k, v in entry.items() if k not in _LIMITS):
            given = {k: math.inf if entry[k] is None else float(entry[k]) for k in _LIMITS if k in entry}
            return {k: given.get(k, math.nan) for k in _LIMITS}
    return dict.fromkeys(_LIMITS, math.nan)


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
    columns = {
        "arm": frame["arm"],
        "MCMC steps": frame["mcmc_steps"],
        "limit, smallest": frame["delta_min"].map(lambda v: number(v, 2)),
        "limit, median": frame["delta_med"].map(lambda v: number(v, 2)),
    }
    for name, column in (("none up to", "stable_to"), ("first at", "diverges_from"), ("most from", "mostly_from")):
        columns[name] = frame[column].map(lambda v: DASH if math.isnan(v) else f"{v:g}")
    return pd.DataFrame({**columns, "outcome": frame["outcome"]})


def main_table(study: Study, cells: pd.DataFrame, measures: list[str]) -> pd.DataFrame:
    """Words for a reader: an arm a row, a measure a column; `cells` says which configuration stands for the arm."""
    frame = summaries(study.finals, measures).set_index(["config_hash", "measure"])
    found = []
    for cell in rows(cells):
        row = {
            "arm": cell.arm,
            "step size": f"{cell.step_size:g}",
            "MCMC steps": f"{cell.mcmc_steps:g}",
            "diverged": f"{share(cell.diverged, cell.replicates)} {bounds(wilson(cell.diverged, cell.replicates))}",
        }
        for measure in measures:
            s = frame.loc[(cell.config_hash, measure)]
            row[measure] = (
                f"{interval(Interval(s['mean'], s['low'], s['high'], s['n']))} (n = {s['n']})" if s["n"] else DASH
            )
        if words := verdicts(study.finals[study.finals["config_hash"] == cell.config_hash]):
            row["verdict"] = words  # last: it is long, and the numbers should be seen without scrolling
        found.append(row)
    floor = floor_row(study, measures)
    return pd.DataFrame([*found, floor] if floor else found).fillna(DASH)


def robust(study: Study, cells: pd.DataFrame) -> pd.DataFrame:
    """The primary measure of these configurations' survivors by estimators that fear no outlier, beside the t interval:
    a row a configuration with mean and its t and BCa bounds (BCa from n = 20), iqm and its bounds (from n = 10)."""
    found = []
    for cell in rows(cells):
        own = study.finals[(study.finals["config_hash"] == cell.config_hash) & ~study.finals["diverged"]]
        x = own[study.primary].dropna().to_numpy(float)
        t, bca, middle = t_interval(x), bca_interval(x, np.random.default_rng(0)), iqm(x, np.random.default_rng(0))
        found.append({"arm": cell.arm, "step_size": cell.step_size, "mcmc_steps": cell.mcmc_steps, "n": t.n,
                      "mean": t.estimate, "t_low": t.low, "t_high": t.high, "bca_low": bca.low, "bca_high": bca.high,
                      "iqm": middle.estimate, "iqm_low": middle.low, "iqm_high": middle.high})
    return pd.DataFrame(found)


def robust_words(study: Study, frame: pd.DataFrame) -> pd.DataFrame:
    """`robust` for a reader."""
    def words(row: Any, estimate: str, of: str) -> str:
        return interval(Interval(row[estimate], row[f"{of}_low"], row[f"{of}_high"], row["n"]))

    some = frame.to_dict("records")
    return pd.DataFrame({"arm": frame["arm"], "n": frame["n"].map(str),
                         f"{study.primary}, mean [t]": [words(r, "mean", "t") for r in some],
                         "mean [BCa]": [words(r, "mean", "bca") for r in some],
                         "interquartile mean [BCa]": [words(r, "iqm", "iqm") for r in some]})


def verdicts(finals: pd.DataFrame) -> str:
    """How replicates ended, the most frequent first, and how many raised which flag: `5 stable, 2 oscillating; poor
    quality (3)`. Empty for records that hold no verdict but divergence.
    """
    judged = finals["verdict"][~finals["verdict"].isin(["survived", "diverged"])]
    if judged.empty:
        return ""
    ended = ", ".join(f"{count} {name}" for name, count in judged.value_counts().items())
    flags = finals["flags"].dropna() if "flags" in finals else pd.Series(dtype=str)
    raised = Counter(name for words in flags for name in words.split(", "))
    return "; ".join([ended, *(f"{name} ({count})" for name, count in sorted(raised.items()))])


def floor_row(study: Study, measures: list[str]) -> dict[str, str]:
    """Real samples against real samples at the same n: what no model can be told apart from. {} without floors."""
    floors = study.plan.get("floors") or {}
    known = {m: floors.get(m) or (floors.get(m.removesuffix("_long"))) for m in measures}
    if not any(known.values()):
        return {}
    words = {
        m: f"{number(f['mean'], 2)} \N{PLUS-MINUS SIGN} {number(f['sd'], 2)} (n = {f['n']})" if f else DASH
        for m, f in known.items()
    }
    return {"arm": "floor: real against real", "step size": DASH, "MCMC steps": DASH, "diverged": DASH, **words}


def every_cell(study: Study, phase: str, measures: list[str]) -> pd.DataFrame:
    """Words for a reader: every configuration of a phase with its state; cells that were not run stand there too."""
    if phase == "design":
        cells = grid(study)
    else:
        cells = rates(study.finals[study.finals["phase"] == phase]).assign(state="complete")
    if cells.empty:
        return pd.DataFrame()
    ran = cells[cells["replicates"] > 0]
    table = main_table(study, ran, measures) if len(ran) else pd.DataFrame()
    if len(table):
        table = table.iloc[: len(ran)].set_index(ran.index)
    words = cells[["arm"]].assign(
        **{
            "step size": cells["step_size"].map(lambda d: f"{d:g}"),
            "MCMC steps": cells["mcmc_steps"].map(lambda t: f"{t:g}"),
        }
    )
    words = words.join(table.drop(columns=["arm", "step size", "MCMC steps"], errors="ignore")).fillna(DASH)
    return words.assign(state=cells["state"]) if (cells["state"] != "complete").any() else words
