"""Intervals and tests against closed forms and a literal enumeration."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.panels.cell_tables import BOLD
from analysis.stats.comparisons import paired_tests, ranked
from analysis.stats.inference import (
    Interval,
    bca_interval,
    compare_by_ranks,
    enough_for_significance,
    holm,
    iqm,
    p_attainable,
    pairs_needed,
    sign_flip,
    t_interval,
    wilson,
)
from analysis.text.formatting import interval, listed, number, plus_minus


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
    d = rng.normal(0.6, 1.4, n)
    means = [abs(np.dot(s, d)) / n for s in itertools.product((-1, 1), repeat=n)]
    expected = np.mean([m >= abs(d.mean()) - 1e-12 for m in means])
    assert sign_flip(d, np.random.default_rng(0))[0] == pytest.approx(expected, abs=1e-12)


def test_smallest_p_is_attained_and_needs_six_pairs():
    for n in (5, 6):
        p, least = sign_flip(np.arange(1.0, n + 1), np.random.default_rng(0))
        assert p == least == 2 / 2**n
    assert 2 / 2**5 > 0.05 >= 2 / 2**6


def test_many_pairs_are_sampled_by_the_generator_alone():
    d = np.random.default_rng(2).normal(0.3, 1, 20)
    p = [sign_flip(d, np.random.default_rng(s), 999)[0] for s in (0, 0, 1)]
    assert p[0] == p[1] != p[2]


def test_no_p_is_smaller_than_attainable_and_more_pairs_attain_no_less():
    for n in (14, 16, 17, 20, 40):
        p, least = sign_flip(np.ones(n), np.random.default_rng(0))
        assert p >= least
    assert p == least  # no draw of 40 signs is as extreme
    every = [p_attainable(n) for n in range(1, 60)]
    assert every == sorted(every, reverse=True) and every[15] == 2 / 2**16 > every[16] == 2 / 2**17


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
    assert interval(Interval(1e-7, 5e-8, 1.5e-7, 6)) == "1.00e\u221207 [5.00e\u221208, 1.50e\u221207]"
    assert interval(Interval(2e-7, -1e-9, 4e-7, 6)) == "2.0e\u221207 [\u22121.0e\u221209, 4.0e\u221207]"
    assert interval(Interval(0.0003, -0.0124, 0.013, 6)) == "0.0003 [\u22120.0124, 0.0130]"  # not "better by 0.000"
    assert interval(Interval(0.0, -0.0124, 0.013, 6)) == "0.000 [\u22120.012, 0.013]"
    assert plus_minus(0.00054, 0.0146) == "0.001 \u00b1 0.015" and plus_minus(-3, 12.3) == "\u22123 \u00b1 12"
    assert plus_minus(0.5, 0.0) == "0.50 \u00b1 0"
    assert listed("abcdefgh") == "a, b, c, d, e, f and 2 more" and listed("abcdefgh", None).endswith("g and h")
    assert interval(Interval(0.5, 0.49999, 0.50001, 6)) == "0.5000000 [0.4999900, 0.5000100]"


def test_a_t_interval_on_normal_means_covers_95_of_100():
    """4,000 draws each; the standard error of the share is .0034."""
    rng = np.random.default_rng(2)
    for n in (6, 10, 20):
        covered = np.mean([i.low < 1 < i.high for i in map(t_interval, rng.normal(1, 3, (4000, n)))])
        assert covered == pytest.approx(0.95, abs=0.02)


def test_wilsons_mean_coverage_over_all_rates_is_95_of_100():
    """Exact: sum over k of the binomial probability where the interval holds p, averaged over a fine grid of p."""
    p = np.linspace(0.0005, 0.9995, 1000)
    for n in (5, 7, 10, 20):
        inside = np.zeros_like(p)
        for k in range(n + 1):
            i = wilson(k, n)
            inside += stats.binom.pmf(k, n, p) * ((i.low <= p) & (p <= i.high))
        assert inside.mean() == pytest.approx(0.95, abs=0.01)


def ranks(a, b, lower=True):
    return compare_by_ranks(a, b, lower_is_better=lower, rng=np.random.default_rng(0))


def test_of_equal_mean_ranks_the_better_mean_is_best():
    a, b = pd.Series([1.0, 1, 1, 5, 5, 5]), pd.Series([2.0, 2, 2, 3, 3, 3])
    for values in ({"a": a, "b": b}, {"b": b, "a": a}):
        assert ranked(values, True).strong[0] == "b" and ranked(values, False).strong[0] == "a"


def test_ranks_with_divergence_as_worst_by_hand():
    """Joint ranks of a: 1 2 7.5, of b: 4 3 7.5 and a value in the middle; the third pair diverged in both."""
    test = ranks([0.1, 0.2, math.nan, 0.9], [0.5, 0.3, math.nan, 0.8])
    d = np.array([1 - 4, 2 - 3, 0, 6 - 5])
    share = np.mean([abs(np.dot(s, d)) >= abs(d.sum()) for s in itertools.product((-1, 1), repeat=4)])
    assert (test.p, test.better, test.worse, test.ties, test.both_survived) == (share, 2, 1, 1, 3)
    assert test.superiority.estimate == 2.5 / 4 and test.difference.estimate == pytest.approx((-0.4 - 0.1 + 0.1) / 3)
    turned = ranks([0.1, 0.2, math.nan, 0.9], [0.5, 0.3, math.nan, 0.8], lower=False)
    assert (turned.better, turned.worse) == (1, 2)


def test_a_method_that_loses_every_seed_is_told_apart_with_seven():
    test = ranks([math.nan] * 7, np.linspace(1, 2, 7))
    assert test.p == test.p_attainable == 2 / 2**7 and test.superiority.estimate == 0 and test.difference.n == 0
    assert ranks([math.nan] * 7, [math.nan] * 7).p == 1


def test_a_survivor_s_mean_may_not_pay_for_lost_seeds():
    """a's survivors are better than all of b, but five of its eight seeds diverged."""
    a, b = [0.1, 0.1, 0.1, *[math.nan] * 5], [0.5 + 0.01 * i for i in range(8)]
    assert ranks(a, b).difference.estimate < 0 and ranks(a, b).worse == 5 and ranks(a, b).superiority.estimate == 3 / 8


