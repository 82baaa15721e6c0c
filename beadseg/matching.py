"""Which predicted bead is which true bead, and the metrics that follow from it.

Beads are matched one to one: as many pairs as can be, and among those the closest. At
an IoU of more than 0.5 no bead has two candidates, so the choice is unique. The metrics
are those of StarDist (Weigert et al. 2020) and panoptic segmentation (Kirillov et al.
2019). Counts are added up over images, and a metric is divided once, at the end.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.optimize import linear_sum_assignment
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from beadseg import metrics

# Of `Counts` as of pixels; AP is "accuracy" in StarDist and AP in the DSB 2018.
precision, recall, f1 = metrics.precision, metrics.recall, metrics.dice
average_precision = metrics.jaccard
# Rounded, for np.arange gives 0.6000000000000001 and an IoU of 3/5 would fall short.
MIN_IOUS = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))


class Overlaps(NamedTuple):
    """N true beads, M predicted ones and the P pairs that share known pixels."""

    truth: np.ndarray  # i64[N], labels
    predicted: np.ndarray  # i64[M], labels
    truth_area: np.ndarray  # i64[N], px
    predicted_area: np.ndarray  # i64[M], px that are known
    row: np.ndarray  # i64[P], index into truth
    column: np.ndarray  # i64[P], index into predicted
    shared: np.ndarray  # i64[P], px
    ignored: np.ndarray  # bool[M], mostly on unknown pixels: not wrong if unmatched

    @property
    def iou(self) -> np.ndarray:
        """f64[P], intersection over union on known pixels."""
        union = self.truth_area[self.row] + self.predicted_area[self.column]
        return self.shared / (union - self.shared)


class Counts(NamedTuple):
    """True and false positives, false negatives; add them with `total`."""

    true_positive: int
    false_positive: int
    false_negative: int
    similarity: float  # sum of the IoU of the pairs (of points: of 1 - distance / most)


class Match(NamedTuple):
    """The pairs of one image, as labels (of points: as indices)."""

    counts: Counts
    truth: np.ndarray  # i64[K]
    predicted: np.ndarray  # i64[K]
    similarity: np.ndarray  # f64[K]


class Errors(NamedTuple):
    """What became of the beads: labels of each kind, i64[.]; a bead is in one of them.

    A prediction that covers more than half of two true beads merges them; a true bead
    is split if two predictions lie in it with more than half of their area.
    """

    true_positive: np.ndarray  # true
    false_negative: np.ndarray  # true, neither merged nor split
    false_positive: np.ndarray  # predicted, without a part in a merger or split
    merged: np.ndarray  # true, several under one prediction
    split: np.ndarray  # true, in several predictions


def number_beads(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Beads numbered without gaps.

    Args:
      labels: i[H, W]; positive values are beads, in any order and with gaps.

    Returns:
      The labels i64[N] in ascending order, and the map of their numbers i32[H, W]:
      1..N, 0 elsewhere.
    """
    beads = np.maximum(labels, 0)
    top = int(beads.max(initial=0))
    if top > 4 * max(beads.size, 2**16):  # a table of all numbers would be too large
        ids, index = np.unique(beads, return_inverse=True)
        index = index.reshape(beads.shape).astype(np.int32)
        return ids[ids > 0].astype(np.int64), index + np.int32(ids[0] != 0)
    known = np.zeros(top + 1, bool)
    known[beads] = True
    known[0] = False
    ids = np.flatnonzero(known)
    number = np.zeros(top + 1, np.int32)
    number[ids] = np.arange(1, len(ids) + 1)
    return ids, number[beads]


def count_beads(labels: np.ndarray) -> int:
    """How many beads there are, those of positive labels i[H, W]."""
    return len(np.unique(labels[labels > 0]))


def centroids(labels: np.ndarray) -> np.ndarray:
    """f64[N, 2], y and x, of the positive labels i[H, W] in ascending order, px."""
    ids, index = number_beads(labels)
    rows, columns = np.nonzero(index)
    of = index[rows, columns]
    area = np.bincount(of, minlength=len(ids) + 1)[1:]
    sums = [np.bincount(of, at, len(ids) + 1)[1:] for at in (rows, columns)]
    return np.stack(sums, 1) / area[:, None]


