"""AIS against closed forms, a quadrature and itself in the other direction."""

from __future__ import annotations

import dataclasses
import math
from functools import partial

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from torch import Tensor

from models.data.densities import density
from models.data.load import load
from models.measures import ais, features
from models.measures.evaluation import Evaluator
from models.measures.feature_training import Contrast
from models.measures.quality import grid_kl
from models.noise import Noise, generators_for
from models.testing import tiny
from models.training.step import init_state, train_step

SIGMA = 1.0


def noise(replicates: int = 2, index: int = 0) -> Noise:
    return Noise(generators_for(range(replicates), "evaluation", index=index), torch.float64)


class Gaussians:
    """U of a Gaussian N(m, s^2 I) a replicate, less a constant; log Z = constant + (d/2) log(2 pi s^2)."""

    def __init__(self, d: int, s: list[float], m: list[float], constant: list[float]) -> None:
        self.d, self.constant = d, torch.tensor(constant, dtype=torch.float64)
        self.s, self.m = (torch.tensor(v, dtype=torch.float64)[:, None, None] for v in (s, m))

    def __call__(self, x: Tensor) -> Tensor:
        return ((x - self.m) ** 2 / (2 * self.s**2)).sum(-1) - self.constant[:, None]

    @property
    def log_z(self) -> Tensor:
        return self.constant + self.d / 2 * torch.log(2 * math.pi * self.s.flatten() ** 2)

    def sample(self, n: int, index: int = 9) -> Tensor:
        return self.m + self.s * noise(len(self.s), index).normal(n, self.d)


def test_log_z_of_gaussians_lies_between_the_bounds_and_both_are_close() -> None:
    law = Gaussians(8, [0.2, 1.3], [0.7, -0.4], [3.0, -5.0])
    found = ais.log_z_bounds(law, SIGMA, (8,), noise(), 150, 64, law.sample(64))
    assert found.high is not None and found.reverse is not None
    for bound in (found.low, found.high):
        assert bound.tolist() == pytest.approx(law.log_z.tolist(), abs=0.3)  # log sqrt 2 is .35, the missing shift 3
    assert (found.forward.effective > 15).all() and (found.reverse.effective > 15).all()
    assert ((found.forward.acceptance > 0.6) & (found.forward.acceptance < 0.97)).all()


def test_weights_are_unbiased_and_their_logs_bound_from_both_sides() -> None:
    """Few temperatures: E w is exact at any number of them (Neal 2001), E log w is not. Three dimensions and 20,000
    chains, so that a transition that is not invariant, or a lost half, would show."""
    law = Gaussians(3, [0.7, 0.8], [0.2, 0.0], [1.0, 2.0])
    log_z0 = 1.5 * math.log(2 * math.pi)
    path = ais.pilot(law, SIGMA, (3,), noise(), 7)
    forward = ais.anneal(law, SIGMA, path, noise(2, 1).normal(20000, 3), noise(2, 2))
    reverse = ais.anneal(law, SIGMA, path, law.sample(20000), noise(2, 3), reverse=True, warm_up=2)
    ratio = law.log_z - log_z0
    for run, sign in ((forward, 1), (reverse, -1)):
        weights = (run.log_weights - sign * ratio[:, None]).exp()
        error = weights.std(1) / math.sqrt(20000)
        assert (error < 0.015).all()
        assert ((weights.mean(1) - 1).abs() < 4 * error).all()
        assert (run.log_weights.mean(1) < sign * ratio - 0.01).all()  # Jensen's gap, in both directions


def test_the_transition_leaves_its_density_invariant_and_moves() -> None:
    """Exact draws stay exact: at b = 1/2 between N(0, 1) and N(m, s^2) the law is Gaussian again."""
    law = Gaussians(1, [0.5, 2.0], [1.0, -1.0], [0.0, 0.0])
    b = torch.tensor(0.5, dtype=torch.float64)
    precision = 0.5 / SIGMA**2 + 0.5 / law.s**2
    mean, sd = 0.5 * law.m / law.s**2 / precision, precision.rsqrt()
    x = mean + sd * noise(2, 1).normal(40000, 1)
    at = ais._point(law, SIGMA, x)
    source = noise(2, 2)
    for _ in range(3):  # large steps: without the right acceptance the law would be another
        at, chance = ais._hamiltonian(law, SIGMA, at, b, torch.tensor([0.6, 0.8], dtype=torch.float64), source)
    assert (chance.mean(1) < 0.99).all() and ((at.x - x).abs() > 1e-3).double().mean() > 0.9
    z = (at.x - mean) / sd
    assert z.mean(1).flatten().tolist() == pytest.approx([0, 0], abs=0.02)
    assert z.var(1).flatten().tolist() == pytest.approx([1, 1], abs=0.03)
    assert (z**4).mean(1).flatten().tolist() == pytest.approx([3, 3], abs=0.2)


