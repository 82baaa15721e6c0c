"""Beads of several levels on one grid: each there, each whole, in bands too."""

import numpy as np
import pytest
from scipy import ndimage

from beadseg.inference.outputs.measure import measure
from beadseg.inference.pyramid import pyramid
from beadseg.inference.pyramid.compose import compose, opened
from beadseg.inference.pyramid.pyramid import Maps
from tests.inference import played

SHAPE = (150, 202)
DISCS = {
    1.0: [(20, 20, 14), (30, 60, 18), (75, 100, 10)],
    0.5: [(100, 40, 30), (60, 150, 41)],
    0.25: [(75, 100, 70)],  # with a bead of the finest level on it
}


def look(discs, shape=SHAPE, **options):
    """Levels, and all that was found on them."""
    levels = [played.level(shape, scale, at, **options) for scale, at in discs.items()]
    return levels, pyramid.candidates(levels, shape, None)


def disc(y, x, diameter, shape=SHAPE):
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return (rows - y) ** 2 + (columns - x) ** 2 <= (diameter / 2) ** 2


def test_one_level_of_the_images_size_gives_its_maps_and_labels():
    levels, found = look({1.0: DISCS[1.0]}, spreads=True)
    order = np.array([2, 0, 1])
    page = compose(levels, found.take(order), SHAPE, 0.5)
    expected = np.zeros(SHAPE, np.int32)
    for number, i in enumerate(order, 1):
        expected[levels[0].labels == i + 1] = number
    np.testing.assert_array_equal(page.labels, expected)
    np.testing.assert_array_equal(page.probability, levels[0].maps.probability)
    np.testing.assert_array_equal(page.uncertainty, levels[0].maps.uncertainty)


def test_regions_that_were_not_selected_are_not_drawn():
    levels, found = look({1.0: DISCS[1.0]})
    page = compose(levels, found.take(np.array([1])), SHAPE, 0.5)
    np.testing.assert_array_equal(page.labels, levels[0].labels == 2)
    nothing = compose(levels, found.take(np.array([], int)), SHAPE, 0.5)
    assert not nothing.labels.any()
    np.testing.assert_array_equal(nothing.probability, page.probability)
    assert nothing.uncertainty is None


def test_beads_of_every_level_have_their_discs_and_the_finer_lie_on_top():
    levels, found = look(DISCS)
    page = compose(levels, found, SHAPE, 0.5)
    assert page.labels.dtype == np.int32 and page.probability.dtype == np.float32
    expected = np.zeros(SHAPE, np.int32)
    number = len(found.level)
    for scale in sorted(DISCS):
        for at in reversed(DISCS[scale]):
            expected[disc(*at)] = number
            number -= 1
    for label in range(1, expected.max() + 1):
        mine, true = page.labels == label, expected == label
        assert (mine & true).sum() / (mine | true).sum() > 0.9


@pytest.mark.parametrize("spreads", [False, True])
@pytest.mark.parametrize("band", [1, 7, 64, 149])
def test_bands_give_what_the_whole_gives(band, spreads):
    levels, found = look(DISCS, spreads=spreads)
    whole = compose(levels, found, SHAPE, 0.5)
    bands = compose(levels, found, SHAPE, 0.5, band=band)
    np.testing.assert_array_equal(bands.labels, whole.labels)
    np.testing.assert_allclose(bands.probability, whole.probability, atol=1e-5)
    if spreads:
        np.testing.assert_allclose(bands.uncertainty, whole.uncertainty, atol=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_labels_are_one_to_the_number_of_beads(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(60, 240, 2))
    discs = {2.0: [], 1.0: [], 0.5: [], 0.25: []}
    for i, y in enumerate(np.arange(12, shape[0] - 12, 24)):
        for j, x in enumerate(np.arange(12, shape[1] - 12, 24)):
            scale = (2.0, 1.0, 0.5, 0.25)[(i + j) % 4]
            discs[scale].append((y, x, rng.uniform(4 if scale > 1 else 12, 20)))
    levels, found = look(discs, shape)
    found = found.take(rng.permutation(len(found.level)))
    page = compose(levels, found, shape, 0.5)
    numbers = np.unique(page.labels)
    np.testing.assert_array_equal(numbers, np.arange(len(found.level) + 1))
    rows, columns = (np.rint(at).astype(int) for at in (found.y, found.x))
    np.testing.assert_array_equal(
        page.labels[rows, columns], np.arange(len(found.level)) + 1
    )


def test_probabilities_are_those_of_the_level_that_found_each_bead():
    levels = [
        played.level(SHAPE, 1.0, DISCS[1.0], 0.7, spreads=True),
        played.level(SHAPE, 0.5, DISCS[0.5], 0.9, spreads=True),
    ]
    found = pyramid.candidates(levels, SHAPE, None)
    page = compose(levels, found, SHAPE, 0.5)
    for i in range(len(found.level)):
        inner = disc(found.y[i], found.x[i], 0.5 * found.diameter[i])
        expected = (0.7, 0.9)[found.level[i]]
        np.testing.assert_allclose(page.probability[inner], expected, atol=0.02)
        np.testing.assert_allclose(page.uncertainty[inner], expected / 10, atol=0.01)


@pytest.mark.parametrize("radius", [2.0, 3.0, 4.5])
def test_opening_is_that_of_another_library_away_from_the_sides(radius):
    region = disc(60, 60, 41, (120, 120)) | disc(60, 85, 17, (120, 120))
    region[58:61, 30:110] = True  # a spur
    size = np.arange(-5, 6)
    footprint = size[:, None] ** 2 + size**2 <= radius**2
    expected = ndimage.binary_opening(region, footprint)
    wrong = opened(region, radius) ^ expected
    assert wrong.sum() <= 0.01 * expected.sum()  # a pixel's width of the disc
    assert not opened(region, radius)[59, 100:].any()


def test_opening_keeps_what_a_side_cuts_and_what_is_thin_all_over():
    cut = disc(2, 30, 40, (60, 60))
    np.testing.assert_array_equal(opened(cut, 5.0)[:4], cut[:4])
    assert opened(np.ones((20, 30), bool), 8.0).all()
    line = np.zeros((20, 40), bool)
    line[9:11] = True
    np.testing.assert_array_equal(opened(line, 5.0), line)


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_a_spur_is_no_part_of_its_bead(scale):
    level = played.level((120, 160), scale, [(60, 60, 50)])
    there = level.labels > 0
    there[int(60 * scale) - 1 : int(60 * scale) + 1, int(60 * scale) : -8] = True
    labels = there.astype(np.int32)
    values = np.where(there, 0.9, 0.02).astype(np.float32)
    regions = measure(labels, values, values, threshold=0.5)
    level = level._replace(
        maps=Maps(values, None, None),
        labels=labels,
        regions=regions.table,
        boxes=regions.boxes,
    )
    found = pyramid.candidates([level], (120, 160), None)
    page = compose([level], found, (120, 160), 0.5)
    drawn, true = page.labels == 1, disc(60, 60, 50, (120, 160))
    assert (drawn & true).sum() / (drawn | true).sum() > 0.93
    assert drawn[:, 110:].sum() == 0
