"""Exact counts of right and wrong pixels, and the metrics that follow from them.

On the device, one pass over the probabilities gives a histogram for each example; on
the host, histograms are added as 64-bit integers, and every threshold's Jaccard follows
from their sum. A metric is divided once, at the end: never a mean of batch means.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:  # it takes a second to load, and `beadseg evaluate` needs none
    import jax

# A power of two, so that every threshold and its comparison is exact in f32.
BINS = 256
THRESHOLDS = np.arange(1, BINS) / BINS


class ProbabilityHistogram(NamedTuple):
    """How many known pixels have a probability in [i, i + 1) / BINS; the last has 1.0.

    Integers [..., BINS]; the leading axes are examples. Add them with `merge` or
    `pooled`, not as the 32-bit integers that the device gives.
    """

    positive: np.ndarray | jax.Array  # bead pixels
    negative: np.ndarray | jax.Array  # background pixels


class Confusion(NamedTuple):
    """Pixel counts of any one shape: examples, thresholds, or one number.

    Integers; floats where they are expected counts, see `completed`.
    """

    true_positive: np.ndarray | int
    false_positive: np.ndarray | int
    false_negative: np.ndarray | int
    true_negative: np.ndarray | int


def probability_histogram(
    probability: jax.Array, mask: jax.Array, weight: jax.Array
) -> ProbabilityHistogram:
    """Counts per example, i32[B, BINS], from f32[B, H, W, 1]; may be jitted.

    A pixel is bead where mask >= 0.5, and counts once where weight > 0. One scatter of
    ones: on a CPU far faster than comparing with every threshold. A NaN counts as 0.
    """
    import jax.numpy as jnp

    batch = probability.shape[0]
    example = jnp.arange(batch, dtype=jnp.int32).reshape(batch, 1, 1, 1)
    bins = jnp.clip(jnp.nan_to_num(probability) * BINS, 0, BINS - 1).astype(jnp.int32)
    index = (2 * example + (mask >= 0.5).astype(jnp.int32)) * BINS + bins
    size = 2 * batch * BINS
    index = jnp.where(weight > 0, index, size).reshape(-1)
    counts = jnp.zeros(size, jnp.int32).at[index].add(1, mode="drop")
    counts = counts.reshape(batch, 2, BINS)
    return ProbabilityHistogram(positive=counts[:, 1], negative=counts[:, 0])


def merge(*histograms: ProbabilityHistogram) -> ProbabilityHistogram:
    """The sum of histograms of equal shape, in 64-bit integers on the host."""
    return ProbabilityHistogram(
        *(
            np.sum([np.asarray(part, np.int64) for part in parts], axis=0)
            for parts in zip(*histograms, strict=True)
        )
    )


def pooled(histogram: ProbabilityHistogram) -> ProbabilityHistogram:
    """All examples as one, i64[BINS]."""
    return ProbabilityHistogram(
        *(np.asarray(part, np.int64).reshape(-1, BINS).sum(0) for part in histogram)
    )


def confusions(histogram: ProbabilityHistogram) -> Confusion:
    """Counts at every one of `THRESHOLDS`, i64[..., BINS - 1]."""
    positive, negative = (np.asarray(part, np.int64) for part in histogram)
    # A pixel is predicted where probability >= threshold: all bins from there upwards.
    predicted_positive = np.flip(np.flip(positive, -1).cumsum(-1), -1)
    predicted_negative = np.flip(np.flip(negative, -1).cumsum(-1), -1)
    return Confusion(
        true_positive=predicted_positive[..., 1:],
        false_positive=predicted_negative[..., 1:],
        false_negative=predicted_positive[..., :1] - predicted_positive[..., 1:],
        true_negative=predicted_negative[..., :1] - predicted_negative[..., 1:],
    )


def completed(counts: Confusion, completeness: np.ndarray | float) -> Confusion:
    """Expected counts against complete masks, where masks label a share of the beads.

    If beads were left out at random, of the true positives the share `completeness`
    is seen as such, the rest as false positives (Elkan and Noto 2008): float64 counts,
    cut where chance would make them negative. A share of 1 changes nothing.
    """
    found = counts.true_positive + counts.false_positive
    labelled = counts.true_positive + counts.false_negative
    pixels = found + counts.false_negative + counts.true_negative
    beads = np.minimum(labelled / completeness, pixels)
    right = np.minimum(counts.true_positive / completeness, found)
    missed = np.maximum(beads - right, 0.0)
    return Confusion(
        true_positive=right,
        false_positive=found - right,
        false_negative=missed,
        true_negative=np.maximum(pixels - found - missed, 0.0),
    )


def nearest_threshold(threshold: float) -> float:
    """The value nearest to `threshold` at which counts are exact; 0.5 is one."""
    return float(np.clip(round(threshold * BINS), 1, BINS - 1) / BINS)


def choose_threshold(counts: Confusion, slack: float = 0.0) -> tuple[float, float]:
    """From counts at all `THRESHOLDS` [BINS - 1]: that of the best Jaccard, and this.

    Among equals, the nearest to 0.5; what is less by a share of `slack` is equal too.
    """
    values = jaccard(counts)
    chosen = _largest(values, slack)
    return float(THRESHOLDS[chosen]), float(values[chosen])


def choose_threshold_partial(
    right: np.ndarray, found: np.ndarray, slack: float = 0.0
) -> float:
    """The threshold of the largest precision times recall (Lee and Liu 2003).

    For masks that label a share of the beads: the share does not change the choice,
    where the best expected Jaccard falls to any threshold once it is taken for less
    than it is.

    Args:
      right: pixels found in labelled beads, at all `THRESHOLDS`; of images that differ
        in their share, each divided by it.
      found: pixels found.
      slack: as of `choose_threshold`.
    """
    values = np.square(right) / np.maximum(found, 1)
    return float(THRESHOLDS[_largest(values, slack)])


def _largest(values: np.ndarray, slack: float = 0.0) -> int:
    """Index of the largest; among equals, of the threshold nearest to 0.5."""
    best = np.flatnonzero(values >= (1 - slack) * values.max())
    return int(best[np.argmin(np.abs(THRESHOLDS[best] - 0.5))])


def jaccard(counts: Confusion) -> np.ndarray:
    """TP / (TP + FP + FN); 1 where there is no bead and none is predicted."""
    errors = counts.false_positive + counts.false_negative
    return _ratio(counts.true_positive, counts.true_positive + errors)


def dice(counts: Confusion) -> np.ndarray:
    """2 TP / (2 TP + FP + FN); 1 where there is no bead and none is predicted."""
    errors = counts.false_positive + counts.false_negative
    return _ratio(2 * counts.true_positive, 2 * counts.true_positive + errors)


def accuracy(counts: Confusion) -> np.ndarray:
    """The share of the pixels that are right; 1 of no pixels."""
    right = counts.true_positive + counts.true_negative
    return _ratio(right, right + counts.false_positive + counts.false_negative)


def precision(counts: Confusion) -> np.ndarray:
    """TP / (TP + FP); where nothing is predicted, 1 if there is no bead, else 0."""
    predicted = counts.true_positive + counts.false_positive
    return _ratio(counts.true_positive, predicted, counts.false_negative == 0)


def recall(counts: Confusion) -> np.ndarray:
    """TP / (TP + FN); where there is no bead, 1 if none is predicted, else 0."""
    beads = counts.true_positive + counts.false_negative
    return _ratio(counts.true_positive, beads, counts.false_positive == 0)


def ratios(counts: Confusion) -> dict[str, float]:
    """All of the above by name, for counts that are scalars."""
    every = (jaccard, dice, accuracy, precision, recall)
    return {ratio.__name__: float(ratio(counts)) for ratio in every}


def _ratio(part, whole, of_nothing=1.0) -> np.ndarray:
    some = np.asarray(whole) > 0
    ratio = np.asarray(part, np.float64) / np.where(some, whole, 1)
    return np.where(some, ratio, of_nothing)[()]  # a number, of numbers