def test_a_mode_that_no_particle_knows_flatters_both_ways_with_healthy_weights() -> None:
    """Two equal modes, one out of the reference's reach: log Z is low by log 2 and the effective size looks fine."""
    def potential(x: Tensor) -> Tensor:
        near, far = ((x - c).square().sum(-1) / (2 * 0.3**2) for c in (0.0, 30.0))
        return -torch.logaddexp(-near, -far)

    one = math.log(2 * math.pi * 0.3**2)
    known = 0.3 * noise(2, 5).normal(64, 2)
    found = ais.log_z_bounds(potential, SIGMA, (2,), noise(), 100, 64, known)
    assert found.high is not None and found.reverse is not None
    assert found.low.tolist() == pytest.approx([one, one], abs=0.1)  # the truth is one + log 2
    assert found.high.tolist() == pytest.approx([one, one], abs=0.1)
    assert (found.forward.effective > 30).all() and (found.reverse.effective > 30).all()


@pytest.mark.parametrize("name", ["gaussians8", "gaussians25"])
def test_log_z_of_a_density_in_the_plane_is_that_of_the_grid(name: str) -> None:
    """The reference is wide (sigma = 2), so all modes are found; the grid's log Z is exact to 1e-3."""
    law = density(name)
    arcs = torch.tensor(law._quadrature[0]), torch.tensor(law._quadrature[1]).log()

    def potential(x: Tensor) -> Tensor:
        square = (x[..., None, :] - arcs[0]).square().sum(-1)
        return -7 - torch.logsumexp(arcs[1] - square / (2 * law.local_sd**2), -1)

    def log_unnormalised(points: np.ndarray) -> np.ndarray:
        square = ((points[:, None] - arcs[0].numpy()) ** 2).sum(-1)
        return np.asarray(7 + logsumexp(arcs[1].numpy() - square / (2 * law.local_sd**2), axis=1))

    exact = grid_kl(log_unnormalised, law, 160).log_z
    assert exact == pytest.approx(7 + math.log(2 * math.pi * law.local_sd**2), abs=1e-3)
    samples = torch.tensor(law.sample(128, np.random.default_rng(0))).expand(2, 128, 2)
    found = ais.log_z_bounds(potential, 2.0, (2,), noise(), 120, 128, samples)
    assert found.high is not None
    assert found.low.tolist() == pytest.approx([exact] * 2, abs=0.35)
    assert found.high.tolist() == pytest.approx([exact] * 2, abs=0.35)


def test_replicates_do_not_see_each_other_and_a_broken_one_harms_none() -> None:
    law = Gaussians(2, [0.5, 0.8], [0.3, 0.0], [0.0, 0.0])

    def broken(x: Tensor) -> Tensor:
        return law(x) + torch.tensor([[0.0], [math.nan]], dtype=torch.float64)

    whole = ais.log_z_bounds(law, SIGMA, (2,), noise(), 20, 16)
    half = ais.log_z_bounds(broken, SIGMA, (2,), noise(), 20, 16)
    assert half.low[0] == whole.low[0] and half.low[1].isnan()
    assert half.high is None

    def walled(x: Tensor) -> Tensor:
        return law(x).where(x.abs().amax(-1) < 100, math.nan)

    at = ais._point(walled, SIGMA, noise().normal(16, 2))
    b, far = torch.tensor(1.0, dtype=torch.float64), torch.full((2,), 1e4, dtype=torch.float64)
    after, chance = ais._hamiltonian(walled, SIGMA, at, b, far, noise(2, 1))
    assert (chance == 0).all() and torch.equal(after.x, at.x)  # refused, and the pilot learns it
    with pytest.raises(ValueError, match="found steps = 1, expected at least 2"):
        ais.log_z_bounds(law, SIGMA, (2,), noise(), 1)


