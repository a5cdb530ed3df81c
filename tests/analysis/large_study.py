"""A study of many replicates in an SQLite MLflow store, for measurements: random values, laid out as a study is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
from mlflow import MlflowClient

from tests.analysis import synthetic_study as toy

POINTS, MEASURES = 50, 22  # evaluation points a replicate, and measures a record beside those of the toy
STEPS, MCMC = np.geomspace(0.01, 1.0, 25), (2, 5, 10, 20, 40)
SEEDS = range(8)


def write(uri: str, artifacts: Path, trials: int) -> int:
    """Writes `trials` complete design trials of 8 seeds over three or more arms; returns the number of replicates."""
    client = MlflowClient(tracking_uri=uri)
    experiment = client.create_experiment("large", artifact_location=artifacts.as_uri())
    grid = [(f"arm{i}", float(s), t) for i in range(-(-trials // (len(STEPS) * len(MCMC))))
            for s in STEPS for t in MCMC][:trials]
    arms = list(dict.fromkeys(arm for arm, *_ in grid))
    cells = [{"config_hash": f"{k:012x}", "arm": arm, "method": "kl",
              "knobs": {"step_size": step, "mcmc_steps": steps, "updates": 1000}}
             for k, (arm, step, steps) in enumerate(grid)]
    middle = [cell["knobs"] for cell in cells if cell["arm"] == arms[0]]
    middle = middle[len(middle) // 2]
    plan = toy.plan("large", dict(zip(toy.ARMS, toy.ARMS, strict=True))) | {
        "baseline": arms[0], "cells": cells, "seeds": {"design": [*SEEDS]},
        "common_cell": {k: middle[k] for k in ("step_size", "mcmc_steps")},
        "arms": {a: {"method": "kl", "fixed": {}, "limits": []} for a in arms},
        "planned": {"design": {"configurations": trials, "replicates": len(SEEDS)}}}
    common = {"study": "large", "study_version": "v1"}
    launch = client.create_run(experiment, toy.START, {"kind": "launch", **common}).info.run_id
    client.log_dict(launch, plan, "plan.json")
    for k, cell in enumerate(cells):
        tags = {**common, "kind": "trial", "config_hash": cell["config_hash"], "arm": cell["arm"], "method": "kl",
                "phase": "design", "status": "finished", "seeds": "0-7", "complete": "true", "commit": "c0ffee",
                "config": json.dumps({"knobs": cell["knobs"]})}
        run = client.create_run(experiment, toy.START + 1000 * k, tags).info
        path = artifacts / run.run_id / "artifacts" / "records" / "0-7.parquet"
        path.parent.mkdir(parents=True)
        _records(np.random.default_rng(k), float(cell["knobs"]["step_size"])).to_parquet(path)
    return trials * len(SEEDS)


def _records(rng: np.random.Generator, step: float) -> pd.DataFrame:
    n = len(SEEDS) * (POINTS + 1)
    seeds, points = np.repeat(list(SEEDS), POINTS + 1), np.tile(np.arange(1, POINTS + 2), len(SEEDS))
    gone = np.repeat(rng.random(len(SEEDS)) < step, POINTS + 1)
    final = points == POINTS + 1
    frame = pd.DataFrame(rng.lognormal(-2, 0.3, (n, MEASURES)), columns=[f"measure{i}" for i in range(MEASURES)])
    value = np.where(final & gone, np.nan, rng.lognormal(-2, 0.3, n))
    return frame.assign(
        seed=seeds, stage=np.where(final, "final", "train"), update=np.minimum(points, POINTS) * 20, kappa=step,
        verdict=np.where(final, np.where(gone, "diverged", "survived"), None),
        diverged_at=np.where(final & gone, 500.0, np.nan), particle_gradients=1e6, cpu_seconds=2.0, wall_seconds=3.0,
        **{toy.PRIMARY: value})
