"""Sizes of beads against closed forms of the log-normal, and against scipy."""

import numpy as np
import pytest
from scipy import stats

from beadseg.analysis.prediction.distributions import (
    by_number,
    by_volume,
    compare,
    moment_mean,
)
from beadseg.analysis.prediction.intervals import rate_interval, size_intervals

MU, SIGMA = 1.6, 0.3
# Equal shares of a log-normal: a sample without chance.
QUANTILES = (np.arange(400_000) + 0.5) / 400_000
LOG_NORMAL = np.exp(MU + SIGMA * stats.norm.ppf(QUANTILES))


def test_numbers_of_a_log_normal_are_those_of_its_closed_form():
    found = by_number(LOG_NORMAL)
    cv = np.sqrt(np.exp(SIGMA**2) - 1)
    assert found.mean == pytest.approx(np.exp(MU + SIGMA**2 / 2), rel=1e-4)
    assert found.cv == pytest.approx(cv, rel=1e-3)
    assert found.pdi == pytest.approx(np.exp(SIGMA**2) - 1, rel=2e-3)
    assert found.d50 == pytest.approx(np.exp(MU), rel=1e-4)
    d10, d90 = np.exp(MU + SIGMA * stats.norm.ppf([0.1, 0.9]))
    assert (found.d10, found.d90) == pytest.approx((d10, d90), rel=1e-4)
    assert found.span == pytest.approx((d90 - d10) / np.exp(MU), rel=1e-4)


def test_by_volume_a_log_normal_is_one_with_a_greater_median():
    """Hatch and Choate (1929): the volume has the median exp(mu + 3 sigma^2)."""
    found = by_volume(LOG_NORMAL)
    median = np.exp(MU + 3 * SIGMA**2)
    assert found.d50 == pytest.approx(median, rel=1e-3)
    z = stats.norm.ppf(0.9)
    assert found.d90 == pytest.approx(median * np.exp(z * SIGMA), rel=1e-3)
    assert found.mean == pytest.approx(np.exp(MU + 3.5 * SIGMA**2), rel=1e-3)
    assert found.cv == pytest.approx(np.sqrt(np.exp(SIGMA**2) - 1), rel=5e-3)


def test_moment_means_of_a_log_normal():
    for p, q in ((3, 2), (4, 3), (1, 0)):
        exact = np.exp(MU + (p + q) / 2 * SIGMA**2)
        assert moment_mean(LOG_NORMAL, p, q) == pytest.approx(exact, rel=1e-3)
    assert moment_mean(LOG_NORMAL, 4, 3) == pytest.approx(by_volume(LOG_NORMAL).mean)


def test_numbers_are_those_of_scipy():
    values = np.random.default_rng(0).gamma(9, 2, 501)
    found = by_number(values)
    assert found.cv == pytest.approx(stats.variation(values, ddof=1))
    assert found.iqr == pytest.approx(stats.iqr(values))
    assert found.mean == pytest.approx(values.mean())
    repeated = np.repeat([2.0, 3.0], [1000, 8])  # of which 8 x 27 of 8,216 are 3
    assert by_volume(repeated).mean == pytest.approx((8000 * 2 + 216 * 3) / 8216)
    assert by_volume(repeated).d90 == 2.0


def test_of_one_bead_there_is_a_size_and_no_spread():
    one = np.array([5.0])
    assert by_number(one).d50 == by_volume(one).d50 == moment_mean(one, 3, 2) == 5
    assert np.isnan(by_number(one).cv) and np.isnan(by_volume(one).sd)
    assert size_intervals(one, np.zeros(1, int)) == (None, None)


def test_intervals_of_one_image_are_those_of_scipys_bootstrap():
    values = np.random.default_rng(1).lognormal(2, 0.3, 300)
    found = size_intervals(values, np.zeros(300, int))
    for ours, statistic in ((found.median, np.median), (found.cv, stats.variation)):
        peer = stats.bootstrap(
            (values,), statistic, n_resamples=2000, batch=500, rng=0
        ).confidence_interval
        width = peer.high - peer.low
        assert ours == pytest.approx(tuple(peer), abs=0.2 * width)


