"""Tests of matching: against brute force, closed forms and hand-computed metrics."""

import itertools

import numpy as np
import pytest
from scipy import ndimage

from beadseg.matching import (
    MIN_IOUS,
    Counts,
    average_precision,
    centroids,
    errors,
    f1,
    match,
    match_points,
    overlaps,
    panoptic_quality,
    precision,
    recall,
    total,
)


def brute_iou(truth, predicted):
    """IoU on known pixels of every pair, and the predictions mostly on unknown ones."""
    known = truth != -1
    pairs, doubtful = {}, set()
    for p in set(predicted[predicted > 0].tolist()):
        of_p = predicted == p
        if (of_p & ~known).sum() > of_p.sum() / 2:
            doubtful.add(p)
        for t in set(truth[truth > 0].tolist()):
            both = ((truth == t) & of_p).sum()
            pairs[t, p] = both / (((truth == t) | of_p) & known).sum()
    return pairs, doubtful


def brute_best(weights, rows, columns):
    """The most pairs, then the highest sum, over every one-to-one assignment."""
    best = (0, 0.0)
    few, many = sorted((rows, columns), key=len)
    flip = len(rows) > len(columns)
    for chosen in itertools.permutations(many, len(few)):
        pairs = list(zip(few, chosen, strict=True))
        scores = [weights[(b, a) if flip else (a, b)] for a, b in pairs]
        scores = [s for s in scores if s is not None]
        best = max(best, (len(scores), sum(scores)))
    return best


def discs(shift=0, shape=(100, 360), radius=25):
    y, x = np.indices(shape)
    labels = np.zeros(shape, np.int32)
    for label, centre in enumerate((60, 120, 180, 240, 300), 1):
        labels[(y - 50) ** 2 + (x - centre - shift) ** 2 <= radius**2] = label
    return labels


@pytest.mark.parametrize("min_iou", [0.05, 0.2, 0.5])
def test_matching_is_the_best_of_all_assignments(min_iou):
    rng = np.random.default_rng(int(100 * min_iou))
    several = ignored = 0
    for _ in range(700):
        truth = rng.integers(-1, rng.integers(2, 6), (4, 5))
        other = rng.integers(0, rng.integers(2, 6), (4, 5))
        predicted = np.where(rng.random((4, 5)) < 0.5, other, truth * (truth > 0)) * 7
        iou, doubtful = brute_iou(truth, predicted)
        rows = sorted(set(truth[truth > 0].tolist()))
        columns = sorted(set(predicted[predicted > 0].tolist()))
        weights = {k: v if v >= min_iou else None for k, v in iou.items()}
        found = match(truth, predicted, min_iou)
        count, score = brute_best(weights, rows, columns)
        assert found.counts.true_positive == count == len(set(found.truth))
        assert found.counts.true_positive == len(set(found.predicted))
        assert found.counts.similarity == pytest.approx(score)
        wrong = set(columns) - set(found.predicted.tolist()) - doubtful
        assert found.counts.false_positive == len(wrong)
        assert found.counts.false_negative == len(rows) - count
        for t, p, s in zip(*found[1:], strict=True):
            assert s == pytest.approx(iou[t, p])
        several += count > 1
        ignored += bool(doubtful - set(found.predicted.tolist()))
    assert several > 50
    assert ignored > 20


def test_points_matched_are_the_best_of_all_assignments():
    rng = np.random.default_rng(0)
    for _ in range(700):
        truth = rng.integers(0, 12, (rng.integers(0, 6), 2)).astype(np.float32)
        predicted = rng.integers(0, 12, (rng.integers(0, 6), 2)).astype(np.float32)
        apart = np.linalg.norm(truth[:, None] - predicted[None], axis=-1)
        weights = {
            (i, j): 1 - d / 4 if d <= 4 else None for (i, j), d in np.ndenumerate(apart)
        }
        count, score = brute_best(weights, range(len(truth)), range(len(predicted)))
        found = match_points(truth, predicted, 4.0)
        assert found.counts.true_positive == count
        assert found.counts.similarity == pytest.approx(score)


@pytest.mark.parametrize("shift", [0, 5, 10])
def test_rolled_discs_match_just_below_their_iou_and_not_above(shift):
    truth, predicted = discs(), discs(shift)
    # The lens of two discs of radius r, d apart; pixels move an area by less than 1 %.
    half = np.arccos(shift / 50)
    lens = 2 * 25**2 * half - shift / 2 * np.sqrt(4 * 25**2 - shift**2)
    iou = lens / (2 * np.pi * 25**2 - lens)
    below = match(truth, predicted, iou - 0.01)
    assert below.counts[:3] == (5, 0, 0)
    np.testing.assert_array_equal(below.truth, below.predicted)
    np.testing.assert_allclose(below.similarity, iou, atol=0.01)
    above = match(truth, predicted, iou + 0.01)
    assert above.counts[:3] == (0, 5, 5)


def test_an_iou_of_exactly_the_threshold_matches():
    truth, predicted = np.zeros((2, 1, 20), np.int64)
    truth[0, :20] = 1
    predicted[0, :11] = 1
    assert match(truth, predicted, MIN_IOUS[1]).counts.true_positive == 1  # 11 / 20
    predicted[0, 11] = 1
    assert match(truth, predicted, MIN_IOUS[2]).counts.true_positive == 1  # 12 / 20
    assert match(truth, predicted, MIN_IOUS[3]).counts.true_positive == 0
    assert MIN_IOUS == (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)


