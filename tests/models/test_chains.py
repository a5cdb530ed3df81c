"""R-hat, effective sample size and autocorrelation time: closed forms, the literal definitions, and arviz's numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

from models.measures.chains import convergence, ess, principal_axes, rhat, scores

Array = NDArray[np.float64]


def ar1(rho: float, chains: int, draws: int, rng: np.random.Generator) -> Array:
    """A stationary AR(1) of variance 1: its autocorrelation time is (1 + rho) / (1 - rho)."""
    x = np.empty((chains, draws))
    x[:, 0] = rng.normal(size=chains)
    for t in range(1, draws):
        x[:, t] = rho * x[:, t - 1] + np.sqrt(1 - rho**2) * rng.normal(size=chains)
    return x


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9, -0.3])
def test_the_autocorrelation_time_of_an_ar1_is_its_closed_form(rho: float) -> None:
    c = convergence(ar1(rho, 64, 1000, np.random.default_rng(0)))
    assert c.iat == pytest.approx((1 + rho) / (1 - rho), rel=0.06)
    assert c.ess == pytest.approx(64_000 * (1 - rho) / (1 + rho), rel=0.06)
    part = (1 + rho) / (1 - rho) / 500  # variance of a half chain's mean
    assert c.rhat == pytest.approx(math.sqrt(1 - 1 / 500 + part / (1 - part)), abs=0.003)
    assert c.rhat < 1.01 or rho == 0.9


def test_chains_that_differ_in_place_scale_or_time_are_told() -> None:
    x = ar1(0.0, 8, 400, np.random.default_rng(1))
    assert rhat(x) < 1.01
    far = x.copy()
    far[0] += 2
    assert rhat(far) > 1.05
    wide = x.copy()
    wide[0] *= 6  # their means agree, their folded means do not
    assert rhat(wide) > 1.05
    assert rhat(x + np.linspace(0, 3, 400)) > 1.05  # all chains drift alike: only halves differ


def test_r_hat_of_shifted_chains_is_that_of_the_variances() -> None:
    """Half of the chains at -1, half at +1, each of variance s^2: R-hat^2 = 1 + 1 / s^2."""
    rng = np.random.default_rng(2)
    place = np.repeat([-1.0, 1.0], 50)[:, None]
    x = place + 2 * rng.normal(size=(100, 2000))  # s = 2: a mixture so nearly normal that its scores are linear
    assert rhat(x) == pytest.approx(math.sqrt(1 + 1 / 4), rel=0.01)


def literal(draws: Array) -> tuple[float, float]:
    """R-hat and ESS written out loop by loop."""
    n = draws.shape[1] // 2
    halves = np.array([half for chain in draws for half in (chain[:n], chain[-n:])])
    m = len(halves)

    def z(x: Array) -> Array:
        return np.array(norm.ppf((rankdata(x).reshape(x.shape) - 0.375) / (x.size + 0.25)))

    def ratio(x: Array) -> float:
        w = np.mean([np.var(c, ddof=1) for c in x])
        b = n * np.var([np.mean(c) for c in x], ddof=1)
        return float(np.sqrt(((n - 1) / n * w + b / n) / w))

    x = z(halves)
    w = np.mean([np.var(c, ddof=1) for c in x])
    v = (n - 1) / n * w + np.var([np.mean(c) for c in x], ddof=1)
    rho = [1.0]
    for t in range(1, n - 1):
        lagged = [sum((c[i] - c.mean()) * (c[i + t] - c.mean()) for i in range(n - t)) / n for c in x]
        rho.append(1 - (w - np.mean(lagged)) / v)
    tau, least, k = -1.0, math.inf, 0
    while 2 * k + 3 < len(rho) and rho[2 * k] + rho[2 * k + 1] >= 0:
        least = min(least, rho[2 * k] + rho[2 * k + 1])
        tau, k = tau + 2 * least, k + 1
    tau += max(0.0, rho[2 * k])
    return max(ratio(x), ratio(z(abs(halves - np.median(halves))))), m * n / max(tau, 1 / np.log10(m * n))


@pytest.mark.parametrize(("rho", "n"), [(0.8, 61), (0.2, 10), (-0.5, 40), (0.97, 30)])
def test_it_is_the_literal_definition(rho: float, n: int) -> None:
    for seed in range(3):
        x = ar1(rho, 3, n, np.random.default_rng(seed))
        assert (rhat(x), ess(x)) == pytest.approx(literal(x), rel=1e-9)


def test_it_is_what_arviz_says() -> None:
    """arviz-stats 0.8.0, `rhat(method="rank")` and `ess(method="bulk")` of the same draws."""
    rng = np.random.default_rng(3)
    one = np.ones((3, 1))
    cases = [
        (ar1(0.9, 4, 201, rng), 1.0692712390211316, 58.29007420268981),
        (ar1(-0.4, 5, 100, rng), 1.0103565582834213, 1349.4850021680093),
        (ar1(0.5, 4, 100, rng) + np.vstack([0 * one, [[1.0]]]), 1.0872374940129308, 42.17415838397554),
        (ar1(0.5, 4, 100, rng) * np.vstack([one, [[3.0]]]), 1.1286111494988944, 141.55417841133712),
        (np.round(ar1(0.7, 8, 60, rng)), 1.147443529077178, 42.32008845643361),  # ties
        (np.exp(2 * ar1(0.8, 6, 150, rng)), 1.031779634757694, 116.7035430851002),
        (ar1(0.3, 4, 50, rng) * 0.01 + np.arange(4)[:, None], 2.856249296101827, 5.237588053110242)]
    for draws, r, n in cases:
        assert (rhat(draws), ess(draws)) == pytest.approx((r, n), rel=1e-9)


def test_a_monotone_function_changes_nothing_but_the_folded_scores() -> None:
    x = ar1(0.7, 4, 100, np.random.default_rng(4))
    assert ess(np.exp(3 * x)) == ess(x)
    assert convergence(-5 * x + 2) == pytest.approx(convergence(x), rel=1e-12)
    assert scores(np.array([3.0, 1.0, 1.0])) == pytest.approx(norm.ppf((np.array([3, 1.5, 1.5]) - 0.375) / 3.25))


def test_what_cannot_be_told_is_not() -> None:
    assert all(math.isnan(value) for value in convergence(np.ones((4, 20))))
    broken = ar1(0.0, 4, 20, np.random.default_rng(5))
    broken[1, 3] = np.inf
    assert all(math.isnan(value) for value in convergence(broken))
    with pytest.raises(ValueError, match="found 9 a chain, expected at least 10"):
        convergence(np.zeros((4, 9)))


@pytest.mark.parametrize("n", [40, 5])
def test_principal_axes_carry_the_largest_variances(n: int) -> None:
    """More points than dimensions, and fewer."""
    rng = np.random.default_rng(6)
    x = rng.normal(size=(n, 12)) * np.linspace(3, 0.1, 12) + 7
    axes = principal_axes(x, 2)
    _, values, rows = np.linalg.svd(x - x.mean(0), full_matrices=False)
    assert abs(np.einsum("dk,kd->k", axes, rows[:2])) == pytest.approx([1, 1])
    assert ((x - x.mean(0)) @ axes).var(0) * n == pytest.approx(values[:2] ** 2)
