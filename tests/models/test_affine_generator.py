"""Methods with an affine g(z) = Wz + b, where everything is known: E8's chain, E13 in z, how E10 loses spread."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import models.training.step
from models.methods.jko import JKOKnobs as JKO
from models.methods.kl import KLKnobs as KL
from models.methods.method import Draw, Method, Networks
from models.networks.layers import Network
from models.networks.mlp import MLPScore
from models.noise import Noise, generators_for
from models.stability.law import fixed_point, limit
from models.testing import tiny
from models.training.step import init_state, train_step

F64 = torch.float64
W = np.array([[1.2, 0.5], [-0.3, 0.7]])
B = np.array([0.4, -1.0])
ETA = 0.3**2 / 2


class Affine(Network):
    """g(z) = Wz + b of one replicate."""

    def __init__(self, w: NDArray[np.float64], b: NDArray[np.float64]) -> None:
        super().__init__([])
        self.w, self.b = nn.Parameter(torch.tensor(w)[None]), nn.Parameter(torch.tensor(b)[None])

    def forward(self, z: Tensor) -> Tensor:
        return z @ self.w.transpose(1, 2) + self.b.unsqueeze(1)


class Bent(Network):
    """g(z) = z + z^3 / 3, whose log-determinant log(1 + z^2) is not constant."""

    def forward(self, z: Tensor) -> Tensor:
        return z + z**3 / 3


class Bowl(Network):
    """f(x) = -a ||x||^2 / 2 with one number a, at first 0."""

    def __init__(self) -> None:
        super().__init__([])
        self.a = nn.Parameter(torch.zeros(1, 1, dtype=F64))

    def forward(self, x: Tensor) -> Tensor:
        return -self.a * x.square().sum(-1) / 2


def noise(seed: int = 0) -> Noise:
    return Noise(generators_for([seed], "chain"), F64)


def method(name: str, **knobs: Any) -> Method:
    return tiny.method(name, tiny.data(tiny.PLANE), step_size=0.3, latent_dim=2, **knobs)


# E7 and E8

def test_a_chain_in_z_is_an_image_chain_preconditioned_by_ww() -> None:
    """x <- x - eta WW' grad V + delta W eps with V = (x - b)'(WW')^-1(x - b) / 2 - f(x): the reference is N(b, WW')."""
    f = MLPScore([2, 16, 16, 1], generators_for([0], "weights"), F64)
    with torch.no_grad():
        for p in f.parameters():
            p.mul_(2)
    z, steps = noise().normal(30, 2), 7
    draw, kept = method("hidden").run(Networks(f, Affine(W, B)), z, noise(1), steps)
    w, b, chance = torch.tensor(W), torch.tensor(B), noise(1)
    precision, x = torch.linalg.inv(w @ w.T), z[0] @ w.T + b
    assert (draw.x[0] - x).abs().max() > 0.5
    for _ in range(steps):
        x = x.detach().requires_grad_()
        centred = x - b
        potential = torch.einsum("ni,ij,nj->n", centred, precision, centred) / 2 - f(x[None])[0]
        (gradient,) = torch.autograd.grad(potential.sum(), x)
        x = x - ETA * gradient @ (w @ w.T) + 0.3 * chance.normal(30, 2)[0] @ w.T
    torch.testing.assert_close(draw.x[0], x.detach(), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(draw.x[0], kept[0] @ w.T + b, rtol=1e-12, atol=1e-12)


def test_without_f_images_have_the_mean_b_and_the_covariance_ww() -> None:
    start = noise().normal(100_000, 2)
    draw, _ = method("hidden").run(Networks(Bowl(), Affine(W, B)), start, noise(1), 30)
    x = draw.x[0].numpy()
    bias = 1 / (1 - ETA / 2)  # E3's own, on N(0, I)
    np.testing.assert_allclose(x.mean(0), B, atol=0.02)
    np.testing.assert_allclose(np.cov(x.T), W @ W.T * bias, atol=0.025)


def test_the_potential_in_z_has_no_log_determinant() -> None:
    """The model is defined in z: with f = 0 its chain keeps N(0, I) whatever g bends. In x that is the pushforward;
    with log|det g'| in U, z would be pushed to the sides, where g is steep."""
    ours, nets, z = method("hidden"), Networks(Bowl(), Bent([])), noise().normal(50_000, 2)
    torch.testing.assert_close(ours.potential(nets, z), z.square().sum(-1) / 2, rtol=1e-12, atol=1e-12)
    draw, _ = ours.run(nets, z, noise(1), 30)
    sd = math.sqrt(1 / (1 - ETA / 2))
    assert draw.point.std().item() == pytest.approx(sd, rel=0.01)
    assert (draw.x.abs() < 1 + 1 / 3).double().mean().item() == pytest.approx(math.erf(1 / sd / math.sqrt(2)), abs=0.01)


