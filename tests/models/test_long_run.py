"""The run after training: the same chain as before it was watched, and an autocorrelation time that is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

import models.measures.long_run
from models.measures.chains import convergence
from models.measures.long_run import SCALARS, long_run, told
from models.methods.method import Networks, first
from models.networks.layers import Network
from models.noise import Noise, generators_for
from models.testing import tiny
from models.training.step import init_state


def noise(*seeds: int) -> Noise:
    return Noise(generators_for(seeds, "evaluation"), torch.float64)


@pytest.mark.parametrize("name", tiny.ALL)
@pytest.mark.parametrize("shape", [tiny.PLANE, tiny.IMAGES], ids=["plane", "images"])
def test_watched_chains_are_those_of_one_run(name: str, shape: tuple[int, ...],
                                             monkeypatch: pytest.MonkeyPatch) -> None:
    """Two records of 3 steps and one step more, against `method.run` of 7 and of 6 steps, bit for bit."""
    monkeypatch.setattr(models.measures.long_run, "RECORDS", 3)
    on = tiny.data(shape)
    method = tiny.method(name, on)
    state = init_state(method, on, [4, 5])
    start = method.reference(noise(1, 2), 6) if state.pool is None else first(state.pool, 6)
    axes = np.linalg.qr(np.random.default_rng(0).normal(size=(int(np.prod(shape)), 2)))[0]
    found = long_run(method, state.nets, start, noise(4, 5), 7, axes)
    assert torch.equal(found.x, method.run(state.nets, start, noise(4, 5), 7)[0].x)
    assert found.every == 3 and found.traces.shape == (2, len(SCALARS), 6, 2)
    draw = method.run(state.nets, start, noise(4, 5), 6)[0]
    flat = draw.x.flatten(2).numpy()
    expected = [-method.potential(state.nets, draw.point).detach().numpy(), flat.mean(2), flat @ axes[:, 0],
                flat @ axes[:, 1]]
    np.testing.assert_allclose(found.traces[..., 1], np.stack(expected, 1), rtol=1e-12, atol=1e-12)


class Well(Network):
    """f(x) = -(a - 1) ||x||^2 / 2: with sigma = 1 the potential is a ||x||^2 / 2."""

    def __init__(self, a: float) -> None:
        super().__init__([])
        self.a = a

    def forward(self, x: Tensor) -> Tensor:
        return -(self.a - 1) * x.square().sum(-1) / 2


@pytest.mark.parametrize(("step", "steps"), [(0.4, 400), (0.1, 800)])
def test_the_autocorrelation_time_of_langevin_on_a_gaussian(step: float, steps: int) -> None:
    """E3 at eta lambda is an AR(1) with rho = 1 - eta lambda: IAT (2 - eta lambda) / (eta lambda) steps; of the energy,
    whose correlation is rho^2k, (1 + rho^2) / (1 - rho^2). With 800 steps only every second is recorded."""
    curvature = 4.0
    eta = step / curvature
    method = tiny.method("kl", tiny.data(tiny.PLANE), step_size=math.sqrt(2 * eta))
    chance = noise(0)
    start = chance.normal(64, 2) / math.sqrt(curvature * (1 - step / 2))
    run = long_run(method, Networks(Well(curvature), None), start, chance, steps, np.eye(2))  # type: ignore[arg-type]
    assert run.every == steps // 400 and run.traces.shape == (1, 4, 64, 400)
    found = told(run, 0)
    for name in ("mean", "pc1", "pc2"):
        assert found[f"iat_{name}_64"] == pytest.approx((2 - step) / step, rel=0.12)
    rho = 1 - step
    assert found["iat_energy_64"] == pytest.approx((1 + rho**2) / (1 - rho**2), rel=0.2)


def test_what_is_told_is_of_each_scalar_and_replicate() -> None:
    traces = np.random.default_rng(0).normal(size=(2, len(SCALARS), 5, 30))
    traces[1, 2, 0] += 9
    run = models.measures.long_run.LongRun(torch.zeros(1), traces, 7)
    for r in range(2):
        found = told(run, r)
        assert len(found) == 12
        for k, name in enumerate(SCALARS):
            c = convergence(traces[r, k])
            assert [found[f"{what}_{name}_5"] for what in ("rhat", "ess", "iat")] == [c.rhat, c.ess, 7 * c.iat]
    assert told(run, 1)["rhat_pc1_5"] > 1.05 > told(run, 0)["rhat_pc1_5"]


def test_chains_too_short_or_broken_tell_nothing() -> None:
    traces = np.random.default_rng(0).normal(size=(1, len(SCALARS), 5, 9))
    run = models.measures.long_run.LongRun(torch.zeros(1), traces, 1)
    assert told(run, 0) == {}
    broken = np.repeat(traces, 2, 3)
    broken[0, 0, 0, 0] = np.nan
    assert told(run._replace(traces=broken), 0) == {}
