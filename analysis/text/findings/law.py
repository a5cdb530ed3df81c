"""The predicted step-size limit beside the observed one."""

from __future__ import annotations

import math

import pandas as pd

from analysis.read.study import Study
from analysis.stats.limits import limits
from analysis.text.findings.finding import Finding, span
from analysis.text.formatting import share
from analysis.text.outcomes import poor_at

HIT = ("as predicted", "stable beyond")  # of one step size: these say nothing of where the limit is


def law(study: Study) -> list[Finding]:
    """For each arm the limits at its largest number of MCMC steps; of an arm with one step size, which brackets no
    limit, only what was missed."""
    frame = limits(study)
    out = []
    for arm in study.arms if len(frame) else []:
        found = frame[(frame["arm"] == arm) & (frame["stable_to"].notna() | frame["diverges_from"].notna())]
        if found.empty:
            continue
        row = found.sort_values("mcmc_steps").iloc[-1]
        if row["outcome"] == "no prediction" or (
                row["smallest"] == row["largest"] and row["outcome"].startswith(HIT)):
            continue
        seen = {"stable_to": f"none diverged up to {row['stable_to']:g}{_poor(row, 'stable_to')}",
                "diverges_from": f"first at {row['diverges_from']:g}{_poor(row, 'diverges_from')}"}
        said = [words for level, words in seen.items() if not math.isnan(row[level])]
        # Divergence near a limit takes hundreds to thousands of updates: without the horizon, "stable" says little.
        horizon = "" if pd.isna(row["horizon"]) else f"within {row['horizon']:g} updates "
        out.append(Finding("law", f"{row['arm']}, {row['mcmc_steps']:g} MCMC steps: {span(row)}; "
                                  f"{horizon}{', '.join(said)}. {_verdict(row)}", "limits"))
    return out


def _poor(row: pd.Series, level: str) -> str:
    """A survivor whose samples are bad is no success: ` (7/7 poor)`."""
    return f" ({share(int(row['poor']), int(row['poor_n']))} poor)" if poor_at(row.to_dict(), level) else ""


def _verdict(row: pd.Series) -> str:
    """The outcome, without what the sentence has said; an agreement with the number of outcomes that would agree."""
    text = str(row["outcome"]).partition(" (")[0].replace("none diverged, but ", "").removesuffix(": none diverged")
    if text.startswith("as predicted"):
        return f"As predicted (as {share(row['agreeing'], row['levels'] + 1)} outcomes would)."
    return text[0].upper() + text[1:] + "."
