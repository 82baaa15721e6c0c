"""The outlines of beads as polygons."""

from collections.abc import Iterator

import numpy as np
from skimage import measure

from beadseg.inference.scratch import Scratch


def polygons(
    labels: np.ndarray | Scratch, boxes: np.ndarray, beads: np.ndarray
) -> Iterator[np.ndarray]:
    """Yields the outline of each bead, f32[n, 2] (y, x), the first point not repeated.

    Points lie between pixels, in px from the centre of the first pixel of the image. Of
    a bead in several parts the longest outline is given.

    Args:
      labels: i32[H, W].
      boxes: i64[N, 4], first and last + 1 row, first and last + 1 column of each bead.
      beads: i64[N], their labels.
    """
    for bead, (top, bottom, left, right) in zip(beads, boxes.tolist(), strict=True):
        inside = np.zeros((bottom - top + 2, right - left + 2), np.uint8)
        inside[1:-1, 1:-1] = labels[top:bottom, left:right] == bead
        found = max(measure.find_contours(inside, 0.5), key=len)
        yield (found[:-1] + (top - 1, left - 1)).astype(np.float32)
