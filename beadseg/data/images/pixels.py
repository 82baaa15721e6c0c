"""What the numbers of a pixel mean: channels, colours, palettes, projections."""

import functools
import itertools
from collections.abc import Iterator

import numpy as np

WITH_OPTION = " with --channel"  # where a data set is scanned, with a field instead
_LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601


def choose_channel(
    channel: int | None, count: int, kind: str
) -> tuple[int | None, tuple[str, ...]]:
    """The channel to take, and what to tell the user about it.

    Args:
      channel: asked for, or None.
      count: of the channels there are.
      kind: "grey" (one channel), "colour" or "samples".

    Returns:
      The channel (None: luminance, or the only one) and notes.

    Raises:
      ValueError: there is no such channel.
    """
    count = 1 if kind == "grey" else count
    if channel is not None and not 0 <= channel < count:
        known = "0" if count == 1 else f"0 to {count - 1}"
        raise ValueError(
            f"there is no channel {channel} in {count}: give {known}{WITH_OPTION}"
        )
    if kind == "colour" or count == 1:
        return (channel if kind == "colour" else None), ()
    if channel is None:
        note = f"using channel 0 (choose{WITH_OPTION})"
        return 0, (f"{count} channels, {note}",)
    return channel, ()


def to_grey(array: np.ndarray, kind: str, channel: int | None) -> np.ndarray:
    """Turns [H, W] or [H, W, S] into [H, W].

    Of colours without a `channel`, their luminance as float32, or the plain numbers
    where red, green and blue agree; else the channel (None: the first).
    """
    if array.ndim == 2:
        return array
    if channel is not None or kind != "colour":
        return array[..., channel or 0]
    red, green, blue = (array[..., i] for i in range(3))
    if np.array_equal(red, green) and np.array_equal(red, blue):
        return red
    channels = (red, green, blue)
    return sum(
        np.float32(w) * c.astype(np.float32)
        for w, c in zip(_LUMINANCE, channels, strict=True)
    )


def without_transparent(
    array: np.ndarray, numbers: np.ndarray, kind: str
) -> np.ndarray:
    """Numbers of a mask drawn on a transparent background: 0 where that is seen.

    Args:
      array: [H, W] or [H, W, S] as stored, with or without alpha as the last sample.
      numbers: [H, W] or [H, W, 3], those that are taken.
      kind: "grey" (one sample beside alpha), "colour" (three) or "samples".

    Returns:
      `numbers` where the pixel is opaque by half or more, else 0; where no number is
      left, u8[H, W], 1 where it is opaque. All as they are if no pixel, or each, is.
    """
    colours = {"grey": 1, "colour": 3}.get(kind)
    if array.ndim < 3 or colours is None or array.shape[-1] != colours + 1:
        return numbers
    alpha = array[..., -1]
    top = np.iinfo(alpha.dtype).max if alpha.dtype.kind in "iu" else 1
    opaque = 2 * alpha.astype(np.float64) > top
    if opaque.all() or not opaque.any():
        return numbers
    seen = np.where(opaque[..., None] if numbers.ndim == 3 else opaque, numbers, 0)
    return seen.astype(numbers.dtype) if seen.any() else opaque.astype(np.uint8)


def project(arrays: Iterator[np.ndarray], projection: str) -> np.ndarray:
    """Joins images [H, W] one at a time: their "max", or "mean" as float32.

    Pixels without data (NaN) are left out where another image has some.
    """
    first = next(arrays)
    if projection == "mean":
        total, count = np.zeros(first.shape), np.zeros(first.shape, np.int64)
        for array in itertools.chain([first], arrays):
            known = ~np.isnan(array)
            total, count = total + np.where(known, array, 0), count + known
        mean = np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
        return mean.astype(np.float32)
    return functools.reduce(np.fmax, arrays, first)


def through_palette(indices: np.ndarray, table: np.ndarray, stored: bool) -> np.ndarray:
    """Colours [H, W, 3] of palette indices [H, W]; `table` is [N, 3].

    `stored` asks for numbers, not colours: the indices, or the grey values if the
    palette is grey and tells all used indices apart.
    """
    if indices.dtype == bool:
        indices = indices.astype(np.uint8)
    if not stored:
        return table[indices]
    used = table[np.unique(indices)]
    grey = (used == used[:, :1]).all() and len(np.unique(used[:, 0])) == len(used)
    return table[indices, 0] if grey else indices


def inverted(array: np.ndarray, bits: int) -> np.ndarray:
    """Values of an image in which the smallest number means white."""
    if array.dtype == bool:
        return ~array
    if array.dtype.kind == "u":
        return array.dtype.type(2**bits - 1) - array
    return -1 - array if array.dtype.kind == "i" else array.max() - array


def eight_bit(table: np.ndarray) -> np.ndarray:
    """A palette in the 8 bits that it was made with, where it was."""
    if (table % 257).any() and (table & 255).any():
        return table
    return (table >> 8).astype(np.uint8)
