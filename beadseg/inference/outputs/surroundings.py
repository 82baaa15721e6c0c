"""What is measured of a bead and its surroundings, once all beads are known.

A band of rows at a time, each bead whole in one: an image larger than memory gives the
same numbers as one in memory.
"""

from collections.abc import Iterator

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from beadseg.data.masks.beads import BESIDE, DIAGONAL, boundaries
from beadseg.inference.outputs.columns import INTENSITIES
from beadseg.inference.scratch import Scratch
from beadseg.tables import Table

AT_ONCE = 2**22  # px of the image, about 50 bytes each
GAP = 2.0  # px between a bead and its ring, where its blurred rim is
RING = 0.5  # median diameters, the width of the ring, of at least 3 px
NEAR = 2.0  # diameters of a bead, within which the centres of its neighbours lie
_ANGLES = np.deg2rad(np.arange(0, 180, 2))  # in which beads are gauged


def surroundings(
    labels: np.ndarray | Scratch,
    image: np.ndarray,
    table: Table,
    boxes: np.ndarray,
    pixel_size: float | None = None,
    missing: np.ndarray | None = None,
) -> Table:
    """More columns for the beads of an image.

    Args:
      labels: i32[H, W].
      image: [H, W], as the file has it.
      table: of `Measurer.finish`, N beads.
      boxes: i64[N, 4], first and last + 1 row, first and last + 1 column of each.
      pixel_size: um.
      missing: bool[H, W], where the image has no data.

    Returns:
      f64[N] or i64[N] each; `beadseg.inference.outputs.columns` says what they are.
      local_background is `background` for a bead whose ring has no pixel.
    """
    count = len(table["label"])
    names = ("median", "sum", "ring", "rim", "feret_max", "feret_min", "touching")
    found = {name: np.full(count, np.nan) for name in names}
    width = _ring_width(table)
    for beads, window, *light in _windows(labels, image, table, boxes, width, missing):
        nearest = _Nearest(window, *light, len(beads), width)
        largest, smallest = _feret(window, len(beads))
        some = nearest.brightness() | {
            "rim": nearest.slope_of_rim(),
            "feret_max": largest,
            "feret_min": smallest,
            "touching": _touching(window, len(beads)),
        }
        for name in found:
            found[name][beads] = some[name]
    nearest, neighbours = _near(table)
    light = _levels(
        *(found, table["mean_intensity"], table["area_px"], table["background"])
    )
    mean, ring = table["mean_intensity"], light["local_background"]
    above = light["mean_above_background"]
    with np.errstate(divide="ignore", invalid="ignore"):
        contrast = above / (mean + ring)
        focus = found["rim"] / np.abs(above)
    more: Table = light | {
        "contrast": np.where(np.isfinite(contrast), contrast, np.nan),
        "focus": np.where(np.isfinite(focus), focus, np.nan),
        "neighbours": neighbours,
        "touching": found["touching"].astype(np.int64),
        "nearest_px": nearest,
        "feret_max_px": found["feret_max"],
        "feret_min_px": found["feret_min"],
    }
    if pixel_size is not None:
        for name in ("nearest", "feret_max", "feret_min"):
            more[f"{name}_um"] = more[f"{name}_px"] * pixel_size
    return more


def intensities(
    labels: np.ndarray | Scratch,
    image: np.ndarray,
    table: Table,
    boxes: np.ndarray,
    background: np.ndarray,
    missing: np.ndarray | None = None,
) -> Table:
    """How bright the beads are in another image of the same place: `INTENSITIES`.

    Args:
      labels, table, boxes: of `surroundings`.
      image: [H, W], the other one.
      background: f64[N], of it, for a bead whose ring has no pixel.
      missing: bool[H, W], where it has no data.

    Returns:
      f64[N] each; NaN of a bead that has no data there.
    """
    found = {
        name: np.full(len(table["label"]), np.nan)
        for name in ("median", "sum", "area", "ring")
    }
    width = _ring_width(table)
    for beads, window, *light in _windows(labels, image, table, boxes, width, missing):
        some = _Nearest(window, *light, len(beads), width).brightness()
        for name in found:
            found[name][beads] = some[name]
    mean = found["sum"] / found["area"]
    more = {"mean_intensity": mean}
    more |= _levels(found, mean, found["area"], background)
    return {name: more[name] for name in INTENSITIES}


def _levels(found: Table, mean, area, background) -> Table:
    """The columns of brightness, with and without the local background."""
    ring = np.where(np.isnan(found["ring"]), background, found["ring"])
    return {
        "median_intensity": found["median"],
        "integrated_intensity": found["sum"],
        "local_background": ring,
        "mean_above_background": mean - ring,
        "median_above_background": found["median"] - ring,
        "integrated_above_background": found["sum"] - ring * area,
    }


def _ring_width(table: Table) -> float:
    if not len(table["label"]):
        return 3.0
    return max(3.0, RING * float(np.median(table["diameter_px"])))


