import jax
import numpy as np
import pytest

from beadseg.data.generated.write import write_generated
from beadseg.errors import BeadsegError
from beadseg.training.completeness import (
    Completeness,
    gaps,
    judge,
    method_of,
)
from beadseg.training.loop import train
from beadseg.training.weights import read_weights


class Record:
    """What `gaps` looks at."""

    def __init__(self, image, completeness=None, has_mask=True):
        self.image, self.completeness, self.has_mask = image, completeness, has_mask


def test_validation_counts_complete_masks_where_there_are_some():
    known = Completeness({"a": 1.0, "b": 0.5}, 0.6)
    shares, sentence = judge(["a", "b", "c"], known)
    assert shares == {"a": 1.0}
    assert sentence == "on the 1 complete masks of 3"


def test_validation_is_corrected_for_what_is_told_and_estimated():
    shares, sentence = judge(["b", "c"], Completeness({"b": 0.5}, 0.7))
    assert shares == {"b": 0.5, "c": 0.7}
    assert sentence == "corrected for masks that are 60% complete, as estimated"
    shares, sentence = judge(["a"], Completeness({}, None))
    assert shares == {"a": 1.0} and sentence == "on known pixels"


def test_what_is_told_decides_whether_masks_are_judged(tiny):
    tiny.data.dir = "some"
    known = gaps(tiny, [Record("a", 1.0), Record("b", 0.5)], True)
    assert known.told == {"a": 1.0, "b": 0.5}
    assert not known.audited and known.method == "likelihood"
    assert gaps(tiny, [Record("a", 1.0)], True).method is None
    assert gaps(tiny, [Record("a")], True).audited
    tiny.partial.completeness = 0.4
    assert gaps(tiny, [Record("a"), Record("b", 0.5)], True).told == {
        "a": 0.4,
        "b": 0.5,
    }
    tiny.partial.method = "none"
    assert gaps(tiny, [Record("a")], True).method is None


def test_generated_masks_are_known_to_be_complete_unless_damaged(tiny):
    assert gaps(tiny, [Record("a")], True).method is None
    damaged = gaps(tiny, [Record("a")], False)
    assert damaged.audited and damaged.told_of_truth == {"a": 1.0}


@pytest.mark.parametrize("method", ["magic", "dice"])
def test_a_method_that_takes_no_completeness_is_refused(tiny, method):
    tiny.partial.method = method
    with pytest.raises(BeadsegError, match=f"{method}.*auto, none, likelihood"):
        method_of(tiny)


def test_a_completeness_that_is_no_share_is_refused(tiny):
    tiny.partial.completeness = 1.5
    with pytest.raises(BeadsegError, match=r"completeness = 1.5.*at most 1"):
        gaps(tiny, [], True)


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
    assert told["validation"] == "corrected for masks that are 50% complete, as told"
