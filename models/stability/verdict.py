"""What a finished replicate's traces say: one verdict, in a fixed order, and flags. numpy only.

The rule reads the gap D of every update, not only what evaluations saw, so that it does not depend on how often one
looks. A verdict never stands alone: quality is published beside it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

Array = np.ndarray

VERDICTS = ("stable", "vanished", "oscillating", "collapsed", "diverged")
BAD = 5.0  # quality is bad above so many times the 95 % floor of data against data
NARROW, FEW_MODES, SATURATED = 0.25, 0.5, 0.5
SWING, TREND, GROWTH, GROWN = 0.5, 1.0, 2.0, 0.25  # of D, which is in units of the pooled sd of F
FLIP = 3.0  # quality rises and falls by this factor,
CALM = 2.0  # counted from so many times the floor: below, an evaluation at n is mostly chance
FLAT, BETTER = 0.05, 0.05
FAR, ALLOWED = 4.0, 100  # one update in so many may lie farther than so many robust sds from its line
BLOWN = 1e6  # floors: as bad as samples without a value
BIASED, SHORT_RUN, COLLAPSED_G = 0.5, 3.0, 0.25
INVERTED, UNSTABLE = 1.0, 2.0  # of kappa: KL's feedback changes sign above the first, E3 breaks above the second


@dataclass(frozen=True, kw_only=True)
class Traces:
    """What a replicate that reached its last update leaves.

    gap: (U,) D of every update. batch_size: of either side of D. quality: (E,) the primary measure at E evaluations, at
    equal distances, small is good; inf where the samples had no value. kappa: (E,), NaN where it is not known. final:
    measures after the last update, by family: variance_ratio, modes, saturation_excess (shares), sd_ratio_g, long (the
    primary measure after chains `long_run` times longer); what is absent raises no alarm. floor: the 95 % quantile of
    the primary measure of real data against real data, > 0; floor_long: the same for `long`, which has fewer samples.
    """

    gap: Array
    batch_size: int
    quality: Array
    kappa: Array
    floor: float
    floor_long: float = 0.0
    final: Mapping[str, float] = field(default_factory=dict)


def verdict(t: Traces) -> tuple[str, tuple[str, ...]]:
    """(one of VERDICTS but diverged, flags). Raises ValueError for traces without an evaluation or an update."""
    if not len(t.gap) or not len(t.quality):
        raise ValueError("verdict: found traces of no update or no evaluation")
    # D has no value where F is constant over data and particles: no signal.
    t = replace(t, gap=np.where(np.isfinite(t.gap), t.gap, 0.0), quality=np.fmin(t.quality, BLOWN * t.floor))
    name = ("collapsed" if is_collapsed(t) else "oscillating" if is_oscillating(t) else
            "vanished" if is_vanished(t) else "stable")
    return name, flags(t)


def is_bad(t: Traces) -> bool:
    """Quality at the end: the median of `late` evaluations, above 5 times the floor."""
    return float(np.median(late(t.quality))) > BAD * t.floor


def window(updates: int) -> int:
    """How many earlier updates the divergence rule compares one with."""
    return max(50, updates // 20)


def late(values: Array) -> Array:
    """The last quarter of the evaluations, three at least: of two, one alone would decide."""
    return values[-max(3, math.ceil(len(values) / 4)):]


def is_collapsed(t: Traces) -> bool:
    """Bad, and too narrow (variance ratio < 1/4), or with less than half of the modes, or saturated."""
    narrow = t.final.get("variance_ratio", math.inf) < NARROW
    few = t.final.get("modes", math.inf) < FEW_MODES
    return is_bad(t) and (narrow or few or t.final.get("saturation_excess", 0.0) > SATURATED)


def is_oscillating(t: Traces) -> bool:
    """In the last quarter: D swings (sd > 1/2), or more than twice as far as before and > 1/4, or drifts by more than
    1; or, in the last half, quality both rose and fell by a factor of 3.
    """
    quarter = max(1, len(t.gap) // 4)
    now, before = swing(t.gap[-quarter:], t.batch_size), swing(t.gap[-2 * quarter:-quarter], t.batch_size)
    chance = 2 / t.batch_size * math.sqrt(2 / quarter)  # standard error of a variance that is noise alone
    grows = len(t.gap) >= 32 and now > GROWN and now**2 > (GROWTH * before) ** 2 + 4 * chance
    return now > SWING or grows or abs(drift(t.gap[-quarter:], t.batch_size)) > TREND or flips(t)


def swing(gap: Array, batch_size: int) -> float:
    """sd of D about its straight line, without what a batch's chance adds to each value: var D = 2 / batch_size where
    the two sides have one law (the variance of a difference of two means, in units of the pooled variance). One bad
    update in a hundred, or in fewer, is no swing and left out.
    """
    if len(gap) < 3:
        return 0.0
    rest, _ = _about_line(gap, batch_size)
    return math.sqrt(max(0.0, float(rest @ rest) / (len(rest) - 2) - 2 / batch_size))


def _about_line(gap: Array, batch_size: int) -> tuple[Array, float]:
    """(D about its straight line without the bad updates, slope). Bad: the farthest, if beyond FAR robust sds, one in
    ALLOWED at most. All of them clipped instead would hide a swing that comes in bursts.
    """
    time, kept = np.arange(len(gap)), np.ones(len(gap), dtype=bool)
    for left in range(max(1, len(gap) // ALLOWED), -1, -1):
        line = np.polyfit(time[kept], gap[kept], 1)
        rest = np.where(kept, gap - np.polyval(line, time), 0.0)
        far = FAR * max(1.4826 * float(np.median(np.abs(rest[kept]))), math.sqrt(2 / batch_size))
        worst = int(np.abs(rest).argmax())
        if not left or abs(rest[worst]) <= far or kept.sum() <= 3:
            break
        kept[worst] = False
    return rest[kept], float(line[0])


def drift(gap: Array, batch_size: int) -> float:
    """By how much D's straight line rises over the stretch; 0 where that is within three of its standard errors."""
    n = len(gap)
    if n < 3:
        return 0.0
    rest, slope = _about_line(gap, batch_size)
    variance = max(2 / batch_size, float(rest @ rest) / (len(rest) - 2))
    rise = slope * (n - 1)
    return rise if abs(rise) > 3 * math.sqrt(12 * variance / n) else 0.0


