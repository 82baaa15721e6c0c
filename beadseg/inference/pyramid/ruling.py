"""Ruled lines, as of counting chambers: the squares between them look like beads.

Lines leave sharp peaks in the spectrum at the angle across them (fringes do, too),
beads none. Along that angle lines are narrow, cross the field and differ from what lies
beside them all along; beads in rows do not. What lines add is taken away again, as far
as the brightness around, so that beads on them stay.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from beadseg.data.scaling import as_floats, middle

BLOCK = 1024  # px; lines are straight so far, whatever the lens does
SMALLEST = 192  # px: of less of a field an angle says little
SLOW = 16.0  # px, sigma of what is background to lines
FREQUENCIES = 0.02, 0.3  # of lines, per px
BINS = 90  # of angles
PEAK = 8.0  # times the power at most angles
TURNS = (  # degrees around that, then around the best of those; of how many
    # pixels along lines one counts
    (np.arange(-2.0, 2.001, 0.1), 4),
    (np.arange(-0.08, 0.081, 0.02), 1),
)
HARD = 3.0  # standard deviations, beyond which a pixel says no more
LEAST = 0.5  # of them, that a line differs by
FAR = 6.0  # standard deviations of what the places beside lines differ by
BESIDE = 101  # px, places that one is compared with
WIDEST = 32  # px, of a line or lines side by side
ALL_BUT, HALF = 90, 0.5  # percent of its pixels that differ by such a part
SMOOTH = 5  # px along a line
SAME, MIDDLE = 0.6, (15, 85)  # of its height: what most pixels beside it differ by
LONG = 0.4  # of the block
CLEAR, EVEN = 0.38, 0.5  # of the block; of the height of lines: between them, beads in
# rows leave less, that differs by more
MOST = 80, 1.2816  # percent of pixels of noise, and their standard deviations
ENOUGH = 2  # lines: one may be anything
MARGIN = 2  # px


class Lines(NamedTuple):
    """Parallel lines: what they add along the axis across them."""

    degrees: float  # of that axis, from that of x to that of y
    first: int  # px along it, of `added`
    added: np.ndarray  # f32[N]; 0 between lines
    deviation: float  # of the pixels beside them


def without_ruling(image: np.ndarray) -> np.ndarray:
    """The image less its ruled lines.

    Args:
      image: [H, W], without gaps.

    Returns:
      f32 or f64[H, W]; the image itself where it has none.
    """
    part = image[middle(image.shape, BLOCK)]
    if min(image.shape) < SMALLEST or not _ruled(as_floats(part)):
        return image
    found = as_floats(image).copy()
    for block in _blocks(image.shape):
        lines = _ruled(found[block])
        if lines:
            found[block] = _without(found[block], lines)
    return found


def _blocks(shape: tuple[int, int]) -> Iterator[tuple[slice, slice]]:
    """Parts of an image, all of about one size."""
    ends = [np.linspace(0, n, max(round(n / BLOCK), 1) + 1).astype(int) for n in shape]
    rows, columns = ([slice(*pair) for pair in pairwise(end)] for end in ends)
    for row in rows:
        for column in columns:
            yield row, column


def _ruled(block: np.ndarray) -> list[Lines]:
    """The lines of a block, of one direction or two across each other."""
    rest = block - ndimage.gaussian_filter(block, SLOW)
    deviation = np.median(np.abs(rest)) / 0.6745
    if deviation == 0:
        deviation = rest.std()
    if not deviation > 0:
        return []
    limited = np.clip(rest, -HARD * deviation, HARD * deviation)
    degrees = _strongest(limited)
    if degrees is None:
        return []
    found = []
    for turn in (degrees, degrees + 90):
        for turns, every in TURNS:
            sharp = [_sharpness(limited, turn + more, every) for more in turns]
            turn += float(turns[np.argmax(sharp)])
        found.append(_across(rest, turn, deviation))
        if not found[0].added.any():  # none across the angle that stands out
            return []
    if sum(ndimage.label(lines.added)[1] for lines in found) < ENOUGH:
        return []
    # Lines are a part of what was taken for their background: now without them.
    rest = block - _around(block, [_added(block.shape, lines) for lines in found])
    found = [_across(rest, lines.degrees, deviation) for lines in found]
    clear = np.all([_added(block.shape, lines) == 0 for lines in found], 0)
    if clear.mean() < CLEAR:
        return []
    between = np.percentile(np.abs(rest[clear]), MOST[0]) / MOST[1]
    heights = np.abs(np.concatenate([lines.added for lines in found]))
    if between > EVEN * heights.max():
        return []
    return [lines for lines in found if lines.added.any()]


def _strongest(rest: np.ndarray) -> float | None:
    """The angle across lines, degrees; None: no angle stands out."""
    height, width = rest.shape
    window = np.hanning(height)[:, None] * np.hanning(width)
    power = np.abs(np.fft.rfft2(rest * window)) ** 2
    y, x = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    frequency = np.hypot(y, x)
    some = (frequency > FREQUENCIES[0]) & (frequency < FREQUENCIES[1])
    degrees = np.degrees(np.arctan2(y, x + 0 * y))[some] % 180
    bins = np.rint(degrees / 180 * BINS).astype(int) % BINS
    count = np.bincount(bins, minlength=BINS)
    mean = np.bincount(bins, power[some], BINS) / np.maximum(count, 1)
    best = int(mean.argmax())
    return best * 180 / BINS if mean[best] > PEAK * np.median(mean) else None


def _across(rest: np.ndarray, degrees: float, deviation: float) -> Lines:
    """The lines across an angle."""
    first, turned = _turned(rest, degrees)
    known = np.isfinite(turned)
    long = known.sum(0) >= LONG * min(rest.shape)
    profile = np.zeros(turned.shape[1], rest.dtype)
    profile[long] = np.nanmedian(turned[:, long], 0)
    off = profile - ndimage.median_filter(profile, BESIDE, mode="nearest")
    off[~long] = 0
    usual = np.median(np.abs(off[long])) / 0.6745
    least = max(FAR * usual, LEAST * deviation)
    added = np.zeros_like(off)
    groups, count = ndimage.label(np.abs(off) > least / 2)
    for (place,) in ndimage.find_objects(groups, count):
        peak = place.start + int(np.abs(off[place]).argmax())
        height = off[peak]
        if abs(height) < least or place.stop - place.start > WIDEST:
            continue
        along = turned[known[:, peak], peak] - (profile[peak] - height)
        along = ndimage.uniform_filter1d(along, SMOOTH)
        if np.percentile(along * np.sign(height), 100 - ALL_BUT) < HALF * abs(height):
            continue
        wide = slice(max(place.start - MARGIN, 0), place.stop + MARGIN)
        sides = [
            u for u in (wide.start - 1, wide.stop) if 0 <= u < len(off) and long[u]
        ]
        spreads = [_spread(turned[known[:, u], u]) for u in sides]
        if spreads and min(spreads) > SAME * abs(height):
            continue
        same = np.sign(off[wide]) == np.sign(height)
        added[wide] = np.where(same, off[wide], added[wide])
    return Lines(degrees, first, added.astype(rest.dtype), float(deviation))


def _spread(along: np.ndarray) -> float:
    """How much most pixels along a line differ."""
    return float(np.ptp(np.percentile(ndimage.uniform_filter1d(along, SMOOTH), MIDDLE)))


def _places(
    shape: tuple[int, int], degrees: float, steps: tuple[int, int] = (1, 1)
) -> np.ndarray:
    """How far each pixel lies along an axis, px: f32[h, w] of one in so many."""
    angle = np.radians(degrees)
    y, x = np.ogrid[: shape[0] : steps[0], : shape[1] : steps[1]]
    return (x * np.cos(angle) + y * np.sin(angle)).astype(np.float32)


def _sharpness(rest: np.ndarray, degrees: float, every: int) -> float:
    """How much the sums across an angle differ, of one of so many pixels along it."""
    upright = abs(np.cos(np.radians(degrees))) > 0.7
    steps = (every, 1) if upright else (1, every)
    place = np.rint(_places(rest.shape, degrees, steps)).astype(int).ravel()
    place -= place.min()
    count = np.bincount(place)
    total = np.bincount(place, rest[:: steps[0], :: steps[1]].ravel())
    return float((total**2 / np.maximum(count, 1)).sum())


def _turned(rest: np.ndarray, degrees: float) -> tuple[int, np.ndarray]:
    """The first place along an axis, and columns across it, NaN beyond the block."""
    angle = np.radians(degrees)
    height, width = rest.shape
    corners = [
        (x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle))
        for y in (0, height - 1)
        for x in (0, width - 1)
    ]
    low, high = np.floor(np.min(corners, 0)), np.ceil(np.max(corners, 0))
    u, v = (np.arange(a, b + 1) for a, b in zip(low, high, strict=True))
    x = u[None] * np.cos(angle) - v[:, None] * np.sin(angle)
    y = u[None] * np.sin(angle) + v[:, None] * np.cos(angle)
    turned = ndimage.map_coordinates(rest, (y, x), order=1, cval=np.nan)
    return int(low[0]), turned


def _added(shape: tuple[int, int], lines: Lines) -> np.ndarray:
    """What lines add to each pixel of a block."""
    place = _places(shape, lines.degrees) - lines.first
    return np.interp(place, np.arange(len(lines.added)), lines.added)


def _around(block: np.ndarray, added: list[np.ndarray]) -> np.ndarray:
    """The background of a block, of what lies between its lines."""
    clear = np.all([one == 0 for one in added], 0).astype(block.dtype)
    share = ndimage.gaussian_filter(clear, SLOW)
    total = ndimage.gaussian_filter(block * clear, SLOW)
    mean = block.mean(dtype=block.dtype)
    return np.where(share > 1e-3, total / np.maximum(share, 1e-3), mean)


def _without(block: np.ndarray, lines: list[Lines]) -> np.ndarray:
    """A block less its lines, as far as what lies around: two may not add up."""
    added = [_added(block.shape, some) for some in lines]
    around, most = _around(block, added), HARD * lines[0].deviation
    for one in added:
        less = block - one
        dark = np.maximum(block, np.minimum(less, around + most))
        bright = np.minimum(block, np.maximum(less, around - most))
        block = np.where(one < 0, dark, np.where(one > 0, bright, block))
    return block.astype(around.dtype)