def test_likelihoods_are_nats_a_dimension_with_the_optimistic_one_below() -> None:
    law = Gaussians(4, [0.4, 0.6], [0.0, 0.2], [2.0, 0.0])
    found = ais.log_z_bounds(law, SIGMA, (4,), noise(), 100, 32, law.sample(16))
    held_out = law.sample(4000, 11)
    rows = found.likelihoods(law(held_out).mean(1), 4)
    for r, row in enumerate(rows):
        s = float(law.s[r])
        entropy = math.log(2 * math.pi * math.e * s**2) / 2  # of one dimension
        assert set(row) == {"nll_ais_forward_32", "ess_ais_forward_32", "nll_ais_reverse_16", "ess_ais_reverse_16"}
        assert row["nll_ais_forward_32"] == pytest.approx(entropy, abs=0.1)
        assert row["nll_ais_reverse_16"] == pytest.approx(entropy, abs=0.1)


@pytest.mark.parametrize(("name", "has"), [("kl", True), ("hidden", False)])
def test_the_evaluation_bounds_the_likelihood_of_a_trained_digits_model(
        name: str, has: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "Contrast", partial(Contrast, least_updates=2, most_updates=2))
    on = dataclasses.replace(load("digits"), labels=None, labels_search=None)  # no classifier to train
    method = tiny.method(name, on, particles=64, updates=5, batch_size=32, temperature=0.5)
    state = init_state(method, on, [0, 1])
    for _ in range(5):
        state, _ = train_step(method, on, state)
    off = Evaluator(method, on, samples=16, long_run=2).final(state)[0]
    row = Evaluator(method, on, samples=16, long_run=2, ais_steps=20).final(state)[0][1]
    assert not any("ais" in key for key in off[1])
    assert ("nll_ais_forward_64" in row) == has
    if has:  # five updates leave the model near its reference at tau = 1/2: sd .71 a pixel, entropy 1.07 nats
        sd2 = 0.5
        data = on.search.reshape(len(on.search), -1)
        reference = (np.mean(data**2) / sd2 + math.log(2 * math.pi * sd2)) / 2
        assert abs(row["nll_ais_forward_64"] - reference) < 0.5
        assert row["nll_ais_reverse_16"] == pytest.approx(row["nll_ais_forward_64"], abs=0.05)


@pytest.mark.parametrize("tau", [1.0, 0.5])
def test_the_bounds_enclose_the_grids_likelihood_of_a_trained_model(tau: float) -> None:
    """In the plane both are known of one and the same f: forward lies below the grid's and reverse above, up to four of
    their standard errors, and both within .12 nats a dimension. (A lost temperature moves both by less than that here:
    the next test.)"""
    on = load("gaussians8")
    method = tiny.method("kl", on, particles=128, updates=60, batch_size=64, mcmc_steps=10, step_size=0.25, lr_f=0.02,
                         temperature=tau)
    state = init_state(method, on, [0, 1])
    for _ in range(60):
        state, _ = train_step(method, on, state)
    for row in Evaluator(method, on, samples=128, long_run=10, ais_steps=60).final(state)[0]:
        assert 0.3 < row["kl_grid"] < 2  # trained away from its reference, and not there yet
        for name, n, sign in (("forward", 64, 1), ("reverse", 64, -1)):
            over = sign * (row[f"nll_ais_{name}_{n}"] - row["nll_grid"])
            error = math.sqrt(1 / row[f"ess_ais_{name}_{n}"] - 1 / n) / 2
            assert over < 4 * error and abs(over) < 0.12


@pytest.mark.parametrize("tau", [0.25, 4.0])
def test_the_bounds_are_of_the_model_at_its_temperature(tau: float) -> None:
    """With f = 0 exp(-U / tau) is N(0, tau sigma^2): at tau = 1/4 the held-out data then cost 4.32 nats a dimension,
    with the temperature lost 1.94, with it lost in log Z alone .7 more or less."""
    on = load("gaussians8")
    method = tiny.method("kl", on, particles=256, updates=0, mcmc_steps=10, step_size=0.05, temperature=tau)
    state = init_state(method, on, [0, 1])
    with torch.no_grad():
        for weight in state.nets.f.parameters():
            weight.zero_()
        state = dataclasses.replace(state, pool=state.pool * math.sqrt(tau))  # exact draws, which the chain then keeps
    exact = (np.mean(on.search.astype(np.float64)**2) / tau + math.log(2 * math.pi * tau)) / 2
    for row in Evaluator(method, on, samples=128, long_run=1, ais_steps=100).final(state)[0]:
        assert row["nll_ais_forward_64"] == pytest.approx(exact, abs=0.05)
        assert row["nll_ais_reverse_64"] == pytest.approx(exact, abs=0.05)
