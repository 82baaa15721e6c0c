"""A prediction against the truth: pixels, beads, counts and sizes of one image.

Sums are kept and divided once: `Pooled` holds counts of all images, and every metric is
computed from counts. Only known pixels count.
"""

from typing import NamedTuple

import numpy as np
from scipy import ndimage
from skimage.segmentation import find_boundaries

from beadseg import matching
from beadseg.data.masks.labels import UNKNOWN
from beadseg.data.scaling import bead_diameters
from beadseg.matching import MIN_IOUS, Counts
from beadseg.metrics import Confusion, accuracy, dice, jaccard

BOUNDARY_TOLERANCE = 2.0  # px
_FAR = 32.0  # px
ERRORS = ("false_negative", "false_positive", "merged", "split")
ERROR_WORDS = {  # after 1, and after any other number
    "false_negative": ("false negative", "false negatives"),
    "false_positive": ("false positive", "false positives"),
    "merged": ("merged", "merged"),
    "split": ("split", "split"),
}


class Boundary(NamedTuple):
    """Counts of the pixels on outlines, also between beads that touch."""

    predicted: int
    predicted_near: int  # within the tolerance of a true outline
    truth: int
    truth_near: int


class Score(NamedTuple):
    """An image, or several added up; None what needs masks and has only points."""

    pixels: Confusion | None  # of the known ones
    boundary: Boundary | None
    beads: tuple[Counts, ...] | None  # at each of MIN_IOUS
    errors: tuple[int, ...] | None  # beads of each of ERRORS
    detection: Counts  # of centres
    truth: int  # beads
    predicted: int  # beads, without those on unknown pixels
    truth_diameters: np.ndarray  # f64[.], px, of whole beads
    predicted_diameters: np.ndarray
    distance: float  # px, within which a centre is a true positive


def score(
    truth: np.ndarray,
    centres: np.ndarray | None,
    predicted: np.ndarray,
    *,
    distance: float | None = None,
    tolerance: float = BOUNDARY_TOLERANCE,
) -> Score:
    """Compares the labels of one image.

    Args:
      truth: i32[H, W], -1 unknown; without beads where there are centres.
      centres: f[N, 2] (y, x) of the true beads, if their outlines are unknown.
      predicted: i32[H, W].
      distance: px within which a centre is a true positive. None: half of the median
        diameter of the true beads, or of the predicted ones where only true centres
        are known.
      tolerance: px by which outlines may differ.
    """
    diameters = [bead_diameters(np.maximum(x, 0)) for x in (truth, predicted)]
    found = matching.overlaps(truth, predicted)
    if distance is None:
        known = next((d for d in diameters if len(d)), np.zeros(1))
        distance = float(np.median(known)) / 2
    detection = matching.match_points(
        matching.centroids(truth) if centres is None else centres,
        matching.centroids(predicted),
        distance,
        found.ignored,
    ).counts
    if centres is not None:
        counted = detection.true_positive + detection.false_positive
        counts = detection, len(centres), counted
        return Score(*[None] * 4, *counts, *diameters, distance)
    matches = [matching.match(found, min_iou=least) for least in MIN_IOUS]
    first = matches[0]
    named = matching.errors(found, first)
    return Score(
        pixels=_pixels(truth, predicted),
        boundary=_boundary(truth, predicted, tolerance),
        beads=tuple(matched.counts for matched in matches),
        errors=tuple(len(getattr(named, kind)) for kind in ERRORS),
        detection=detection,
        truth=len(found.truth),
        predicted=first.counts.true_positive + first.counts.false_positive,
        truth_diameters=diameters[0],
        predicted_diameters=diameters[1],
        distance=distance,
    )


