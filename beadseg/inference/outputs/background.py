"""The background around beads, averaged in squares of the image.

A sum over pixels, added up in bands of rows, as `beadseg.inference.outputs.measure`.
"""

import math

import numpy as np
from scipy import ndimage

BLOCK = 16  # px, side of the squares in which the background is averaged
CLEAR = 0.1  # of the threshold; background is what is even less probable


class Background:
    """Adds up the clear pixels of bands of rows, from the top."""

    def __init__(self, shape: tuple[int, int], threshold: float):
        """For an image of `shape` [H, W]; `threshold` of the probability of beads."""
        self._clear, self._done = CLEAR * threshold, 0
        blocks = tuple(math.ceil(n / BLOCK) for n in shape)
        # Of clear pixels the number, the sum, the sum of squares.
        self._sums = np.zeros((3, *blocks))

    def add(
        self, labels: np.ndarray, image: np.ndarray, probability: np.ndarray
    ) -> None:
        """Adds the next rows: i32, numbers and f32 [h, W].

        Every second row and column tells as much as all.
        """
        top = self._done
        self._done += labels.shape[0]
        some = np.s_[top % 2 :: 2, ::2]
        clear = (labels[some] == 0) & (probability[some] <= self._clear)
        if not clear.any():
            return
        rows = np.arange(top + top % 2, self._done, 2) // BLOCK
        columns = np.arange(clear.shape[1]) // (BLOCK // 2)
        place = rows[:, None] * self._sums.shape[2] + columns
        place, value = place[clear], image[some][clear].astype(np.float64)
        size = self._sums[0].size
        weights = (None, value, np.square(value))
        for total, each in zip(self._sums, weights, strict=True):
            total += np.bincount(place, each, size).reshape(total.shape)

    def around(
        self, y: np.ndarray, x: np.ndarray, diameter: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Gaussian mean and deviation of the clear pixels around each bead, f64[N].

        One sigma for all, the diameter of the median bead. NaN where nothing is clear.
        """
        if not len(y) or not self._sums[0].any():
            return np.full((2, len(y)), np.nan)
        sigma = max(float(np.median(diameter)) / BLOCK, 0.5)
        while True:  # wider, until every bead has clear pixels near it
            at = tuple((c // BLOCK).astype(int) for c in (y, x))
            near, total, squares = (
                ndimage.gaussian_filter(g, sigma, mode="constant", truncate=3.0)[at]
                for g in self._sums
            )
            if (near > 1e-6).all() or sigma > max(self._sums[0].shape):
                with np.errstate(invalid="ignore", divide="ignore"):
                    mean = total / near
                    variance = squares / near - mean**2
                return mean, np.sqrt(np.maximum(variance, 0.0))
            sigma *= 2
