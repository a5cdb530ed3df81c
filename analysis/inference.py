"""Intervals and tests of the report. Every function takes plain numbers; scipy does the statistics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

EXACT_UP_TO = 16  # pairs: 2**16 sign patterns are still enumerated one by one


@dataclass(frozen=True)
class Interval:
    """An estimate, its two bounds (NaN where they do not exist) and the number of replicates behind it."""

    estimate: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class PairedDifference:
    """Mean of a - b over pairs, its t interval, the sign-flip p and the smallest p that n pairs can give."""

    difference: Interval
    p: float
    p_attainable: float


def t_interval(values: Sequence[float] | np.ndarray, confidence: float = 0.95) -> Interval:
    """Mean and Student t interval of independent replicates. One value has no interval, none has no mean.

    Raises ValueError for a value that is not finite: a diverged replicate is counted, never averaged.
    """
    x = np.asarray(values, dtype=float)
    if not np.isfinite(x).all():
        raise ValueError(f"found {int((~np.isfinite(x)).sum())} values that are not finite among {x.size}")
    if x.size < 2:
        return Interval(float(x[0]) if x.size else math.nan, math.nan, math.nan, int(x.size))
    half = stats.t.ppf((1 + confidence) / 2, x.size - 1) * x.std(ddof=1) / math.sqrt(x.size)
    return Interval(float(x.mean()), float(x.mean() - half), float(x.mean() + half), int(x.size))


def wilson(count: int, n: int, confidence: float = 0.95) -> Interval:
    """Share count / n with Wilson's score interval: 0 of 5 is [0, 0.43], not [0, 0]."""
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, 0)
    bounds = stats.binomtest(count, n).proportion_ci(confidence, method="wilson")
    return Interval(count / n, float(bounds.low), float(bounds.high), n)


def paired_difference(
    a: Sequence[float], b: Sequence[float], rng: np.random.Generator, resamples: int = 19_999
) -> PairedDifference:
    """Difference a - b of replicates with the same seed, with the two-sided sign-flip permutation test.

    All 2**n sign patterns are enumerated up to n = 16; above that `rng` draws `resamples` of them. The smallest
    attainable p is 2 / 2**n (or 2 / (resamples + 1)): below six pairs no p can reach 0.05.
    """
    d = np.asarray(a, dtype=float) - np.asarray(b, dtype=float)
    if d.size == 0:
        return PairedDifference(t_interval(d), math.nan, math.nan)
    exact = d.size <= EXACT_UP_TO
    test = stats.permutation_test(
        (d,),
        lambda x, axis: np.mean(x, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=2**d.size if exact else resamples,
        rng=rng,
    )
    attainable = 2 / 2**d.size if exact else 2 / (resamples + 1)
    return PairedDifference(t_interval(d), float(test.pvalue), attainable)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p values, in the order given: what a p is worth among m comparisons made at once."""
    m, running = len(p_values), 0.0
    adjusted = [math.nan] * m
    for rank, i in enumerate(sorted(range(m), key=lambda i: p_values[i])):
        running = max(running, min(1.0, (m - rank) * p_values[i]))
        adjusted[i] = running
    return adjusted
