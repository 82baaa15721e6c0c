"""Statistics of counts against closed forms, another library and known truth."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from beadseg.analysis.calibration.blank import blank_of
from beadseg.analysis.calibration.intervals import (
    between_interval,
    poisson_interval,
    spread,
)
from beadseg.analysis.calibration.line import NoLineError, straight_line
from beadseg.analysis.calibration.regression import fit
from beadseg.analysis.calibration.series import Unit


def draw(random, dilutions=6, replicates=3, top=400.0, cv=0.0, k=0.0, blank=0.0):
    """Counts of a series that is thinned by two, and its units."""
    units = []
    for step in range(dilutions):
        for number in range(replicates):
            mean = top * 2.0**-step
            if cv:
                mean *= random.gamma(cv**-2, cv**2)
            mean = mean * np.exp(-k * 2.0**-step) + blank
            count = int(random.poisson(mean))
            units.append(Unit(f"{step}.{number}", 10 * 2.0**step, 1, count, 1.0))
    return units


def arrays(units):
    counts = np.array([float(unit.count) for unit in units])
    return counts, np.array([unit.exposure for unit in units])


# Garwood 1936; tables of exact Poisson limits.
@pytest.mark.parametrize(
    "count, low, high",
    [(0, 0, 3.6889), (1, 0.0253, 5.5716), (10, 4.7954, 18.3904), (100, 81.36, 121.63)],
)
def test_poisson_interval_is_that_of_the_tables(count, low, high):
    assert poisson_interval(count) == pytest.approx((low, high), abs=0.005)


def test_poisson_fit_equals_that_of_statsmodels():
    random = np.random.default_rng(0)
    x = np.linspace(-2, 2, 20)
    exposure = random.uniform(0.5, 3, 20)
    counts = random.poisson(exposure * np.exp(0.3 + 0.9 * x)).astype(float)
    assert (counts == 0).any()
    design = np.stack([np.ones(20), x], 1)
    theirs = sm.GLM(
        counts, design, family=sm.families.Poisson(), offset=np.log(exposure)
    ).fit(tol=1e-12)
    ours = fit(design, counts, exposure, overdispersed=False)
    np.testing.assert_allclose(ours.coefficients, theirs.params, rtol=1e-6)
    np.testing.assert_allclose(ours.covariance, theirs.cov_params(), rtol=1e-5)
    low, high = ours.interval(np.array([0.0, 1.0]))
    np.testing.assert_allclose((low, high), theirs.conf_int()[1], rtol=1e-6)


def test_overdispersed_fit_equals_that_of_statsmodels_where_chi_squared_is_df():
    random = np.random.default_rng(1)
    x = np.linspace(-2, 2, 24)
    means = 60 * np.exp(x) * random.gamma(8, 1 / 8, 24)
    counts = random.poisson(means).astype(float)
    design = np.stack([np.ones(24), x], 1)
    ours = fit(design, counts, np.ones(24))
    family = sm.families.NegativeBinomial(alpha=ours.overdispersion)
    theirs = sm.GLM(counts, design, family=family).fit(tol=1e-12)
    assert theirs.pearson_chi2 == pytest.approx(22, rel=1e-4)
    np.testing.assert_allclose(ours.coefficients, theirs.params, rtol=1e-5)
    np.testing.assert_allclose(ours.covariance, theirs.cov_params(), rtol=1e-4)


def test_fit_knows_the_background():
    x = np.linspace(-3, 3, 12)
    counts = 100 * (2 + np.exp(1 + 0.8 * x))  # without any noise
    design = np.stack([np.ones(12), x], 1)
    found = fit(design, counts, np.full(12, 100.0), background=(2.0, 0.1))
    np.testing.assert_allclose(found.coefficients, (1, 0.8), rtol=1e-6)
    more = fit(design, counts, np.full(12, 100.0), background=(2.1, 0.1))
    moved = more.coefficients - found.coefficients
    known = np.sqrt(np.diag(found.of_background))
    np.testing.assert_allclose(known, np.abs(moved), rtol=0.1)


def test_spread_is_that_of_the_groups_and_none_without_replicates():
    random = np.random.default_rng(2)
    groups = np.repeat(np.arange(40), 5)
    counts = random.poisson(300 * random.gamma(25, 1 / 25, 200)).astype(float)
    found = spread(counts, np.ones(200), list(groups))
    assert found.cv == pytest.approx(0.2, abs=0.03)
    assert found.df == 160 and found.p < 1e-9
    even = spread(random.poisson(300, 200).astype(float), np.ones(200), list(groups))
    assert even.cv < 0.03 and even.p > 0.001
    assert spread(counts, np.ones(200), range(200)) is None
    assert spread(np.zeros(4), np.ones(4), [1, 1, 2, 2]) is None


def test_between_interval_of_many_equals_students():
    random = np.random.default_rng(3)
    counts = random.poisson(400 * random.gamma(25, 1 / 25, 60)).astype(float)
    varies = spread(counts, np.ones(60), [0] * 60)
    half = stats.t.ppf(0.975, 59) * counts.std(ddof=1) / 60**0.5
    low, high = between_interval(counts, np.ones(60), varies)
    assert low == pytest.approx(counts.mean() - half, rel=0.01)
    assert high == pytest.approx(counts.mean() + half, rel=0.01)
    assert low < counts.mean() < high


def test_more_exposure_changes_the_rate_and_not_the_slope():
    units = draw(np.random.default_rng(4))
    wide = [unit._replace(exposure=5.0) for unit in units]
    one, five = straight_line(units), straight_line(wide)
    assert five.slope == pytest.approx(one.slope)
    assert five.undiluted == pytest.approx(one.undiluted / 5)


def test_counts_that_are_exactly_proportional_have_slope_one():
    units = [Unit(f"{d}", float(d), 1, 6400 // d, 1.0) for d in (1, 2, 4, 8, 16, 32)]
    line = straight_line(units)
    assert line.slope == pytest.approx(1, abs=1e-6)
    assert line.undiluted == pytest.approx(6400)
    assert line.expected(64.0)[0] == pytest.approx(100, rel=1e-4)
    assert line.dilution_of(100.0) == pytest.approx(64, rel=1e-4)
    assert not line.strays and line.clumping.bends_at is None


def test_fields_of_no_bead_count_for_what_they_are():
    """The likelihood's line, found by trying all: zeros neither dropped nor raised."""
    dilutions = np.repeat([10.0, 100.0, 1000.0], 3)
    counts = np.array([51, 47, 55, 4, 7, 6, 0, 1, 0])
    units = [
        Unit(f"{i}", d, 1, int(c), 1.0)
        for i, (d, c) in enumerate(zip(dilutions, counts, strict=True))
    ]
    slopes, levels = np.meshgrid(np.linspace(0.8, 1.2, 401), np.linspace(1, 3, 401))
    x = -np.log(dilutions / 100)
    means = np.exp(levels[..., None] + slopes[..., None] * x)
    likelihood = stats.poisson.logpmf(counts, means).sum(-1)
    best = slopes.ravel()[np.argmax(likelihood)]
    assert straight_line(units).slope == pytest.approx(best, abs=0.002)