def flips(t: Traces) -> bool:
    """Whether quality, in the last half, got 3 times worse and 3 times better, counted from twice the floor. One bad
    evaluation is no flip: each counts as the median of itself and its neighbours, so that more frequent looks, which
    would meet it, say the same.

    On digits an evaluation's own sd is .3 to .7 of the floor (n = 256): counted from the floor itself, chance alone
    made one stable trace in ten flip.
    """
    seen = np.maximum(_last(_medians(t.quality), 2), CALM * t.floor)
    worse = float((seen / np.minimum.accumulate(seen)).max())
    better = float((np.maximum.accumulate(seen) / seen).max())
    return worse > FLIP and better > FLIP


def _medians(quality: Array) -> Array:
    """Running medians of three; at the ends the neighbour counts twice, but a good last one is believed."""
    if len(quality) < 3:
        return quality
    found = np.median(np.lib.stride_tricks.sliding_window_view(np.pad(quality, 1, mode="reflect"), 3), axis=1)
    found[-1] = min(found[-1], quality[-1])
    return np.asarray(found)


def is_vanished(t: Traces) -> bool:
    """No signal (|mean D| < 0.05 in the last half, up to two of its standard errors) though quality is bad and no
    longer gets 5 % better. Where a standard error is above 0.05 a run is too short to tell, and has not vanished."""
    half = max(1, len(t.gap) // 2)
    chance = math.sqrt(2 / (t.batch_size * half))
    return (chance <= FLAT and abs(float(t.gap[-half:].mean())) < FLAT + 2 * chance and is_bad(t)
            and not _improves(t))


def _improves(t: Traces) -> bool:
    """Whether quality got 5 % better along a straight line through its logarithm, in the last half of the evaluations,
    and that by four standard errors. The noise of an evaluation comes from second differences of the whole trace.
    """
    every = np.log(np.maximum(t.quality, t.floor))
    seen = _last(every, 2)
    m = len(seen)
    if m < 3:
        return bool(seen[-1] < every[0] + math.log(1 - BETTER))
    fall = -float(np.polyfit(np.arange(m), seen, 1)[0]) * (m - 1)
    noise = math.sqrt(float(np.mean(np.diff(every, 2) ** 2)) / 6)
    return fall > max(-math.log(1 - BETTER), 4 * noise * math.sqrt(12 / m))


def flags(t: Traces) -> tuple[str, ...]:
    """What a reader should know beside the verdict."""
    quarter = max(1, len(t.gap) // 4)
    known = late(t.kappa)[np.isfinite(late(t.kappa))]
    short = max(float(t.quality[-1]), t.floor, t.floor_long)
    middle = float(np.median(known)) if len(known) else 0.0
    found = {
        "biased gap": abs(float(t.gap[-quarter:].mean())) > BIASED, "poor quality": is_bad(t),
        "short-run only": t.final.get("long", 0.0) > SHORT_RUN * short,
        "kappa > 1": INVERTED < middle <= UNSTABLE, "kappa > 2": middle > UNSTABLE,  # of the two the graver alone
        "generator collapsed": t.final.get("sd_ratio_g", math.inf) < COLLAPSED_G}
    return tuple(name for name, is_so in found.items() if is_so)


def _last(values: Array, part: int) -> Array:
    """The last 1/part of the values, at least one."""
    return values[-max(1, math.ceil(len(values) / part)):]
