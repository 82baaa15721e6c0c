"""Masks of many numbers: soft edges, photographs, numbers that come again."""

import numpy as np
from scipy import ndimage
from skimage import measure

from beadseg.data.images.reading import ReadError
from beadseg.data.masks.decoded import EIGHT, FEW, PART, Decoded
from beadseg.data.masks.necks import roundness, separate
from beadseg.matching import count_beads
from beadseg.quoting import counted, percent

_FAR = 1.5  # diameters of the median bead between parts of one bead at most
_CLUMP = 1.6  # areas of it, beyond which beads of one number may touch


def decode_soft(array, values, index, where: str) -> Decoded | None:
    """Black and white with soft edges: JPEG, resampling, antialiased drawing.

    Args:
      array: int[H, W], the mask.
      values: its numbers above 0, ascending.
      index: i32[H, W], of every pixel the place of its number from 1; 0: background.
      where: the file or page, for messages.

    Returns:
      None: it is something else.

    Raises:
      ReadError: its beads cannot be told apart.
    """
    top = int(values[-1])
    if top < 16 or len(values) < 3:
        return None
    level = array / top
    high, low = level > 0.85, level < 0.15
    if high.mean() < 0.002 or low.mean() < 0.02:
        return None
    if np.mean(level[level > 0.15] > 0.85) < 0.35:
        return None
    middle = (index > 0) & ~high
    outline = high & ~ndimage.binary_erosion(high)
    plain = _constant(index)
    if middle.sum() < 0.2 * outline.sum() or plain[middle].mean() > 0.3:
        return None  # areas of middling numbers are beads
    if len(np.unique(index[high & plain])) > 0.5 * np.sum(values > 0.85 * top) > 4:
        return None  # many high numbers, each with an area of its own
    near = ndimage.maximum_filter(high.astype(np.uint8), 9)
    if near[middle].mean() < 0.8:
        return None
    mask = level >= 0.5
    labels = separate(mask)
    area, ratio = roundness(mask, labels)
    count = len(area)
    clumps, number = ndimage.label(mask, EIGHT)
    heap = np.bincount(clumps.ravel())[1:].max() / max(np.median(area), 1)
    good = area[ratio < 1.7].sum() / area.sum()
    what = (
        f"black and white with soft edges ({len(values)} grey levels, JPEG or "
        "smoothing)"
    )
    if good < 0.85 and number < 0.9 * count:
        raise ReadError(
            f"{where}: {what}, or sums of overlapping discs whose grey levels add up; "
            f"the largest clump has the area of {heap:.0f} beads, which cannot be told "
            "apart; save the mask as PNG or TIFF with one number per bead"
        )
    return Decoded(
        labels,
        "soft edges",
        f"{what}: taken at half of {top}; read as {counted(count, 'bead')}",
    )


def _constant(index: np.ndarray) -> np.ndarray:
    """Where all nine pixels around are of one number."""
    return (ndimage.maximum_filter(index, 3) == index) & (
        ndimage.minimum_filter(index, 3) == index
    )


def refuse_photograph(values, index, where: str) -> None:
    """Raises ReadError if neighbouring numbers differ as in a picture.

    In an instance mask equal numbers lie together: where two beads touch, numbers
    differ only along the line between them, and a number makes about one area. Grey
    levels of a picture, and the ringing that JPEG leaves around the objects of a
    mask, come back everywhere in areas of a pixel or two.
    """
    touching = differing = 0
    for a, b in ((index[1:], index[:-1]), (index[:, 1:], index[:, :-1])):
        both = (a > 0) & (b > 0)
        touching += int(both.sum())
        differing += int((both & (a != b)).sum())
    share = differing / max(1, touching)
    count = len(values)
    plain = np.zeros(count + 1, bool)
    plain[index[_constant(index)]] = True
    areas = np.bincount(index.ravel(), minlength=count + 1)
    edges = ~plain & (areas > 0)
    edges[0] = False
    if count > FEW and edges.sum() > count / 2 and plain[1:].any():
        # A few large beads whose smoothed edges hold most of the numbers; specks of
        # a segmentation lie alone.
        kept = areas[1:][plain[1:]].sum() / areas[1:].sum()
        beside = ndimage.maximum_filter(index, 3) != index
        beside |= ndimage.minimum_filter(np.where(index > 0, index, count + 1), 3) != (
            index
        )
        has_background = np.mean(index == 0) > 0.1
        if has_background and kept > 0.8 and beside[edges[index]].mean() > 0.5:
            raise ReadError(
                f"{where}: {count} numbers, of which {edges.sum()} make no area: the "
                "edges were smoothed, by JPEG or when the mask was resized; save the "
                "mask as PNG or TIFF with one number per bead, and resize it without "
                "interpolation (nearest neighbour)"
            )
    if share < 0.02:
        return
    areas = np.bincount(measure.label(index, connectivity=1).ravel())
    crumbs = float(np.median(areas[1:])) <= 2
    scattered = count >= FEW and len(areas) - 1 > 4 * count
    if crumbs or scattered or (share > 0.5 and count >= FEW):
        raise ReadError(
            f"{where}: this is no mask but a photograph, or a mask spoilt by JPEG "
            f"({count} grey levels, {percent(share)} of neighbours differ); "
            "save the mask as PNG or TIFF with one number per bead"
        )


