"""T3: what each arm was given, and what became of it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.load import Study
from analysis.wording import DASH, number


def budget(study: Study) -> pd.DataFrame:
    """T3: what each arm was given in each phase, and what became of it; a row an arm and phase.

    configurations, finished, pruned, lost (crashed, out of memory, interrupted), seeds (replicates that count),
    diverged, particle gradients (sum over replicates, which the search's equal budgets are counted in), CPU and wall
    seconds, and share: of the phase's largest sum of particle gradients.
    """
    found = []
    for (phase, arm), trials in study.trials.groupby(["phase", "arm"], sort=False):
        status = trials["status"].where(trials["complete"], "unfinished")
        own = study.finals[(study.finals["phase"] == phase) & (study.finals["arm"] == arm)]
        found.append({
            "phase": phase, "arm": arm, "configurations": len(trials),
            "finished": int(status.isin(["finished", "diverged"]).sum()), "pruned": int((status == "pruned").sum()),
            "lost": int((~status.isin(["finished", "diverged", "pruned"])).sum()), "seeds": len(own),
            "diverged": int(own["diverged"].sum()),
            **{c: float(own[c].sum()) if c in own else np.nan
               for c in ("particle_gradients", "cpu_seconds", "wall_seconds")}})
    frame = pd.DataFrame(found)
    if frame.empty:
        return frame
    order = {name: i for i, name in enumerate(["design", "search", "confirm"])}
    arms = {arm: i for i, arm in enumerate(study.arms)}
    frame = frame.sort_values(["phase", "arm"], key=lambda c: c.map(order if c.name == "phase" else arms),
                              ignore_index=True)
    most = frame.groupby("phase")["particle_gradients"].transform("max")
    return frame.assign(share=frame["particle_gradients"] / most.where(most > 0))


def budget_words(frame: pd.DataFrame) -> pd.DataFrame:
    """`budget` for a reader."""
    return pd.DataFrame({
        "arm": frame["arm"], "phase": frame["phase"],
        **{k: frame[k].map("{:,}".format)
           for k in ("configurations", "finished", "pruned", "lost", "seeds", "diverged")},
        "particle gradients": frame["particle_gradients"].map(number),
        "of the largest": frame["share"].map(lambda s: DASH if np.isnan(s) else f"{s:.0%}"),
        "CPU seconds": frame["cpu_seconds"].map(number), "wall seconds": frame["wall_seconds"].map(number)})
