"""What evaluation says: finite numbers with an honest n, and nothing that training would notice."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from models.data.load import load
from models.measures import evaluation
from models.measures.evaluation import Evaluator, SampleMetrics
from models.measures.quality import energy_distance
from models.testing import tiny
from models.training.checkpoint import save_state
from models.training.step import Info, TrainState, init_state, train_step


def trained(name: str, train: int = 3, **knobs: Any) -> tuple[Evaluator, TrainState, list[Info]]:
    on = load("gaussians8")
    method = tiny.method(name, on, **knobs)
    state, infos = init_state(method, on, [0, 1]), []
    for _ in range(train):
        state, info = train_step(method, on, state)
        infos.append(info)
    return Evaluator(method, on, samples=12, long_run=2), state, infos


@pytest.mark.parametrize("name", tiny.ALL)
def test_measuring_leaves_the_training_state_as_it_was(name: str) -> None:
    evaluator, state, infos = trained(name)
    before = save_state(state)
    points, (finals, samples) = evaluator.point(state, infos), evaluator.final(state)
    assert save_state(state) == before
    assert evaluator.point(state, infos) == points  # and it is the same when asked again
    for row in [*points, *finals]:
        assert row and all(isinstance(v, float) and math.isfinite(v) for v in row.values())
    assert samples.shape == (2, 12, 2) and {"energy_distance_12", "energy_distance_12_long"} <= finals[0].keys()
    assert {"response_gap", "response_gap_1", "response_gap_2", "update_snr", "energy_scale"} <= points[1].keys()
    assert points[1]["response_gap"] == max(points[1][f"response_gap_{k}"] for k in (1, 2))
    assert ("kl_grid" in finals[0]) == ("nll_grid" in finals[1]) == (name != "hidden")  # its density lives in z
    assert name == "hidden" or all(0 <= row["border_grid"] <= 1 for row in finals)
    reference = evaluator.metrics.reference
    assert finals[1]["energy_distance_12"] == pytest.approx(energy_distance(samples[1], reference))


def test_the_gauge_is_that_of_the_chain_nearest_its_limit() -> None:
    """ggcn has two chains; its curvature in z grows with the latent step while the image chain's stays."""
    evaluator, state, infos = trained("ggcn")
    short, hp = [row["kappa"] for row in evaluator.point(state, infos)], evaluator.method.hp
    evaluator.method.hp = dataclasses.replace(hp, latent_step_size=1.4)
    long = [row["kappa"] for row in evaluator.point(state, infos)]
    assert all(b > 0.9 > a for a, b in zip(short, long, strict=True)), (short, long)  # ||z||^2/2 alone gives .98


def test_the_long_run_has_64_chains_whatever_the_samples_and_says_so_in_its_name() -> None:
    evaluator, state, _ = trained("kl", particles=80)
    wide = Evaluator(evaluator.method, evaluator.metrics.data, samples=80, long_run=4)
    row = wide.final(state)[0][0]
    assert {"energy_distance_80", "energy_distance_64_long", "rhat_energy_64"} <= row.keys()
    assert "energy_distance_80_long" not in row
    assert 0 < wide.long_seconds and evaluator.long_seconds == 0


def test_a_diverged_replicate_has_no_quality() -> None:
    evaluator, state, infos = trained("kl")
    state.alive[0] = False
    assert evaluator.point(state, infos)[0] == {} and evaluator.point(state, infos)[1]
    assert evaluator.final(state)[0][0] == {} and evaluator.final(state)[0][1]


def test_a_pool_smaller_than_the_samples_is_refused_not_renamed() -> None:
    evaluator, state, infos = trained("kl", particles=10)
    with pytest.raises(ValueError, match="samples: found 12, expected at most particles = 10"):
        evaluator.point(state, infos)


def test_points_are_means_over_the_window_and_tell_its_oscillation() -> None:
    evaluator, state, infos = trained("kl")
    row = evaluator.point(state, infos)[1]
    gaps = [float(info.gap[1]) for info in infos]
    assert row["gap"] == pytest.approx(np.mean(gaps)) and row["gap_sd"] == pytest.approx(np.std(gaps, ddof=1))
    assert row["energy_scale"] == pytest.approx(np.mean([math.log(info.sd_f[1]) for info in infos]))


