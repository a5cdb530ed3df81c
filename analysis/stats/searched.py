"""The knobs that a study varies, of configurations that its search found."""

from __future__ import annotations

import json

import pandas as pd

from analysis.read.study import Study


def searched(study: Study, trials: pd.DataFrame) -> pd.DataFrame:
    """One column per knob that the study varies, in rows as `trials`; None or NaN where an arm has no such knob, or
    where it has no effect. trials: rows of `Study.trials`."""
    idle = study.plan.search.idle if study.plan.search else {}
    rows = [{knob: value for knob, value in json.loads(text).items() if knob not in idle.get(arm, ())}
            for arm, text in zip(trials["base_arm"], trials["settings"], strict=True)]
    found = pd.DataFrame(rows, index=trials.index)
    return found[[knob for knob in study.plan.factors if knob in found]]
