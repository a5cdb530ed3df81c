"""Convergence of long chains: rank-normalised split R-hat, bulk effective sample size, autocorrelation time.

Vehtari, Gelman, Simpson, Carpenter, Bürkner (2021), "Rank-normalization, folding, and localization: an improved R-hat".
`draws` is (M, N): M chains of N >= 10 draws of one scalar. All three are NaN where a draw is not finite or all are
equal. They do not change when the scalar is replaced by a monotone function of it.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
LEAST = 10  # draws of a chain: its halves then have two pairs of lags


class Convergence(NamedTuple):
    """What one scalar shows of M chains of N draws."""

    rhat: float  # 1 where the chains agree
    ess: float  # in draws, of M N
    iat: float  # M N / ess: draws a chain needs for one independent one


def convergence(draws: Array) -> Convergence:
    """`rhat`, `ess` and M N / `ess` of draws (M, N). Raises ValueError below 10 draws."""
    found = ess(draws)
    return Convergence(rhat(draws), found, draws.size / found)


def rhat(draws: Array) -> float:
    """The larger of sqrt(((N - 1) / N W + B / N) / W) of normal scores and of folded normal scores.

    W is the mean variance of a half chain, B / N the variance of the half chains' means (their N: draws of a half).
    Normal scores are those of `scores`; folded: of |x - median x|, which sees chains that differ in scale alone.
    """
    halves = _halves(draws)
    return max(_ratio(scores(halves)), _ratio(scores(abs(halves - np.median(halves)))))


def ess(draws: Array) -> float:
    """Bulk effective sample size S / tau of the half chains' normal scores, S all draws, at most S log10 S.

    tau = -1 + 2 sum_k P_k, P_k = rho_2k + rho_2k+1, up to the first negative P_k (or the last that there is) and never
    rising (Geyer's initial monotone sequence), plus a positive rho_2k of the P_k that ended it. rho_t =
    1 - (W - mean autocovariance at lag t) / V, V = (N - 1) / N W + B / N: chains that disagree raise every rho.
    """
    z = scores(_halves(draws))
    n, within = z.shape[1], z.var(1, ddof=1).mean()
    total = (n - 1) / n * within + z.mean(1).var(ddof=1)
    if not total > 0:
        return math.nan
    rho = 1 - (within - _autocovariance(z).mean(0)) / total
    rho[0] = 1
    pairs = rho[:(n - 1) // 2 * 2].reshape(-1, 2).sum(1)
    negative = np.flatnonzero(pairs < 0)
    end = int(negative[0]) if len(negative) else len(pairs) - 1
    tau = -1 + 2 * np.minimum.accumulate(pairs[:end]).sum() + max(0.0, rho[2 * end])
    return float(z.size / max(tau, 1 / math.log10(z.size)))


def scores(x: Array) -> Array:
    """Normal scores Phi^-1((rank - 3/8) / (S + 1/4)) among all S values; equal values share their mean rank."""
    from scipy.special import ndtri

    _, place, count = np.unique(x, return_inverse=True, return_counts=True)
    rank = np.cumsum(count) - (count - 1) / 2
    return np.asarray(ndtri((rank[place].reshape(x.shape) - 3 / 8) / (x.size + 1 / 4)))


def principal_axes(points: Array, count: int) -> Array:
    """Unit vectors of the `count` largest variances of points (n, d), as columns, (d, count). Their sign is free."""
    x = points - points.mean(0)
    if x.shape[1] <= len(x):
        return np.ascontiguousarray(np.linalg.eigh(x.T @ x)[1][:, ::-1][:, :count])
    return np.ascontiguousarray(np.linalg.svd(x, full_matrices=False)[2][:count].T)


def _halves(draws: Array) -> Array:
    """(2 M, N // 2): the first and the last half of each chain. NaN everywhere where a value is not finite."""
    n = draws.shape[1]
    if n < LEAST:
        raise ValueError(f"draws: found {n} a chain, expected at least {LEAST}")
    halves = np.concatenate([draws[:, :n // 2], draws[:, -(n // 2):]]).astype(np.float64)
    return halves if np.isfinite(halves).all() else np.full_like(halves, np.nan)


def _ratio(z: Array) -> float:
    within, between = z.var(1, ddof=1).mean(), z.mean(1).var(ddof=1)  # B / N
    n = z.shape[1]
    return math.sqrt((n - 1) / n + between / within) if within > 0 else math.nan


def _autocovariance(z: Array) -> Array:
    """Of each chain about its own mean, at lags 0 .. N - 1, divided by N. (M, N)."""
    n = z.shape[1]
    power = abs(np.fft.rfft(z - z.mean(1, keepdims=True), 2 * n)) ** 2
    return np.asarray(np.fft.irfft(power, 2 * n)[:, :n] / n)