def test_clumping_is_found_where_it_begins_and_left_out():
    """exp(-k c) loses a tenth at c = 0.105 / k, here a dilution of 10 / 0.132 = 76."""
    units = draw(np.random.default_rng(5), replicates=4, top=3000, k=0.8)
    line = straight_line(units)
    assert line.clumping.lost == pytest.approx(1 - np.exp(-0.8), abs=0.03)
    assert line.clumping.bends_at == pytest.approx(76, rel=0.1)
    assert line.clumping.per_field == pytest.approx(0.9 * 3000 * 0.132, rel=0.1)
    assert line.thickest == 80 and line.slope == pytest.approx(1, abs=0.1)


def test_a_thinnest_dilution_off_the_line_is_named_and_left_out():
    units = draw(np.random.default_rng(6))
    wrong = [u._replace(count=u.count * 4) if u.dilution == 320 else u for u in units]
    line = straight_line(wrong)
    assert [stray.dilution for stray in line.strays] == [320]
    assert line.strays[0].deviation == pytest.approx(3, abs=2)
    assert line.thinnest == 160 and line.slope == pytest.approx(1, abs=0.1)


def test_background_of_the_blank_bends_no_line():
    random = np.random.default_rng(7)
    units = draw(random, replicates=10, blank=10.0)
    blank = blank_of(
        [Unit(f"{i}", None, 1, int(random.poisson(10)), 1.0) for i in range(20)], 1.0
    )
    line = straight_line(units, (blank.level, blank.error))
    assert line.slope == pytest.approx(1, abs=0.04) and not line.strays
    bare = straight_line(units)
    assert bare.strays or bare.slope < 0.95


