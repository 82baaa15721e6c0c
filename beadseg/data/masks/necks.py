"""Parting beads that touch: by the necks of a mask, or by the room of equal ones."""

import numpy as np
from scipy import ndimage

from beadseg.data.masks.watershed import watershed

# A neck below this share of the width of the thinner part it joins separates two beads:
# equal discs of radius R do so when their centres are more than 0.9 R apart, an
# ellipse or a bent rod has no neck. Outlines of pixels move a neck by about half a px.
NECK = -float(np.log(0.9))
_OUTLINE = 0.5  # px

# Beads that all are of one size: a region of the area of two is two that touch.
ALIKE = 0.8  # diameter of the smallest beads in median ones: all are of one size
ALONE = 1.4  # areas of a bead, below which a region is one
LONG, TWO = 1.3, 1.6  # longer than wide, or of so many areas: two
STEPS = 10  # of k-means
ROWS = 1024  # of labels that are counted at once


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


def part_equal(labels: np.ndarray, count: int, diameter: float) -> np.ndarray:
    """Parts regions that are as large as several beads.

    Their pixels go to the nearest of as many centres as beads have room (k-means, from
    places along the longest axis).

    Args:
      labels: i32[H, W], 1..count; parts beyond the first get new numbers, in place.
      count: of regions.
      diameter: px across each bead; where most single ones are larger, all are.

    Returns:
      i64[M], of which region each new number, from count + 1 on, was a part.
    """
    if not count:
        return np.zeros(0, int)
    areas = sum(
        np.bincount(labels[top : top + ROWS].ravel(), minlength=count + 1)[1:]
        for top in range(0, len(labels), ROWS)
    )
    one = np.pi / 4 * diameter**2
    alone = areas[areas < TWO * one]
    if len(alone):
        one = max(one, float(np.median(alone)))
    of: list[int] = []
    for label, box in enumerate(ndimage.find_objects(labels, count), start=1):
        if box is None or np.prod([s.stop - s.start for s in box]) < ALONE * one:
            continue
        inside = labels[box] == label
        places = np.argwhere(inside)
        beads = _room(places, one)
        if beads < 2:
            continue
        nearest = _parts(places, beads)
        first = count + len(of) + 1
        numbers = np.concatenate([[label], np.arange(first, first + beads - 1)])
        part = labels[box]
        part[inside] = numbers[nearest]
        labels[box] = part
        of += [label] * (beads - 1)
    return np.array(of, int)


def _room(places: np.ndarray, one: float) -> int:
    """How many beads of an area a region i[N, 2] holds."""
    areas = len(places) / one
    if areas < ALONE:
        return 1
    short, long = np.linalg.eigvalsh(np.cov(places.T) + np.eye(2) / 12)
    if areas < TWO and long < LONG**2 * short:
        return 1
    return max(round(areas), 2)


def _parts(places: np.ndarray, beads: int) -> np.ndarray:
    """The nearest of so many centres, i[N] of 0..beads-1, each of some pixel."""
    off = places - places.mean(0)
    axis = np.linalg.eigh(np.cov(off.T))[1][:, 1]
    along = off @ axis
    middles = (np.arange(beads) + 0.5) / beads
    centres = np.quantile(along, middles)[:, None] * axis
    for _ in range(STEPS):
        nearest = np.square(off[:, None] - centres).sum(-1).argmin(1)
        size = np.bincount(nearest, minlength=beads)
        if not size.all():
            break
        sums = [np.bincount(nearest, values, beads) for values in off.T]
        centres = np.stack(sums, 1) / size[:, None]
    return np.square(off[:, None] - centres).sum(-1).argmin(1)
