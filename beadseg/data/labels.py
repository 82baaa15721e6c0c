"""What masks mean: instance labels, binary masks, unknown pixels and centres."""

from pathlib import Path

import numpy as np
from scipy import ndimage
from skimage import measure

from beadseg.data.hills import hills
from beadseg.data.reading import PageRef, ReadError, open_pages

UNKNOWN = -1

# A neck below this share of the width of the thinner part it joins separates two beads:
# equal discs of radius R do so when their centres are more than 0.9 R apart, an
# ellipse or a bent rod has no neck. Outlines of pixels move a neck by about half a px.
NECK = -float(np.log(0.9))
_OUTLINE = 0.5  # px
_SHADES = 8  # numbers fewer than these are classes, not a photograph's grey levels


def read_labels(source: PageRef | str | Path) -> np.ndarray:
    """Reads a mask as instance labels.

    Args:
      source: a page, or the path of a file with one page.

    Returns:
      int32 [H, W]: 0 background, > 0 one id per bead, -1 unknown. A binary mask is
      cut into beads (`separate`); ids of an instance mask stay as they are, also those
      of beads in several parts, unless one exceeds 2^31 - 1 (then 1..N).

    Raises:
      ReadError: the file is damaged, or it is no mask.
    """
    page = _one_page(source)
    return interpret(page.read_stored(), page.where)


def read_points(source: PageRef | str | Path) -> np.ndarray:
    """Reads bead centres: every connected group of equal non-zero pixels is one.

    Args:
      source: a page, or the path of a file with one page.

    Returns:
      float32 [N, 2]: y, x of the centroids in px (a pixel's centre is a whole
      number), in the order in which rows are read.

    Raises:
      ReadError: the file is damaged, or it holds no whole numbers.
    """
    page = _one_page(source)
    array = _whole_numbers(_one_channel(page.read_stored(), page.where), page.where)
    groups, count = measure.label(array, connectivity=2, return_num=True)
    if not count:
        return np.zeros((0, 2), np.float32)
    centres = ndimage.center_of_mass(groups > 0, groups, np.arange(1, count + 1))
    return np.asarray(centres, np.float32)


def is_binary(array: np.ndarray) -> bool:
    """Whether a mask [H, W] tells beads from background but not from each other.

    That is: no more than one value above 0 (0/1, 0/255, truth values).
    """
    positive = array[array > 0]
    return positive.size == 0 or positive.min() == positive.max()


def interpret(array: np.ndarray, where: str) -> np.ndarray:
    """Turns the numbers of a mask [H, W] or [H, W, 3] into labels int32 [H, W].

    Args:
      array: numbers of any type, as the file has them.
      where: the file or page, for messages.

    Raises:
      ReadError: colours, fractions, or a photograph instead of a mask.
    """
    array = _whole_numbers(_one_channel(array, where), where)
    if is_binary(array):
        labels = separate(array > 0)
    else:
        _refuse_photograph(array, where)
        labels = array
        if array.max() > np.iinfo(np.int32).max:
            labels = np.zeros(array.shape, np.int32)
            beads = array > 0
            labels[beads] = np.unique(array[beads], return_inverse=True)[1] + 1
    unknown = array < 0
    labels = np.where(unknown, 0, labels).astype(np.int32)
    return np.where(unknown, np.int32(UNKNOWN), labels)


def separate(mask: np.ndarray) -> np.ndarray:
    """Cuts a binary mask into its beads where they touch, by its necks alone.

    The hills of the distance to the background: two tops are two beads if the way
    between them leaves by a neck. On a logarithm of the distance, so that what counts
    as a neck does not depend on the size of the bead.

    Args:
      mask: bool [H, W].

    Returns:
      int32 [H, W]: 0 background, 1..N beads. Every pixel of the mask is in a bead.
    """
    mask = np.asarray(mask, bool)
    if mask.all():
        return mask.astype(np.int32)
    return hills(neck_height(ndimage.distance_transform_edt(mask)), mask, NECK)


def neck_height(distance: np.ndarray) -> np.ndarray:
    """A distance to the background, px, as a height with necks `NECK` deep: f32."""
    return np.log1p(distance / _OUTLINE).astype(np.float32)


def _one_page(source: PageRef | str | Path) -> PageRef:
    if isinstance(source, PageRef):
        return source
    pages = open_pages(source)
    if len(pages) > 1:
        raise ReadError(
            f"{source}: it has {len(pages)} pages where one is expected; "
            "save one page per file"
        )
    return pages[0]


def _one_channel(array: np.ndarray, where: str) -> np.ndarray:
    if array.ndim == 2:
        return array
    if (array == array[..., :1]).all():
        return array[..., 0]
    raise ReadError(
        f"{where}: the mask is in colour (RGB); save it with one number per bead, "
        "or as black and white"
    )


def _whole_numbers(array: np.ndarray, where: str) -> np.ndarray:
    """The array as integers: of 64 bits if it was not one."""
    if array.dtype.kind == "f":
        if not np.isfinite(array).all() or (array != np.round(array)).any():
            raise ReadError(
                f"{where}: the mask holds fractions or NaN; save it with one whole "
                "number per bead (a probability map needs a threshold first)"
            )
        return array.astype(np.int64)
    return array.astype(np.uint8) if array.dtype == bool else array


def _refuse_photograph(array: np.ndarray, where: str) -> None:
    """Raises ReadError if neighbouring numbers differ as in a picture.

    In an instance mask equal numbers lie together: where two beads touch, numbers
    differ only along the line between them, and a number makes about one area. Grey
    levels of a picture, and the ringing that JPEG leaves around the objects of a
    mask, come back everywhere in areas of a pixel or two.
    """
    touching = differing = 0
    for first, second in ((array[1:], array[:-1]), (array[:, 1:], array[:, :-1])):
        both = (first > 0) & (second > 0)
        touching += int(both.sum())
        differing += int((both & (first != second)).sum())
    share = differing / max(1, touching)
    if share < 0.02:
        return
    beads = np.where(array > 0, array, 0)
    values, beads = np.unique(beads, return_inverse=True)
    count = int((values > 0).sum())
    areas = np.bincount(measure.label(beads.reshape(array.shape), connectivity=1).flat)
    crumbs = float(np.median(areas[1:])) <= 2
    scattered = count >= _SHADES and len(areas) - 1 > 4 * count
    if crumbs or scattered or (share > 0.5 and count >= _SHADES):
        raise ReadError(
            f"{where}: this is no mask but a photograph, or a mask spoilt by JPEG "
            f"({count} grey levels, {share:.0%} of neighbours differ); "
            "save the mask as PNG or TIFF with one number per bead"
        )
