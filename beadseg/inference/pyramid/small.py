"""Whether an image holds more than the beads that coarse levels found in it.

Finer levels cost four times as much each. Where all beads are large, nothing else looks
like bead to the network, and no spot stands out of what lies around it, they show
nothing new.
"""

import numpy as np
from scipy import ndimage

from beadseg.inference.networks.tiles import Source

EDGE = 0.2  # radii around an outline that are not looked at, for its own contrast
EDGE_LEAST = 4  # px, likewise; and at the border, which cuts beads
BORDER = np.s_[EDGE_LEAST:-EDGE_LEAST, EDGE_LEAST:-EDGE_LEAST]
MAYBE = 0.3  # probability of a pixel that is something
MUCH = 0.001  # of the pixels outside of beads: more is something
SPOT = (1.0, 2.0)  # px, sigmas whose difference shows spots of 1 to 6 px
AROUND = 25  # px, side of the square whose spots are compared
STANDS_OUT = 6.0  # times their standard deviation; 4.9 in a megapixel of noise
GRAIN = (1.0, 3.0)  # px of the image, sigmas whose difference shows small beads
TEXTURE = 0.03  # of the contrast, their deviation in a bead: more, and it is a clump
FEW = 50  # spots that are looked at one by one
REACH = 6  # px of the image around each
SPECK = 6  # px of the image at half its height: a spot of fewer is no bead


def only_beads(
    read: Source,
    shape: tuple[int, int],
    level: np.ndarray,
    probability: np.ndarray,
    y: np.ndarray,
    x: np.ndarray,
    diameter: np.ndarray,
) -> bool:
    """Whether a level shows nothing but these beads.

    Args:
      read: windows of the image as the network sees it at its own scale.
      shape: [H, W] of that.
      level: f32[h, w], as the network sees it at the level.
      probability: f32[h, w], what it says there.
      y, x, diameter: f[N] of the beads, px of the level.
    """
    off = _off(level.shape, y, x, diameter / 2)
    apart = np.pad(np.abs(off[BORDER]) > 1, EDGE_LEAST)
    outside = apart & (off > 0)
    if np.count_nonzero(outside & (probability >= MAYBE)) > MUCH * level.size:
        return False
    fine, coarse = (ndimage.gaussian_filter(level, sigma) for sigma in SPOT)
    spots = np.where(apart, np.square(fine - coarse), 0)
    share = ndimage.uniform_filter(apart.astype(np.float32), AROUND)
    usual = ndimage.uniform_filter(spots, AROUND) / np.maximum(share, 1e-3)
    high, count = ndimage.label(spots > STANDS_OUT**2 * np.maximum(usual, 1e-9))
    if count > FEW:
        return False
    ratio = np.divide(shape, level.shape)
    at = ndimage.center_of_mass(high > 0, high, np.arange(1, count + 1))
    spots = [_window(read, shape, (np.array(c) + 0.5) * ratio, REACH) for c in at]
    if not all(map(_is_speck, spots)):
        return False
    at = np.stack([y, x], 1)
    radius = diameter[:, None] / 2
    whole = ((at >= radius) & (at <= np.array(level.shape) - 1 - radius)).all(1)
    centres = (at[whole] + 0.5) * ratio
    inner = np.maximum(diameter[whole] / 4 * ratio.max(), REACH).astype(int)
    return not any(
        _has_grain(_window(read, shape, c, reach))
        for c, reach in zip(centres, inner.tolist(), strict=True)
    )


def _window(read: Source, shape: tuple[int, int], centre, reach: int) -> np.ndarray:
    spans = (
        (max(int(c) - reach, 0), min(int(c) + reach + 1, n))
        for c, n in zip(centre, shape, strict=True)
    )
    (top, bottom), (left, right) = spans
    return read(top, bottom, left, right)


def _is_speck(spot: np.ndarray) -> bool:
    """Whether a spot is smaller than any bead, such as a hot pixel."""
    height = np.abs(spot - np.median(spot))
    return bool(np.count_nonzero(height > height.max() / 2) < SPECK)


def _has_grain(inside: np.ndarray) -> bool:
    """Whether the middle of a bead is made of small things."""
    fine, coarse = (ndimage.gaussian_filter(inside, sigma) for sigma in GRAIN)
    return bool(np.std(fine - coarse) > TEXTURE)


def _off(shape: tuple[int, int], y, x, radius) -> np.ndarray:
    """How far each pixel is outside of the nearest outline, f32; in widths of edges."""
    off = np.full(shape, np.inf, np.float32)
    for row, column, r in zip(y.tolist(), x.tolist(), radius.tolist(), strict=True):
        edge = max(EDGE_LEAST, EDGE * r)
        reach = r + edge + 1
        top, left = max(int(row - reach), 0), max(int(column - reach), 0)
        box = np.s_[top : int(row + reach) + 2, left : int(column + reach) + 2]
        height, width = off[box].shape
        apart = np.hypot(
            np.arange(top, top + height)[:, None] - row,
            np.arange(left, left + width) - column,
        )
        here = ((apart - r) / edge).astype(np.float32)
        np.copyto(off[box], here, where=np.abs(here) < np.abs(off[box]))
    return off
