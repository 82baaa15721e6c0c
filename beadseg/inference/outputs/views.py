"""Pictures of images with outlines, for pages."""

import zlib
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage
from skimage.segmentation import find_boundaries

from beadseg import colours, matching

SHOWN = 520  # px, about the side of a picture
LEGEND = (  # of `error_layers`, and of what is unknown
    (colours.TRUE_POSITIVE, "true positive"),
    (colours.FALSE_NEGATIVE, "false negative"),
    (colours.FALSE_POSITIVE, "false positive"),
    (colours.MERGED, "merged"),
    (colours.SPLIT, "split"),
    (colours.UNKNOWN, "unknown"),
)

# Labels i[H, W], or bool, and the colour of their outlines, RGB from 0 to 1.
Layer = tuple[np.ndarray, tuple[float, float, float]]


class Excerpt(NamedTuple):
    """A window of a label map, packed to some ten kilobytes."""

    rows: slice
    columns: slice
    packed: bytes

    @property
    def labels(self) -> np.ndarray:
        """i32[h, w]."""
        shape = [s.stop - s.start for s in (self.rows, self.columns)]
        return np.frombuffer(zlib.decompress(self.packed), np.int32).reshape(shape)


def grey(image: np.ndarray) -> np.ndarray:
    """f32[H, W] in 0..1, from the 1st to the 99.7th percentile."""
    image = np.where(np.isfinite(image), image, 0).astype(np.float32)
    low, high = np.percentile(image, (1, 99.7))
    if high <= low:
        low, high = float(image.min()), float(image.max())
    return np.clip((image - low) / ((high - low) or 1), 0, 1)


def view(
    image: np.ndarray, *layers: Layer, unknown: np.ndarray | None = None
) -> np.ndarray:
    """The image with outlines, uint8[h, w, 3], at about SHOWN px.

    Args:
      image: [H, W].
      layers: each over those before it.
      unknown: bool[H, W], pixels that are tinted.
    """
    factor = SHOWN / max(image.shape)
    shape = [max(1, round(n * factor)) for n in image.shape]
    way = Image.Resampling.BICUBIC if factor > 1 else Image.Resampling.BOX
    shown = np.asarray(Image.fromarray(grey(image)).resize(shape[::-1], way))
    shown = np.repeat(np.clip(shown, 0, 1)[..., None], 3, 2)
    rows, columns = (
        np.minimum((np.arange(n) + 0.5) / factor, old - 1).astype(int)
        for n, old in zip(shape, image.shape, strict=True)
    )
    if unknown is not None:
        there = unknown[rows[:, None], columns]
        shown[there] = 0.6 * shown[there] + 0.4 * np.array(colours.UNKNOWN)
    for labels, colour in layers:
        placed = np.maximum(labels[rows[:, None], columns].astype(np.int32), 0)
        outline = find_boundaries(placed, mode="inner")
        if factor > 1.5:  # large enough for lines of two pixels
            outline = ndimage.binary_dilation(outline) & (placed > 0)
        shown[outline] = colour
    return np.round(255 * shown).astype(np.uint8)


def chosen(labels: np.ndarray, which: np.ndarray) -> np.ndarray:
    """Labels [H, W] of which those of `which` are left, the others 0."""
    return np.where(np.isin(labels, which), labels, 0)


def error_layers(truth: np.ndarray, predicted: np.ndarray) -> list[Layer]:
    """What became of the beads of two label maps [H, W]; what is right comes first."""
    found = matching.overlaps(truth, predicted)
    matched = matching.match(found)
    named = matching.errors(found, matched)
    drawn = (
        (predicted, matched.predicted, colours.TRUE_POSITIVE),
        (truth, named.false_negative, colours.FALSE_NEGATIVE),
        (predicted, named.false_positive, colours.FALSE_POSITIVE),
        (truth, named.merged, colours.MERGED),
        (truth, named.split, colours.SPLIT),
    )
    return [(chosen(labels, which), colour) for labels, which, colour in drawn]


def circles(shape: tuple[int, int], centres: np.ndarray, diameter: float) -> np.ndarray:
    """i32[H, W]: discs of `diameter` px around f[N, 2], numbered from 1, for `view`."""
    labels, r = np.zeros(shape, np.int32), diameter / 2
    for number, (cy, cx) in enumerate(centres, 1):
        top, left = max(0, int(cy - r)), max(0, int(cx - r))
        y = np.arange(top, min(shape[0], int(cy + r) + 2), dtype=np.float32)
        x = np.arange(left, min(shape[1], int(cx + r) + 2), dtype=np.float32)
        if len(y) and len(x):
            disc = (y[:, None] - cy) ** 2 + (x - cx) ** 2 <= r * r
            labels[top : top + len(y), left : left + len(x)][disc] = number
    return labels


def window(array: np.ndarray, centre: tuple[float, float], side: int) -> tuple:
    """Slices of about `side` px around a place, within the array."""
    at = []
    for middle, length in zip(centre, array.shape[:2], strict=True):
        start = int(np.clip(middle - side / 2, 0, max(length - side, 0)))
        at.append(slice(start, min(start + side, length)))
    return tuple(at)


def densest(mask: np.ndarray, side: int) -> tuple:
    """Slices of about `side` px where a mask bool[H, W] has most pixels."""
    if not mask.any():
        return window(mask, (mask.shape[0] / 2, mask.shape[1] / 2), side)
    step = max(1, min(mask.shape) // 128)
    small = mask[::step, ::step].astype(np.float32)
    found = ndimage.uniform_filter(small, max(1, side // step), mode="constant")
    place = np.unravel_index(found.argmax(), found.shape)
    return window(mask, tuple(step * p for p in place), side)


def excerpt(labels: np.ndarray, side: int) -> Excerpt:
    """About `side` px of labels i[H, W] where they have most pixels."""
    part = densest(labels > 0, side)
    values = np.ascontiguousarray(labels[part], np.int32)
    return Excerpt(*part, zlib.compress(values.tobytes(), 1))
