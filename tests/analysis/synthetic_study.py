"""A study with known numbers in an SQLite MLflow store, written the way study/show/tracking writes one.

Three arms x 4 step sizes x 2 numbers of MCMC steps x 6 seeds; `VALUES` and `DIVERGED` hold the truth. One design cell
was never run, one is unfinished, one ran 4 of 6 seeds; a search of five trials (one pruned, one crashed) and a confirm
phase follow. `write` needs no Ray and no torch.
"""

from __future__ import annotations

import functools
import io
import itertools
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from shutil import copy
from typing import Any

import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from PIL import Image

from study.store.sheet import DATA_SHEET, sheet
from tests.stores import template

KAPPA_SCALE = {"jko": 0.5, "kl_smooth": 0.3}
PRIMARY = "kid_clf64_256"
ARMS = {"kl": "kl", "jko": "jko", "kl_smooth": "kl"}  # arm -> method
STEPS, MCMC, SEEDS = (0.05, 0.1, 0.2, 0.4), (5, 20), range(6)
CELLS = tuple(itertools.product(STEPS, MCMC))
NOT_RUN, UNFINISHED, SHORT = ("kl_smooth", 0.4, 20), ("kl_smooth", 0.4, 5), ("jko", 0.4, 5)
DIVERGED = {  # (arm, step size, MCMC steps) -> seeds that diverged
    ("kl", 0.2, 5): {0, 3},
    ("kl", 0.2, 20): set(SEEDS),
    ("kl", 0.4, 5): set(SEEDS),
    ("kl", 0.4, 20): set(SEEDS),
    ("kl", 0.1, 20): {2},
    ("jko", 0.4, 20): {1, 4},
    ("kl_smooth", 0.2, 20): {0, 1, 2, 5},
}
NOISE = np.array([-0.011, 0.004, 0.009, -0.003, 0.007, -0.006])  # of each seed, the same in every cell
START = 1_700_000_000_000  # milliseconds


def value(arm: str, step: float, mcmc: int, seed: int) -> float:
    """The primary measure of one surviving replicate: a bowl over the step size, a shift by arm, noise by seed."""
    bowl = 0.05 + 0.04 * abs(np.log2(step / (0.1 if arm == "kl" else 0.2)))
    shift = {"kl": 0.02, "jko": -0.01, "kl_smooth": 0.0}[arm] - 0.0006 * (mcmc - 5)
    scale = {"kl": 1.0, "jko": 0.6, "kl_smooth": -0.8}[arm]
    return float(bowl + shift + scale * NOISE[seed % 6])


@functools.cache
def shared(root: Path) -> str:
    """The tracking URI of one such store under `root`, written once a session."""
    root.mkdir(parents=True, exist_ok=True)
    uri = f"sqlite:///{copy(template(), root / 'mlflow.db')}"
    write(uri, root / "artifacts")
    return uri


def write(uri: str, artifacts: Path, name: str = "toy", arms: tuple[str, ...] = tuple(ARMS),
          cells: Sequence[tuple[float, int]] = CELLS) -> None:
    """The whole study under experiment `name`; `arms` renames the three arms; cells: (step size, MCMC steps) of each
    arm's design."""
    names = dict(zip(ARMS, arms, strict=True))
    client = MlflowClient(tracking_uri=uri)
    experiment = client.create_experiment(name, artifact_location=artifacts.as_uri())
    _Writer(client, experiment, name, names, cells).all()


