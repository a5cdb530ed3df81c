"""What a chain of images may be held by beside a drift's norm: its range, a bound on each pixel's move, less noise
towards its end; and images that are mirrored."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from models.langevin import langevin
from models.methods.kl import KL, KLKnobs
from models.noise import Noise, generators_for
from models.registry import METHODS, find
from models.testing import tiny
from models.training import step
from models.training.step import init_state, train_step

F64 = torch.float64
START = torch.tensor([[[0.9, -0.5], [3.0, 0.1]]], dtype=F64)


def bowl(x: torch.Tensor) -> torch.Tensor:
    """U = 4 ||x||^2 / 2: with step size 1/2 a step moves by half of x."""
    return 2 * x.square().sum(-1)


def chance() -> Noise:
    return Noise(generators_for([0], "chain"), F64)


def test_a_move_is_bounded_in_each_pixel_and_counted() -> None:
    x, info = langevin(bowl, START, steps=1, step_size=0.5, noise=None, move_clip=0.3)
    torch.testing.assert_close(x, torch.tensor([[[0.6, -0.25], [2.7, 0.05]]], dtype=F64))
    assert info.clip_fraction.item() == pytest.approx(2 / 4)  # .45 and 1.5 of four moves
    both, info = langevin(bowl, START, steps=1, step_size=0.5, noise=None, move_clip=0.3, drift_clip=0.5)
    assert both[0, 1, 0] == pytest.approx(2.7) and info.clip_fraction.item() == 1  # both particles; half of the moves


def test_values_stay_within_the_range() -> None:
    free, _ = langevin(bowl, START, steps=3, step_size=0.5, noise=chance(), temperature=4.0)
    x, info = langevin(bowl, START, steps=3, step_size=0.5, noise=chance(), temperature=4.0, clamp=(-0.5, 1.0))
    assert free.max() > 1 and x.max() <= 1 and x.min() >= -0.5
    assert info.acceptance.isnan().all()  # Metropolis' rule is that of E3 alone


def test_noise_falls_along_a_chain_that_is_annealed() -> None:
    """Step k of T has 1 - (k - 1) / T of it: without a drift the variances add up."""
    n, steps = 20_000, 4
    x, _ = langevin(lambda x: 0 * x.sum(-1), torch.zeros(1, n, 1, dtype=F64), steps=steps, step_size=1.0,
                    noise=chance(), anneal=True)
    variance = sum((1 - k / steps) ** 2 for k in range(steps))
    assert float(x.var()) == pytest.approx(variance, rel=0.05)


@pytest.mark.parametrize("name", METHODS)
def test_bounds_are_those_of_the_chain_of_images(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chain in z has no black and white; of a data set from 0 to 1 those are 0 and 1."""
    knobs = {"clamp": True, "move_clip": 0.1} if "clamp" in {f for f in vars(tiny.knobs(name))} else {}
    assert bool(knobs) == (name != "hidden")
    on, asked = tiny.data(tiny.IMAGES), []
    method = type(tiny.method(name, on))(tiny.knobs(name, **knobs), on.shape, (0.0, 1.0))
    monkeypatch.setattr("models.langevin.langevin", lambda potential, x, **given: asked.append(
        (x.dim(), given.get("clamp"), given.get("move_clip"))) or langevin(potential, x, **given))
    train_step(method, on, init_state(method, on, [0]))
    expected = {"hidden": [(3, None, None)], "ggcn": [(3, None, None), (5, (0.0, 1.0), 0.1)]}
    assert asked == expected.get(name, [(5, (0.0, 1.0), 0.1)])


def test_the_law_is_silent_of_a_range_that_holds_particles() -> None:
    assert KLKnobs(move_clip=0.1).balance() == KLKnobs().balance()
    assert KLKnobs(clamp=True).balance() is None and KLKnobs(anneal=True).balance() is None
    assert KL(KLKnobs(), (1, 8, 8)).bounds((1, 8, 8)) == {"clamp": None, "move_clip": None}


