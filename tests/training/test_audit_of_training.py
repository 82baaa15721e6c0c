import numpy as np
import pytest

from beadseg.data.masks.points import discs
from beadseg.training.audit import audit_tiles

SIDE = 300
RADIUS = 5.0


def tiles(share, *, of_labels=False, mark=RADIUS, shift=0.0, seed=0):
    """What a network says of four fields of which a share of the beads is labelled."""
    rng, found = np.random.default_rng(seed), []
    for _ in range(4):
        grid = np.stack(np.meshgrid(*[np.arange(20, 290, 20)] * 2), -1).reshape(-1, 2)
        at = (grid + rng.uniform(-3, 3, grid.shape)).astype(np.float32)
        labelled = at[rng.random(len(at)) < share]
        beads = discs(at, 2 * RADIUS, (SIDE, SIDE))
        sure = np.concatenate([[0.02], rng.beta(8, 1, len(at))])[beads]
        probability = np.where(beads > 0, sure * (share if of_labels else 1), sure)
        found.append((probability, discs(labelled + shift, 2 * mark, (SIDE, SIDE))))
    return found


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("of_labels", [False, True])
def test_completeness_is_the_share_of_beads_that_is_labelled(share, of_labels):
    found = audit_tiles(tiles(share, of_labels=of_labels))
    assert found.completeness == pytest.approx(share, abs=0.05)
    assert found.sharp


@pytest.mark.parametrize("share", [0.5, 1.0])
@pytest.mark.parametrize(("mark", "shift"), [(2.0, 0), (2.6, 2.0), (8.0, 0)])
def test_marks_thin_thick_or_beside_their_beads_are_as_complete(share, mark, shift):
    found = audit_tiles(tiles(share, mark=mark, shift=shift))
    assert found.completeness == pytest.approx(share, abs=0.06)


def test_a_network_that_takes_much_else_for_beads_cannot_judge_yet():
    found = [(p, np.where(labels <= 40, labels, 0)) for p, labels in tiles(1.0)]
    assert audit_tiles(found).sharp  # they look like beads in all
    for p, labels in found:
        p[(labels == 0) & (p > 0.1)] = 0.5
    doubtful = audit_tiles(found)
    assert doubtful.completeness > 0.9 and not doubtful.sharp


def test_what_is_unknown_is_not_missing():
    found = [(p, np.where(labels > 60, -1, labels)) for p, labels in tiles(1.0)]
    assert audit_tiles(found).completeness == 1.0


def test_masks_without_a_bead_say_nothing():
    empty = [(p, np.zeros_like(labels)) for p, labels in tiles(1.0)]
    assert audit_tiles(empty).completeness == 1.0
    assert not audit_tiles(empty).sharp
