"""Quality measures against closed forms, literal loops and independent libraries."""

import math

import numpy as np
import pytest
from scipy import linalg, stats

from models import quality
from models.densities import Density, density


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


@pytest.mark.parametrize("measure", [quality.kid, quality.mmd, quality.energy_distance, quality.fd,
                                     quality.variance_ratio])
def test_what_is_not_finite_or_not_of_one_shape_is_refused(measure, rng):
    x = rng.standard_normal((20, 3))
    bad = x.copy()
    bad[4, 1] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        measure(bad, x)
    with pytest.raises(ValueError, match=r"found shapes \(20, 3\) and \(20, 2\)"):
        measure(x, x[:, :2])
    with pytest.raises(ValueError, match="found 1 rows, expected at least 2"):
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


def test_grid_kl_refuses_what_is_not_finite():
    with pytest.raises(ValueError, match="finite: False"):
        quality.grid_kl(lambda x: np.where(x[:, 0] > 5, np.nan, 0), gaussian(1.0))


def test_the_floor_takes_disjoint_halves_of_the_stated_n(rng):
    reference = np.arange(101.0)[:, None]
    seen = []

    def spy(x, y):
        assert len(x) == len(y) and not set(x.ravel()) & set(y.ravel())
        seen.append(len(x))
        return float(x.mean() - y.mean())

    found = quality.floor(spy, reference, 256, 40, rng)
    assert found.n == 50 and seen == [50] * 40
    assert quality.floor(spy, reference, 20, 3, rng).n == 20
    # Two disjoint samples without replacement: var of the difference is 2 S^2 / n.
    assert found.sd == pytest.approx(math.sqrt(2 * reference.var(ddof=1) / 50), rel=0.4)
    with pytest.raises(ValueError, match="found draws = 1"):
        quality.floor(spy, reference, 20, 1, rng)


def test_the_floor_of_fd_is_its_bias(rng):
    found = quality.floor(quality.fd, rng.standard_normal((2000, 8)), 200, 30, rng)
    assert found.mean == pytest.approx((8**2 + 5 * 8) / (2 * 200), rel=0.1)


def test_samples_far_from_every_mode_cover_none():
    law = density("gaussians8")
    assert law.modes is not None
    assert quality.mode_coverage(np.repeat(3 * law.modes, 50, axis=0), law) == (0, 0)
