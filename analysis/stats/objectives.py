"""A search with several objectives: the values of each finished trial, and which of them none beats."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

from analysis.read.study import CELL, Study
from study.schema.pareto import unbeaten


def objective_values(study: Study) -> pd.DataFrame:
    """A row per finished search trial: `arm`, the knobs that the study varies, a column per objective, `replicates`,
    `diverged`, `config_hash`, and `front`, whether no other trial beats it. The front first, by the first objective.

    An objective is a mean over all replicates. One that diverged, or lacks the measure, counts as the plan's diverged
    value; where that is null (costs) its own value counts. Empty with fewer than two objectives.
    """
    plan, names, found = study.plan.search, study.plan.objectives, []
    if plan is None or len(names) < 2:
        return pd.DataFrame()
    stated = plan.diverged_value
    settings = dict(zip(study.trials["config_hash"], study.trials["settings"], strict=True))
    search = study.finals[study.finals["phase"] == "search"]
    for (arm, config_hash), own in search.groupby(["base_arm", "config_hash"]):
        knobs = json.loads(settings[config_hash])
        found.append({"arm": arm, **{k: knobs.get(k) for k in dict.fromkeys([*CELL, *study.plan.factors])},
                      **{name: _mean(own, name, value) for name, value in zip(names, stated[str(arm)], strict=True)},
                      "replicates": len(own), "diverged": int(own["diverged"].sum()), "config_hash": config_hash})
    if not found:
        return pd.DataFrame()
    frame = pd.DataFrame(found)
    smaller = [way == "minimize" for way in plan.directions]
    frame["front"] = unbeaten((frame[names].to_numpy(float) * np.where(smaller, 1, -1)).tolist())
    return frame.sort_values(["front", *names, "config_hash"], ascending=[False, *smaller, True], ignore_index=True)


def _mean(own: pd.DataFrame, name: str, diverged_value: float | None) -> float:
    values = own[name] if name in own else pd.Series(np.nan, own.index)
    return float(values.mean() if diverged_value is None else
                 values.where(~own["diverged"]).fillna(diverged_value).mean())
