"""Masks of few numbers: kinds of beads, cores and rims, overlaps, outlines."""

import numpy as np
from scipy import ndimage
from skimage import measure

from beadseg.data.images.reading import ReadError
from beadseg.data.masks.beads import numbered_anew
from beadseg.data.masks.decoded import EIGHT, PART, Decoded
from beadseg.data.masks.necks import roundness, separate
from beadseg.quoting import counted

# Of outlines:
_THIN = 0.35  # of the radius of what is inside, to which lines are half as wide
_PEN = 2.5  # px; half as wide is what is drawn at most: walls between bubbles are wider
_STOUT = 2.6  # areas of the largest disc inside, to which an area may be a bead
_CONVEX = 0.85  # share of the convex hull; gaps between touching beads bend inward
_LINED = 0.9  # share of the lines that lie around beads
_FULL = 0.5  # areas of the lines that beads have at least
_USUAL = 4.0  # areas of the median bead; what is larger is background
_GAP = 0.12  # likewise; what is smaller and has beads all around is a gap


def decode_few(values: np.ndarray, index: np.ndarray, where: str) -> Decoded | None:
    """Beads of a mask of two to `FEW` numbers; None: each number may be a bead.

    Args:
      values: the numbers above 0, ascending.
      index: i32[H, W], of every pixel the place of its number from 1; 0: background.
      where: the file or page, for messages.

    Raises:
      ReadError: they may mean several things.
    """
    count = len(values)
    meet = _meetings(index, count)
    outside = meet[1:, 0] / np.maximum(meet[1:].sum(1), 1)  # of the outline
    if count == 2:
        found = _core_and_rim(values, index, outside, where)
        if found is not None:
            return found
    steps = np.diff(values, prepend=0)
    if count >= 2 and np.ptp(steps) <= 1 and (outside[1:] < 0.35).all():
        found = _overlaps(values, index, where)
        if found is not None:
            return found
    return _kinds(values, index, outside, where)


def _meetings(index: np.ndarray, count: int) -> np.ndarray:
    """i64[K + 1, K + 1]: pairs of neighbours of two numbers; 0 is the background."""
    meet = np.zeros((count + 1) ** 2, np.int64)
    for a, b in ((index[1:], index[:-1]), (index[:, 1:], index[:, :-1])):
        differ = a != b
        pair = a[differ].astype(np.int64) * (count + 1) + b[differ]
        meet += np.bincount(pair, minlength=len(meet))
    meet = meet.reshape(count + 1, count + 1)
    return meet + meet.T


def _core_and_rim(values, index, outside, where) -> Decoded | None:
    """Two numbers of which one is the rim of the other, or the line between two."""
    depth = [_depth(index == number) for number in (1, 2)]
    rim = int(np.argmin(depth))
    core = 1 - rim
    thin = depth[rim] < 0.6 * depth[core]
    shielded = outside[core] < 0.1
    between = outside[rim] < 0.4 and depth[rim] <= 2.5 and depth[core] > 3
    if not thin and min(outside) < 0.05 and max(outside) > 0.2:
        inner = int(np.argmin(outside))
        cores, found = ndimage.label(index == inner + 1, EIGHT)
        clumps = ndimage.label(index > 0, EIGHT)[1]
        if found >= clumps:  # every clump has a core: no overlap of some
            raise ReadError(
                f"{where}: the number {values[inner]} lies inside "
                f"{values[1 - inner]} everywhere: core and border of beads, or discs "
                "that overlap; save the mask with one number per bead"
            )
        return None
    if not thin or not (shielded or between):
        return None
    cores, found = ndimage.label(index == core + 1, EIGHT)
    if between and not shielded:
        cores = separate(index == core + 1)
        found = int(cores.max())
    away, place = ndimage.distance_transform_edt(cores == 0, return_indices=True)
    grown = np.where(index > 0, cores[tuple(place)], 0)
    strays = float(np.mean(away[index == rim + 1] > 4 * depth[rim] + 2))
    if strays > 0.1:
        return None
    return Decoded(
        grown,
        "core and border",
        f"core and border: {values[rim]} is the border of {values[core]}; read as "
        f"{counted(found, 'bead')}, each a core with its border",
    )


def _depth(mask: np.ndarray) -> float:
    """px: how far inside the mask the deepest tenth of its ridge lies."""
    distance = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    ridge = mask & (ndimage.maximum_filter(distance, 3) == distance)
    return float(np.percentile(distance[ridge], 75)) if ridge.any() else 0.0


def _overlaps(values, index, where) -> Decoded | None:
    """Numbers that count how many discs lie on a pixel.

    The Euler characteristics of the levels add up to the number of convex shapes
    (Baryshnikov and Ghrist 2009), however they overlap.
    """
    discs = sum(
        measure.euler_number(index >= level, connectivity=2)
        for level in range(1, len(values) + 1)
    )
    clumps, number = ndimage.label(index > 0, EIGHT)
    deep = np.unique(clumps[index > 1])
    if discs <= number or len(deep) == number and number > 2:
        return None
    labels = separate(index > 0)
    parts = int(labels.max())
    what = (
        f"its numbers count how many discs overlap (up to {len(values)}): about "
        f"{discs} discs"
    )
    if abs(parts - discs) > max(1, 0.05 * discs):
        raise ReadError(
            f"{where}: sums of overlapping discs: {what}, of which outlines tell "
            f"{parts} apart; save the mask with one number per bead"
        )
    read = f"{what}; read as {counted(parts, 'bead')}"
    return Decoded(labels, "overlaps counted", read)


