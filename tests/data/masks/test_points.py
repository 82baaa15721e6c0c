"""Centres become discs: of the right size, parted midway, trainable."""

import numpy as np
import pytest

from beadseg.data.builders import open_dataset
from beadseg.data.masks.points import discs, spacings


def dots(shape, centres):
    image = np.zeros(shape, np.uint16)
    for i, centre in enumerate(centres, 1):
        image[centre] = i
    return image


def test_spacing_is_that_to_the_nearest_other():
    points = np.array([[0, 0], [0, 5], [20, 0]], np.float32)
    assert spacings(points) == (5, 5, 20)
    assert spacings(points[:1]) == ()


def test_discs_have_the_diameter_and_part_midway():
    centres = np.array([[20, 20], [20, 32.5], [50, 50]], np.float32)
    labels = discs(centres, 16, (64, 64))
    y, x = np.mgrid[:64, :64]
    away = np.stack([np.hypot(y - cy, x - cx) for cy, cx in centres])
    expected = np.where(away.min(0) < 8, away.argmin(0) + 1, 0)
    np.testing.assert_array_equal(labels, expected)
    assert 2 * np.sqrt((labels == 3).sum() / np.pi) == pytest.approx(16, abs=0.5)
    assert discs(centres[:0], 16, (9, 7)).sum() == 0


@pytest.fixture
def centres(save, picture):
    """Two images of beads 12 px apart; only their centres are known."""
    found = [(y, x) for y in range(10, 90, 12) for x in range(10, 90, 12)]
    for name in "ab":
        points = dots((96, 96), found)
        save(f"images/{name}.tif", picture(points))
        save(f"points/{name}.tif", points)
    return found


def test_images_with_points_alone_are_trained_on_as_discs(config, centres):
    dataset = open_dataset(config)
    (note,) = [line for line in dataset.notes if "points" in line]
    assert note == (
        "images with points and no mask (2): their beads are taken for discs of 12 px "
        "(the median distance between nearest centres; where beads lie apart, set "
        "data.point_diameter), parted midway where they meet"
    )
    assert dataset.bead_diameter_px == 12 and dataset.smallest_bead == 1
    for record in dataset.records:
        assert record.has_mask
        assert record.beads == len(centres)
    labels = dataset[0]["labels"]
    assert labels[centres[9]] == 10 and labels.max() == len(centres)


def test_a_given_diameter_is_used_and_ignored_pixels_stay_unknown(
    config, save, centres
):
    ignore = np.zeros((96, 96), np.uint8)
    ignore[:20] = 1
    save("ignore/a.tif", ignore)
    config.data.point_diameter = 9.0
    dataset = open_dataset(config)
    assert dataset.bead_diameter_px == 9
    labels = dataset[0]["labels"]
    assert (labels[:20] == -1).all() and labels[20:].min() == 0
    config.data.point_diameter = 8.0
    other = open_dataset(config)
    assert other.fingerprint != dataset.fingerprint


def test_a_mask_comes_before_points(config, save, centres, grid):
    save("masks/a.tif", grid(4).astype(np.uint16))
    dataset = open_dataset(config)
    assert [record.beads for record in dataset.records] == [4, len(centres)]
