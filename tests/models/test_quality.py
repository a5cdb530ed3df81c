"""Quality measures against closed forms, literal loops and independent libraries."""

import math
from itertools import permutations

import numpy as np
import pytest
from scipy import linalg, stats

from models.data.densities import Density, density
from models.measures import quality
from models.measures.quality import frechet


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def correlated(rng, n, d, shift=0.0):
    return rng.standard_normal((n, d)) @ rng.standard_normal((d, d)) + shift


def test_fd_is_the_closed_form_by_sqrtm(rng):
    x, y = correlated(rng, 60, 12), correlated(rng, 90, 12, 0.3)
    s1, s2 = np.cov(x.T), np.cov(y.T)
    root = linalg.sqrtm(s1 @ s2)
    expected = np.sum((x.mean(0) - y.mean(0)) ** 2) + np.trace(s1 + s2 - 2 * root.real)
    assert quality.fd(x, y) == pytest.approx(expected, rel=1e-9)
    assert quality.fd(x, x) == pytest.approx(0, abs=1e-9)


def test_fd_of_two_known_gaussians(rng):
    """Commuting covariances: |m|^2 + sum (s_i - t_i)^2."""
    s, t, m = np.array([1.0, 2.0, 0.5]), np.array([0.5, 2.0, 1.5]), np.array([1.0, 0.0, -1.0])
    found = quality.fd(rng.standard_normal((200000, 3)) * s, rng.standard_normal((200000, 3)) * t + m)
    assert found == pytest.approx(np.sum(m**2) + np.sum((s - t) ** 2), rel=0.01)


def test_fd_bias_is_the_documented_one(rng):
    d, n = 16, 400
    values = [quality.fd(*rng.standard_normal((2, n, d)) * 3) for _ in range(30)]
    assert np.mean(values) == pytest.approx(9 * (d**2 + 5 * d) / (2 * n), rel=0.05)


def test_fd_is_refused_below_two_rows_a_feature(rng):
    x = rng.standard_normal((16, 8))
    assert quality.fd(x, x + 1) == pytest.approx(8)
    with pytest.raises(ValueError, match="found n = 15 for d = 8 features, expected n >= 2 d = 16"):
        quality.fd(x[:15], x)


