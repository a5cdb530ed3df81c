"""models.fit and models.sample: the loop that the worker runs, and what a person sees of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import models
from models.testing import tiny
from models.training.checkpoint import save_state

ROOT = Path(__file__).resolve().parents[2]


def fitted(points: list[int], **given: Any) -> list[tuple[int, list[float]]]:
    """(update, what the updates since the last point showed) at each point."""
    on = tiny.data(tiny.PLANE)
    method = tiny.method("jko", on)
    return [(state.update, [float(info.gap[0]) for info in infos])
            for state, infos in models.fit(method, on, [3, 1], points, **given)]


def test_it_yields_at_every_point_with_what_was_seen_since_the_last_one() -> None:
    [(_, whole)] = fitted([])
    assert len(whole) == 4 and fitted([1, 3, 4]) == [(1, whole[:1]), (3, whole[1:3]), (4, whole[3:])]


def test_it_goes_on_from_a_state_as_if_it_had_never_stopped() -> None:
    on = tiny.data(tiny.PLANE)
    method = tiny.method("jko", on)
    kept: list[Any] = []
    between = lambda state, infos: kept.append((state().update, list(infos)))  # noqa: E731
    [(half, seen)] = models.fit(method, on, [3, 1], [2], between=between)
    assert [(update, len(infos)) for update, infos in kept] == [(1, 1)]  # the second is a point
    [(state, infos)] = models.fit(method, on, [3, 1], [2, 4], state=half, seen=seen)
    [(once, all_infos)] = models.fit(method, on, [3, 1])
    assert save_state(state) == save_state(once)
    assert torch.equal(torch.stack([i.loss for i in infos]), torch.stack([i.loss for i in all_infos]))


@pytest.mark.parametrize(("knobs", "said"), [
    ({"step_size": -1.0}, "step_size: found -1.0, expected a number > 0"),
    ({"step_size": "0.1"}, "step_size: found '0.1', expected a number > 0"),
    ({"mcmc_steps": 0}, "mcmc_steps: found 0, expected a whole number >= 1"),
    ({"precision": "fp16"}, "precision: found 'fp16', expected one of "), ({"lr": 0.1}, "lr: unknown knob of jko; ")])
def test_a_knob_that_no_study_may_have_builds_nothing(knobs: dict[str, Any], said: str) -> None:
    """A step size of -1 would train, and give numbers."""
    with pytest.raises(ValueError, match=f"^{said}"):
        models.build("jko", tiny.data(tiny.PLANE), **knobs)


def test_what_does_not_fit_the_state_is_refused() -> None:
    on = tiny.data(tiny.PLANE)
    method = tiny.method("kl", on)
    [(half, _)] = models.fit(method, on, [3, 1], [2])
    for seeds, points, data, said in (([1, 3], [4], on, "seeds: found"), ([3, 1], [2], on, "points: found"),
                                      ([3, 1], [4, 3], on, "points: found"), ([3, 3], [4], on, "each once"),
                                      ([], [4], on, "at least one"),
                                      ([3, 1], [4], tiny.data(tiny.IMAGES), "data: found")):
        with pytest.raises(ValueError, match=said):
            next(models.fit(method, data, seeds, points, state=half))
    assert half.update == 2


def test_it_ends_where_no_replicate_lives() -> None:
    on = tiny.data(tiny.PLANE)
    method = tiny.method("kl", on, step_size=50.0, updates=300)
    [(state, _)] = models.fit(method, on, [0, 1], [100, 200, 300])
    assert not state.alive.any() and state.update < 100


def test_samples_are_training_s_own_and_cost_it_no_chance() -> None:
    on = tiny.data(tiny.IMAGES)
    for name in ("kl", "amortized"):
        method = tiny.method(name, on)
        [(state, _)] = models.fit(method, on, [0, 1])
        before = save_state(state)
        x = models.sample(method, state, 5)
        assert (x.shape, x.dtype) == ((2, 5, *tiny.IMAGES), np.float32) and save_state(state) == before
        assert np.array_equal(x, models.sample(method, state, 5))
        assert state.pool is None or np.array_equal(x, state.pool[:, :5].float().numpy())
    with pytest.raises(ValueError, match="expected at most particles = 12"):
        models.sample(tiny.method("kl", on), next(models.fit(tiny.method("kl", on), on, [0]))[0], 13)


def test_the_example_runs(tmp_path: Path) -> None:
    code = "import runpy; runpy.run_path('examples/train_one.py')['main'](updates=8)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"},
                          capture_output=True, text=True, check=True, timeout=120)
    lines = done.stdout.splitlines()
    assert [line.split(":")[0] for line in lines[:4]] == [f"update {k}" for k in (2, 4, 6, 8)]
    assert "energy_distance_256" in lines[3] and any("modes_256" in line for line in lines[4:])
