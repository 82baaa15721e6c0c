"""What the numbers of a mask file mean: beads, kinds, cores and rims, overlaps, edges.

A mask is a label per bead, or black and white. Other programs write it upside down,
with a number per kind of bead, with a rim round every bead, with numbers that 8 bits
cut off, with the soft edges of a drawing. `decode` finds out which from the numbers
alone: where the meaning is certain it gives beads and says what it did; else it
refuses.
"""

from typing import NamedTuple

import numpy as np
from scipy import ndimage
from skimage import measure

from beadseg.data.necks import roundness, separate
from beadseg.data.reading import ReadError

FEW = 8  # numbers up to which they may be kinds, cores and rims, or overlaps
_PART = 0.3  # areas of the median bead, from which a part may be a bead of its own
_FAR = 1.5  # diameters of it between parts of one bead at most
_CLUMP = 1.6  # areas of it, beyond which beads of one number may touch
_EIGHT = np.ones((3, 3), bool)


class Decoded(NamedTuple):
    """Beads of a mask, and in words how they were read, if not as they stand."""

    beads: np.ndarray  # bool[H, W] to be separated, or int[H, W] with an id per bead
    kind: str = ""  # "", or of the reading, for tables
    note: str = ""  # evidence, and what was made of it


def decode(array: np.ndarray, where: str) -> Decoded:
    """Reads the numbers of a mask.

    Args:
      array: int[H, W]; 0 or less is no bead.
      where: the file or page, for messages.

    Raises:
      ReadError: a photograph, or a mask whose numbers may mean several things.
    """
    values, index = _numbered(array)
    if len(values) == 0:
        return Decoded(array > 0)
    ground = _numbered_ground(array, values, index) if len(values) > 1 else None
    if ground is not None:
        read = decode(np.where(array == ground, 0, array), where)
        note = f"the ground has the number {ground}, not 0: read as ground"
        return Decoded(
            read.beads, "ground numbered", "; ".join(filter(None, (note, read.note)))
        )
    if len(values) == 1:
        return _black_and_white(index > 0)
    if len(values) <= FEW:
        found = _few(values, index, where)
        if found is not None:
            return found
    soft = _soft(array, values, index, where)
    if soft is not None:
        return soft
    _refuse_photograph(values, index, where)
    return _used_again(array, values, index)


