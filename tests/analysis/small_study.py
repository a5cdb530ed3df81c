"""A Study built from plain values, for tests of what the report computes: no store, no files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from analysis.read.study import CELL, Study
from analysis.read.trials import PRUNED
from study.schema.plan import Plan

Cell = tuple[str, float, int]  # arm, step size, MCMC steps


def a_plan(**given: Any) -> Plan:
    """A plan that says what is given; of arms, limits, floors, phases and a search what is not given is not known."""
    bounds = [f"delta_{of}_{end}" for of in ("min", "med") for end in ("low", "high")]
    arms = {name: {"method": "kl", "fixed": {}, **arm, "limits": [
        {"knobs": {}, **dict.fromkeys(bounds, float("nan")), "delta_kappa1": None, **limit}
        for limit in arm.get("limits", [])]} for name, arm in given.get("arms", {}).items()}
    return Plan.read({
        "study": "small", "study_version": "v1", "question": "", "primary": "kid", "primary_long": "kid_long",
        "direction": "minimize", "factors": [*CELL], "extractor": None, "cells": [], "seeds": {},
        "data": {"name": "small", "shape": [2], "content_hash": "", "n": {}},
        "spread": {"s_min": 0.06, "s_med": 0.2, "se_min": 0.0, "se_med": 0.0, "n": 9, "k": 2, "coarse": False},
        "estimate": {"phases": {}, "arms": {}, "equal_budget": {}}, **given, "arms": arms,
        "floors": {name: {"high": 0.0, "m": 9, **floor} for name, floor in given.get("floors", {}).items()},
        "planned": {phase: {"configurations": 0, **of} for phase, of in given["planned"].items()}})


def _common_cell(values: Mapping[Cell, Sequence[float | None]], baseline: str) -> dict[str, float]:
    """Of the baseline's cells with most MCMC steps the middle one of those that most arms share, as a plan chooses."""
    most = max(steps for arm, _, steps in values if arm == baseline)
    shared = {step: sum(s == step and t == most for _, s, t in values)
              for arm, step, steps in values if arm == baseline and steps == most}
    sizes = sorted(step for step, arms in shared.items() if arms == max(shared.values()))
    return {"step_size": sizes[(len(sizes) - 1) // 2], "mcmc_steps": most}


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
        plan=a_plan(**{
            "arms": entries, "baseline": baseline or names[0],
            "common_cell": _common_cell(values, baseline or names[0]),
            "planned": {"design": {"replicates": most}}, **plan}),
        trials=pd.DataFrame(trials), finals=pd.DataFrame(finals),
        curves=pd.DataFrame(columns=["arm", "phase", "step_size", "mcmc_steps", "config_hash", "seed", "update"]))
