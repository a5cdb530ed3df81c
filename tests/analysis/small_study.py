"""A Study built from plain values, for tests of what the report computes: no store, no files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from analysis.read.study import Study
from analysis.read.trials import PRUNED

Cell = tuple[str, float, int]  # arm, step size, MCMC steps


def study(values: Mapping[Cell, Sequence[float | None]], *, arms: Mapping[str, dict[str, Any]] | None = None,
          baseline: str | None = None, phase: str = "design", cost: float = 10.0, **plan: Any) -> Study:
    """One value a seed (0, 1, ...) and cell; None diverged. arms: the plan's entries, in order."""
    names = list(dict.fromkeys(arm for arm, *_ in values))
    entries = {name: {"method": "kl", "fixed": {}, **(arms or {}).get(name, {})} for name in arms or names}
    cells, trials, finals = [], [], []
    for (arm, step, steps), seeds in values.items():
        key = f"{arm}-{step:g}-{steps}"
        knobs = {"step_size": step, "mcmc_steps": steps, "updates": 100, **entries[arm]["fixed"]}
        where = {"config_hash": key, "arm": arm, "base_arm": arm, "step_size": step, "mcmc_steps": steps}
        cells.append({**where, "knobs": knobs})
        trials.append({**where, "phase": phase, "status": "finished", "complete": True, "settings": json.dumps(knobs),
                       **dict.fromkeys(PRUNED, float("nan"))})
        finals += [{**where, "phase": phase, "seed": seed, "verdict": "diverged" if v is None else "survived",
                    "diverged": v is None, "diverged_at": 50.0 if v is None else None, "kid": v,
                    "block": f"0-{len(seeds) - 1}", "particle_gradients": cost * steps * (0.5 if v is None else 1),
                    "cpu_seconds": 2.0, "wall_seconds": 7.0} for seed, v in enumerate(seeds)]
    most = max(len(seeds) for seeds in values.values())
    return Study(
        name="small", spec="", launch={}, packages={}, arms=list(entries), cells=pd.DataFrame(cells),
        plan={"primary": "kid", "direction": "minimize", "baseline": baseline or names[0], "arms": entries,
              "planned": {"design": {"replicates": most}}, **plan},
        trials=pd.DataFrame(trials), finals=pd.DataFrame(finals),
        curves=pd.DataFrame(columns=["arm", "phase", "step_size", "mcmc_steps", "config_hash", "seed", "update"]))