class _Writer:
    def __init__(self, client: MlflowClient, experiment: str, name: str, names: dict[str, str],
                 cells: Sequence[tuple[float, int]] = CELLS) -> None:
        self.client, self.experiment, self.name, self.names, self.cells = client, experiment, name, names, cells
        self.clock = START

    def all(self) -> None:
        self.launch()
        for arm, step, mcmc in [(a, *cell) for a in ARMS for cell in self.cells]:
            if (arm, step, mcmc) != NOT_RUN:
                seeds = SEEDS[:4] if (arm, step, mcmc) == SHORT else SEEDS
                self.trial("design", arm, step, mcmc, seeds, complete=(arm, step, mcmc) != UNFINISHED)
        for i, (arm, step) in enumerate([("kl", 0.07), ("jko", 0.17), ("jko", 0.3), ("kl", 0.31), ("kl", 0.11)]):
            status = {3: "pruned", 4: "crashed"}.get(i, "finished")
            self.trial("search", arm, step, 10 + i, range(1000, 1002), status)
        self.trial("confirm", "jko", 0.17, 11, range(2000, 2006))

    def run(self, kind: str, name: str, tags: dict[str, str]) -> str:
        self.clock += 1000
        every = {"kind": kind, "study": self.name, "study_version": "v1", **tags}
        return str(self.client.create_run(self.experiment, self.clock, every, name).info.run_id)

    def launch(self) -> None:
        run = self.run("launch", "launch 1", {"commit": "c0ffee1234567890", "dirty": "false", "host": "node"})
        self.client.log_dict(run, plan(self.name, self.names, self.cells), "plan.json")
        self.client.log_text(run, f"study: {json.dumps(self.name)}\nmethod: [kl, jko]\n", "spec.yaml")
        self.client.log_text(run, "numpy==2.4.0\ntorch==2.13.0\nray==2.60.0\n", "pip-freeze.txt")
        self.image(run, sheet(pictures("data", "", 0)), DATA_SHEET)
        self.client.set_terminated(run)

    def image(self, run: str, png: bytes, name: str) -> None:
        self.client.log_image(run, Image.open(io.BytesIO(png)), name)

    def trial(
        self,
        phase: str,
        arm: str,
        step: float,
        mcmc: int,
        seeds: range,
        status: str = "finished",
        complete: bool = True,
    ) -> None:
        tags = {
            "config_hash": config_hash(phase, arm, step, mcmc),
            "method": ARMS[arm],
            "arm": self.names[arm],
            "phase": phase,
        }
        knobs = {"step_size": step, "mcmc_steps": mcmc, "updates": 400}
        run = self.run(
            "trial",
            f"{arm} step_size={step:g} mcmc_steps={mcmc}",
            {
                **tags,
                "status": status,
                "config": json.dumps({"knobs": knobs}),
                "commit": "c0ffee1234567890",
                "seeds": f"{seeds[0]}-{seeds[-1]}",
                **({"last_rung": "80"} if status == "pruned" else {}),
            },
        )
        if status != "crashed":  # also of unfinished and pruned trials: a report must not count them
            frame = records(arm, step, mcmc, seeds)
            path = f"records/{seeds[0]}-{seeds[-1]}.parquet"
            self.client.log_artifact(run, _file(frame, Path(path).name), "records")
            gone = int((frame["verdict"] == "diverged").sum())
            self.client.log_batch(
                run, [Metric("diverged", gone, self.clock, 0)], [Param(k, str(v)) for k, v in knobs.items()], []
            )
        if phase == "design" and (step, mcmc) in [(0.1, 5), (0.2, 20)] and complete:
            for seed in (0, 1) if mcmc == 5 else (0,):
                verdict = "diverged" if seed in DIVERGED.get((arm, step, mcmc), ()) else "survived"
                child = self.run(
                    "replicate",
                    f"seed {seed}",
                    {**tags, "seed": str(seed), "verdict": verdict, "mlflow.parentRunId": run},
                )
                images = pictures(arm, verdict, seed)
                self.image(child, sheet(images), f"samples_{seed}.png")
                if verdict != "diverged":
                    rows = [images[:8], pictures("data", "", 0)[:8]]
                    self.image(child, sheet(np.concatenate(rows)), f"nearest_{seed}.png")
        if complete:
            self.client.log_batch(run, tags=[RunTag("complete", "true")])


def config_hash(phase: str, arm: str, step: float, mcmc: int) -> str:
    return f"{phase[0]}{list(ARMS).index(arm)}{round(step * 1000):06d}{mcmc:04d}"


