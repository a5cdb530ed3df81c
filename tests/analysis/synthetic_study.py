"""A study with known numbers in an SQLite MLflow store, written by the engine itself.

Three arms x 4 step sizes x 2 numbers of MCMC steps x 6 seeds; `VALUES` and `DIVERGED` hold the truth. One design cell
was never run, one is unfinished, one ran 4 of 6 seeds; a search of five trials (one pruned, one crashed) and a confirm
phase follow. `write` needs no Ray and no torch.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from shutil import copy
from typing import Any
from unittest import mock

import numpy as np
import pytest
from mlflow import MlflowClient

from study.provenance import Provenance
from study.schema.columns import CELL, MCMC_STEPS, STEP_SIZE
from study.schema.manifest import Manifest, Status
from study.schema.tags import COMPLETE
from study.schema.unit import Unit
from study.show.tracking import Tracking
from study.store.records import records as written
from study.store.sheet import sheet
from study.store.units import Store
from tests.configurations import unit as unit_of
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
START = 1_700_000_000.0  # seconds
COMMIT = "c0ffee1234567890"


def value(arm: str, step: float, mcmc: int, seed: int) -> float:
    """The primary measure of one surviving replicate: a bowl over the step size, a shift by arm, noise by seed."""
    bowl = 0.05 + 0.04 * abs(np.log2(step / (0.1 if arm == "kl" else 0.2)))
    shift = {"kl": 0.02, "jko": -0.01, "kl_smooth": 0.0}[arm] - 0.0006 * (mcmc - 5)
    scale = {"kl": 1.0, "jko": 0.6, "kl_smooth": -0.8}[arm]
    return float(bowl + shift + scale * NOISE[seed % 6])


def shared(folders: pytest.TempPathFactory) -> str:
    """The tracking URI of one such store, for all of pytest's workers."""
    own = folders.getbasetemp()
    return _shared((own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "toy")


@functools.cache
def _shared(root: Path) -> str:
    """Written by the first process that asks: it takes 8 CPU seconds."""
    file, whole = root / "mlflow.db", root / "whole"
    try:
        root.mkdir(parents=True)
    except FileExistsError:
        for _ in range(1200):  # another worker of pytest writes it
            if whole.exists():
                break
            time.sleep(0.1)
    else:
        write(f"sqlite:///{copy(template(), file)}", root / "artifacts")
        whole.touch()
    assert whole.exists(), f"{root} was begun and is not whole"
    return f"sqlite:///{file}"


def write(uri: str, artifacts: Path, name: str = "toy", arms: tuple[str, ...] = tuple(ARMS),
          cells: Sequence[tuple[float, int]] = CELLS) -> None:
    """The whole study under experiment `name`; `arms` renames the three arms; cells: (step size, MCMC steps) of each
    arm's design."""
    names = dict(zip(ARMS, arms, strict=True))
    MlflowClient(uri).create_experiment(name, artifact_location=artifacts.as_uri())
    with tempfile.TemporaryDirectory() as folder, mock.patch("time.time", lambda: START):
        Writer(uri, name, names, Store(folder, "toy", {"study_version": "v1", "commit": COMMIT}), cells).all()


class Writer:
    """Shows units of work in MLflow as a launch does."""

    def __init__(self, uri: str, name: str, names: dict[str, str], store: Store,
                 cells: Sequence[tuple[float, int]] = CELLS) -> None:
        self.plan, self.names, self.store, self.cells = plan(name, names, cells), names, store, cells
        self.tracking = Tracking(uri, name, "v1", CELL, self.plan["seeds"])

    def launch(self) -> None:
        self.tracking.start_launch(
            f"study: {json.dumps(self.plan['study'])}\nmethod: [kl, jko]\n", self.plan,
            Provenance(COMMIT, host="node", packages="numpy==2.4.0\ntorch==2.13.0\nray==2.60.0\n"), "here",
            sheet(pictures("data", "", 0)))

    def all(self) -> None:
        self.launch()
        for arm, step, mcmc in [(a, s, t) for a in ARMS for s, t in self.cells]:
            if (arm, step, mcmc) != NOT_RUN:
                unit = self.unit("design", arm, step, mcmc, SEEDS[:4] if (arm, step, mcmc) == SHORT else SEEDS)
                self.show(unit, "finished")
                if (arm, step, mcmc) == UNFINISHED:  # as a launch that is killed leaves it
                    [run] = self.tracking.search(f"tags.config_hash = '{unit.config_hash}' and tags.kind = 'trial'")
                    self.tracking._client.delete_tag(run.info.run_id, COMPLETE)
        for i, (arm, step) in enumerate([("kl", 0.07), ("jko", 0.17), ("jko", 0.3), ("kl", 0.31), ("kl", 0.11)]):
            unit = self.unit("search", arm, step, 10 + i, range(1000, 1002))
            if i == 4:
                self.tracking.mark(unit, "crashed", "ValueError: no")
            else:
                self.show(unit, "pruned" if i == 3 else "finished")
        self.show(self.unit("confirm", "jko", 0.17, 11, range(2000, 2006)), "finished")
        self.tracking.end_launch("finished", {})

    def unit(self, phase: str, arm: str, step: float, mcmc: int, seeds: range) -> Unit:
        return unit_of(tuple(seeds), config_hash(phase, arm, step, mcmc), phase=phase, arm=self.names[arm],
                       method=ARMS[arm], step_size=step, mcmc_steps=mcmc, updates=400)

    def show(self, unit: Unit, status: Status) -> None:
        if status == "pruned":
            rungs = {40: 0.5, 80: 0.4}
        else:
            arm, rungs = next(arm for arm, name in self.names.items() if name == unit.configuration.arm), {}
            self.files(unit, arm)
        manifest = self.store.write_done(unit, Manifest(status=status, primary=PRIMARY, started=START, ended=START + 60,
                                                        rungs=rungs))
        self.tracking.show(self.store, [(unit, manifest)])

    def files(self, unit: Unit, arm: str) -> None:
        c = unit.configuration
        step, mcmc = c.knobs[STEP_SIZE], c.knobs[MCMC_STEPS]
        self.store.write(f"{unit.key}/records.parquet", written(records(arm, step, mcmc, unit.seeds)))
        if c.phase == "design" and (step, mcmc) in [(0.1, 5), (0.2, 20)]:
            for seed in (0, 1) if mcmc == 5 else (0,):
                is_lost = seed in DIVERGED.get((arm, step, mcmc), ())
                images = pictures(arm, "diverged" if is_lost else "survived", seed)
                self.store.write(f"{unit.key}/samples_{seed}.png", sheet(images))
                if not is_lost:
                    rows = [images[:8], pictures("data", "", 0)[:8]]
                    self.store.write(f"{unit.key}/nearest_{seed}.png", sheet(np.concatenate(rows)))


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


def records(arm: str, step: float, mcmc: int, seeds: Sequence[int]) -> list[dict[str, Any]]:
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
                    "wall_seconds": update / 100,
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
    return rows


def pictures(arm: str, verdict: str, seed: int) -> np.ndarray:
    """64 images (64, 1, 8, 8) in [-1, 1]: rings, or static where the replicate diverged."""
    rng = np.random.default_rng(seed + len(arm))
    y, x = np.mgrid[:8, :8] - 3.5
    rings = np.exp(-((np.hypot(x, y) - rng.uniform(1, 3, (64, 1, 1))) ** 2))
    return (2 * (rng.uniform(size=rings.shape) if verdict == "diverged" else rings) - 1)[:, None]
