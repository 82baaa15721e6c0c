"""An image on a pyramid: what the networks find at each of its levels.

A network knows beads over a range of sizes. Halving the image again and again brings
every bead into that range at one level at least, so that no guess of the bead size
stands between an image and its beads. Levels much smaller than the image cost next to
nothing; one finer than its own pixels is added where beads of a few pixels are found.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from beadseg.data.masks.sizes import FINER, LEAST_SCALE
from beadseg.data.scaling import LARGEST_SCALE, SMALLEST_SCALE
from beadseg.errors import BeadsegError

COARSEST = 11  # px of a level, the least of its smaller side: two know every large disc
OCTAVE = 2.0
SURE = 0.8  # probability of a pixel that is hardly in doubt
LARGEST = 0.82  # of the smaller side: a larger bright disc may be the field of view
CERTAIN = 0.8  # score of the beads that count there
FEW = 3  # small beads that call for that, at least
MANY = 0.2  # of all beads, likewise
TINY = 9.0  # px: where most beads are smaller, those that touch may be seen as none
ENOUGH = 20  # beads, from which on that is tried
MORE, AT_LEAST = 1.05, 5  # times as many then, and beads more, that are expected
SLACK = 0.15  # lower mean score at most
WINDOW, WINDOWS = 256, 4  # px; where most beads are, in a large image
ROUND = 13.0  # px: what is smaller on the finest levels is round, or not whole
NEAR_ONE = 0.1  # a scale so near to 1 is 1: resampling would only blur


class Maps(NamedTuple):
    """What the networks say, f32[h, w] on the grid of a level."""

    probability: np.ndarray
    distance: np.ndarray | None
    uncertainty: np.ndarray | None


class Level(NamedTuple):
    """One look at an image; two may differ in how far regions are parted."""

    scale: float  # px of the level to a px of the image
    maps: Maps
    labels: np.ndarray  # i32[h, w], 1..N, every region that may be a bead
    regions: dict[str, np.ndarray]  # one row per region, see `inference.measure`
    boxes: np.ndarray  # i64[N, 4] of them, as `Prediction` has them
    whole: bool = False  # bodies far from round stay whole

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.labels.shape


class Candidates(NamedTuple):
    """The regions of all levels that may be beads: [N] each; lengths px of the image.

    The centre of the first pixel is at 0.
    """

    level: np.ndarray  # i64, index of the level
    label: np.ndarray  # i64, in the labels of the level
    y: np.ndarray
    x: np.ndarray
    diameter: np.ndarray  # of the disc of equal area
    size: np.ndarray  # px of the level, the same

    def take(self, chosen: np.ndarray) -> "Candidates":
        """Some of them."""
        return Candidates(*(field[chosen] for field in self))


def scales(
    shape: tuple[int, int], sizes: tuple[float, float], diameter: float | None = None
) -> list[float]:
    """Levels to look at, px to a px of the image, fine to coarse.

    Args:
      shape: of the image.
      sizes: smallest and largest bead that the network knows, px.
      diameter: px of the beads in the image; None: unknown.

    Raises:
      BeadsegError: no diameter that the network can be brought to.
    """
    finest = 1.0
    if diameter is not None:
        middle = math.sqrt(2 * sizes[0] * sizes[1])  # outlines are finer above it
        finest = scale_for(middle, diameter, LEAST_SCALE)
    found = [finest]
    least = 2 if diameter is None else 1  # coarser ones support the first
    while min(shape) * found[-1] / OCTAVE >= COARSEST:
        if diameter is not None and len(found) > least:
            break
        found.append(found[-1] / OCTAVE)
    return found


def scale_for(
    known: float, diameter: float, smallest_scale: float = SMALLEST_SCALE
) -> float:
    """Pixels of the network to a pixel of an image with beads of `diameter` px.

    Within 10 % of 1 it is 1: resampling would only blur.

    Raises:
      BeadsegError: no diameter that the network can be brought to.
    """
    smallest, largest = known / LARGEST_SCALE, known / smallest_scale
    if not smallest <= diameter <= largest:
        raise BeadsegError(
            f"--diameter {diameter:g}: beads of {smallest:.3g} to {largest:.4g} px can "
            "be found"
        )
    scale = known / diameter
    return 1.0 if abs(scale - 1) < NEAR_ONE else scale


def octaves(levels: Sequence[Level]) -> np.ndarray:
    """How many times each level is halved, from the first: i64[L]."""
    scale = np.array([level.scale for level in levels])
    return np.rint(np.log2(scale[0] / scale)).astype(int)


def candidates(
    levels: Sequence[Level],
    shape: tuple[int, int],
    sizes: tuple[float, float] | None,
    fields: bool = False,
) -> Candidates:
    """The regions of all levels whose size the network knows.

    Args:
      levels: of the image.
      shape: of the image.
      sizes: smallest and largest bead, px of a level; None: all regions count.
      fields: whether bright discs count that may be a round field of view.
    """
    parts = []
    for number, level in enumerate(levels):
        regions = level.regions
        size = regions["diameter_px"]
        kept = np.ones(len(size), bool)
        if sizes is not None:
            kept = (size >= sizes[0]) & (size <= sizes[1])
        if level.whole and level.scale >= 1:
            kept &= size >= ROUND
        down, across = (n / m for n, m in zip(shape, level.shape, strict=True))
        if sizes is not None and not fields:
            share = size * math.sqrt(down * across) / min(shape)
            kept &= (share <= LARGEST) | ((share <= 1) & _is_dark(regions))
        parts.append(
            Candidates(
                np.full(int(kept.sum()), number),
                regions["label"][kept],
                (regions["y"][kept] + 0.5) * down - 0.5,
                (regions["x"][kept] + 0.5) * across - 0.5,
                size[kept] * math.sqrt(down * across),
                size[kept],
            )
        )
    return Candidates(*(np.concatenate(field) for field in zip(*parts, strict=True)))


def _is_dark(regions: dict[str, np.ndarray]) -> np.ndarray:
    """Which regions are darker than what lies around, as no field of view is."""
    return regions["mean_intensity"] < np.nan_to_num(regions["background"], nan=-np.inf)


def under(
    levels: Sequence[Level], shape: tuple[int, int], found: Candidates
) -> np.ndarray:
    """The candidate that lies at the centre of each at every level: i64[L, N].

    -1 where there is none.
    """
    result = np.full((len(levels), len(found.level)), -1)
    for number, level in enumerate(levels):
        own = np.flatnonzero(found.level == number)
        largest = int(level.regions["label"].max(initial=0))
        index = np.full(largest + 1, -1)
        index[found.label[own]] = own
        rows, columns = (
            np.clip(((at + 0.5) * (m / n)).astype(np.intp), 0, m - 1)
            for at, n, m in zip((found.y, found.x), shape, level.shape, strict=True)
        )
        if len(rows):
            result[number] = index[level.labels[rows, columns]]
    return result


def may_want_finer(found: Candidates, score: np.ndarray) -> bool:
    """Whether there are many beads and most are tiny."""
    tiny = score[found.diameter < TINY].sum()
    return len(score) >= ENOUGH and bool(tiny > 0.5 * score.sum())


def more_expected(before: np.ndarray, after: np.ndarray) -> bool:
    """Whether a second look finds more beads that are right.

    Args:
      before: f[N], scores of the beads found first; their sum is how many are right.
      after: f[M], of the second look.
    """
    first, second = before.sum(), after.sum()
    gained = second > MORE * first and second > first + AT_LEAST
    return bool(gained and after.mean() >= before.mean() - SLACK)


def busiest(
    found: Candidates, shape: tuple[int, int]
) -> list[tuple[slice, slice]] | None:
    """Rows and columns of the windows with the most beads; None: of a small image."""
    if math.prod(shape) <= WINDOWS * WINDOW**2 or min(shape) < WINDOW:
        return None
    cells = np.stack([found.y, found.x], 1).astype(int) // WINDOW
    cells, count = np.unique(cells, axis=0, return_counts=True)
    most = cells[np.argsort(-count, kind="stable")[:WINDOWS]]
    corners = np.minimum(most * WINDOW, np.array(shape) - WINDOW)
    return [tuple(slice(n, n + WINDOW) for n in corner) for corner in corners.tolist()]


def wants_finer(found: Candidates, score: np.ndarray, finest: int) -> bool:
    """Whether beads of few pixels are really there."""
    good = score >= CERTAIN
    small = good & (found.level == finest) & (found.size < FINER)
    return bool(small.sum() >= max(FEW, MANY * len(score)))
