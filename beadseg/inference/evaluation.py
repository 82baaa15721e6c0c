"""Predictions against the truth: pixels, beads, counts and sizes, image by image.

Sums are kept and divided once: `Pooled` holds counts of all images, and every metric is
computed from counts. Only known pixels count.
"""

import csv
import io
import itertools
import math
from typing import NamedTuple

import numpy as np
from skimage.segmentation import find_boundaries
from tqdm import tqdm

from beadseg.data.labels import UNKNOWN
from beadseg.data.reading import ReadError
from beadseg.data.scaling import bead_diameters
from beadseg.errors import BeadsegError
from beadseg.inference import matching
from beadseg.inference.matching import MIN_IOUS, Counts
from beadseg.inference.pairing import Pairing, read_predicted, read_truth
from beadseg.quoting import for_cell

BOUNDARY_TOLERANCE = 2.0  # px
ERRORS = ("missed", "invented", "merged", "split")


class Pixels(NamedTuple):
    """Counts of known pixels."""

    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int


class Boundary(NamedTuple):
    """Counts of the pixels on outlines, also between beads that touch."""

    predicted: int
    predicted_near: int  # within the tolerance of a true outline
    truth: int
    truth_near: int


class Score(NamedTuple):
    """An image, or several added up; None what needs masks and has only points."""

    pixels: Pixels | None
    boundary: Boundary | None
    beads: tuple[Counts, ...] | None  # at each of MIN_IOUS
    errors: tuple[int, ...] | None  # beads of each of ERRORS
    detection: Counts  # of centres
    truth: int  # beads
    predicted: int  # beads, without those on unknown pixels
    truth_diameters: np.ndarray  # f64[.], px, of whole beads
    predicted_diameters: np.ndarray
    distance: float  # px, within which a centre counts as found


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
      distance: px within which a centre counts as found. None: half of the median
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
        _centres(truth, found.truth) if centres is None else centres,
        _centres(predicted, found.predicted),
        distance,
        found.doubtful,
    ).counts
    if centres is not None:
        counted = detection.true_positive + detection.false_positive
        return Score(
            None,
            None,
            None,
            None,
            detection,
            len(centres),
            counted,
            *diameters,
            distance,
        )
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
        pixels=_sum(Pixels, [s.pixels for s in masks]),
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
    result: dict = {
        "beads": score.truth,
        "predicted": score.predicted,
        "count_error": (score.predicted - score.truth) / max(score.truth, 1),
        "median_diameter": _median(score.truth_diameters),
        "predicted_median_diameter": _median(score.predicted_diameters),
        "diameter_error": _diameter_error(score),
        "detection": _detection(score),
    }
    if score.beads is None:
        return result
    p = score.pixels
    wrong = p.false_positive + p.false_negative
    right = p.true_positive + p.true_negative
    averages = [matching.average_precision(c) for c in score.beads]
    return {
        "jaccard": _ratio(p.true_positive, p.true_positive + wrong),
        "dice": _ratio(2 * p.true_positive, 2 * p.true_positive + wrong),
        "accuracy": _ratio(right, right + wrong),
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


def evaluate(
    pairing: Pairing,
    *,
    distance: float | None = None,
    tolerance: float = BOUNDARY_TOLERANCE,
) -> dict:
    """Scores every pair, one image in memory at a time.

    Args:
      pairing: what belongs together.
      distance, tolerance: as in `score`.

    Returns:
      What goes into JSON: "images" (a dict of `metrics` each, with "name"), "pooled",
      "mean_of_images", "without_prediction", "without_truth", "failed", "tolerance",
      "distance", and "exit_code" 1 if a file failed.

    Raises:
      BeadsegError: a distance or tolerance below 0, or no pair can be read.
    """
    for name, value in (("--distance", distance), ("--tolerance", tolerance)):
        if value is not None and not 0 <= value < math.inf:
            raise BeadsegError(f"{name} {value:g}: give pixels, 0 or more")
    failed, scores, images = list(pairing.problems), [], []
    for pair in tqdm(pairing.pairs, "evaluating", disable=None, leave=False):
        try:
            truth, centres = read_truth(pair)
            found = score(
                truth,
                centres,
                read_predicted(pair),
                distance=distance,
                tolerance=tolerance,
            )
        except ReadError as error:
            failed.append(str(error))
            continue
        scores.append(found)
        images.append({"name": pair.name, **metrics(found)})
    if not scores:
        raise BeadsegError(f"no image can be evaluated; the first: {failed[0]}")
    return {
        "images": images,
        "pooled": metrics(pool(scores)),
        "mean_of_images": _means(images),
        "without_prediction": list(pairing.without_prediction),
        "without_truth": list(pairing.without_truth),
        "failed": failed,
        "tolerance": tolerance,
        "distance": distance,
        "exit_code": int(bool(failed)),
    }


def table(result: dict) -> str:
    """The images of `evaluate` as CSV, a row each."""
    file = io.StringIO()
    rows = [_row(image) for image in result["images"]]
    writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: for_cell(v) for k, v in row.items()} for row in rows)
    return file.getvalue()


