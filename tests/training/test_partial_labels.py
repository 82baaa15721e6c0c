import jax
import numpy as np
import pytest

from beadseg.data.generated.write import write_generated
from beadseg.data.masks.points import discs
from beadseg.errors import BeadsegError
from beadseg.training.loop import train
from beadseg.training.partial_labels import (
    KnownCompleteness,
    audit_tiles,
    counted_images,
    known_labels,
    method_of,
)
from beadseg.training.weights import read_weights

SIDE = 300
RADIUS = 5.0


class Record:
    """What `known_labels` looks at."""

    def __init__(self, image, completeness=None, has_mask=True):
        self.image, self.completeness, self.has_mask = image, completeness, has_mask


def look_up(config, records, truth=True):
    """All are trained on."""
    return known_labels(config, records, range(len(records)), truth)


def test_validation_counts_complete_masks_where_there_are_some():
    known = KnownCompleteness({"a": 1.0, "b": 0.5}, 0.6)
    shares, sentence = counted_images(["a", "b", "c"], known)
    assert shares == {"a": 1.0}
    assert sentence == "on the 1 complete masks of 3"


def test_validation_is_corrected_for_what_is_told_and_estimated():
    shares, sentence = counted_images(["b", "c"], KnownCompleteness({"b": 0.5}, 0.7))
    assert shares == {"b": 0.5, "c": 0.7}
    assert sentence == "corrected for masks that are 60 % complete, as estimated"
    shares, sentence = counted_images(["a"], KnownCompleteness({}, None))
    assert shares == {"a": 1.0} and sentence == "on known pixels"


def test_what_is_told_decides_whether_masks_are_judged(tiny):
    tiny.data.dir = "some"
    known = look_up(tiny, [Record("a", 1.0), Record("b", 0.5)])
    assert known.given == {"a": 1.0, "b": 0.5}
    assert not known.audited and known.method == "forward_bce"
    assert look_up(tiny, [Record("a", 1.0)]).method is None
    assert look_up(tiny, [Record("a")]).audited == (0,)
    tiny.partial.completeness = 0.4
    assert look_up(tiny, [Record("a"), Record("b", 0.5)]).given == {"a": 0.4, "b": 0.5}
    tiny.partial.method = "none"
    assert look_up(tiny, [Record("a")]).method is None


def test_generated_masks_are_known_to_be_complete_unless_damaged(tiny):
    assert look_up(tiny, [Record("a")]).method is None
    damaged = look_up(tiny, [Record("a")], False)
    assert damaged.audited and damaged.given_of_truth == {"a": 1.0}


@pytest.mark.parametrize("method", ["magic", "dice"])
def test_a_method_that_takes_no_completeness_is_refused(tiny, method):
    tiny.partial.method = method
    with pytest.raises(BeadsegError, match=f"{method}.*auto, none, forward_bce"):
        method_of(tiny)


def test_a_completeness_that_is_no_share_is_refused(tiny):
    tiny.partial.completeness = 1.5
    with pytest.raises(BeadsegError, match=r"completeness = 1.5.*at most 1"):
        look_up(tiny, [])


def test_masks_that_only_validate_need_no_audit(tiny):
    """Of training on the masks of one image, with the completeness of that given."""
    tiny.data.dir = "some"
    records = [Record("a", 1.0), Record("b")]
    assert not known_labels(tiny, records, [0], True).audited
    assert known_labels(tiny, records, [1], True).audited == (1,)


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
@pytest.mark.parametrize("pieces", [0, 3])
def test_beads_of_many_sizes_are_not_taken_for_several(share, pieces):
    rng, found = np.random.default_rng(1), []
    for _ in range(6):
        radii = np.exp(rng.uniform(np.log(4), np.log(32), 16))
        at = np.stack(np.meshgrid(*[np.arange(38, 300, 75)] * 2), -1).reshape(-1, 2)
        y, x = np.indices((SIDE, SIDE))
        away = np.hypot(y - at[:, 0, None, None], x - at[:, 1, None, None])
        inside = away <= radii[:, None, None]
        beads = np.where(inside.any(0), 1 + inside.argmax(0), 0)
        sure = np.concatenate([[0.02], rng.beta(8, 1, len(at))])[beads]
        for dy, dx in rng.integers(0, SIDE, (pieces, 2)):  # cracks in large ones
            sure[dy : dy + 2] = np.minimum(sure[dy : dy + 2], 0.1)
            sure[:, dx : dx + 2] = np.minimum(sure[:, dx : dx + 2], 0.1)
        kept = np.concatenate([[False], rng.random(len(at)) < share])
        found.append((sure, np.where(kept[beads], beads, 0)))
    labelled = np.mean([len(np.unique(m)) - 1 for _, m in found]) / 16
    assert audit_tiles(found).completeness == pytest.approx(labelled, abs=0.06)


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


@pytest.mark.slow
def test_masks_found_complete_change_not_a_bit_and_told_gaps_are_said(tiny, tmp_path):
    folder = tmp_path / "data"
    write_generated(folder, count=4, size=64)
    tiny.data.dir, tiny.data.cache_dir = str(folder), str(tmp_path / "cache")
    tiny.train.epochs, tiny.train.steps_per_epoch = 2, 2
    tiny.partial.enough = 0.0  # so short a run finds nothing complete
    outcomes = {}
    for name, changes in {
        "auto": {},
        "none": {"partial.method": "none"},
        "told": {"partial.completeness": 0.5, "partial.enough": 0.9},
    }.items():
        config = tiny.copy_and_resolve_references()
        config.update_from_flattened_dict(changes)
        summary = train(config, tmp_path / name, name)
        weights = read_weights(tmp_path / name / "weights.npz").params
        outcomes[name] = summary, jax.tree.leaves(weights)
    for one, other in zip(outcomes["auto"][1], outcomes["none"][1], strict=True):
        np.testing.assert_array_equal(one, other)
    assert outcomes["none"][0]["validation"] == "on known pixels"
    assert outcomes["auto"][0]["completeness"] == 1.0
    told = outcomes["told"][0]
    assert told["completeness"] == 0.5
    assert told["validation"] == "corrected for masks that are 50 % complete, as given"
