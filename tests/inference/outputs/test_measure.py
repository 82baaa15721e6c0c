"""Measurements of shapes that are known in closed form."""

import math

import numpy as np
import pytest
from skimage.measure import perimeter_crofton, regionprops

from beadseg.inference.outputs.measure import Measurer, edge_weights, measure


def ellipse(shape, y, x, major, minor, angle):
    dy, dx = (n - c for n, c in zip(np.indices(shape), (y, x), strict=True))
    along = dx * math.cos(angle) + dy * math.sin(angle)
    across = dy * math.cos(angle) - dx * math.sin(angle)
    return (2 * along / major) ** 2 + (2 * across / minor) ** 2 <= 1


def one(mask, **options):
    labels = mask.astype(np.int32)
    return measure(labels, labels, labels.astype(np.float32), threshold=0.5, **options)


def test_a_disc_has_its_area_diameter_centre_and_circularity():
    table = one(ellipse((100, 120), 48.3, 61.7, 60, 60, 0)).table
    assert table["diameter_px"][0] == pytest.approx(60, rel=2e-3)
    assert table["area_px"][0] == pytest.approx(math.pi * 900, rel=4e-3)
    assert (table["y"][0], table["x"][0]) == pytest.approx((48.3, 61.7), abs=0.05)
    assert table["circularity"][0] == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("diameter", [5, 7, 11, 23, 41])
def test_circularity_of_discs_is_1_in_the_mean_also_when_cut_there(diameter):
    rng = np.random.default_rng(diameter)
    shape = (diameter + 6,) * 2
    found = []
    for _ in range(60):
        y, x = diameter / 2 + 3 + rng.uniform(-0.5, 0.5, 2)
        mask = ellipse(shape, y, x, diameter, diameter, 0)
        found.append(one(mask).table["circularity"][0])
    assert np.mean(found) == pytest.approx(1, abs=0.03)
    assert np.mean(np.minimum(found, 1)) == pytest.approx(1, abs=0.015)


@pytest.mark.parametrize("angle", [0.0, 0.4, 1.2])
def test_an_ellipse_has_its_axes_at_any_angle(angle):
    table = one(ellipse((120, 120), 60, 60, 80, 40, angle)).table
    assert table["major_axis_px"][0] == pytest.approx(80, rel=0.01)
    assert table["minor_axis_px"][0] == pytest.approx(40, rel=0.01)
    a, b = 40, 20  # perimeter by Ramanujan (1914)
    h = ((a - b) / (a + b)) ** 2
    perimeter = math.pi * (a + b) * (1 + 3 * h / (10 + math.sqrt(4 - 3 * h)))
    expected = 4 * math.pi * (math.pi * a * b) / perimeter**2
    assert table["circularity"][0] == pytest.approx(expected, rel=0.04)