def pool(scores: list[Score]) -> Score:
    """The sum of scores; what needs masks, over the images that have them."""
    masks = [s for s in scores if s.beads is not None]
    return Score(
        pixels=_sum(Confusion, [s.pixels for s in masks]),
        boundary=_sum(Boundary, [s.boundary for s in masks]),
        beads=tuple(
            matching.total(s.beads[i] for s in masks) for i in range(len(MIN_IOUS))
        )
        if masks
        else None,
        errors=tuple(np.sum([s.errors for s in masks], 0).tolist()) if masks else None,
        detection=matching.total(s.detection for s in scores),
        truth=sum(s.truth for s in scores),
        predicted=sum(s.predicted for s in scores),
        truth_diameters=np.concatenate([s.truth_diameters for s in scores]),
        predicted_diameters=np.concatenate([s.predicted_diameters for s in scores]),
        distance=float(np.median([s.distance for s in scores])),
    )


def metrics(score: Score) -> dict:
    """All that is said about an image or several, ready for JSON.

    Lists run over MIN_IOUS. Without masks only detection, counts and the predicted
    diameter are there.
    """
    true, found = (
        float(np.median(diameters)) if len(diameters) else None
        for diameters in (score.truth_diameters, score.predicted_diameters)
    )
    result: dict = {
        "beads": score.truth,
        "predicted": score.predicted,
        "count_error": (score.predicted - score.truth) / max(score.truth, 1),
        "median_diameter": true,
        "predicted_median_diameter": found,
        "diameter_error": None if true is None or found is None else found / true - 1,
        "detection": {
            "precision": matching.precision(score.detection),
            "recall": matching.recall(score.detection),
            "f1": matching.f1(score.detection),
            "distance": score.distance,
        },
    }
    if score.beads is None:
        return result
    averages = [matching.average_precision(c) for c in score.beads]
    return {
        "jaccard": float(jaccard(score.pixels)),
        "dice": float(dice(score.pixels)),
        "accuracy": float(accuracy(score.pixels)),
        "boundary_f1": _boundary_f1(score.boundary),
        "precision": [matching.precision(c) for c in score.beads],
        "recall": [matching.recall(c) for c in score.beads],
        "f1": [matching.f1(c) for c in score.beads],
        "ap": averages,
        "pq": [matching.panoptic_quality(c) for c in score.beads],
        "mean_ap": float(np.mean(averages)),
        "errors": dict(zip(ERRORS, score.errors, strict=True)),
        **result,
    }


def _pixels(truth: np.ndarray, predicted: np.ndarray) -> Confusion:
    known = truth != UNKNOWN
    bead, found = truth > 0, predicted > 0
    return Confusion(
        int((bead & found).sum()),
        int((~bead & found & known).sum()),
        int((bead & ~found).sum()),
        int((~bead & ~found & known).sum()),
    )


def _boundary(truth: np.ndarray, predicted: np.ndarray, tolerance: float) -> Boundary:
    known = truth != UNKNOWN
    if not known.all():  # an edge of the known is no outline
        known = ~within(~known, tolerance + 1)
    outlines = [
        find_boundaries(np.maximum(labels, 0), mode="inner") & known
        for labels in (predicted, truth)
    ]
    counts = []
    for own, other in (outlines, outlines[::-1]):
        near = own & within(other, tolerance)
        counts += [int(own.sum()), int(near.sum())]
    return Boundary(*counts)


def within(mask: np.ndarray, distance: float) -> np.ndarray:
    """bool[H, W]: the pixels at most so many px from one of `mask`, bool[H, W].

    A distance map says the same in 16 times the memory, and for large distances in
    far less time.
    """
    if distance > _FAR:
        far = ndimage.distance_transform_edt(~mask) > distance
        return ~far & mask.any()
    reach = int(distance)
    y, x = np.ogrid[-reach : reach + 1, -reach : reach + 1]
    return ndimage.binary_dilation(mask, y * y + x * x <= distance * distance)


def _boundary_f1(b: Boundary) -> float:
    """2 P R / (P + R) of the shares of the outlines that lie near the other's."""
    if not b.predicted and not b.truth:
        return 1.0
    precision, recall = (
        matching.ratio(near, whole, 0.0)
        for near, whole in ((b.predicted_near, b.predicted), (b.truth_near, b.truth))
    )
    return matching.ratio(2 * precision * recall, precision + recall, 0.0)


def _sum(kind, parts):
    return kind(*(sum(part) for part in zip(*parts, strict=True))) if parts else None
