"""What the whole rule decides, from the monitor of every update to the unit's record: synthetic runs by the hundred,
and real runs looked at half and twice as often."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
import torch

import models.training.step
from models.networks.layers import Network
from models.stability.divergence import REASONS, Monitor, observe
from study.run.unit_run import UnitRun
from study.schema.unit import Evaluation
from study.store.units import Store
from tests.configurations import unit

DRAWS, UPDATES, POINTS = 300, 400, 20
LATE = UPDATES - 20


class Runs:
    """What the monitor and the evaluations see of DRAWS replicates that train well: (UPDATES, DRAWS) and
    (POINTS, DRAWS)."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        scale = np.exp(self.rng.normal(0, 2, DRAWS))
        drift = np.cumsum(self.rng.normal(0, 0.05, (UPDATES, DRAWS)), 0)  # norms wander by a factor of e
        self.norm = scale * np.exp(drift + self.rng.normal(0, 0.7, (UPDATES, DRAWS)))
        self.far = np.exp(self.rng.normal(0.2, 0.2, (UPDATES, DRAWS)))
        self.finite = np.ones((UPDATES, DRAWS), bool)
        self.clip = np.zeros((POINTS, DRAWS))
        self.kappa = self.rng.uniform(0.1, 0.8, DRAWS) * np.exp(self.rng.normal(0, 0.2, (POINTS, DRAWS)))

    def decided(self) -> list[tuple[str | None, int]]:
        """The unit's own decision on each: (reason, update), reason None where it did not diverge."""
        monitor = Monitor.start(DRAWS, UPDATES, dtype=torch.float64)
        at, why = torch.full((DRAWS,), -1), torch.full((DRAWS,), -1)
        for k in range(UPDATES):
            monitor, diverged, reason = observe(
                monitor, finite=torch.tensor(self.finite[k]), update_norm=torch.tensor(self.norm[k]),
                particle_max=torch.tensor(self.far[k]), data_max=torch.ones(DRAWS, dtype=torch.float64))
            new = diverged & (at < 0)
            at, why = torch.where(new, k + 1, at), torch.where(new, reason, why)
        one = UnitRun(unit(tuple(range(DRAWS)), updates=UPDATES), Store("unused", "x"))
        one._progress.rows = [
            {"seed": r, "stage": "train", "update": (e + 1) * UPDATES // POINTS, "kappa": float(self.kappa[e, r]),
             "clip_fraction": float(self.clip[e, r])}
            for e in range(POINTS) for r in range(DRAWS) if not 0 <= at[r] <= e * UPDATES // POINTS]
        state: Any = SimpleNamespace(diverged_at=at, reason=why, update=UPDATES)
        return [one._divergence(state, r) for r in range(DRAWS)]


def calm(runs: Runs) -> None:
    pass


def one_spike(runs: Runs) -> None:
    """A single update of a norm far beyond the alarm, and one of particles far out."""
    for r in range(DRAWS):
        runs.norm[runs.rng.integers(1, UPDATES), r] *= 10 ** runs.rng.uniform(4, 12)
        runs.far[runs.rng.integers(1, UPDATES), r] = runs.rng.uniform(20, 1e6)


def short_bursts(runs: Runs) -> None:
    """Nine loud updates and two far ones: one less than either rule wants."""
    for r in range(DRAWS):
        k = runs.rng.integers(60, LATE)
        runs.norm[k:k + 9, r] *= 1e7
        runs.far[k:k + 2, r] = 15


def clipped_but_sound(runs: Runs) -> None:
    """A clip that bites, around a sampler that is stable."""
    runs.clip[:] = runs.rng.uniform(0.15, 0.9, (POINTS, DRAWS))
    runs.kappa *= 1.8


def sharp_without_a_clip(runs: Runs) -> None:
    """kappa > 2 with nothing to hide it: the monitor alone decides."""
    runs.kappa = runs.rng.uniform(2.5, 9, (POINTS, DRAWS))
    runs.clip[:] = runs.rng.uniform(0, 0.05, (POINTS, DRAWS))


def nan_at_the_last_update(runs: Runs) -> None:
    runs.finite[-1] = False


def infinite_norm_at_the_last_update(runs: Runs) -> None:
    runs.norm[-1] = np.where(runs.rng.random(DRAWS) < 0.5, np.nan, np.inf)


def masked(runs: Runs) -> None:
    runs.clip[:] = runs.rng.uniform(0.15, 0.95, DRAWS) * runs.rng.uniform(0.8, 1, (POINTS, DRAWS))
    runs.kappa = runs.rng.uniform(3, 50, DRAWS) * np.exp(runs.rng.normal(0, 0.3, (POINTS, DRAWS)))


def runaway(runs: Runs) -> None:
    """Particles leave for good in the last three updates."""
    runs.far[-3:] = runs.rng.uniform(12, 1e4, (3, DRAWS))


def loud(runs: Runs) -> None:
    """Norms that explode, and stay so to the end."""
    for r in range(DRAWS):
        runs.norm[-int(runs.rng.integers(12, 200)):, r] *= 10 ** runs.rng.uniform(5, 10)


SOUND = [calm, one_spike, short_bursts, clipped_but_sound, sharp_without_a_clip]
DIVERGED = {nan_at_the_last_update: REASONS[0], infinite_norm_at_the_last_update: REASONS[0], runaway: REASONS[1],
            loud: REASONS[2], masked: "masked"}


@pytest.mark.parametrize("make", SOUND)
def test_what_lives_is_not_called_diverged(make: Any) -> None:
    runs = Runs(11)
    make(runs)
    found = runs.decided()
    assert sum(reason is None and at == UPDATES for reason, at in found) >= 0.99 * DRAWS, found[:5]


@pytest.mark.parametrize(("make", "expected"), DIVERGED.items())
def test_what_diverged_is_named_with_its_update(make: Any, expected: str) -> None:
    runs = Runs(12)
    make(runs)
    found = runs.decided()
    assert sum(reason == expected for reason, _ in found) >= 0.99 * DRAWS, found[:5]
    if expected != REASONS[2]:
        assert all(at == UPDATES for reason, at in found if reason == expected)


# real runs

KNOBS = {"updates": 80, "batch_size": 32, "width": 2, "mcmc_steps": 3}


def finished(folder: Path, floor: float, points: int, method: str = "kl", **knobs: Any) -> list[dict[str, Any]]:
    """The records of a unit of two replicates, trained whole on eight Gaussians."""
    one = unit((0, 1), method=method, data={"name": "gaussians8"}, evaluation=Evaluation(points, 32, 0, "search"),
               **KNOBS | knobs)
    store = Store(str(folder), "x")
    run = UnitRun(one, store, floor=floor)
    while not run.advance()["done"]:
        pass
    manifest = store.done(one)
    assert manifest is not None
    rows: list[dict[str, Any]] = pyarrow.parquet.read_table(
        io.BytesIO(store.read_verified(one, "records.parquet", manifest))).to_pylist()
    return rows


CASES: dict[str, dict[str, Any]] = {
    "stable": {"step_size": 0.15, "lr_f": 0.01}, "masked": {"drift_clip": 0.5, "step_size": 0.8, "lr_f": 0.05},
    "runaway particles": {"step_size": 0.9, "lr_f": 0.05}}


@pytest.mark.parametrize("name", CASES)
def test_a_real_run_is_judged_alike_when_one_looks_half_or_twice_as_often(tmp_path: Path, name: str) -> None:
    told = []
    for points in (4, 8, 16):
        rows = finished(tmp_path / str(points), 0.03, points, particles=64, **CASES[name])
        told.append([tuple(row[key] for key in ("verdict", "reason", "diverged_at", "flags"))
                     for row in rows if row["stage"] == "final"])
        assert all(name in row for row in told[-1]), told
    assert told[0] == told[1] == told[2]


@pytest.mark.parametrize(("gain", "collapsed"), [(1, True), (40, False)])
def test_a_generator_without_spread_is_flagged_in_the_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                             gain: float, collapsed: bool) -> None:
    """As drawn, g(z) has a thirtieth of the data's spread; 40 times its last layer, more than a quarter."""
    real = models.training.step.upsampler_network

    def wider(*args: Any, **kwargs: Any) -> Network:
        g = real(*args, **kwargs)
        with torch.no_grad():
            g.layers[-1].weight.mul_(gain)
        return g

    monkeypatch.setattr(models.training.step, "upsampler_network", wider)
    rows = finished(tmp_path, 1e3, 2, "amortized", lr_g=1e-12, updates=6, latent_dim=2)
    spreads = {row["seed"]: row["sd_ratio_g"] for row in rows if row["stage"] == "train"}
    assert all((spread < 0.1) == collapsed == (spread < 0.4) for spread in spreads.values())
    final = [row for row in rows if row["stage"] == "final"]
    assert [("generator collapsed" in (row["flags"] or "")) for row in final] == [collapsed] * 2
    assert not any("diverged" in row["verdict"] for row in final)