def _row(image: dict) -> dict:
    row = {"image": image["name"]}
    for key in ("beads", "predicted", "count_error", "jaccard", "dice", "accuracy"):
        row[key] = image.get(key)
    row["boundary_f1"] = image.get("boundary_f1")
    for key in ("precision", "recall", "f1", "ap", "pq"):
        for least in (0.5, 0.75):
            values = image.get(key)
            row[f"{key}_{least:g}"] = values and values[MIN_IOUS.index(least)]
    row["mean_ap"] = image.get("mean_ap")
    row |= {kind: image.get("errors", {}).get(kind) for kind in ERRORS}
    row |= {f"detection_{key}": value for key, value in image["detection"].items()}
    for key in ("median_diameter", "predicted_median_diameter", "diameter_error"):
        row[key] = image[key]
    return row


def _means(images: list[dict]) -> dict:
    """Means over images; of count and diameter errors, without their sign."""
    mean = {"count_error": float(np.mean([abs(i["count_error"]) for i in images]))}
    errors = [i["diameter_error"] for i in images if i["diameter_error"] is not None]
    mean["diameter_error"] = float(np.mean(np.abs(errors))) if errors else None
    mean["detection_f1"] = float(np.mean([i["detection"]["f1"] for i in images]))
    masks = [i for i in images if "ap" in i]
    for key in (
        ("jaccard", "dice", "accuracy", "boundary_f1", "mean_ap") if masks else ()
    ):
        mean[key] = float(np.mean([i[key] for i in masks]))
    for key in ("precision", "recall", "f1", "ap", "pq") if masks else ():
        mean[key] = np.mean([i[key] for i in masks], 0).tolist()
    return mean


def _pixels(truth: np.ndarray, predicted: np.ndarray) -> Pixels:
    known = truth != UNKNOWN
    bead, found = truth > 0, predicted > 0
    return Pixels(
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

    A distance map would say the same in 16 times the memory.
    """
    reach = int(distance)
    wide = np.pad(mask, reach)
    near = np.zeros_like(mask)
    steps = range(-reach, reach + 1)
    for y, x in itertools.product(steps, steps):
        if y * y + x * x <= distance * distance:
            rows, columns = (
                slice(reach + step, reach + step + size)
                for step, size in zip((y, x), mask.shape, strict=True)
            )
            near |= wide[rows, columns]
    return near


def _boundary_f1(b: Boundary) -> float:
    """2 P R / (P + R) of the shares of the outlines that lie near the other's."""
    if not b.predicted and not b.truth:
        return 1.0
    precision, recall = (
        _ratio(near, whole, 0.0)
        for near, whole in ((b.predicted_near, b.predicted), (b.truth_near, b.truth))
    )
    return _ratio(2 * precision * recall, precision + recall, 0.0)


def _centres(labels: np.ndarray, of: np.ndarray) -> np.ndarray:
    """f64[N, 2], the centroids of the labels `of`, which are all that are there."""
    if not len(of):
        return np.zeros((0, 2))
    rows, columns = np.nonzero(labels > 0)
    place = np.searchsorted(of, labels[rows, columns])
    area = np.bincount(place, minlength=len(of))
    sums = [np.bincount(place, at, len(of)) for at in (rows, columns)]
    return np.stack(sums, 1) / area[:, None]


def _detection(score: Score) -> dict:
    return {
        "precision": matching.precision(score.detection),
        "recall": matching.recall(score.detection),
        "f1": matching.f1(score.detection),
        "distance": score.distance,
    }


def _median(values: np.ndarray) -> float | None:
    return float(np.median(values)) if len(values) else None


def _diameter_error(score: Score) -> float | None:
    truth, predicted = (
        _median(score.truth_diameters),
        _median(score.predicted_diameters),
    )
    return None if truth is None or predicted is None else predicted / truth - 1


def _sum(kind, parts):
    return kind(*(sum(part) for part in zip(*parts, strict=True))) if parts else None


def _ratio(part: float, whole: float, of_nothing: float = 1.0) -> float:
    return float(part / whole) if whole else of_nothing
