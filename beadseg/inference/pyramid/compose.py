"""The beads that were selected on all levels of a pyramid, on the grid of the image."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from beadseg.inference.pyramid.grid import (
    resample_beads,
    resample_map,
    resample_probability,
    rows_around,
)
from beadseg.inference.pyramid.pyramid import Candidates, Level

RAGGED = 0.85  # circularity below which an outline is smoothed
LARGE = 8.0  # px of a level: smaller regions have no spurs
SPUR = 0.4  # of the radius: what is thinner is no part of a bead

Allocate = Callable[[tuple[int, int], type], np.ndarray]  # zeros, on disk or not


class Page(NamedTuple):
    """On the grid of the image: arrays, or `scratch.Scratch` for a large one."""

    labels: np.ndarray  # i32[H, W], 0 background, 1..N
    probability: np.ndarray  # f32[H, W], of the level that found each bead
    uncertainty: np.ndarray | None  # f32[H, W], likewise


def compose(
    levels: Sequence[Level],
    beads: Candidates,
    shape: tuple[int, int],
    threshold: float,
    allocate: Allocate = np.zeros,
    band: int | None = None,
) -> Page:
    """Draws beads, those of finer levels on top.

    Args:
      levels: of the image.
      beads: that were selected; bead i becomes label i + 1.
      shape: [H, W].
      threshold: of the probability, where beads end.
      allocate: makes the arrays.
      band: rows that are drawn at once; None: all.
    """
    labels, probability = (allocate(shape, kind) for kind in (np.int32, np.float32))
    spreads = levels[0].maps.uncertainty is not None
    uncertainty = allocate(shape, np.float32) if spreads else None
    page = Page(labels, probability, uncertainty)
    covered = np.bincount(beads.level, beads.diameter**2, len(levels))
    main = int(covered.argmax())  # the finest, where there is no bead
    numbers, spurs = {}, {}
    for number in sorted(np.unique(beads.level).tolist(), reverse=True):
        numbers[number] = _numbers(levels[number], beads, number)
        spurs[number] = _spurs(levels[number], beads, number)
    step = shape[0] if band is None else band
    for top in range(0, shape[0], step):
        rows = slice(top, min(top + step, shape[0]))
        _draw(page, levels, numbers, spurs, main, rows, shape, threshold)
    return page


def _numbers(level: Level, beads: Candidates, number: int) -> np.ndarray:
    """Final label by label of a level; 0 where it is no bead."""
    final = np.zeros(int(level.regions["label"].max(initial=0)) + 1, np.int32)
    own = np.flatnonzero(beads.level == number)
    final[beads.label[own]] = own + 1
    return final


def _spurs(level: Level, beads: Candidates, number: int) -> np.ndarray:
    """Pixels of ragged beads of a level that are too thin to be a bead: i64[M, 2]."""
    rows = np.searchsorted(
        level.regions["label"], np.sort(beads.label[beads.level == number])
    )
    ragged = level.regions["circularity"][rows] < RAGGED
    ragged &= level.regions["diameter_px"][rows] >= LARGE
    found = [np.zeros((0, 2), int)]
    for row in rows[ragged].tolist():
        top, bottom, left, right = level.boxes[row].tolist()
        top, left = max(top - 1, 0), max(left - 1, 0)
        box = np.s_[top : bottom + 1, left : right + 1]
        own = np.asarray(level.labels[box]) == level.regions["label"][row]
        radius = float(level.regions["diameter_px"][row]) / 2
        found.append(np.argwhere(own & ~opened(own, SPUR * radius)) + (top, left))
    return np.concatenate(found)


def opened(region: np.ndarray, radius: float) -> np.ndarray:
    """What a disc of `radius` px can reach inside a region, bool[h, w]; largest part.

    Sides of the array are no edges of the region. All of it, where no disc fits.
    """
    reach = int(np.ceil(radius)) + 1
    wide = np.pad(region, reach, mode="edge")
    wide = np.pad(wide, 1)  # an array full of the region has no edge at all
    core = ndimage.distance_transform_edt(wide) > radius
    if not core.any():
        return region
    open_ = ndimage.distance_transform_edt(~core) <= radius
    inner = slice(reach + 1, -reach - 1)
    parts, count = ndimage.label(open_[inner, inner] & region)
    if count < 2:
        return parts > 0
    return parts == 1 + np.bincount(parts.ravel())[1:].argmax()


def _draw(page: Page, levels, numbers, spurs, main, rows, shape, threshold) -> None:
    found = np.zeros((rows.stop - rows.start, shape[1]), np.int32)
    probability = page_rows(levels[main].maps.probability, rows, shape)
    uncertainty = None
    if page.uncertainty is not None:
        uncertainty = _spread(levels[main], rows, shape)
    for number, final in numbers.items():
        level = levels[number]
        inside = probability
        if number != main:
            inside = page_rows(level.maps.probability, rows, shape)
        thin = spurs[number]
        own = _labels(level, final, thin, inside >= threshold, rows, shape)
        here = own > 0
        found[here] = own[here]
        if number != main:
            probability[here] = inside[here]
            if uncertainty is not None:
                uncertainty[here] = _spread(level, rows, shape)[here]
    page.labels[rows], page.probability[rows] = found, probability
    if uncertainty is not None:
        page.uncertainty[rows] = uncertainty


def _spread(level: Level, rows: slice, shape: tuple[int, int]) -> np.ndarray:
    return page_rows(level.maps.uncertainty, rows, shape, resample_map)


def _labels(
    level: Level, final: np.ndarray, thin: np.ndarray, inside, rows, shape
) -> np.ndarray:
    heights = (level.shape[0], shape[0])
    first, last = rows.start, rows.stop
    if level.shape != shape:
        first, last = rows_around(rows, *heights)
    own = final[level.labels[first:last]]
    y, x = thin[(thin[:, 0] >= first) & (thin[:, 0] < last)].T
    own[y - first, x] = 0
    if level.shape == shape:
        return own
    return resample_beads(own, inside, shape=heights, top=rows.start, label_top=first)


def page_rows(
    values: np.ndarray,
    rows: slice,
    shape: tuple[int, int],
    resample: Callable[..., np.ndarray] = resample_probability,
) -> np.ndarray:
    """Rows of a map on the grid of the image, as `resample` gives them of the whole."""
    if values.shape == shape:
        return np.array(values[rows])
    ratio = values.shape[0] / shape[0]
    first, last = rows_around(rows, values.shape[0], shape[0])
    box = (0, rows.start * ratio - first, values.shape[1], rows.stop * ratio - first)
    return resample(values[first:last], (rows.stop - rows.start, shape[1]), box)
