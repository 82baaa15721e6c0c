"""The size of the beads for a run that was trained on beads of one size.

It looks at the size of its training images, and departs from that only where the image
holds next to nothing of this size and is full of beads at another.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from beadseg.data.scaling import LARGEST_SCALE, SMALLEST_SCALE
from beadseg.inference.pyramid import bead_scores, pyramid
from beadseg.inference.pyramid.pyramid import Level
from beadseg.inference.run import Run

ALIKE = 0.03  # relative difference of two pixel sizes that are the same
SOME = 5  # beads from which another size can be believed
COVERED = 0.05  # of the image, at least, by beads of another size
TIMES = 5.0  # as much as those of the known size cover, at least
SCORE = 0.8  # of those beads, in the mean
STEPS = (0.5, 0.25, 0.125, 2.0, 4.0)  # of the known scale
MOST = 2**22  # px of the network: a finer look at more is not worth its time
WITHIN = 2.0  # a diameter within this factor of the known one is of that size


class _Found(NamedTuple):
    level: Level
    count: int
    covered: float  # share of the image
    score: float  # mean
    diameter: float  # px of the image, median


def known_size(
    image: np.ndarray,
    run: Run,
    look: Callable[[float], Level],
    asked: float | None,
    pixel_size: float | None,
) -> tuple[list[Level], tuple[str, ...]]:
    """The look at an image in which beads have the size that a run knows.

    Args:
      image: [H, W].
      run: trained on beads of one size.
      look: at the image, at a scale.
      asked: px across the beads of the image, if a person said so.
      pixel_size: um; where that of the training images is known too, beads are taken
        to be as many um across.

    Returns:
      One level, and what a person should hear.

    Raises:
      BeadsegError: no diameter that the network can be brought to.
    """
    if run.bead_diameter is None:
        return [look(run.scale)], ()
    if asked is not None:
        return [look(pyramid.scale_for(run.bead_diameter, asked))], ()
    scale, notes = run.scale, ()
    if pixel_size and run.pixel_size:
        ratio = pixel_size / run.pixel_size
        if abs(ratio - 1) > ALIKE:
            scale = min(max(scale * ratio, SMALLEST_SCALE), LARGEST_SCALE)
    own = _found(image, run, look(scale))
    if own.count >= SOME:
        return [own.level], notes
    for step in STEPS:
        other = scale * step
        if not SMALLEST_SCALE <= other <= LARGEST_SCALE:
            continue
        least = min(image.shape) * other
        if least < pyramid.COARSEST or image.size * other**2 > MOST:
            continue
        found = _found(image, run, look(other))
        enough = found.covered > max(COVERED, TIMES * own.covered)
        if enough and found.count >= SOME and found.score >= SCORE:
            return [found.level], (
                f"beads of about {found.diameter:.3g} px, not of the "
                f"{run.bead_diameter / scale:.3g} px that {run.name} was trained on: "
                f"give --diameter {run.bead_diameter / scale:.3g} if that is wrong",
            )
    return [own.level], notes


def _found(image: np.ndarray, run: Run, level: Level) -> _Found:
    """The beads of about the known size on a level, those that are surely beads."""
    candidates = pyramid.candidates([level], image.shape, None)
    score = bead_scores.scores([level], candidates, None)
    ratio = candidates.size / run.bead_diameter
    good = (score >= 0.5) & (ratio > 1 / WITHIN) & (ratio < WITHIN)
    beads = candidates.take(good)
    area = float(np.sum(np.square(beads.diameter)) * np.pi / 4)
    return _Found(
        level,
        int(good.sum()),
        area / image.size,
        float(score[good].mean()) if good.any() else 0.0,
        float(np.median(beads.diameter)) if good.any() else 0.0,
    )
