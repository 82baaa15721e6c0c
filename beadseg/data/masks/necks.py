"""Cutting a binary mask into its beads where they touch, by its necks alone."""

import numpy as np
from scipy import ndimage

from beadseg.data.masks.watershed import watershed

# A neck below this share of the width of the thinner part it joins separates two beads:
# equal discs of radius R do so when their centres are more than 0.9 R apart, an
# ellipse or a bent rod has no neck. Outlines of pixels move a neck by about half a px.
NECK = -float(np.log(0.9))
_OUTLINE = 0.5  # px


def separate(mask: np.ndarray) -> np.ndarray:
    """Cuts a binary mask into its beads where they touch, by its necks alone.

    The hills of the distance to the background: two tops are two beads if the way
    between them leaves by a neck. On a logarithm of the distance, so that what counts
    as a neck does not depend on the size of the bead.

    Args:
      mask: bool [H, W].

    Returns:
      int32 [H, W]: 0 background, 1..N beads. Every pixel of the mask is in a bead.
    """
    mask = np.asarray(mask, bool)
    if mask.all():
        return mask.astype(np.int32)
    return watershed(neck_height(ndimage.distance_transform_edt(mask)), mask, NECK)


def neck_height(distance: np.ndarray) -> np.ndarray:
    """A distance to the background, px, as a height with necks `NECK` deep: f32."""
    return np.log1p(distance / _OUTLINE).astype(np.float32)


def roundness(mask: np.ndarray, pieces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Areas i64[N], px, and their ratios f64[N] to the largest disc inside.

    A disc has 1, an ellipse its aspect, a gap between touching discs 2 and more.

    Args:
      mask: bool[H, W]; beyond the border of the image is no mask.
      pieces: i32[H, W], of the mask, 1..N.
    """
    count = int(pieces.max())
    if not count:
        return np.zeros(0, np.int64), np.zeros(0)
    inside = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    area = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
    deepest = ndimage.maximum(inside, pieces, np.arange(1, count + 1))
    return area, area / (np.pi * np.square(deepest))
