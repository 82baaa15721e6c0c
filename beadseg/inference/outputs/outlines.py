"""The outlines of beads as polygons.

ImageJ ROIs, GeoJSON and overlays hold one outline per bead: holes are filled, and of a
bead in several parts the longest outline alone is written. Labels and areas are of all
of its pixels, without its holes.
"""

from collections.abc import Iterator

import numpy as np
from contourpy import LineType, contour_generator

from beadseg.inference.scratch import Scratch

# Of a mask, between its values; where two pixels touch at a corner, the mean of the
# four around it is above the first and below the second.
JOINED, APART = 0.5 - 1e-9, 0.5 + 1e-9
BATCH = 2**18  # px that are outlined at once


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
    first, last = 0, 0
    while first < len(beads):
        height = width = 0
        while last < len(beads):  # side by side, as many as are outlined at once
            top, bottom, left, right = boxes[last].tolist()
            height, width = max(height, bottom - top), width + right - left + 1
            if height * width > BATCH and last > first:
                break
            last += 1
        yield from _outlined(labels, boxes[first:last], beads[first:last])
        first = last


def _outlined(labels, boxes: np.ndarray, beads: np.ndarray) -> Iterator[np.ndarray]:
    """The outlines of some beads, drawn side by side."""
    height = int((boxes[:, 1] - boxes[:, 0]).max())
    ends = np.cumsum(boxes[:, 3] - boxes[:, 2] + 1)
    drawn = np.zeros((height, ends[-1]), bool)
    starts = [0, *ends[:-1].tolist()]
    for bead, start, (top, bottom, left, right) in zip(
        beads, starts, boxes.tolist(), strict=True
    ):
        part = drawn[: bottom - top, start : start + right - left]
        np.equal(labels[top:bottom, left:right], bead, out=part)
    longest: dict[int, np.ndarray] = {}
    lines = marching_squares(drawn, JOINED)
    owners = np.searchsorted(ends, [line[0, 0] + 1 for line in lines], "right").tolist()
    for owner, line in zip(owners, lines, strict=True):
        if owner not in longest or len(line) > len(longest[owner]):
            longest[owner] = line
    for i, (start, (top, _, left, _)) in enumerate(
        zip(starts, boxes.tolist(), strict=True)
    ):
        way = np.diff(longest[i], axis=0)
        turns = (way != np.roll(way, 1, axis=0)).any(1)
        yield (longest[i][:-1][turns, ::-1] + (top, left - start)).astype(np.float32)


def marching_squares(shape: np.ndarray, level: float) -> list[np.ndarray]:
    """Closed lines around a shape and its holes, one point on each side of a pixel.

    Args:
      shape: bool[h, w].
      level: `JOINED` or `APART`, what pixels are that touch at a corner alone.

    Returns:
      f64[n, 2] (x, y) each, the last point as the first, from the first pixel's centre.
    """
    framed = np.pad(shape, 1).astype(float)
    outlines = contour_generator(
        z=framed, name="serial", line_type=LineType.ChunkCombinedOffset
    )
    (points,), (offsets,) = outlines.lines(level)
    if points is None:
        return []
    return np.split(np.round(2 * points) / 2 - 1, offsets[1:-1])
