"""What a search is after: the values of each finished trial's objectives, which of them none beats, its constraints."""

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
    value; where that is null (costs) its own value counts. What misses a constraint is not in the front and keeps none
    out of it. Empty with fewer than two objectives.
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
    kept = frame["config_hash"].map(excess(study)).to_numpy() == 0
    front = iter(unbeaten((frame.loc[kept, names].to_numpy(float) * np.where(smaller, 1, -1)).tolist()))
    frame["front"] = [bool(keeps) and next(front) for keeps in kept]
    return frame.sort_values(["front", *names, "config_hash"], ascending=[False, *smaller, True], ignore_index=True)


def excess(study: Study) -> pd.Series:
    """By config_hash, by how much each finished trial of the search misses its constraints: 0 where it keeps all."""
    search = study.finals[study.finals["phase"] == "search"]
    return pd.Series({str(config_hash): sum(max(0.0, bound.excess(_survivors(own, name)))
                                            for name, bound in study.plan.constraints.items())
                      for config_hash, own in search.groupby("config_hash")}, dtype=float)


def _survivors(own: pd.DataFrame, name: str) -> list[float | None]:
    """Of each replicate its value; None where it diverged or has none."""
    values = own[name].where(~own["diverged"]) if name in own else pd.Series(np.nan, own.index)
    return [None if np.isnan(v) else float(v) for v in values]


def _mean(own: pd.DataFrame, name: str, diverged_value: float | None) -> float:
    values = own[name] if name in own else pd.Series(np.nan, own.index)
    return float(values.mean() if diverged_value is None else
                 values.where(~own["diverged"]).fillna(diverged_value).mean())


def searched(study: Study, trials: pd.DataFrame) -> pd.DataFrame:
    """One column per knob that the study varies, in rows as `trials`; None or NaN where an arm has no such knob, or
    where it has no effect. trials: rows of `Study.trials`."""
    idle = study.plan.search.idle if study.plan.search else {}
    rows = [{knob: value for knob, value in json.loads(text).items() if knob not in idle.get(arm, ())}
            for arm, text in zip(trials["base_arm"], trials["settings"], strict=True)]
    found = pd.DataFrame(rows, index=trials.index)
    return found[[knob for knob in study.plan.factors if knob in found]]
