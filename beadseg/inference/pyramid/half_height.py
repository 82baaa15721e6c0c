"""Beads end at half their height where that can be told from the image alone.

Two kinds: beads far brighter than the rest of their image, whose brightness is cut
before the network sees it, so that their blurred flanks look like bead; and even beads
on an even background, most of which were found at a coarse level, whose pixels are
large. At half of its own height an edge lies where it is, whatever the blur.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from beadseg.inference.pyramid.pyramid import Candidates, Level

BRIGHT, DARK = 1.25, -0.25  # mean brightness beyond which a bead was cut; 0..1 is usual
AROUND = 3  # px and a quarter of the diameter, where the background is looked for
TOP = 90  # percentile of a bead that is its height
FEW = 9  # px of background that are enough
LARGE = 12.0  # px of diameter, from which on a bead is looked at for being even
RAYS = 32  # directions in which a bead and what is around it are looked at
INSIDE, OUTSIDE = (0.3, 0.6, 0.75), (1.25, 1.35)  # radii, likewise
AT_ONCE = 4096  # beads
EVEN = 4.0  # heights to a spread, from which on both are even
MOVED = 0.2  # radii by which an outline moves at most


def to_half_height(
    labels: np.ndarray, image: np.ndarray, beads: Candidates, levels: Sequence[Level]
) -> None:
    """Moves the outlines of such beads in `labels`, in place.

    Args:
      labels: i32[H, W], bead i is label i + 1; an array or `scratch.Scratch`.
      image: [H, W], as the file has it.
      beads: N, that were selected.
      levels: of the image.
    """
    cut = _cut(beads, levels)
    for first in range(0, len(cut), AT_ONCE):
        some = np.arange(first, min(first + AT_ONCE, len(cut)))
        even, inside, outside = _plateaus(image, beads.take(some))
        for k, i in enumerate(some.tolist()):
            if even[k]:
                _refit(labels, image, beads, i, inside[k], outside[k])
            elif cut[i]:
                _trim(labels, image, beads, i, int(cut[i]))


def _box(beads: Candidates, i: int, reach: int) -> tuple[slice, slice]:
    y, x = round(float(beads.y[i])), round(float(beads.x[i]))
    return np.s_[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1]


def _trim(labels, image, beads: Candidates, i: int, sign: int) -> None:
    box = _box(beads, i, math.ceil(0.75 * beads.diameter[i]) + AROUND)
    there = np.array(labels[box])
    own, values = there == i + 1, np.asarray(image[box], np.float64)
    empty = (there == 0) & np.isfinite(values)
    if not own.any() or empty.sum() < FEW:
        return
    background = np.median(values[empty])
    top = np.percentile(values[own], TOP if sign > 0 else 100 - TOP) - background
    there[own & ((values - background) * sign < 0.5 * abs(top))] = 0
    labels[box] = there


def _plateaus(image, beads: Candidates) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which beads are even, bool[N], and the brightness in and around each, f64[N]."""
    turn = np.linspace(0, 2 * np.pi, RAYS, endpoint=False)
    last = np.array(image.shape)[:, None, None, None] - 1
    whole, spread, middle = np.ones(len(beads.y), bool), [], []
    for radii in (INSIDE, OUTSIDE):
        reach = 0.5 * beads.diameter[:, None, None] * np.array(radii)[:, None]
        off = reach * np.stack([np.sin(turn), np.cos(turn)])[:, None, None]
        at = np.rint(np.stack([beads.y, beads.x])[..., None, None] + off).astype(int)
        whole &= ((at >= 0) & (at <= last)).all((0, 2, 3))
        y, x = np.clip(at, 0, last).reshape(2, len(beads.y), -1)
        low, half, high = np.percentile(image[y, x].astype(float), (10, 50, 90), axis=1)
        spread.append(high - low)
        middle.append(half)
    inside, outside = middle
    even = np.abs(inside - outside) > EVEN * np.maximum(*spread)
    return whole & even & (beads.diameter >= LARGE), inside, outside


def _refit(
    labels, image, beads: Candidates, i: int, inside: float, outside: float
) -> None:
    radius = 0.5 * float(beads.diameter[i])
    box = _box(beads, i, math.ceil((1 + 2 * MOVED) * radius) + 1)
    there = np.array(labels[box])
    own, values = there == i + 1, np.asarray(image[box], np.float64)
    if not own.any():
        return
    height = (values - outside) / (inside - outside)
    core = ndimage.distance_transform_edt(np.pad(own, 1))[1:-1, 1:-1] > MOVED * radius
    near = ndimage.distance_transform_edt(~own) <= MOVED * radius
    bead = core | (near & (own | (there == 0)) & (height > 0.5))
    parts, _ = ndimage.label(bead)
    most = np.bincount(parts[own & bead], minlength=1)
    if len(most) < 2:
        return
    there[own] = 0
    there[ndimage.binary_fill_holes(parts == most.argmax()) & (there == 0)] = i + 1
    labels[box] = there


def _cut(beads: Candidates, levels: Sequence[Level]) -> np.ndarray:
    """1 where a bead is brighter than the network sees, -1 darker, else 0: i64[N]."""
    mean = np.zeros(len(beads.level))
    for number, level in enumerate(levels):
        own = beads.level == number
        rows = np.searchsorted(level.regions["label"], beads.label[own])
        mean[own] = level.regions["mean_intensity"][rows]
    return (mean > BRIGHT).astype(int) - (mean < DARK)
