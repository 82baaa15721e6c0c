"""How large the beads of an image are, as the network itself sees it.

A network knows beads of one size. The images that it was trained on, and circles that
slopes vote for, tell roughly by how much to resample an image; the beads that it then
finds tell whether that was right. Where they do not, several scales are tried: at the
right one it finds the most beads of the size that it knows.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from beadseg.data.quick_count import estimate
from beadseg.data.scaling import (
    LARGEST_SCALE,
    SMALLEST_SCALE,
    bead_diameters,
)
from beadseg.errors import BeadsegError
from beadseg.inference.run import Run

TOLERANCE = 1.12  # a median diameter within this factor of the known one needs nothing
APART = 1.5  # factor between scales that are worth a look each
FEWEST = 5  # beads from which a size can be told
SOME = 3  # beads from which one scale can be better than another
LADDER = (1.0, 0.5, 2.0, 0.25, 4.0)  # of the run's own scale
SPREAD = 0.35  # of the logarithm of a diameter about that of the network
PART = 768  # px of the network, a side of the part that is looked at
WHOLE = 2 * PART**2  # px of the network: an image of no more is looked at whole
SEEN = 1024  # px of the image, a side of the part in which circles are sought
SMALLEST = 32  # px of the network that an image must keep, a side


class _Look(NamedTuple):
    scale: float
    score: float
    diameter: float | None  # median, px of the network
    maps: Any


def scale_for(known: float, diameter: float) -> float:
    """Pixels of the network to a pixel of an image with beads of `diameter` px.

    Within 10 % of 1 it is 1: resampling would only blur.

    Raises:
      BeadsegError: no diameter that the network can be brought to.
    """
    smallest, largest = known / LARGEST_SCALE, known / SMALLEST_SCALE
    if not smallest <= diameter <= largest:
        raise BeadsegError(
            f"--diameter {diameter:g}: this run finds beads of {smallest:.3g} to "
            f"{largest:.4g} px"
        )
    scale = known / diameter
    return 1.0 if abs(scale - 1) < 0.1 else scale


def choose(
    image: np.ndarray,
    run: Run,
    maps_of: Callable[[np.ndarray, float], Any],
) -> tuple[float, Any | None]:
    """The scale at which the beads of an image have the size that the run knows.

    Args:
      image: [H, W].
      run: with a known bead diameter.
      maps_of: what the networks say of an image at a scale, with `labels`, i32[h, w].

    Returns:
      The scale, and the maps of the whole image where it was looked at whole.
    """
    looks: dict[float, _Look] = {}

    def look(scale: float) -> _Look:
        scale = min(max(scale, SMALLEST_SCALE), LARGEST_SCALE)
        if abs(scale - 1) < 0.1:
            scale = 1.0
        if scale not in looks:
            whole = image.size * scale**2 <= WHOLE
            part = image if whole else middle(image, math.ceil(PART / scale))
            maps = maps_of(part, scale)
            diameters = bead_diameters(maps.labels)
            looks[scale] = _Look(
                scale,
                _score(diameters, run.bead_diameter, part.size * scale**2),
                float(np.median(diameters)) if len(diameters) >= FEWEST else None,
                maps if part.shape == image.shape else None,
            )
        return looks[scale]

    def settled(found: _Look) -> bool:
        return found.diameter is not None and (
            1 / TOLERANCE < found.diameter / run.bead_diameter < TOLERANCE
        )

    def follow(start: float) -> None:
        found = look(start)
        for _ in range(2):
            if found.diameter is None or settled(found):
                break
            found = look(found.scale * run.bead_diameter / found.diameter)

    for start in _starts(image, run):
        if all(abs(math.log(start / one)) > math.log(APART) for one in looks):
            follow(start)
    for step in LADDER:
        if any(map(settled, looks.values())):
            break
        scale = run.scale * step
        if min(image.shape) * scale >= SMALLEST or step == 1.0:
            follow(scale)
    best = max(looks.values(), key=lambda found: found.score)
    return best.scale, best.maps


def _starts(image: np.ndarray, run: Run) -> Iterator[float]:
    """Scales to begin at, each in its own right.

    That of the images that a run was trained on, though what generated ones were drawn
    at says nothing about others; and that of circles in the image: clumps of small
    beads may be of the size that the run knows.
    """
    if not run.generated:
        yield run.scale
    seen = estimate(middle(image, SEEN)).diameter_px
    if not math.isnan(seen):
        yield run.bead_diameter / seen


def middle(image: np.ndarray, side: int) -> np.ndarray:
    """The part of at most `side` x `side` px in the middle."""
    top, left = (max(n - side, 0) // 2 for n in image.shape)
    return image[top : top + side, left : left + side]


def _score(diameters: np.ndarray, known: float, pixels: float) -> float:
    """Share of the image covered by beads of about the size that the network knows."""
    if len(diameters) < SOME:
        return 0.0
    off = np.log(diameters / known) / SPREAD
    fit = np.exp(-0.5 * np.square(off))
    return float((fit * np.square(diameters)).sum() * math.pi / 4 / pixels)
