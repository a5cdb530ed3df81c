"""How replicates ended, counted: why they diverged, and which flags the others raised."""

from __future__ import annotations

from collections import Counter

import pandas as pd

from study.schema.outcomes import UNJUDGED

POOR = "poor quality"  # the flag of models/stability/verdict.py: bad at the end by the study's own floor


def is_judged(finals: pd.DataFrame) -> bool:
    """Whether some of these replicates have a verdict beyond divergence, and so flags."""
    return bool((~finals["verdict"].isin(UNJUDGED)).any())


def flags(finals: pd.DataFrame) -> Counter[str]:
    """How many of those that did not diverge raised which flag."""
    alive = finals[finals["verdict"] != "diverged"]
    raised = alive["flags"].dropna() if "flags" in finals else pd.Series(dtype=str)
    return Counter(name for words in raised for name in words.split(", ") if name)


def poor(finals: pd.DataFrame) -> int | None:
    """How many of those that did not diverge are of poor quality; None where no flag was raised or left out, since
    none was judged."""
    return flags(finals)[POOR] if is_judged(finals) else None


def reasons(finals: pd.DataFrame) -> str:
    """Why replicates diverged, the most frequent first: `masked 7, runaway particles 2`. Empty where none has a reason.
    """
    if "reason" not in finals:
        return ""
    known = finals.loc[finals["verdict"] == "diverged", "reason"].dropna()
    counted = sorted(Counter(known).items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{reason} {count}" for reason, count in counted)