def test_images_that_differ_widen_the_interval():
    random = np.random.default_rng(2)
    image = np.repeat(np.arange(40), 50)
    same = random.lognormal(2, 0.1, 2000)
    apart = same * np.exp(0.1 * random.normal(size=40))[image]
    narrow, wide = (np.diff(size_intervals(v, image).median) for v in (same, apart))
    # Standard errors: 0.1 / sqrt(2000) * 1.25 of the median, and 0.1 / sqrt(40).
    assert wide / narrow == pytest.approx(np.sqrt(2000 / 40) / 1.25, rel=0.4)


def test_the_same_beads_give_the_same_interval_in_any_order():
    random = np.random.default_rng(3)
    values, image = random.lognormal(2, 0.1, 200), random.integers(0, 4, 200)
    order = random.permutation(200)
    found = size_intervals(values, image)
    again = size_intervals(values[order], image[order])
    assert found.median == pytest.approx(again.median, rel=0.01)
    assert size_intervals(values, image) == found


def test_beads_of_one_size_have_an_interval_without_width():
    found = size_intervals(np.full(50, 7.0), np.repeat([0, 1], 25))
    assert found.median == (7, 7)
    assert found.cv == pytest.approx((0, 0), abs=1e-6)


@pytest.mark.parametrize("images", [2, 3, 8, 40])
def test_rates_of_images_that_differ_have_students_interval(images):
    counts = np.random.default_rng(images).poisson(10_000, images).astype(float)
    low, high = rate_interval(counts, np.ones(images), np.ones(images))
    error = stats.sem(counts) * stats.t.ppf(0.975, images - 1)
    assert (high - low) / 2 == pytest.approx(error, rel=0.06)
    assert (high + low) / 2 == pytest.approx(counts.mean())


def test_an_image_without_beads_among_others_leaves_a_rate_from_zero():
    low, high = rate_interval(np.array([10.0, 0.0, 3.0]), np.ones(3), np.ones(13))
    error = stats.sem([10, 0, 3]) * stats.t.ppf(0.975, 2)
    assert low == 0 and high == pytest.approx(13 / 3 + error, rel=0.06)


def test_images_without_any_bead_leave_a_rate_that_poisson_allows():
    assert rate_interval(np.zeros(3), np.ones(3), np.zeros(0)) == pytest.approx(
        (0, 3.689 / 3), abs=1e-3
    )


def test_the_interval_of_two_images_reaches_beyond_them():
    """Sizes differ between images alone: the truth lies between two in half of sets."""
    held, random = 0, np.random.default_rng(6)
    for _ in range(200):
        sizes = np.repeat(np.exp(0.1 * random.normal(size=2)), 15)
        sizes *= np.exp(0.001 * random.normal(size=30))
        low, high = size_intervals(sizes, np.repeat([0, 1], 15)).median
        held += low <= 1 <= high
    assert 0.9 < held / 200 < 0.995


def test_a_rate_of_equal_images_is_known_and_of_one_is_poissons():
    assert rate_interval(np.full(9, 4.0), np.full(9, 2.0), np.ones(36)) == (2, 2)
    low, high = rate_interval(np.zeros(1), np.array([0.5]), np.zeros(0))
    assert (low, high) == pytest.approx((0, 3.689 / 0.5), abs=1e-3)
    # Of 4 beads (1.09 to 10.24), each of which stands for 2.25.
    interval = rate_interval(np.array([9.0]), np.ones(1), np.full(4, 2.25))
    assert interval == pytest.approx((2.25 * 1.0899, 2.25 * 10.2416), rel=1e-4)


def test_groups_are_compared_as_scipy_compares():
    a, b, c = np.array([1.0, 2, 3]), np.array([4.0, 5, 6]), np.array([7.0, 8])
    two = compare([a, b])
    assert (two.name, two.p) == ("Mann-Whitney U", pytest.approx(2 / 20))
    three = compare([a, b, c])
    assert three[1:] == pytest.approx(tuple(stats.kruskal(a, b, c)))
    assert compare([a, np.array([1.0])]) is None
    assert compare([a * 0, b * 0, c * 0]).p == 1
