import numpy as np
import pytest

from beadseg.data.masks.beads import number_beads


@pytest.mark.parametrize("top", [1, 5, 300, 2**40])
def test_numbers_are_the_ranks_of_the_labels_whatever_their_size(top):
    rng = np.random.default_rng(top)
    labels = rng.integers(-1, top + 1, (40, 50))
    ids, index = number_beads(labels)
    beads = np.unique(labels[labels > 0])
    assert index.dtype == np.int32
    assert index.max() == len(ids) == len(beads)
    for number, label in enumerate(beads, 1):
        np.testing.assert_array_equal(index == number, labels == label)


def test_a_map_without_beads_has_no_numbers():
    for labels in (np.zeros((3, 4), int), np.full((3, 4), -1)):
        ids, index = number_beads(labels)
        assert not len(ids) and not index.any()
