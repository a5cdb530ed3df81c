"""T3: equal budgets are seen, not claimed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis.panels.panel import Panel, Table
from analysis.read.study import Study
from analysis.stats.budget import GRADIENTS, SPENT, budget
from analysis.text.formatting import DASH, number, share

COUNTS = ("configurations", "finished", "pruned", "lost")


class Budget(Panel):
    """What each arm was given, and what became of it."""

    name, title = "budget", "Budget and fairness"

    def frame(self, study: Study) -> pd.DataFrame:
        return budget(study)

    def tables(self, study: Study, frame: pd.DataFrame) -> list[Table]:
        return [Table(self.name, budget_words(frame), frame)]

    def caption(self, study: Study, frame: pd.DataFrame) -> str:
        return ("What each arm was given: sums over all replicates, the diverged and the pruned too. Particle "
                "gradients are what the search's budgets are equal in; in the design a cell costs what its method "
                "costs, unless the study gives it a budget. Wall seconds are elapsed, once for the replicates that "
                "trained together. Lost: crashed, out of memory, interrupted or unfinished. \u2265: MLflow holds no "
                "such cost of some pruned or lost trials.")


def budget_words(frame: pd.DataFrame) -> pd.DataFrame:
    """`budget` for a reader."""
    def words(row: Mapping[Any, Any], name: str) -> str:
        return ("\u2265 " if row[f"{name}_lacks"] and row[name] else "") + number(row[name])

    some = frame.to_dict("records")
    out = pd.DataFrame({"arm": frame["arm"], "phase": frame["phase"],
                        **{k: frame[k].map("{:,}".format) for k in COUNTS},
                        "diverged": [share(r["diverged"], r["replicates"]) for r in some]})
    for cost, words_of in SPENT.items():
        name = f"spent_{cost}"
        if name in frame:
            out[words_of] = [words(r, name) for r in some]
            if name == GRADIENTS:
                out["of the largest"] = frame["share"].map(lambda s: DASH if pd.isna(s) else f"{s:.0%}")
    return out