def test_metrics_are_those_computed_by_hand():
    # StarDist: precision, recall, f1, accuracy = tp / (tp + fp + fn), and
    # panoptic quality = sum of IoU / (tp + fp / 2 + fn / 2).
    counts = Counts(6, 2, 4, 4.5)
    assert precision(counts) == 6 / 8
    assert recall(counts) == 6 / 10
    assert f1(counts) == 12 / 18
    assert average_precision(counts) == 6 / 12
    assert panoptic_quality(counts) == 4.5 / 9
    assert total([counts, Counts(1, 0, 0, 0.5)]) == Counts(7, 2, 4, 5.0)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        (Counts(0, 0, 0, 0.0), (1, 1, 1, 1, 1)),
        (Counts(0, 3, 0, 0.0), (0, 0, 0, 0, 0)),
        (Counts(0, 0, 3, 0.0), (0, 0, 0, 0, 0)),
    ],
)
def test_images_without_beads_have_metrics(counts, expected):
    metrics = (precision, recall, f1, average_precision, panoptic_quality)
    assert tuple(metric(counts) for metric in metrics) == expected


def test_predictions_mostly_on_unknown_pixels_are_right_or_ignored():
    truth = discs()
    truth[:, :90] = -1  # all of the first disc
    assert overlaps(truth, discs()).ignored.tolist() == [True] + 4 * [False]
    assert match(truth, discs(), 0.95).counts[:3] == (4, 0, 0)
    truth[:, 61:90] = discs()[:, 61:90]  # a little less than half of it is known
    assert overlaps(truth, discs()).ignored.tolist() == [True] + 4 * [False]
    found = match(truth, discs(), 0.95)
    assert found.counts == Counts(5, 0, 0, 5.0)  # what is known of it is right
    truth[truth == 1] = 0
    assert match(truth, discs()).counts[:3] == (4, 0, 0)
    truth[:, 59:90] = 0  # a little more than half of it is known, and background
    assert match(truth, discs()).counts[:3] == (4, 1, 0)


def test_every_negative_label_is_unknown():
    truth = discs()
    truth[:, :70] = -1
    expected = overlaps(truth, discs(3))
    truth[:, :40] = -7
    for one, other in zip(overlaps(truth, discs(3)), expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_labels_may_be_any_numbers():
    truth, predicted = discs(), discs(3)
    expected = match(truth, predicted, 0.7)
    names = np.array([0, 9, 70_000, 2**40, 3, 2**62])
    renamed = match(names[truth], predicted.astype(np.uint16), 0.7)
    assert renamed.counts == expected.counts
    assert sorted(renamed.truth) == sorted(names[1:])
    full = np.ones((3, 3), np.uint8)  # no background at all
    assert match(full, full * 200).counts[:3] == (1, 0, 0)
    assert match(full.astype(np.int64) * 2**50, full).counts[:3] == (1, 0, 0)


def test_centroids_are_those_of_scipy():
    labels = np.random.default_rng(0).integers(-1, 7, (9, 13)) * 3
    ids = np.unique(labels[labels > 0])
    wanted = ndimage.center_of_mass(labels > 0, labels, ids)
    np.testing.assert_array_equal(centroids(labels), wanted)
    assert centroids(np.zeros((4, 5), int)).shape == (0, 2)


def test_errors_are_named():
    truth, predicted = np.zeros((2, 20, 100), np.int32)
    for label in range(1, 9):
        truth[5:15, 12 * label - 10 : 12 * label] = label
    predicted[5:15, 2:12] = 1  # 1 is found, 2 is missed
    predicted[5:15, 26:31] = 2  # 3 is split
    predicted[5:15, 31:36] = 3
    predicted[5:15, 38:60] = 4  # 4 and 5 are merged
    predicted[5:15, 62:72] = 6  # 6 is found
    predicted[15:20, 74:84] = 7  # invented
    predicted[5:15, 74:83] = 8  # 7 is found
    predicted[5:15, 86:89] = 9  # 8 is missed: a crumb of it is not it
    found = overlaps(truth, predicted)
    named = errors(found, match(found))
    assert {kind: labels.tolist() for kind, labels in named._asdict().items()} == {
        "true_positive": [1, 6, 7],
        "false_negative": [2, 8],
        "false_positive": [7, 9],
        "merged": [4, 5],
        "split": [3],
    }


def test_thousands_of_touching_beads_are_matched():
    y, x = np.indices((1200, 1200))
    truth = (y // 12) * 100 + x // 12 + 1
    predicted = np.roll(truth, (1, 1), (0, 1))
    found = match(truth, predicted, 0.1)  # every bead has several candidates
    assert found.counts[:3] == (10_000, 0, 0)
    np.testing.assert_array_equal(found.truth, found.predicted)


def test_shapes_that_differ_are_refused():
    with pytest.raises(ValueError, match="truth is"):
        overlaps(np.zeros((3, 4), int), np.zeros((4, 3), int))
