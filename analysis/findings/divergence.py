"""Where the arms' divergence differs from the baseline's."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from analysis.comparisons import compared_cells
from analysis.findings.finding import Finding, at, span
from analysis.inference import wilson
from analysis.load import CELL, Study
from analysis.tables import grid, limits
from analysis.wording import bounds, listed, share


def divergence(study: Study) -> list[Finding]:
    """For each arm the cell where its count differs most from the baseline's; arms with one cell share a sentence."""
    cells = grid(study)
    cells = cells[cells["replicates"] > 0]
    law = limits(study) if len(cells) else pd.DataFrame()
    found: dict[tuple[Any, ...], dict[tuple[int, int], list[pd.Series]]] = {}
    equal: dict[tuple[str, int], list[str]] = {}
    alone: list[str] = []
    for arm in study.arms:
        own, base = cells[cells["arm"] == arm], study.baseline_of(arm)
        both = own.merge(cells[cells["arm"] == base], on=CELL, suffixes=("", "_base"))
        if base is None or own.empty:
            continue
        if both.empty:
            alone.append(arm)
            continue
        gap = (both["rate"] - both["rate_base"]).abs()
        if gap.max() == 0:
            equal.setdefault((base, len(both)), []).append(arm)
            continue
        cell = both.assign(gap=gap).sort_values(["gap", *CELL], ascending=[False, True, False]).iloc[0]
        alike = found.setdefault((base, cell["step_size"], cell["mcmc_steps"]), {})
        alike.setdefault((int(cell["diverged"]), int(cell["replicates"])), []).append(cell)
    out = [Finding("divergence", _sentence(key[0], groups, law)) for key, groups in found.items()]
    for (base, n), arms in equal.items():
        where = "the one cell" if n == 1 else f"all {n} cells"
        same = f"{listed([*arms, base], 12)} diverged equally often in {where} that they share."
        out.append(Finding("divergence", same))
    return [*out, *_apart(study, alone)]


def _apart(study: Study, arms: list[str]) -> list[Finding]:
    """Arms that share no cell with the baseline, each at its declared cell."""
    groups: dict[tuple[int, int], list[str]] = {}
    for row in compared_cells(study).to_dict("records"):
        if row["arm"] in arms:
            where = f"{row['arm']} (at {row['step_size']:.4g}, {row['mcmc_steps']:g} steps)"
            groups.setdefault((row["diverged"], row["replicates"]), []).append(where)
    parts = [f"{listed(some, 12)} diverged on {share(k, n)}{' each' if len(some) > 1 else ''} {bounds(wilson(k, n))}"
             for (k, n), some in sorted(groups.items(), key=lambda item: -item[0][0] / item[0][1])]
    return [Finding("divergence", f"Of arms with cells of their own, {'; '.join(parts)}.")] if parts else []


def _sentence(base: str, groups: dict[Any, list[pd.Series]], law: pd.DataFrame) -> str:
    cell = next(iter(groups.values()))[0]
    a = wilson(int(cell["diverged_base"]), int(cell["replicates_base"]))
    gone = share(cell["diverged_base"], cell["replicates_base"])
    text = f"At {at(cell)}, {base} diverged on {gone} seeds {bounds(a)}"
    for (k, n), same in groups.items():
        b = wilson(k, n)
        apart = "intervals apart" if a.high < b.low or b.high < a.low else "intervals overlap"
        each = " each" if len(same) > 1 else ""
        text += f", {listed([c['arm'] for c in same])} on {share(k, n)}{each} {bounds(b)} ({apart})"
    row = law[(law["arm"] == base) & (law["mcmc_steps"] == cell["mcmc_steps"])].iloc[0]
    known = "" if math.isnan(row["delta_min"]) else f" Predicted limit for {base}: {span(row)}."
    return f"{text}.{known}"
