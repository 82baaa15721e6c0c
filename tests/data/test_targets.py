"""Targets of the heads against brute force and closed forms."""

import numpy as np
import pytest

from beadseg.data.targets import RING, UNKNOWN_DISTANCE, distance, targets


def scene(rng, size=40, count=12):
    """Labels of discs that overlap: the later one hides the earlier."""
    labels = np.zeros((size, size), np.int32)
    y, x = np.mgrid[:size, :size]
    for i in range(count):
        cy, cx, radius = *rng.uniform(0, size, 2), rng.uniform(2, 9)
        labels[(y - cy) ** 2 + (x - cx) ** 2 <= radius**2] = 7 * i + 3
    return labels


def nearest_other(labels):
    """Distance of every pixel to the nearest one of another label, one by one."""
    places = np.argwhere(np.ones_like(labels)).astype(float)
    flat = labels.ravel()
    found = [
        np.sqrt(((places[flat != flat[i]] - place) ** 2).sum(1).min())
        for i, place in enumerate(places)
    ]
    return np.reshape(found, labels.shape)


@pytest.mark.parametrize("seed", range(3))
def test_distance_is_that_to_the_nearest_other_pixel_by_the_largest_of_the_bead(seed):
    labels = scene(np.random.default_rng(seed))
    found, expected = distance(labels), nearest_other(labels)
    border = np.ones(labels.shape, bool)
    border[1:-1, 1:-1] = False
    whole = 0
    for bead in np.unique(labels[labels > 0]):
        inside = labels == bead
        deepest = expected[inside].max()
        if (found[inside] == UNKNOWN_DISTANCE).any():
            assert (found[inside] == UNKNOWN_DISTANCE).all()
            assert expected[inside & border].max() > deepest - 0.6
            continue
        whole += 1
        assert found[inside].max() == 1 and found[inside].min() > 0
        # The scale may be off by the 2 - sqrt(2) px that the docstring owns up to.
        worst = np.abs(found[inside] - expected[inside] / deepest).max()
        assert worst * deepest < 2 - np.sqrt(2) + 1e-5
    assert whole >= 3
    background, near = labels == 0, expected < RING - 0.6
    assert (found[background & near] == 0).all()
    assert (found[background & (expected > RING)] == UNKNOWN_DISTANCE).all()


def test_touching_beads_are_parted_where_they_touch(discs):
    labels = discs((40, 60), [(20, 20), (20, 39)], 10)
    found = distance(labels)
    assert min(found[20, 20], found[20, 39]) > 0.98
    between = found[20, 20:40]
    assert between.min() < 0.15 and between.argmin() in (9, 10)


def test_the_border_of_a_crop_is_no_edge_of_a_bead(discs):
    """A disc whose centre is inside is on its right as it was before the cut."""
    whole = distance(discs((60, 60), [(30, 30)], 12))
    cut = distance(discs((60, 60), [(30, 30)], 12)[:, 24:])
    np.testing.assert_allclose(cut[:, 6:], whole[:, 30:], atol=1e-6)


def test_a_bead_whose_centre_is_beyond_the_border_is_unknown(discs):
    cut = distance(discs((60, 60), [(30, 30), (10, 50)], 8)[:, 33:])
    assert (cut[30, :5] == UNKNOWN_DISTANCE).all()
    assert cut[10, 50 - 33] == 1


def test_all_one_bead_and_no_bead_are_unknown():
    one = np.ones((16, 16), np.int32)
    assert (distance(one) == UNKNOWN_DISTANCE).all()
    assert (distance(0 * one) == UNKNOWN_DISTANCE).all()


def test_a_bead_that_the_mask_lacks_teaches_nothing_wrong(discs):
    """What half the masks say, all say too, but for the rims of beads that are gone."""
    centres = [(y, x) for y in range(15, 110, 20) for x in range(15, 110, 20)]
    labels = discs((120, 120), centres, 10)
    some = np.where(labels % 2 > 0, labels, 0)
    full, half = distance(labels), distance(some)
    known = half != UNKNOWN_DISTANCE
    lacking = known & (some == 0) & (labels > 0)
    np.testing.assert_allclose(half[known & ~lacking], full[known & ~lacking], atol=0.1)
    assert full[lacking].max() < 0.5


def test_only_what_heads_ask_for_is_made(discs):
    labels = discs((32, 32), [(16, 16)], 6)
    labels[:4] = -1
    image = np.zeros((32, 32), np.float32)
    plain = targets(image, labels, ("mask",))
    both = targets(image, labels, ("mask", "distance"))
    assert set(both) - set(plain) == {"distance"}
    for array in both.values():
        assert array.shape == (32, 32, 1) and array.dtype == np.float32
    assert (both["weight"][:4] == 0).all() and both["weight"][4:].all()
