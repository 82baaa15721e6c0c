"""From the network's pixels back to those of the image."""

import math

import numpy as np
from PIL import Image
from scipy import ndimage

SURE = 1e-4  # probabilities closer to 0 or 1 are interpolated as this
SOFT = 1.0  # px of the network, sigma by which beads are blurred to be cut
REACH = 4  # px of the network, what is looked at around a pixel
NEAR = 0.3  # of a blurred bead: what has less is half a pixel and more beyond it
FILLED = 0.95  # of all blurred beads: what has more is deep in one


Box = tuple[float, float, float, float]  # left, top, right, bottom


def resample_map(
    values: np.ndarray, shape: tuple[int, int], box: Box | None = None
) -> np.ndarray:
    """f32[h, w] to f32[H, W], bilinear; averaged over pixels when shrinking.

    Args:
      values: of the network's pixels.
      shape: (H, W).
      box: the part of `values` that is resampled; None: all.
    """
    if values.shape == tuple(shape) and box is None:
        return values
    return _resized(values, shape, Image.Resampling.BILINEAR, box)


def resample_probability(
    values: np.ndarray, shape: tuple[int, int], box: Box | None = None
) -> np.ndarray:
    """f32[h, w] of probabilities to f32[H, W]: their logits, bicubic.

    Across the edge of a bead the logit is all but linear, and the probability a step:
    the outline lies between the pixels where the network drew it, and is smooth.

    Takes what `resample_map` takes.
    """
    if values.shape == tuple(shape) and box is None:
        return values
    clipped = np.clip(values, SURE, 1 - SURE)
    logits = np.log(clipped / (1 - clipped))
    odds = _resized(-logits, shape, Image.Resampling.BICUBIC, box)
    np.exp(odds, out=odds)  # in place: the page may be large
    odds += 1
    return np.reciprocal(odds, out=odds)


def _resized(values, shape, filter_: Image.Resampling, box: Box | None) -> np.ndarray:
    image = Image.fromarray(np.asarray(values, np.float32))
    return np.array(image.resize(shape[::-1], filter_, box), np.float32)


def rows_around(rows: slice, old: int, new: int) -> tuple[int, int]:
    """First and last + 1 of `old` rows that are looked at for `rows` of `new`."""
    ratio = old / new
    reach = math.ceil(REACH * max(ratio, 1.0)) + 2
    first, last = math.floor(rows.start * ratio), math.ceil(rows.stop * ratio)
    return max(first - reach, 0), min(last + reach, old)


def resample_beads(
    labels: np.ndarray,
    inside: np.ndarray,
    *,
    shape: tuple[int, int] | None = None,
    top: int = 0,
    label_top: int = 0,
) -> np.ndarray:
    """Labels on another grid: the outline of `inside` there, cut as `labels` are.

    A pixel belongs to the bead that is strongest there when each is blurred by less
    than a pixel of the network, so that the lines between touching beads are smooth at
    any magnification.

    Args:
      labels: i32[h, w]; or rows of it from `label_top`, as of `rows_around`.
      inside: bool[H, W], the pixels that are in a bead; or rows of it from `top`.
      shape: (h, H), the heights of the two whole grids, where rows are given.
      top: first row of `inside`.
      label_top: first row of `labels`.

    Returns:
      i32[H, W]: 0 where no bead is near, and outside `inside` but for the holes that
      labels cover. On one grid they are as they were.
    """
    height, whole = shape or (labels.shape[0], inside.shape[0])
    if height == whole and labels.shape[1] == inside.shape[1]:
        return labels[top - label_top : top - label_top + inside.shape[0]]
    rows = _Blur(height, whole, slice(top, top + inside.shape[0]), label_top)
    columns = _Blur(labels.shape[1], inside.shape[1], slice(0, inside.shape[1]), 0)
    beads = np.union1d([0], labels)
    numbers = np.searchsorted(beads, labels).astype(np.int32)
    found = np.zeros(inside.shape, np.int32)
    strongest = np.full(inside.shape, NEAR, np.float32)
    covered = np.zeros(inside.shape, np.float32)
    for i, box in enumerate(ndimage.find_objects(numbers), 1):
        (y, down), (x, across) = rows.of(box[0]), columns.of(box[1])
        strength = down @ (numbers[box] == i).astype(np.float32) @ across.T
        covered[y, x] += strength
        wins = strength > strongest[y, x]
        strongest[y, x][wins] = strength[wins]
        found[y, x][wins] = beads[i]
    found[~(inside | (covered > FILLED))] = 0
    return found


class _Blur:
    """Weights of an axis: from pixels of the network to those of the image."""

    def __init__(self, old: int, new: int, span: slice, first: int):
        """`old` pixels to `span` of `new`; `first` is that of the labels."""
        self._at = (np.arange(span.start, span.stop) + 0.5) * (old / new) - 0.5
        self._sigma = max(SOFT, old / new / 2)
        self._reach = REACH * self._sigma / SOFT
        self._first = first
        steps = np.arange(-int(self._reach) - 1, int(self._reach) + 2)
        near = np.round(self._at)[:, None] + steps
        weights = self._weight(self._at[:, None] - near)
        self._sum = np.where((near >= 0) & (near < old), weights, 0).sum(1)

    def of(self, box: slice) -> tuple[slice, np.ndarray]:
        """The pixels that a box of the labels reaches, and f32[pixels, box]."""
        start, stop = box.start + self._first, box.stop + self._first
        ends = (start - self._reach, stop - 1 + self._reach)
        pixels = slice(*np.searchsorted(self._at, ends))
        off = self._at[pixels, None] - np.arange(start, stop)
        weights = self._weight(off) / self._sum[pixels, None]
        return pixels, weights.astype(np.float32)

    def _weight(self, off: np.ndarray) -> np.ndarray:
        weights = np.exp(-0.5 * np.square(off / self._sigma))
        return np.where(np.abs(off) <= self._reach, weights, 0)
