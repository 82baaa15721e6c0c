"""The outlines of beads as polygons, of many beads at once."""

from collections.abc import Iterator

import numpy as np
from skimage import measure

from beadseg.inference.scratch import Scratch

BATCH = 2**18  # px of the boxes of beads that are outlined at once
# Sides of a pixel, and the way along its outline on each with the pixel to the right.
RIGHT, DOWN, LEFT, UP = range(4)
_HALF = np.array([(0, 0.5), (0.5, 0), (0, -0.5), (-0.5, 0)])  # to the middle of a side


def polygons(
    labels: np.ndarray | Scratch, boxes: np.ndarray, beads: np.ndarray
) -> Iterator[np.ndarray]:
    """Yields the outline of each bead, f32[n, 2] (y, x), the first point not repeated.

    Points lie between pixels, in px from the centre of the first pixel of the image,
    and only where the outline turns: the polygon of marching squares (Lorensen & Cline
    1987) with pixels that touch at a corner joined. Of a bead in several parts the
    longest outline is given.

    Args:
      labels: i32[H, W].
      boxes: i64[N, 4], first and last + 1 row, first and last + 1 column of each bead.
      beads: i64[N], their labels.
    """
    patches: list[np.ndarray] = []
    corners: list[tuple[int, int]] = []
    pixels = 0
    for bead, (top, bottom, left, right) in zip(beads, boxes.tolist(), strict=True):
        inside = np.zeros((bottom - top + 2, right - left + 2), bool)
        np.equal(labels[top:bottom, left:right], bead, out=inside[1:-1, 1:-1])
        patches.append(inside)
        corners.append((top - 1, left - 1))
        pixels += inside.size
        if pixels >= BATCH:
            yield from _outlined(patches, corners)
            patches, corners, pixels = [], [], 0
    if patches:
        yield from _outlined(patches, corners)


def _outlined(
    patches: list[np.ndarray], corners: list[tuple[int, int]]
) -> Iterator[np.ndarray]:
    """The outlines of patches with nothing along their borders.

    All are followed at once, side of pixel by side of pixel, from the upper side of
    the first pixel of each.
    """
    sizes = np.array([patch.size for patch in patches])
    widths = np.array([patch.shape[1] for patch in patches])
    ends = np.cumsum(sizes)
    pixel, side, patch, following = _sides(
        np.concatenate([patch.ravel() for patch in patches]), widths, sizes
    )
    y, x = np.divmod(pixel - (ends - sizes)[patch], widths[patch])
    points = np.stack((y, x), 1) + np.array(corners)[patch] + _HALF[side]
    turns = np.empty(len(pixel), bool)
    way = points[following] - points
    turns[following] = (way[following] != way).any(1)

    # The sides come in the order of pixels: of each patch the upper of the first.
    upper = np.flatnonzero(side == UP)
    first = upper[np.searchsorted(patch[upper], np.arange(len(patches)))]
    rank = np.full(len(pixel), -1)
    at, start, step = first, first, 0
    while len(at):
        rank[at] = step
        at, step = following[at], step + 1
        going = at != start
        at, start = at[going], start[going]
    seen = np.bincount(patch[rank >= 0], minlength=len(patches))
    every = np.bincount(patch, minlength=len(patches))
    drawn = np.flatnonzero((rank >= 0) & turns)
    drawn = drawn[np.lexsort((rank[drawn], patch[drawn]))]
    last = np.searchsorted(patch[drawn], np.arange(1, len(patches)))
    found = np.split(points[drawn].astype(np.float32), last)
    for inside, corner, outline, whole in zip(
        patches, corners, found, seen * 2 >= every, strict=True
    ):
        yield outline if whole else _longest(inside, corner)


def _sides(inside: np.ndarray, widths: np.ndarray, sizes: np.ndarray):
    """Sides of pixels on the outlines: pixel, side, patch, and the number of the next.

    `inside` is of all patches one after the other.
    """
    here = np.flatnonzero(inside)
    patch = np.repeat(np.arange(len(sizes)), sizes)[here]
    down = widths[patch]
    steps = {RIGHT: 1, DOWN: down, LEFT: -1, UP: -down}
    open_ = np.stack([~inside[here + steps[side]] for side in range(4)], 1)
    row, side = np.nonzero(open_)
    number = np.full(4 * len(inside), -1, np.int32)
    pixel, patch = here[row], patch[row]
    number[4 * pixel + side] = np.arange(len(pixel), dtype=np.int32)
    step = np.stack(np.broadcast_arrays(1, widths, -1, -widths), 1)
    out, along = step[patch, side], step[patch, (side + 1) % 4]
    # On the next pixel along, and on the one beyond it towards the outside.
    straight, concave = inside[pixel + along], inside[pixel + along + out]
    target = np.where(
        concave,
        4 * (pixel + along + out) + (side + 3) % 4,
        np.where(straight, 4 * (pixel + along) + side, 4 * pixel + (side + 1) % 4),
    )
    return pixel, side, patch, number[target]


def _longest(inside: np.ndarray, corner: tuple[int, int]) -> np.ndarray:
    """The longest outline of a bead in parts."""
    found = measure.find_contours(inside.astype(np.uint8), 0.5, fully_connected="high")
    outline = max(found, key=len)
    way = np.diff(outline, axis=0)
    turns = (way != np.roll(way, 1, axis=0)).any(1)
    return (outline[:-1][turns] + corner).astype(np.float32)
