"""Beads from maps: touching ones come apart, single ones stay whole."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from beadseg.data.masks.instances import find_beads, find_beads_blockwise
from beadseg.data.targets import distance

DIAMETER = 24


def discs(shape, centres, radius=DIAMETER / 2):
    """Labels 1..N of discs; a pixel of two belongs to the nearer centre."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    away = np.array([np.hypot(y - cy, x - cx) for cy, cx in centres])
    return np.where(away.min(0) <= radius, away.argmin(0) + 1, 0).astype(np.int32)


def maps(labels, rng=None, noise=0.0):
    """What a network says that has learnt its targets, but for a blur and noise."""
    found = []
    for target in (labels > 0, np.maximum(distance(labels), 0)):
        soft = ndimage.gaussian_filter(target.astype(np.float32), 1.0)
        if noise:
            # As rough as the receptive fields of neighbours let it be.
            grain = ndimage.gaussian_filter(rng.normal(size=labels.shape), 1.5)
            soft += noise * grain / grain.std()
        found.append(np.clip(soft, 0, 1).astype(np.float32))
    return found


@pytest.mark.parametrize("learned", [True, False], ids=["distance", "mask"])
class TestBothWays:
    def find(self, labels, learned, **options):
        probability, depth = maps(labels)
        return find_beads(probability, depth if learned else None, **options)

    @pytest.mark.parametrize("apart", [1.2, 1.05, 1.0, 0.9, 0.85])
    def test_two_beads_come_apart(self, learned, apart):
        for angle in np.linspace(0, np.pi, 5):
            step = apart * DIAMETER * np.array([np.sin(angle), np.cos(angle)])
            centres = np.array([[50, 50] - step / 2, [50, 50] + step / 2])
            found = self.find(discs((100, 100), centres), learned)
            assert found.max() == 2
            at = found[tuple(np.rint(centres).astype(int).T)]
            assert set(at) == {1, 2}

    @pytest.mark.parametrize("diameter", [14, 24, 48])
    def test_one_bead_stays_one_at_the_border_too(self, learned, diameter):
        for centre in ((50, 50), (50, 3), (2, 98), (50.5, 99.5)):
            labels = discs((100, 100), [centre], diameter / 2)
            assert self.find(labels, learned).max() == 1

    def test_a_dense_packing_is_counted_exactly(self, learned):
        columns = np.arange(18, 240, 24.0)
        rows = 18 + 24 * np.sqrt(3) / 2 * np.arange(10)
        centres = [(y, x + 12 * (i % 2)) for i, y in enumerate(rows) for x in columns]
        labels = discs((240, 270), centres)
        found = self.find(labels, learned)
        assert found.max() == labels.max() == len(centres)

    def test_specks_are_no_beads_and_holes_in_beads_are_filled(self, learned):
        labels = discs((100, 100), [(50, 50)])
        probability, depth = maps(labels)
        probability[10:12, 10:12] = 0.9
        probability[49:52, 49:51] = 0.1
        found = find_beads(probability, depth if learned else None)
        assert found.max() == 1
        assert found[11, 11] == 0 and found[50, 50] == 1

    def test_no_bead_and_nothing_but_bead(self, learned):
        nothing = np.zeros((40, 50), np.float32)
        assert self.find(nothing.astype(np.int32), learned).max() == 0
        found = find_beads(nothing + 1, nothing + 1 if learned else None)
        np.testing.assert_array_equal(found, 1)

    @given(seed=st.integers(0, 2**32 - 1), block=st.integers(20, 130))
    @settings(max_examples=15, deadline=None)
    def test_blocks_give_what_the_whole_gives(self, learned, seed, block):
        rng = np.random.default_rng(seed)
        shape = tuple(rng.integers(30, 130, 2))
        labels = discs(shape, rng.uniform(0, 130, (rng.integers(1, 60), 2)), 5)
        probability, depth = maps(labels, rng, 0.1)
        read_depth = (lambda rows, columns: depth[rows, columns]) if learned else None
        whole = find_beads(probability, depth if learned else None, diameter=10)
        found = np.zeros(shape, np.int32)
        count = find_beads_blockwise(
            lambda rows, columns: probability[rows, columns],
            read_depth,
            found,
            diameter=10,
            block=block,
        )
        assert count == whole.max()
        np.testing.assert_array_equal(found, whole)


def test_noise_splits_no_bead():
    rng = np.random.default_rng(0)
    centres = [(y, x) for y in range(20, 300, 30) for x in range(20, 300, 30)]
    labels = discs((310, 310), centres)
    for noise in (0.02, 0.05):
        probability, depth = maps(labels, rng, noise)
        assert find_beads(probability, depth).max() == len(centres)