def overlaps(truth: np.ndarray, predicted: np.ndarray) -> Overlaps:
    """Counts the pixels that beads share, in one pass over the labels.

    Args:
      truth: integers [H, W]: 0 background, > 0 beads, < 0 unknown.
      predicted: integers [H, W]: <= 0 background, > 0 beads. Their known pixels count;
        one with more than half on unknown pixels is right if it matches, else ignored.

    Raises:
      ValueError: the shapes differ.
    """
    if truth.shape != predicted.shape:
        raise ValueError(f"truth is {truth.shape}, predicted {predicted.shape}")
    truth_labels, row = number_beads(truth)
    predicted_labels, column = number_beads(predicted)
    columns = len(predicted_labels) + 1
    row = row.astype(np.intp)
    # Row 0 is background, the last one unknown.
    row[np.asarray(truth) < 0] = len(truth_labels) + 1
    row *= columns
    row += column
    size = (len(truth_labels) + 2) * columns
    if size <= 4 * row.size:
        table = np.bincount(row.ravel(), minlength=size)
        cells = np.flatnonzero(table)
        shared = table[cells]
    else:
        cells, shared = np.unique(row, return_counts=True)
    rows, columns = np.divmod(cells, columns)
    areas = np.bincount(columns, shared, len(predicted_labels) + 1).astype(np.int64)
    truth_area = np.bincount(rows, shared, len(truth_labels) + 2).astype(np.int64)
    hidden = np.zeros_like(areas)
    unknown = rows == len(truth_labels) + 1
    hidden[columns[unknown]] = shared[unknown]
    pairs = (rows > 0) & ~unknown & (columns > 0)
    return Overlaps(
        truth=truth_labels,
        predicted=predicted_labels,
        truth_area=truth_area[1:-1],
        predicted_area=(areas - hidden)[1:],
        row=rows[pairs] - 1,
        column=columns[pairs] - 1,
        shared=shared[pairs],
        ignored=(2 * hidden > areas)[1:],
    )


def match(
    truth: np.ndarray | Overlaps,
    predicted: np.ndarray | None = None,
    min_iou: float = 0.5,
) -> Match:
    """Matches beads of an IoU of at least `min_iou`.

    Args:
      truth: labels as in `overlaps`, or what that returned.
      predicted: labels; None with overlaps.
      min_iou: more than 0.
    """
    found = truth if isinstance(truth, Overlaps) else overlaps(truth, predicted)
    iou = found.iou
    near = iou >= min_iou
    row, column, score = _assign(found.row[near], found.column[near], iou[near])
    ignored = int(found.ignored.sum() - found.ignored[column].sum())
    return Match(
        _counts(len(found.truth), len(found.predicted) - ignored, score),
        found.truth[row],
        found.predicted[column],
        score,
    )


def match_points(
    truth: np.ndarray,
    predicted: np.ndarray,
    distance: float,
    doubtful: np.ndarray | None = None,
) -> Match:
    """Matches centres that lie within a distance.

    Args:
      truth: f[N, 2], y and x in px.
      predicted: f[M, 2].
      distance: px, the most.
      doubtful: bool[M], those not wrong if unmatched.
    """
    row, column, apart = _near(truth, predicted, distance)
    row, column, score = _assign(row, column, 1 - apart / max(distance, 1e-12))
    ignored = 0
    if doubtful is not None:
        ignored = int(doubtful.sum() - doubtful[column].sum())
    return Match(
        _counts(len(truth), len(predicted) - ignored, score), row, column, score
    )


