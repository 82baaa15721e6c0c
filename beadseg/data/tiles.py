"""A prepared page cut into tiles, and how a tile is stored."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

LOWEST, HIGHEST = -1.0, 3.0  # normalised values that are stored; beyond: clipped
_LEVELS = 2**16 - 1


@dataclass(frozen=True)
class RecordInfo:
    """All about a tile but its pixels.

    Lengths are in pixels of the resampled page, unless said otherwise.
    """

    name: str  # of this tile, unique in the data set: PAGE@y,x
    image: str  # of its page: NAME, or NAME_p000 in a file of several
    source: str  # file stem NAME
    group: str  # tiles of one group stay on one side of the split
    page: int
    offset: tuple[int, int]  # y, x of the tile's first pixel in its page
    shape: tuple[int, int]
    page_shape: tuple[int, int]
    has_mask: bool
    beads: int  # labelled in the whole page
    coverage: float  # share of the tile's known pixels that are bead
    known: float  # share of the tile's pixels that are bead or background
    scale: float  # pixels here to a pixel of the file
    low: float  # value of the file that is 0 here
    high: float  # value of the file that is 1 here
    uid: str  # hash of the image file and page
    pixel_size: float | None  # um, of the file's pixels
    completeness: float | None  # share of the true beads that the mask labels

    @classmethod
    def from_json(cls, fields: dict) -> "RecordInfo":
        shapes = {k: tuple(fields[k]) for k in ("offset", "shape", "page_shape")}
        return cls(**(fields | shapes))


def tile_bounds(length: int, tile: int) -> list[tuple[int, int]]:
    """Cuts [0, length) into the fewest pieces of at most `tile`, equal to a pixel.

    >>> tile_bounds(520, 512)
    [(0, 260), (260, 520)]
    """
    count = math.ceil(length / tile)
    return list(pairwise(round(i * length / count) for i in range(count + 1)))


def tile_boxes(shape: tuple[int, int], tile: int) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of every tile of a page of `shape`, row by row."""
    for top, bottom in tile_bounds(shape[0], tile):
        for left, right in tile_bounds(shape[1], tile):
            yield slice(top, bottom), slice(left, right)


def quantise(image: np.ndarray) -> np.ndarray:
    """Normalised f32 to u16, in steps of 6e-5; beyond [-1, 3] it is clipped."""
    share = (np.clip(image, LOWEST, HIGHEST) - LOWEST) / (HIGHEST - LOWEST)
    return np.rint(share * _LEVELS).astype(np.uint16)


def dequantise(stored: np.ndarray) -> np.ndarray:
    """u16 back to normalised f32."""
    step = np.float32((HIGHEST - LOWEST) / _LEVELS)
    return stored * step + np.float32(LOWEST)


def points_inside(points: np.ndarray, rows: slice, columns: slice) -> np.ndarray:
    """f32[N, 2] (y, x) of a page to f32[M, 2] of the tile that holds them."""
    y, x = points[:, 0] + 0.5, points[:, 1] + 0.5
    inside = (rows.start <= y) & (y < rows.stop)
    inside &= (columns.start <= x) & (x < columns.stop)
    return points[inside] - np.float32((rows.start, columns.start))
