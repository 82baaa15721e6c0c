"""The bead at a place that a person points at: the disc with the steepest rim."""

import numpy as np
from scipy import ndimage

_SMALLEST, _LARGEST = 0.7, 1.4  # radii that are tried, in that of the median bead
_AWAY = 0.6  # radii of the median bead from the click to the centre, at most
_ANGLES = np.linspace(0, 2 * np.pi, 32, endpoint=False)
_SPREAD = 0.3  # of the radii of beads around the median, natural log
_RADII, _PLACES = 22, 13  # that are tried, the places along each axis


def fit_disc(
    image: np.ndarray, y: float, x: float, diameter: float
) -> tuple[float, float, float]:
    """The circle about a place on which brightness changes most, from in to out.

    Bright on dark or dark on bright, whichever is there. The mean of the radial
    derivative on a circle (an integro-differential operator, Daugman 1993) is looked
    at for all centres near the place and all radii near that of the median bead; then
    again, more finely, around the best.

    Args:
      image: [H, W], of any units.
      y, x: the place; the centre of the first pixel is 0.
      diameter: of the median bead, px.

    Returns:
      y, x and the radius, px.
    """
    radius = diameter / 2
    margin = int(np.ceil((_AWAY + _LARGEST + 0.5) * radius)) + 3
    top, left = (max(int(round(v)) - margin, 0) for v in (y, x))
    part = image[top : int(round(y)) + margin + 1, left : int(round(x)) + margin + 1]
    part = np.nan_to_num(part.astype(np.float64), nan=float(np.nanmean(part)))
    part = ndimage.gaussian_filter(part, max(0.08 * radius, 0.5))
    best = (y - top, x - left, radius)
    away, low, high = _AWAY * radius, _SMALLEST * radius, _LARGEST * radius
    for _ in range(2):
        best = _steepest(part, best, away, np.linspace(low, high, _RADII), radius)
        step = (high - low) / (_RADII - 1)
        away, low, high = 2 * away / (_PLACES - 1), best[2] - step, best[2] + step
    return best[0] + top, best[1] + left, best[2]


def _steepest(
    image: np.ndarray,
    about: tuple[float, float, float],
    away: float,
    radii: np.ndarray,
    usual: float,
) -> tuple[float, float, float]:
    """The best of a grid of centres around a place, and of radii."""
    offsets = np.linspace(-away, away, _PLACES)
    rows, columns = np.meshgrid(about[0] + offsets, about[1] + offsets, indexing="ij")
    rows, columns = rows.ravel(), columns.ravel()
    half = max((radii[1] - radii[0]) / 2, 0.35)  # px, over which the slope is taken
    means = []
    for shift in (-half, half):
        at = (radii + shift)[:, None]
        y = rows[:, None, None] + at * np.sin(_ANGLES)
        x = columns[:, None, None] + at * np.cos(_ANGLES)
        means.append(ndimage.map_coordinates(image, [y, x], order=1, mode="nearest"))
    slope = means[1] - means[0]  # [places, radii, angles]
    # A neighbour spoils a part of the rim: the median is spared by it.
    seen = np.abs(np.median(slope, -1) + slope.mean(-1))
    seen = seen * np.exp(-0.5 * (np.log(radii / usual) / _SPREAD) ** 2)
    place, radius = np.unravel_index(np.argmax(seen), seen.shape)
    return float(rows[place]), float(columns[place]), float(radii[radius])
