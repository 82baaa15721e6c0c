"""Circles that the slopes of an image vote for, and what lies around each.

Radial symmetry (Loy and Zelinsky, 2003): every pixel votes for the points one radius up
and down its slope, so that rims, balls, dark and bright beads all gather votes in their
centres. Octave by octave: a circle of radius r is looked at where r is 3 to 6 px.
"""

from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage

STEP = 2**0.25  # between the radii that are tried
RADII = tuple(
    3 * STEP**k for k in range(-2, 4)
)  # px of an octave; the first two: small
PAD = 6  # px of an octave: centres of cut beads may lie so far outside
_SMALLEST = 20  # px, short side of the last octave
_LEAST_VOTES = 0.2


class Rings(NamedTuple):
    """Where a circle is looked at."""

    at: np.ndarray  # f32[R], radii
    angles: int


GLANCE = Rings(np.array([0, 0.5, 0.85, 1.15, 1.5], np.float32), 6)
CONTRAST = -5  # column of `look`: logarithm of the spread around the circle
LOOK = Rings(np.linspace(0, 1.8, 13, dtype=np.float32), 12)


class Octave(NamedTuple):
    """The image or a window of it, shrunk by `factor` and padded by PAD."""

    image: np.ndarray  # f32[h, w]
    factor: float

    def place(self, at: np.ndarray) -> np.ndarray:
        """From px here to px of the image or window."""
        return ((at - PAD + 0.5) * self.factor - 0.5).astype(np.float32)


class Circles(NamedTuple):
    """N candidates, in px of an octave."""

    y: np.ndarray  # f32[N]
    x: np.ndarray  # f32[N]
    radius: np.ndarray  # f32[N]
    votes: np.ndarray  # f32[N, 3]: from darker, from brighter, the larger or both

    def take(self, which: np.ndarray) -> "Circles":
        return Circles(*(field[which] for field in self))


def even_out(image: np.ndarray) -> np.ndarray:
    """f32[H, W] of mean 0 and spread 1, whatever the scale and a few hot pixels."""
    image = np.where(np.isfinite(image), image, 0).astype(np.float64)
    step = max(1, round((image.size / 2**18) ** 0.5))
    low, high = np.percentile(image[::step, ::step], (0.5, 99.5))
    if high > low:
        image = np.clip(image, low, high)
    spread = image.std()
    return ((image - image.mean()) / (spread if spread > 0 else 1)).astype(np.float32)


def pyramid(image: np.ndarray) -> list[np.ndarray]:
    """The image f32[H, W], and halved again and again."""
    levels = [image]
    while min(image.shape) / 2 ** len(levels) >= _SMALLEST:
        shape = [max(1, round(n / 2 ** len(levels))) for n in image.shape]
        small = Image.fromarray(levels[-1]).resize(shape[::-1], Image.Resampling.BOX)
        levels.append(np.asarray(small, np.float32))
    return levels


def padded(level: np.ndarray, factor: float) -> Octave:
    """An octave of a level of the pyramid."""
    return Octave(np.pad(level, PAD, mode="edge"), factor)


def vote(octave: Octave, radii: tuple[float, ...]) -> Circles:
    """Candidates: the maxima of the votes, at each radius."""
    strength, up, right = _slopes(octave.image)
    shape = strength.shape
    rows, columns = np.nonzero(strength > 0.25)
    weight = strength[rows, columns]
    up, right = up[rows, columns], right[rows, columns]
    rows, columns = rows.astype(np.float32), columns.astype(np.float32)
    found = []
    for radius in radii:
        dy, dx = radius * up, radius * right
        votes = []
        for y, x in ((rows + dy, columns + dx), (rows - dy, columns - dx)):
            cast = _cast(y, x, weight, shape)
            votes.append(ndimage.gaussian_filter(cast, 0.22 * radius, truncate=3))
        bright, dark = (v / np.float32(radius) for v in votes)
        either = np.maximum(np.maximum(bright, dark), np.float32(0.7) * (bright + dark))
        wide = 2 * max(1, round(0.4 * radius)) + 1
        peak = either == ndimage.maximum_filter(either, wide)
        y, x = np.nonzero(peak & (either > _LEAST_VOTES))
        each = np.stack([bright[y, x], dark[y, x], either[y, x]], 1)
        found.append(Circles(*_refined(either, y, x), np.full(len(y), radius), each))
    joined = (np.concatenate(field) for field in zip(*found, strict=True))
    return Circles(*(field.astype(np.float32) for field in joined))