def literal_u_statistic(x, y, kernel):
    n, m = len(x), len(y)
    xx = sum(kernel(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    yy = sum(kernel(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return xx + yy - 2 * sum(kernel(a, b) for a in x for b in y) / (n * m)


def test_kid_mmd_and_energy_distance_are_the_literal_double_loops(rng):
    x, y = correlated(rng, 9, 4), correlated(rng, 13, 4, 0.5)
    are_literal(x, y)
    y *= 1.5  # what is remembered of a reference is not the array's, but its content's
    are_literal(x, y)


def are_literal(x, y):
    cubic = literal_u_statistic(x, y, lambda a, b: (a @ b / 4 + 1) ** 3)
    assert quality.kid(x, y) == pytest.approx(cubic, rel=1e-12)
    distance = literal_u_statistic(x, y, lambda a, b: -math.dist(a, b))
    assert quality.energy_distance(x, y) == pytest.approx(distance, rel=1e-12)
    median = np.median([math.dist(y[i], y[j]) ** 2 for i in range(13) for j in range(i)])
    widths = [median * factor**2 for factor in (0.25, 0.5, 1, 2, 4)]
    gaussian = literal_u_statistic(
        x, y, lambda a, b: sum(math.exp(-math.dist(a, b) ** 2 / (2 * width)) for width in widths) / 5)
    assert quality.mmd(x, y) == pytest.approx(gaussian, rel=1e-10)


@pytest.mark.parametrize("measure", [quality.kid, quality.mmd, quality.energy_distance])
def test_u_statistics_are_zero_on_average_under_the_null_and_not_otherwise(measure, rng):
    null = [measure(rng.standard_normal((12, 3)), rng.standard_normal((15, 3))) for _ in range(600)]
    assert abs(np.mean(null)) < 4 * np.std(null) / math.sqrt(600)
    assert min(null) < 0
    shifted = [measure(rng.standard_normal((12, 3)) + 1, rng.standard_normal((15, 3))) for _ in range(50)]
    assert np.mean(shifted) > 4 * np.std(null)


def test_energy_distance_in_one_dimension_is_scipys_but_unbiased(rng):
    x, y = rng.standard_normal(30), rng.standard_normal(40) + 0.7
    within = [np.abs(z[:, None] - z).mean() / (len(z) - 1) for z in (x, y)]  # U-statistic less V-statistic
    expected = stats.energy_distance(x, y) ** 2 - sum(within)
    assert quality.energy_distance(x[:, None], y[:, None]) == pytest.approx(expected, rel=1e-10)


def test_fd_infinity_is_the_intercept_of_a_line_in_one_over_n(rng, monkeypatch):
    """At FD = a + b / n exactly it gives a, and every n lies in the documented range on both sides."""
    seen = []

    def line(x, y):
        assert len(x) == len(y) and len(np.unique(x, axis=0)) == len(x)
        seen.append(len(x))
        return 3 + 50 / len(x)

    monkeypatch.setattr(frechet, "fd", line)
    x = rng.standard_normal((120, 10))
    assert quality.fd_infinity(x, x[:90], rng, points=4, draws=3) == pytest.approx(3)
    assert len(seen) == 12 and max(seen) == 90 and min(seen) == 45
    seen.clear()
    quality.fd_infinity(x, x[:30], rng)
    assert min(seen) == 20 and max(seen) == 30


@pytest.mark.parametrize("shift", [0, 0.5])
def test_fd_infinity_takes_the_bias_off(shift, rng):
    """d = 16, n = 160: FD's bias is 1.05. What is left of it is far smaller, whatever the distance is."""
    found = [quality.fd_infinity(rng.standard_normal((160, 16)) + shift, rng.standard_normal((160, 16)), rng)
             for _ in range(40)]
    assert abs(np.mean(found) - 16 * shift**2) < 0.05 + 3 * np.std(found) / math.sqrt(40)
    assert np.std(found) < 0.8


def test_fd_infinity_draws_from_its_generator_alone_and_needs_room(rng):
    x, y = correlated(rng, 60, 8), correlated(rng, 70, 8)
    first, again, other = (quality.fd_infinity(x, y, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert first == again != other
    with pytest.raises(ValueError, match=r"found n = 19 for d = 8 features.*expected n >= 2.5 d = 20"):
        quality.fd_infinity(x[:19], y, rng)


def literal_manifold(x, y, k):
    """The definitions, one row at a time."""
    def radius(row, rows):
        return sorted(math.dist(row, other) for other in rows)[k]  # [0] is the row itself

    data, samples = [radius(row, y) for row in y], [radius(row, x) for row in x]
    inside = [[math.dist(a, b) < r for b, r in zip(y, data, strict=True)] for a in x]
    return (np.mean([any(row) for row in inside]),
            np.mean([any(math.dist(b, a) < r for a, r in zip(x, samples, strict=True)) for b in y]),
            np.mean([sum(row) for row in inside]) / k,
            np.mean([any(row[i] for row in inside) for i in range(len(y))]))


def test_precision_recall_density_and_coverage_are_their_definitions(rng):
    x, y = correlated(rng, 25, 3), correlated(rng, 40, 3, 0.4)
    for k in (1, 5):
        assert quality.manifold(x, y, k) == pytest.approx(literal_manifold(x, y, k), rel=1e-12)
    with pytest.raises(ValueError, match="found 5 rows, expected at least 6"):
        quality.manifold(x[:5], y)


@pytest.mark.parametrize(("n", "m", "d"), [(6, 9, 1), (20, 45, 4)])
def test_coverage_and_density_of_one_law_have_their_exact_expectation(n, m, d, rng):
    found = [quality.manifold(rng.standard_normal((n, d)), rng.standard_normal((m, d))) for _ in range(400)]
    expected = {"density": 1.0, "coverage": quality.expected_coverage(n, m)}
    for name, value in expected.items():
        values = [getattr(f, name) for f in found]
        assert abs(np.mean(values) - value) < 3.5 * np.std(values) / 20
        assert np.std(values) / 20 < 0.02  # so that the bound above means something
    empty = math.comb(n + m - 1 - 5, n) / math.comb(n + m - 1, n)  # orders in which the first five are all data
    assert quality.expected_coverage(n, m) == pytest.approx(1 - empty, rel=1e-12)
    assert quality.expected_coverage(10**6, 10**6) == pytest.approx(1 - 2**-5, abs=1e-5)


def test_what_is_missing_costs_recall_and_coverage_what_is_added_costs_precision(rng):
    y = np.concatenate([rng.standard_normal((200, 4)), rng.standard_normal((200, 4)) + 20])
    one_mode = quality.manifold(rng.standard_normal((400, 4)), y)
    assert one_mode.precision > 0.9 and one_mode.recall < 0.55 and one_mode.coverage < 0.51
    astray = quality.manifold(np.concatenate([y[::2], y[::2] - 90]), y)
    assert astray.precision == 0.5 and astray.recall > 0.8 and 0.4 < astray.density < 0.6


def test_nearest_is_the_literal_minimum_even_far_from_the_origin(rng):
    train = rng.standard_normal((600, 7)) + 1000
    x = np.concatenate([train[[3, 599]] + 1e-4, rng.standard_normal((9, 7)) + 1000]).astype(np.float64)
    expected = [min(math.dist(a, b) for b in train) for a in x]
    assert quality.nearest(x, train) == pytest.approx(expected, rel=1e-4)


def test_memory_is_the_pairwise_rank_statistic(rng):
    samples, held_out = rng.integers(0, 9, 31).astype(float), rng.integers(2, 12, 57).astype(float)
    pairs = [(a < b) + (a == b) / 2 for a in samples for b in held_out]
    assert quality.memory(samples, held_out).nearer_train == pytest.approx(np.mean(pairs))


def test_without_memorisation_memory_is_a_half_and_its_tail_is_exact(rng):
    n, m = 40, 57
    found = [quality.memory(rng.random(n), rng.random(m)) for _ in range(800)]
    ranks = [f.nearer_train for f in found]
    assert np.mean(ranks) == pytest.approx(0.5, abs=0.008)
    assert np.std(ranks) == pytest.approx(math.sqrt((n + m + 1) / (12 * n * m)), rel=0.1)
    assert found[0].copies_null == 2 / 58
    assert np.mean([f.copies for f in found]) == pytest.approx(2 / 58, abs=0.005)


def test_copies_are_found_alone_and_among_noise(rng):
    train, held_out = rng.standard_normal((500, 6)), rng.standard_normal((200, 6))
    far = quality.nearest(held_out, train)
    assert quality.memory(quality.nearest(train[:100] + 1e-6, train), far)[:2] == (1, 1)
    noise = np.concatenate([train[:30], 5 * rng.standard_normal((70, 6))])
    mixed = quality.memory(quality.nearest(noise, train), far)
    assert mixed.nearer_train < 0.4 and mixed.copies == 0.3  # ranks alone would say: all clear


def test_w2_is_the_best_of_all_matchings_and_what_an_independent_solver_finds(rng):
    from ot import emd2

    x, y = correlated(rng, 6, 2), correlated(rng, 6, 2, 1.0)
    best = min(np.mean(np.sum((x - y[list(order)]) ** 2, 1)) for order in permutations(range(6)))
    assert quality.w2(x, y) == pytest.approx(math.sqrt(best), rel=1e-12)
    x, y = correlated(rng, 200, 2), correlated(rng, 200, 2, 1.0)
    plan = emd2([], [], ((x[:, None] - y) ** 2).sum(-1))
    assert quality.w2(x, y) == pytest.approx(math.sqrt(plan), rel=1e-9)


def test_w2_of_a_cloud_and_its_image_under_an_optimal_map(rng):
    """x -> A x + m with A symmetric and positive is the gradient of a convex function, so no matching is better."""
    x, a, m = rng.standard_normal((150, 2)), np.array([[1.5, 0.4], [0.4, 0.7]]), np.array([1.0, -2.0])
    y = x @ a + m
    assert quality.w2(x, y[::-1]) == pytest.approx(math.sqrt(np.mean(np.sum((x - y) ** 2, 1))), rel=1e-12)


def test_w2_of_two_gaussians_is_the_closed_form(rng):
    """|m1 - m2|^2 + |s - t|^2 for commuting covariances."""
    s, t, m = np.array([1.0, 0.5]), np.array([0.4, 1.5]), np.array([1.5, 1.0])
    found = quality.w2(rng.standard_normal((500, 2)) * s, rng.standard_normal((500, 2)) * t + m)
    assert found == pytest.approx(math.sqrt(np.sum(m**2) + np.sum((s - t) ** 2)), rel=0.05)
    with pytest.raises(ValueError, match="found 3 and 4 rows, expected equally many, at most 1500"):
        quality.w2(np.zeros((3, 2)), np.zeros((4, 2)))


@pytest.mark.parametrize("measure", [quality.kid, quality.mmd, quality.energy_distance, quality.fd,
                                     quality.variance_ratio, quality.manifold, quality.nearest, quality.w2])
def test_what_is_not_finite_or_not_of_one_shape_is_refused(measure, rng):
    x = rng.standard_normal((20, 3))
    bad = x.copy()
    bad[4, 1] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        measure(bad, x)
    with pytest.raises(ValueError, match=r"found shapes \(20, 3\) and \(20, 2\)"):
        measure(x, x[:, :2])
    if measure not in (quality.nearest, quality.w2):
        with pytest.raises(ValueError, match="found 1 rows, expected at least"):
            measure(x[:1], x)


def test_variance_ratio_is_the_squared_scale(rng):
    y = correlated(rng, 50, 5)
    assert quality.variance_ratio(3 * y + 8, y) == pytest.approx(9)


def test_coverage_counts_modes_with_their_share_and_samples_near(rng):
    law = density("gaussians8")
    assert law.modes is not None
    data = law.sample(4000, rng)
    all_modes = quality.mode_coverage(data, law)
    assert all_modes.modes == 1
    assert all_modes.near == pytest.approx(1 - math.exp(-8), abs=2e-3)  # 2-D Gaussian within 4 sd
    three = law.modes[[0, 2, 5]][rng.integers(3, size=600)]
    assert quality.mode_coverage(three, law) == (3 / 8, 1)
    uniform = quality.mode_coverage(rng.uniform(-4, 4, (20000, 2)), law)
    assert uniform.modes == 1
    assert uniform.near == pytest.approx(8 * math.pi * 0.8**2 / 64, rel=0.08)  # 8 discs: nearest modes are 1.53 apart


def test_a_mode_below_its_fair_share_is_not_covered():
    law = density("gaussians8")
    assert law.modes is not None
    few = np.repeat(law.modes, [100] * 7 + [17], axis=0)  # 717 samples: 0.2 * 717 / 8 = 17.9
    assert quality.mode_coverage(few, law).modes == 7 / 8
    assert quality.mode_coverage(few, law, fair_share=0.15).modes == 1


def test_coverage_of_half_a_curve(rng):
    law = density("rings")
    half = law.sample(6000, rng)
    half = half[np.hypot(*half.T) < 1.5]
    assert quality.mode_coverage(half, law).modes == 0.5


def gaussian(sd):
    return Density("one", np.zeros((1, 5)), sd, (-6.0, 6.0))


def test_grid_kl_of_two_gaussians_is_the_closed_form():
    """KL(N(0, s^2 I) || N(m, t^2 I)) = 2 log(t/s) + (2 s^2 + |m|^2) / (2 t^2) - 1."""
    s, t, m = 0.5, 0.8, np.array([0.3, -0.4])
    found = quality.grid_kl(lambda x: -((x - m) ** 2).sum(1) / (2 * t**2) + 5, gaussian(s))
    assert found.kl == pytest.approx(2 * math.log(t / s) + (2 * s**2 + m @ m) / (2 * t**2) - 1, rel=1e-6)
    assert found.log_z == pytest.approx(math.log(2 * math.pi * t**2) + 5, abs=1e-6)
    assert found.border < 1e-8


def test_grid_tv_of_two_gaussians_is_the_closed_form():
    """Equal sd: 2 Phi(|m| / 2s) - 1. The grid's cells resolve it to first order in their width."""
    found = quality.grid_kl(lambda x: -((x - [1, 0]) ** 2).sum(1) / 2, gaussian(1.0), points=400)
    assert found.tv == pytest.approx(2 * stats.norm.cdf(0.5) - 1, abs=1e-3)


def test_the_border_tells_of_a_model_that_leaves_the_square():
    assert quality.grid_kl(lambda x: np.zeros(len(x)), gaussian(1.0)).border == pytest.approx(1 - 0.9**2)
    assert quality.grid_kl(lambda x: x[:, 0] ** 2, gaussian(1.0)).border > 0.99


def test_a_density_against_itself_and_against_uniform():
    law = density("moons")
    assert quality.grid_kl(law.log_prob, law)[:2] == pytest.approx((0, 0), abs=1e-12)
    against_uniform = quality.grid_kl(lambda x: np.zeros(len(x)), law).kl  # log area - entropy
    entropy = -law.log_prob(law.sample(20000, np.random.default_rng(0))).mean()
    assert against_uniform == pytest.approx(math.log(64) - entropy, abs=0.03)


def test_the_held_out_likelihood_is_that_of_the_normalised_model():
    """nats per dimension: half of E|x - m|^2 / (2 t^2) + log(2 pi t^2), whatever constant the model carries."""
    t, m, x = 0.7, np.array([0.5, -0.2]), np.random.default_rng(1).standard_normal((50, 2))
    expected = (np.mean(np.sum((x - m) ** 2, 1)) / (2 * t**2) + math.log(2 * math.pi * t**2)) / 2
    found = quality.grid_kl(lambda p: 9 - ((p - m) ** 2).sum(1) / (2 * t**2), gaussian(1.0), held_out=x)
    assert found.nll == pytest.approx(expected, abs=1e-6)
    assert math.isnan(quality.grid_kl(lambda p: np.zeros(len(p)), gaussian(1.0)).nll)
    with pytest.raises(ValueError, match="not finite at a held-out point"):
        quality.grid_kl(lambda p: np.where(len(p) == 50, np.nan, 0) + np.zeros(len(p)), gaussian(1.0), held_out=x)


def test_grid_kl_refuses_what_is_not_finite():
    with pytest.raises(ValueError, match="finite: False"):
        quality.grid_kl(lambda x: np.where(x[:, 0] > 5, np.nan, 0), gaussian(1.0))


def test_floors_take_disjoint_parts_of_the_stated_sizes(rng):
    values = np.arange(100.0)
    seen = []

    def measures(i, j):
        assert not set(i) & set(j)
        seen.append((len(i), len(j)))
        return {"difference": values[i].mean() - values[j].mean(), "one": 1.0}

    found = quality.floors(measures, 100, 30, 40, 50, rng)
    assert seen == [(30, 40)] * 50 and found["one"] == (1, 0, 1, 30, 40)
    # Without replacement: var of the difference is S^2 (1/30 + 1/40).
    sd = math.sqrt(values.var(ddof=1) * (1 / 30 + 1 / 40))
    assert found["difference"].sd == pytest.approx(sd, rel=0.3)
    assert found["difference"].high == pytest.approx(found["difference"].mean + 1.64 * sd, abs=0.6 * sd)
    for wanted, given in [((256, 20), (80, 20)), ((256, 90), (50, 50)), ((10, 90), (10, 50))]:
        assert quality.floors(measures, 100, *wanted, 2, rng)["one"][3:] == given
    with pytest.raises(ValueError, match="found draws = 1"):
        quality.floors(measures, 100, 20, 20, 1, rng)


def test_samples_far_from_every_mode_cover_none():
    law = density("gaussians8")
    assert law.modes is not None
    assert quality.mode_coverage(np.repeat(3 * law.modes, 50, axis=0), law) == (0, 0)
