import numpy as np
import pytest
from scipy import ndimage

from beadseg.data.masks.points import discs
from beadseg.inference.estimate import Estimate
from beadseg.partial.agreement import agree, pairs
from beadseg.partial.alignment import find_move

SIDE = 400
RADIUS = 4.0


@pytest.fixture(scope="module")
def centres():
    """f32[150, 2] of a field of beads that do not overlap."""
    rng, kept = np.random.default_rng(5), []
    while len(kept) < 150:
        at = rng.uniform(20, SIDE - 20, 2)
        if all(np.hypot(*(at - other)) > 11 for other in kept):
            kept.append(at)
    return np.array(kept, np.float32)


def seen(centres, scores=1.0) -> Estimate:
    labels = discs(centres, 2 * RADIUS, (SIDE, SIDE))
    scores = np.broadcast_to(np.float32(scores), len(centres))
    across = np.full(len(centres), 2 * RADIUS, np.float32)
    return Estimate(len(centres), 2 * RADIUS, 0.0, centres, across, scores, labels)


def photograph(centres, contrast=-50.0) -> np.ndarray:
    """Dark beads, each of its contrast."""
    labels = discs(centres, 2 * RADIUS, (SIDE, SIDE))
    values = np.concatenate([[0.0], np.broadcast_to(contrast, len(centres))])
    return ndimage.gaussian_filter(200 + values[labels], 0.8)


def moved(centres, kind: str) -> np.ndarray:
    """Where marks lie that were drawn on another grid."""
    away = centres - SIDE / 2
    turned = np.deg2rad(1.5)
    turn = [[np.cos(turned), -np.sin(turned)], [np.sin(turned), np.cos(turned)]]
    return {
        "nothing": centres,
        "shifted": centres + (6, -5),
        "enlarged": centres + 0.04 * away,
        "turned": SIDE / 2 + away @ np.array(turn).T,
    }[kind].astype(np.float32)


@pytest.mark.parametrize(
    ("kind", "radius", "kept"),
    [
        ("nothing", 1.5, 1.0),
        ("nothing", 6.0, 0.5),
        ("shifted", 2.6, 0.5),
        ("enlarged", 1.5, 1.0),
        ("enlarged", 2.6, 0.2),
        ("turned", 6.0, 1.0),
    ],
)
def test_marks_thin_thick_and_beside_their_beads_are_as_complete_as_they_are(
    centres, kind, radius, kept
):
    marks = moved(centres, kind)[: round(kept * len(centres))]
    mask = discs(marks, 2 * radius, (SIDE, SIDE))
    found = seen(centres)
    agreement = agree(photograph(centres), mask, found)
    assert agreement.completeness(found.scores) == pytest.approx(kept, abs=0.02)
    assert (agreement.shift() > 3) == (kind != "nothing")


def test_a_move_is_that_of_the_marks(centres):
    for kind in ("shifted", "enlarged", "turned"):
        move = find_move(moved(centres, kind), centres, 2 * RADIUS, (SIDE, SIDE))
        assert np.abs(move(centres) - moved(centres, kind)).max() < 0.2


def test_the_mask_of_another_field_lies_on_no_beads():
    rng = np.random.default_rng(0)
    for count in (10, 40, 150, 500):
        beads, marks = rng.uniform(0, SIDE, (2, count, 2)).astype(np.float32)
        assert find_move(marks, beads, 2 * RADIUS, (SIDE, SIDE)) is None


def test_halos_and_faint_spots_are_no_missing_beads(centres):
    """Of 150 things seen, 100 are dark and labelled, 25 bright, and 25 next to none."""
    contrast = np.repeat([-50.0, 30.0, -4.0], [100, 25, 25])
    found = seen(centres, 0.6)
    mask = discs(centres[:100], 5.0, (SIDE, SIDE))
    agreement = agree(photograph(centres, contrast), mask, found)
    assert agreement.completeness(found.scores) == 1.0
    half = discs(centres[:50], 5.0, (SIDE, SIDE))
    agreement = agree(photograph(centres, contrast), half, found)
    assert agreement.completeness(found.scores) == pytest.approx(0.5)


def test_a_pair_is_one_mark_and_one_bead():
    """The first bead has a mark, the second two, and a mark lies on two others."""
    beads = [(50, 50), (50, 100), (100, 50), (100, 58), (150, 50)]
    found = discs(np.array(beads, np.float32), 8, (200, 200))
    mask = np.zeros((200, 200), np.int32)
    mask[48:53, 48:53] = 7
    mask[48:53, 97:100], mask[48:53, 101:104] = 8, 9
    mask[98:103, 48:61] = 11
    ((label, diameter),) = pairs(mask, found)
    assert label == 7
    assert diameter == pytest.approx(8, abs=0.5)
