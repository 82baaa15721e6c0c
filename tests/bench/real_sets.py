"""The figures of each set of real images, from a prediction of its images."""

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from beadseg import matching
from beadseg.data.images.reading import file_stem, open_pages
from beadseg.data.masks.beads import on_border
from beadseg.inference.scores.evaluation import metrics, pool, score
from beadseg.inference.scores.pair_scores import evaluate
from beadseg.inference.scores.pairing import pair
from beadseg.matching import MIN_IOUS, Counts, overlaps
from tests.bench.command import Predicted

NEAR = 2.0  # px between a centre and a piece of a mask
SMALLEST = 6.0  # px, where the octaves of size begin
RIGHT_SIZE = 0.15  # relative error of the median diameter of an image
LATEX_DIAMETER = 12.4  # px, the median distance of nearest neighbours
# No photographs, and one that has the mask of another.
LEFT_OUT = {
    "brightfield_dilution_dev": (
        "synthetic_80x",
        "2560x_2025-05-16_00-59-00_002_grid_r3_c4",
    )
}


def images_of(data: Path) -> list[Path]:
    """The images of a set that are measured, by name."""
    left_out = LEFT_OUT.get(data.name, ())
    files = sorted((data / "images").iterdir())
    return [file for file in files if not file.name.startswith(left_out)]


class Near(NamedTuple):
    """Centres against the pieces of a mask."""

    predicted: int
    right: int  # predicted centres near a piece
    pieces: int
    found: int  # pieces with a predicted centre near them


def near_pieces(mask: np.ndarray, centres: np.ndarray, distance: float) -> Near:
    """Compares centres with the connected pieces of a mask.

    Args:
      mask: bool[H, W].
      centres: f[N, 2], y and x in px.
      distance: px from a centre to the nearest pixel of a piece, the most.
    """
    pieces, count = ndimage.label(mask)
    at = np.argwhere(mask)
    if not len(at) or not len(centres):
        return Near(len(centres), 0, count, 0)
    right = cKDTree(at).query(centres)[0] <= distance
    reached = cKDTree(centres).query(at)[0] <= distance
    found = np.unique(pieces[mask][reached])
    return Near(len(centres), int(right.sum()), count, len(found))


def dilutions(data: Path, predicted: Predicted) -> dict:
    """Precision and recall of centres in each dilution, and how counts follow it."""
    return by_dilution(
        {
            name: near_pieces(mask_of(data, name), predicted.centres(name), NEAR)
            for name in predicted.images
        }
    )


def by_dilution(found: dict[str, Near]) -> dict:
    """The figures of images by name, which begins with the dilution and an x."""
    of: dict[int, list[Near]] = {}
    for name, near in found.items():
        of.setdefault(int(name.partition("x")[0]), []).append(near)
    rows = {}
    for dilution in sorted(of, reverse=True):
        total = Near(*(sum(column) for column in zip(*of[dilution], strict=True)))
        wrong, missed = total.predicted - total.right, total.pieces - total.found
        rows[f"{dilution}x"] = {
            "images": len(of[dilution]),
            "pieces": total.pieces,
            "predicted": total.predicted,
            "precision": matching.precision(Counts(total.right, wrong, missed, 0.0)),
            "recall": matching.recall(Counts(total.found, wrong, missed, 0.0)),
        }
    slopes = [
        slope({x: np.mean([getattr(n, kind) for n in of[x]]) for x in of})
        for kind in ("predicted", "pieces")
    ]
    return {
        "dilutions": rows,
        "lowest_precision": min(row["precision"] for row in rows.values()),
        "lowest_recall": min(row["recall"] for row in rows.values()),
        "slope": slopes[0],
        "slope_of_masks": slopes[1],
        "slope_error": None if None in slopes else slopes[0] - slopes[1],
    }


def slope(counts: dict[int, float]) -> float | None:
    """Of log(count) against log(1 / dilution) by least squares; counts by dilution.

    None where fewer than two dilutions are there, or one has no count.
    """
    if len(counts) < 2 or not min(counts.values()):
        return None
    concentration = -np.log(list(counts))
    return float(np.polyfit(concentration, np.log(list(counts.values())), 1)[0])


def microgels(data: Path, predicted: Predicted) -> dict:
    """Beads whose circles are known, though others at the border are not."""
    sure = found = false = border = 0
    for name in predicted.images:
        labels = predicted.labels(name)
        right: set[int] = set()
        for disc in _discs(data / "circles" / f"{name}.csv", labels.shape):
            both = overlaps(disc.astype(np.int32), labels)
            hits = both.predicted[both.column[both.iou >= 0.5]]
            sure, found = sure + 1, found + bool(len(hits))
            right |= set(hits.tolist())
        cut = set(on_border(labels).tolist()) - right
        border += len(cut)
        false += len(set(np.unique(labels[labels > 0]).tolist()) - right - cut)
    return {
        "sure_beads": sure,
        "found": found / max(sure, 1),
        "false": false,
        "false_for_each_sure_bead": false / max(sure, 1),
        "ignored_at_border": border,
    }