def _windows(labels, image, table: Table, boxes, width: float, missing) -> Iterator:
    """Beads (their rows in the table), their labels as 1..n, pixels, which are known.

    Labels of other beads in the window are n + 1 and more.
    """
    order = np.argsort(boxes[:, 0], kind="stable")
    band = boxes[order, 0] // max(AT_ONCE // labels.shape[1], 1)
    edge = int(np.ceil(GAP + width)) + 2
    for beads in np.split(order, np.flatnonzero(np.diff(band)) + 1):
        if not len(beads):
            continue
        low = np.maximum(boxes[beads][:, [0, 2]].min(0) - edge, 0)
        high = np.minimum(boxes[beads][:, [1, 3]].max(0) + edge, labels.shape)
        rows, columns = (slice(*ends) for ends in zip(low, high, strict=True))
        window = np.asarray(labels[rows, columns])
        numbers = np.unique(window)
        numbers = numbers[numbers > 0]
        own = table["label"][beads]
        others = np.setdiff1d(numbers, own)
        known = np.concatenate((own, others))
        place = np.argsort(known)
        index = place[np.searchsorted(known, window, sorter=place) % len(known)] + 1
        pixels = image[rows, columns].astype(np.float64)
        finite = np.isfinite(pixels)
        if missing is not None:
            finite &= ~missing[rows, columns]
        yield beads, np.where(window > 0, index, 0).astype(np.int32), pixels, finite


class _Nearest:
    """Which of the beads 1..count, which lie whole in the window, is nearest."""

    def __init__(
        self,
        labels: np.ndarray,
        pixels: np.ndarray,
        known: np.ndarray,
        count: int,
        width: float,
    ):
        self._labels, self._pixels, self._known = labels, pixels, known
        self._count, self._width = count, width
        away, at = ndimage.distance_transform_edt(labels == 0, return_indices=True)
        self._away, self._nearest = away, labels[tuple(at)]
        self._mine = (self._nearest > 0) & (self._nearest <= count)
        self._inside = self._mine & (away == 0) & known

    def brightness(self) -> Table:
        """f64[count] each: of the bead, and of the ring around it."""
        ring = self._mine & (self._away > GAP) & self._known
        ring &= self._away <= GAP + self._width
        inside = self._nearest[self._inside]
        area = np.bincount(inside, minlength=self._count + 1)[1:]
        total = np.bincount(inside, self._pixels[self._inside], self._count + 1)[1:]
        return {
            "area": np.where(area > 0, area, np.nan),
            "median": _medians(self._pixels[self._inside], inside, self._count),
            "sum": np.where(area > 0, total, np.nan),
            "ring": _medians(self._pixels[ring], self._nearest[ring], self._count),
        }

    def slope_of_rim(self) -> np.ndarray:
        """f64[count], mean slope of the brightness."""
        labels, inside, known = self._labels, self._inside, self._known
        border = inside & boundaries(labels, BESIDE + DIAGONAL)
        slope = np.hypot(*np.gradient(np.where(known, self._pixels, 0.0)))
        beside = self._mine & (self._away > 0) & (self._away < 1.5)
        rim = (border | beside) & known
        of = self._nearest[rim]
        with np.errstate(invalid="ignore"):  # 0 / 0 is NaN, of beads without a pixel
            mean = np.bincount(of, slope[rim], self._count + 1) / np.bincount(
                of, minlength=self._count + 1
            )
        return mean[1:]


def _medians(values: np.ndarray, of: np.ndarray, count: int) -> np.ndarray:
    """Medians f64[count] of the values of each bead 1..count; NaN of no value."""
    order = np.argsort(values)  # what np.lexsort does, in half the time
    small = np.min_scalar_type(count)  # numpy sorts 16 bits by radix
    order = order[np.argsort(of[order].astype(small), kind="stable")]
    values, edges = values[order], np.searchsorted(of[order], np.arange(1, count + 2))
    first, last = edges[:-1], edges[1:]
    some = last > first
    medians = np.full(count, np.nan)
    lower, upper = ((first + last - 1) // 2)[some], ((first + last) // 2)[some]
    medians[some] = (values[lower] + values[upper]) / 2
    return medians


def _touching(labels: np.ndarray, count: int) -> np.ndarray:
    """How many others have a pixel next to one of each bead, corners too."""
    pairs = []
    for one, other in BESIDE + DIAGONAL:
        met = labels[one] != labels[other]
        pairs.append(np.stack((labels[one][met], labels[other][met]), 1))
    pairs = np.concatenate(pairs)
    met = np.unique(np.sort(pairs[pairs.all(1)], 1), axis=0)
    return np.bincount(met.ravel(), minlength=count + 1)[1 : count + 1]


def _feret(labels: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Largest and smallest distance of parallels that hold each bead, px.

    Pixels are squares, as in ImageJ; the angle goes in steps of 2 degrees.
    """
    edge = boundaries(labels)
    edge[[0, -1]] = edge[:, [0, -1]] = True
    y, x = np.nonzero(edge & (labels > 0) & (labels <= count))
    bead = labels[y, x] - 1
    order = np.argsort(bead, kind="stable")
    y, x, bead = y[order], x[order], bead[order]
    starts = np.searchsorted(bead, np.arange(count))
    widths = np.empty((len(_ANGLES), count))
    for i, angle in enumerate(_ANGLES):
        along = y * np.sin(angle) + x * np.cos(angle)
        widths[i] = np.maximum.reduceat(along, starts)
        widths[i] -= np.minimum.reduceat(along, starts)
        widths[i] += abs(np.sin(angle)) + abs(np.cos(angle))
    return widths.max(0), widths.min(0)


def _near(table: Table) -> tuple[np.ndarray, np.ndarray]:
    """From each centre to the nearest other, px (NaN of one), and how many are near."""
    points = np.stack((table["y"], table["x"]), 1)
    if len(points) < 2:
        return np.full(len(points), np.nan), np.zeros(len(points), np.int64)
    tree = cKDTree(points)
    away, _ = tree.query(points, k=2)
    near = tree.query_ball_point(
        points, NEAR * table["diameter_px"], return_length=True
    )
    return away[:, 1], np.asarray(near, np.int64) - 1