def _kinds(values, index, outside, where) -> Decoded | None:
    """A number per kind of bead: each has several beads of its own."""
    parts = measure.label(index, connectivity=2, background=0)
    area = np.bincount(parts.ravel())[1:]
    of = np.zeros(len(area) + 1, np.int32)
    of[parts] = index
    usual = np.median(area)
    whole = area >= max(PART * usual, 4)
    each = np.bincount(of[1:][whole], minlength=len(values) + 1)[1:]
    if each.sum() < 3 * len(values) or (each < 2).sum() > len(values) / 2:
        return None
    if (outside < 0.3).any():
        inner = int(values[outside.argmin()])
        raise ReadError(
            f"{where}: {len(values)} numbers in {each.sum()} places, and {inner} lies "
            "inside another: classes, cores with a border, or overlaps; save the mask "
            "with one number per bead, or say which are beads: classes in beads.toml"
        )
    labels = np.zeros(index.shape, np.int32)
    said, kinds = [], []
    for number, value in enumerate(values, 1):
        mask = index == number
        own = separate(mask)
        size, ratio = roundness(mask, own)
        if np.sum(size[ratio < 2.5]) < 0.5 * size.sum():
            raise ReadError(
                f"{where}: classes, not beads: {len(values)} numbers in {each.sum()} "
                f"places, and the shapes of {value} are no beads; save the mask with "
                "one number per bead, or say which are beads: classes in beads.toml"
            )
        labels[mask] = own[mask] + len(kinds)
        kinds += own.max() * [value]
        across = np.median(2 * np.sqrt(size / np.pi))
        said.append(f"{value}: {own.max()} of {across:.0f} px")
    return Decoded(
        labels,
        "classes",
        f"classes, not beads: the same number is used in many places; read as one bead "
        f"for each place ({', '.join(said)})",
        np.array(kinds),
    )


def decode_classes(array: np.ndarray, classes: tuple[int, ...]) -> Decoded:
    """The beads of a mask, int[H, W], whose numbers `classes` are kinds of beads."""
    labels, kinds = np.zeros(array.shape, np.int32), []
    for value in classes:
        mask = array == value
        own = separate(mask)
        labels[mask] = own[mask] + len(kinds)
        kinds += own.max() * [value]
    others = np.setdiff1d(array[array > 0], classes)
    named = ", ".join(map(str, others[:5])) + ", ..." * (len(others) > 5)
    kind, note = "", f"{named} are no beads" if len(others) else ""
    if len(others) and not kinds:
        kind = "classes"
        note = f"its numbers are {named}, none of the classes "
        note += f"{', '.join(map(str, classes))}: read as no bead"
    return Decoded(labels, kind, note, np.array(kinds, int))


def decode_outlines(lines: np.ndarray, black: bool) -> Decoded | None:
    """Beads of which a mask has the outlines alone; None: it has more.

    Args:
      lines: bool[H, W], what is labelled.
      black: whether the lines may be what is not labelled, on white.
    """
    beads = fill_outlines(lines)
    if beads is None and black:
        beads = fill_outlines(~lines)
        if beads is not None and (_frame(beads) > 0).mean() > 0.5:
            return None  # cells with lines between them are beads as they stand
    if beads is None:
        return None
    return Decoded(
        beads,
        "outlines",
        "outlines, not beads: thin closed lines; read as "
        f"{counted(int(beads.max()), 'bead')}, each the area inside with its line",
    )


def fill_outlines(lines: np.ndarray) -> np.ndarray | None:
    """Beads whose outlines a mask draws.

    A line belongs to the bead that it is around; where two touch, to the nearer.

    Args:
      lines: bool[H, W].

    Returns:
      i32[H, W], beads 1..N; None: these are no thin lines closed around beads.
    """
    inside, number = ndimage.label(~lines)
    area = np.bincount(inside.ravel(), minlength=number + 1)[1:]
    if not lines.any() or area.sum() - area.max(initial=0) < _FULL * lines.sum():
        return None
    area, ratio = roundness(~lines, inside)
    bead = ratio < _STOUT
    frame = _frame(inside)
    most = np.bincount(frame, minlength=number + 1)[1:]
    if most.max() > 0.5 * len(frame):
        bead[most.argmax()] = False
    if not bead.any():
        return None
    usual = _usual(area[bead])
    bead &= area < _USUAL * usual
    if area[bead].sum() < _FULL * lines.sum():
        return None
    half = _depth(lines)
    large = bead & (area >= _GAP * usual)
    radius = float(np.median(np.sqrt(area[large] / (np.pi * ratio[large]))))
    if half > min(max(_THIN * radius, 1.0), _PEN):
        return None
    for region in measure.regionprops(_chosen(inside, bead)):
        bead[region.label - 1] &= region.solidity >= _CONVEX
    large &= bead
    away = ndimage.distance_transform_edt(~_chosen(inside, large).astype(bool))
    mean = ndimage.mean(away, inside, np.arange(1, number + 1))
    bead &= large | (mean > 4 * half + 1 + np.sqrt(area / np.pi))
    beads = numbered_anew(inside, bead)
    away, nearest = ndimage.distance_transform_edt(beads == 0, return_indices=True)
    around = lines & (away <= 2 * half + 0.5)
    if not bead.any() or around.sum() < _LINED * lines.sum():
        return None
    beads[around] = beads[tuple(nearest)][around]
    return beads


def _frame(array: np.ndarray) -> np.ndarray:
    return np.concatenate([array[0], array[-1], array[1:-1, 0], array[1:-1, -1]])


def _usual(area: np.ndarray) -> float:
    """The area in which the middle pixel lies: of many gaps and fewer beads, a bead."""
    area = np.sort(area)
    return float(area[np.searchsorted(np.cumsum(area), area.sum() / 2)])


def _chosen(labels: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    return np.where(np.concatenate([[False], chosen])[labels], labels, 0)
