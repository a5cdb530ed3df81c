"""T3: what each arm was given, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis.load import VALID, Study
from analysis.wording import DASH, number, share

SPENT = {"particle_gradients": "particle gradients", "cpu_seconds": "CPU seconds", "gpu_seconds": "GPU seconds",
         "wall_seconds": "wall seconds"}  # costs, of which `spent_<cost>` is the sum
GRADIENTS = "spent_particle_gradients"
EQUAL = 1.25  # largest / smallest of what arms spent, up to which their searches are called equal
COUNTS = ("configurations", "finished", "pruned", "lost")


def budget(study: Study) -> pd.DataFrame:
    """T3: what each arm was given in each phase, and what became of it; a row an arm and phase.

    configurations, finished, pruned, lost (crashed, out of memory, interrupted, unfinished), replicates that count,
    diverged; then `spent_<cost>`, sums of SPENT over all replicates, the diverged and the pruned too, and
    `spent_<cost>_lacks`: of how many trials MLflow holds no such cost, so that the sum is at least that. wall_seconds
    is elapsed time, which replicates of a block share: it counts once a block. share: of the phase's largest sum of
    particle gradients.
    """
    found = []
    for (phase, arm), trials in study.trials.groupby(["phase", "arm"], sort=False):
        status = trials["status"].where(trials["complete"], "unfinished")
        own = study.finals[(study.finals["phase"] == phase) & (study.finals["arm"] == arm)]
        pruned, lost = trials[status == "pruned"], trials[~status.isin([*VALID, "pruned"])]
        found.append({
            "phase": phase, "arm": arm, "configurations": len(trials), "finished": int(status.isin(VALID).sum()),
            "pruned": len(pruned), "lost": len(lost), "replicates": len(own), "diverged": int(own["diverged"].sum()),
            **_spent(own, pruned, len(lost))})
    frame = pd.DataFrame(found)
    if frame.empty:
        return frame
    order = {name: i for i, name in enumerate(["design", "search", "confirm"])}
    arms = {arm: i for i, arm in enumerate(study.arms)}
    frame = frame.sort_values(["phase", "arm"], key=lambda c: c.map(order if c.name == "phase" else arms),
                              ignore_index=True)
    most = frame.groupby("phase")[GRADIENTS].transform("max")
    return frame.assign(share=frame[GRADIENTS] / most.where(most > 0))


def _spent(finals: pd.DataFrame, pruned: pd.DataFrame, lost: int) -> dict[str, float]:
    """Sums of SPENT, and how many trials lack each: a pruned trial has no records, and no clock of its worker."""
    found: dict[str, float] = {}
    for name in SPENT:
        extra = pruned.get(f"spent_{name}")
        if name not in finals and extra is None:
            continue
        own = finals.drop_duplicates(["config_hash", "block"]) if name == "wall_seconds" else finals
        found[f"spent_{name}"] = sum(float(part.sum()) for part in (own.get(name), extra) if part is not None)
        found[f"spent_{name}_lacks"] = lost + (int(extra.isna().sum()) if extra is not None else len(pruned))
    return found


def search_budgets(frame: pd.DataFrame) -> str:
    """Whether what arms spent on their searches can be called equal; "" where no two searched. frame: `budget`'s."""
    of = frame[frame["phase"] == "search"] if len(frame) else frame
    if len(of) < 2 or not of[GRADIENTS].max():
        return ""
    most, least = (of.loc[getattr(of[GRADIENTS], end)()] for end in ("idxmax", "idxmin"))
    spent = [float(row[GRADIENTS]) for row in (most, least)]
    ratio = f"{spent[0] / spent[1]:.2f} times what {least['arm']} did" if spent[1] else f"and {least['arm']} nothing"
    known = ", so far as MLflow knows" if of[f"{GRADIENTS}_lacks"].any() else ""
    verdict = (f"equal (up to {EQUAL} times)" if spent[0] <= EQUAL * spent[1] else
               "not equal: compare what was confirmed, not what was searched")
    return f"{most['arm']} spent {ratio} in particle gradients{known}; {verdict}"


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
