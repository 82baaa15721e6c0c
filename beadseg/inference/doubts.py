"""Warnings about counts: a line for each kind, with the images it concerns."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from beadseg.quoting import percent, some_of

Row = dict[str, Any]  # of images.csv

ENOUGH = 5  # beads of an image, from which their size or scores say something
BATCH = 4  # images, from which one can differ from the others
APART = 1.6  # factor between a median diameter and that of the batch
UNSURE = 0.75  # mean score; as many of the beads are expected to be right
FULL = 0.85  # share of the image that beads cover
SMALLEST = 6.0  # px across: less can hardly be measured
CROWD = 1000  # beads
SHOWN = 3  # images that are named


class Doubt(NamedTuple):
    """A reason to look again."""

    name: str  # in images.csv
    says: str  # of the images that it concerns
    advice: str  # what to try
    concerns: Callable[[Row, float | None], bool]  # a row, and the batch's diameter
    of_scores: bool = False  # rests on scores


def _enough(row: Row) -> bool:
    return row["count"] >= ENOUGH


def _other_size(row: Row, usual: float | None) -> bool:
    if usual is None or not _enough(row):
        return False
    ratio = row["median_diameter_px"] / usual
    return max(ratio, 1 / ratio) > APART


def _unsure(row: Row, _: float | None) -> bool:
    return bool(row["count"]) and row["mean_score"] < UNSURE


DOUBTS = (
    Doubt(
        "size",
        "beads far larger or smaller than in the rest of the batch",
        "if they are not, give --diameter",
        _other_size,
    ),
    Doubt(
        "scores",
        f"scores below {UNSURE} in the mean: many may be no beads",
        "look at the overlays, and try --min-score 0.8",
        lambda row, usual: _unsure(row, usual) and row["count"] < CROWD,
        of_scores=True,
    ),
    Doubt(
        "noise",
        f"more than {CROWD:,} beads with low scores: it may be noise or texture",
        "look at the overlays, and try --min-score 0.8 or --diameter",
        lambda row, usual: _unsure(row, usual) and row["count"] >= CROWD,
        of_scores=True,
    ),
    Doubt(
        "coverage",
        f"beads cover more than {percent(FULL)}: what lies between them may be counted",
        "look at the overlays, and try --threshold or --polarity",
        lambda row, usual: row["coverage"] > FULL,
    ),
    Doubt(
        "resolution",
        f"beads of less than {SMALLEST:g} px: counts hold, sizes do not",
        "photograph with a higher magnification to measure them",
        lambda row, usual: _enough(row) and row["median_diameter_px"] < SMALLEST,
    ),
)


def mark(rows: list[Row], calibrated: bool = True) -> list[str]:
    """Fills the column "doubt" of rows of images.csv.

    Args:
      rows: of all images.
      calibrated: whether scores are the share that is right, see
        `Predictor.has_calibrated_scores` and `settings.has_calibrated_scores`.

    Returns:
      A line for each kind of doubt that there is.
    """
    sizes = [row["median_diameter_px"] for row in rows if _enough(row)]
    usual = float(np.median(sizes)) if len(sizes) >= BATCH else None
    kinds = [doubt for doubt in DOUBTS if calibrated or not doubt.of_scores]
    for row in rows:
        found = [d.name for d in kinds if d.concerns(row, usual)]
        row["doubt"] = " ".join(found)
    lines = []
    for doubt in kinds:
        names = [row["image"] for row in rows if doubt.name in row["doubt"].split()]
        if names:
            lines.append(f"{doubt.says} ({some_of(names, SHOWN)}): {doubt.advice}")
    return lines