def decode_again(array: np.ndarray, values, index) -> Decoded:
    """Numbers in several places far apart: each place is a bead."""
    parts, number = measure.label(index, connectivity=2, return_num=True, background=0)
    if number == len(values):
        return Decoded(array)
    area = np.bincount(parts.ravel(), minlength=number + 1)
    of = np.zeros(number + 1, np.int32)
    of[parts] = index
    usual = float(np.median(area[1:]))
    large = area >= max(PART * usual, 4)
    large[0] = False
    several = np.bincount(of[large], minlength=len(values) + 1) > 1
    again = np.zeros(len(values) + 1, bool)
    if several.any():
        again[_far_apart(parts, of, large, several, usual)] = True
    if not again.any():
        return Decoded(array)
    # Where numbers come again at all, two whole beads side by side may share one.
    whole = area >= 2 * PART * np.median(area[1:][large[1:]])
    again |= np.bincount(of[whole & large], minlength=len(values) + 1) > 1
    beads = _cut(parts, area, of, again, usual)
    total = count_beads(beads)
    top = int(values[-1])
    why = lost = ""
    if len(values) >= 100 and top == 255:
        why = "8 bits end at 255, and larger numbers "
        if again[:-1].any():
            why += "wrapped to small ones; "
            lost = " (those of number 256 became background and are lost)"
        else:
            why += "were cut off; "
    return Decoded(
        beads,
        "ids used again",
        f"the same number in places far apart ({int(again.sum())} of {len(values)} "
        f"numbers): {why}read as {counted(total, 'bead')}, one for each place{lost}",
    )


def _far_apart(parts, of, large, several, usual) -> np.ndarray:
    """Numbers of which two large parts lie farther apart than parts of one bead."""
    wanted = np.flatnonzero(large & several[of])
    rows, columns = np.nonzero(large[parts] & several[of[parts]])
    which = parts[rows, columns]
    count = np.bincount(which, minlength=len(of))[wanted]
    centres = np.stack(
        [np.bincount(which, c, len(of))[wanted] / count for c in (rows, columns)], 1
    )
    across = 2 * np.sqrt(usual / np.pi)
    numbers = of[wanted]
    low = np.full((len(several), 2), np.inf)
    high = np.full((len(several), 2), -np.inf)
    np.minimum.at(low, numbers, centres)
    np.maximum.at(high, numbers, centres)
    widest = np.zeros(len(several))
    present = np.unique(numbers)
    widest[present] = np.hypot(*(high - low)[present].T)
    return np.flatnonzero(widest > _FAR * across)


def _cut(parts, area, of, again, usual) -> np.ndarray:
    """i32[H, W]: an id per part of the numbers used again, and per other number."""
    result = np.where(again[of][parts], 0, of[parts]).astype(np.int32)
    last = len(again) - 1
    small = area < max(PART * usual, 4)
    for part, box in enumerate(ndimage.find_objects(parts), 1):
        if box is None or not again[of[part]] or small[part]:
            continue
        inside = parts[box] == part
        cut = inside.astype(np.int32)
        if area[part] > _CLUMP * usual:
            cut = separate(np.pad(inside, 1))[1:-1, 1:-1]
        result[box][inside] = cut[inside] + last
        last += int(cut.max())
    return result