def _numbered(array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The values above 0, and of every pixel its place among them from 1 (0: none)."""
    if array.dtype.itemsize <= 2:
        counts = np.bincount(np.maximum(array, 0).ravel())
        values = np.flatnonzero(counts[1:]) + 1
        place = np.zeros(len(counts), np.int32)
        place[values] = np.arange(1, len(values) + 1)
        return values, place[np.maximum(array, 0)]
    values, index = np.unique(np.maximum(array, 0), return_inverse=True)
    index = index.reshape(array.shape).astype(np.int32)
    return (values[1:], index) if values[0] == 0 else (values, index + 1)


# Upside down


def _black_and_white(mask: np.ndarray) -> Decoded:
    if not _inverted(mask):
        return Decoded(mask)
    return Decoded(
        ~mask,
        "inverted",
        "inverted: the ground is labelled and the beads are 0 (their zeros are "
        "separate and round, the rest hangs together); read with black and white "
        "exchanged",
    )


def _inverted(mask: np.ndarray) -> bool:
    """Whether what is 0 has the shape of beads, and what is not the shape of ground.

    Between beads that touch, the gaps have sides that bend inward; beads bend outward,
    so more of them lies in pieces that are not much larger than the largest disc
    inside. Ground hangs together and reaches the border.
    """
    share = float(mask.mean())
    if share < 0.2 or mask.all():
        return False
    step = _coarse(mask)
    mask = mask[::step, ::step]
    parts, _ = ndimage.label(mask, _EIGHT)
    area = np.bincount(parts.ravel())
    area[0] = 0
    largest = parts == area.argmax()
    border = (largest[0], largest[-1], largest[:, 0], largest[:, -1])
    sides = sum(bool(side.any()) for side in border)
    whole = area.max() / mask.sum()
    round_zeros = _round_share(~mask)
    if share > 0.9 and whole > 0.99 and sides == 4:
        return round_zeros > 0.6  # few beads: pieces of the ground may be round too
    connected = whole > 0.5 and sides >= 2
    return round_zeros > _round_share(mask) + (0.15 if connected else 0.4)


def _coarse(mask: np.ndarray) -> int:
    """A step at which the smaller of beads and gaps are still 12 px across."""
    edges = sum(int(np.sum(mask[1:] != mask[:-1])) for mask in (mask, mask.T))
    smaller = min(mask.sum(), mask.size - mask.sum())
    return max(1, int(4 * smaller / max(edges * np.pi / 4, 1) / 12))


def _round_share(mask: np.ndarray) -> float:
    """Share of a mask that lies in round pieces, when it is cut at its necks."""
    area, ratio = roundness(mask, separate(mask))
    return float(area[(ratio < 1.7) & (area >= 9)].sum() / max(area.sum(), 1))


def _numbered_ground(array, values, index) -> int | None:
    """The number of the ground, if that is not 0: it surrounds all others."""
    count = np.bincount(index.ravel(), minlength=len(values) + 1)
    most = int(count[1:].argmax()) + 1
    if count[most] < 0.3 * index.size or count[0] > 0.1 * index.size:
        return None
    frame = np.concatenate([index[0], index[-1], index[:, 0], index[:, -1]])
    if np.mean(frame == most) < 0.5:
        return None
    others = (index > 0) & (index != most)
    if not others.any() or _round_share(others) < _round_share(index == most):
        return None
    return int(values[most - 1])


# Few numbers: kinds of beads, cores and rims, overlaps


def _few(values: np.ndarray, index: np.ndarray, where: str) -> Decoded | None:
    count = len(values)
    meet = _meetings(index, count)
    outside = meet[1:, 0] / np.maximum(meet[1:].sum(1), 1)  # of the outline
    if count == 2:
        found = _core_and_rim(values, index, meet, outside, where)
        if found is not None:
            return found
    steps = np.diff(values, prepend=0)
    if count >= 2 and np.ptp(steps) <= 1 and (outside[1:] < 0.35).all():
        found = _overlaps(values, index, where)
        if found is not None:
            return found
    return _kinds(values, index, outside, where)


def _meetings(index: np.ndarray, count: int) -> np.ndarray:
    """i64[K + 1, K + 1]: pairs of neighbours of two numbers; 0 is the ground."""
    meet = np.zeros((count + 1) ** 2, np.int64)
    for a, b in ((index[1:], index[:-1]), (index[:, 1:], index[:, :-1])):
        differ = a != b
        pair = a[differ].astype(np.int64) * (count + 1) + b[differ]
        meet += np.bincount(pair, minlength=len(meet))
    meet = meet.reshape(count + 1, count + 1)
    return meet + meet.T


def _core_and_rim(values, index, meet, outside, where) -> Decoded | None:
    """Two numbers of which one is the rim of the other, or the line between two."""
    depth = [_depth(index == number) for number in (1, 2)]
    rim = int(np.argmin(depth))
    core = 1 - rim
    thin = depth[rim] < 0.6 * depth[core]
    shielded = outside[core] < 0.1
    between = outside[rim] < 0.4 and depth[rim] <= 2.5 and depth[core] > 3
    if not thin and min(outside) < 0.05 and max(outside) > 0.2:
        inner = int(np.argmin(outside))
        cores, found = ndimage.label(index == inner + 1, _EIGHT)
        clumps = ndimage.label(index > 0, _EIGHT)[1]
        if found >= clumps:  # every clump has a core: no overlap of some
            raise ReadError(
                f"{where}: the number {values[inner]} lies inside "
                f"{values[1 - inner]} everywhere: core and border of beads, or discs "
                "that overlap; save the mask with one number per bead"
            )
        return None
    if not thin or not (shielded or between):
        return None
    cores, found = ndimage.label(index == core + 1, _EIGHT)
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
        f"{found} beads, each a core with its border",
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
    clumps, number = ndimage.label(index > 0, _EIGHT)
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
    return Decoded(labels, "overlaps counted", f"{what}; read as {parts} beads")


def _kinds(values, index, outside, where) -> Decoded | None:
    """A number per kind of bead: each has several beads of its own."""
    parts = measure.label(index, connectivity=2, background=0)
    area = np.bincount(parts.ravel())[1:]
    of = np.zeros(len(area) + 1, np.int32)
    of[parts] = index
    usual = np.median(area)
    whole = area >= max(_PART * usual, 4)
    each = np.bincount(of[1:][whole], minlength=len(values) + 1)[1:]
    if each.sum() < 3 * len(values) or (each < 2).sum() > len(values) / 2:
        return None
    if (outside < 0.3).any():
        inner = int(values[outside.argmin()])
        raise ReadError(
            f"{where}: {len(values)} numbers in {each.sum()} places, and {inner} lies "
            "inside another: classes, cores with a border, or overlaps; save the mask "
            "with one number per bead"
        )
    labels = np.zeros(index.shape, np.int32)
    said = []
    for number, value in enumerate(values, 1):
        mask = index == number
        own = separate(mask)
        size, ratio = roundness(mask, own)
        if np.sum(size[ratio < 2.5]) < 0.5 * size.sum():
            raise ReadError(
                f"{where}: classes, not beads: {len(values)} numbers in {each.sum()} "
                f"places, and the shapes of {value} are no beads; save the mask with "
                "one number per bead, and 0 for all else"
            )
        labels[mask] = own[mask] + labels.max()
        across = np.median(2 * np.sqrt(size / np.pi))
        said.append(f"{value}: {own.max()} of {across:.0f} px")
    return Decoded(
        labels,
        "classes",
        f"classes, not beads: the same number is used in many places; read as one bead "
        f"for each place ({', '.join(said)})",
    )


# Many numbers


def _soft(array, values, index, where) -> Decoded | None:
    """Black and white with soft edges: JPEG, resampling, antialiased drawing."""
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
    clumps, number = ndimage.label(mask, _EIGHT)
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
        labels, "soft edges", f"{what}: taken at half of {top}; read as {count} beads"
    )


def _constant(index: np.ndarray) -> np.ndarray:
    """Where all nine pixels around are of one number."""
    return (ndimage.maximum_filter(index, 3) == index) & (
        ndimage.minimum_filter(index, 3) == index
    )


def _refuse_photograph(values, index, where: str) -> None:
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
        ground = np.mean(index == 0) > 0.1
        if ground and kept > 0.8 and beside[edges[index]].mean() > 0.5:
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
            f"({count} grey levels, {share:.0%} of neighbours differ); "
            "save the mask as PNG or TIFF with one number per bead"
        )


def _used_again(array: np.ndarray, values, index) -> Decoded:
    """Numbers in several places far apart: each place is a bead."""
    parts, number = measure.label(index, connectivity=2, return_num=True, background=0)
    if number == len(values):
        return Decoded(array)
    area = np.bincount(parts.ravel(), minlength=number + 1)
    of = np.zeros(number + 1, np.int32)
    of[parts] = index
    usual = float(np.median(area[1:]))
    large = area >= max(_PART * usual, 4)
    large[0] = False
    several = np.bincount(of[large], minlength=len(values) + 1) > 1
    again = np.zeros(len(values) + 1, bool)
    if several.any():
        again[_far_apart(parts, of, large, several, usual)] = True
    if not again.any():
        return Decoded(array)
    # Where numbers come again at all, two whole beads side by side may share one.
    whole = area >= 2 * _PART * np.median(area[1:][large[1:]])
    again |= np.bincount(of[whole & large], minlength=len(values) + 1) > 1
    beads = _cut(parts, area, of, again, usual)
    total = len(np.unique(beads[beads > 0]))
    top = int(values[-1])
    why = lost = ""
    if len(values) >= 100 and top == 255:
        why = "8 bits end at 255, and larger numbers "
        if again[:-1].any():
            why += "wrapped to small ones; "
            lost = " (those of number 256 became ground and are lost)"
        else:
            why += "were cut off; "
    return Decoded(
        beads,
        "ids used again",
        f"the same number in places far apart ({int(again.sum())} of {len(values)} "
        f"numbers): {why}read as {total} beads, one for each place{lost}",
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
    small = area < max(_PART * usual, 4)
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
