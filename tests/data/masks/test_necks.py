"""Beads of one size: what has the area of several is several."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from beadseg.data.masks.instances import find_beads, options_of_size
from beadseg.data.masks.necks import ALIKE, part_equal


def drawn(discs, shape=(120, 120)) -> np.ndarray:
    """Regions of discs (y, x, diameter) that touch: i32[H, W]."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    inside = np.zeros(shape, bool)
    for cy, cx, diameter in discs:
        inside |= np.hypot(y - cy, x - cx) <= diameter / 2
    return ndimage.label(inside)[0].astype(np.int32)


def parted(discs, diameter=10.0, shape=(120, 120)):
    labels = drawn(discs, shape)
    before = labels.copy()
    count = labels.max()
    of = part_equal(labels, count, diameter)
    for number, whole in enumerate(of, start=count + 1):
        assert (before[labels == number] == whole).all()
    count += len(of)
    np.testing.assert_array_equal(labels > 0, before > 0)
    np.testing.assert_array_equal(
        np.unique(labels[labels > 0]), np.arange(1, count + 1)
    )
    return labels, count


@settings(max_examples=60, deadline=None)
@given(
    st.floats(0, np.pi),
    st.floats(0.8, 1.0),
    st.floats(8, 24),
    st.floats(-0.5, 0.5),
)
def test_two_that_touch_come_apart_in_the_middle(turn, apart, diameter, off):
    half = apart * diameter / 2 * np.array([np.sin(turn), np.cos(turn)])
    middle = np.array([60 + off, 60 - off])
    labels, count = parted(
        [(*(middle - half), diameter), (*(middle + half), diameter)], diameter
    )
    assert count == 2
    centres = np.array(ndimage.center_of_mass(labels > 0, labels, [1, 2]))
    for true in (middle - half, middle + half):
        assert np.hypot(*(centres - true).T).min() < 0.2 * diameter


@pytest.mark.parametrize("step", [0.85, 1.0])
@pytest.mark.parametrize("beads", [3, 4, 6])
def test_chains_and_clumps_have_as_many_as_they_have_room_for(beads, step):
    chain = [(60, 15 + 10 * step * i, 10) for i in range(beads)]
    assert parted(chain)[1] == beads
    clump = [(60 + 9 * (i // 2), 60 + 9.5 * (i % 2), 10) for i in range(4)]
    assert parted(clump)[1] == 4


@settings(max_examples=60, deadline=None)
@given(st.floats(8, 24), st.floats(0, 1), st.floats(0, 1), st.floats(0.9, 1.12))
def test_one_stays_whole(diameter, y, x, times):
    assert parted([(60 + y, 60 + x, times * diameter)], diameter)[1] == 1


def test_where_most_are_larger_than_told_they_are_beads():
    discs = [(20 + 25 * i, 20 + 25 * j, 12.5) for i in range(4) for j in range(4)]
    assert parted(discs, diameter=10)[1] == 16


def test_the_empty_field_and_a_region_that_is_gone():
    labels = np.zeros((20, 20), np.int32)
    assert len(part_equal(labels, 0, 10)) == 0
    labels[2:4, 2:4] = 2
    assert len(part_equal(labels, 2, 10)) == 0


def test_only_beads_seen_to_be_of_one_size_are_parted():
    """By its maps a pair without a neck is one; by its area it is two.

    Discs that were drawn around centres have one size without being seen to.
    """
    inside = drawn([(40, 40, 10), (40, 47.5, 10), (80, 80, 10), (20, 90, 10)]) > 0
    probability = inside.astype(np.float32)
    sizes = ((None, 3), (ALIKE - 0.1, 3), (ALIKE, 4), (0.95, 4), (1.0, 3))
    for smallest, beads in sizes:
        options = options_of_size(10.0, smallest)
        found = find_beads(probability, 0.5 * probability, **options)
        assert found.max() == beads
