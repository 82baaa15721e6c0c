"""What masks mean: instance labels, binary masks, unknown pixels and centres."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from skimage import measure

from beadseg.data.images.reading import PageRef, ReadError, open_pages
from beadseg.data.masks.encodings import decode
from beadseg.data.masks.necks import separate
from beadseg.matching import centroids
from beadseg.quoting import counted

UNKNOWN = -1
# Of readings with a kind, which are right as far as shapes can tell.
IF_MISREAD = (
    "if that is wrong, save the mask with one number per bead and 0 for all else"
)
_SPECK = 4  # px; most colours of a soft edge or a photograph have fewer
_UNKNOWNS = 2  # numbers below 0 that a mask may have whatever its ids


class Mask(NamedTuple):
    """Labels, and in words how the numbers were read if not as they stand."""

    labels: np.ndarray  # i32[H, W]: 0 background, > 0 one id per bead, -1 unknown
    kind: str = ""  # of the reading: "inverted", "classes", ...; "": as they stand
    note: str = ""
    classes: np.ndarray | None = None  # i64[N], of beads 1..N; None: it has none


def read_mask(source: PageRef | str | Path) -> Mask:
    """Reads a mask as instance labels, and says how.

    A binary mask is cut into beads (`separate`); ids of an instance mask stay as they
    are, also those of beads in several parts, unless one exceeds 2^31 - 1 (then 1..N).
    What other programs write in other ways is read where it is certain (`decode`), or
    as the classes of the page say.

    Args:
      source: a page, or the path of a file with one page.

    Raises:
      ReadError: the file is damaged, it is no mask, or may mean several things.
    """
    page = _one_page(source)
    if page.kind == "beads":  # drawn one by one
        return Mask(page.read_stored())
    return interpret(page.read_stored(), page.where, page.classes)


def read_labels(source: PageRef | str | Path) -> np.ndarray:
    """The labels i32[H, W] of `read_mask`."""
    return read_mask(source).labels


def read_foreground(source: PageRef | str | Path, plain: bool) -> np.ndarray:
    """Where the beads of a mask are, not told apart, i8[H, W]: 1, 0 or -1 unknown.

    Args:
      source: a page, or the path of a file with one page.
      plain: it is known that its numbers are read as they stand, which saves time.

    Raises:
      ReadError: as `read_mask`.
    """
    page = _one_page(source)
    array = page.read_stored()
    array, _ = _whole_numbers(_one_channel(array, page.where), page.where)
    array, _ = _unwrapped(array)
    plain = page.kind == "beads" or plain and isinstance(page.classes, str)
    beads = (array if plain else decode(array, page.where, page.classes).beads) > 0
    return np.where(array < 0, UNKNOWN, beads).astype(np.int8)


def read_ignored(source: PageRef | str | Path) -> np.ndarray:
    """Where nothing is known, bool[H, W]: not 0, in any channel, as the file has it.

    Args:
      source: a page of `ignore/`, or the path of a file with one page.

    Raises:
      ReadError: the file is damaged.
    """
    stored = _one_page(source).read_stored()
    return stored.any(-1) if stored.ndim == 3 else stored != 0


def with_unknown(labels: np.ndarray, where: np.ndarray | None) -> np.ndarray:
    """Labels i32[H, W] that are -1 `where` nothing is known (None: nowhere)."""
    return labels if where is None else np.where(where, np.int32(UNKNOWN), labels)


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
    stored = _one_channel(page.read_stored(), page.where)
    array, unknown = _whole_numbers(stored, page.where)
    if unknown:
        raise ReadError(
            f"{page.where}: {unknown}: save 0 there, and say in ignore/ what is unknown"
        )
    groups = measure.label(array, connectivity=2)
    return centroids(groups).astype(np.float32)


def interpret(
    array: np.ndarray, where: str, classes: str | tuple[int | str, ...] = "auto"
) -> Mask:
    """Turns the numbers of a mask [H, W] or [H, W, 3] into labels.

    Args:
      array: numbers of any type, as the file has them.
      where: the file or page, for messages.
      classes: see `beadseg.data.settings_file.classes_of`.

    Raises:
      ReadError: colours, fractions, a photograph instead of a mask, or numbers that
        may mean several things.
    """
    array, lost = _whole_numbers(_one_channel(array, where), where)
    array, wrapped = _unwrapped(array)
    _check_negative(array, where)
    beads, kind, note, kinds = decode(array, where, classes)
    if beads.dtype == bool:
        labels = separate(beads)
    elif beads.max() > np.iinfo(np.int32).max:
        labels = np.zeros(beads.shape, np.int32)
        positive = beads > 0
        labels[positive] = np.unique(beads[positive], return_inverse=True)[1] + 1
    else:
        labels = beads
    unknown = array < 0
    labels = np.where(unknown, 0, labels).astype(np.int32)
    labels = np.where(unknown, np.int32(UNKNOWN), labels)
    for what, said in (("negative ids", wrapped), ("no data", lost)):
        if said:
            kind, note = kind or what, "; ".join(filter(None, (said, note)))
    return Mask(labels, kind, note, kinds)


def _one_page(source: PageRef | str | Path) -> PageRef:
    if isinstance(source, PageRef):
        return source
    pages = open_pages(source)
    if len(pages) > 1:
        raise ReadError(
            f"{source}: it has {counted(len(pages), 'page')} where one is expected; "
            "save one page per file"
        )
    return pages[0]


def _one_channel(array: np.ndarray, where: str) -> np.ndarray:
    """[H, W]: each flat colour has a number; black, or the usual one, is 0."""
    if array.ndim == 2:
        return array
    if (array == array[..., :1]).all():
        return array[..., 0]
    if array.dtype.kind in "iu" and array.dtype.itemsize <= 2:
        packed = array.astype(np.int64) @ np.array([2**32, 2**16, 1])
        colours, ids, counts = np.unique(
            packed, return_inverse=True, return_counts=True
        )
        if 2 * (counts < _SPECK).sum() <= len(colours):
            black = np.flatnonzero(colours == 0)
            background = black[0] if len(black) else counts.argmax()
            numbers = np.arange(len(colours)) + (np.arange(len(colours)) < background)
            numbers[background] = 0
            return numbers[ids].reshape(packed.shape).astype(np.int32)
    raise ReadError(
        f"{where}: the mask is in colour (RGB) with soft edges or as a photograph; "
        "save it with one number or one flat colour per bead, or as black and white"
    )


def _whole_numbers(array: np.ndarray, where: str) -> tuple[np.ndarray, str]:
    """The array as integers, of 64 bits if it was not; a note where it has no data."""
    if array.dtype.kind != "f":
        return (array.astype(np.uint8) if array.dtype == bool else array), ""
    known = np.isfinite(array)
    if not known.any():
        raise ReadError(
            f"{where}: all of the mask is NaN or infinite; save it with one whole "
            "number per bead"
        )
    numbers = np.where(known, array, UNKNOWN)
    if (numbers != np.round(numbers)).any():
        raise ReadError(
            f"{where}: the mask holds fractions; save it with one whole number per "
            "bead (a probability map needs a threshold first)"
        )
    note = ""
    if not known.all():
        lost = f"{array.size - np.count_nonzero(known):,} of {array.size:,} pixels"
        note = f"{lost} of the mask are NaN or infinite: unknown"
        if not (numbers == 0).any():
            note += " (none is 0: if NaN stands for background, save 0 there)"
    return numbers.astype(np.int64), note


def _check_negative(array: np.ndarray, where: str) -> None:
    """Refuses ids that are negative: unknown pixels have few such numbers."""
    below = np.unique(array[array < 0])
    if len(below) > _UNKNOWNS and len(below) > len(np.unique(array[array > 0])):
        raise ReadError(
            f"{where}: most of its numbers are negative ({below[0]} to {below[-1]}), "
            "which mean unknown; save it with one number above 0 per bead"
        )


def _unwrapped(array: np.ndarray) -> tuple[np.ndarray, str]:
    """Ids that a signed type turned negative, as they were, and a note about it."""
    if array.dtype.kind != "i" or array.dtype.itemsize > 2:
        return array, ""
    limits = np.iinfo(array.dtype)
    if array.min() > limits.min + 3 or array.max() < limits.max - 3:
        return array, ""
    return array.astype(np.int32) % (2 * (limits.max + 1)), (
        f"numbers beyond {limits.max} were written as negative ones: read as they were"
    )
