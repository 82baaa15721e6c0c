"""Areas that no camera took: beside a mosaic or a turned image, or cleared by someone.

They hold one value up to the border of the image, and end at once: pixels beside them
are like all others. A background that was cut at 0 holds one value too, but beads rise
from it; one that JPEG made flat has flat blocks of other values a step away.
"""

import math

import numpy as np
from scipy import ndimage

RUN = (8, 0.05)  # px; of a side: a value that fills so much of it in a row
SMALLEST, LARGEST = 0.005, 0.95  # of the image
THICK = 3  # px across, at least
STEP = 0.35  # of what pixels differ from the value, those beside it do, at least
NEAR = 0.2  # of the same: by less differ few
FEW, QUARTER = 10, 25  # percent: of all pixels, of those beside it
APART = 0.75  # of what half of the pixels differ by among them, they do from the value
GREYS = 8  # values of the rest, at least: else it is a drawing
CORNER = 8  # px: blocks that make up an area whose edges are straight
STRAIGHT = 0.03  # of the length of its edge, that blocks leave out at most
ONE_PIECE, ACROSS = 0.95, 0.4  # of what was taken; of each side that it spans
BLOCK, STEP_OF_JPEG = 8, 12  # px; greys: of quality 10, and of all better ones

PIXELS = 2**22  # of a larger image so many are looked at

ALL_AROUND = np.ones((3, 3), bool)


def blank(image: np.ndarray) -> np.ndarray | None:
    """Where an image holds one value because nothing was taken there.

    Args:
      image: [H, W].

    Returns:
      bool[H, W]; None: nowhere.
    """
    if min(image.shape) < 4 * CORNER:
        return None
    values = _values_of_border(image)
    step = math.ceil(math.sqrt(image.size / PIXELS))
    found = None
    for value in values:
        area = _area(image[::step, ::step], value)
        if area is None:
            continue
        if step > 1:
            area = ndimage.binary_dilation(area, ALL_AROUND)
            area = area.repeat(step, 0).repeat(step, 1)[: len(image), : image.shape[1]]
            area &= image == value
        found = area if found is None else found | area
    return found


def _values_of_border(image: np.ndarray) -> list:
    """Values that fill a part of a side, from a corner on."""
    found = []
    for line in (image[0], image[-1], image[:, 0], image[:, -1]):
        least = max(RUN[0], int(RUN[1] * len(line)))
        for run in (line[:least], line[-least:]):
            one = run[0]
            if np.isfinite(one) and one not in found and (run == one).all():
                found.append(one)
    return found


def _area(image: np.ndarray, value) -> np.ndarray | None:
    """What of an image is blank, of this value; None: none of it."""
    same = ndimage.binary_opening(image == value, np.ones((THICK, THICK), bool))
    labels, _ = ndimage.label(same)
    sides = (labels[0], labels[-1], labels[:, 0], labels[:, -1])
    area = np.isin(labels, np.setdiff1d(np.concatenate(sides), 0))
    if not SMALLEST <= area.mean() <= LARGEST:
        return None
    rest = ~area & np.isfinite(image)
    edge = rest & ndimage.binary_dilation(area, ALL_AROUND)
    if not edge.any() or len(np.unique(image[rest])) < GREYS:
        return None
    off = _differences(image[rest], value)
    few, low, usual, high = np.percentile(off, (FEW, QUARTER, 50, 100 - QUARTER))
    beside, step = np.percentile(_differences(image[edge], value), (QUARTER, 50))
    if min(few, beside) <= NEAR * usual or step < STEP * usual:
        return None
    if usual < APART * (high - low):
        return None
    if not _straight(area, int(edge.sum())) and not _one_piece(rest):
        return None
    return None if _is_step_of_jpeg(image, value) else area


def _differences(pixels: np.ndarray, value) -> np.ndarray:
    return np.abs(pixels.astype(np.float64) - float(value))


def _is_step_of_jpeg(image: np.ndarray, value) -> bool:
    """Whether flat blocks hold another value that is a step of JPEG away."""
    flat = ndimage.maximum_filter(image, BLOCK) == ndimage.minimum_filter(image, BLOCK)
    off = _differences(image[flat], value)
    return bool(((off > 0) & (off <= STEP_OF_JPEG)).any())


def _straight(area: np.ndarray, edge: int) -> bool:
    """Whether blocks make up an area."""
    framed = np.pad(area, CORNER, mode="edge")
    blocks = ndimage.binary_opening(framed, np.ones((CORNER, CORNER), bool))
    left_out = area & ~blocks[CORNER:-CORNER, CORNER:-CORNER]
    return int(left_out.sum()) <= STRAIGHT * edge


def _one_piece(rest: np.ndarray) -> bool:
    """Whether the rest is one part of a field, and no bead."""
    labels, _ = ndimage.label(rest)
    sizes = np.bincount(labels.ravel())[1:]
    if sizes.max() < ONE_PIECE * sizes.sum():
        return False
    box = ndimage.find_objects(labels)[sizes.argmax()]
    return all(
        part.stop - part.start >= ACROSS * n
        for part, n in zip(box, rest.shape, strict=True)
    )