def test_no_line_is_said_and_why():
    units = [Unit("a", 10.0, 1, 5, 1.0), Unit("b", 10.0, 1, 8, 1.0)]
    with pytest.raises(NoLineError, match="all images have the dilution 10"):
        straight_line(units)
    none = [
        unit._replace(count=0, dilution=d)
        for d, unit in zip((1.0, 2.0), units, strict=True)
    ]
    with pytest.raises(NoLineError, match="0 of 2 dilutions hold any bead"):
        straight_line(none)
    with pytest.raises(NoLineError, match="more beads than the blank"):
        straight_line([units[0], units[1]._replace(dilution=20.0)], (100.0, 1.0))


def test_two_counts_give_a_line_with_poissons_interval():
    units = [Unit("a", 10.0, 1, 200, 1.0), Unit("b", 100.0, 1, 20, 1.0)]
    line = straight_line(units)
    half = stats.norm.ppf(0.975) * np.sqrt(1 / 200 + 1 / 20) / np.log(10)
    assert line.df == 0 and line.slope == pytest.approx(1)
    assert line.interval == pytest.approx((1 - half, 1 + half))


def test_limits_of_the_blank_are_three_and_ten_sigma():
    counts = (2, 9, 4, 1, 12)
    units = [Unit(f"{i}", None, 1, n, 1.0) for i, n in enumerate(counts)]
    blank = blank_of(units, 1.0)
    sigma = np.std(counts, ddof=1)
    assert blank.sigma == pytest.approx(sigma)  # above the root of the mean
    assert blank.level == pytest.approx(5.6)
    assert blank.detection == pytest.approx(5.6 + 3 * sigma)
    assert blank.quantification == pytest.approx(5.6 + 10 * sigma)


def test_sigma_of_even_and_of_empty_blanks_is_poissons():
    units = [Unit(f"{i}", None, 1, 9, 1.0) for i in range(3)]
    assert blank_of(units, 1.0).sigma == pytest.approx(3)
    assert blank_of(units, 4.0).sigma == pytest.approx(1.5)
    empty = blank_of([unit._replace(count=0) for unit in units], 1.0)
    assert empty.level == 0 and empty.interval[1] == pytest.approx(3.6889 / 3, rel=1e-4)
    assert np.exp(-3 * empty.sigma**2) == pytest.approx(0.05)  # of no bead in three


@pytest.mark.parametrize("cv", [0.0, 0.2])
def test_intervals_cover_the_truth_of_simulated_series(cv):
    """See `tests.bench.calibration` for more series and designs."""
    random = np.random.default_rng(8)
    slopes, levels, counts, rounds = 0, 0, [], 80
    for _ in range(rounds):
        units = draw(random, cv=cv)
        line = straight_line(units)
        slopes += line.interval[0] <= 1 <= line.interval[1]
        levels += line.undiluted_interval[0] <= 4000 <= line.undiluted_interval[1]
        of, exposure = arrays(units)
        varies = spread(of, exposure, [unit.dilution for unit in units])
        for step in range(6):
            some = slice(3 * step, 3 * step + 3)
            low, high = between_interval(of[some], exposure[some], varies)
            counts.append(low <= 400 * 2.0**-step <= high)
    assert min(slopes, levels) / rounds > 0.86  # 4 sigma below 0.95
    assert np.mean(counts) > 0.92


def test_a_spread_known_from_two_counts_gives_wide_but_finite_intervals():
    counts = np.array([100.0, 300.0])
    low, high = between_interval(counts, np.ones(2), spread(counts, np.ones(2), "aa"))
    assert 0 <= low < 50 and 500 < high < np.inf
