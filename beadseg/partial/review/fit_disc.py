"""The bead at a place that a person points at: the disc that looks as others do."""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from beadseg.partial.review.label_map import LabelMap

LOOKED_AT = 48  # known beads, at most
_SMALLEST, _LARGEST = 0.45, 2.2  # radii that are tried, in that of the median bead
_AWAY = 0.55  # radii of the median bead from the click to the centre, at most
_FINE = 11  # px of the picture that is searched, to that radius
_STEP = 0.06  # between radii, natural log
_LOOK = np.exp(_STEP * np.arange(-18, 7))  # radii of a profile, in that of its bead
_ANGLES = np.linspace(0, 2 * np.pi, 24, endpoint=False)
_ALIKE, _UNLIKE = 0.2, 0.5  # spread of radii about those of others, natural log
_NEAR = 0.8  # of its radius: how far off the centre people click
_SEEN = 0.25  # share of a circle that must be free to be looked at


class Known(NamedTuple):
    """Beads of an image: what they are tells what another one looks like."""

    y: np.ndarray  # f[N], centres, px
    x: np.ndarray
    radius: np.ndarray  # f[N], px, above 0


def known_beads(beads: LabelMap, numbers: list[int]) -> Known:
    """Some beads of a label map, as discs of their areas."""
    discs = np.zeros((len(numbers), 3))
    for number, disc in zip(numbers, discs, strict=True):
        box = beads.boxes[number]
        rows, columns = np.nonzero(beads.labels[box] == number)
        disc[:] = (
            rows.mean() + box[0].start,
            columns.mean() + box[1].start,
            np.sqrt(len(rows) / np.pi),
        )
    return Known(*discs.T)


