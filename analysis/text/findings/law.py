"""The predicted step-size limit beside the observed one."""

from __future__ import annotations

import math

import pandas as pd

from analysis.read.study import Study
from analysis.stats.limits import limits
from analysis.text.findings.finding import Finding, span
from analysis.text.formatting import listed, number
from analysis.text.outcomes import poor_at

HIT = ("as predicted", "stable beyond")  # of one step size: these say nothing of where the limit is
WIDE = 3  # a predicted band wider than this factor is said to be so


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
        why = f" ({row['diverges_why']})" if row["diverges_why"] else ""
        seen = {"stable_to": f"none diverged up to {row['stable_to']:g}{_poor(row, 'stable_to')}",
                "diverges_from": f"the first diverged at {row['diverges_from']:g}{why}{_poor(row, 'diverges_from')}",
                "mostly_from": f"most at {row['mostly_from']:g}"}
        said = [words for level, words in seen.items() if not math.isnan(row[level])]
        # Divergence near a limit takes hundreds to thousands of updates: without the horizon, "stable" says little.
        horizon = "" if pd.isna(row["horizon"]) else f" within {row['horizon']:g} updates"
        out.append(Finding("law", f"Step-size limit of {arm} at {row['mcmc_steps']:g} MCMC steps: predicted {span(row)}"
                                  f"; observed{horizon}: {listed(said)}. {_verdict(row)}"))
    return out


def _poor(row: pd.Series, level: str) -> str:
    """A survivor whose samples are bad is no success: ` (there 7 of 7 survivors of poor quality)`."""
    words = poor_at(row.to_dict(), level).removeprefix("; ")
    return f" (there {words})" if words else ""


def _verdict(row: pd.Series) -> str:
    text = str(row["outcome"])
    band = row["delta_med"] / row["delta_min"] if math.isfinite(row["delta_med"]) else 1.0
    loose = f"; the band is a factor {number(band, 2)} wide" if band > WIDE and "as pred" in text else ""
    return text[0].upper() + text[1:] + loose + "."
