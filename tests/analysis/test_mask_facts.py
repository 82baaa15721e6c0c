import numpy as np
import pytest
from scipy import ndimage

from beadseg.analysis.mask_facts import (
    branch_points,
    count_holes,
    find_offset,
    measure_mask,
)
from beadseg.data.generated.damage import damage_labels

SIZE = 160
AT = [(y, x) for y in range(20, 150, 30) for x in range(20, 150, 30)]


def beads(radius: float = 10, at=AT, size: int = SIZE) -> np.ndarray:
    """Discs i32[size, size], numbered in the order of `at`."""
    y, x = np.mgrid[:size, :size]
    labels = np.zeros((size, size), np.int32)
    for number, (cy, cx) in enumerate(at, 1):
        labels[(y - cy) ** 2 + (x - cx) ** 2 <= radius**2] = number
    return labels


def picture(labels: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 0.05, labels.shape)
    return ndimage.gaussian_filter((labels > 0).astype(float), 1) + noise


@pytest.fixture(scope="module")
def healthy():
    labels = beads()
    return labels, picture(labels)


def test_clean_discs_have_no_defects(healthy):
    found = measure_mask(*healthy)
    assert found.objects == len(AT)
    assert found.coverage == pytest.approx(np.mean(healthy[0] > 0))
    assert np.median(found.diameters) == pytest.approx(20, rel=0.03)
    assert found.circularity == pytest.approx(1, abs=0.08)
    assert found.aspect == pytest.approx(1, abs=0.02)
    assert found.spacing == pytest.approx(1.5, rel=0.03)
    assert (found.touching, found.branches) == (0, 0)
    assert (found.holes, found.specks, found.merged, found.twice) == (0, 0, 0, 0)
    assert found.offset == (0, 0)


def test_a_branching_object_has_branch_points_and_a_disc_has_none():
    branching = np.zeros((80, 80), np.int32)
    branching[36:44, 5:75] = 1
    branching[5:75, 36:44] = 1
    assert branch_points(branching, 20.0) >= 1
    assert branch_points(beads(), 20.0) == 0


def test_holes_are_counted_but_not_the_gaps_between_beads(healthy):
    labels = healthy[0].copy()
    for y, x in AT[:7]:
        labels[y - 1 : y + 2, x - 1 : x + 2] = 0
    assert count_holes(labels, 300.0) == 7
    ring = beads(10, [(40, 40), (40, 59), (56, 50)], 100)  # a gap between three
    assert count_holes(ring, 300.0) == 0


def test_specks_are_counted(healthy):
    labels = healthy[0].copy()
    labels[5, 5], labels[5, 35:37] = 100, 101
    assert measure_mask(labels, healthy[1]).specks == 2


def test_beads_under_one_id_are_merged_or_used_twice(healthy):
    touching = beads(10, [(40, 40), (40, 59), (80, 40), (120, 40), (120, 120)])
    touching[touching == 2] = 1
    found = measure_mask(touching, picture(touching))
    assert (found.merged, found.twice) == (1, 0)
    labels = healthy[0].copy()
    labels[labels == 25] = 1
    labels[labels == 24] = 2
    assert measure_mask(labels, healthy[1]).twice == 2


@pytest.mark.parametrize("move", [(0, 0), (3, 0), (-2, 4)])
def test_a_shifted_mask_is_moved_back_to_the_slopes(healthy, move):
    labels, image = healthy
    shifted = np.roll(labels, [-move[0], -move[1]], (0, 1))
    offset, gain = find_offset(shifted, image, 20.0)
    assert offset == pytest.approx(move, abs=1)
    assert (gain > 1.5) == any(move)


def test_outlines_drawn_too_wide_are_no_shift(healthy):
    _, image = healthy
    _, gain = find_offset(beads(13), image, 20.0)
    assert gain < 1.15


def test_touching_is_the_share_of_beads_with_a_neighbour():
    labels = beads(10, [(40, 40), (40, 61), (120, 40), (120, 120)])
    assert measure_mask(labels, picture(labels)).touching == 0.5


def test_unknown_pixels_are_neither_bead_nor_background(healthy):
    labels = healthy[0].copy()
    labels[:80] = np.where(labels[:80] > 0, labels[:80], -1)
    found = measure_mask(labels, healthy[1])
    assert found.known < 0.8
    assert found.coverage == pytest.approx(np.mean(labels > 0) / np.mean(labels >= 0))


@pytest.mark.parametrize("value, objects", [(0, 0), (-1, 0), (1, 1)])
def test_empty_unknown_and_full_masks_are_measured(value, objects):
    labels = np.full((64, 64), value, np.int32)
    found = measure_mask(labels, np.random.default_rng(0).random((64, 64)))
    assert found.objects == objects
    assert found.full == (value == 1)


def test_damaged_masks_are_measured_without_trouble(healthy):
    rng = np.random.default_rng(0)
    table = np.zeros(0, [("label", int)])
    for kind in ("erode", "dilate", "shift"):
        labels = damage_labels(kind, 3, healthy[0], table, rng)
        assert measure_mask(labels, healthy[1]).objects == len(AT)


@pytest.mark.parametrize("radius", [4, 5, 6, 8])
def test_outlines_drawn_too_narrow_are_no_shift(radius):
    rng = np.random.default_rng(0)
    light = ndimage.gaussian_filter(80.0 * (beads(10) > 0), 1.0)
    image = light + rng.normal(0, 4, light.shape)
    _, gain = find_offset(beads(radius), image, 2.0 * radius)
    assert gain < 1.15
