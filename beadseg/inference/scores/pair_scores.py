"""Predictions against the truth, image by image: all numbers, and the CSV of them."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from beadseg.data.images.reading import PageRef, ReadError
from beadseg.data.masks.labels import IF_MISREAD, UNKNOWN, Mask
from beadseg.errors import BeadsegError
from beadseg.inference.scores.evaluation import (
    BOUNDARY_TOLERANCE,
    ERROR_WORDS,
    ERRORS,
    metrics,
    pool,
    score,
)
from beadseg.inference.scores.incomplete import expected
from beadseg.inference.scores.pairing import Pairing, Truth, read_predicted, read_truth
from beadseg.matching import MIN_IOUS
from beadseg.quoting import counted, percent, some_of
from beadseg.tables import Table, rows_to_table


class _Reading(NamedTuple):
    """A way in which a mask was read, if its numbers did not stand for beads."""

    whose: str  # "truth" or "prediction"
    kind: str
    file: str
    note: str


def evaluate(
    pairing: Pairing,
    *,
    distance: float | None = None,
    tolerance: float = BOUNDARY_TOLERANCE,
    completeness: Mapping[str, float] | None = None,
    trained: Collection[str] = (),
    suspected: float | None = None,
) -> dict:
    """Scores every pair, one image in memory at a time.

    Args:
      pairing: what belongs together.
      distance, tolerance: as in `score`.
      completeness: of the masks, by name, where it is known: what is counted is then
        what is to be expected against complete ones.
      trained: names of the images that the prediction's run was trained on.
      suspected: completeness that masks without a given one seem to have.

    Returns:
      What goes into JSON: "images" (a dict of `metrics` each, with "name",
      "completeness", "trained_on", "pixels" and how many are "unknown"), "pooled",
      "held_out" (the same of the images not trained on, where some are and some are
      not, else None), "if_incomplete" (what is expected at the suspected completeness,
      else None), "mean_of_images",
      "without_prediction", "without_truth", "doubts" (lines on how masks were read),
      "failed", "tolerance", "distance", and "exit_code" 1 if a file failed.

    Raises:
      BeadsegError: a distance or tolerance below 0, or no pair can be read.
    """
    for name, value in (("--distance", distance), ("--tolerance", tolerance)):
        if value is not None and not 0 <= value < math.inf:
            raise BeadsegError(f"{name} {value:g}: give pixels, 0 or more")
    failed, scores, images = list(pairing.problems), [], []
    whole, readings = [], []
    shares = completeness or {}
    for pair in tqdm(pairing.pairs, "evaluating", disable=None, leave=False):
        try:
            truth, predicted = read_truth(pair), read_predicted(pair)
            found = score(
                truth.labels,
                truth.centres,
                predicted.labels,
                distance=distance,
                tolerance=tolerance,
            )
        except ReadError as error:
            failed.append(str(error))
            continue
        readings += _readings("truth", pair.mask or pair.points, truth)
        readings += _readings("prediction", pair.predicted, predicted)
        share = shares.get(pair.name)
        found = expected(found, share or 1.0)
        scores.append(found)
        whole.append(found if share else expected(found, suspected or 1.0))
        about = {"completeness": share, "trained_on": pair.name in trained}
        about |= {"pixels": truth.labels.size}
        about |= {"unknown": int((truth.labels == UNKNOWN).sum())}
        images.append({"name": pair.name, **metrics(found), **about})
    if not scores:
        raise BeadsegError(f"no image can be evaluated; the first: {failed[0]}")
    held = [
        found
        for found, image in zip(scores, images, strict=True)
        if not image["trained_on"]
    ]
    return {
        "images": images,
        "pooled": metrics(pool(scores)),
        "held_out": metrics(pool(held)) if 0 < len(held) < len(scores) else None,
        "if_incomplete": metrics(pool(whole)) if suspected else None,
        "mean_of_images": _means(images),
        "without_prediction": list(pairing.without_prediction),
        "without_truth": list(pairing.without_truth),
        "doubts": _said_once(readings),
        "failed": failed,
        "tolerance": tolerance,
        "distance": distance,
        "exit_code": int(bool(failed)),
    }


def _readings(whose: str, page: PageRef, read: Mask | Truth) -> list[_Reading]:
    """In which ways a mask was read other than as it stands."""
    said = [_Reading(whose, note, page.where, note) for note in page.notes]
    if read.kind:
        note = f"{read.note}; {IF_MISREAD}"
        said.append(_Reading(whose, read.kind, page.where, note))
    return said


def _said_once(readings: Sequence[_Reading]) -> list[str]:
    """A line for each way: what was noted of its first file, and how many more."""
    ways: dict[tuple[str, str], list[_Reading]] = {}
    for reading in readings:
        ways.setdefault((reading.whose, reading.kind), []).append(reading)
    return [
        f"{some_of([reading.file for reading in alike])}: {alike[0].note}"
        for alike in ways.values()
    ]


def cells(image: dict, masks: bool) -> list[str | None]:
    """An image of `evaluate` as text; None where it has no mask, or no size.

    Beads, predicted ones, with `masks` Jaccard, F1, AP and PQ at an IoU of 0.5, then F1
    of the centres and the error of the diameter.
    """
    found = [f"{image[key]:.0f}" for key in ("beads", "predicted")]
    if "ap" in image:
        scores = (image["jaccard"], *(image[key][0] for key in ("f1", "ap", "pq")))
        found += [f"{score:.3f}" for score in scores]
    elif masks:
        found += [None] * 4
    error = image["diameter_error"]
    of_size = None if error is None else percent(error, 1, sign=True)
    return [*found, f"{image['detection']['f1']:.3f}", of_size]


def errors_said(errors: dict[str, float]) -> list[str]:
    """The errors of `metrics` in words: "2 false positives"."""
    return [counted(errors[kind], *ERROR_WORDS[kind]) for kind in errors]


def table(result: dict) -> Table:
    """The images of `evaluate`, a row each."""
    return rows_to_table([_row(image) for image in result["images"]])


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
    keys = ("jaccard", "dice", "accuracy", "boundary_f1", "mean_ap")
    for key in (*keys, "precision", "recall", "f1", "ap", "pq") if masks else ():
        mean[key] = np.mean([i[key] for i in masks], 0).tolist()
    return mean
