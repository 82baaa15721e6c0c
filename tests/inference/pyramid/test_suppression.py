"""One bead counts once, whatever levels found it."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beadseg.inference.pyramid import pyramid
from beadseg.inference.pyramid.suppression import (
    COVERED,
    DRAWN_WELL,
    LARGER,
    MIN_SCORE,
    PER_OCTAVE,
    dust,
    least_score,
    lens,
    select,
)
from tests.inference import played

SHAPE = (256, 256)
SCALES = (1.0, 0.5, 0.25, 0.125)


def area(r, s, apart) -> float:
    return float(lens(*(np.array([float(value)]) for value in (r, s, apart)))[0])


@pytest.mark.parametrize("apart", [9, 9.5, 100])
def test_discs_apart_share_nothing(apart):
    assert area(4, 5, apart) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("apart", [0, 1, 3])
def test_a_disc_within_another_is_shared_whole(apart):
    for r, s in ((2, 5), (5, 2)):
        assert area(r, s, apart) == pytest.approx(math.pi * 4)
    assert area(5, 5, 0) == pytest.approx(math.pi * 25)


def test_discs_through_each_others_centres_share_what_is_known():
    for r in (1, 7.5):
        expected = r**2 * (2 * math.pi / 3 - math.sqrt(3) / 2)
        assert area(r, r, r) == pytest.approx(expected)


@given(st.floats(2, 60), st.floats(2, 60), st.floats(0, 140))
@settings(max_examples=60, deadline=None)
def test_the_shared_area_is_that_of_the_shared_pixels(r, s, apart):
    y, x = np.mgrid[-122:123, -402:403] / 2 + 0.25
    both = (y**2 + x**2 <= r**2) & (y**2 + (x - apart) ** 2 <= s**2)
    # Of quarters of pixels, which are in or out on an outline.
    assert area(r, s, apart) == pytest.approx(both.sum() / 4, rel=0.02, abs=8)
    assert area(r, s, apart) == pytest.approx(area(s, r, apart), abs=1e-6)


def seen(discs, scales=SCALES, sizes=None):
    """Candidates of looks that find `discs` by scale, and what lies under them."""
    levels = [played.level(SHAPE, scale, discs.get(scale, [])) for scale in scales]
    found = pyramid.candidates(levels, SHAPE, sizes)
    return found, pyramid.under(levels, SHAPE, found)


def chosen_of(discs, score, min_score=0.5, **options):
    found, beneath = seen(discs, **options)
    assert len(score) == len(found.level)
    return select(found, beneath, np.array(score), min_score).tolist()


def test_a_disc_on_three_levels_counts_once_as_the_best_of_them():
    discs = {scale: [(100, 100, 36)] for scale in SCALES[:3]}
    assert chosen_of(discs, (0.9, 0.7, 0.8)) == [0]
    assert chosen_of(discs, (0.7, 0.8, 0.95)) == [2]
    assert 36 * SCALES[1] == 18
    assert chosen_of(discs, (0.9, 0.9, 0.9)) == [1]  # among equals: as it is known


def test_a_clump_gives_way_to_its_beads():
    beads = [(100 + dy, 100 + dx, 20) for dy in (-10, 10) for dx in (-10, 10)]
    discs = {1.0: beads, 0.25: [(100, 100, 44)]}
    assert sorted(chosen_of(discs, (0.9, 0.9, 0.8, 0.9, 0.7))) == [0, 1, 2, 3]


def test_pieces_give_way_to_their_bead():
    pieces = [(100 + dy, 100 + dx, 20) for dy in (-10, 10) for dx in (-10, 10)]
    discs = {1.0: pieces, 0.25: [(100, 100, 44)]}
    assert chosen_of(discs, (0.7, 0.7, 0.8, 0.7, 0.9)) == [4]


def test_dust_in_a_better_bead_goes_and_a_small_bead_beside_it_stays():
    discs = {1.0: [(110, 90, 8), (100, 160, 8)], 0.25: [(100, 100, 80)]}
    assert sorted(chosen_of(discs, (0.8, 0.8, 0.9))) == [1, 2]


@pytest.mark.parametrize(("min_score", "count"), [(0, 3), (0.5, 3), (0.51, 2), (1, 0)])
def test_what_has_less_than_the_least_score_is_left_out(min_score, count):
    discs = {1.0: [(30, 30, 16), (90, 90, 16), (150, 150, 16)]}
    assert len(chosen_of(discs, (0.5, 0.9, 0.7), min_score)) == count


def test_what_is_left_out_for_its_score_hides_nothing():
    discs = {1.0: [(100, 100, 18)], 0.25: [(100, 100, 18)]}
    assert chosen_of(discs, (0.5, 0.51), min_score=0) == [0]
    assert chosen_of(discs, (0.5, 0.51), min_score=0.505) == [1]


def test_nothing_gives_nothing():
    assert chosen_of({}, []) == []


def random_scene(rng):
    """Discs of all sizes on all levels, in heaps so that many overlap."""
    heaps = rng.uniform(30, 226, (6, 2))
    discs = {}
    for scale in SCALES:
        diameter = rng.uniform(6, 30, 12) / scale
        at = heaps[rng.integers(6, size=12)] + rng.normal(0, 8, (12, 2))
        discs[scale] = [(*p, d) for p, d in zip(at, diameter, strict=True)]
    found, beneath = seen(discs, sizes=(4, 40))
    return found, beneath, rng.uniform(0.2, 1, len(found.level))


def slowly(found, beneath, score, min_score):
    """Best first, those that are covered too much left out: with loops alone."""
    rank = score + LARGER * np.log2(found.diameter)
    for i, (size, level) in enumerate(zip(found.size, found.level, strict=True)):
        if size < DRAWN_WELL[0] and level > 0:
            rank[i] -= PER_OCTAVE * math.log2(DRAWN_WELL[0] / size)
        if size > DRAWN_WELL[1]:
            rank[i] -= PER_OCTAVE * math.log2(size / DRAWN_WELL[1])
    taken = []
    for i in sorted(np.flatnonzero(score >= min_score), key=lambda i: -rank[i]):
        covered = 0.0
        for j in taken:
            if i in beneath[:, j] or j in beneath[:, i]:
                apart = math.hypot(found.y[i] - found.y[j], found.x[i] - found.x[j])
                shared = area(found.diameter[i] / 2, found.diameter[j] / 2, apart)
                covered += shared / (math.pi / 4 * found.diameter[i] ** 2)
        if covered <= COVERED:
            taken.append(i)
    return taken


@pytest.mark.parametrize("seed", range(5))
def test_what_is_taken_is_what_loops_take(seed):
    found, beneath, score = random_scene(np.random.default_rng(seed))
    taken = select(found, beneath, score, 0.5)
    assert 3 < len(taken) < (score >= 0.5).sum()
    assert taken.tolist() == slowly(found, beneath, score, 0.5)


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_candidates_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    found, beneath, score = random_scene(rng)
    taken = select(found, beneath, score, 0.5)
    order = rng.permutation(len(score))
    where = np.append(np.argsort(order), -1)  # of each in the new order; -1 stays
    again = select(found.take(order), where[beneath[:, order]], score[order], 0.5)
    assert order[again].tolist() == taken.tolist()


LARGE = [(60.0, 60.0, 60.0), (60.0, 180.0, 64.0), (180.0, 70.0, 70.0)]
SPECKS = [(120.0, 20.0 + 30 * i, 8.0) for i in range(5)]


def is_dust(discs, score):
    levels = [played.level(SHAPE, 1.0, discs)]
    found = played.candidates(levels, *((0, i + 1, *d) for i, d in enumerate(discs)))
    return dust(found, np.array(score), SHAPE)


def test_unlikely_specks_far_smaller_than_the_beads_are_dust():
    found = is_dust(LARGE + SPECKS, [0.99] * 3 + [0.95, 0.6, 0.7, 0.6, 0.7])
    np.testing.assert_array_equal(found, [False] * 3 + [True] * 5)


@pytest.mark.parametrize(
    ("discs", "score"),
    [
        (LARGE + SPECKS, [0.99] * 3 + [0.9] * 5),  # small beads that are likely
        (LARGE + SPECKS, [0.8] * 3 + [0.7] * 5),  # nothing is sure
        (LARGE + SPECKS[:2], [0.99] * 3 + [0.6] * 2),  # too few to tell
        (LARGE[:1] + 20 * SPECKS, [0.99] + [0.6] * 100),  # they cover much
        (
            [*LARGE, *SPECKS, (128.0, 128.0, 20.0), (128.0, 200.0, 40.0)],
            [0.99] * 3 + [0.6] * 7,
        ),  # of every size
        (LARGE, [0.5] * 3),
        ([], []),
    ],
)
def test_small_beads_are_no_dust(discs, score):
    assert not is_dust(discs, score).any()


def test_a_bead_that_the_border_cuts_is_of_no_size():
    cut = (20.0, 250.0, 20.0)  # would fill the gap
    found = is_dust([*LARGE, *SPECKS, cut], [0.99] * 3 + [0.6] * 5 + [0.9])
    np.testing.assert_array_equal(found, [False] * 3 + [True] * 5 + [False])


def least(score, diameters, pixels=10**6):
    """Of discs apart from each other."""
    side = 1 + max(diameters, default=0)
    discs = [(side, side * (1.5 * i + 1), d) for i, d in enumerate(diameters)]
    levels = [played.level((2 * int(side), int(side * (2 * len(discs) + 2))), 1, discs)]
    found = played.candidates(levels, *((0, i + 1, *d) for i, d in enumerate(discs)))
    beneath = pyramid.under(levels, levels[0].shape, found)
    score = np.array(score, float)
    chosen = select(found, beneath, score, MIN_SCORE)
    return least_score(found, beneath, score, chosen, pixels)


@pytest.mark.parametrize(
    ("score", "diameters", "wanted"),
    [
        ([0.95, 0.5, 0.5], [10, 20, 40], MIN_SCORE),  # one is sure
        ([0.95] + 99 * [0.5], 100 * [10], MIN_SCORE),  # alike
        ([0.95] + 99 * [0.5], 50 * [10, 20], 0.7),  # one in a hundred is none
        (6 * [0.5], 6 * [10], MIN_SCORE),  # alike
        (3 * [0.5], 3 * [10], 0.7),  # too few to stand up for each other
        (3 * [0.65], [10, 20, 40], MIN_SCORE),  # likely
        (6 * [0.5] + 10 * [0.1], 16 * [10], 0.9),  # among many of any low score
        (6 * [0.8] + 10 * [0.1], 16 * [10], MIN_SCORE),  # they stand out
        (6 * [0.8] + 40 * [0.1], 46 * [10], 0.9),  # a texture
        ([], [], MIN_SCORE),
    ],
)
def test_in_an_image_of_few_sure_beads_more_is_asked(score, diameters, wanted):
    assert least(score, diameters) == wanted


def test_a_crowd_is_no_grain():
    score, diameters = 6 * [0.8] + 40 * [0.1], 46 * [10]
    covered = 6 * np.pi * 25
    assert least(score, diameters, pixels=int(covered / 0.11)) == MIN_SCORE
    assert least(score, diameters, pixels=int(covered / 0.09)) == 0.9
