"""The pixels of a brush stroke, in a time that is bounded before any is computed."""

import numpy as np

from beadseg.errors import BeadsegError

_POINTS = 10_000  # that are given
_STEPS = 10_000  # of a line between two
_DISCS = 100_000  # that touch the image
_ROWS = 2_500_000  # of these discs, together
_CHUNK = 1_000_000  # rows at a time


def stroke_pixels(points: object, radius: float, shape: tuple[int, int]) -> np.ndarray:
    """Pixels within `radius` of the line through the points: bool[H, W].

    The line is followed by discs, half a radius apart. Those that miss the image cost
    nothing.

    Args:
      points: [[y, x], ...] as JSON has them.
      radius: px.
      shape: H, W.

    Raises:
      BeadsegError: no points, or more of a stroke than a person draws.
    """
    points = _as_array(points)
    begins, ends = points[[0, *range(len(points) - 1)]], points
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.hypot(*(ends - begins).T)
        steps = np.minimum(lengths / max(0.5 * radius, 0.5) + 1, _STEPS).astype(int)
    steps[0] = 1  # the first point itself
    first, last = _inside(begins, ends, steps, radius, shape)
    counts = np.maximum(last - first + 1, 0)
    rows_each = 2 * int(radius) + 3
    if counts.sum() > _DISCS or counts.sum() * rows_each > _ROWS:
        raise BeadsegError("that stroke is too long: draw it in parts")
    which = np.repeat(np.arange(len(points)), counts)
    nth = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    nth += np.repeat(first, counts)
    share = np.where(nth == steps[which], 1.0, nth * (1.0 / steps[which]))
    centres = begins[which] + (ends - begins)[which] * share[:, None]
    stroke = np.zeros(shape, bool)
    if len(centres):
        low = np.maximum(np.floor(centres.min(0) - radius), 0).astype(int)
        high = np.minimum(np.ceil(centres.max(0) + radius) + 1, shape).astype(int)
        height, width = np.maximum(high - low, 0)
        edges = np.zeros((height, width + 1), np.int32)  # of rows: begin +1, end -1
        size = max(_CHUNK // rows_each, 1)
        for start in range(0, len(centres), size):
            _mark(edges, centres[start : start + size] - low, radius)
        box = slice(low[0], low[0] + height), slice(low[1], low[1] + width)
        stroke[box] = np.cumsum(edges[:, :-1], axis=1) > 0
    return stroke


def _inside(begins, ends, steps, radius: float, shape) -> tuple[np.ndarray, np.ndarray]:
    """Of the steps 1, 2, ... of each line, the first and last that may touch the image.

    Lines that miss it have a last before their first.
    """
    enters, leaves = np.zeros(len(steps)), np.ones(len(steps))
    with np.errstate(all="ignore"):
        for axis in range(2):
            low, high = -radius - 1, shape[axis] + radius + 1
            begin, way = begins[:, axis], ends[:, axis] - begins[:, axis]
            one, two = (low - begin) / way, (high - begin) / way
            within = (begin >= low) & (begin <= high)
            flat = way == 0
            near = np.where(flat, np.where(within, 0.0, 2.0), np.minimum(one, two))
            far = np.where(flat, np.where(within, 1.0, -1.0), np.maximum(one, two))
            enters, leaves = np.fmax(enters, near), np.fmin(leaves, far)
    first = np.maximum(np.floor(enters * steps).astype(int) - 1, 1)
    last = np.minimum(np.ceil(leaves * steps).astype(int) + 1, steps)
    return first, last


def _mark(edges: np.ndarray, centres: np.ndarray, radius: float) -> None:
    """Adds the rows of discs to `edges`."""
    height, width = edges.shape[0], edges.shape[1] - 1
    y, x = centres.T
    offsets = np.arange(-int(radius) - 1, int(radius) + 2)
    rows = np.floor(y).astype(int)[:, None] + offsets
    left = radius**2 - (rows - y[:, None]) ** 2
    hit = (rows >= 0) & (rows < height) & (left >= 0)
    rows, x = rows[hit], np.broadcast_to(x[:, None], hit.shape)[hit]
    down = (rows - np.broadcast_to(y[:, None], hit.shape)[hit]) ** 2
    half = np.sqrt(left[hit])

    def covers(column: np.ndarray) -> np.ndarray:
        return down + (column - x) ** 2 <= radius**2

    start, stop = np.ceil(x - half).astype(int), np.floor(x + half).astype(int)
    # The square root is rounded: the pixel itself decides.
    start = np.where(
        covers(start - 1), start - 1, np.where(covers(start), start, start + 1)
    )
    stop = np.where(covers(stop + 1), stop + 1, np.where(covers(stop), stop, stop - 1))
    start, stop = np.clip(start, 0, width), np.clip(stop + 1, 0, width)
    some = start < stop
    np.add.at(edges, (rows[some], start[some]), 1)
    np.add.at(edges, (rows[some], stop[some]), -1)


def _as_array(points: object) -> np.ndarray:
    if not isinstance(points, list) or not 1 <= len(points) <= _POINTS:
        raise BeadsegError("a stroke needs points")
    if not all(
        isinstance(pair, list)
        and len(pair) == 2
        and all(type(v) in (int, float) and abs(v) <= 1e9 for v in pair)
        for pair in points
    ):
        raise BeadsegError("the points of a stroke are pairs of y, x")
    return np.array(points, float)
