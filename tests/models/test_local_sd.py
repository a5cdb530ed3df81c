"""The local spread on point sets whose spread is known."""

import math
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from models.stability.local_sd import Spread, local_spread

DIM = 32
TRUTH = np.geomspace(0.03, 0.5, DIM)


def gaussian(seed: int, n: int = 600) -> NDArray[np.float64]:
    return np.random.default_rng(seed).standard_normal((n, DIM)) * TRUTH


@cache
def estimates() -> list[Spread]:
    """On independent data sets."""
    return [local_spread(gaussian(seed), np.random.default_rng(seed)) for seed in range(8)]


def test_known_spreads_are_found() -> None:
    mean = np.mean([e.per_direction for e in estimates()], axis=0)
    np.testing.assert_allclose(mean[:-3], TRUTH[:-3], rtol=0.13)
    np.testing.assert_allclose(mean[-3:], TRUTH[-3:], rtol=0.25)  # what decides who is near stays understated
    assert np.mean([e.s_min for e in estimates()]) == pytest.approx(0.03, rel=0.05)
    assert np.mean([e.s_med for e in estimates()]) == pytest.approx(np.median(TRUTH), rel=0.1)


def test_standard_errors_are_those_of_fresh_data() -> None:
    for value, error in (("s_min", "se_min"), ("s_med", "se_med")):
        actual = np.std([getattr(e, value) for e in estimates()], ddof=1)
        stated = np.mean([getattr(e, error) for e in estimates()])
        assert 0.5 < stated / actual < 2


def test_a_mode_counts_and_not_the_distance_between_modes() -> None:
    rng = np.random.default_rng(3)
    x = gaussian(1) + rng.choice([-3.0, 3.0], size=(600, 1))
    spread = local_spread(x, rng)
    assert x.std(0).min() > 2.9
    np.testing.assert_allclose(spread.per_direction, TRUTH, rtol=0.25)


def test_a_constant_pixel_of_digits_shows_its_dequantisation() -> None:
    from sklearn.datasets import load_digits

    v = load_digits().data[:1000]
    rng = np.random.default_rng(0)
    spread = local_spread((v + rng.random(v.shape)) / 17 * 2 - 1, rng)
    assert spread.s_min == pytest.approx(2 / 17 / math.sqrt(12), rel=0.05)
    assert 8 < spread.s_med / spread.s_min < 13  # constant borders beside strokes


def test_more_points_than_needed_and_many_dimensions() -> None:
    rng = np.random.default_rng(4)
    truth = np.geomspace(0.02, 0.4, 800)
    spread = local_spread((rng.standard_normal((1500, 800)) * truth).astype(np.float32), rng, draws=5)
    assert spread.per_direction.shape == (800,)
    assert spread.s_min == pytest.approx(0.02, rel=0.1)
    assert spread.s_med == pytest.approx(np.median(truth), rel=0.1)


def test_units_follow_the_data_and_chance_follows_the_generator() -> None:
    x = gaussian(0)
    first, again = (local_spread(x, np.random.default_rng(5), draws=5) for _ in range(2))
    np.testing.assert_array_equal(first.per_direction, again.per_direction)
    assert first.se_min == again.se_min
    scaled = local_spread(8 * x, np.random.default_rng(5), draws=5)
    np.testing.assert_allclose(scaled.per_direction, 8 * first.per_direction, rtol=1e-3)


def test_a_direction_without_spread_has_zero() -> None:
    x = gaussian(0)
    x[:, 5] = 0.25
    spread = local_spread(x, np.random.default_rng(0), draws=5)
    assert spread.s_min == spread.per_direction[5] == 0


def test_the_same_numbers_with_any_number_of_threads() -> None:
    points = np.random.default_rng(3).standard_normal((1000, 64))
    found = []
    for threads in (1, 2):
        with threadpool_limits(limits=threads):
            found.append(local_spread(points, np.random.default_rng(0)))
    assert found[0].per_direction.tolist() == found[1].per_direction.tolist() and found[0].se_min == found[1].se_min


def test_refusals() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="found 43 points, expected at least 2 k \\+ 4 = 44"):
        local_spread(np.zeros((43, 4)), rng)


def mixture(per_mode: int, modes: int, seed: int) -> NDArray[np.float64]:
    """Modes of the same shape, ten times as far apart as each is wide."""
    rng = np.random.default_rng(seed)
    return np.concatenate([gaussian(seed + m, per_mode) + 3 * rng.standard_normal(DIM) for m in range(modes)])


def test_modes_of_2k_points_are_seen_and_modes_of_fewer_than_k_are_not() -> None:
    """The rule that docs/stability-law.md states: it is the points of a mode that count, not those of all data."""
    rng = np.random.default_rng(0)
    seen = local_spread(mixture(40, 10, 1), rng, 20, draws=2)
    assert seen.s_med == pytest.approx(np.median(TRUTH), rel=0.2) and not seen.coarse
    unseen = local_spread(mixture(12, 10, 1), rng, 20, draws=2)
    assert unseen.s_med > 5 * np.median(TRUTH) and unseen.coarse
    assert local_spread(mixture(12, 10, 1), rng, 5, draws=2).s_med == pytest.approx(np.median(TRUTH), rel=0.2)


@pytest.mark.parametrize(("n", "k", "coarse"), [(60, 20, True), (199, 20, True), (200, 20, False), (60, 5, False)])
def test_coarse_is_a_tenth_of_the_points(n: int, k: int, coarse: bool) -> None:
    assert local_spread(gaussian(0, n), np.random.default_rng(0), k, draws=2).coarse is coarse
