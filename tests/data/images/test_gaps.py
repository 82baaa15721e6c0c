"""NaN, infinite and boundless pixels are no data: neither bead nor background."""

import numpy as np
import pytest
from scipy import ndimage

from beadseg.data.folder import scan
from beadseg.data.images import gaps
from beadseg.data.images.pixels import project
from beadseg.data.masks.labels import UNKNOWN
from beadseg.data.pages import FolderPages

RAMP = np.add.outer(np.arange(40.0), np.arange(56.0)).astype(np.float32)


def holed(kind: str, value=np.nan) -> np.ndarray:
    image = RAMP.copy()
    match kind:
        case "pixel":
            image[7, 9] = value
        case "band":
            image[:, 20:31] = value
        case "frame":
            image[:5] = image[-4:] = value
            image[:, :3] = image[:, -6:] = value
        case "scattered":
            image[np.random.default_rng(0).random(image.shape) < 0.3] = value
        case "all but one":
            image[:] = value
            image[3, 4] = 5
    return image


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3.4e38, -3.4e38])
@pytest.mark.parametrize("kind", ["pixel", "band", "frame", "scattered", "all but one"])
def test_gaps_get_values_among_those_around_and_the_rest_stays(kind, value):
    image = holed(kind, value)
    filled, missing = gaps.fill(image)
    np.testing.assert_array_equal(missing, np.isnan(holed(kind)))
    np.testing.assert_array_equal(filled[~missing], image[~missing])
    known = image[~missing]
    assert filled.dtype == image.dtype
    assert known.min() <= filled.min() and filled.max() <= known.max()
    if kind in ("pixel", "scattered"):  # near by, a ramp says what belongs there
        assert np.abs(filled - RAMP)[missing].max() <= 8


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float64])
def test_whole_images_are_left_alone(dtype):
    image = RAMP.astype(dtype)
    filled, missing = gaps.fill(image)
    assert filled is image and missing is None


def test_wide_gaps_are_three_pixels_across():
    missing = np.zeros((20, 20), bool)
    missing[4:6, 3:15] = missing[10:13, 10:13] = missing[:2, :2] = True
    missing[17:, :] = True
    expected = np.zeros_like(missing)
    expected[10:13, 10:13] = expected[17:] = True
    expected[:2, :2] = True  # a corner is the end of a gap that goes on
    np.testing.assert_array_equal(gaps.wide(missing), expected)


@pytest.mark.parametrize("projection", ["max", "mean"])
def test_a_projection_takes_what_has_data(projection):
    stack = np.stack([holed("band"), RAMP + 2, holed("pixel")])
    stack[:, 0, 0] = np.nan
    found = project(iter(stack), projection)
    assert np.isnan(found[0, 0])
    reduce = np.nanmax if projection == "max" else np.nanmean
    np.testing.assert_allclose(found[1:], reduce(stack[:, 1:], 0), rtol=1e-6)


def test_pixels_without_data_are_unknown_in_training(config, save, grid, picture):
    spoils = (np.nan, np.inf, -np.inf)
    for i, value in enumerate(spoils):
        labels = grid(9)
        image = picture(labels, i).astype(np.float32)
        image[10:30, 5 : 20 + i] = value
        save(f"images/{i}.tif", image)
        save(f"masks/{i}.tif", labels.astype(np.uint16))
    folder = scan(config.data)
    assert folder.problems == () and len(folder.samples) == 3
    assert any("960 pixels have no data" in note for note in folder.notes)
    for i in range(3):
        page = FolderPages(folder.samples).load(i)
        assert np.isfinite(page.image).all()
        expected = grid(9)
        expected[10:30, 5 : 20 + i] = UNKNOWN
        np.testing.assert_array_equal(page.labels, expected)


def test_a_blank_frame_gets_noise_with_the_correlation_of_the_image():
    rng = np.random.default_rng(3)
    noise = ndimage.gaussian_filter(rng.normal(0, 30, (256, 320)), 1.2)
    image = np.pad(np.rint(128 + noise), 40).astype(np.uint8)
    filled, missing = gaps.fill(image)
    assert missing.sum() == image.size - 256 * 320

    def neighbours(part):
        part = part - part.mean()
        return (part[:, 1:] * part[:, :-1]).mean() / part.var()

    # The grain of the image, that is without its slow changes.
    fine = filled - ndimage.gaussian_filter(filled.astype(float), gaps.GRAIN)
    frame, inside = fine[:36], fine[50:-50, 50:-50]
    assert abs(neighbours(frame) - neighbours(inside)) < 0.05
    assert 0.9 < frame.std() / inside.std() < 1.1
