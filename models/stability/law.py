"""E13, the stability law: which step sizes leave the training loop a fixed point. Needs neither torch nor numpy.

The scalar model. Along one direction in which the data have local standard deviation s, let U = lambda x^2 / 2 with a
lambda that training is free to move, eta = delta^2 / 2 and kappa = eta lambda. Particles at equilibrium under E3 have
variance v = tau / (lambda (1 - kappa / 2)); n noise-free steps (`negatives_drift`) scale it by (1 - kappa)^(2n). With
S = s^2 + varsigma^2 (smoothed data), rho = 1 / sigma^2 for `penalty_of: f` and 0 for U, the derivative of E4 or E6 by
lambda, doubled, is

    S - (1 - kappa)^(2n) v + 4 beta (lambda - rho) (p S + q v),

where p S + q v is the variance of the points at which the penalty is taken. Divided by v it becomes the balance

    h(kappa, D) = A + 4 beta (lambda - rho) (p A + q) - (1 - kappa)^(2n),    A = S / v = S kappa (2 - kappa) / (tau D),

with D = delta^2. h is negative at kappa = 0 and training raises lambda while h < 0: its fixed point is the smallest
root below kappa = 2, where E3 itself breaks. Wherever h > 0 it falls with D at a given kappa, so each kappa has one
D(kappa) that it can balance, and the largest stable step is sqrt(max D(kappa)): no search over delta is needed.

`drift_clip` and `grad_clip` do not enter: they bound moves, not the balance. Where the law is silent, functions return
nan, which is no prediction: for a method that states no `Balance` (chains in z of a trained g, `hidden` and `ggcn`: for
an affine g of gain w the limit is that of s / w), and where knobs leave the model: `energy_l2` (it ties all directions
together), temperature 0 (particles without a spread), `clamp` (they are cut), `anneal`, `step_size_end` and
`temperature_end` (noise or step change) and `spectral_norm`, where lambda cannot grow freely. With weights
of norm 1 and SiLU (slope <= 1.1, curvature <= 1/2) the curvature of an MLP f with H hidden layers is at most
score_scale / 2 sum_{l=1}^{H} 1.1^(H + l - 2), and its slope at most score_scale 1.1^H, so that for delta < 2 sigma
particles stay within a bounded distance: where a free quadratic breaks, the model is biased.
The law is exact for equilibrium chains and small learning rates. For KL flow s / sqrt(tau) bounds every chain that ends
in E3, however short, because its last noise alone has variance tau delta^2: so for `amortized`, too. The other limits
assume equilibrium. Few steps far from the data, or a large learning rate, diverge earlier.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

_GRID = 400  # kappa is scanned in steps of 2 / _GRID before it is refined


class Balance(NamedTuple):
    """What a method's knobs put into h. The defaults are those of E4."""

    temperature: float  # tau > 0
    data_noise: float = 0.0  # varsigma
    drift: int = 0  # n
    weight: float = 0.0  # beta where `absolute`, else c with beta = c D / 2
    absolute: bool = False
    p: float = 0.0
    q: float = 0.0
    rho: float = 0.0


def _data(s: float, balance: Balance) -> float:
    """S / tau."""
    if not (math.isfinite(s) and s >= 0):
        raise ValueError(f"found s = {s!r}, expected a finite local standard deviation >= 0")
    return (s**2 + balance.data_noise**2) / balance.temperature


def _squared_step(kappa: float, data: float, terms: Balance) -> float:
    """D(kappa): the delta^2 at which h(kappa, D) = 0; inf where h > 0 for every D. 0 < kappa <= 2.

    h D (beta = c D / 2) or h D^2 (beta absolute) is the quadratic a D^2 + b D + e with e >= 0 and one positive root.
    """
    spread, w = data * kappa * (2 - kappa), terms.weight
    shrink = (1 - kappa) ** (2 * terms.drift)
    if terms.absolute:
        a = -shrink - 4 * w * terms.rho * terms.q
        b = spread * (1 - 4 * w * terms.rho * terms.p) + 8 * w * kappa * terms.q
        e = 8 * w * kappa * terms.p * spread
    else:
        a = -2 * w * terms.rho * terms.q
        b = 4 * w * kappa * terms.q - shrink - 2 * w * terms.rho * terms.p * spread
        e = spread * (1 + 4 * w * kappa * terms.p)
    if a == 0:
        if b >= 0:
            return math.inf if b > 0 or e > 0 else 0.0
        return -e / b
    root = math.sqrt(b * b - 4 * a * e)
    return (b + root) / (-2 * a) if b >= 0 else 2 * e / (root - b)


def _largest(f: Callable[[float], float]) -> tuple[float, float]:
    """(kappa, f(kappa)) at the first maximum of f on (0, 2]; golden-section refinement of a scan."""
    grid = [2 * i / _GRID for i in range(1, _GRID + 1)]
    values = [f(kappa) for kappa in grid]
    i = values.index(max(values))
    if math.isinf(values[i]) or grid[i] == 2:
        return grid[i], values[i]
    ratio = (math.sqrt(5) - 1) / 2
    low, high = grid[i] - 2 / _GRID, grid[i] + 2 / _GRID
    while high - low > 1e-10:
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, right) if f(left) >= f(right) else (left, high)
    best = (low + high) / 2
    return best, f(best)


@lru_cache(maxsize=4096)  # a study of a thousand cells asks for few
def limit(s: float, balance: Balance | None) -> float:
    """E13: the largest step size delta that leaves training a fixed point at local data standard deviation s.

    math.inf where every delta has one, math.nan where the law is silent. Units of the data. For `penalty_of: f` it
    depends on sigma. It ignores delta < 2 sigma, which the reference alone demands.
    """
    if balance is None:
        return math.nan
    data = _data(s, balance)
    return math.sqrt(_largest(lambda kappa: _squared_step(kappa, data, balance))[1])


def step_at(kappa: float, s: float, balance: Balance | None) -> float:
    """The step size at which the fixed point has kappa = eta lambda (inf: none); kappa = 1 is the practical bound.

    With c = `jko_weight` at U and particles it is s / sqrt(1 - 4c) for kappa = 1, inf from c = 1/4.
    """
    if not 0 < kappa <= 2:
        raise ValueError(f"found kappa = {kappa!r}, expected 0 < kappa <= 2")
    return math.nan if balance is None else math.sqrt(_squared_step(kappa, _data(s, balance), balance))


def fixed_point(s: float, balance: Balance | None, step_size: float) -> float:
    """E13: lambda*, the curvature of U at which training rests at this step size.

    nan where there is none (step_size above `limit`) or where the law is silent. Of two roots the smaller, which
    attracts.
    """
    if balance is None:
        return math.nan
    data = _data(s, balance)
    high, largest = _largest(lambda kappa: _squared_step(kappa, data, balance))
    target = step_size**2
    if largest < target or largest == 0:
        return math.nan
    low = 0.0  # D(0) = 0 < target
    for i in range(1, _GRID):  # the first crossing, were D not to rise all the way to its maximum
        if 2 * i / _GRID >= high:
            break
        if _squared_step(2 * i / _GRID, data, balance) >= target:
            high = 2 * i / _GRID
            break
        low = 2 * i / _GRID
    while high - low > 1e-15 * high:
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (low, middle) if _squared_step(middle, data, balance) >= target else (middle, high)
    return high / (target / 2)