# E13 in z

S, GAIN = 0.5, 2.0  # sd of the data; g(z) = 2 z


def exact(sd: float, n: int = 64) -> Tensor:
    """(1, n, 2) points of mean 0 and covariance sd^2 I, exactly."""
    x = np.random.default_rng(0).normal(size=(n, 2))
    x -= x.mean(0)
    return torch.tensor(sd * x @ np.linalg.inv(np.linalg.cholesky(x.T @ x / n)).T)[None]


def slope(curvature: float, step_size: float, **knobs: Any) -> float:
    """d loss / d a of the built flow of `hidden`, where U(z) = curvature ||z||^2 / 2 and its particles are those of an
    endless chain of E3."""
    ours = tiny.method("hidden", tiny.data(tiny.PLANE), latent_dim=2, step_size=step_size, **knobs)
    f, g = Bowl(), Affine(GAIN * np.eye(2), np.zeros(2))
    with torch.no_grad():
        f.a.fill_((curvature - 1) / GAIN**2)
    kappa = step_size**2 / 2 * curvature
    z = exact(1 / math.sqrt(curvature * (1 - kappa / 2)))
    draw = Draw(g(z).detach(), z, g(z).detach(), z, z, None)  # type: ignore[arg-type]
    loss = ours.energy_loss(Networks(f, g), draw, exact(S), noise()).loss
    return float(torch.autograd.grad(loss.sum(), f.a)[0])


@pytest.mark.parametrize("law", [KL(), JKO(jko_weight=0.1), JKO(jko_weight=0.5)],
                         ids=lambda law: f"{type(law).__name__}-{getattr(law, 'jko_weight', 0)}")
def test_a_chain_in_z_has_the_law_of_s_over_the_gain(law: KL) -> None:
    """The law is silent for a trained g; for an affine g it holds with s / w: KL's limit is S / 2 here."""
    knobs = {"flow": "jko", "jko_weight": law.jko_weight} if isinstance(law, JKO) else {"flow": "kl"}
    s = S / GAIN
    for ratio in (0.5, 0.9, 3.0):
        step_size = ratio * s
        rest = fixed_point(s, law.balance(), step_size)
        if step_size < limit(s, law.balance()):
            assert abs(slope(rest, step_size, **knobs)) < 1e-9
            assert slope(0.9 * rest, step_size, **knobs) < -0.01 * S**2  # descent raises a, and lambda with it
            assert slope(1.1 * rest, step_size, **knobs) > -0.01 * S**2  # of two roots the smaller
        else:
            assert math.isnan(rest)
            highest = 2 / (step_size**2 / 2)
            assert all(slope(share * highest, step_size, **knobs) < 0 for share in np.linspace(0.05, 0.99, 30))