def test_many_pairs_are_drawn_and_agree_with_scipy():
    rng = np.random.default_rng(5)
    d = rng.normal(0.35, 1, 24)
    p, least = sign_flip(d, np.random.default_rng(0))
    known = stats.permutation_test((d,), lambda x, axis: np.mean(x, axis=axis), permutation_type="samples",
                                   vectorized=True, n_resamples=19_999, rng=np.random.default_rng(1)).pvalue
    assert p == pytest.approx(known, abs=0.012) and least == 1 / 2**16


@pytest.mark.parametrize(("family", "pairs"), [(1, 6), (2, 7), (5, 8), (8, 9), (12, 9), (16, 10)])
def test_pairs_that_a_family_needs(family, pairs):
    assert pairs_needed(family) == pairs
    assert enough_for_significance(pairs, family) and not enough_for_significance(pairs - 1, family)


def null_study(rng: np.random.Generator, arms: int, seeds: int, lost: float = 1 / 6) -> dict[str, pd.Series]:
    """Arms that do not differ, on shared seeds, some replicates diverged."""
    values = rng.normal(size=(arms, seeds)) + rng.normal(size=seeds)
    values[rng.random((arms, seeds)) < lost] = np.nan
    return {f"arm{i}": pd.Series(row, index=range(seeds)) for i, row in enumerate(values)}


@pytest.mark.parametrize(("family", "seeds"), [(5, 8), (16, 10)])
def test_family_wise_error_of_null_studies(family, seeds):
    """Over 250 studies, with a standard error of .014; without Holm it is .17 at 5 comparisons and .32 at 16."""
    rng, wrong = np.random.default_rng(7), 0
    for _ in range(250):
        values = null_study(rng, family + 1, seeds)
        found = paired_tests(values, dict.fromkeys([*values][1:], "arm0"), family=family, lower_is_better=True)
        wrong += bool((found["p_holm"] <= 0.05).any())
    assert wrong / 250 <= 0.078


