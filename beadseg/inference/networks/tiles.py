"""Exact tiling: windows through a network give what the whole image would.

Windows begin on the pooling grid and reach beyond the part that is kept of them by the
receptive field, so that a kept pixel sees in its window all that it would see in the
image. At the right and the bottom the image goes on as inside the network, by repeating
its edge up to the grid.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from beadseg.errors import BeadsegError
from beadseg.inference.networks.runtime import Fetch, runtime
from beadseg.inference.run import Run

TILE = 1024  # px kept of a window, a side
LEAST_TILE = 16  # px; around less a window is nearly all overlap
SYMMETRIES = 8  # of the square: four turns, each mirrored or not

# From rows and columns (first, last + 1; may reach beyond the image) to f32[h, w].
Source = Callable[[int, int, int, int], np.ndarray]


class Span(NamedTuple):
    """A window along one axis, px."""

    start: int
    stop: int
    first: int  # of what is kept
    last: int  # after it


class Band(NamedTuple):
    """Finished rows of the maps of an image, f32[rows, W]."""

    top: int
    probability: np.ndarray
    distance: np.ndarray | None  # where the network has that head
    mean_square: np.ndarray | None  # of the probabilities; None: there is one

    @property
    def square(self) -> np.ndarray:
        """Mean square of the probabilities, f32[rows, W]."""
        known = self.mean_square is not None
        return self.mean_square if known else np.square(self.probability)


class Network:
    """The network of a run, applied window by window.

    Args:
      run: to predict with.
      tile: px kept of a window, a side, `LEAST_TILE` or more.
      overlap: px by which windows reach beyond that; None: as far as exactness needs.
        With less, neighbours are blended into each other.
      augment: predicts each window in its 8 symmetries and takes the mean.

    Raises:
      BeadsegError: a tile or an overlap that makes no tiling.
    """

    def __init__(
        self,
        run: Run,
        *,
        tile: int = TILE,
        overlap: int | None = None,
        augment: bool = False,
    ):
        if tile < LEAST_TILE:
            raise BeadsegError(f"--tile {tile}: give {LEAST_TILE} px or more")
        if overlap is not None and overlap < 0:
            raise BeadsegError(f"--overlap {overlap}: give 0 px or more")
        self.run, self.has_distance = run, "distance" in run.model_config.heads
        self._runtime = runtime(run)
        extent = self._runtime.extent
        self._stride = extent.stride
        self._tile = _up(tile, self._stride)
        exact = _up(extent.margin, self._stride)
        self._margin = exact if overlap is None else _up(overlap, self._stride)
        self._blend = self._margin if self._margin < exact else 0
        least = 4 * (self._blend + self._stride) if self._blend else 0
        if tile < least:
            raise BeadsegError(
                f"--overlap {overlap} needs --tile {least} or more: neighbours of a "
                "tile must not meet inside it"
            )
        self._symmetries = range(SYMMETRIES if augment else 1)

    def bands(self, read: Source, shape: tuple[int, int]) -> Iterator[Band]:
        """Predicts an image of `shape`, from the top, a row of windows at a time."""
        height, width = (_up(n, self._stride) for n in shape)
        columns = spans(width, self._tile, self._margin, self._stride)
        rows = spans(height, self._tile, self._margin, self._stride)
        carried = np.zeros((0, 0), np.float32)
        for i, row in enumerate(rows):
            above = self._blend if i else 0
            below = self._blend if i < len(rows) - 1 else 0
            top, bottom = row.first - above, min(row.last + below, shape[0])
            count = 1 + self.has_distance + (len(self._symmetries) > 1)
            sums = np.zeros((count, bottom - top, shape[1]), np.float32)
            if carried.size:
                sums[:, : carried.shape[1]] = carried
            for column, maps in self._row(read, row, columns):
                self._add(sums, maps, top, row, column, rows, columns)
            done = bottom - top - 2 * below
            carried = sums[:, done:].copy()
            yield self._band(top, sums[:, :done])

    def predict(self, image: np.ndarray) -> Band:
        """Predicts f32[H, W] at once."""
        return self.whole(source_of(image), image.shape)

    def whole(self, read: Source, shape: tuple[int, int]) -> Band:
        """All bands of an image of `shape` as one."""
        bands = list(self.bands(read, shape))
        if len(bands) == 1:
            return bands[0]
        maps = [
            None if parts[0] is None else np.concatenate(parts)
            for parts in zip(*(band[1:] for band in bands), strict=True)
        ]
        return Band(0, *maps)

    def holds(self, shape: tuple[int, int]) -> bool:
        """Whether an image of `shape` is one window."""
        return max(shape) <= self._tile + 2 * self._margin

    def together(self, images: Sequence[tuple[Source, tuple[int, int]]]) -> list[Band]:
        """What `whole` gives of each of some images that it `holds`.

        Args:
          images: how each is read, and its shape; large to small, each no larger than
            half the one before, for a window that is filled well.
        """
        if not self._runtime.joins_images:
            return [self.whole(*image) for image in images]
        shapes = [tuple(_up(n, self._stride) for n in shape) for _, shape in images]
        corners = side_by_side(shapes, self._stride)
        places = [
            tuple(slice(first, first + n) for first, n in zip(*place, strict=True))
            for place in zip(corners, shapes, strict=True)
        ]
        size = [max(part.stop for part in axis) for axis in zip(*places, strict=True)]
        window = np.zeros(size, np.float32)
        inside = np.zeros(size, bool)
        for (read, _), (rows, columns), place in zip(
            images, shapes, places, strict=True
        ):
            window[place], inside[place] = read(0, rows, 0, columns), True
        started = [self._start(window, k, inside) for k in self._symmetries]
        maps = self._fetch(started)
        return [
            self._band(0, maps[:, *place][:, : shape[0], : shape[1]])
            for (_, shape), place in zip(images, places, strict=True)
        ]

    def _band(self, top: int, maps: np.ndarray) -> Band:
        distance = maps[1] if self.has_distance else None
        square = maps[-1] if len(self._symmetries) > 1 else None
        return Band(top, maps[0], distance, square)

    def _row(self, read: Source, row: Span, columns: list[Span]):
        """Maps f32[2 or 3, h, w] of each window; one runs while another is read."""
        waiting = None
        for column in columns:
            window = read(row.start, row.stop, column.start, column.stop)
            now = column, [self._start(window, k) for k in self._symmetries]
            if waiting is not None:
                yield waiting[0], self._fetch(waiting[1])
            waiting = now
        yield waiting[0], self._fetch(waiting[1])

    def _start(
        self, window: np.ndarray, symmetry: int, inside: np.ndarray | None = None
    ) -> Fetch:
        """Begins with a window; `inside`: what of it is image, all where it is None."""
        if inside is not None:
            inside = turned(inside, symmetry)
        return self._runtime.start(turned(window, symmetry), inside)

    def _fetch(self, started: list[Fetch]) -> np.ndarray:
        """Means over the symmetries, f32[heads, h, w]; of several the mean square."""
        found = [
            turned_back(fetch(), symmetry).transpose(2, 0, 1)
            for symmetry, fetch in zip(self._symmetries, started, strict=True)
        ]
        if len(found) == 1:
            return found[0]
        total = 0.0
        for maps in found:
            total = total + np.concatenate((maps, np.square(maps[:1])))
        return total / np.float32(len(found))

    def _add(self, sums, maps, top, row, column, rows, columns) -> None:
        """Adds a window's part to the rows that begin at `top`."""
        height, width = sums.shape[1:]
        weights, places, parts = [], [], []
        for span, all_, length, offset in (
            (row, rows, top + height, top),
            (column, columns, width, 0),
        ):
            first, last, weight = _weight(span, all_, self._blend, length)
            weights.append(weight)
            places.append(slice(first - offset, last - offset))
            parts.append(slice(first - span.start, last - span.start))
        part = maps[:, parts[0], parts[1]]
        if self._blend:
            part = part * (weights[0][:, None] * weights[1])
        sums[:, places[0], places[1]] += part


