"""How far samples are from data: arrays in, floats out, all in float64.

x are samples, y the reference, each (n, d): points of the plane, or features of images. MMD, KID and energy distance
are U-statistics: unbiased, so they may be negative. Every function raises ValueError for arrays of the wrong shape,
too few rows or non-finite values: a diverged replicate has no quality.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from models.densities import Density

Array = np.ndarray


def _checked(x: Array, y: Array, least: int = 2) -> tuple[Array, Array]:
    arrays = np.asarray(x, np.float64), np.asarray(y, np.float64)
    for array in arrays:
        if array.ndim != 2 or array.shape[1] != arrays[0].shape[1]:
            raise ValueError(f"quality: found shapes {arrays[0].shape} and {arrays[1].shape}, expected (n, d), (m, d)")
        if len(array) < least:
            raise ValueError(f"quality: found {len(array)} rows, expected at least {least}")
        if not np.isfinite(array).all():
            raise ValueError("quality: found values that are not finite; the samples diverged")
    return arrays


def _u_statistic(xx: Array, xy: Array, yy: Array) -> float:
    """mean_{i != j} k(x_i, x_j) + mean_{i != j} k(y_i, y_j) - 2 mean k(x_i, y_j). Arguments: kernel matrices."""
    def within(k: Array) -> float:
        return float(k.sum() - np.trace(k)) / (len(k) * (len(k) - 1))

    return within(xx) + within(yy) - 2 * float(xy.mean())


def kid(x: Array, y: Array) -> float:
    """Squared MMD under the kernel (x.y / d + 1)^3 (Binkowski et al. 2018, eq. 4). Unbiased."""
    x, y = _checked(x, y)

    def kernel(a: Array, b: Array) -> Array:
        return np.asarray((a @ b.T / a.shape[1] + 1) ** 3)

    return _u_statistic(kernel(x, x), kernel(x, y), kernel(y, y))


def mmd(x: Array, y: Array) -> float:
    """Squared MMD under the mean of five Gaussian kernels, widths 1/4 .. 4 times the reference's median distance.

    The widths come from y alone, so all arms are measured with one kernel. Unbiased given y's widths.
    """
    from scipy.spatial.distance import cdist, pdist

    x, y = _checked(x, y)
    median = float(np.median(pdist(y, "sqeuclidean")))
    if median == 0:
        raise ValueError("mmd: found a reference whose median distance is 0, expected points that differ")

    def kernel(a: Array, b: Array) -> Array:
        square = cdist(a, b, "sqeuclidean") / (2 * median)
        return np.asarray(np.mean([np.exp(-square * 4.0**i) for i in range(-2, 3)], axis=0))

    return _u_statistic(kernel(x, x), kernel(x, y), kernel(y, y))


def energy_distance(x: Array, y: Array) -> float:
    """2 E|X - Y| - E|X - X'| - E|Y - Y'| (Szekely & Rizzo 2013). Unbiased; 0 exactly where the laws agree."""
    from scipy.spatial.distance import cdist

    x, y = _checked(x, y)
    return -_u_statistic(cdist(x, x), cdist(x, y), cdist(y, y))


def fd(x: Array, y: Array) -> float:
    """Frechet distance of two Gaussians with the arrays' moments: |m1 - m2|^2 + tr(S1 + S2 - 2 sqrt(S1 S2)).

    With S = A'A the last trace is the nuclear norm of A1 A2', so no matrix square root is taken. Biased upwards:
    between n rows each of one isotropic Gaussian by (d^2 + 5d)/(2n) times the variance of a feature, to first order in
    1/n. Compare only at equal n. Raises ValueError where n < 2 d.
    """
    x, y = _checked(x, y)
    n, d = min(len(x), len(y)), x.shape[1]
    if n < 2 * d:
        raise ValueError(f"fd: found n = {n} for d = {d} features, expected n >= 2 d = {2 * d}; take kid")

    def factor(z: Array) -> Array:  # upper triangular R with R'R = the covariance of z
        return np.asarray(np.linalg.qr(z - z.mean(0), mode="r")) / math.sqrt(len(z) - 1)

    a, b = factor(x), factor(y)
    cross = float(np.linalg.norm(a @ b.T, "nuc"))
    return float(np.sum((x.mean(0) - y.mean(0)) ** 2) + np.sum(a**2) + np.sum(b**2)) - 2 * cross


def variance_ratio(x: Array, y: Array) -> float:
    """Total variance of x over that of y: below 1/4 the samples have collapsed."""
    x, y = _checked(x, y)
    return float(x.var(0, ddof=1).sum() / y.var(0, ddof=1).sum())


class Coverage(NamedTuple):
    """modes: share of modes that have their share of samples. near: share of samples near a mode or curve."""

    modes: float
    near: float


def mode_coverage(x: Array, density: Density, fair_share: float = 0.2, reach: float = 4.0) -> Coverage:
    """Modes covered, and samples within reach * local_sd of one. x: (n, 2).

    A mode (on a curve: one of its pieces of equal length) is covered when at least fair_share of the n / k samples
    due to it lie near it and nearer to it than to any other. Read both numbers: uniform noise covers all modes.
    """
    points, _ = _checked(x, density.arcs[:, :2], least=1)
    distances = density.distances(points)
    near = distances.min(1) <= reach * density.local_sd
    counts = np.bincount(distances.argmin(1)[near], minlength=distances.shape[1])
    due = fair_share * len(points) / len(counts)
    return Coverage(float(np.mean(counts >= due)), float(near.mean()))


class GridComparison(NamedTuple):
    """kl: KL(data || model) in nats. tv: total variation. log_z: log of the model's normaliser over the grid's
    square. border: share of the model's mass in the outermost twentieth of the square, on each side."""

    kl: float
    tv: float
    log_z: float
    border: float


