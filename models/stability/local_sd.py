"""The local spread s of a data set, a number a direction: what E13 predicts step-size limits from. No torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

Array = NDArray[np.float32]

NEIGHBOURS = 20
LOCAL = 10  # times the neighbours: with fewer points these are no small part of the data
_POINTS = 1000  # beyond this, neighbours are sought among a random subset: in many dimensions distances barely move
_CENTRES = 250  # neighbourhoods that are measured
_REFERENCES = 4  # Gaussian samples behind the correction
_MIXED = 2500  # deviations whose random combinations make such a sample: no dim x dim covariance is ever built


@dataclass(frozen=True)
class Spread:
    """Local standard deviations in the data's units. s_min gives E13's necessary limit, s_med its typical one."""

    s_min: float
    s_med: float
    se_min: float
    se_med: float
    per_direction: NDArray[np.float64]  # (dim,)
    n: int  # points among which neighbours were sought, and k of them; both 0 where s is known
    k: int

    @property
    def coarse(self) -> bool:
        """Whether k is more than a tenth of the points. A mode of fewer than about 3 k points is not seen as one: its
        neighbourhoods reach into others, and s comes out too large, at worst as large as the spread of all data."""
        return self.n < LOCAL * self.k


def local_spread(points: NDArray[Any], rng: np.random.Generator, k: int = NEIGHBOURS, draws: int = 16) -> Spread:
    """Local standard deviation of points (n, dim) in each direction, with standard errors over points.

    The k nearest neighbours of a point show the spread around it: variances about their mean, pooled over points.
    Nearest neighbours understate it, the more so the fewer dimensions and the more points there are, and in a
    direction of large spread more than in one of small spread. The correction is what the same estimator makes of
    Gaussians of the same n and dimension *with the covariance just pooled*, direction by direction. (Standard
    Gaussians overstate the smallest directions, which carry the limit: by 15 % on digits, where a constant pixel's
    spread is known.) On Gaussians whose spreads range over a factor of 16 it is then right to a few per cent in the
    smallest directions, up to 10 % too large in the middle and up to 20 % too small in the largest. On mixtures of them
    the same holds while a mode has at least 3 k points; with fewer it is too large, with k or fewer by any factor
    (`Spread.coarse`).

    Dequantise first. Above 1,000 points a random subset stands for them; 250 neighbourhoods are measured. Standard
    errors: `draws` bootstrap samples of half the points without replacement (ties would be their own neighbours; at one
    half the spread of the draws is that of the whole sample), and the correction's own. For two dimensions take the
    density's local standard deviation instead: neighbourhoods there are small discs that show a mode's width in no
    direction. Raises ValueError for fewer than 2k + 4 points.
    """
    n, dim = points.shape
    if n < 2 * k + 4:
        raise ValueError(f"found {n} points, expected at least 2 k + 4 = {2 * k + 4}")
    with threadpool_limits(limits=1):  # sums in one order, whatever the shell allows: the plan's numbers are compared
        x: Array = points[rng.permutation(n)[:_POINTS]].astype(np.float32)
        deviations = _deviations(x, k, rng)
        raw = _variances(deviations)

        mixed = rng.permutation(deviations.reshape(-1, dim))[:_MIXED]
        truth = _variances(mixed[None], centred=False)
        shrinks = []
        for _ in range(_REFERENCES):
            weights = rng.standard_normal((len(x), len(mixed)), dtype=np.float32)
            sample = _deviations(weights @ mixed / np.float32(len(mixed) ** 0.5), k, rng)
            shrinks.append(np.divide(_variances(sample), truth, out=np.ones(dim), where=truth > 0))
        shrink = np.mean(shrinks, axis=0)

        halves = [_variances(_deviations(rng.permutation(x)[:len(x) // 2], k, rng)) for _ in range(draws)]
        by_half, by_reference = np.sqrt(halves / shrink), np.sqrt(raw / np.array(shrinks))
        per_direction = np.sqrt(raw / shrink)

        def error(statistic: Callable[..., Any]) -> float:
            variances = [statistic(s, axis=1).var(ddof=1) for s in (by_half, by_reference)]
            return float((variances[0] + variances[1] / _REFERENCES) ** 0.5)

        return Spread(float(per_direction.min()), float(np.median(per_direction)), error(np.min), error(np.median),
                      per_direction, len(x), k)


def _deviations(x: Array, k: int, rng: np.random.Generator) -> Array:
    """(m, k, dim): deviations of the k nearest neighbours of m of the points from their mean."""
    centres = rng.permutation(len(x))[:_CENTRES]
    squares = np.einsum("ij,ij->i", x, x)
    distances = squares - 2 * x[centres] @ x.T  # less the centre's own square, which orders nothing
    distances[np.arange(len(centres)), centres] = np.inf
    neighbours = x[np.argpartition(distances, k, axis=1)[:, :k]]
    return np.asarray(neighbours - neighbours.mean(1, keepdims=True))


def _variances(deviations: Array, centred: bool = True) -> NDArray[np.float64]:
    """(dim,): the pooled local variance in each direction.

    `centred`: the deviations of a neighbourhood are from its own mean, which costs it one degree of freedom.
    """
    flat = deviations.reshape(-1, deviations.shape[-1])
    freedom = len(flat) - len(deviations) * centred
    return np.asarray(np.square(flat).sum(0, dtype=np.float64) / freedom)
