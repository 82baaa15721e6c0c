"""Levels of an image and the regions on them, against loops over them all."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beadseg.errors import BeadsegError
from beadseg.inference.pyramid import pyramid
from tests.inference import played

SIZES = (5.5, 26.0)


@given(st.integers(1, 3000), st.integers(1, 3000))
def test_levels_halve_until_one_more_would_be_too_small(height, width):
    found = pyramid.scales((height, width), SIZES)
    assert found == [0.5**i for i in range(len(found))]
    least = min(height, width)
    assert len(found) == 1 or least * found[-1] >= pyramid.COARSEST
    assert least * found[-1] / 2 < pyramid.COARSEST


@pytest.mark.parametrize("filled", [0.05, 0.3, 0.75])
@pytest.mark.parametrize("side", [64, 300, 5000])
def test_a_bead_is_of_a_known_size_at_some_level_whatever_it_fills(side, filled):
    diameter = filled * side
    on_levels = [diameter * s for s in pyramid.scales((side, side), SIZES)]
    assert diameter < SIZES[0] or any(SIZES[0] <= d <= SIZES[1] for d in on_levels)


@given(st.floats(2.2, 260))
def test_a_diameter_that_is_given_is_looked_at_where_it_is_known(diameter):
    found = pyramid.scales((4000, 4000), SIZES, diameter)
    assert SIZES[0] < diameter * found[0] < SIZES[1]
    assert found == [found[0], found[0] / 2]  # the second supports the first


@given(st.floats(2, 256))
def test_a_scale_brings_a_diameter_to_the_known_one_or_is_one(diameter):
    scale = pyramid.scale_for(16, diameter)
    if abs(16 / diameter - 1) < 0.1:
        assert scale == 1
    else:
        assert scale * diameter == pytest.approx(16)


@pytest.mark.parametrize("diameter", [1.99, 1025, 1e9])
def test_a_diameter_that_cannot_be_looked_at_is_one_line(diameter):
    for call, largest in (
        (lambda: pyramid.scale_for(16, diameter), 256),
        # 16 px are usual there
        (lambda: pyramid.scales((100, 100), (16 / 2, 16), diameter), 1024),
    ):
        with pytest.raises(BeadsegError) as error:
            call()
        line = str(error.value)
        assert f"--diameter {diameter:g}" in line
        assert f"2 to {largest} px" in line and "\n" not in line


SHAPE = (123, 166)  # no level of it is a half of another to a pixel
DISCS = {
    1.0: [(20, 20, 10), (20, 50, 16.5), (60, 40, 5), (90, 120, 30)],
    0.5: [(21, 20, 11), (90, 121, 31), (60, 80, 16)],
    0.25: [(90, 119, 32), (40, 40, 60)],
}
LOOKS = [played.level(SHAPE, scale, discs) for scale, discs in DISCS.items()]


def test_candidates_have_the_places_and_sizes_of_their_discs_in_the_image():
    found = pyramid.candidates(LOOKS, SHAPE, None)
    expected = [(s, *disc) for s, discs in DISCS.items() for disc in discs]
    assert len(found.level) == len(expected)
    for i, (scale, y, x, diameter) in enumerate(expected):
        assert LOOKS[found.level[i]].scale == scale
        assert found.diameter[i] == pytest.approx(diameter, rel=0.06)
        assert (found.y[i], found.x[i]) == pytest.approx((y, x), abs=0.3 / scale)
        assert found.size[i] == pytest.approx(found.diameter[i] * scale, rel=0.02)


@pytest.mark.parametrize("sizes", [(6, 20), (8.5, 12), (100, 200)])
def test_candidates_are_the_regions_of_a_known_size(sizes):
    found = pyramid.candidates(LOOKS, SHAPE, sizes)
    expected = []
    for number, level in enumerate(LOOKS):
        for label in range(1, level.labels.max() + 1):
            area = (level.labels == label).sum()
            if sizes[0] <= 2 * math.sqrt(area / math.pi) <= sizes[1]:
                expected.append((number, label))
    assert list(zip(found.level, found.label, strict=True)) == expected


@pytest.mark.parametrize("sizes", [None, (6, 20), (100, 200)])
def test_what_lies_under_each_candidate_is_at_its_centre(sizes):
    found = pyramid.candidates(LOOKS, SHAPE, sizes)
    index = {
        pair: i for i, pair in enumerate(zip(found.level, found.label, strict=True))
    }
    beneath = pyramid.under(LOOKS, SHAPE, found)
    assert beneath.shape == (len(LOOKS), len(found.level))
    for number, level in enumerate(LOOKS):
        down, across = (m / n for m, n in zip(level.shape, SHAPE, strict=True))
        for i in range(len(found.level)):
            # The pixel that covers the point; pixel k reaches from k to k + 1.
            row = math.floor((found.y[i] + 0.5) * down)
            column = math.floor((found.x[i] + 0.5) * across)
            label = level.labels[row, column]
            assert beneath[number, i] == index.get((number, label), -1)
    own = beneath[found.level, np.arange(len(found.level))]
    np.testing.assert_array_equal(own, np.arange(len(own)))


def test_what_stays_whole_on_the_finest_levels_is_no_small_bead():
    discs = [(20, 20, 8.0), (60, 60, 16.0), (100, 30, 24.0)]
    for scale, kept in ((1.0, [16, 24]), (0.5, [16, 24]), (2.0, [8])):
        level = played.level((128, 128), scale, discs)._replace(whole=True)
        found = pyramid.candidates([level], (128, 128), SIZES)
        np.testing.assert_allclose(found.diameter, kept, rtol=0.1)


@pytest.mark.parametrize("share", [0.5, 0.8, 0.9, 0.98])
@pytest.mark.parametrize("dark", [True, False])
def test_only_bright_discs_may_be_a_field_of_view(share, dark):
    shape = (200, 260)
    level = played.level(shape, 0.125, [(100, 130, share * 200)])
    if dark:
        swapped = {
            "mean_intensity": level.regions["background"],
            "background": level.regions["mean_intensity"],
        }
        level = level._replace(regions=level.regions | swapped)
    found = pyramid.candidates([level], shape, SIZES)
    assert len(found.level) == (dark or share < pyramid.LARGEST)
    assert len(pyramid.candidates([level], shape, SIZES, fields=True).level) == 1


def test_levels_without_a_region_have_no_candidates():
    looks = [played.level(SHAPE, scale, []) for scale in DISCS]
    found = pyramid.candidates(looks, SHAPE, None)
    assert all(len(field) == 0 for field in found)
    assert pyramid.under(looks, SHAPE, found).shape == (len(DISCS), 0)


@pytest.mark.parametrize(
    ("small", "large", "wanted"),
    [(0, 0, False), (2, 0, False), (3, 0, True), (3, 12, True), (3, 13, False)],
)
def test_a_finer_level_is_for_several_small_beads_and_a_fifth_of_all(
    small, large, wanted
):
    looks = [played.level((10, 10), scale, []) for scale in (1.0, 0.5)]
    of_small = [(0, i, 5, 5, 5.5) for i in range(small)]
    of_large = [(i % 2, i, 5, 5, 14) for i in range(large)]
    elsewhere = [(1, 99, 5, 5, 5.5)] * (0 if small else 50)  # not on the finest
    found = played.candidates(looks, *of_small, *of_large, *elsewhere)
    score = np.full(len(found.level), 0.9)
    assert pyramid.wants_finer(found, score, 0) is wanted
    assert not pyramid.wants_finer(found, np.full(len(score), 0.7), 0)  # unsure


@pytest.mark.parametrize(
    ("tiny", "large", "tried"),
    [(20, 0, True), (19, 0, False), (20, 19, True), (20, 20, False)],
)
def test_a_finer_level_is_tried_for_many_beads_of_which_most_are_tiny(
    tiny, large, tried
):
    looks = [played.level((10, 10), scale, []) for scale in (1.0, 0.5)]
    sizes = [7.0] * tiny + [14.0] * large
    found = played.candidates(looks, *[(0, i, 5, 5, d) for i, d in enumerate(sizes)])
    assert pyramid.may_want_finer(found, np.full(len(sizes), 0.6)) is tried


@pytest.mark.parametrize(
    ("first", "second", "more"),
    [
        ([0.9] * 100, [0.9] * 120, True),
        ([0.9] * 100, [0.9] * 104, False),  # 4 %
        ([0.9] * 20, [0.9] * 25, False),  # 4.5 beads
        ([0.9] * 100, [0.6] * 200, False),  # doubtful ones
    ],
)
def test_a_finer_level_stays_where_more_beads_are_expected_to_be_right(
    first, second, more
):
    assert pyramid.more_expected(np.array(first), np.array(second)) is more


@given(st.integers(1, 900), st.integers(1, 900), st.integers(0, 99))
def test_the_busiest_parts_lie_in_the_image_and_hold_most_beads(height, width, seed):
    rng = np.random.default_rng(seed)
    looks = [played.level((10, 10), 1.0, [])]
    places = rng.uniform(0, (height, width), (rng.integers(1, 50), 2))
    beads = [(0, i, y, x, 7.0) for i, (y, x) in enumerate(places)]
    parts = pyramid.busiest(played.candidates(looks, *beads), (height, width))
    if parts is None:
        assert height * width <= 4 * 256**2 or min(height, width) < 256
        return
    assert 1 <= len(parts) <= 4
    held = []
    for rows, columns in parts:
        assert 0 <= rows.start and rows.stop <= height and rows.stop - rows.start == 256
        assert 0 <= columns.start and columns.stop <= width
        inside = (places >= (rows.start, columns.start)).all(1)
        inside &= (places < (rows.stop, columns.stop)).all(1)
        held.append(int(inside.sum()))
    cells = np.unique((places // 256).astype(int), axis=0, return_counts=True)[1]
    assert max(held) >= cells.max()
