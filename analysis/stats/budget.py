"""T3: what each arm was given, and what became of it."""

from __future__ import annotations

import pandas as pd

from analysis.read.study import Study
from analysis.read.trials import VALID

SPENT = {"particle_gradients": "particle gradients", "cpu_seconds": "CPU seconds", "gpu_seconds": "GPU seconds",
         "wall_seconds": "wall seconds"}  # costs, of which `spent_<cost>` is the sum
GRADIENTS = "spent_particle_gradients"


def budget(study: Study) -> pd.DataFrame:
    """T3: what each arm was given in each phase, and what became of it; one row per arm and phase.

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
