"""Beads of validation: counts known beforehand, bounded choice of tiles."""

import numpy as np
import pytest

from beadseg.data.targets import distance
from beadseg.matching import Counts
from beadseg.training import beads
from beadseg.training.beads import TileBeads
from tests.tiny import record_of

DIAMETER = 17.0
OPTIONS = {"diameter": DIAMETER}


def discs(count: int, radius: float = 8.0, side: int = 160) -> np.ndarray:
    """Labels of up to 49 discs on a grid."""
    y, x = np.indices((side, side))
    labels = np.zeros((side, side), np.int32)
    for n in range(count):
        cy, cx = 12 + 22 * (n // 7), 12 + 22 * (n % 7)
        labels[(y - cy) ** 2 + (x - cx) ** 2 <= radius**2] = n + 1
    return labels


def seen(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Maps of a network that sees these beads."""
    return (labels > 0).astype(np.float32), np.maximum(distance(labels), 0)


def compare(labels, predicted, image="a", marks=None) -> TileBeads:
    return beads.compare(image, labels, *seen(predicted), 0.5, OPTIONS, marks)


def record(image: str, beads_in_image: int, tile: int = 0, side: int = 100):
    return record_of(image, tile, side, beads=beads_in_image)


def test_what_the_network_sees_is_found_and_counted():
    truth, missing = discs(40), discs(30)
    perfect = beads.add_up([compare(truth, truth)], {"a": 1.0}).numbers()
    assert perfect["f1"] == 1 and perfect["count_error"] == 0
    assert perfect["diameter_error"] == 0
    assert perfect["beads"] == perfect["predicted_beads"] == 40
    short = beads.add_up([compare(truth, missing)], {"a": 1.0}).numbers()
    assert short["bead_recall"] == 30 / 40 and short["bead_precision"] == 1
    assert short["f1"] == pytest.approx(2 * 30 / (30 + 40))
    assert short["count_error"] == 10 / 40


def test_smaller_beads_have_a_diameter_error():
    found = beads.add_up([compare(discs(20), discs(20, 7.0))], {"a": 1.0}).numbers()
    areas = [(discs(1, r) > 0).sum() for r in (7.0, 8.0)]
    assert found["diameter_error"] == pytest.approx(np.sqrt(areas[0] / areas[1]) - 1)


def test_missing_the_beads_of_an_image_is_no_error_of_their_size():
    """A median over images of other sizes would tell which of them were found."""
    small, large = discs(40, 4.0), discs(20)
    tiles = [compare(small, discs(5, 4.0), "small"), compare(large, large, "large")]
    found = beads.add_up(tiles, {"small": 1.0, "large": 1.0}).numbers()
    assert found["diameter_error"] == 0 and found["count_error"] > 0.4


def test_sums_are_pooled_and_divided_once():
    """Tiles of an image are one image; a mean of the ratios would be another number."""
    none = np.zeros(0)
    tiles = [
        TileBeads("dense", Counts(90, 0, 0, 90.0), none, none),
        TileBeads("dense", Counts(0, 10, 0, 0.0), none, none),
        TileBeads("thin", Counts(1, 0, 3, 1.0), none, none),
    ]
    sums = beads.add_up(tiles, {"dense": 1.0, "thin": 1.0})
    assert sums.f1 == 2 * 91 / (101 + 94)
    assert sums.images == 2
    assert sums.numbers()["count_error"] == pytest.approx((10 / 90 + 3 / 4) / 2)
    assert sums.numbers()["diameter_error"] is None


def test_a_perfect_network_is_perfect_on_half_a_mask_and_an_imitator_is_not():
    truth = discs(40)
    half = np.where(truth % 2 == 1, truth, 0)
    perfect = beads.add_up([compare(half, truth)], {"a": 0.5}).numbers()
    assert perfect["f1"] == 1 and perfect["count_error"] == 0
    imitator = beads.add_up([compare(half, half)], {"a": 0.5}).numbers()
    assert imitator["f1"] == pytest.approx(2 * 20 / (20 + 40))
    assert imitator["count_error"] == 0.5


def test_marks_are_truth_for_centres_not_for_edges():
    """Discs half as wide as the beads have an IoU of 0.25 with them."""
    truth, marks = discs(40), discs(40, 4.0)
    outlines = beads.add_up([compare(marks, truth)], {"a": 1.0}).numbers()
    assert outlines["f1"] == 0
    found = beads.add_up([compare(marks, truth, marks=DIAMETER)], {"a": 1.0})
    assert found.f1 == 1 and found.numbers()["diameter_error"] is None
    shifted = np.roll(marks, 12, 1)
    found = beads.add_up([compare(shifted, truth, marks=DIAMETER)], {"a": 1.0})
    assert found.f1 < 0.1


def test_unknown_pixels_count_neither_for_nor_against():
    truth = discs(40)
    known = np.where(truth > 30, -1, truth)
    found = beads.add_up([compare(known, truth)], {"a": 1.0}).numbers()
    assert found["f1"] == 1 and found["beads"] == found["predicted_beads"] == 30


def test_nothing_where_nothing_is_is_right():
    empty = np.zeros((64, 64), np.int32)
    found = beads.add_up([compare(empty, empty)], {"a": 1.0}).numbers()
    assert found["f1"] == found["bead_precision"] == found["bead_recall"] == 1
    assert found["count_error"] == 0 and found["diameter_error"] is None


def test_tiles_are_bounded_and_over_the_range_of_densities():
    records = [record(f"i{n:02d}", 10 * n, t) for n in range(20) for t in range(3)]
    images = {r.image for r in records}
    chosen = beads.choose_tiles(records, range(60), images, 50_000)
    assert sum(np.prod(records[i].shape) for i in chosen) <= 50_000
    counts = sorted(records[i].beads for i in chosen)
    assert len(set(counts)) == 5 and counts[0] == 0 and counts[-1] == 190


def test_few_images_give_several_tiles_each():
    records = [record(f"i{n}", n, t) for n in range(3) for t in range(9)]
    chosen = beads.choose_tiles(records, range(27), {"i0", "i1", "i2"}, 120_000)
    assert len(chosen) == 12
    assert {sum(records[i].image == f"i{n}" for i in chosen) for n in range(3)} == {4}


def test_the_order_of_records_does_not_matter_and_only_what_counts_is_taken():
    records = [record(f"i{n}", n % 5, t) for n in range(8) for t in range(4)]
    counted = {f"i{n}" for n in range(6)}
    order = np.random.default_rng(0).permutation(len(records))
    shuffled = [records[i] for i in order]
    one, other = (
        {some[i].name for i in beads.choose_tiles(some, range(32), counted, 90_000)}
        for some in (records, shuffled)
    )
    assert one == other
    assert {name.split("@")[0] for name in one} <= counted
    assert len(beads.choose_tiles(records, range(32), counted, 1)) == 1
