"""Measurements of surroundings, against brute force and scikit-image."""

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.distance import cdist, pdist

from beadseg.inference.outputs import surroundings as module
from beadseg.inference.outputs.columns import about
from beadseg.inference.outputs.measure import measure
from beadseg.inference.outputs.surroundings import surroundings

SHAPE = (150, 130)


def scene(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels of discs and ellipses, some touching or cut, and an uneven image."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(SHAPE, np.int32)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    for number in range(1, 26):
        cy, cx = rng.uniform(0, SHAPE[0]), rng.uniform(0, SHAPE[1])
        a, b = rng.uniform(2, 9, 2)
        labels[((y - cy) / a) ** 2 + ((x - cx) / b) ** 2 <= 1] = number
    image = 100 + 0.5 * x + rng.normal(0, 3, SHAPE) + 60 * (labels > 0)
    return labels, image


def tables(labels, image, **options):
    found = measure(labels, image, (labels > 0).astype(np.float32), threshold=0.5)
    return found.table, surroundings(labels, image, found.table, found.boxes, **options)


@pytest.mark.parametrize("at_once", [7 * 130, 2**22])
@pytest.mark.parametrize("seed", [0, 1])
def test_numbers_are_those_of_brute_force(monkeypatch, at_once, seed):
    monkeypatch.setattr(module, "AT_ONCE", at_once)
    labels, image = scene(seed)
    base, more = tables(labels, image)
    width = max(3.0, 0.5 * np.median(base["diameter_px"]))
    away = {
        label: ndimage.distance_transform_edt(labels != label)
        for label in base["label"]
    }
    for i, label in enumerate(base["label"]):
        inside = labels == label
        others = [a for other, a in away.items() if other != label]
        ring = (away[label] > 2) & (away[label] <= 2 + width) & (labels == 0)
        # Of pixels as near to another bead as to this one either may have them.
        sure = ring & (away[label] < np.min(others, 0))
        most = ring & (away[label] <= np.min(others, 0))
        low = np.sort(image[sure]) if sure.any() else [base["background"][i]]
        slack = most.sum() - sure.sum()
        if sure.sum() > 5 * slack:
            first = max(len(low) // 2 - slack - 1, 0)
            last = min(len(low) // 2 + slack, len(low) - 1)
            bounds = low[first], low[last]
            assert bounds[0] <= more["local_background"][i] <= bounds[1]
        assert more["median_intensity"][i] == pytest.approx(np.median(image[inside]))
        total = image[inside].sum()
        assert more["integrated_intensity"][i] == pytest.approx(total)
        assert more["integrated_above_background"][i] == pytest.approx(
            total - inside.sum() * more["local_background"][i]
        )
        grown = ndimage.binary_dilation(inside, np.ones((3, 3)))
        touched = set(np.unique(labels[grown])) - {0, label}
        assert more["touching"][i] == len(touched)
    centres = np.stack((base["y"], base["x"]), 1)
    apart = cdist(centres, centres) + np.diag(np.full(len(centres), np.inf))
    np.testing.assert_allclose(more["nearest_px"], apart.min(1))
    near = apart <= 2 * base["diameter_px"][:, None]
    np.testing.assert_array_equal(more["neighbours"], near.sum(1))


def test_largest_feret_diameters_are_distances_of_corners():
    labels, image = scene()
    base, more = tables(labels, image)
    for label, found in zip(base["label"], more["feret_max_px"], strict=True):
        pixels = np.argwhere(labels == label)[:, None]
        corners = pixels + [(0, 0), (0, 1), (1, 0), (1, 1)]
        expected = pdist(corners.reshape(-1, 2)).max()
        assert found == pytest.approx(expected, rel=2e-4)


def test_feret_diameters_of_rectangles_and_units():
    labels = np.zeros((60, 80), np.int32)
    labels[10:14, 20:50] = 1
    labels[30:40, 0:10] = 2
    _, more = tables(labels, np.ones((60, 80)), pixel_size=0.5)
    np.testing.assert_allclose(more["feret_min_px"], [4, 10])
    np.testing.assert_allclose(
        more["feret_max_px"], [np.hypot(4, 30), np.hypot(10, 10)], rtol=2e-4
    )
    np.testing.assert_allclose(more["feret_min_um"], [2, 5])


@pytest.mark.parametrize("sign", [1, -1])
def test_focus_falls_with_blur_and_ignores_gain_and_offset(sign):
    y, x = np.mgrid[:80, :80]
    labels = ((y - 40) ** 2 + (x - 40) ** 2 <= 15**2).astype(np.int32)
    sharp = ndimage.gaussian_filter(sign * 50.0 * labels + 500, 1)
    found = []
    for blur in (0, 1, 2, 4):
        blurred = ndimage.gaussian_filter(sharp, blur)
        focus = [
            tables(labels, image)[1]["focus"][0]
            for image in (blurred, 3 * blurred + 100)
        ]
        assert focus[0] == pytest.approx(focus[1])
        found.append(focus[0])
    assert found == sorted(found, reverse=True) and found[0] > 2 * found[-1]


def test_pixels_without_data_are_left_out():
    labels, image = scene()
    missing = np.zeros(SHAPE, bool)
    missing[:, ::5] = True
    holes = np.where(missing, np.nan, image)
    base, _ = tables(labels, image)
    found = measure(labels, image, (labels > 0).astype(np.float32), threshold=0.5)
    one = surroundings(labels, holes, found.table, found.boxes)
    other = surroundings(
        labels, np.where(missing, 9e9, image), found.table, found.boxes, None, missing
    )
    for name in ("median_intensity", "local_background", "integrated_intensity"):
        np.testing.assert_allclose(one[name], other[name])
        assert np.nanmax(one[name]) < 1e7


@pytest.mark.parametrize("count", [0, 1])
def test_few_beads(count):
    labels = np.zeros((40, 40), np.int32)
    labels[10:20, 10:20] = count
    _, more = tables(labels, np.ones((40, 40)))
    assert all(len(column) == count for column in more.values())
    assert count == 0 or np.isnan(more["nearest_px"][0])


def test_every_column_is_documented():
    labels, image = scene()
    found = measure(
        *(labels, image, (labels > 0).astype(np.float32)), threshold=0.5, pixel_size=0.1
    )
    more = surroundings(labels, image, found.table, found.boxes, 0.1)
    names = [*found.table, *more, *found.image]
    assert [name for name in names if about(name) is None] == []
    assert about("area_um2") == ("um2", "area")
