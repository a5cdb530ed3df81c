"""How replicates ended, in words: no verdict without its flags, no count without what was counted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis.text.formatting import count as count_of
from analysis.text.formatting import share
from study.schema import outcomes


def verdicts(finals: pd.DataFrame) -> str:
    """How replicates ended, the most frequent first, and how many raised which flag: `5 stable, 2 oscillating; poor
    quality (3)`. Empty for records that hold no verdict but divergence."""
    flags = finals["flags"].fillna("") if "flags" in finals else [""] * len(finals)
    return outcomes.verdicts({"verdict": v, "flags": f} for v, f in zip(finals["verdict"], flags, strict=True))


def poor_words(count: int | None, survivors: int) -> str:
    """`4 of 7 survivors of poor quality`; empty where there is none."""
    return f"{count} of {count_of(survivors, 'survivor')} of poor quality" if count else ""


def flagged(count: int | float | None) -> str:
    """`, 7 poor`, for behind a mean's n; empty where there is none, or none was judged."""
    return "" if count is None or pd.isna(count) or not count else f", {count:g} poor"


def gone(count: int, n: int, why: str) -> str:
    """`9/9 (masked 9)`: how many diverged, and why."""
    return share(count, n) + (f" ({why})" if why else "")


def poor_at(row: Mapping[Any, Any], level: str) -> str:
    """`; 4 of 7 survivors of poor quality`, where `level` (a column of `limits`) is the last at which any survived."""
    if math.isnan(row["poor"]) or not row["poor"] or row[level] != row["poor_at"]:
        return ""
    return f"; {poor_words(int(row['poor']), int(row['poor_n']))}"
