"""How the scores of beads are fitted: what is right, and that a score is its share."""

import numpy as np
import pytest
from scipy.special import expit

from beadseg.inference.pyramid import bead_scores
from tests.bench import fit_scores as scores
from tests.inference import played

SHAPE = (160, 160)


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_overlap_is_the_largest_iou_with_a_true_bead(scale):
    level = played.level(SHAPE, scale, [(40, 40, 40), (100, 100, 20), (20, 130, 16)])
    truth = played.level(SHAPE, 1.0, [(40, 50, 40), (100, 100, 40)]).labels
    found = scores.overlap(level, truth)
    true = played.level(SHAPE, scale, [(40, 50, 40), (100, 100, 40)]).labels
    for label in (1, 2, 3):
        region = level.labels == label
        best = max(
            (region & (true == t)).sum() / (region | (true == t)).sum() for t in (1, 2)
        )
        assert found[label] == pytest.approx(best, abs=0.05)
    assert found[3] == 0


def test_a_fitted_score_is_the_share_that_is_right():
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, (20_000, 3)).astype(np.float32)
    share = expit(2 * x[:, 0] - x[:, 1] ** 2)
    right = rng.random(len(x)) < share
    net = scores.fit(x, right, np.ones(len(x), np.float32), 0)
    found = bead_scores.mean_of([net], x)
    for low in np.arange(0, 1, 0.2):
        some = (found >= low) & (found < low + 0.2)
        assert found[some].mean() == pytest.approx(share[some].mean(), abs=0.05)


def test_what_is_saved_is_what_is_read(tmp_path):
    rng = np.random.default_rng(1)
    names = ("w0", "b0", "w1", "b1", "w2", "b2", "mean", "spread")
    nets = {
        kind: [{n: rng.random(3, np.float32) for n in names} for _ in range(2)]
        for kind in bead_scores.KINDS
    }
    scores.save(nets, tmp_path / "scores.npz")
    again = bead_scores.networks(tmp_path / "scores.npz")
    for kind, members in nets.items():
        for one, other in zip(members, again[kind], strict=True):
            for name in names:
                np.testing.assert_array_equal(one[name], other[name])


def test_drawn_images_hold_empty_fields_and_beads_of_many_sizes():
    drawn = [scores.draw(index) for index in range(40)]
    assert sum(len(image.beads) == 0 for image in drawn) >= 2
    sizes = np.concatenate([2 * image.beads["radius"] for image in drawn])
    assert sizes.min() < 8 and sizes.max() > 100
    assert scores.draw(3).image.tobytes() == drawn[3].image.tobytes()


def test_wide_images_hold_beads_of_two_or_many_sizes():
    drawn = [scores.draw(index, scores.SEED + 1, wide=True) for index in range(20)]
    of_some = [i.beads["radius"] for i in drawn if len(i.beads) >= 5]
    ratio = [radius.max() / radius.min() for radius in of_some]
    assert len(ratio) >= 5 and np.median(ratio) > 3
