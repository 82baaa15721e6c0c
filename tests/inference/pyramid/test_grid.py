"""Beads brought from the pixels of the network to those of the image: closed form."""

import numpy as np
import pytest

from beadseg.inference.pyramid import grid

SIDE = 48  # px of the network
RADIUS = 8.3
CENTRES = ((20.3, 15.1), (20.3, 15.1 + 2 * RADIUS))  # touching, side by side


def depth(y, x):
    """How far within the nearer of two discs, and which of them it is."""
    depths = [RADIUS - np.hypot(y - cy, x - cx) for cy, cx in CENTRES]
    return np.maximum(*depths), np.argmax(depths, 0) + 1


def at(shape):
    """Places of the pixels of a grid, in px of the network."""
    return np.meshgrid(
        *((np.arange(n) + 0.5) * SIDE / n - 0.5 for n in shape), indexing="ij"
    )


@pytest.fixture
def drawn():
    """Probability, as steep as networks draw edges, and labels."""
    inside, disc = depth(*at((SIDE, SIDE)))
    return 1 / (1 + np.exp(-4 * inside)), np.where(inside > 0, disc, 0).astype("i4")


@pytest.mark.parametrize("times", [1.3, 5.0])
def test_outlines_and_cuts_are_where_the_network_drew_them(drawn, times):
    probability, labels = drawn
    shape = (round(SIDE * times), round(SIDE * times))
    found = grid.resample_beads(
        labels, grid.resample_probability(probability, shape) >= 0.5
    )
    inside, disc = depth(*at(shape))
    truth = np.where(inside > 0, disc, 0)
    far = np.abs(inside) > 0.1  # px of the network, from the outline
    between = np.abs(at(shape)[1] - CENTRES[0][1] - RADIUS) < 0.35  # from the cut
    np.testing.assert_array_equal(found[far & ~between], truth[far & ~between])


def test_shrinking_keeps_the_beads(drawn):
    probability, labels = drawn
    shape = (SIDE // 3, SIDE // 3)
    found = grid.resample_beads(
        labels, grid.resample_probability(probability, shape) >= 0.5
    )
    areas = np.bincount(found.ravel(), minlength=3)[1:] * 9
    assert areas == pytest.approx([np.pi * RADIUS**2] * 2, rel=0.12)


def test_one_grid_changes_nothing(drawn):
    probability, labels = drawn
    assert grid.resample_probability(probability, labels.shape) is probability
    np.testing.assert_array_equal(
        grid.resample_beads(labels, np.zeros(labels.shape, bool)), labels
    )


def test_holes_in_beads_stay_filled_and_far_ground_stays_ground(drawn):
    _, labels = drawn
    shape = (SIDE * 3, SIDE * 3)
    inside, disc = depth(*at(shape))
    nothing = grid.resample_beads(labels, np.zeros(shape, bool))
    deep = inside > 3
    np.testing.assert_array_equal(nothing[deep], disc[deep])
    everything = grid.resample_beads(labels, np.ones(shape, bool))
    assert (everything[inside < -4] == 0).all()


@pytest.mark.parametrize("times", [0.6, 4.3])
def test_bands_give_what_the_whole_gives(drawn, times):
    probability, labels = drawn
    shape = (round(SIDE * times), round(SIDE * times))
    inside = grid.resample_probability(probability, shape) >= 0.5
    whole = grid.resample_beads(labels, inside)
    for top in range(0, shape[0], 13):
        rows = slice(top, min(top + 13, shape[0]))
        first, last = grid.rows_around(rows, SIDE, shape[0])
        band = grid.resample_beads(
            labels[first:last],
            inside[rows],
            shape=(SIDE, shape[0]),
            top=top,
            label_top=first,
        )
        np.testing.assert_array_equal(band, whole[rows])


def test_probabilities_stay_probabilities():
    values = (
        np.random.default_rng(0).choice([0.0, 0.5, 1.0], (20, 30)).astype(np.float32)
    )
    found = grid.resample_probability(values, (70, 41))
    assert found.dtype == np.float32
    assert (found >= 0).all() and (found <= 1).all()
    even = grid.resample_probability(np.full((8, 8), 0.3, np.float32), (17, 5))
    np.testing.assert_allclose(even, 0.3, rtol=1e-4)