def trained(monkeypatch: pytest.MonkeyPatch, step_size: float, updates: int) -> float | None:
    """lambda in z at which the trainer of `hidden` with flow kl ends, g held; None where it diverges."""
    monkeypatch.setattr(models.training.step, "score_network", lambda *args, **kwargs: Bowl())
    monkeypatch.setattr(models.training.step, "upsampler_network",
                        lambda *args, **kwargs: Affine(GAIN * np.eye(2), np.zeros(2)))
    on = dataclasses.replace(tiny.data(tiny.PLANE), train=exact(S, 4096)[0].numpy().astype(np.float32))
    ours = tiny.method("hidden", on, latent_dim=2, step_size=step_size, mcmc_steps=4, batch_size=512, particles=512,
                       refresh=0.0, lr_f=0.3, lr_g=1e-12, updates=updates, flow="kl")
    state, path = init_state(ours, on, [0]), []
    for _ in range(updates):
        state, _ = train_step(ours, on, state)
        path.append(1 + state.nets.f.a.item() * GAIN**2)  # type: ignore[operator]
        if not state.alive.all():
            return None
    return float(np.mean(path[-updates // 3:]))


def test_training_in_z_rests_below_s_over_the_gain_and_diverges_above(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real trainer: 18.7 at 0.7 s / w (16 without E3's bias, 4.1 were it the law of s), none at 1.3 s / w."""
    s = S / GAIN
    assert trained(monkeypatch, 0.7 * s, 200) == pytest.approx(fixed_point(s, KL().balance(), 0.7 * s), rel=0.06)
    assert trained(monkeypatch, 1.3 * s, 200) is None


# E9 and E10

class Antithetic(Noise):
    """Noise whose second half of a batch is minus the first: it leaves every mean."""

    def normal(self, *shape: int) -> Tensor:
        half = super().normal(shape[0] // 2, *shape[1:])
        return torch.cat([half, -half], 1)


@pytest.mark.parametrize("steps", [1, 4])
def test_a_linear_sampler_that_only_regresses_loses_its_spread_as_the_chain_contracts(steps: int) -> None:
    """W <- (I - eta Lambda)^T W a round of E9 and exact E10, though x_T keeps a spread by its noise alone."""
    curvature = 3.0
    ours, f, g = method("amortized", mcmc_steps=steps), Bowl(), Affine(W, B)
    with torch.no_grad():
        f.a.fill_(curvature - 1)  # the reference's own is 1
    z = exact(1.0).repeat(1, 2, 1)
    shrink, chance = (1 - ETA * curvature) ** steps, Antithetic(generators_for([1], "chain"), F64)
    for _ in range(3):
        before = [p.detach().clone() for p in (g.w, g.b)]
        draw, _ = ours.run(Networks(f, g), z, chance, steps)
        loss = ours.generator_loss(Networks(f, g), draw)
        assert loss is not None
        gradients = torch.autograd.grad(loss.sum(), [g.w, g.b])
        with torch.no_grad():  # z has second moment I: half the gradient leads to the minimum of a quadratic loss
            for p, gradient in zip((g.w, g.b), gradients, strict=True):
                p.sub_(gradient / 2)
        for p, old in zip((g.w, g.b), before, strict=True):
            torch.testing.assert_close(p.detach(), shrink * old, rtol=1e-9, atol=1e-12)
    assert np.cov(draw.x[0].T)[1, 1] > 0.9 * steps * 2 * ETA * shrink  # the noise of the steps


def test_the_spread_of_g_is_measured_against_that_of_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """sd_ratio_g: root mean square over directions of the sd of g(z), over that of the batch of data."""
    monkeypatch.setattr(models.training.step, "upsampler_network", lambda *args, **kwargs: Affine(W, B))
    on, ours = tiny.data(tiny.PLANE), method("amortized", batch_size=48, lr_g=1e-12)
    state, again = init_state(ours, on, [0]), init_state(ours, on, [0])
    _, info = train_step(ours, on, state)
    made = ours.reference(again.noise, 48)[0].numpy() @ W.T + B  # of the z where the chain started
    data = np.asarray(on.train, np.float64)  # a batch of 48 is all of it
    expected = math.sqrt(made.var(0, ddof=1).mean() / data.var(0, ddof=1).mean())
    assert info.sd_ratio_g.item() == pytest.approx(expected, rel=1e-9)
    assert abs(expected - 1) > 0.2


def test_training_an_affine_g_by_regression_collapses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the real trainer, f held at the data's own curvature: sd g(z) falls below 1/4 of the data's, not x_T's."""
    monkeypatch.setattr(models.training.step, "upsampler_network",
                        lambda *args, **kwargs: Affine(np.eye(2), np.zeros(2)))
    held = Bowl()
    with torch.no_grad():
        held.a.fill_(3.0)  # sd 1 / 2
    monkeypatch.setattr(models.training.step, "score_network", lambda *args, **kwargs: held)
    on = dataclasses.replace(tiny.data(tiny.PLANE), train=exact(S, 4096)[0].numpy().astype(np.float32))
    ours = method("amortized", batch_size=64, lr_f=1e-12, lr_g=0.03, mcmc_steps=20, updates=120)
    state = init_state(ours, on, [0])
    for _ in range(120):
        state, info = train_step(ours, on, state)
    assert info.sd_ratio_g.item() < 0.25 and info.variance_ratio.item() > 0.7