def side_by_side(
    shapes: Sequence[tuple[int, int]], gap: int
) -> Iterator[tuple[int, int]]:
    """Where images lie in one window, by turns at the right and below: their corners.

    >>> list(side_by_side([(512, 512), (256, 256), (128, 128), (64, 64)], 8))
    [(0, 0), (0, 520), (264, 520), (264, 656)]
    """
    top = left = 0
    for i, (height, width) in enumerate(shapes):
        yield top, left
        if i % 2:
            top += height + gap
        else:
            left += width + gap


def spans(length: int, tile: int, margin: int, stride: int) -> list[Span]:
    """Windows over [0, length), all of one size, and what is kept of each.

    All numbers are multiples of `stride`. What is kept is at least `margin` from the
    ends of a window, but for those of the image.

    >>> spans(100, 40, 8, 4)
    [Span(start=0, stop=60, first=0, last=48), Span(start=40, stop=100, first=48, last=100)]
    """  # noqa: E501
    if length <= tile + 2 * margin:
        return [Span(0, length, 0, length)]
    count = max(2, math.ceil((length - 2 * margin) / tile))
    core = _up(math.ceil((length - 2 * margin) / count), stride)
    size = core + 2 * margin
    most = length - size
    starts = [_up(i * most // (count - 1), stride) for i in range(count)]
    edges = [0, *(start + margin for start in starts[1:]), length]
    return [
        Span(start, start + size, *kept)
        for start, kept in zip(starts, zip(edges, edges[1:], strict=False), strict=True)
    ]


def source_of(image: np.ndarray) -> Source:
    """Windows of an image in memory."""

    def read(top: int, bottom: int, left: int, right: int) -> np.ndarray:
        window = image[top:bottom, left:right]
        return extend(window, (bottom - top, right - left))

    return read


def extend(window: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Repeats the last row and column up to `shape`."""
    rest = [(0, n - m) for n, m in zip(shape, window.shape, strict=True)]
    return np.pad(window, rest, mode="edge") if np.any(rest) else window


def turned(window: np.ndarray, symmetry: int) -> np.ndarray:
    """The window [h, w, ...] mirrored (bits 0, 1) and transposed (bit 2)."""
    window = window[:: -1 if symmetry & 1 else 1, :: -1 if symmetry & 2 else 1]
    return window.swapaxes(0, 1) if symmetry & 4 else window


def turned_back(window: np.ndarray, symmetry: int) -> np.ndarray:
    """Undoes `turned`."""
    window = window.swapaxes(0, 1) if symmetry & 4 else window
    return window[:: -1 if symmetry & 1 else 1, :: -1 if symmetry & 2 else 1]


def _weight(
    span: Span, all_: list[Span], blend: int, length: int
) -> tuple[int, int, np.ndarray]:
    """First and last px that a window adds to, and its weight there, f32.

    The weights of two neighbours cross over in `2 * blend` px around their border and
    add up to 1.
    """
    before = blend if span is not all_[0] else 0
    after = blend if span is not all_[-1] else 0
    first, last = span.first - before, min(span.last + after, length)
    ramp = (np.arange(2 * blend, dtype=np.float32) + 0.5) / max(2 * blend, 1)
    weight = np.ones(span.last + after - first, np.float32)
    if before:
        weight[: 2 * blend] *= ramp
    if after:
        weight[len(weight) - 2 * blend :] *= ramp[::-1]
    return first, last, weight[: last - first]


def _up(length: int, step: int) -> int:
    return math.ceil(length / step) * step
