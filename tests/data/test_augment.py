"""Augmentation: image and labels move alike, and nothing is made up."""

import numpy as np
import pytest
from scipy import ndimage

from beadseg.data.augment import Crop, augment, augment_intensity, draw_crop, sample

CROP = 64


@pytest.fixture
def settings(config):
    return config.data.augment


@pytest.fixture
def still(settings):
    """Geometry alone: the light stays as it is."""
    settings.brightness = settings.gamma = settings.noise = settings.blur = 0.0
    return settings


@pytest.fixture
def scene(discs):
    """Image and labels of seven discs that do not touch."""
    centres = [(20, 20), (30, 70), (25, 120), (75, 30), (80, 90), (120, 60), (125, 120)]
    labels = discs((150, 150), centres, 14)
    return (labels > 0).astype(np.float32), labels


def test_a_disc_stays_on_its_disc(scene, still):
    image, labels = scene
    seen = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        pixels, found = augment(image, labels, rng, still, CROP)
        a, b = pixels > 0.5, found > 0
        if b.sum() > 200:
            seen += 1
            assert (a & b).sum() / (a | b).sum() > 0.95, seed
    assert seen > 80


def test_each_label_stays_on_its_own_disc(scene, still):
    _, labels = scene
    for seed in range(30):
        image = labels.astype(np.float32)
        pixels, found = augment(image, labels, np.random.default_rng(seed), still, CROP)
        edges = {"size": 5, "mode": "constant", "cval": -1}
        least, most = (
            f(found, **edges) for f in (ndimage.minimum_filter, ndimage.maximum_filter)
        )
        inside = least == most
        np.testing.assert_allclose(pixels[inside], found[inside], atol=1e-5)


def test_labels_get_no_new_values(settings, rng):
    labels = rng.choice([-1, 0, 7, 10_000_000], (90, 70)).astype(np.int32)
    image = rng.random((90, 70), dtype=np.float32)
    for seed in range(50):
        _, found = augment(image, labels, np.random.default_rng(seed), settings, CROP)
        assert set(np.unique(found)) <= {-1, 0, 7, 10_000_000}
        assert found.dtype == np.int32


