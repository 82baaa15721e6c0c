"""Brightness and size, against closed forms; tiles, against brute force."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from beadseg.data import scaling
from beadseg.data.tiles import dequantise, points_inside, quantise, tile_bounds
from beadseg.errors import BeadsegError
from beadseg.sweep.points import apply
from configs import base


def waves(height, width, period=40.0):
    """A smooth page, f64[H, W] of 0..1, without noise."""
    y, x = np.mgrid[:height, :width] * (2 * np.pi / period)
    return 0.5 + 0.25 * np.sin(y) + 0.25 * np.cos(x + 0.3 * y)


def discs_on_grid(side, diameter, pitch, level=1.0):
    at = np.arange(side) % pitch - pitch / 2
    return level * (at[:, None] ** 2 + at**2 <= (diameter / 2) ** 2)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float64])
def test_percentiles_become_zero_and_one(dtype):
    page = (250 * waves(80, 90)).astype(dtype)
    prepared = scaling.prepare(page, low=10, high=90)
    assert prepared.image.dtype == np.float32
    low, high = np.percentile(page, (10, 90))
    np.testing.assert_allclose(
        prepared.image, (page.astype(float) - low) / (high - low), atol=1e-6
    )


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([np.uint8, np.uint16, np.float32, np.float64]),
    st.tuples(st.integers(1, 60), st.integers(1, 60)),
)
@example(786702, np.float32, (1, 1))
@settings(deadline=None)
def test_values_lie_within_the_clip_whatever_the_page_holds(seed, dtype, shape):
    rng = np.random.default_rng(seed)
    page = rng.standard_cauchy(shape) * 10 ** rng.uniform(-2, 6)
    if np.issubdtype(dtype, np.integer):
        page = np.clip(page, 0, np.iinfo(dtype).max)
    image = scaling.prepare(page.astype(dtype), low=1, high=99.5).image
    assert np.isfinite(image).all()
    assert scaling.CLIP[0] <= image.min() and image.max() <= scaling.CLIP[1]


@pytest.mark.parametrize("sigma", [0.02, 3.0, 400.0])
@pytest.mark.parametrize("side", [64, 300])
def test_zero_and_one_are_twelve_deviations_of_white_noise_apart(sigma, side, rng):
    page = rng.normal(5000, sigma, (side, side))
    prepared = scaling.prepare(page, low=1, high=99.5)
    assert prepared.high - prepared.low == pytest.approx(12 * sigma, rel=0.1)
    # Percentiles 1 and 99.5 are not alike far from the mean: grey but for that.
    assert prepared.image.mean() == pytest.approx(0.5, abs=0.03)
    assert prepared.image.std() == pytest.approx(1 / 12, rel=0.1)


@pytest.mark.parametrize("quanta", [1, 3, 10, 1000])
def test_counts_of_few_quanta_are_noise_too(quanta, rng):
    page = rng.poisson(quanta, (256, 256)).astype(np.uint16)
    prepared = scaling.prepare(page, low=1, high=99.5)
    assert prepared.high - prepared.low == pytest.approx(12 * quanta**0.5, rel=0.25)


@pytest.mark.parametrize("axis", [0, 1])
def test_lines_with_an_offset_of_their_own_are_noise(axis, rng):
    lines = rng.normal(0, 20, (300, 1))
    page = np.moveaxis(lines + rng.normal(500, 2, (300, 300)), 0, axis)
    prepared = scaling.prepare(page, low=1, high=99.5)
    assert prepared.high - prepared.low == pytest.approx(12 * 20, rel=0.15)


@pytest.mark.parametrize(("diameter", "most"), [(8, 1.35), (16, 1.15), (60, 1.1)])
@pytest.mark.parametrize("contrast", [2, 6])  # deviations: less than the span
def test_beads_on_a_third_of_the_pixels_are_no_noise(diameter, most, contrast, rng):
    beads = discs_on_grid(256, diameter, 1.54 * diameter, 50.0 * contrast)
    assert 0.3 < (beads > 0).mean() < 0.4
    page = 1000 + beads + rng.normal(0, 50, beads.shape)
    low, high = scaling.span(page.astype(np.float32), 1, 99.5)
    assert 0.95 <= (high - low) / (12 * 50) <= most


def test_clear_beads_are_stretched_by_the_percentiles_alone(rng):
    page = 1000 + discs_on_grid(256, 16, 24, 5000.0) + rng.normal(0, 50, (256, 256))
    found = scaling.span(page, 1, 99.5)
    np.testing.assert_allclose(found, np.percentile(page, (1, 99.5)), rtol=1e-6)


SPOILT = {
    "a hot pixel": np.s_[70, 80],
    "the end of a row": np.s_[70, 250:],
    "a bright column": np.s_[:, 80],
    "a bright bead": np.s_[64:80, 64:80],
}


@pytest.mark.parametrize("contrast", [0, 40, 2000])
@pytest.mark.parametrize("where", SPOILT.values(), ids=SPOILT)
def test_a_few_bright_pixels_change_nothing_elsewhere(where, contrast, rng):
    page = 1000 + discs_on_grid(256, 12, 20, contrast) + rng.normal(0, 20, (256, 256))
    spoilt = page.copy()
    spoilt[where] += 50 * max(contrast, 100)
    before, after = (scaling.prepare(p, low=1, high=99.5).image for p in (page, spoilt))
    elsewhere = np.ones(page.shape, bool)
    elsewhere[where] = False
    assert np.abs(after - before)[elsewhere].max() < 0.05
    assert after[~elsewhere].min() >= 1 and after.max() == scaling.CLIP[1]


def test_large_32_bit_numbers_keep_their_small_differences():
    page = np.tile(np.arange(16, dtype=np.uint32), (16, 1)) + np.uint32(4_000_000_000)
    prepared = scaling.prepare(page, low=0, high=100)
    np.testing.assert_allclose(prepared.image[0], np.arange(16) / 15, atol=1e-6)


def test_specks_on_an_even_ground_do_not_divide_by_nothing():
    page = np.zeros((100, 100), np.uint8)
    page[3, 4] = 200
    prepared = scaling.prepare(page, low=1, high=99.5)
    assert prepared.image.min() == 0 and prepared.image.max() == 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value", [0, 7, -3e7, 1e9, 1e18])
def test_a_page_of_one_value_is_even(value, dtype):
    page = np.full((20, 30), value, dtype)
    prepared = scaling.prepare(page, low=1, high=99.5)
    assert np.ptp(prepared.image) == 0 and 0 <= prepared.image[0, 0] <= 1


@pytest.mark.parametrize("kind", ["noise", "beads", "hot pixel", "smooth"])
@pytest.mark.parametrize("flatten", [0.0, 9.0])
def test_brightness_and_contrast_of_the_camera_do_not_matter(kind, flatten, rng):
    page = {
        "noise": rng.random((50, 60)),
        "beads": discs_on_grid(60, 10, 16) + 0.02 * rng.random((60, 60)),
        "hot pixel": np.where(np.arange(3600) == 1234, 99, rng.random(3600)),
        "smooth": waves(50, 60),
    }[kind].reshape(-1, 60)
    options = {"low": 1, "high": 99, "flatten_sigma": flatten, "scale": 0.7}
    first = scaling.prepare(page, **options).image
    other = scaling.prepare(300 + 70 * page, **options).image
    np.testing.assert_allclose(first, other, atol=1e-4)


@pytest.mark.parametrize("sign", [1, -1])
def test_flattening_takes_uneven_light_off_dark_and_bright_beads(sign, grid):
    beads = sign * (grid(144, (192, 192), radius=4) > 0).astype(np.float32)
    light = 6 * np.linspace(0, 1, 192, dtype=np.float32)[None] ** 2 + np.zeros((192, 1))
    flat = scaling.prepare(beads + light, low=1, high=99, flatten_sigma=24).image
    even = scaling.prepare(beads, low=1, high=99).image
    uneven = scaling.prepare(beads + light, low=1, high=99).image
    inner = np.s_[24:-24, 24:-24]
    before = np.corrcoef(uneven[inner].ravel(), even[inner].ravel())[0, 1]
    after = np.corrcoef(flat[inner].ravel(), even[inner].ravel())[0, 1]
    assert before < 0.5 and after > 0.95


def test_a_span_has_a_least_length():
    page = waves(40, 50).astype(np.float32) + 7
    middle = (page.min() + page.max()) / 2
    found = scaling.prepare(page, low=0, high=100, least_span=4)
    assert found.high - found.low == pytest.approx(4)
    np.testing.assert_allclose(found.image, 0.5 + (page - middle) / 4, atol=1e-5)
    wide = scaling.prepare(page, low=0, high=100, least_span=0.1)
    assert wide.high - wide.low == pytest.approx(np.ptp(page))


@pytest.mark.parametrize("scale", [0.125, 0.5, 0.73, 1.0, 2.0])
@pytest.mark.parametrize(
    "more", [{}, {"flatten_sigma": 20.0}, {"least_span": 3e4}], ids=str
)
def test_windows_and_the_whole_of_a_page_are_as_prepared_at_once(
    scale, more, rng, monkeypatch
):
    monkeypatch.setattr(scaling, "_ROWS", 37)  # several bands
    page = rng.normal(8000, 200, (203, 170)) + 3000 * waves(203, 170)
    page[50, 60] = 65000
    page = page.astype(np.uint16)
    options = {"low": 1, "high": 99.5} | more
    expected = scaling.prepare(page, scale=scale, **options).image
    windows = scaling.PreparedWindows(page, scale=scale, **options)
    other = scaling.PreparedWindows(page, scale=3.0, **options).at_scale(scale)
    height, width = expected.shape
    assert windows.shape == other.shape == expected.shape
    boxes = [(0, height, 0, width), (height // 3, height // 2, width // 4, width // 2)]
    for found in (windows, other):
        np.testing.assert_allclose(found.whole(), expected, atol=2e-3)
        for top, bottom, left, right in boxes:
            np.testing.assert_allclose(
                found.read(top, bottom, left, right),
                expected[top:bottom, left:right],
                atol=2e-3,
            )
    beyond = windows.read(height - 3, height + 5, width - 4, width + 6)
    edge = np.pad(expected[-3:, -4:], ((0, 5), (0, 6)), mode="edge")
    np.testing.assert_allclose(beyond, edge, atol=2e-3)


def test_the_background_is_a_gaussian_mean(rng):
    values = rng.random((150, 170)).astype(np.float32)
    expected = ndimage.gaussian_filter(values, 20, mode="reflect")
    assert np.abs(scaling.background(values, 20) - expected).max() < 0.01


def test_resampling_keeps_a_slope_a_slope():
    y, x = np.mgrid[:60, :80].astype(np.float32)
    for shape in ((30, 40), (90, 120), (41, 53)):
        found = scaling.resample(3 * y + 2 * x, shape)
        rows, columns = np.mgrid[: shape[0], : shape[1]]
        at_y = (rows + 0.5) * 60 / shape[0] - 0.5
        at_x = (columns + 0.5) * 80 / shape[1] - 0.5
        inner = np.s_[6:-6, 6:-6]
        np.testing.assert_allclose(
            found[inner],
            (3 * at_y + 2 * at_x)[inner],
            atol=0.15,  # 0.05 px
        )


def test_shrinking_averages_fine_patterns_away():
    checks = np.indices((64, 64)).sum(0) % 2
    small = scaling.resample(checks.astype(np.float32), (16, 16))
    np.testing.assert_allclose(small[2:-2, 2:-2], 0.5, atol=0.02)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 60), st.integers(1, 60))
def test_labels_come_from_the_nearest_pixel(h, w, new_h, new_w):
    labels = np.arange(h * w, dtype=np.int32).reshape(h, w)
    found = scaling.resample_labels(labels, (new_h, new_w))
    for i in range(0, new_h, 7):
        for j in range(0, new_w, 7):
            y, x = (i + 0.5) * h / new_h, (j + 0.5) * w / new_w
            assert found[i, j] == labels[int(y), int(x)]


def test_a_disc_and_its_centre_stay_together(discs):
    labels = discs((100, 120), [(37, 81)], 15)
    for shape in ((40, 48), (150, 180)):
        small = scaling.resample_labels(labels, shape)
        centre = scaling.resample_points(np.array([[37, 81]]), (100, 120), shape)
        np.testing.assert_allclose(ndimage.center_of_mass(small), centre[0], atol=0.3)
        image = scaling.resample((labels > 0).astype(np.float32), shape) > 0.5
        both, either = (image & (small > 0)).sum(), (image | (small > 0)).sum()
        assert both / either > 0.95


def test_a_diameter_is_that_of_the_disc_of_equal_area(discs):
    labels = discs((200, 200), [(60, 60), (140, 140), (0, 150)], 20)
    labels[140, 140] = 2_000_000_000  # labels need not be small or without gaps
    found = scaling.bead_diameters(labels)
    assert sorted(found) == pytest.approx([2 / np.sqrt(np.pi), 40, 40], rel=0.01)


def test_where_all_beads_touch_the_border_all_count(discs):
    labels = discs((40, 40), [(0, 0), (39, 39)], 15)
    assert len(scaling.bead_diameters(labels)) == 2


def test_the_smallest_beads_are_told_within_images_and_of_many():
    even = [np.full(50, size) for size in (10.0, 40.0)]  # two magnifications
    assert scaling.smallest_bead(even) == 1
    mixed = np.r_[np.full(50, 5.0), np.full(60, 10.0)]
    assert scaling.smallest_bead([mixed] * 5) == 0.5
    odd = np.r_[1.0, np.full(99, 10.0)]  # one bead cut small
    assert scaling.smallest_bead([odd]) == 1
    assert scaling.smallest_bead([np.ones(3)]) is None
    assert scaling.smallest_bead([]) is None


def test_the_scale_gives_the_median_bead_the_wanted_size():
    assert scaling.choose_scale([20, 48, 90], 24)[0] == 0.5
    assert scaling.choose_scale([20, 48, 90], 0) == (1.0, None)
    assert scaling.choose_scale([], 24) == (1.0, None)
    assert scaling.choose_scale([25], 24) == (1.0, None)


@pytest.mark.parametrize(
    ("median", "scale", "end"),
    [(1000.0, 1 / 16, "to 62.5 px, not to 24 px"), (2.0, 8.0, "to 16.0 px, not to")],
)
def test_the_scale_has_limits_and_says_so(median, scale, end):
    found, note = scaling.choose_scale([median], 24)
    assert found == scale and end in note


# Tiles


@given(st.integers(1, 5000), st.integers(1, 700))
def test_tiles_cover_all_once_and_are_equal_to_a_pixel(length, tile):
    bounds = tile_bounds(length, tile)
    assert [b for a in bounds for b in range(*a)] == list(range(length))
    sizes = [stop - start for start, stop in bounds]
    assert max(sizes) <= tile and max(sizes) - min(sizes) <= 1
    assert len(bounds) == -(-length // tile)


def test_storing_rounds_by_less_than_noise(rng):
    image = rng.uniform(-1, 3, (50, 50)).astype(np.float32)
    assert np.abs(dequantise(quantise(image)) - image).max() < 4e-5
    clipped = dequantise(quantise(np.array([-7.0, 9.0], np.float32)))
    np.testing.assert_allclose(clipped, [-1, 3], atol=1e-6)


def test_every_point_is_in_one_tile(rng):
    points = rng.uniform(-0.5, 99.4, (200, 2)).astype(np.float32)
    found = []
    for top, bottom in tile_bounds(100, 30):
        for left, right in tile_bounds(100, 30):
            inside = points_inside(points, slice(top, bottom), slice(left, right))
            found += [tuple(p + np.float32((top, left))) for p in inside]
    np.testing.assert_allclose(sorted(found), sorted(map(tuple, points)), atol=1e-4)


@pytest.mark.parametrize(
    ("median", "seen"), [(4.0, 10.0), (7.9, 10.0), (12.0, 12.0), (16.0, 16.0), (90, 16)]
)
def test_small_beads_are_hardly_enlarged_and_large_ones_reduced(median, seen):
    scale, _ = scaling.choose_scale([median] * 3, "auto")
    assert scale * median == pytest.approx(seen)


def test_a_diameter_is_px_or_auto():
    assert scaling.wanted_diameter(24, 7.0) == 24.0
    assert scaling.wanted_diameter(0.0, 7.0) == 0.0
    assert scaling.wanted_diameter("auto", None) == 0.0
    for wrong in ("large", -3.0, float("nan"), 1e9):
        with pytest.raises(BeadsegError, match='give px, 0 .*or "auto"'):
            scaling.wanted_diameter(wrong, 7.0)


def test_a_config_takes_a_diameter_or_auto():
    config = base.get_config()
    for value in ("auto", 16, 7.5):
        config.data.bead_diameter = value
        assert config.data.bead_diameter == value
    point = apply(config, {"data.bead_diameter": "auto"}, "here")
    assert point.data.bead_diameter == "auto"
