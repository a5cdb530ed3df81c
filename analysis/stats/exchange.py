"""Arms at each other's settings (`confirm.exchange`): is it the method that is better, or what its search found?"""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from analysis.read.study import Study


def origins(study: Study) -> dict[str, str]:
    """Of each confirmed configuration that has another arm's settings the config_hash of that arm's own one.

    Own is what the arm's search tried. Any other has each of its searched knobs from an own one of its arm, or from the
    other arm's.
    """
    trials = study.trials.drop_duplicates("config_hash")
    knobs = {h: json.loads(text) for h, text in zip(trials["config_hash"], trials["settings"], strict=True)}
    of = {phase: [(str(arm), str(h), {k: v for k, v in knobs[h].items() if k in study.plan.factors})
                  for arm, h in zip(own["base_arm"], own["config_hash"], strict=True)]
          for phase, own in trials.groupby("phase")}
    tried = [(arm, values) for arm, _, values in of.get("search", [])]
    if not tried:
        return {}
    own = [one for one in of.get("confirm", []) if (one[0], one[2]) in tried]
    found = {}
    for arm, config_hash, values in of.get("confirm", []):
        if (arm, values) not in tried:
            found[config_hash] = next((h for other, h, theirs in own if other != arm and any(
                _mixed(values, mine, theirs) for same, _, mine in own if same == arm)), "")
    return found


def _mixed(values: dict[str, Any], mine: dict[str, Any], theirs: dict[str, Any]) -> bool:
    return all(value == mine.get(knob) or value == theirs.get(knob) for knob, value in values.items())


def exchanged_pairs(study: Study, cells: pd.DataFrame) -> dict[str, str]:
    """Name -> the baseline's name, of confirmed configurations with the same settings: those of the arm, and those of
    the baseline. cells: `comparisons.confirmed_cells`."""
    name, arm, of = (dict(zip(cells["config_hash"], cells[c], strict=True)) for c in ("name", "arm", "of"))
    found = {}
    for config_hash, origin in of.items():
        if origin in name:
            for one, other in ((config_hash, origin), (origin, config_hash)):
                if study.baseline_of(str(arm[one])) == arm[other]:
                    found[str(name[one])] = str(name[other])
    return found