@pytest.mark.parametrize(("arms", "seeds", "said"), [(3, 7, 0.04), (6, 10, 0.08), (13, 10, 0.15)])
def test_the_bold_of_equal_arms_errs_as_often_as_the_caption_says(arms, seeds, said):
    """Over 200 null studies: one or more arms of equals miss the bold. The standard error is .014 to .025."""
    rng = np.random.default_rng(0)
    missed = np.mean([bool(ranked(null_study(rng, arms, seeds), True).apart) for _ in range(200)])
    assert missed == pytest.approx(said, abs=0.06) and f"{said * 100:.0f} %" in BOLD


def test_holm_and_wilson_are_statsmodels():
    from statsmodels.stats.multitest import multipletests
    from statsmodels.stats.proportion import proportion_confint

    p = np.random.default_rng(4).random(9) ** 3
    assert holm(list(p)) == pytest.approx(multipletests(p, method="holm")[1])
    assert holm(list(p), family=12)[:9] == pytest.approx(multipletests([*p, 1, 1, 1], method="holm")[1][:9])
    for k, n in ((0, 7), (3, 10), (10, 10)):
        assert (wilson(k, n).low, wilson(k, n).high) == pytest.approx(proportion_confint(k, n, method="wilson"))


@pytest.mark.parametrize(("law", "said"), [("standard_normal", 0.93), ("standard_exponential", 0.92)])
def test_bca_covers_as_often_as_its_docstring_says(law, said):
    """600 draws of 30 values; the standard error of the share is .011."""
    rng = np.random.default_rng(6)
    truth = float(law == "standard_exponential")
    found = [bca_interval(x, rng, resamples=999) for x in getattr(rng, law)((600, 30))]
    assert np.mean([i.low <= truth <= i.high for i in found]) == pytest.approx(said, abs=0.033)
    assert f"{said * 100:.0f} %" in str(bca_interval.__doc__)


def test_zeros_change_no_p_and_cannot_be_significant():
    d = np.array([0.4, 0.0, -0.1, 0.3, 0.0, 0.2])
    means = [abs(np.dot(s, d)) for s in itertools.product((-1, 1), repeat=6)]
    assert sign_flip(d, np.random.default_rng(0)) == (np.mean([m >= abs(d.sum()) - 1e-12 for m in means]), 2 / 2**4)


@pytest.mark.parametrize("of", [bca_interval, iqm])
def test_a_diverged_value_is_refused_by_the_bootstrap_too(of):
    with pytest.raises(ValueError, match="1 values that are not finite among 30"):
        of([*range(29), math.nan], np.random.default_rng(0))


def test_a_middle_half_of_equals_has_an_interval_without_a_warning():
    """No value left out changes the interquartile mean: BCa's acceleration would be 0/0."""
    assert iqm([1.0] * 24 + [5.0], np.random.default_rng(0)) == Interval(1, 1, 1, 25)
    assert iqm([0.1] * 24 + [5.0], np.random.default_rng(0)).high == pytest.approx(0.1)


def test_half_a_tie_keeps_superiority_in_the_middle_of_its_interval():
    chance = ranks([1.0] * 9, [1.0] * 9).superiority
    assert chance.estimate == 0.5 and chance.low + chance.high == pytest.approx(1)
    assert ranks([0.0] + [1.0] * 8, [1.0] * 9).superiority.low > chance.low


def test_bootstrap_intervals_start_where_they_hold_and_follow_a_skewed_law():
    rng = np.random.default_rng(3)
    x = rng.exponential(1.0, 40)
    i = bca_interval(x, np.random.default_rng(0))
    assert i.low < x.mean() < i.high and i.high - i.estimate > i.estimate - i.low
    assert math.isnan(bca_interval(x[:19], rng).low) and bca_interval([2.0] * 20, rng).high == 2
    middle = iqm([*range(11), 1e9], np.random.default_rng(0))
    assert middle.estimate == pytest.approx(np.mean([3, 4, 5, 6, 7, 8])) and middle.low < 5.5 < middle.high < 1e9
    assert math.isnan(iqm([1.0, 2.0], rng).low) and math.isnan(iqm([], rng).estimate)
