"""How replicates ended: why they diverged, which verdict the others got, and how many of these are of poor quality."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis.wording import count as count_of
from analysis.wording import share

POOR = "poor quality"  # the flag of models/stability/verdict.py: bad at the end by the study's own floor
UNJUDGED = ("survived", "diverged")  # records without a floor hold no other verdict


def is_judged(finals: pd.DataFrame) -> bool:
    """Whether some of these replicates have a verdict beyond divergence, and so flags."""
    return bool((~finals["verdict"].isin(UNJUDGED)).any())


def ending(final: Mapping[Any, Any]) -> str:
    """How one replicate ended, never without its flags: `stable; poor quality, kappa > 2`, `diverged; masked`."""
    beside = [final.get(name) for name in ("flags", "reason")]
    return "; ".join([str(final["verdict"]), *(str(words) for words in beside if words and not pd.isna(words))])


def verdicts(finals: pd.DataFrame) -> str:
    """How replicates ended, the most frequent first, and how many raised which flag: `5 stable, 2 oscillating; poor
    quality (3)`. Empty for records that hold no verdict but divergence.
    """
    if not is_judged(finals):
        return ""
    judged = finals["verdict"][~finals["verdict"].isin(UNJUDGED)]
    how = ", ".join(f"{count} {name}" for name, count in judged.value_counts().items())
    return "; ".join([how, *(f"{name} ({count})" for name, count in sorted(flags(finals).items()))])


def poor(finals: pd.DataFrame) -> int | None:
    """How many of those that did not diverge are of poor quality; None where no flag was raised or left out, since
    none was judged."""
    return flags(finals)[POOR] if is_judged(finals) else None


def poor_words(count: int | None, survivors: int) -> str:
    """`4 of 7 survivors of poor quality`; empty where there is none."""
    return f"{count} of {count_of(survivors, 'survivor')} of poor quality" if count else ""


def flagged(count: int | float | None) -> str:
    """`, 7 poor`, for behind a mean's n; empty where there is none, or none was judged."""
    return "" if count is None or pd.isna(count) or not count else f", {count:g} poor"


def reasons(finals: pd.DataFrame) -> str:
    """Why replicates diverged, the most frequent first: `masked 7, runaway particles 2`. Empty where none has a reason.
    """
    if "reason" not in finals:
        return ""
    known = finals.loc[finals["verdict"] == "diverged", "reason"].dropna()
    counted = sorted(Counter(known).items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{reason} {count}" for reason, count in counted)


def gone(count: int, n: int, why: str) -> str:
    """`9/9 (masked 9)`: how many diverged, and why."""
    return share(count, n) + (f" ({why})" if why else "")


def flags(finals: pd.DataFrame) -> Counter[str]:
    """How many of those that did not diverge raised which flag."""
    alive = finals[finals["verdict"] != "diverged"]
    raised = alive["flags"].dropna() if "flags" in finals else pd.Series(dtype=str)
    return Counter(name for words in raised for name in words.split(", ") if name)