def test_the_response_gap_is_between_the_samples_and_held_out_data_as_training_sees_them() -> None:
    for smoothing in (0.0, 1.0):
        evaluator, state, infos = trained("kl", data_noise=smoothing, train=1)
        evaluator.samples = 2000
        held_out = torch.tensor(evaluator.metrics.reference, dtype=torch.float64)
        state.pool = torch.stack([held_out, held_out + 5])  # of the first replicate: the very data
        found = [row["response_gap"] for row in evaluator.point(state, infos)]
        assert found[1] > 1 and (found[0] < 1e-12 if not smoothing else 0.003 < found[0] < 0.5)


def test_convergence_of_the_long_run_and_saturation_are_in_the_final_row() -> None:
    evaluator, state, _ = trained("kl")
    evaluator.long_run = 4  # 12 steps
    row = evaluator.final(state)[0][1]
    scalars = ("energy", "mean", "pc1", "pc2")
    assert {f"{what}_{name}_12" for what in ("rhat", "ess", "iat") for name in scalars} <= row.keys()
    assert not any("saturation" in name for name in row)  # the plane has no edge
    on = load("faces")
    method = tiny.method("kl", on)
    state = init_state(method, on, [0, 1])
    assert state.pool is not None
    state.pool[0], state.pool[1] = 3.0, 0.1
    evaluator = Evaluator(method, on, samples=12, long_run=0)
    edge = np.mean(abs(on.search) >= 1 - 2 / 256)
    found = [row["saturation_excess_12"] for row in evaluator.final(state)[0]]
    assert found == pytest.approx([1 - edge, -edge])


class Well(torch.nn.Module):
    """f(x) = -(a - 1) ||x||^2 / 2: with sigma = 1 the potential is a ||x||^2 / 2."""

    def __init__(self, a: float) -> None:
        super().__init__()
        self.a = a

    def forward(self, x: Tensor) -> Tensor:
        return -(self.a - 1) * x.square().sum(-1) / 2


def test_the_model_at_a_temperature_is_what_its_chain_samples() -> None:
    """KL of two Gaussians in the plane, N(0, s^2) data and exp(-U / tau) of precision a / tau, in closed form."""
    tau, a, s = 0.3, 2.0, 0.5

    class Gaussian:
        local_sd, extent, modes = s, (-5.0, 5.0), None

        def log_prob(self, x: np.ndarray) -> np.ndarray:
            return -(x**2).sum(1) / (2 * s**2) - math.log(2 * math.pi * s**2)

    held_out = np.random.default_rng(0).normal(0, s, (40, 2))

    def grid(temperature: float) -> dict[str, float]:
        evaluator, state, _ = trained("kl", temperature=temperature, train=1)
        density: Any = Gaussian()
        evaluator.metrics.data = dataclasses.replace(evaluator.metrics.data, density=density)
        evaluator.metrics.reference = held_out
        state.nets = state.nets._replace(f=Well(a))  # type: ignore[arg-type]
        return evaluator._grid(evaluation._log_densities(evaluator.method, state), 0)

    ratio = s**2 * a / tau
    nll = (np.mean(np.sum(held_out**2, 1)) * a / (2 * tau) + math.log(2 * math.pi * tau / a)) / 2
    assert grid(tau)["nll_grid"] == pytest.approx(nll, rel=1e-3)
    assert grid(tau)["kl_grid"] == pytest.approx(ratio - 1 - math.log(ratio), rel=1e-3)
    assert grid(0.0) == {}  # without noise there is no density


def test_the_floor_of_real_data_is_small_and_noise_is_far() -> None:
    metrics = SampleMetrics(load("gaussians8"), 128)
    rng = np.random.default_rng(0)
    floor = metrics.floors(10, rng)[metrics.primary]
    assert abs(floor.mean) < 0.05 and floor.n == 128
    assert metrics(rng.normal(0, 0.5, (128, 2)).astype(np.float32)) > 0.3
