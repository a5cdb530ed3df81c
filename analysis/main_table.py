"""T1: configurations as rows with counts, intervals and the floor: numbers in one frame, and its words for a reader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis import endings
from analysis.frames import rows
from analysis.inference import Interval, bca_interval, iqm, t_interval, wilson
from analysis.load import CELL, Study
from analysis.tables import grid, rates, summaries
from analysis.wording import DASH, bounds, interval, plus_minus, share

FLOOR = "floor: real against real"


def main_frame(study: Study, cells: pd.DataFrame, measures: Sequence[str], bold: Sequence[str] = ()) -> pd.DataFrame:
    """A row a configuration of `cells`, then the floor where the plan has one.

    arm, step_size, mcmc_steps, config_hash, diverged of replicates with Wilson's bounds, reasons (of divergence), poor
    (survivors of poor quality, absent where none was judged), verdict; of each measure the mean over `_n` survivors
    with its t bounds `_low` and `_high`, of the floor its mean and `_sd` over splits of `_n` real samples; bold:
    whether the primary measure is printed so, of the configurations whose hashes `bold` holds. A cell that was not run
    has no numbers.
    """
    frame = summaries(study.finals, list(measures)).set_index(["config_hash", "measure"])
    found: list[dict[str, Any]] = []
    for cell in rows(cells):
        i = wilson(int(cell.diverged), int(cell.replicates))
        row: dict[str, Any] = {
            "arm": cell.arm, "step_size": cell.step_size, "mcmc_steps": cell.mcmc_steps,
            "config_hash": cell.config_hash, "diverged": int(cell.diverged), "replicates": int(cell.replicates),
            "rate_low": i.low, "rate_high": i.high}
        for m in measures:
            known = (cell.config_hash, m) in frame.index
            s = frame.loc[(cell.config_hash, m)] if known else {"mean": np.nan, "low": np.nan, "high": np.nan, "n": 0}
            row |= {m: s["mean"], f"{m}_low": s["low"], f"{m}_high": s["high"], f"{m}_sd": np.nan, f"{m}_n": s["n"]}
        own = study.finals[study.finals["config_hash"] == cell.config_hash]
        found.append({**row, "bold": cell.config_hash in bold, "reasons": endings.reasons(own),
                      "poor": endings.poor(own), "verdict": endings.verdicts(own)})
    if floor := floor_row(study, measures):
        found.append(floor)
    out = pd.DataFrame(found)
    for name in ("mcmc_steps", "diverged", "replicates", "poor", *(f"{m}_n" for m in measures)):
        out[name] = out[name].astype("Int64") if name in out else pd.NA  # whole numbers, absent of the floor
    return out


def floor_row(study: Study, measures: Sequence[str]) -> dict[str, Any]:
    """Real samples against real samples at the same n: what no model can be told apart from. {} without floors."""
    floors = study.plan.get("floors") or {}
    known = {m: f for m in measures if (f := floors.get(m))}
    if not known:
        return {}
    return {"arm": FLOOR, "bold": False, "reasons": "", "verdict": "",
            **{k: v for m, f in known.items() for k, v in ((m, f["mean"]), (f"{m}_sd", f["sd"]), (f"{m}_n", f["n"]))}}


def main_words(frame: pd.DataFrame, measures: Sequence[str]) -> pd.DataFrame:
    """`main_frame` for a reader, row by row: an arm a row, a measure a column; attrs["bold"]: what is printed so."""
    found = []
    for row in frame.to_dict("records"):
        ran = not pd.isna(row["replicates"]) and row["replicates"] > 0
        words = {
            "arm": row["arm"],
            "step size": DASH if pd.isna(row["step_size"]) else f"{row['step_size']:.4g}",
            "MCMC steps": DASH if pd.isna(row["mcmc_steps"]) else f"{row['mcmc_steps']:g}",
            "diverged": f"{endings.gone(row['diverged'], row['replicates'], row['reasons'])} "
                        f"{bounds(wilson(row['diverged'], row['replicates']))}" if ran else DASH}
        measured = {m: _measure(row, m, row["poor"] if m in list(measures)[:1] else pd.NA) for m in measures}
        found.append(words | measured | {"verdict": row["verdict"] or DASH})
    out = pd.DataFrame(found)
    if not frame["verdict"].any():
        out = out.drop(columns="verdict")
    first = list(measures)[:1]
    out.attrs["bold"] = [[i, m] for m in first for i in np.flatnonzero(frame["bold"]).tolist()]
    return out


def _measure(row: Mapping[Any, Any], name: str, poor: Any = pd.NA) -> str:
    """A measure's words; poor: how many of its survivors are of poor quality, said where there is one."""
    if pd.isna(row[name]):
        return DASH
    if row["arm"] == FLOOR:
        return f"{plus_minus(row[name], row[f'{name}_sd'])} (n = {row[f'{name}_n']})"
    i = Interval(row[name], row[f"{name}_low"], row[f"{name}_high"], row[f"{name}_n"])
    return f"{interval(i)} (n = {i.n}{endings.flagged(poor)})"


