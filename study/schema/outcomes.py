"""How replicates ended, in words: no verdict without its flags, no divergence without its reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

UNJUDGED = ("survived", "diverged")  # verdicts of records without a floor: there are no flags


def ending(final: Mapping[str, Any]) -> str:
    """Of one final record: `stable; poor quality, kappa > 2`, `diverged; masked`."""
    return "; ".join(filter(None, (final["verdict"], final.get("flags") or final.get("reason"))))


def verdicts(finals: Iterable[Mapping[str, Any]]) -> str:
    """Of several: `5 stable, 1 oscillating; kappa > 2 (1); poor quality (3)`. Whoever shows it counts the diverged
    beside it; empty where no other was judged."""
    alive = [row for row in finals if row["verdict"] not in UNJUDGED]
    how = Counter(row["verdict"] for row in alive)
    flags = Counter(flag for row in alive for flag in (row.get("flags") or "").split(", ") if flag)
    return "; ".join(filter(None, (", ".join(f"{n} {name}" for name, n in how.most_common()),
                                   *(f"{name} ({n})" for name, n in sorted(flags.items())))))