def blobs(seed=0, shape=(150, 170)):
    """Random touching labels, an image and a probability."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform(0, shape, (40, 2))
    y, x = np.indices(shape)
    away = np.hypot(y[..., None] - centres[:, 0], x[..., None] - centres[:, 1])
    labels = np.where(away.min(-1) < 14, away.argmin(-1) + 1, 0).astype(np.int32)
    image = rng.integers(0, 60000, shape).astype(np.uint16)
    return labels, image, rng.random(shape).astype(np.float32)


def test_all_agrees_with_scikit_image():
    labels, image, probability = blobs()
    found = measure(labels, image, probability, threshold=0.5)
    table = found.table
    props = regionprops(labels, image)
    assert table["label"].tolist() == [p.label for p in props]
    for name, of in (
        ("area_px", lambda p: p.area),
        ("y", lambda p: p.centroid[0]),
        ("x", lambda p: p.centroid[1]),
        # There a pixel is a point; here a square, of second moment 1/12.
        ("major_axis_px", lambda p: math.hypot(p.axis_major_length, 4 / math.sqrt(12))),
        ("minor_axis_px", lambda p: math.hypot(p.axis_minor_length, 4 / math.sqrt(12))),
        ("mean_intensity", lambda p: p.intensity_mean),
        ("max_intensity", lambda p: p.intensity_max),
    ):
        np.testing.assert_allclose(table[name], [of(p) for p in props], rtol=1e-9)
    perimeters = [perimeter_crofton(np.pad(p.image, 1), 4) for p in props]
    circularity = [
        4 * math.pi * p.area / q**2 for p, q in zip(props, perimeters, strict=True)
    ]
    np.testing.assert_allclose(table["circularity"], circularity, rtol=1e-9)
    boxes = [p.bbox for p in props]
    expected = np.array(boxes)[:, [0, 2, 1, 3]]
    np.testing.assert_array_equal(found.boxes, expected)
    means = [probability[labels == p.label].mean() for p in props]
    np.testing.assert_allclose(table["mean_probability"], means, rtol=1e-5)


@pytest.mark.parametrize("rows", [1, 7, 64])
def test_bands_of_any_height_give_the_same(rows):
    labels, image, probability = blobs()
    expected = measure(labels, image, probability, threshold=0.5)
    measurer = Measurer(labels.shape, labels.max(), 0.5)
    for top in range(0, len(labels), rows):
        band = slice(top, top + rows)
        measurer.add(labels[band], image[band], probability[band])
    found = measurer.finish()
    for name, column in expected.table.items():
        np.testing.assert_allclose(found.table[name], column, rtol=1e-9)
    np.testing.assert_array_equal(found.boxes, expected.boxes)


def test_lengths_in_um_are_those_in_px_times_the_pixel_size():
    found = one(ellipse((80, 80), 40, 40, 30, 20, 0), pixel_size=0.25)
    table, image = found.table, found.image
    for name in ("diameter", "major_axis", "minor_axis"):
        assert table[f"{name}_um"] == pytest.approx(table[f"{name}_px"] * 0.25)
    assert table["area_um2"] == pytest.approx(table["area_px"] / 16)
    assert image["median_diameter_um"] == pytest.approx(table["diameter_um"][0])
    corrected = image["edge_corrected_count"]
    assert image["density_per_mm2"] == pytest.approx(1e6 * corrected / (20 * 20))


def test_noise_is_the_deviation_of_the_background_around():
    labels, probability = np.zeros((128, 256), np.int32), np.zeros((128, 256))
    for i, x in enumerate((40, 216), 1):
        labels[54:74, x - 10 : x + 10] = i
    probability[labels > 0] = 1
    deviation = np.where(np.arange(256) < 128, 3.0, 12.0)
    image = 100 + deviation * np.random.default_rng(3).standard_normal(labels.shape)
    image[labels > 0] = 900
    found = measure(labels, image, probability, threshold=0.5)
    np.testing.assert_allclose(found.noise, [3, 12], rtol=0.12)


def test_background_is_the_clear_ground_around_and_not_the_halo():
    y, _ = np.indices((200, 200))
    disc = ellipse((200, 200), 100, 100, 30, 30, 0)
    halo = ellipse((200, 200), 100, 100, 40, 40, 0)
    image = np.where(disc, 900.0, np.where(halo, 500.0, 50.0 + y))
    probability = np.where(disc, 1.0, np.where(halo, 0.3, 0.0)).astype(np.float32)
    labels = disc.astype(np.int32)
    found = measure(labels, image, probability, threshold=0.5)
    assert found.table["background"][0] == pytest.approx(150, abs=5)


@pytest.mark.parametrize("in_region", [False, True])
def test_a_weight_is_one_over_the_share_of_places_in_which_the_bead_is_whole(in_region):
    height, width = 14, 17
    region = np.random.default_rng(0).random((height, width)) < 0.4
    for tall, wide, at in ((1, 1, (5, 5)), (3, 4, (1, 1)), (11, 6, (2, 7))):
        box = np.array([[at[0], at[0] + tall, at[1], at[1] + wide]])
        middle = (tall - 1) / 2, (wide - 1) / 2
        centre = np.array([[at[0] + middle[0], at[1] + middle[1]]])
        region[tuple(np.rint(centre[0]).astype(int))] = True
        # Brute force: its centre on each pixel, or on each of the region.
        whole = all_places = 0
        for y in range(height):
            for x in range(width):
                top, left = (
                    pixel - (round(c) - corner)
                    for pixel, c, corner in zip((y, x), centre[0], at, strict=True)
                )
                all_places += region[y, x] if in_region else 1
                if min(top, left, height - top - tall, width - left - wide) >= 1:
                    whole += region[y, x] if in_region else 1
        weight = edge_weights(
            np.zeros((1, 4), bool),
            box,
            (height, width),
            "corrected",
            centre,
            region if in_region else None,
        )
        assert weight == pytest.approx([all_places / whole])


def test_the_corrected_count_of_fields_of_a_lattice_is_unbiased():
    """Discs of 9 px on a lattice of 20 px seen through a field of 60 px: 9 a field."""
    counts, corrected = [], []
    for shift_y in range(20):
        for shift_x in range(20):
            y, x = np.indices((60, 60))
            y, x = y + shift_y, x + shift_x
            off = (y % 20 - 9.5) ** 2 + (x % 20 - 9.5) ** 2
            labels = np.where(off < 20, y // 20 * 5 + x // 20 + 1, 0).astype(np.int32)
            image = measure(labels, labels, off.astype("f4"), threshold=0.5).image
            counts.append(image["count"])
            corrected.append(image["edge_corrected_count"])
    assert np.mean(counts) > 10.5
    assert np.mean(corrected) == pytest.approx(9)


def test_no_beads_and_all_bead_are_measured_without_a_warning():
    empty = measure(
        np.zeros((20, 20), np.int32),
        np.zeros((20, 20)),
        np.zeros((20, 20), np.float32),
        threshold=0.5,
    )
    assert empty.image["count"] == 0
    assert empty.image["median_diameter_px"] is None
    assert all(len(column) == 0 for column in empty.table.values())
    full = one(np.ones((20, 30), bool))
    assert full.image["count"] == 1
    assert full.image["coverage"] == 1
    assert full.image["edge_corrected_count"] == 0
    assert np.isnan(full.table["background"][0])
