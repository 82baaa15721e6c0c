"""Beads far brighter than the rest of their image end at half their height.

Brightness is cut before the network sees it, so that few bright beads do not drown the
others; their blurred flanks then look like bead. At half of its own height an edge lies
where it is, whatever the blur.
"""

import math
from collections.abc import Sequence

import numpy as np

from beadseg.inference.pyramid.pyramid import Candidates, Level

BRIGHT, DARK = 1.25, -0.25  # mean brightness beyond which a bead was cut; 0..1 is usual
AROUND = 3  # px and a quarter of the diameter, where the background is looked for
TOP = 90  # percentile of a bead that is its height
FEW = 9  # px of background that are enough


def trim(
    labels: np.ndarray, image: np.ndarray, beads: Candidates, levels: Sequence[Level]
) -> None:
    """Takes the flanks of such beads from `labels`, in place.

    Args:
      labels: i32[H, W], bead i is label i + 1; an array or `scratch.Scratch`.
      image: [H, W], as the file has it.
      beads: N, that were selected.
      levels: of the image.
    """
    cut = _cut(beads, levels)
    for i in np.flatnonzero(cut).tolist():
        reach = math.ceil(0.75 * beads.diameter[i]) + AROUND
        y, x = round(float(beads.y[i])), round(float(beads.x[i]))
        box = np.s_[
            max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1
        ]
        there = np.array(labels[box])
        own, values = there == i + 1, np.asarray(image[box], np.float64)
        empty = (there == 0) & np.isfinite(values)
        if not own.any() or empty.sum() < FEW:
            continue
        background = np.median(values[empty])
        end = TOP if cut[i] > 0 else 100 - TOP
        top = np.percentile(values[own], end) - background
        flank = own & ((values - background) * cut[i] < 0.5 * abs(top))
        there[flank] = 0
        labels[box] = there


def _cut(beads: Candidates, levels: Sequence[Level]) -> np.ndarray:
    """1 where a bead is brighter than the network sees, -1 darker, else 0: i64[N]."""
    mean = np.zeros(len(beads.level))
    for number, level in enumerate(levels):
        own = beads.level == number
        rows = np.searchsorted(level.regions["label"], beads.label[own])
        mean[own] = level.regions["mean_intensity"][rows]
    return (mean > BRIGHT).astype(int) - (mean < DARK)
