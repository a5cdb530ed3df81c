"""The verdict rule on synthetic traces of each kind, hundreds of draws each: right at least 99 times in 100."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models.stability.verdict import Traces, swing, verdict

DRAWS, FLOOR = 300, 0.02
CHANCE = 0.7 * FLOOR  # sd of an evaluation: .3 to .65 of the floor on digits at n = 256
Rng = np.random.Generator


def noise(rng: Rng, updates: int, batch: int) -> np.ndarray:
    """Sampling noise of D as training has it: the difference of two means of `batch` standard normals."""
    return rng.normal(0, np.sqrt(2 / batch), updates)


def shape(rng: Rng) -> tuple[int, int, int]:
    """Updates, batch size, evaluations."""
    return int(rng.choice([200, 600, 2000])), int(rng.choice([16, 32, 64])), int(rng.integers(8, 33))


def traces(rng: Rng, gap: Callable[[np.ndarray], Any], quality: Callable[[np.ndarray], Any], kappa: float = 0.6,
           least: int = 0, **final: float) -> Traces:
    """gap and quality as functions of time in (0, 1], with the noise that each has."""
    updates, batch, points = shape(rng)
    updates = max(updates, least)
    time, at = np.arange(1, updates + 1) / updates, np.arange(1, points + 1) / points
    measured = quality(at) * np.exp(rng.normal(0, 0.1, points)) + rng.normal(0, CHANCE, points)
    return Traces(gap=gap(time) + noise(rng, updates, batch), batch_size=batch, quality=measured,
                  kappa=kappa * np.exp(rng.normal(0, 0.1, points)), floor=FLOOR, final=final)


def learns(t: np.ndarray) -> np.ndarray:
    return 0.5 * np.exp(-6 * t) + 0.03


def stable(rng: Rng) -> Traces:
    start = rng.uniform(0.1, 1.5)
    return traces(rng, lambda t: start * np.exp(-8 * t) + rng.uniform(-0.1, 0.1), learns, variance_ratio=1.0, modes=1.0)


def spike(rng: Rng) -> Traces:
    """One bad update is no oscillation, however bad."""
    t = stable(rng)
    gap = t.gap.copy()
    gap[-int(rng.integers(1, len(gap) // 2))] += rng.choice([-1, 1]) * rng.choice([3.0, 6.0, 10.0, 20.0])
    return replace(t, gap=gap)


def bad_evaluation(rng: Rng) -> Traces:
    """One bad evaluation is none either."""
    t = stable(rng)
    quality = t.quality.copy()
    quality[-int(rng.integers(1, len(quality) // 2 + 1))] += 15 * FLOOR
    return replace(t, quality=quality)


def collapsed(rng: Rng) -> Traces:
    final = [{"variance_ratio": rng.uniform(0, 0.2)}, {"modes": rng.uniform(0, 0.4)},
             {"saturation_excess": rng.uniform(0.6, 1)}][rng.integers(3)]
    return traces(rng, lambda t: 0 * t + 0.1, lambda t: 0 * t + rng.uniform(0.2, 2), **final)


def swinging(rng: Rng) -> Traces:
    amplitude, periods, phase = rng.uniform(0.9, 3), rng.uniform(6, 40), rng.uniform(0, 6)
    return traces(rng, lambda t: amplitude * np.sin(2 * np.pi * periods * t + phase), learns, variance_ratio=1.0)


def growing(rng: Rng) -> Traces:
    """Its amplitude grows by a factor of 8 a quarter, up to an sd of 0.45 in the last one. (At 50 updates a quarter and
    a batch of 16 that cannot be told from chance.)"""
    periods, phase = rng.uniform(12, 40), rng.uniform(0, 6)
    return traces(rng, lambda t: 1.4 * 8.0 ** (4 * (t - 1)) * np.sin(2 * np.pi * periods * t + phase), learns,
                  least=600)


def bursts(rng: Rng) -> Traces:
    """It swings in one update of ten: nothing that a robust sd would see."""
    t = stable(rng)
    hit = np.arange(len(t.gap)) % 10 == rng.integers(10)
    return replace(t, gap=t.gap + hit * rng.choice([-3.0, 3.0], len(t.gap)))


def trending(rng: Rng) -> Traces:
    slope = rng.choice([-1, 1]) * rng.uniform(6, 12)
    return traces(rng, lambda t: slope * np.maximum(0, t - 0.7), learns)


def flipping(rng: Rng) -> Traces:
    """For two evaluations of eight at least: one bad evaluation could be chance."""
    at = rng.uniform(0.78, 0.84)
    return traces(rng, lambda t: 0 * t + 0.05, lambda t: np.where(abs(t - at) < 0.15, 0.6, 0.05))


def vanished(rng: Rng) -> Traces:
    return traces(rng, lambda t: 0 * t, lambda t: 0 * t + rng.uniform(0.3, 3), variance_ratio=1.0, modes=1.0)


def weak(rng: Rng) -> Traces:
    """A signal that is there, with samples that stay bad: not vanished, at any number of updates."""
    return traces(rng, lambda t: 0 * t + rng.choice([-0.25, 0.25]), lambda t: 0 * t + rng.uniform(0.3, 3),
                  variance_ratio=1.0, modes=1.0)


KINDS = {"stable": [stable, spike, bad_evaluation, weak], "collapsed": [collapsed],
         "oscillating": [swinging, growing, bursts, trending, flipping], "vanished": [vanished]}


@pytest.mark.parametrize(("name", "make"), [(name, make) for name, makes in KINDS.items() for make in makes])
def test_each_kind_is_named(name: str, make: Callable[[Rng], Traces]) -> None:
    rng = np.random.default_rng(5)
    found = [verdict(make(rng))[0] for _ in range(DRAWS)]
    right = found.count(name) / DRAWS
    assert right >= 0.99, f"{right:.3f}, otherwise {sorted(set(found) - {name})}"


@pytest.mark.parametrize(("name", "make"), [(name, make) for name, makes in KINDS.items() for make in makes])
def test_the_verdict_does_not_depend_on_how_often_one_looks(name: str, make: Callable[[Rng], Traces]) -> None:
    """Every second evaluation of 16 or more gives the same verdict."""
    rng = np.random.default_rng(6)
    agree = tried = 0
    while tried < DRAWS:
        t = make(rng)
        if len(t.quality) < 16:
            continue
        tried += 1
        half = replace(t, quality=t.quality[1::2] if len(t.quality) % 2 == 0 else t.quality[::2],
                       kappa=t.kappa[::2])
        agree += verdict(half)[0] == verdict(t)[0]
    assert agree / tried >= 0.99


def test_quality_that_still_gets_better_has_not_vanished() -> None:
    rng = np.random.default_rng(7)
    found = [verdict(traces(rng, lambda t: 0 * t, lambda t: 3 * np.exp(-3 * t), variance_ratio=1.0))[0]
             for _ in range(DRAWS)]
    assert found.count("stable") / DRAWS >= 0.99


@pytest.mark.parametrize(("change", "flag"), [
    ({"gap": 0.8}, "biased gap"), ({"quality": 0.5}, "poor quality"), ({"kappa": 1.3}, "kappa > 1"),
    ({"kappa": 2.0}, "kappa > 1"), ({"kappa": 2.1}, "kappa > 2"), ({"kappa": 30.0}, "kappa > 2"),
    ({"final": {"long": 0.4}}, "short-run only"), ({"final": {"sd_ratio_g": 0.2}}, "generator collapsed")])
def test_each_flag_is_raised_alone(change: dict[str, Any], flag: str) -> None:
    plain: dict[str, Any] = {"gap": 0.1, "quality": 0.05, "kappa": 0.7, "final": {"long": 0.1, "sd_ratio_g": 0.9}}
    for given, flags in ((plain, ()), (plain | change, (flag,))):
        t = Traces(gap=np.full(400, given["gap"]), batch_size=32, quality=np.full(10, given["quality"]),
                   kappa=np.full(10, given["kappa"]), floor=FLOOR, final=given["final"])
        assert verdict(t)[1] == flags


@pytest.mark.parametrize(("ends", "name"), [([0.6, 0.6, 0.05], "oscillating"), ([0.05, 0.6, 0.05], "stable"),
                                            ([0.05, 0.05, 0.6], "stable"), ([np.inf, np.inf, 0.05], "oscillating")])
def test_a_flip_takes_two_bad_evaluations_and_a_return(ends: list[float], name: str) -> None:
    quality = np.array([2.0, 0.6, 0.05, 0.05, 0.05, *ends])
    assert verdict(Traces(gap=np.zeros(400), batch_size=32, quality=quality, kappa=np.zeros(8), floor=FLOOR))[0] == name


def test_samples_without_a_value_at_the_end_are_bad() -> None:
    quality = np.array([0.03] * 4 + [np.inf] * 8)
    t = Traces(gap=np.full(400, 0.3), batch_size=32, quality=quality, kappa=np.zeros(12), floor=FLOOR)
    assert verdict(t) == ("stable", ("poor quality",))
    assert verdict(replace(t, gap=np.zeros(400)))[0] == "vanished"


def test_a_run_too_short_to_tell_has_not_vanished() -> None:
    """With 100 updates of a batch of 8 a mean D has a standard error of .07."""
    bad = {"quality": np.full(10, 1.0), "kappa": np.zeros(10), "floor": FLOOR}
    assert verdict(Traces(gap=np.zeros(100), batch_size=8, **bad))[0] == "stable"
    assert verdict(Traces(gap=np.zeros(200), batch_size=8, **bad))[0] == "vanished"


def test_a_long_run_is_held_against_the_floor_of_its_own_samples() -> None:
    t = Traces(gap=np.zeros(400), batch_size=32, quality=np.full(8, 0.01), kappa=np.zeros(8), floor=FLOOR,
               final={"long": 0.07})
    assert verdict(t)[1] == ("short-run only",) and verdict(replace(t, floor_long=0.03))[1] == ()


def test_a_gap_without_a_value_is_no_signal() -> None:
    """Where F is constant the gap is 0/0: bad samples then mean that the signal has vanished."""
    rng = np.random.default_rng(9)
    silent = replace(vanished(rng), gap=np.full(400, np.nan))
    assert verdict(silent)[0] == "vanished"
    one = stable(rng)
    gap = one.gap.copy()
    gap[-3] = np.nan
    assert verdict(replace(one, gap=gap)) == verdict(one)


def test_the_noise_of_a_batch_is_no_swing() -> None:
    """A batch of 8 alone gives D an sd of 1/2: the alarm would sound for every small batch."""
    rng = np.random.default_rng(8)
    for batch in (8, 32):
        means = [rng.normal(size=(4000, batch)).mean(1) for _ in range(2)]
        assert noise(rng, 4000, batch).std() == pytest.approx((means[0] - means[1]).std(), rel=0.06)
        assert np.mean([swing(noise(rng, 150, batch), batch) for _ in range(50)]) < 0.1
    wave = 0.8 * np.sin(np.arange(400) / 5)
    assert swing(wave + noise(rng, 400, 8), 8) == pytest.approx(0.8 / 2**0.5, abs=0.08)


def test_unknown_kappa_and_absent_measures_raise_no_alarm() -> None:
    t = Traces(gap=np.zeros(100), batch_size=16, quality=np.full(3, 0.01), kappa=np.full(3, np.nan), floor=FLOOR)
    assert verdict(t) == ("stable", ())
    with pytest.raises(ValueError, match="no evaluation"):
        verdict(replace(t, quality=np.empty(0)))
