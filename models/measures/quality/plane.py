"""Measures in the plane, where the data's density is known: mode coverage, and exact comparisons on a grid."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from models.data.densities import Density
from models.measures.quality.arrays import Array, checked


class Coverage(NamedTuple):
    """modes: share of modes that have their share of samples. near: share of samples near a mode or curve."""

    modes: float
    near: float


def mode_coverage(x: Array, density: Density, fair_share: float = 0.2, reach: float = 4.0) -> Coverage:
    """Modes covered, and samples within reach * local_sd of one. x: (n, 2).

    A mode (on a curve: one of its pieces of equal length) is covered when at least fair_share of the n / k samples
    due to it lie near it and nearer to it than to any other. Read both numbers: uniform noise covers all modes.
    """
    points, _ = checked(x, density.arcs[:, :2], least=1)
    distances = density.distances(points)
    near = distances.min(1) <= reach * density.local_sd
    counts = np.bincount(distances.argmin(1)[near], minlength=distances.shape[1])
    due = fair_share * len(points) / len(counts)
    return Coverage(float(np.mean(counts >= due)), float(near.mean()))


class GridComparison(NamedTuple):
    """kl: KL(data || model) in nats. tv: total variation. log_z: log of the model's normaliser over the grid's
    square. border: share of the model's mass in the outermost twentieth of the square, on each side. nll: mean
    negative log-likelihood of held-out points in nats per dimension; NaN without such points."""

    kl: float
    tv: float
    log_z: float
    border: float
    nll: float = math.nan


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


def grid_kl(log_unnormalised: Callable[[Array], Array], density: Density, points: int = 200,
            held_out: Array | None = None) -> GridComparison:
    """Exact comparison of a 2-D model with its data on a grid of points x points cells over density.extent.

    log_unnormalised: (n, 2) float64 -> (n,), the model's log-density up to a constant. Both laws are
    normalised over the square, so mass outside goes unseen: a `border` that is not small says that the square is too
    small. held_out: (n, 2), points whose likelihood is wanted. Raises ValueError where the model is not finite
    somewhere on the grid or at a held-out point.
    """
    from scipy.special import logsumexp

    low, high = density.extent
    grid, log_p = _grid(density, points)
    log_q = np.asarray(log_unnormalised(grid.copy()), np.float64)  # torch warns of read-only arrays
    if log_q.shape != log_p.shape or not np.isfinite(log_q).all():
        raise ValueError(f"grid_kl: found shape {log_q.shape}, finite: {bool(np.isfinite(log_q).all())}; "
                         f"expected {log_p.shape} finite log-densities")
    log_sum = float(logsumexp(log_q))
    log_z = log_sum + 2 * math.log((high - low) / points)
    nll = math.nan
    if held_out is not None:
        nll = (log_z - float(np.mean(np.asarray(log_unnormalised(held_out), np.float64)))) / 2
        if not math.isfinite(nll):
            raise ValueError("grid_kl: found a model that is not finite at a held-out point")
    log_q = log_q - log_sum
    p, q = np.exp(log_p), np.exp(log_q)
    frame = (np.abs(grid - (low + high) / 2) > 0.45 * (high - low)).any(1)
    return GridComparison(float(np.sum(p * (log_p - log_q))), float(np.abs(p - q).sum() / 2), log_z,
                          float(q[frame].sum()), nll)
