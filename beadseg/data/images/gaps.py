"""Pixels without data: NaN and infinite ones, as in registered or masked images.

They are neither bead nor background: unknown in training, left out in prediction.
"""

import numpy as np
from scipy import ndimage


def missing(image: np.ndarray) -> np.ndarray | None:
    """Where an image [H, W] has no data, bool[H, W]; None: nowhere."""
    if image.dtype.kind != "f":
        return None
    found = ~np.isfinite(image)
    return found if found.any() else None


def fill(image: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Gives pixels without data the mean of those around.

    Args:
      image: [H, W] of any real type, with data somewhere.

    Returns:
      The image, finite, and where it had no data, bool[H, W]; None: nowhere.
    """
    where = missing(image)
    if where is None:
        return image, None
    values = np.where(where, 0, image).astype(np.float64)
    means = _spread(values, (~where).astype(np.float64))
    return np.where(where, means.astype(image.dtype), image), where


def wide(missing: np.ndarray) -> np.ndarray:
    """Gaps of 3 px and more across, bool[H, W]: in them nothing can be guessed."""
    framed = np.pad(missing, 1, mode="edge")
    return ndimage.binary_opening(framed, np.ones((3, 3), bool))[1:-1, 1:-1]


def note(missing: int, pixels: int) -> str:
    """A line for the person."""
    return f"{missing:,} of {pixels:,} pixels have no data (NaN or infinite): left out"


def _spread(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weighted means on ever coarser grids, where finer ones hold nothing."""
    means = np.divide(values, weight, out=np.zeros_like(values), where=weight > 0)
    if (weight > 0).all() or values.size == 1:
        return means
    coarse = _spread(_halved(values), _halved(weight))
    enlarged = coarse.repeat(2, 0).repeat(2, 1)[: values.shape[0], : values.shape[1]]
    return np.where(weight > 0, means, enlarged)


def _halved(values: np.ndarray) -> np.ndarray:
    height, width = values.shape
    even = np.pad(values, ((0, height % 2), (0, width % 2)))
    return even.reshape(even.shape[0] // 2, 2, even.shape[1] // 2, 2).sum((1, 3))
