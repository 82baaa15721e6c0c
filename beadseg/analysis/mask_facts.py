"""What one mask is like: its beads, and what is wrong with it."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree
from skimage.morphology import skeletonize

from beadseg.data.masks.beads import edges, number_beads, on_border
from beadseg.data.masks.necks import separate
from beadseg.inference.outputs.measure import measure

# A disc of pixels of radius r has r sqrt(2 pi) of perimeter error at worst: beads with
# fewer pixels than this have no shape to speak of.
SHAPED = 30  # px
_SPECK = 0.04  # of the area of the median bead
_MERGED = 1.6  # areas of the median bead
_MOVES = 8  # px, how far outlines are looked for


@dataclass(frozen=True)
class MaskFacts:
    """Numbers of one mask; lists have one entry per bead."""

    objects: int
    coverage: float  # of the known pixels
    known: float  # share of the pixels
    diameters: tuple[float, ...]  # px, of the disc of equal area, whole beads
    circularity: float  # median of 4 pi area / perimeter^2; nan without shaped beads
    aspect: float  # median of long over short axis
    branches: float  # mean of skeleton branch points per bead
    spacing: float  # median distance to the next centre, mean diameters; nan below 2
    touching: float  # share of the beads that touch another
    holes: int
    specks: int
    merged: int  # ids that look like several beads in one
    twice: int  # ids with parts far apart
    offset: tuple[float, float]  # px, down and right, that brings outlines to slopes
    offset_gain: float  # slope under the outlines there, over that here or opposite

    @property
    def full(self) -> bool:
        """No background to tell the beads from."""
        return self.coverage > 0.98

    @property
    def useful(self) -> bool:
        """Whether it tells beads from background."""
        return self.objects > 0 and not self.full


def measure_mask(labels: np.ndarray, image: np.ndarray) -> MaskFacts:
    """Measures a label map.

    Args:
      labels: i32[H, W]; 0 background, > 0 beads, -1 unknown.
      image: f[H, W], the image it belongs to.
    """
    ids, index = number_beads(labels)
    count = len(ids)
    known = float(np.mean(labels >= 0))
    coverage = float(np.mean(labels > 0)) / known if known else 0.0
    if not count:
        none = float("nan")
        return MaskFacts(
            0, coverage, known, (), *[none] * 4, 0.0, *[0] * 4, (0.0, 0.0), 1.0
        )
    sure = np.ones(index.shape, np.float32)
    shapes = measure(index, index, sure, threshold=0.5).table
    area, diameter = shapes["area_px"], shapes["diameter_px"]
    whole, circularity = ~shapes["on_border"], shapes["circularity"]
    measured = diameter[whole] if whole.any() else diameter
    usual = float(np.median(measured))
    shaped = whole & (area >= SHAPED)
    aspect = shapes["major_axis_px"] / np.maximum(shapes["minor_axis_px"], 1e-9)
    offset, gain = find_offset(index, image, usual)
    boxes = ndimage.find_objects(index)
    return MaskFacts(
        objects=count,
        coverage=coverage,
        known=known,
        diameters=tuple(measured.round(2)),
        circularity=median(np.minimum(circularity[shaped], 1)),
        aspect=median(aspect[shaped]),
        branches=branch_points(index, usual) / count,
        spacing=_spacing(np.stack((shapes["y"], shapes["x"]), 1), diameter),
        touching=len(_touching(index)) / count,
        holes=count_holes(index, float(np.median(area))),
        specks=int(np.sum(whole & (area < max(_SPECK * np.median(area), 6)))),
        merged=_merged(index, boxes, area, circularity),
        twice=_twice(index, boxes, area, usual),
        offset=offset,
        offset_gain=gain,
    )


def branch_points(index: np.ndarray, usual: float) -> int:
    """Branch points of the skeletons of all beads, after outlines are smoothed.

    A disc has none, a Y one. Smoothing by a tenth of the usual diameter takes away the
    steps of the pixel grid, from which skeletons sprout.
    """
    step = max(1, int(usual // 24))  # shape enough, and far fewer pixels
    small = index[::step, ::step]
    apart = small > 0
    apart[1:] &= (small[1:] == small[:-1]) | (small[:-1] == 0)
    apart[:, 1:] &= (small[:, 1:] == small[:, :-1]) | (small[:, :-1] == 0)
    sigma = max(0.1 * usual / step, 0.5)
    smooth = ndimage.gaussian_filter(apart.astype(np.float32), sigma) > 0.5
    thin = skeletonize(smooth)
    around = ndimage.convolve(
        thin.astype(np.uint8), np.ones((3, 3), np.uint8), mode="constant"
    )
    branching = thin & (around >= 4)  # itself and three others
    return int(ndimage.label(branching, np.ones((3, 3)))[1])


def count_holes(index: np.ndarray, usual_area: float) -> int:
    """Gaps in the background that one bead alone surrounds, smaller than a bead."""
    gaps, number = ndimage.label(index == 0)
    if number < 2:
        return 0
    area = np.bincount(gaps.ravel())
    small = area < 0.6 * usual_area
    small[0] = False
    small[on_border(gaps)] = False
    low = np.full(number + 1, np.iinfo(np.int32).max)
    high = np.zeros(number + 1, np.int64)
    for axis in (0, 1):
        for shift in (1, -1):
            beside = np.roll(index, shift, axis)
            edge = (gaps > 0) & (beside > 0)
            np.minimum.at(low, gaps[edge], beside[edge])
            np.maximum.at(high, gaps[edge], beside[edge])
    return int(np.sum(small & (low == high)))


def find_offset(
    index: np.ndarray, image: np.ndarray, usual: float
) -> tuple[tuple[float, float], float]:
    """The move, px, after which outlines lie on the steepest slopes, and what it gains.

    Cross-correlation of the outlines with the slope of the image. Up to a third of a
    bead is looked for: farther, the outline of the next bead may answer.
    """
    reach = int(min(_MOVES, max(1, usual / 3)))
    outline = edges(index)
    margin = reach + 1
    outline[:margin] = outline[-margin:] = False
    outline[:, :margin] = outline[:, -margin:] = False
    rows, columns = np.nonzero(outline)
    if len(rows) < 50:
        return (0.0, 0.0), 1.0
    if len(rows) > 6000:
        chosen = np.linspace(0, len(rows) - 1, 6000).astype(int)
        rows, columns = rows[chosen], columns[chosen]
    smooth = ndimage.gaussian_filter(image.astype(np.float32), 1.0, truncate=3)
    slope = np.hypot(*np.gradient(smooth))
    slope = np.minimum(slope, np.percentile(slope[::2, ::2], 99))
    moves = np.arange(-reach, reach + 1)
    score = np.array(
        [[slope[rows + dy, columns + dx].mean() for dx in moves] for dy in moves]
    )
    score = ndimage.gaussian_filter(score, 0.7, mode="nearest")
    best = np.unravel_index(score.argmax(), score.shape)
    # Outlines drawn too wide or too narrow gain in every direction: that is no shift.
    down, right = moves[list(best)]
    ways = ((0, 0), (-down, -right), (right, -down), (-right, down))
    stays = max(score[reach + y, reach + x] for y, x in ways)
    at = float(down), float(right)
    return at, float(score[best] / stays) if stays > 0 else 1.0


def _spacing(centres: np.ndarray, diameter: np.ndarray) -> float:
    if len(centres) < 2:
        return float("nan")
    distance, other = cKDTree(centres).query(centres, 2)
    mean = (diameter + diameter[other[:, 1]]) / 2
    return float(np.median(distance[:, 1] / mean))


def _touching(index: np.ndarray) -> np.ndarray:
    """Beads with a pixel at most one px from another bead's."""
    touching = []
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1), (0, 2), (2, 0)):
        height, width = index.shape
        a = index[: height - down, max(0, -right) : width - max(0, right)]
        b = index[down:, max(0, right) : width + min(0, right)]
        meet = (a != b) & (a > 0) & (b > 0)
        touching += [np.unique(a[meet]), np.unique(b[meet])]
    return np.unique(np.concatenate(touching))


