"""The code against closed forms: Langevin's variance, JKO's second order, E4 on a grid, the trainer's fixed points."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import models.training.step
from models.langevin import langevin
from models.methods.jko import jko_flow
from models.methods.kl import kl_flow
from models.methods.method import Draw, Networks
from models.networks.layers import Network
from models.networks.mlp import MLPScore
from models.noise import Noise, generators_for
from models.testing import tiny
from models.training.step import init_state, train_step


@pytest.mark.parametrize("step_size", [0.5, 1.0, 1.5])
def test_discrete_langevin_keeps_its_own_variance(step_size: float) -> None:
    """On N(0, s^2) the variance is s^2 / (1 - delta^2 / (4 s^2)), not s^2 (here 1.07, 1.33 and 2.29 times s^2)."""
    s = 1.0
    noise = Noise(generators_for([0], "chain"), torch.float64)
    x, info = langevin(lambda x: x.square().sum(-1) / (2 * s**2), noise.normal(100_000, 1), steps=30,
                       step_size=step_size, noise=noise)
    exact = s**2 / (1 - step_size**2 / (4 * s**2))
    assert abs(x.var().item() / exact - 1) < 0.015  # the standard error is .0045
    assert abs(info.virial.item() / (exact / s**2) - 1) < 0.015
    a = step_size**2 / (2 * s**2)  # eta lambda: would-be acceptance of a stationary move, from an independent sampler
    rng = np.random.default_rng(1)
    x0 = rng.normal(0, math.sqrt(exact), 200_000)
    x1 = (1 - a) * x0 + step_size * rng.normal(size=200_000)
    log_q = -(((x0 - (1 - a) * x1) ** 2) - (x1 - (1 - a) * x0) ** 2) / (2 * step_size**2)
    accepted = np.minimum(1, np.exp((x0**2 - x1**2) / (2 * s**2) + log_q)).mean()
    assert abs(info.acceptance.item() - accepted) < 0.005
    _, first = langevin(lambda x: x.square().sum(-1) / (2 * s**2), noise.normal(100_000, 1), steps=2,
                        step_size=step_size, noise=noise)  # the one move that is judged starts at the target itself
    closed = 2 / math.pi * math.acos(a**2 / math.sqrt((a**2 + 2 * a) * (4 - 2 * a + a**2)))
    assert abs(first.acceptance.item() - closed) < 0.005
    assert abs(info.dissipation_last.item()) < 0.02  # at equilibrium a chain goes neither up nor down


def test_dissipation_and_drift_ratio_of_a_chain_known_by_hand() -> None:
    """Without noise on U = lambda ||x||^2 / 2 a step scales x by 1 - eta lambda, and U by its square."""
    curvature, step_size = torch.tensor([[1.0], [3.0]], dtype=torch.float64), 0.6
    x = torch.tensor([[[1.0, 2.0], [3.0, 0.5]]] * 2, dtype=torch.float64)
    eta = step_size**2 / 2

    def potential(x: Tensor) -> Tensor:
        return curvature * x.square().sum(-1) / 2

    _, info = langevin(potential, x, steps=4, step_size=step_size, noise=None)
    shrink, start = (1 - eta * curvature[:, 0]) ** 2, potential(x).mean(1)
    torch.testing.assert_close(info.dissipation_first, start * (1 - shrink) / eta)
    torch.testing.assert_close(info.dissipation_last, start * shrink**2 * (1 - shrink) / eta)
    noise = Noise(generators_for([0, 1], "chain"), x.dtype)
    _, info = langevin(potential, x, steps=1, step_size=step_size, noise=noise, temperature=0.25)
    length = eta * curvature[:, 0] * x.norm(dim=-1).mean(1)
    torch.testing.assert_close(info.drift_ratio, length / (step_size * 0.5 * math.sqrt(2)))
    torch.testing.assert_close(info.virial, curvature[:, 0] * x.square().sum(-1).mean(1) / (0.25 * 2))


@pytest.mark.parametrize("kappa", [0.95 * 2, 1.05 * 2])
def test_langevin_is_stable_exactly_below_eta_lambda_two(kappa: float) -> None:
    """Step by step the variance is (1 - kappa)^2 v + delta^2: it settles at 20 / lambda at kappa = 1.9, and grows by
    1.21 a step at 2.1. In the second direction, of a tenth of the curvature, both settle."""
    step_size, steps = 0.5, 60
    eta = step_size**2 / 2
    curvature = torch.tensor([kappa / eta, kappa / eta / 10], dtype=torch.float64)
    noise = Noise(generators_for([0], "chain"), torch.float64)
    x, _ = langevin(lambda x: (curvature * x.square()).sum(-1) / 2, 3 + 0 * noise.normal(100_000, 2), steps=steps,
                    step_size=step_size, noise=noise)
    for k, value in enumerate(curvature.tolist()):
        shrink = 1 - eta * value
        powers = shrink ** np.arange(steps)
        variance = step_size**2 * float(powers @ powers)
        assert x[0, :, k].mean().item() == pytest.approx(3 * shrink**steps, abs=4 * math.sqrt(variance / 100_000))
        assert x[0, :, k].var().item() == pytest.approx(variance, rel=0.02)
        if eta * value < 2:
            assert variance == pytest.approx(1 / (value * (1 - eta * value / 2)), rel=0.01)
        else:
            assert variance > 1e3 * step_size**2


def test_temperature_scales_the_variance() -> None:
    noise = Noise(generators_for([0], "chain"), torch.float64)
    x, _ = langevin(lambda x: x.square().sum(-1) / 2, noise.normal(100_000, 1), steps=40, step_size=0.5, noise=noise,
                    temperature=0.3)
    assert abs(x.var().item() / (0.3 / (1 - 0.5**2 / 4)) - 1) < 0.015


def test_a_clipped_drift_has_the_stated_norm() -> None:
    x = torch.tensor([[[3.0, 4.0], [0.03, 0.04]]], dtype=torch.float64)
    out, info = langevin(lambda x: x.square().sum(-1) / 2, x, steps=1, step_size=math.sqrt(2), noise=None,
                         drift_clip=1.0)
    torch.testing.assert_close(out[0, 0], torch.tensor([2.4, 3.2], dtype=torch.float64))
    assert out[0, 1].norm() < 1e-12 and info.clip_fraction.item() == 0.5


def _plane() -> tuple[Networks, Tensor, Tensor]:
    f = MLPScore([2, 16, 16, 1], generators_for([0], "weights"), torch.float64)
    with torch.no_grad():
        for p in f.parameters():
            p.mul_(2)  # so that the gradient of f is of the order of the reference's
    noise = Noise(generators_for([0], "chain"), torch.float64)
    return Networks(f, None), noise.normal(64, 2), noise.normal(64, 2)


def _gradient(loss: Tensor, nets: Networks) -> Tensor:
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss.sum(), list(nets.f.parameters()))])


def test_jko_at_half_the_step_is_kl_with_drifted_negatives_to_second_order() -> None:
    """Fact 1: E6 at beta = h/2 against E4 with negatives moved by -h grad U; the difference falls as h^2."""
    nets, x_data, x = _plane()
    on, steps = tiny.data(tiny.PLANE), 2.0 ** -np.arange(4, 10)
    differences = []
    for h in steps:
        kl = tiny.method("kl", on, negatives_drift=1, step_size=math.sqrt(2 * h))
        jko = tiny.method("jko", on, beta=h / 2, step_size=math.sqrt(2 * h))
        drifted = kl.drifted(nets, x)
        assert (drifted - x).abs().max() > 0
        losses = [kl_flow(kl, nets, Draw(x, x, drifted, None, None, None), x_data, None).loss,  # type: ignore[arg-type]
                  jko_flow(jko, nets, Draw(x, x, x, None, None, None), x_data, None).loss]  # type: ignore[arg-type]
        differences.append((_gradient(losses[0], nets) - _gradient(losses[1], nets)).norm().item())
    order = np.polyfit(np.log(steps), np.log(differences), 1)[0]
    assert abs(order - 2) < 0.1


def test_e4_is_the_gradient_of_the_exact_likelihood() -> None:
    """E4 with particles of the model itself, against the gradient of the negative log-likelihood on a grid."""
    nets, x_data, _ = _plane()
    method = tiny.method("kl", tiny.data(tiny.PLANE))
    axis = torch.linspace(-6, 6, 201, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)[None]
    log_p = -method.potential(nets, grid)
    exact = _gradient(log_p.logsumexp(1) + method.potential(nets, x_data).mean(1), nets)
    cumulative = log_p.detach().softmax(1)[0].cumsum(0)
    levels = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000  # systematic sampling of the grid cells
    particles = grid[:, torch.searchsorted(cumulative, levels).clamp(max=grid.shape[1] - 1)]
    loss = kl_flow(method, nets, Draw(particles, particles, particles, None, None, None),  # type: ignore[arg-type]
                   x_data, None).loss  # type: ignore[arg-type]
    error = (_gradient(loss, nets) - exact).norm() / exact.norm()
    assert error < 2e-3


class Quadratic(Network):
    """f(x) = -a ||x||^2 / 2 with one learnable number a replicate: the energy on which training is closed form."""

    def __init__(self, replicates: int) -> None:
        super().__init__([])
        self.a = nn.Parameter(torch.zeros(replicates, 1, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return -self.a * x.square().sum(-1) / 2


S = 0.5  # sd of the data


def _curvature(monkeypatch: pytest.MonkeyPatch, name: str, step_size: float, updates: int, lr_f: float = 0.05,
               **knobs: float) -> float | None:
    """lambda of U(x) = lambda ||x||^2 / 2 that the real training loop ends at, or None where it diverges."""
    monkeypatch.setattr(models.training.step, "score_network", lambda *args, **kwargs: Quadratic(1))
    sample = np.random.default_rng(0).normal(0, 1, (4096, 2))
    sample = (S * sample / np.sqrt((sample**2).mean())).astype(np.float32)
    on = dataclasses.replace(tiny.data(tiny.PLANE), train=sample)
    method = tiny.method(name, on, step_size=step_size, mcmc_steps=10, batch_size=512, particles=512, refresh=0.0,
                         lr_f=lr_f, updates=updates, **knobs)
    state, path = init_state(method, on, [0]), []
    for _ in range(updates):
        state, _ = train_step(method, on, state)
        path.append(state.nets.f.a.item() + 1)  # the reference's curvature is 1
        if not state.alive.all():
            return None
    half = np.mean(path[-200:-100]), np.mean(path[-100:])
    assert abs(half[0] / half[1] - 1) < 0.05  # it has settled
    return float(np.mean(half))


def test_kl_settles_below_s_where_the_law_says(monkeypatch: pytest.MonkeyPatch) -> None:
    step_size = 0.7 * S
    expected = 2 * (1 - math.sqrt(1 - step_size**2 / S**2)) / step_size**2  # 4.67; without the chain's noise bias 4
    found = _curvature(monkeypatch, "kl", step_size, updates=600)
    assert found is not None and abs(found / expected - 1) < 0.04


def test_kl_diverges_above_s(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _curvature(monkeypatch, "kl", 1.15 * S, updates=800, lr_f=0.1) is None


@pytest.mark.parametrize("weight", [0.25, 0.5])
def test_jko_settles_above_s_too(monkeypatch: pytest.MonkeyPatch, weight: float) -> None:
    step_size = 1.3 * S
    eta = step_size**2 / 2
    roots = np.roots([S**2 * eta / 2, -(S**2 + 4 * weight * eta), 1])  # 2.6 and 1.6
    found = _curvature(monkeypatch, "jko", step_size, updates=300, jko_weight=weight)
    assert found is not None and abs(found / roots.min() - 1) < 0.04
