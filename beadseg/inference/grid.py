"""From the network's pixels back to those of the image."""

import numpy as np
from PIL import Image


def resample_map(values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """f32[h, w] to f32[H, W], bilinear; averaged over pixels when shrinking."""
    if values.shape == tuple(shape):
        return values
    resized = Image.fromarray(values).resize(shape[::-1], Image.Resampling.BILINEAR)
    return np.array(resized, np.float32)


def resample_beads(
    labels: np.ndarray,
    inside: np.ndarray,
    *,
    shape: tuple[int, int] | None = None,
    top: int = 0,
    label_top: int = 0,
) -> np.ndarray:
    """Labels on another grid: the outline of `inside` there, cut as `labels` are.

    A pixel belongs to the bead with the most weight among the four pixels of `labels`
    around it, as in bilinear interpolation, so that the lines between touching beads
    are smooth at any magnification.

    Args:
      labels: i32[h, w], or rows of it from `label_top`.
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
    filled, labels = labels > 0, _grown(labels)
    y, dy = _corners(inside.shape[0], height, whole, top)
    x, dx = _corners(inside.shape[1], labels.shape[1], inside.shape[1], 0)
    y = np.clip(y - label_top, 0, labels.shape[0] - 1)
    x = np.clip(x, 0, labels.shape[1] - 1)
    corners = [(rows[:, None], columns[None]) for rows in y for columns in x]
    inside = inside | np.logical_and.reduce([filled[c] for c in corners])  # holes too
    nearest = labels[np.where(dy < 0.5, *y)[:, None], np.where(dx < 0.5, *x)[None]]
    found = np.where(inside, nearest, 0)
    top_left, top_right, low_left, low_right = (labels[c] for c in corners)
    differ = (top_left != top_right) | (low_left != low_right) | (top_left != low_left)
    at = np.nonzero(differ & inside)
    corners = np.stack([c[at] for c in (top_left, top_right, low_left, low_right)])
    down, right = dy[at[0]], dx[at[1]]
    up, left = 1 - down, 1 - right
    weights = np.stack([up * left, up * right, down * left, down * right])
    votes = np.stack([(weights * (corners == c)).sum(0) for c in corners])
    votes[corners == 0] = 0
    best = votes.argmax(0)
    found[at] = np.where(
        votes.max(0) > 0, corners[best, np.arange(corners.shape[1])], 0
    )
    return found


def _corners(count: int, old: int, new: int, first: int):
    """Rows before and after the centres of `count` new rows, and the way between."""
    at = (np.arange(first, first + count) + 0.5) * (old / new) - 0.5
    low = np.floor(at).astype(np.intp)
    return np.stack((low, low + 1)), (at - low).astype(np.float32)


def _grown(labels: np.ndarray) -> np.ndarray:
    """Beads grown by a pixel where there is room."""
    padded = np.pad(labels, 1)
    height, width = labels.shape
    largest = np.zeros_like(labels)
    for i in range(3):
        for j in range(3):
            np.maximum(largest, padded[i : i + height, j : j + width], out=largest)
    return np.where(labels == 0, largest, labels)