def _merged(index, boxes, area, circularity) -> int:
    """Ids that a neck divides into parts that are each a good part of the whole."""
    usual = np.median(area)
    suspects = np.flatnonzero((area > _MERGED * usual) | (circularity < 0.75))
    merged = 0
    for i in suspects[:200]:
        box = boxes[i]
        inside = np.pad(index[box] == i + 1, 1)
        sizes = np.bincount(separate(inside).ravel())[1:]
        merged += int(np.sum(sizes > max(0.25 * area[i], 0.3 * usual)) >= 2)
    return merged


def _twice(index, boxes, area, usual) -> int:
    """Ids with two or more parts, each a tenth of a bead, a diameter apart."""
    extent = np.array([max(s.stop - s.start for s in box) for box in boxes])
    suspects = np.flatnonzero(extent > 2 * usual)
    found = 0
    for i in suspects[:500]:
        inside = index[boxes[i]] == i + 1
        parts, number = ndimage.label(inside, np.ones((3, 3)))
        if number < 2:
            continue
        sizes = np.bincount(parts.ravel())[1:]
        large = np.flatnonzero(sizes > 0.1 * min(np.median(area), sizes.max())) + 1
        if len(large) < 2:
            continue
        centres = np.array(ndimage.center_of_mass(inside, parts, large))
        apart = np.hypot(*(centres[:, None] - centres[None]).transpose(2, 0, 1))
        found += bool(apart.max() > 1.5 * usual)
    return found


def median(values: Iterable[float | None]) -> float:
    """Of those that are known and finite; nan of none."""
    values = np.array([v for v in values if v is not None and np.isfinite(v)], float)
    return float(np.median(values)) if len(values) else float("nan")
