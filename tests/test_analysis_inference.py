"""Intervals and tests against closed forms and a literal enumeration."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from analysis.inference import holm, paired_difference, t_interval, wilson
from analysis.wording import interval, number


def test_t_interval_is_students():
    x = np.random.default_rng(0).normal(3, 2, 7)
    i = t_interval(x)
    low, high = stats.t.interval(0.95, 6, x.mean(), stats.sem(x))
    assert (i.estimate, i.low, i.high, i.n) == pytest.approx((x.mean(), low, high, 7), abs=1e-12)


def test_t_interval_covers_the_mean_95_times_of_100():
    draws = np.random.default_rng(1).normal(0, 1, (1500, 5))
    covered = np.mean([i.low < 0 < i.high for i in map(t_interval, draws)])
    assert covered == pytest.approx(0.95, abs=0.017)


def test_one_value_has_no_interval_and_none_has_no_mean():
    assert t_interval([2.0]).estimate == 2 and math.isnan(t_interval([2.0]).low)
    assert math.isnan(t_interval([]).estimate) and t_interval([]).n == 0


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_diverged_value_is_refused_not_averaged(bad):
    with pytest.raises(ValueError, match="1 values that are not finite among 3"):
        t_interval([1.0, bad, 2.0])


@pytest.mark.parametrize(("k", "n"), [(0, 5), (2, 6), (6, 6), (1, 30)])
def test_wilson_solves_its_quadratic(k, n):
    z, p = stats.norm.ppf(0.975), k / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    i = wilson(k, n)
    assert (i.estimate, i.low, i.high) == pytest.approx((p, centre - half, centre + half), abs=1e-12)


def test_wilson_of_none_in_five_is_what_the_design_quotes():
    assert round(wilson(0, 5).high, 2) == 0.43


@pytest.mark.parametrize("n", [3, 6, 8])
def test_sign_flip_p_is_the_share_of_all_sign_patterns(n):
    rng = np.random.default_rng(n)
    a, b = rng.normal(0.6, 1, n), rng.normal(0, 1, n)
    d = a - b
    means = [abs(np.dot(s, d)) / n for s in itertools.product((-1, 1), repeat=n)]
    expected = np.mean([m >= abs(d.mean()) - 1e-12 for m in means])
    test = paired_difference(a, b, np.random.default_rng(0))
    assert test.p == pytest.approx(expected, abs=1e-12)
    assert test.difference.estimate == pytest.approx(d.mean())


def test_smallest_p_is_attained_and_needs_six_pairs():
    for n in (5, 6):
        test = paired_difference(np.arange(1.0, n + 1), np.zeros(n), np.random.default_rng(0))
        assert test.p == pytest.approx(test.p_attainable) == pytest.approx(2 / 2**n)
    assert 2 / 2**5 > 0.05 >= 2 / 2**6


def test_many_pairs_are_sampled_by_the_generator_alone():
    d = np.random.default_rng(2).normal(0.3, 1, 20)
    p = [paired_difference(d, np.zeros(20), np.random.default_rng(s), 999).p for s in (0, 0, 1)]
    assert p[0] == p[1] != p[2]


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.7]) == [1.0, 1.0]


def test_numbers_in_words():
    assert [number(x) for x in (0.05217, 1234.5, -0.5, 0.0, math.nan, math.inf, 3e-7)] == [
        "0.0522",
        "1,234",
        "\u22120.500",
        "0",
        "\u2013",
        "no limit",
        "3.00e\u221207",
    ]
    assert interval(t_interval([0.04, 0.05, 0.06])) == "0.050 [0.025, 0.075]"
