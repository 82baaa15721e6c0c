"""What the numbers of a mask file mean: beads, kinds, cores and rims, overlaps, edges.

A mask is a label per bead, or black and white. Other programs write it upside down,
with a number per kind of bead, with a rim round every bead, with outlines instead of
beads, with numbers that 8 bits cut off, with the soft edges of a drawing. `decode`
finds out which from the numbers alone: where the meaning is certain it gives beads and
says what it did; else it refuses.
"""

import numpy as np
from scipy import ndimage

from beadseg.data.images.reading import ReadError
from beadseg.data.masks.decoded import EIGHT, FEW, Decoded
from beadseg.data.masks.few_numbers import (
    decode_classes,
    decode_few,
    decode_outlines,
)
from beadseg.data.masks.many_numbers import decode_again, decode_soft, refuse_photograph
from beadseg.data.masks.necks import roundness, separate
from beadseg.matching import number_beads

_WINDOW = 384  # px, of a mask whose shapes tell beads from background


def decode(
    array: np.ndarray, where: str, classes: str | tuple[int | str, ...] = "auto"
) -> Decoded:
    """Reads the numbers of a mask.

    Args:
      array: int[H, W]; 0 or less is no bead.
      where: the file or page, for messages.
      classes: "auto"; "none": each number is a bead; or numbers that are kinds.

    Raises:
      ReadError: a photograph, or a mask whose numbers may mean several things.
    """
    if not isinstance(classes, str):
        numbers = tuple(c for c in classes if type(c) is int and c > 0)
        if not numbers:
            raise ReadError(
                f"{where}: classes {', '.join(map(str, classes))}: this mask has "
                "numbers, 0 is background: give those that are beads"
            )
        return decode_classes(array, numbers)
    values, index = number_beads(array)
    if len(values) == 0:
        return Decoded(array > 0)
    if classes == "none" and len(values) > 1:
        return Decoded(array)
    background = _numbered_background(values, index) if len(values) > 1 else None
    if background is not None:
        read = decode(np.where(array == background, 0, array), where)
        note = f"the background has the number {background}, not 0: read as background"
        return Decoded(
            read.beads,
            "background numbered",
            "; ".join(filter(None, (note, read.note))),
        )
    outlined = decode_outlines(index > 0, len(values) == 1)
    if outlined is not None:
        return outlined
    if len(values) == 1:
        return _black_and_white(index > 0)
    if len(values) <= FEW:
        found = decode_few(values, index, where)
        if found is not None:
            return found
    soft = decode_soft(array, values, index, where)
    if soft is not None:
        return soft
    refuse_photograph(values, index, where)
    return decode_again(array, values, index)


def _black_and_white(mask: np.ndarray) -> Decoded:
    if not _inverted(mask):
        return Decoded(mask)
    return Decoded(
        ~mask,
        "inverted",
        "inverted: the background is labelled and the beads are 0 (their zeros are "
        "separate and round, the rest hangs together); read with black and white "
        "exchanged",
    )


def _inverted(mask: np.ndarray) -> bool:
    """Whether what is 0 has the shape of beads, and all else that of background.

    Between beads that touch, the gaps have sides that bend inward; beads bend outward,
    so more of them lies in pieces that are not much larger than the largest disc
    inside. Background hangs together and reaches the border.
    """
    share = float(mask.mean())
    if share < 0.2 or mask.all():
        return False
    step = _coarse(mask)
    mask = mask[::step, ::step]
    parts, _ = ndimage.label(mask, EIGHT)
    area = np.bincount(parts.ravel())
    area[0] = 0
    largest = parts == area.argmax()
    border = (largest[0], largest[-1], largest[:, 0], largest[:, -1])
    sides = sum(bool(side.any()) for side in border)
    whole = area.max() / mask.sum()
    if share > 0.9 and whole > 0.99 and sides == 4:
        # Few beads: pieces of background are round too.
        return _round_share(~mask) > 0.6
    connected = whole > 0.5 and sides >= 2
    middle = mask[tuple(slice(max(0, (n - _WINDOW) // 2), n) for n in mask.shape)]
    middle = middle[:_WINDOW, :_WINDOW]  # enough to know, and soon done
    return _round_share(~middle) > _round_share(middle) + (0.15 if connected else 0.4)


def _coarse(mask: np.ndarray) -> int:
    """A step at which the smaller of beads and gaps are still 12 px across."""
    edges = sum(int(np.sum(mask[1:] != mask[:-1])) for mask in (mask, mask.T))
    smaller = min(mask.sum(), mask.size - mask.sum())
    return max(1, int(4 * smaller / max(edges * np.pi / 4, 1) / 12))


def _round_share(mask: np.ndarray) -> float:
    """Share of a mask that lies in round pieces, when it is cut at its necks."""
    area, ratio = roundness(mask, separate(mask))
    return float(area[(ratio < 1.7) & (area >= 9)].sum() / max(area.sum(), 1))


def _numbered_background(values, index) -> int | None:
    """The number of the background, if that is not 0: it surrounds all others."""
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
