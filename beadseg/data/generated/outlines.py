"""The outlines of beads, the pixels around them and the exact truth they make."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

VISIBLE = 0.3  # least share of the part in the frame that others must not hide
LEAST = 9  # px of a bead that must be seen
HARMONICS = np.arange(3, 10)  # of the angle, in a rough outline


class Outlines(NamedTuple):
    """The outlines of N beads; later ones lie on top."""

    y: np.ndarray  # f[N], px
    x: np.ndarray  # f[N], px
    radius: np.ndarray  # f[N], px, of the disc of equal area
    ratio: np.ndarray  # f[N], long over short axis
    angle: np.ndarray  # f[N], radians, of the long axis
    wave: np.ndarray  # c[N, len(HARMONICS)], relative amplitude and phase; 0: smooth


class Patch(NamedTuple):
    """The neighbourhood of one bead."""

    box: tuple[slice, slice]  # of the frame
    distance: np.ndarray  # f32[h, w], px, scaled so that the outline is at the radius
    dy: np.ndarray  # f32[h, 1], px from the centre
    dx: np.ndarray  # f32[1, w]


def patches(outlines: Outlines, size: int, reach: float) -> Iterator[Patch]:
    """The pixels within `reach` px of each outline, which must meet the frame.

    The distance of a stretched or rough bead is exact on the outline and a smooth
    stretch of the true one elsewhere.
    """
    at = np.arange(size, dtype=np.float32)
    stretch = np.sqrt(outlines.ratio)
    bulge = 1 + np.abs(outlines.wave).sum(1)
    extent = outlines.radius * stretch * bulge + reach
    y, x = outlines.y, outlines.x
    # Python numbers: per bead, scalars of numpy would cost as much as the arrays.
    corners = [
        np.clip(edge, 0, size).astype(int).tolist()
        for edge in (y - extent, y + extent + 2, x - extent, x + extent + 2)
    ]
    shape = (y, x, stretch, np.cos(outlines.angle), np.sin(outlines.angle), bulge > 1)
    shape = [numbers.tolist() for numbers in shape]
    for i, (top, bottom, left, right, y, x, long, cos, sin, rough) in enumerate(
        zip(*corners, *shape, strict=True)
    ):
        dy, dx = (at[top:bottom] - y)[:, None], (at[left:right] - x)[None]
        if long == 1:
            distance = dx * dx + dy * dy
            along, across = dx, dy
        else:
            along = dx * (cos / long) + dy * (sin / long)
            across = dy * (cos * long) - dx * (sin * long)
            distance = along * along + across * across
        np.sqrt(distance, out=distance)
        if rough:
            # The powers of the unit vector are exp(i k angle) without an arctangent.
            unit = (along + 1j * across) / np.maximum(distance, 1e-6)
            power = unit * unit
            outline = np.ones_like(distance)
            for amplitude in outlines.wave[i]:
                power *= unit
                outline += (power * amplitude).real
            distance /= outline
        yield Patch((slice(top, bottom), slice(left, right)), distance, dy, dx)


def rasterise(
    outlines: Outlines, size: int, height: int
) -> tuple[np.ndarray, np.ndarray]:
    """Exact truth: the topmost bead at each pixel centre.

    Args:
      size: px, side of the frame.
      height: rows of the frame that show the scene; those below (a data bar) are empty.

    Returns:
      i32[size, size], 0 or 1 + index of a kept bead, and bool[N], the kept beads.
      Beads that others hide all but for VISIBLE, or of less than 9 visible px, are
      left out, so that every truth is one that can be seen.
    """
    count = len(outlines.y)
    boxes, inside = [], []
    for patch, radius in zip(
        patches(outlines, size, 1.0), outlines.radius.tolist(), strict=True
    ):
        boxes.append(patch.box)
        inside.append(patch.distance <= radius)
        inside[-1][max(height - patch.box[0].start, 0) :] = False
    whole = np.array([np.count_nonzero(m) for m in inside])
    kept = whole >= LEAST
    labels = np.zeros((size, size), np.int32)
    while True:
        labels[:] = 0
        for i in np.flatnonzero(kept).tolist():
            labels[boxes[i]][inside[i]] = i + 1
        seen = np.bincount(labels.ravel(), minlength=count + 1)[1:]
        hidden = kept & (seen < np.maximum(LEAST, VISIBLE * whole))
        if not hidden.any():
            return labels, kept
        # Only the worst goes: without it, those it covered may be seen well enough.
        share = np.where(hidden, seen / np.maximum(whole, 1), np.inf)
        kept[share <= share.min()] = False