def test_a_crop_equals_interpolation_by_hand(rng):
    image = rng.random((40, 50), dtype=np.float32)
    labels = rng.integers(0, 9, (40, 50)).astype(np.int32)
    turn = np.deg2rad(30)
    matrix = 0.7 * np.array(
        [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    )
    offset = np.array([12.3, 5.1])
    pixels, found = sample(image, labels, Crop(matrix, offset), 20)
    for row, column in [(0, 0), (3, 17), (19, 19), (10, 4)]:
        y, x = matrix @ (row, column) + offset
        i, j = int(y), int(x)
        v, u = y - i, x - j
        expected = (1 - v) * ((1 - u) * image[i, j] + u * image[i, j + 1]) + v * (
            (1 - u) * image[i + 1, j] + u * image[i + 1, j + 1]
        )
        assert pixels[row, column] == pytest.approx(expected, abs=1e-5)
        assert found[row, column] == labels[round(y), round(x)]


def test_a_crop_beyond_the_edges_is_mirrored(rng):
    image = rng.random((10, 13), dtype=np.float32)
    labels = rng.integers(0, 9, (10, 13)).astype(np.int32)
    where = Crop(np.eye(2), np.array([-27.0, -27.0]))
    pixels, found = sample(image, labels, where, CROP)
    pad = ((27, 27), (27, 24))
    np.testing.assert_array_equal(pixels, np.pad(image, pad, "symmetric"))
    np.testing.assert_array_equal(found, np.pad(labels, pad, "symmetric"))


def test_disabled_is_a_crop_of_the_image_and_nothing_else(scene, settings):
    _, labels = scene
    settings.enabled = False
    image = np.arange(labels.size, dtype=np.float32).reshape(labels.shape)
    corners = set()
    for seed in range(300):
        pixels, found = augment(
            image, labels, np.random.default_rng(seed), settings, CROP
        )
        y, x = divmod(int(pixels[0, 0]), labels.shape[1])
        corners.add((y, x))
        np.testing.assert_array_equal(pixels, image[y : y + CROP, x : x + CROP])
        np.testing.assert_array_equal(found, labels[y : y + CROP, x : x + CROP])
    y, x = np.array(sorted(corners)).T
    last = labels.shape[0] - CROP
    assert y.min() < 5 and x.min() < 5 and y.max() > last - 5 and x.max() > last - 5


def test_turns_flips_and_zooms_lie_in_their_ranges(settings):
    settings.rotate, settings.zoom = 30.0, 0.2
    rng = np.random.default_rng(0)
    crops = [draw_crop((200, 200), rng, settings, CROP) for _ in range(400)]
    determinants = np.array([np.linalg.det(c.matrix) for c in crops])
    zooms = 1 / np.sqrt(np.abs(determinants))
    assert 0.8 <= zooms.min() < 0.83 and 1.17 < zooms.max() <= 1.2
    assert 0.4 < (determinants < 0).mean() < 0.6  # a flip of one axis
    straight = [c.matrix for c in crops if c.matrix[0, 0] > 0 and c.matrix[1, 1] > 0]
    angles = np.rad2deg([np.arctan2(m[1, 0], m[1, 1]) for m in straight])
    assert -30 <= angles.min() < -25 and 25 < angles.max() <= 30


def test_centres_lie_inside_but_for_the_shift(settings):
    settings.shift = 0.25
    rng = np.random.default_rng(0)
    middle = (CROP - 1) / 2
    centres = []
    for _ in range(500):
        where = draw_crop((200, 100), rng, settings, CROP)
        centres.append(where.matrix @ (middle, middle) + where.offset)
    low, high = np.min(centres, 0), np.max(centres, 0)
    assert (low >= middle - 0.25 * CROP).all()
    assert (high <= np.array([200, 100]) - CROP / 2 + 0.25 * CROP).all()
    assert (low < middle).all() and (high > np.array([200, 100]) - CROP / 2).all()


def test_the_same_seed_gives_the_same_crop(scene, settings):
    first, again, other = (
        augment(*scene, np.random.default_rng(seed), settings, CROP)
        for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert (first[0] != other[0]).any()


def test_brightness_scales(still, rng):
    still.brightness = 0.2
    image = rng.random((16, 16), dtype=np.float32) + 0.1
    factors = [
        (augment_intensity(image, rng, still) / image).ravel() for _ in range(200)
    ]
    assert all(np.ptp(f) < 1e-5 for f in factors)
    drawn = [f[0] for f in factors]
    assert 0.8 <= min(drawn) < 0.82 and 1.18 < max(drawn) <= 1.2


def test_gamma_keeps_signs_and_the_ends(still, rng):
    still.gamma = 0.5
    image = np.array([[-0.5, 0.0, 0.25, 1.0]], np.float32)
    for _ in range(20):
        lit = augment_intensity(image, rng, still)
        np.testing.assert_array_equal(np.sign(lit), np.sign(image))
        assert lit[0, 3] == 1
        assert np.exp(-0.5) <= np.log(lit[0, 2]) / np.log(0.25) <= np.exp(0.5)


def test_noise_has_at_most_the_given_deviation(still, rng):
    still.noise = 0.1
    image = np.zeros((64, 64), np.float32)
    deviations = [augment_intensity(image, rng, still).std() for _ in range(100)]
    assert min(deviations) < 0.01 and 0.09 < max(deviations) < 0.105


def test_inversion_swaps_dark_and_bright(still, rng):
    still.invert = 1.0
    image = rng.random((8, 8), dtype=np.float32)
    np.testing.assert_allclose(
        augment_intensity(image, rng, still), 1 - image, atol=1e-6
    )


def test_everything_at_once_stays_float32_and_finite(settings, rng):
    settings.invert = 0.5
    image = rng.normal(0.5, 1, (50, 200)).astype(np.float32)
    labels = np.zeros((50, 200), np.int32)
    for _ in range(50):
        pixels, found = augment(image, labels, rng, settings, CROP)
        assert pixels.shape == found.shape == (CROP, CROP)
        assert pixels.dtype == np.float32 and np.isfinite(pixels).all()
