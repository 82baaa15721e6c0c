"""Defective columns and rows of a camera: they would take the span from the beads."""

import math

import numpy as np
from scipy import ndimage

from beadseg.data.scaling import as_floats

BESIDE = 9  # px, lines that one is compared with
FAR = 8.0  # standard deviations of what lines differ by
SPAN = 0.1  # of the span of the image: less does no harm
FEW, PATTERN = 0.05, 0.25  # of the lines that may be wrong, or seem to be
ALL_BUT = 0.9  # of its pixels must differ by half as much as the middle one
SAMPLE = 512  # px of a line that tell its brightness


def without_lines(image: np.ndarray) -> np.ndarray:
    """The image, single columns and rows as bright as those beside them.

    Args:
      image: [H, W], without gaps.

    Returns:
      f32 or f64[H, W]; the image itself where nothing is wrong with it.
    """
    for axis in (0, 1):
        off = _differ(image, axis)
        if off.any():
            image = as_floats(image) - np.expand_dims(off, axis)
    return image


def _differ(image: np.ndarray, axis: int) -> np.ndarray:
    """How much brighter the lines along `axis` are than those beside them, else 0."""
    step = max(math.ceil(image.shape[axis] / SAMPLE), 1)
    some = as_floats(image[::step] if axis == 0 else image[:, ::step].T)  # [n, lines]
    middle = np.median(some, 0)
    off = middle - ndimage.median_filter(middle, BESIDE, mode="mirror")
    low, high = np.percentile(some, (1, 99))
    usual = 1.4826 * np.median(np.abs(off))
    wrong = np.abs(off) > max(FAR * usual, SPAN * (high - low))
    found = np.zeros(len(off))
    for line in np.flatnonzero(wrong & (wrong.mean() <= PATTERN)):
        first = max(min(line - BESIDE // 2, len(off) - BESIDE), 0)
        differ = some[:, line] - np.median(some[:, first : first + BESIDE], 1)
        differ *= np.sign(off[line])
        if np.percentile(differ, 100 * (1 - ALL_BUT)) > 0.5 * np.median(differ) > 0:
            found[line] = np.sign(off[line]) * np.median(differ)
    return np.where(np.mean(found != 0) <= FEW, found, 0)
