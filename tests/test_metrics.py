import jax
import numpy as np
import pytest

from beadseg.metrics import (
    BINS,
    THRESHOLDS,
    Confusion,
    accuracy,
    choose_threshold,
    choose_threshold_partial,
    completed,
    confusions,
    dice,
    jaccard,
    merge,
    nearest_threshold,
    pooled,
    precision,
    probability_histogram,
    recall,
)

SHAPE = (4, 24, 20, 1)


@pytest.fixture
def example():
    rng = np.random.default_rng(1)
    probability = rng.random(SHAPE).astype(np.float32)
    probability.flat[:50] = 0.5  # exactly on a threshold
    probability.flat[50:60] = 1.0
    mask = (rng.random(SHAPE) < probability).astype(np.float32)
    weight = (rng.random(SHAPE) < 0.7).astype(np.float32)
    return probability, mask, weight


def confusion_at(histogram, threshold):
    index = THRESHOLDS.searchsorted(nearest_threshold(threshold))
    return Confusion(*(part[..., index] for part in confusions(histogram)))


def count(probability, mask, weight, threshold):
    found, bead, known = probability >= threshold, mask > 0, weight > 0
    return Confusion(
        (found & bead & known).sum(),
        (found & ~bead & known).sum(),
        (~found & bead & known).sum(),
        (~found & ~bead & known).sum(),
    )


@pytest.mark.parametrize("threshold", [1 / 256, 0.25, 0.5, 0.75, 255 / 256])
def test_counts_equal_a_count_by_hand_at_a_threshold(example, threshold):
    histogram = pooled(jax.jit(probability_histogram)(*example))
    assert confusion_at(histogram, threshold) == count(*example, threshold)


def test_every_example_is_counted_by_itself(example):
    found = confusion_at(probability_histogram(*example), 0.5)
    for i in range(SHAPE[0]):
        alone = count(*(x[i] for x in example), 0.5)
        assert tuple(part[i] for part in found) == tuple(alone)


def test_merged_over_batches_equals_computed_at_once(example):
    whole = pooled(probability_histogram(*example))
    halves = [
        pooled(probability_histogram(*(x[part] for x in example)))
        for part in (slice(0, 1), slice(1, 4))
    ]
    merged = merge(*halves)
    np.testing.assert_array_equal(merged.positive, whole.positive)
    np.testing.assert_array_equal(merged.negative, whole.negative)


def test_the_best_threshold_is_that_of_a_search(example):
    counts = confusions(pooled(probability_histogram(*example)))
    threshold, value = choose_threshold(counts)
    scores = [float(jaccard(count(*example, t))) for t in THRESHOLDS]
    assert value == pytest.approx(max(scores))
    assert scores[int(round(threshold * 256)) - 1] == pytest.approx(value)


def test_sums_stay_exact_beyond_what_32_bits_hold():
    histogram = probability_histogram(*(np.ones((1, 8, 8, 1), np.float32),) * 3)
    large = merge(*[histogram] * 3)
    for _ in range(10):
        large = merge(*[large] * 10)
    assert int(large.positive.sum()) == 3 * 64 * 10**10


def test_of_nearly_equal_thresholds_the_nearest_to_a_half_is_chosen():
    right = np.full(BINS - 1, 90.0)
    right[THRESHOLDS > 0.6] = 60
    right[THRESHOLDS > 0.97] = 94
    right[THRESHOLDS < 0.2] = 92
    counts = Confusion(right, np.zeros_like(right), 100 - right, np.zeros_like(right))
    chosen = [choose_threshold(counts, slack) for slack in (0.0, 0.03, 0.05)]
    expected = [(THRESHOLDS[THRESHOLDS > 0.97][0], 0.94)]
    expected += [(THRESHOLDS[THRESHOLDS < 0.2][-1], 0.92), (0.5, 0.9)]
    np.testing.assert_allclose(chosen, expected)


def test_values_by_hand():
    counts = Confusion(6, 2, 4, 8)
    assert float(jaccard(counts)) == pytest.approx(6 / 12)
    assert float(dice(counts)) == pytest.approx(12 / 18)
    assert float(accuracy(counts)) == pytest.approx(14 / 20)
    assert float(precision(counts)) == pytest.approx(6 / 8)
    assert float(recall(counts)) == pytest.approx(6 / 10)


@pytest.mark.parametrize("metric", [jaccard, dice, accuracy, precision, recall])
def test_nothing_there_and_nothing_found_is_perfect(metric):
    assert float(metric(Confusion(0, 0, 0, 9))) == 1


@pytest.mark.parametrize("metric", [jaccard, dice, precision, recall])
def test_nothing_right_is_zero(metric):
    assert float(metric(Confusion(0, 3, 4, 9))) == 0


def test_confusions_add_up_to_the_known_pixels(example):
    found = confusions(pooled(probability_histogram(*example)))
    np.testing.assert_array_equal(sum(found), int(example[2].sum()))


@pytest.mark.parametrize("share", [1.0, 0.5, 0.1])
def test_a_threshold_from_partial_masks_is_nearly_the_best_of_complete_ones(share):
    rng = np.random.default_rng(0)
    probability = rng.beta(0.4, 0.6, (1, 300, 300, 1)).astype(np.float32)
    bead = rng.random(probability.shape) < probability
    labelled = bead & (rng.random(probability.shape) < share)
    everywhere = np.ones_like(probability)
    counts = confusions(
        probability_histogram(probability, labelled.astype(np.float32), everywhere)
    )
    right = np.asarray(counts.true_positive)[0] / share
    found = np.asarray(counts.true_positive + counts.false_positive)[0]
    threshold = choose_threshold_partial(right, found)
    complete = probability_histogram(probability, bead.astype(np.float32), everywhere)
    best = choose_threshold(confusions(pooled(complete)))[1]
    reached = float(jaccard(confusion_at(complete, threshold))[0])
    assert reached > 0.98 * best
    assert choose_threshold_partial(3 * right, found) == threshold


def test_the_nearest_threshold_is_exact():
    assert nearest_threshold(0.5) == 0.5
    assert nearest_threshold(0.0) == 1 / 256
    assert nearest_threshold(1.0) == 255 / 256


def test_counts_of_randomly_left_out_beads_are_completed_to_the_truth():
    rng = np.random.default_rng(0)
    bead = rng.random(400_000) < 0.4
    found = rng.random(bead.size) < np.where(bead, 0.9, 0.1)
    labelled = bead & (rng.random(bead.size) < 0.3)

    def confusion(truth):
        parts = (found & truth, found & ~truth, ~found & truth, ~found & ~truth)
        return Confusion(*(part.sum() for part in parts))

    seen = completed(confusion(labelled), 0.3)
    np.testing.assert_allclose(seen, confusion(bead), rtol=0.05)
    assert jaccard(seen) == pytest.approx(jaccard(confusion(bead)), abs=0.01)
    np.testing.assert_allclose(completed(confusion(bead), 1.0), confusion(bead))