def look(octave: Octave, circles: Circles, rings: Rings) -> np.ndarray:
    """What the image is like around each circle, whatever its size and light.

    Returns:
      f32[N, F]: of the rings mean, spread and asymmetry, of the steps between them
      direction and roughness, then votes and a few more.
    """
    turn = 2 * np.pi * np.arange(rings.angles, dtype=np.float32) / rings.angles
    reach = circles.radius[:, None, None] * rings.at[:, None]
    rows = circles.y[:, None, None] + reach * np.sin(turn)
    columns = circles.x[:, None, None] + reach * np.cos(turn)
    height, width = octave.image.shape
    known = (rows > PAD - 1) & (rows < height - PAD)
    known &= (columns > PAD - 1) & (columns < width - PAD)
    known = known.astype(np.float32)
    values = _sample(octave.image, rows, columns)
    share = known.mean(2)
    number = np.maximum(known.sum(2), 1)
    mean = (values * known).sum(2) / number
    away = (values - mean[..., None]) * known
    spread = np.sqrt(np.square(away).sum(2) / number)
    middle = ((mean * share).sum(1) / (share.sum(1) + 1e-6))[:, None]
    mean = np.where(share < 0.2, middle, mean)
    scale = np.sqrt((np.square(mean - middle) + spread**2).mean(1, keepdims=True))
    scale += np.float32(0.02)
    steps = np.tanh(np.diff(values, axis=1) * (2 / scale[:, None]))
    both = known[:, 1:] * known[:, :-1]
    pairs = np.maximum(both.sum(2), 1)
    steps *= both
    half = rings.angles // 2
    odd = np.abs(away[..., :half] - away[..., half:])
    odd *= known[..., :half] * known[..., half:]
    rest = [
        np.log(scale),
        np.log(circles.radius / 4)[:, None],
        np.full_like(scale, np.log(octave.factor)),
        share.mean(1, keepdims=True),
        share[:, :1],
    ]
    parts = [
        (mean - middle) / scale,
        spread / scale,
        odd.sum(2) / (number * scale),
        steps.sum(2) / pairs,
        np.abs(steps).sum(2) / pairs,
        circles.votes,
        *rest,
    ]
    return np.concatenate(parts, 1, dtype=np.float32)


def _slopes(image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Slopes f32[h, w]: strength against the surroundings, 0..1, and the way up."""
    smooth = ndimage.gaussian_filter(image, 0.8, truncate=3)
    down, right = np.gradient(smooth)
    size = np.hypot(down, right)
    edge = np.zeros_like(size)
    edge[PAD:-PAD, PAD:-PAD] = size[PAD:-PAD, PAD:-PAD]
    square = np.square(edge)
    usual = np.sqrt(square[PAD:-PAD, PAD:-PAD].mean()) + np.float32(1e-6)
    local = np.sqrt(np.maximum(ndimage.uniform_filter(square, 25), 0))
    strength = edge / (edge + 0.5 * local + 0.25 * usual)
    size += np.float32(1e-12)
    return strength, down / size, right / size


def _cast(y, x, weight, shape) -> np.ndarray:
    row, column = np.rint(y).astype(np.int32), np.rint(x).astype(np.int32)
    inside = (row >= 0) & (row < shape[0]) & (column >= 0) & (column < shape[1])
    flat = (row * np.int32(shape[1]) + column)[inside]
    votes = np.bincount(flat, weight[inside], shape[0] * shape[1])
    return votes.reshape(shape).astype(np.float32)


def _refined(votes, y, x) -> tuple[np.ndarray, np.ndarray]:
    """Peaks to a fraction of a px, by a parabola along each axis."""
    height, width = votes.shape

    def move(before, here, after):
        bend = before - 2 * here + after
        step = 0.5 * (before - after) / np.where(bend < 0, bend, -1)
        return np.where(bend < 0, np.clip(step, -0.5, 0.5), 0)

    here = votes[y, x]
    above = votes[np.maximum(y - 1, 0), x], votes[np.minimum(y + 1, height - 1), x]
    beside = votes[y, np.maximum(x - 1, 0)], votes[y, np.minimum(x + 1, width - 1)]
    return y + move(above[0], here, above[1]), x + move(beside[0], here, beside[1])


def _sample(image: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Bilinear; outside, the nearest pixel."""
    height, width = image.shape
    rows = np.clip(rows, 0, np.float32(height - 1.001))
    columns = np.clip(columns, 0, np.float32(width - 1.001))
    top, left = rows.astype(np.int32), columns.astype(np.int32)
    rows -= top
    columns -= left
    flat = image.ravel()
    at = top * np.int32(width) + left
    upper = flat.take(at)
    upper += (flat.take(at + 1) - upper) * columns
    at += np.int32(width)
    lower = flat.take(at)
    lower += (flat.take(at + 1) - lower) * columns
    return upper + (lower - upper) * rows