def every_frame(study: Study, phase: str, measures: Sequence[str], bold: Sequence[str] = ()) -> pd.DataFrame:
    """`main_frame` of every configuration of a phase, with its state; cells that were not run stand there too."""
    if phase == "design":
        cells = grid(study)
    else:
        cells = rates(study.finals[study.finals["phase"] == phase]).assign(state="complete")
    if cells.empty:
        return pd.DataFrame()
    return main_frame(study, cells, measures, bold).iloc[:len(cells)].assign(state=cells["state"].to_numpy())


def every_words(frame: pd.DataFrame, measures: Sequence[str]) -> pd.DataFrame:
    """`every_frame` for a reader; the states where one is not complete."""
    words = main_words(frame, measures)
    return words.assign(state=frame["state"].to_numpy()) if (frame["state"] != "complete").any() else words


def robust(study: Study, cells: pd.DataFrame) -> pd.DataFrame:
    """The primary measure of these configurations' survivors by estimators that fear no outlier, beside the t interval:
    a row a configuration with counts, poor (survivors of poor quality), mean and its t and BCa bounds (BCa from n =
    20), iqm and its bounds (n = 10)."""
    found = []
    for cell in rows(cells):
        own = study.finals[study.finals["config_hash"] == cell.config_hash]
        x = own.loc[~own["diverged"], study.primary].dropna().to_numpy(float)
        t, bca, middle = t_interval(x), bca_interval(x, np.random.default_rng(0)), iqm(x, np.random.default_rng(0))
        found.append({"arm": cell.arm, **{k: getattr(cell, k) for k in CELL}, "diverged": int(own["diverged"].sum()),
                      "replicates": len(own), "n": t.n, "poor": endings.poor(own),
                      "mean": t.estimate, "t_low": t.low, "t_high": t.high, "bca_low": bca.low, "bca_high": bca.high,
                      "iqm": middle.estimate, "iqm_low": middle.low, "iqm_high": middle.high})
    return pd.DataFrame(found)


def robust_words(study: Study, frame: pd.DataFrame) -> pd.DataFrame:
    """`robust` for a reader."""
    def words(row: Any, estimate: str, of: str) -> str:
        return interval(Interval(row[estimate], row[f"{of}_low"], row[f"{of}_high"], row["n"]))

    some = frame.to_dict("records")
    return pd.DataFrame({"arm": frame["arm"], "diverged": [share(r["diverged"], r["replicates"]) for r in some],
                         "n": [f"{r['n']}{endings.flagged(r['poor'])}" for r in some],
                         f"{study.primary}, mean [t]": [words(r, "mean", "t") for r in some],
                         "mean [BCa]": [words(r, "mean", "bca") for r in some],
                         "interquartile mean [BCa]": [words(r, "iqm", "iqm") for r in some]})