def test_half_of_the_images_are_mirrored() -> None:
    x = torch.arange(3.0).expand(2, 4000, 1, 1, 3).to(F64)
    noise = Noise(generators_for([0, 1], "chain"), F64)
    turned = step._mirrored(x, noise)
    is_turned = turned[..., 0] == 2
    assert torch.equal(turned[is_turned[..., 0, 0]], x.flip(-1)[is_turned[..., 0, 0]])
    assert torch.equal(turned[~is_turned[..., 0, 0]], x[~is_turned[..., 0, 0]])
    shares = is_turned.double().mean((1, 2, 3))
    assert ((shares - 0.5).abs() < 0.04).all() and not torch.equal(is_turned[0], is_turned[1])


@pytest.mark.parametrize(("name", "times"), [("kl", 2), ("hidden", 1), ("amortized", 1)])
def test_data_and_the_images_of_a_pool_are_mirrored(name: str, times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    on, seen = tiny.data(tiny.IMAGES), []
    method = tiny.method(name, on, flip=True)
    monkeypatch.setattr(step, "_mirrored", lambda x, noise: seen.append(x.shape) or x)
    train_step(method, on, init_state(method, on, [0]))
    assert seen == [(1, 8, *tiny.IMAGES)] * times


@pytest.mark.parametrize(("method", "given", "knob", "said"), [
    ("kl", {"temperature": 0.0, "temperature_end": 0.1}, "temperature_end", "has no effect from temperature: 0"),
    ("kl", {"step_size_end": 2.0}, "step_size_end", "2.0 >= 2 sigma = 2"),
    ("kl", {"warmup": 600}, "warmup", "found 600, expected less than updates = 600"),
    ("kl", {"ema": 600.0}, "ema", "found 600, expected a half-life below updates = 600"),
    ("hidden", {"step_size_end": 2.5}, "step_size_end", "2.5 >= 2 sigma = 2"),
    ("kl", {"budget": 1e6, "updates": 300}, "budget", "found it and updates = 300, expected one of the two"),
    ("kl", {"budget": 1407.0}, "budget", "found 1407, expected at least 1,408, which one update costs"),
    ("kl", {"budget": 1408e2, "warmup": 100}, "warmup", "found 100, expected less than updates = 100"),
    ("ggcn", {"budget": 1e5, "anchor": 1.0, "pretrain": 200}, "pretrain", "expected less than updates = 142"),
])
def test_what_goes_together_is_said(method: str, given: dict[str, Any], knob: str, said: str) -> None:
    assert [key for key, text in find("method", method).Knobs.conflicts(given) if said in text] == [knob]


@pytest.mark.parametrize(("method", "given"), [
    ("kl", {}), ("kl", {"negatives_drift": 2}), ("amortized", {}), ("ggcn", {"anchor": 1.0, "pretrain": 30}),
    ("hidden", {"steps_g": 3, "redraw": True})])
@pytest.mark.parametrize("mcmc_steps", [1, 7, 20])
def test_a_budget_is_as_many_updates_as_it_pays_for(method: str, given: dict[str, Any], mcmc_steps: int) -> None:
    kind = find("method", method).Knobs
    hp = kind(budget=2e5, mcmc_steps=mcmc_steps, **given)
    for bad in (0.0, hp.gradients_until(1) - 1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"budget: found .*, expected a number from [\d,]+, which one update"):
            kind(budget=bad, mcmc_steps=mcmc_steps, **given)
    assert hp.gradients_until(hp.updates) <= 2e5 < hp.gradients_until(hp.updates + 1) and hp.budget is None
    assert hp == kind(updates=hp.updates, mcmc_steps=mcmc_steps, **given)
    assert kind.now({"budget": 2e5, "mcmc_steps": mcmc_steps, **given}, "updates") == hp.updates


@pytest.mark.parametrize("knob", ["flip", "norm_g", "gain_g", "clamp"])
def test_in_the_plane_some_knobs_have_no_use(knob: str) -> None:
    kind = find("method", "ggcn").Knobs
    value = {"norm_g": "group", "gain_g": 2.0}.get(knob, True)
    assert [key for key, _ in kind.shape_conflicts({knob: value}, (2,))] == [knob]
    default = next(field.default for field in dataclasses.fields(kind) if field.name == knob)
    assert kind.shape_conflicts({knob: value}, (1, 8, 8)) == kind.shape_conflicts({knob: default}, (2,)) == []