def fit_disc(
    image: np.ndarray, labels: np.ndarray, known: Known, y: float, x: float
) -> tuple[float, float, float]:
    """The disc about a place that looks as the known beads do.

    What they look like is the brightness along their radius: the first principal
    component of it over all of them, so that dark beads match bright ones. A disc is
    as good as that explains what is seen in and around it where no other bead is, and
    as likely as discs of its radius are among the known ones.

    Args:
      image: [H, W], of any units.
      labels: i[H, W], above 0 where there is a bead.
      known: one of those or more.
      y, x: the place; the centre of the first pixel is 0.

    Returns:
      y, x and the radius, px.
    """
    usual = float(np.median(known.radius))
    profile = _profile(image, labels, known)
    low, high = (np.log(share * usual) for share in (_SMALLEST, _LARGEST))
    radii = np.exp(np.arange(low, high, _STEP))
    side = int(np.ceil(2 * (_AWAY + _LARGEST * _LOOK[-1]) * _FINE)) + 2 | 1
    step = usual / _FINE
    at = (np.arange(side) - side // 2) * step
    grid = np.meshgrid(y + at, x + at, indexing="ij")
    part, free = _sampled(image, labels, *grid)
    part = ndimage.gaussian_filter(part, 0.08 * _FINE)
    reach = int(_AWAY * _FINE)
    offsets = np.arange(-reach, reach + 1)
    likeness = _likeness(part, free, offsets, radii / step, profile)
    z = np.log(radii[:, None] / known.radius) / _ALIKE
    likely = np.exp(-0.5 * z**2).sum(1) / _ALIKE
    z = np.log(radii / usual) / _UNLIKE
    likely += np.exp(-0.5 * z**2) / _UNLIKE
    away = np.hypot(*np.meshgrid(offsets, offsets, indexing="ij"))[..., None] * step
    good = likeness * likely * np.exp(-0.5 * (away / (_NEAR * radii)) ** 2)
    best = np.unravel_index(np.argmax(good), good.shape)
    row, column, radius = (_between(good, best, axis) for axis in range(3))
    return (
        float(y + (row - reach) * step),
        float(x + (column - reach) * step),
        float(np.exp(low + radius * _STEP)),
    )


def _profile(image: np.ndarray, labels: np.ndarray, known: Known) -> np.ndarray:
    """Brightness of the known beads at the radii of `_LOOK`, of mean 0 over areas."""
    rows, columns = (
        centre[:, None, None] + (known.radius[:, None] * _LOOK)[..., None] * turn
        for centre, turn in ((known.y, np.sin(_ANGLES)), (known.x, np.cos(_ANGLES)))
    )
    values, free = _sampled(image, labels, rows, columns)
    free[:, _LOOK < 1] = 1.0  # its own pixels
    seen = free.sum(-1)
    mean = (values * free).sum(-1) / np.maximum(seen, 1)
    for i in range(1, len(_LOOK)):  # hidden by neighbours: as the circle within it
        hidden = seen[:, i] < _SEEN * len(_ANGLES)
        mean[hidden, i] = mean[hidden, i - 1]
    weight = _LOOK**2  # of areas
    mean -= np.average(mean, axis=1, weights=weight)[:, None]
    spread = np.sqrt(np.average(mean**2, axis=1, weights=weight))
    if not spread.any():  # nothing is seen of them
        return (_LOOK < 1) - np.average(_LOOK < 1, weights=weight)
    mean = mean[spread > 0] / spread[spread > 0, None]
    return np.linalg.svd(mean * _LOOK, full_matrices=False)[2][0] / _LOOK


def _likeness(
    part: np.ndarray,
    free: np.ndarray,
    offsets: np.ndarray,
    radii: np.ndarray,
    profile: np.ndarray,
) -> np.ndarray:
    """How well discs match a profile, f[len(offsets), len(offsets), len(radii)], 0..1.

    Args:
      part: f32[S, S] about the place, S odd; free: f32[S, S], 1 where no bead is.
      offsets: i[n], px, of centres from the middle.
      radii: px; neighbours differ by `_STEP`.
      profile: f[len(_LOOK)].
    """
    side, width = part.shape[0], len(_LOOK)
    circles = radii[0] * _LOOK[0] * np.exp(_STEP * np.arange(len(radii) + width - 1))
    ring = [
        np.rint(circles[:, None] * turn).astype(int)
        for turn in (np.sin(_ANGLES), np.cos(_ANGLES))
    ]
    middle = side // 2 * (side + 1)
    centres = middle + offsets[:, None] * side + offsets
    at = centres.ravel()[:, None] + (ring[0] * side + ring[1]).ravel()
    shape = (at.shape[0], len(circles), len(_ANGLES))
    weight = free.ravel()[at].reshape(shape)
    value = part.ravel()[at].reshape(shape)
    seen = weight.sum(-1)
    value = value * weight
    total = value.sum(-1)
    squares = np.einsum("ija,ija->ij", value, value)

    def over(sums: np.ndarray, weights: np.ndarray) -> np.ndarray:
        windows = np.lib.stride_tricks.sliding_window_view(sums, width, axis=1)
        return windows @ weights.astype(np.float32)

    area = _LOOK**2
    inner = area * (_LOOK <= 1)
    count = np.maximum(over(seen, area), 1e-6)
    mean, expected = over(total, area) / count, over(seen, area * profile) / count
    of_image = over(squares, area) / count - mean**2
    of_profile = over(seen, area * profile**2) / count - expected**2
    both = over(total, area * profile) / count - mean * expected
    share = both**2 / np.maximum(of_image * of_profile, 1e-9)
    visible = over(seen, inner) / (len(_ANGLES) * inner.sum())
    good = np.clip(share, 0, 1) ** 2 * visible
    return good.reshape(len(offsets), len(offsets), len(radii))


def _sampled(
    image: np.ndarray, labels: np.ndarray, rows: np.ndarray, columns: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """An image of mean 0 and SD 1 at places, and 1 where those are free and in it."""
    height, width = image.shape
    y, x = np.rint(rows).astype(int), np.rint(columns).astype(int)
    free = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    y, x = y.clip(0, height - 1), x.clip(0, width - 1)
    values = ndimage.map_coordinates(
        image, [rows, columns], order=1, mode="nearest", output=np.float32
    )
    free &= np.isfinite(values)
    usual = float(values[free].mean()) if free.any() else 0.0
    values = np.where(free, values - usual, 0.0).astype(np.float32)
    spread = float(values.std())
    return values / (spread or 1.0), (free & (labels[y, x] <= 0)).astype(np.float32)


def _between(good: np.ndarray, best: tuple, axis: int) -> float:
    """Where along an axis the best is, between the places that were tried."""
    here = best[axis]
    if not 0 < here < good.shape[axis] - 1:
        return float(here)
    beside = tuple(slice(None) if i == axis else n for i, n in enumerate(best))
    before, at, after = good[beside][here - 1 : here + 2]
    bend = before - 2 * at + after
    return here + (float(0.5 * (before - after) / bend) if bend < 0 else 0.0)
