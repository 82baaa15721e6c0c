"""Brightness and size, against closed forms; tiles, against brute force."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from beadseg.data import scaling
from beadseg.data.tiles import dequantise, points_inside, quantise, tile_bounds


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float64])
def test_percentiles_become_zero_and_one(dtype, rng):
    page = rng.integers(0, 250, (80, 90)).astype(dtype)
    prepared = scaling.prepare(page, low=10, high=90)
    assert prepared.image.dtype == np.float32
    low, high = np.percentile(page, (10, 90))
    np.testing.assert_allclose(
        prepared.image, (page.astype(float) - low) / (high - low), atol=1e-6
    )


def test_large_32_bit_numbers_keep_their_small_differences():
    page = np.tile(np.arange(16, dtype=np.uint32), (16, 1)) + np.uint32(4_000_000_000)
    prepared = scaling.prepare(page, low=0, high=100)
    np.testing.assert_allclose(prepared.image[0], np.arange(16) / 15, atol=1e-6)


def test_specks_on_an_even_ground_do_not_divide_by_nothing():
    page = np.zeros((100, 100), np.uint8)
    page[3, 4] = 200
    prepared = scaling.prepare(page, low=1, high=99.5)
    assert prepared.image.min() == 0 and prepared.image.max() == 1


def test_brightness_and_contrast_of_the_camera_do_not_matter(rng):
    page = rng.random((50, 60))
    first = scaling.prepare(page, low=1, high=99, flatten_sigma=9, scale=0.7).image
    other = scaling.prepare(
        300 + 70 * page, low=1, high=99, flatten_sigma=9, scale=0.7
    ).image
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


def test_a_span_has_a_least_length_whole_and_in_windows(rng):
    page = rng.random((40, 50)).astype(np.float32) + 7
    found = scaling.prepare(page, low=0, high=100, least_span=4)
    assert found.high - found.low == pytest.approx(4)
    np.testing.assert_allclose(found.image, (page - page.min()) / 4, atol=1e-5)
    windows = scaling.PreparedWindows(page, low=0, high=100, least_span=4)
    np.testing.assert_allclose(windows.read(5, 30, 2, 9), found.image[5:30, 2:9])
    wide = scaling.prepare(page, low=0, high=100, least_span=0.1)
    assert wide.high - wide.low == pytest.approx(np.ptp(page))


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
