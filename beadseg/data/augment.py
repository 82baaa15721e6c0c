"""Random crops, turned and scaled, of other intensities: image and labels alike.

Rotation, flips, zoom and shift make one matrix, and the pixels are read once: nothing
is interpolated twice. Labels take the nearest pixel, so no new ones arise.
"""

from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict
from scipy import ndimage


class Crop(NamedTuple):
    """Where the pixels of a crop come from: y, x = matrix @ (row, column) + offset."""

    matrix: np.ndarray  # f64[2, 2]
    offset: np.ndarray  # f64[2], px of the tile


def augment(
    image: np.ndarray,
    labels: np.ndarray,
    rng: np.random.Generator,
    settings: ConfigDict,
    crop: int,
) -> tuple[np.ndarray, np.ndarray]:
    """A random crop of a tile.

    Args:
      image: f32[h, w], normalised; mirrored at its edges where a crop goes beyond.
      labels: i32[h, w].
      settings: `config.data.augment`; not `enabled`: a crop and nothing else.
      crop: side in pixels.

    Returns:
      f32[crop, crop] and i32[crop, crop].
    """
    if not settings.enabled:
        where = Crop(np.eye(2), _corner(image.shape, crop, rng))
        return sample(image, labels, where, crop)
    where = draw_crop(image.shape, rng, settings, crop)
    pixels, labels = sample(image, labels, where, crop)
    return augment_intensity(pixels, rng, settings), labels


def draw_crop(
    shape: tuple[int, ...], rng: np.random.Generator, settings: ConfigDict, crop: int
) -> Crop:
    """A crop inside a tile of `shape`, shifted, scaled, turned, flipped at random."""
    angle = np.deg2rad(rng.uniform(-settings.rotate, settings.rotate))
    zoom = rng.uniform(1 - settings.zoom, 1 + settings.zoom)
    flips = rng.choice((1.0, -1.0), 2) if settings.flip else np.ones(2)
    cos, sin = np.cos(angle), np.sin(angle)
    matrix = np.array([[cos, -sin], [sin, cos]]) * flips / zoom
    centre = _corner(shape, crop, rng) + (crop - 1) / 2
    centre += rng.uniform(-settings.shift, settings.shift, 2) * crop
    return Crop(matrix, centre - matrix @ np.full(2, (crop - 1) / 2))


def sample(
    image: np.ndarray, labels: np.ndarray, where: Crop, crop: int
) -> tuple[np.ndarray, np.ndarray]:
    """Reads a crop: the image linearly, the labels at the nearest pixel."""
    corners = np.array([[0, 0, 1, 1], [0, 1, 0, 1]]) * (crop - 1)
    reach = where.matrix @ corners + where.offset[:, None]
    first = np.floor(reach.min(1)).astype(int)
    last = np.ceil(reach.max(1)).astype(int)
    ranges = [
        _mirrored(np.arange(a, b + 1), n)
        for a, b, n in zip(first, last, image.shape, strict=True)
    ]
    image, labels = (_block(array, *ranges) for array in (image, labels))
    if (where.matrix == np.eye(2)).all() and (where.offset == first).all():
        return image, labels
    rows, columns = np.ogrid[:crop, :crop]
    (yy, yx), (xy, xx) = where.matrix
    at_y, at_x = where.offset - first
    y = (yy * rows + at_y) + yx * columns
    x = (xy * rows + at_x) + xx * columns
    nearest = np.rint(y).astype(np.intp), np.rint(x).astype(np.intp)
    crop_image = ndimage.map_coordinates(image, (y, x), order=1, mode="nearest")
    return crop_image, labels[nearest]


def augment_intensity(
    image: np.ndarray, rng: np.random.Generator, settings: ConfigDict
) -> np.ndarray:
    """Blur, brightness, gamma, inversion and noise: in the order light meets them."""
    blur = rng.uniform(0, settings.blur)
    if blur > 0.2:  # px; less changes nothing
        image = ndimage.gaussian_filter(image, blur, mode="reflect", truncate=3.0)
    image = image * np.float32(
        rng.uniform(1 - settings.brightness, 1 + settings.brightness)
    )
    gamma = np.float32(np.exp(rng.uniform(-settings.gamma, settings.gamma)))
    image = np.sign(image) * np.abs(image) ** gamma
    if rng.random() < settings.invert:
        image = 1 - image
    noise = np.float32(rng.uniform(0, settings.noise))
    return image + noise * rng.standard_normal(image.shape, dtype=np.float32)


def _corner(shape: tuple[int, ...], crop: int, rng: np.random.Generator) -> np.ndarray:
    """First pixel of a crop inside the tile; in the middle of one that is too small."""
    room = np.array(shape) - crop
    return (
        np.where(room >= 0, rng.integers(0, np.maximum(room, 0) + 1), room // 2) * 1.0
    )


def _mirrored(index: np.ndarray, length: int) -> np.ndarray:
    """Indices beyond an array, mirrored at its edges: cba|abc|cba|abc."""
    folded = index % (2 * length)
    return np.where(folded < length, folded, 2 * length - 1 - folded)


def _block(array: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    spans = []
    for index in (rows, columns):
        straight = (np.diff(index) == 1).all()
        spans.append(slice(index[0], index[-1] + 1) if straight else index)
    return array[spans[0]][:, spans[1]]