@lru_cache(maxsize=8)
def _grid(density: Density, points: int) -> tuple[Array, Array]:
    """Cell centres (points^2, 2) and the log of the data's mass in each cell (points^2,), which sums to 1."""
    from scipy.special import logsumexp

    low, high = density.extent
    axis = low + (np.arange(points) + 0.5) * (high - low) / points
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    log_p = density.log_prob(grid)
    log_p -= logsumexp(log_p)
    grid.flags.writeable = log_p.flags.writeable = False
    return grid, log_p


def grid_kl(log_unnormalised: Callable[[Array], Array], density: Density, points: int = 200) -> GridComparison:
    """Exact comparison of a 2-D model with its data on a grid of points x points cells over density.extent.

    log_unnormalised: (n, 2) float64 -> (n,), the model's log-density up to a constant. Both laws are
    normalised over the square, so mass outside goes unseen: a `border` that is not small says that the square is too
    small. Raises ValueError where the model is not finite somewhere on the grid.
    """
    from scipy.special import logsumexp

    low, high = density.extent
    grid, log_p = _grid(density, points)
    log_q = np.asarray(log_unnormalised(grid.copy()), np.float64)  # torch warns of read-only arrays
    if log_q.shape != log_p.shape or not np.isfinite(log_q).all():
        raise ValueError(f"grid_kl: found shape {log_q.shape}, finite: {bool(np.isfinite(log_q).all())}; "
                         f"expected {log_p.shape} finite log-densities")
    log_sum = float(logsumexp(log_q))
    log_q = log_q - log_sum
    p, q = np.exp(log_p), np.exp(log_q)
    frame = (np.abs(grid - (low + high) / 2) > 0.45 * (high - low)).any(1)
    return GridComparison(float(np.sum(p * (log_p - log_q))), float(np.abs(p - q).sum() / 2),
                          log_sum + 2 * math.log((high - low) / points), float(q[frame].sum()))


class Floor(NamedTuple):
    """Mean and sd of a measure of real data against real data, at n rows a side."""

    mean: float
    sd: float
    n: int


def floor(measure: Callable[[Array, Array], float], reference: Array, n: int, draws: int,
          rng: np.random.Generator) -> Floor:
    """What a measure gives for two disjoint random parts of the reference, n rows each, over `draws` draws.

    n is limited to half the reference; the n in the result is the one used. Draws overlap, so sd is that of the
    measure over splits of this reference, not a standard error. Raises ValueError where draws < 2.
    """
    if draws < 2:
        raise ValueError(f"floor: found draws = {draws}, expected at least 2")
    n = min(n, len(reference) // 2)
    values = []
    for _ in range(draws):
        order = rng.permutation(len(reference))
        values.append(measure(reference[order[:n]], reference[order[n:2 * n]]))
    return Floor(float(np.mean(values)), float(np.std(values, ddof=1)), n)
