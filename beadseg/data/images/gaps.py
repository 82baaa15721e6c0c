"""Pixels without data: NaN, infinite and blank ones, as in registered or masked images.

So are floats whose differences 32 bits cannot hold: programs write the largest one
where nothing is known. They are neither bead nor background: unknown in training, left
out in prediction.
"""

import numpy as np
from scipy import ndimage

from beadseg.data.images.blank import blank
from beadseg.data.scaling import middle

# The median of absolute second differences of white noise of standard deviation 1.
SECOND_DIFFERENCE = 0.6745 * 6**0.5
GRAIN = 3.0  # px
LARGEST = 1e37  # of a float with data
SIDE = 1024  # px of the middle of an image, which tell its noise


def has_data(pixels: np.ndarray) -> np.ndarray:
    """Which pixels are numbers that an image may hold, a bool each."""
    if pixels.dtype.kind != "f":
        return np.ones(pixels.shape, bool)
    return np.abs(pixels) <= min(LARGEST, float(np.finfo(pixels.dtype).max))


def missing(image: np.ndarray) -> np.ndarray | None:
    """Where an image [H, W] has no data, bool[H, W]; None: nowhere."""
    return _with_lost(blank(image), image)


def fill(image: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Gives pixels without data the mean of those around, and the noise of the image.

    The noise is white; in a blank frame it is the mirrored one of the image, as noise
    that neighbouring pixels share is what beads in a thin field are told from.

    Args:
      image: [H, W] of any real type, with data somewhere.

    Returns:
      The image, finite, and where it had no data, bool[H, W]; None: nowhere.
    """
    empty = blank(image)
    where = _with_lost(empty, image)
    if where is None:
        return image, None
    values = np.where(where, 0, image).astype(np.float64)
    means = _spread(values, (~where).astype(np.float64))
    known = image[~where]
    filled = means[where]
    noise = np.random.default_rng(0).normal(0, _noise(image, where), filled.shape)
    if empty is not None:
        grain = np.where(empty, _mirrored(values, means, where), np.nan)[where]
        noise = np.where(np.isnan(grain), noise, grain)
    filled += noise
    result = image.copy()
    result[where] = filled.clip(known.min(), known.max()).astype(image.dtype)
    return result, where


def wide(missing: np.ndarray) -> np.ndarray:
    """Gaps of 3 px and more across, bool[H, W]: in them nothing can be guessed."""
    framed = np.pad(missing, 1, mode="edge")
    return ndimage.binary_opening(framed, np.ones((3, 3), bool))[1:-1, 1:-1]


def note(missing: int, pixels: int) -> str:
    """A line for the person."""
    share = f"{missing:,} of {pixels:,} pixels"
    return f"{share} have no data (NaN, infinite or blank): left out"


def _with_lost(empty: np.ndarray | None, image: np.ndarray) -> np.ndarray | None:
    """Blank areas bool[H, W] and the pixels that are no finite number; None: none."""
    if image.dtype.kind != "f":
        return empty
    lost = ~has_data(image)
    if lost.any():
        return lost if empty is None else empty | lost
    return empty


def _noise(image: np.ndarray, where: np.ndarray) -> float:
    """Standard deviation of the noise, in the middle of an image with gaps."""
    seen = middle(image.shape, SIDE)
    values = np.where(where[seen], np.nan, image[seen].astype(np.float64))
    found = [np.abs(np.diff(some, 2, axis=0)) for some in (values, values.T)]
    medians = [np.nanmedian(some) for some in found if np.isfinite(some).any()]
    return max(medians, default=0.0) / SECOND_DIFFERENCE


def _mirrored(values: np.ndarray, means: np.ndarray, where: np.ndarray) -> np.ndarray:
    """What is finer than `GRAIN` px, mirrored beyond the data: f64[H, W]; NaN: nothing.

    Args:
      values: f64[H, W], 0 without data.
      means: f64[H, W], what lies around there.
      where: bool[H, W], no data.
    """
    whole = np.where(where, means, values)
    grain = np.where(where, np.nan, whole - ndimage.gaussian_filter(whole, GRAIN))
    spans = [np.flatnonzero(~where.all(1 - axis)) for axis in (0, 1)]
    box = tuple(slice(span[0], span[-1] + 1) for span in spans)
    frame = [
        (span[0], size - 1 - span[-1])
        for span, size in zip(spans, where.shape, strict=True)
    ]
    return np.pad(grain[box], frame, mode="symmetric")


def _spread(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weighted means on ever coarser grids, where finer ones hold nothing."""
    means = np.divide(values, weight, out=np.zeros_like(values), where=weight > 0)
    if (weight > 0).all() or values.size == 1:
        return means
    coarse = _spread(_halved(values), _halved(weight))
    enlarged = _doubled(_doubled(coarse).T).T[: values.shape[0], : values.shape[1]]
    return np.where(weight > 0, means, enlarged)


def _doubled(values: np.ndarray) -> np.ndarray:
    """Twice as many rows, between those that there are."""
    framed = np.pad(values, ((1, 1), (0, 0)), mode="edge")
    halves = 0.75 * values + 0.25 * np.stack([framed[:-2], framed[2:]])
    return halves.swapaxes(0, 1).reshape(-1, values.shape[1])


def _halved(values: np.ndarray) -> np.ndarray:
    height, width = values.shape
    even = np.pad(values, ((0, height % 2), (0, width % 2)))
    return even.reshape(even.shape[0] // 2, 2, even.shape[1] // 2, 2).sum((1, 3))