def errors(found: Overlaps, matched: Match) -> Errors:
    """Names what went wrong with the beads that were not matched."""
    covers = 2 * found.shared > found.truth_area[found.row]
    inside = 2 * found.shared > found.predicted_area[found.column]
    covered = np.bincount(found.column[covers], minlength=len(found.predicted))
    pieces = np.bincount(found.row[inside], minlength=len(found.truth))
    merger = covered > 1
    merged = np.zeros(len(found.truth), bool)
    merged[found.row[covers & merger[found.column]]] = True
    split = pieces > 1
    part = np.zeros(len(found.predicted), bool)
    part[found.column[inside & split[found.row]]] = True
    right = np.isin(found.truth, matched.truth)
    right_too = np.isin(found.predicted, matched.predicted)
    split &= ~merged
    return Errors(
        true_positive=found.truth[right & ~merged & ~split],
        false_negative=found.truth[~right & ~merged & ~split],
        false_positive=found.predicted[~right_too & ~merger & ~part & ~found.ignored],
        merged=found.truth[merged],
        split=found.truth[split],
    )


def total(counts: Iterable[Counts]) -> Counts:
    """The sum of counts."""
    return Counts(
        *(sum(part) for part in zip(Counts(0, 0, 0, 0.0), *counts, strict=True))
    )


def completed(counts: Counts, completeness: float) -> Counts:
    """Expected counts against complete masks; as `beadseg.metrics.completed`."""
    found = counts.true_positive + counts.false_positive
    beads = (counts.true_positive + counts.false_negative) / completeness
    right = min(counts.true_positive / completeness, found)
    more = right / counts.true_positive if counts.true_positive else 1.0
    return Counts(right, found - right, beads - right, more * counts.similarity)


def panoptic_quality(counts: Counts) -> float:
    """Sum of the IoU of the pairs / (TP + FP / 2 + FN / 2); 1 of nothing."""
    wrong = counts.false_positive + counts.false_negative
    return ratio(counts.similarity, counts.true_positive + wrong / 2)


def _near(truth, predicted, distance):
    """Pairs within a distance: indices, and how far apart."""
    if not len(truth) or not len(predicted):
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    trees = (cKDTree(np.asarray(points, np.float64)) for points in (truth, predicted))
    first, second = trees
    pairs = first.sparse_distance_matrix(second, distance, output_type="ndarray")
    return pairs["i"].astype(np.int64), pairs["j"].astype(np.int64), pairs["v"]


def _assign(row, column, score):
    """As many one-to-one pairs as can be; of those, the highest sum of scores in 0..1.

    The components of the graph of pairs are assigned one by one: nearly all are one
    pair, and the rest is small, however many beads there are.
    """
    if not len(row):
        return row, column, np.asarray(score, np.float64)
    rows, columns = row.max() + 1, column.max() + 1
    size = rows + columns
    graph = sparse.coo_matrix((np.ones(len(row)), (row, rows + column)), (size, size))
    _, component = connected_components(graph, directed=False)
    component = component[row]
    order = np.argsort(component, kind="stable")
    starts = np.flatnonzero(np.diff(component[order], prepend=-1))
    chosen = []
    for pairs in np.split(order, starts[1:]):
        if len(pairs) == 1:
            chosen.append(pairs)
            continue
        i_of, i = np.unique(row[pairs], return_inverse=True)
        j_of, j = np.unique(column[pairs], return_inverse=True)
        weight = np.zeros((len(i_of), len(j_of)))
        at = np.full(weight.shape, -1)
        # One more pair outweighs all that scores can add.
        weight[i, j] = 1 + score[pairs] / (2 * min(weight.shape))
        at[i, j] = pairs
        picked = at[linear_sum_assignment(weight, maximize=True)]
        chosen.append(picked[picked >= 0])
    chosen = np.sort(np.concatenate(chosen))
    return row[chosen], column[chosen], score[chosen]


def _counts(truth: int, predicted: int, score: np.ndarray) -> Counts:
    pairs = len(score)
    return Counts(pairs, predicted - pairs, truth - pairs, float(score.sum()))


def ratio(part: float, whole: float, of_nothing: float = 1.0) -> float:
    """A share; `of_nothing` where there is no whole."""
    return float(part / whole) if whole else float(of_nothing)