def plan(name: str, names: dict[str, str], grid: Sequence[tuple[float, int]] = CELLS) -> dict[str, Any]:
    cells = [{"config_hash": config_hash("design", a, s, t), "arm": names[a], "method": ARMS[a],
              "knobs": {"step_size": s, "mcmc_steps": t, "updates": 400}} for a in ARMS for s, t in grid]
    kl = {"knobs": {}, "delta_min": 0.062, "delta_min_low": 0.055, "delta_min_high": 0.07, "delta_med": 0.17,
          "delta_med_low": 0.16, "delta_med_high": 0.18, "delta_kappa1": None}
    return {
        "study": name, "study_version": "v1",
        "primary": PRIMARY, "primary_long": "kid_clf64_64_long", "direction": "minimize",
        "baseline": names["kl"],
        "question": "Does the Wasserstein term keep training stable at larger steps?",
        "data": {"name": "digits", "shape": [1, 8, 8], "content_hash": "ab" * 32,
                 "n": {"train": 1000, "search": 397, "confirm": 400}},
        "common_cell": {"step_size": 0.1, "mcmc_steps": 5},  # as a user's compare_at
        "factors": ["step_size", "mcmc_steps"],
        "extractor": {"name": "clf64", "accuracy": 0.97},
        "arms": {
            names["kl"]: {"method": "kl", "fixed": {}, "limits": [kl]},
            names["jko"]: {"method": "jko", "fixed": {}, "limits": [{**dict.fromkeys(kl), "knobs": {}}]},
            names["kl_smooth"]: {"method": "kl", "fixed": {"data_noise": 0.1}, "limits": [
                {**kl, "delta_min": 0.12, "delta_min_low": 0.11, "delta_min_high": 0.13}]}},
        "spread": {"s_min": 0.062, "s_med": 0.17, "se_min": 0.004, "se_med": 0.005, "n": 1000, "k": 20,
                   "coarse": False},
        "seeds": {"design": [*SEEDS], "search": [1000, 1001], "confirm": [*range(2000, 2006)]},
        "floors": {PRIMARY: {"mean": 0.0011, "sd": 0.0009, "high": 0.003, "n": 256, "m": 397}},
        "planned": {
            "design": {"configurations": len(cells), "replicates": 6},
            "search": {"configurations": 6, "replicates": 2},
            "confirm": {"configurations": 1, "replicates": 6}},
        "cells": cells,
        "estimate": {"phases": {}, "arms": {}, "equal_budget": {}}}


def records(arm: str, step: float, mcmc: int, seeds: range) -> pd.DataFrame:
    """The wide records of one unit of work: curves while a replicate lives, one final row each."""
    rows: list[dict[str, Any]] = []
    for seed in seeds:
        gone = seed in DIVERGED.get((arm, step, mcmc), ())
        end = 100 + 20 * (seed % 6) if gone else 400
        level = value(arm, step, mcmc, seed)
        for update in range(20, end + 1, 20):
            rise = 0.4 * (update / end) ** 6 if gone else 0.0
            rows.append(
                {
                    "seed": seed,
                    "stage": "train",
                    "update": update,
                    "verdict": None,
                    PRIMARY: level + 0.5 * np.exp(-update / 60) + rise + 0.01 * np.sin(update / 30 + seed),
                    "kappa": (step / 0.17) ** 2 * KAPPA_SCALE.get(arm, 1.0) * (1 + 0.05 * (seed % 6)),
                    "gap": 0.3 * np.exp(-update / 80) + rise,
                }
            )
        rows.append(
            {
                "seed": seed,
                "stage": "final",
                "update": end,
                "verdict": "diverged" if gone else "survived",
                "diverged_at": end if gone else None,
                PRIMARY: None if gone else level,
                "kid_clf64_64_long": None if gone else 8 * level,
                "wall_seconds": 4.0 + end / 100,
                "particle_gradients": float(end * 64 * (mcmc + 2)),
                "cpu_seconds": 4.0,
            }
        )
    frame = pd.DataFrame(rows)
    numbers = frame.columns.difference(["stage", "verdict", "seed", "update"])
    return frame.astype({c: "float64" for c in numbers} | {"seed": "int64", "update": "int64"})


def pictures(arm: str, verdict: str, seed: int) -> np.ndarray:
    """64 images (64, 1, 8, 8) in [-1, 1]: rings, or static where the replicate diverged."""
    rng = np.random.default_rng(seed + len(arm))
    y, x = np.mgrid[:8, :8] - 3.5
    rings = np.exp(-((np.hypot(x, y) - rng.uniform(1, 3, (64, 1, 1))) ** 2))
    return (2 * (rng.uniform(size=rings.shape) if verdict == "diverged" else rings) - 1)[:, None]


def _file(frame: pd.DataFrame, name: str) -> str:
    path = Path(tempfile.mkdtemp()) / name
    frame.to_parquet(path)
    return str(path)
