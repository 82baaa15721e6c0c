"""Scores against masks that lack beads: expected ones, against brute force."""

import numpy as np
import pytest

from beadseg.errors import BeadsegError
from beadseg.inference.scores.evaluation import metrics, pool, score
from beadseg.inference.scores.incomplete import expected, known_shares

SHARE = 0.6


def discs(count=400, radius=5.0, step=14):
    side = int(np.sqrt(count))
    y, x = np.indices((step * side, step * side))
    labels = np.zeros(y.shape, np.int32)
    for n in range(count):
        cy, cx = step * (n // side) + step / 2, step * (n % side) + step / 2
        labels[(y - cy) ** 2 + (x - cx) ** 2 <= radius**2] = n + 1
    return labels


def without(labels, share, rng):
    kept = rng.random(labels.max() + 1) < share
    kept[0] = False
    return np.where(kept[labels], labels, 0)


def test_the_expected_score_is_that_against_the_whole_mask():
    """A prediction of 80 % of the beads, with as many false ones again by half."""
    rng = np.random.default_rng(0)
    truth = discs()
    predicted = without(truth, 0.8, rng)
    predicted[:, :56] = np.roll(predicted, 7, 0)[:, :56]  # a fifth lies beside
    whole = metrics(score(truth, None, predicted))
    short = [
        expected(score(without(truth, SHARE, rng), None, predicted), SHARE)
        for _ in range(20)
    ]
    found = metrics(pool(short))
    for key in ("jaccard", "dice", "boundary_f1", "count_error"):
        assert found[key] == pytest.approx(whole[key], abs=0.03), key
    for key in ("precision", "recall", "f1", "ap", "pq"):
        assert found[key][0] == pytest.approx(whole[key][0], abs=0.03), key
    assert found["detection"]["f1"] == pytest.approx(whole["detection"]["f1"], abs=0.03)
    for kind in ("false_negative", "false_positive"):
        mean = found["errors"][kind] / len(short)
        assert mean == pytest.approx(whole["errors"][kind], rel=0.15, abs=4), kind


def test_who_imitates_the_gaps_is_not_rewarded():
    truth = discs()
    half = np.where(truth % 2 == 1, truth, 0)
    perfect = metrics(expected(score(half, None, truth), 0.5))
    imitator = metrics(expected(score(half, None, half), 0.5))
    assert perfect["f1"][0] == 1 and perfect["count_error"] == 0
    assert perfect["jaccard"] == pytest.approx(1, abs=0.01)
    assert imitator["f1"][0] == pytest.approx(2 / 3)
    assert imitator["jaccard"] == pytest.approx(0.5, abs=0.01)
    assert imitator["count_error"] == pytest.approx(-0.5)


def test_complete_masks_change_nothing():
    truth = discs(25)
    found = score(truth, None, truth)
    assert expected(found, 1.0) is found


@pytest.mark.parametrize("share", [0.0, -1.0, 1.5, float("nan")])
def test_a_completeness_that_is_no_share_is_one_line(tmp_path, share):
    with pytest.raises(BeadsegError, match="--completeness .*: give a share"):
        known_shares(tmp_path, [], share)
