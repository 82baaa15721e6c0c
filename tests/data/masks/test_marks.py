import numpy as np
import pytest
from scipy import ndimage

from beadseg.data.masks.marks import kind_of_masks, mark_centres, measure_marks
from beadseg.data.masks.necks import separate
from beadseg.data.masks.points import discs

SIDE = 300


def centres(rng: np.random.Generator) -> np.ndarray:
    """f32[64, 2], apart, between pixels."""
    grid = np.stack(np.meshgrid(*[np.arange(30, 280, 33)] * 2), -1).reshape(-1, 2)
    return (grid + rng.uniform(-3, 3, grid.shape)).astype(np.float32)


def image(name, marks, beads, seed=0):
    """An image with marks of some diameters on beads of others: a number, or f[64]."""
    at = centres(np.random.default_rng(seed))
    labels = np.zeros((SIDE, SIDE), np.int32)
    for number, diameter in enumerate(np.broadcast_to(marks, len(at)), 1):
        labels[discs(at[number - 1 :][:1], diameter, labels.shape) > 0] = number
    seen = enumerate(np.broadcast_to(beads, len(at)).tolist(), 1)
    return measure_marks(name, labels, list(seen))


@pytest.mark.parametrize("diameter", [5.2, 7.5, 10.0, 24.0])
def test_outlines_of_beads_of_one_size_are_outlines(diameter):
    images = [image("a", diameter, 1.05 * diameter), image("b", diameter, diameter, 1)]
    found = kind_of_masks(images)
    assert not found.are_marks
    assert found.best_jaccard > 0.9


def test_outlines_of_images_of_two_magnifications_are_outlines():
    assert not kind_of_masks([image("a", 8, 8), image("b", 14, 14, 1)]).are_marks


def test_marks_whose_radius_differs_between_images_reach_a_known_jaccard():
    """Beads of one size under discs of m and M, all drawn as M: (m^2 + M^2) / 2 M^2."""
    small, large = image("a", 6, 8), image("b", 10, 8, 1)
    found = kind_of_masks([small, large])
    m, M = (float(np.square(i.marks).mean()) for i in (small, large))
    assert found.are_marks
    assert found.best_jaccard == pytest.approx((m + M) / (2 * M), abs=0.01)
    assert found.diameters == pytest.approx({"a": 6, "b": 10}, abs=0.2)
    assert found.diameter == pytest.approx(8)
    assert "radius of 3.0 to 5.0 px" in found.sentence()


@pytest.mark.parametrize("factor", [0.5, 0.7, 1.5])
def test_marks_of_another_size_than_the_beads_are_marks(factor):
    found = kind_of_masks([image("a", 10 * factor, 10), image("b", 10 * factor, 10, 1)])
    assert found.are_marks
    assert found.best_jaccard > 0.95  # of whoever draws them as wide as the marks


def test_equal_discs_on_beads_of_many_sizes_are_marks_and_outlines_are_not():
    sizes = np.random.default_rng(3).uniform(
        6, 22, len(centres(np.random.default_rng()))
    )
    assert kind_of_masks([image("a", 10, sizes)]).are_marks
    assert not kind_of_masks([image("a", sizes, sizes)]).are_marks


def test_nothing_is_said_where_too_few_beads_are_seen():
    blind = measure_marks(
        "a", discs(centres(np.random.default_rng(0)), 6, (SIDE, SIDE))
    )
    assert not kind_of_masks([blind]).are_marks
    assert not kind_of_masks([]).are_marks


def test_the_setting_decides():
    marks, outlines = image("a", 6, 12), image("a", 12, 12)
    assert not kind_of_masks([marks], "outlines").are_marks
    assert kind_of_masks([outlines], "marks").are_marks


@pytest.mark.parametrize("cut", [True, False])
@pytest.mark.parametrize("apart", [5.0, 6.5, 8.0])
def test_discs_that_were_stamped_on_each_other_have_a_centre_each(apart, cut):
    lone = [(y, x) for y in (10, 25) for x in range(10, 90, 15)]
    pairs = [(45, 20), (45, 20 + apart), (45, 60), (45 + apart / 2, 60 + apart / 2)]
    row = [(75, 30), (75, 30 + apart), (75, 30 + 2 * apart)]
    at = np.array([*lone, *pairs, *row], np.float32)
    rows, columns = np.ogrid[:96, :96]
    mask = np.zeros((96, 96), bool)
    for y, x in at:
        mask |= np.hypot(rows - y, columns - x) <= 3.6
    labels = separate(mask) if cut else ndimage.label(mask)[0]
    found = mark_centres(labels)
    assert len(found) == len(at)
    away = np.hypot(*(found[:, None] - at[None]).transpose(2, 0, 1))
    assert sorted(away.argmin(1)) == list(range(len(at)))
    assert away.min(1).max() < 0.3 * apart


@pytest.mark.parametrize("shrunk", [1.0, 1.4, 1.8])
def test_shrunk_outlines_of_beads_that_touch_have_a_centre_each(shrunk):
    """Bodies without necks hold more area than as many lone ones."""
    radius, apart = 4.5, 8.0  # px, beads whose blurred outlines run together
    lone = [(y, x) for y in (10, 25) for x in range(10, 100, 15)]
    pairs = [(45, 15), (45, 15 + apart), (40, 50), (40 + 6.4, 50 + 4.8)]
    corner = [(40, 80), (40 + apart, 80), (40 + apart, 80 + apart)]
    row = [(75, 15 + i * apart) for i in range(4)]
    at = np.array([*lone, *pairs, *corner, *row], np.float32)
    rows, columns = np.ogrid[:96, :112]
    away = [np.hypot(rows - y, columns - x) for y, x in at]
    bodies = ndimage.distance_transform_edt(np.min(away, 0) <= radius) > shrunk
    bodies |= ndimage.binary_closing(bodies, np.ones((5, 5)))  # no necks
    found = mark_centres(ndimage.label(bodies)[0])
    assert len(found) == len(at)
    away = np.hypot(*(found[:, None] - at[None]).transpose(2, 0, 1))
    assert sorted(away.argmin(1)) == list(range(len(at)))


def test_marks_of_many_sizes_stay_whole():
    at = np.array([(15, 15), (15, 45), (45, 15), (45, 50)], np.float32)
    labels = sum(
        (discs(at[i : i + 1], 6 + 5 * i, (70, 70)) > 0) * (i + 1) for i in range(4)
    )
    assert len(mark_centres(labels)) == 4
