"""One sentence of the report, and words that several of them share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.text.formatting import DASH, listed, number


@dataclass(frozen=True)
class Finding:
    """One sentence, what it is about (progress, divergence, verdict, quality, law, best cell, confirm or search), and
    the table that has its intervals and tests."""

    about: str
    text: str
    table: str = ""


def named(arms: Sequence[str]) -> str:
    """All of them: an arm that is left out of a sentence would be left out of the claim."""
    return listed(arms, None)


def at(cell: pd.Series) -> str:
    """`step size 0.2 with 20 MCMC steps`."""
    return f"step size {cell['step_size']:.4g} with {cell['mcmc_steps']:g} MCMC steps"


def span(row: pd.Series) -> str:
    """The law's limit from its smallest to its median direction; one number where two digits cannot tell them apart."""
    if math.isinf(row["delta_min"]):
        return "no predicted limit"
    low, high = number(row["delta_min"], 2), number(row["delta_med"], 2)
    return f"predicted limit {low}" + (f"{DASH}{high}" if low != high else "")
