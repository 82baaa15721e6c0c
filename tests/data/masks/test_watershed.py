"""Hills against scikit-image's watershed, and blocks against the whole."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage import measure, morphology

from beadseg.data.masks.watershed import watershed, watershed_blockwise


def background(rng, shape, smooth=2.0):
    """A height map of about 0..1 and a mask."""
    height = np.abs(ndimage.gaussian_filter(rng.normal(size=shape), smooth))
    mask = ndimage.gaussian_filter(rng.normal(size=shape), smooth) > -0.05
    return (height / max(height.max(), 1e-6)).astype(np.float32), mask


@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 50), st.integers(1, 50)),
    smooth=st.sampled_from([0.0, 1.0, 2.5]),
    levels=st.sampled_from([0, 4]),
    block=st.integers(1, 40),
    min_area=st.sampled_from([0, 6, 25]),
    fill=st.booleans(),
    cut=st.integers(1, 2),
)
@settings(max_examples=40, deadline=None)
def test_blocks_give_what_the_whole_gives(
    seed, shape, smooth, levels, block, min_area, fill, cut
):
    height, mask = background(np.random.default_rng(seed), shape, smooth)
    if levels:  # plateaus
        height = np.round(height * levels) / np.float32(levels)
    whole = watershed(height, mask, 0.15, min_area, fill, cut)
    found = np.zeros(shape, np.int32)
    count = watershed_blockwise(
        lambda rows, columns: (height[rows, columns], mask[rows, columns]),
        found,
        0.15,
        min_area,
        fill,
        cut,
        block=block,
    )
    np.testing.assert_array_equal(found, whole)
    labels, first = np.unique(whole[whole > 0], return_index=True)
    assert labels.tolist() == list(range(1, count + 1))
    assert (np.diff(first) > 0).all()


@pytest.mark.parametrize("seed", range(5))
def test_hills_are_the_h_maxima(seed):
    """A hill holds one h-maximum of scikit-image and all its pixels hang together."""
    height, mask = background(np.random.default_rng(seed), (80, 90))
    height = np.where(mask, height + 0.01, 0).astype(np.float32)
    found = watershed(height, mask, 0.1)
    np.testing.assert_array_equal(found > 0, mask)
    dome = morphology.reconstruction(np.maximum(height - 0.1, 0), height)
    tops = morphology.local_maxima(dome) & mask
    seeds, count = measure.label(tops, connectivity=2, return_num=True)
    # A maximum less than 0.1 above the background around it is an h-maximum to neither,
    # but a part of the mask without any other is a hill to us.
    parts, part_count = ndimage.label(mask, np.ones((3, 3)))
    bare = part_count - len(np.unique(parts[tops]))
    assert found.max() == count + bare
    for seed_of in range(1, count + 1):
        assert len(np.unique(found[seeds == seed_of])) == 1
    for hill in range(1, found.max() + 1):
        assert ndimage.label(found == hill, np.ones((3, 3)))[1] == 1


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("axis", [0, 1])
def test_what_the_border_cuts_counts_as_if_it_went_on_there_mirrored(seed, axis):
    rng = np.random.default_rng(seed)
    y, x = np.indices((90, 90))
    mask = np.zeros((90, 90), bool)
    for v, u, radius in rng.uniform((-4, 10, 2), (80, 80, 7), (25, 3)):
        mask |= np.hypot(y - v, x - u) < radius
    mirrored = np.concatenate([mask[::-1], mask])
    if axis:
        mask, mirrored = mask.T, mirrored.T
    # As high everywhere: each part of the mask is one hill.
    found = watershed(mask.astype(np.float32), mask, 2.0, 60, cut=2)
    wanted = watershed(mirrored.astype(np.float32), mirrored, 2.0, 60)
    np.testing.assert_array_equal(found > 0, np.split(wanted > 0, 2, axis)[1])
    assert ((found == 0) & mask).any()


def ridge(*heights):
    return np.array([heights], np.float32)


def test_a_top_counts_that_is_far_enough_above_its_saddle():
    height = ridge(0.2, 0.9, 0.5, 0.7, 0.2)
    mask = height > 0
    assert watershed(height, mask, 0.19).tolist() == [[1, 1, 1, 2, 2]]
    assert watershed(height, mask, 0.21).tolist() == [[1, 1, 1, 1, 1]]


def test_a_small_hill_joins_the_neighbour_of_the_highest_saddle():
    height = ridge(0.9, 0.8, 0.7, 0.3, 0.8, 0.4, 0.7, 0.8, 0.9, 0.0, 0.6)
    mask = height > 0
    assert watershed(height, mask, 0.1)[0].tolist() == [1, 1, 1, 2, 2, 2, 3, 3, 3, 0, 4]
    alone_gone = watershed(height, mask, 0.1, min_area=3)[0]
    assert alone_gone.tolist() == [1, 1, 1, 2, 2, 2, 3, 3, 3, 0, 0]
    height[0, 2] = 0  # the first hill has no neighbour
    mask = height > 0
    joined = watershed(height, mask, 0.1, min_area=4)[0]
    assert joined.tolist() == [0, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0]


def test_a_hole_in_one_hill_is_filled_and_one_between_two_is_not(discs):
    labels = discs((40, 70), [(20, 18), (20, 47)], 14)
    mask = labels > 0
    mask[18:21, 16:19] = False  # inside the first
    mask[18:23, 31:34] = True  # a bridge, with a hole on the seam of the two
    mask[20, 32] = False
    height = np.zeros(mask.shape, np.float32)
    for x in (18, 47):
        y, x = np.mgrid[:40, :70] - np.array([20, x])[:, None, None]
        height = np.maximum(height, 1 - np.hypot(y, x).astype(np.float32) / 20)
    height = np.maximum(height, 0)
    found = watershed(height, mask, 0.1, fill=True)
    assert found.max() == 2
    assert (found[18:21, 16:19] == found[20, 10]).all()
    assert found[20, 32] == 0
    assert (found[0] == 0).all()
    assert watershed(height, mask, 0.1)[19, 17] == 0


def test_nothing_and_everything():
    nothing = np.zeros((9, 7), bool)
    flat = np.ones((9, 7), np.float32)
    assert watershed(flat, nothing, 0.1, 4, True).max() == 0
    np.testing.assert_array_equal(watershed(flat, ~nothing, 0.1, 4, True), 1)