def bubbles(data: Path, predicted: Predicted) -> dict:
    """Average precision, and recall in each octave of true diameter."""
    scores, diameters, found = [], [], []
    for name in predicted.images:
        truth = ndimage.label(mask_of(data, name))[0]
        labels = predicted.labels(name)
        scores.append(score(truth, None, labels))
        both = overlaps(truth, labels)
        diameters.append(2 * np.sqrt(both.truth_area / np.pi))
        found.append(np.isin(both.truth, matching.match(both).truth))
    octave = np.log2(np.concatenate(diameters) / SMALLEST) // 1
    found = np.concatenate(found)
    octaves = {}
    for k in range(int(octave.max()) + 1):
        low, own = round(SMALLEST * 2**k), octave == k
        octaves[f"{low}-{2 * low} px"] = {
            "beads": int(own.sum()),
            "recall": float(found[own].mean()) if own.any() else None,
        }
    recalls = [row["recall"] for row in octaves.values() if row["beads"]]
    pooled = metrics(pool(scores))
    return {
        "beads": pooled["beads"],
        **_of_masks(pooled),
        "octaves": octaves,
        "lowest_recall": min(recalls, default=None),
        "count_error": pooled["count_error"],
    }


def instances(data: Path, predicted: Predicted) -> dict:
    """What `beadseg evaluate` says of a set with masks."""
    return _evaluated(data, predicted)


def latex(data: Path, predicted: Predicted) -> dict:
    """What `beadseg evaluate` says of centres, within half a diameter."""
    return _evaluated(data, predicted, LATEX_DIAMETER)


def unlabelled(data: Path, predicted: Predicted) -> dict:
    """Counts of each image, to be compared with what the eye counts."""
    rows = {}
    for name in predicted.images:
        diameters = predicted.column(name, "diameter_px")
        median = float(np.median(diameters)) if len(diameters) else 0.0
        labels = predicted.labels(name)
        rows[name] = {
            "beads": len(diameters),
            "whole_beads": len(diameters) - len(on_border(labels)),
            "median_diameter": median,
            "under_a_fifth_of_it": int((diameters < median / 5).sum()),
        }
    return {"counts": rows}


SETS: dict[str, Callable[[Path, Predicted], dict]] = {
    "brightfield_dilution_dev": dilutions,
    "microgels_bf_dev": microgels,
    "bubbles_dev": bubbles,
    "emps_spheres_dev": instances,
    "dsb2018_nuclei_dev": instances,
    "beadnet_latex_dev": latex,
    "polymer_beads_lm_unlabelled": unlabelled,
}


def measure(data: Path, files: list[Path], predicted: Predicted) -> dict:
    """The figures of a set.

    Raises:
      RuntimeError: an image was not predicted, so that the figures would be of others.
    """
    lacking = {file_stem(file) for file in files} - predicted.images.keys()
    if lacking:
        raise RuntimeError(f"{data.name}: not predicted: {', '.join(sorted(lacking))}")
    result = SETS[data.name](data, predicted)
    return {"images": len(files), **result, "seconds": predicted.seconds}


def _evaluated(data: Path, predicted: Predicted, known: float | None = None) -> dict:
    """`known`: diameter in px, where the truth has centres only."""
    distance = None if known is None else known / 2
    found = evaluate(pair(predicted.folder, data), distance=distance)
    if found["failed"]:
        raise RuntimeError(f"{data.name}: {found['failed'][0]}")
    pooled = found["pooled"]
    sizes = [
        (image["predicted_median_diameter"] or 0) / (known or image["median_diameter"])
        for image in found["images"]
    ]
    right = np.abs(np.array(sizes) - 1) <= RIGHT_SIZE
    return {
        "beads": pooled["beads"],
        **(_of_masks(pooled) if "ap" in pooled else {}),
        "detection_f1": pooled["detection"]["f1"],
        "count_error": pooled["count_error"],
        "mean_count_error": found["mean_of_images"]["count_error"],
        "size_within_15_percent": float(right.mean()),
    }


def _of_masks(pooled: dict) -> dict:
    half, strict = MIN_IOUS.index(0.5), MIN_IOUS.index(0.75)
    return {
        "ap50": pooled["ap"][half],
        "ap75": pooled["ap"][strict],
        "mean_ap": pooled["mean_ap"],
        "pq": pooled["pq"][half],
        "jaccard": pooled["jaccard"],
        "boundary_f1": pooled["boundary_f1"],
    }


def mask_of(data: Path, name: str) -> np.ndarray:
    """bool[H, W]; as it is, with pieces that touch not cut apart."""
    (file,) = (data / "masks").glob(f"{name}.*")
    return open_pages(file)[0].read_stored() > 0


def _discs(file: Path, shape: tuple[int, int]) -> Iterator[np.ndarray]:
    """bool[H, W], one for each row x, y, diameter of a table; they may overlap."""
    down, across = np.ogrid[: shape[0], : shape[1]]
    with file.open(newline="") as text:
        for row in csv.DictReader(text):
            x, y, diameter = (float(row[key]) for key in ("x", "y", "diameter"))
            yield (down - y) ** 2 + (across - x) ** 2 <= (diameter / 2) ** 2
