"""Where the beads of a prediction end at another threshold of the probability.

Above the threshold of the prediction a bead keeps those of its pixels that reach the
new one. Below it, a bead grows over free pixels from where it was, and stops where the
probability rises again or where another bead came first.
"""

from pathlib import Path

import numpy as np

from beadseg.errors import BeadsegError
from beadseg.partial.review.predicted import read_tiff

STEPS = 100  # of a threshold between 0 and 1
LEAST, MOST = 0.1, 0.95  # that can be chosen


class Extents:
    """Of each pixel the bead that it can belong to, and the highest such threshold."""

    def __init__(
        self, proposals: np.ndarray, probability: np.ndarray, threshold: float
    ):
        """Looks how far beads reach.

        Args:
          proposals: i32[H, W], as they were found.
          probability: f32[H, W].
          threshold: that they were found at.
        """
        if proposals.shape != probability.shape:
            raise BeadsegError("the probability map is not as large as the labels")
        steps = np.floor(probability * STEPS + 1e-4).astype(np.int16)
        own = np.pad(proposals, 1)
        own[[0, -1]] = own[:, [0, -1]] = -1  # no bead, and not free
        limit = np.pad(steps, 1)
        base = int(np.floor(threshold * STEPS + 1e-4))
        free = (own == 0) & (limit >= LEAST * STEPS) & (limit < base)
        limit[(own > 0) & (limit < base)] = base
        width = own.shape[1]
        sides = np.array([1, -1, width, -width])
        rim = np.zeros_like(free)
        for side in sides.tolist():
            rim |= np.roll(free.ravel(), side).reshape(free.shape)
        ring = np.flatnonzero(rim & (own > 0))
        own, limit, free = own.ravel(), limit.ravel(), free.ravel()
        while len(ring):
            near = ring[:, None] + sides
            source = np.broadcast_to(ring[:, None], near.shape)[free[near]]
            near = near[free[near]]
            value = np.minimum(limit[near], limit[source])
            order = np.argsort(value, kind="stable")  # of several the highest stays
            own[near[order]] = own[source[order]]
            limit[near[order]] = value[order]
            free[near] = False
            ring = np.unique(near)
        inner = np.s_[1:-1, 1:-1]
        shape = rim.shape
        self.owner = np.ascontiguousarray(own.reshape(shape)[inner])
        self.limit = np.clip(limit.reshape(shape)[inner], 0, STEPS).astype(np.uint8)

    def labels(self, threshold: float, at=np.s_[:, :]) -> np.ndarray:
        """i32[h, w], the bead of each pixel of a part of the image, 0: none."""
        inside = self.limit[at] >= round(threshold * STEPS)
        return np.where(inside, self.owner[at], 0)


def probability_file(folder: Path, name: str) -> Path:
    """Of a prediction; it may not be there."""
    return folder / "probability" / f"{name}.tif"


def read_extents(
    folder: Path, name: str, proposals: np.ndarray, threshold: float
) -> Extents:
    """Of an image of a prediction folder.

    Raises:
      BeadsegError: there is no probability map, or it is damaged.
    """
    file = probability_file(folder, name)
    if not file.is_file():
        raise BeadsegError(
            f"{file}: is not there, and the threshold acts on it: predict with "
            "probability among --only"
        )
    return Extents(proposals, read_tiff(file), threshold)
