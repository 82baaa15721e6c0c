"""Beads of validation images: which are found, how many, and how large.

They are found as prediction finds them, at the run's own size, on a bounded number of
tiles: of images from the thinnest to the densest. What is kept of each tile adds up,
and every metric is divided once. Where masks label only a share of the beads, counts
are those expected against complete masks. Where masks are marks instead of outlines, a
bead is found whose centre lies within half a diameter of a mark.
"""

import hashlib
import statistics
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict
from scipy import ndimage

from beadseg import matching
from beadseg.data.dataset import Dataset
from beadseg.data.masks.instances import (
    DIAMETER,
    find_beads,
    options_of_range,
    options_of_size,
)
from beadseg.data.masks.sizes import Sizes, looked_for, of_sizes
from beadseg.data.scaling import bead_diameters
from beadseg.data.tiles import RecordInfo

MIN_IOU = 0.5
LEAST, MOST = 2**18, 2**21  # px looked at in an evaluation: 0.3 to 0.8 s at most
# Of the pixels that an epoch trains on, between these: 2 % of its time where beads are
# few, 7 % where they are small and dense (two CPU cores).
SHARE = 0.5


class TileBeads(NamedTuple):
    """What was found on a tile."""

    image: str
    counts: matching.Counts
    truth_diameters: np.ndarray  # f64[.], px, of whole beads
    predicted_diameters: np.ndarray


class BeadSums(NamedTuple):
    """Sums over tiles and images, of which the metrics are ratios."""

    true_positive: float
    predicted: int
    truth: float
    count_error: float  # sum over images of |predicted - truth| / max(truth, 1)
    images: int
    diameter_errors: np.ndarray  # f64[.], of the median of each image that has one

    @property
    def f1(self) -> float:
        """2 TP / (predicted + truth); 1 where there is no bead and none is found."""
        return matching.ratio(2 * self.true_positive, self.predicted + self.truth)

    def numbers(self) -> dict[str, float | None]:
        """All that goes into a row of the logs; None where no bead tells."""
        none = float(not self.predicted and not self.truth)
        errors = self.diameter_errors
        return {
            "f1": self.f1,
            "bead_precision": matching.ratio(self.true_positive, self.predicted, none),
            "bead_recall": matching.ratio(self.true_positive, self.truth, none),
            "count_error": matching.ratio(self.count_error, self.images, 0.0),
            "diameter_error": float(errors.mean()) if len(errors) else None,
            "beads": self.truth,
            "predicted_beads": self.predicted,
        }


def options(dataset: Dataset) -> dict[str, float]:
    """Options of `find_beads` for a run, as in prediction."""
    if dataset.sizes is not None:
        return options_of_range(*dataset.sizes)
    size = dataset.bead_diameter_px
    seen = None if size is None else size * dataset.scale
    return options_of_size(seen, dataset.smallest_bead)


def pixels_of(config: ConfigDict, epoch_steps: int) -> int:
    """How many pixels an evaluation looks at, at most: little beside an epoch."""
    trained = epoch_steps * config.data.batch_size * config.data.crop**2
    return int(min(max(SHARE * trained, LEAST), MOST))


def choose_tiles(
    records: Sequence[RecordInfo],
    indices: Sequence[int],
    images: Collection[str],
    most: int,
) -> tuple[int, ...]:
    """Tiles to look at: of as many images as can be, over the range of densities.

    The order of records does not matter.

    Args:
      indices: of the validation tiles.
      most: px; one tile is chosen in any case.
    """
    tiles: dict[str, list[int]] = defaultdict(list)
    for i in sorted(indices, key=lambda i: _rank(records[i].name)):
        if records[i].image in images:
            tiles[records[i].image].append(i)
    dense = sorted(tiles, key=lambda n: (records[tiles[n][0]].beads, n))
    if not dense:
        return ()
    sizes = [int(np.prod(records[own[0]].shape)) for own in tiles.values()]
    fit = min(max(int(most // statistics.median(sizes)), 1), len(dense))
    places = np.linspace(0, len(dense) - 1, fit).round().astype(int)
    chosen, left = [], most
    for depth in range(max(map(len, tiles.values()))):
        for name in (dense[place] for place in places):
            own = tiles[name]
            if depth >= len(own):
                continue
            size = int(np.prod(records[own[depth]].shape))
            if size <= left or not chosen:
                chosen.append(own[depth])
                left -= size
    return tuple(sorted(chosen))


def compare(
    image: str,
    labels: np.ndarray,
    probability: np.ndarray,
    distance: np.ndarray | None,
    threshold: float,
    options: Mapping[str, float],
    mark_diameter: float | None = None,
    sizes: Sizes | None = None,
) -> TileBeads:
    """Finds the beads of a tile and compares them with its labels.

    Args:
      labels: i32[H, W], -1 unknown.
      probability: f32[H, W].
      distance: f32[H, W] of the network's head; None without it.
      mark_diameter: px of a bead whose labels are marks; None: they are outlines.
      sizes: px, of beads that the network knows; None: one.
    """
    found = find_beads(probability, distance, threshold, **options)
    if sizes is not None:
        found = of_sizes(found, looked_for(sizes))
    overlaps = matching.overlaps(labels, found)
    if mark_diameter is None:
        counts = matching.match(overlaps, min_iou=MIN_IOU).counts
        diameters = [bead_diameters(np.maximum(x, 0)) for x in (labels, found)]
        return TileBeads(image, counts, *diameters)
    centres = [
        np.array(ndimage.center_of_mass(np.ones(x.shape), x, of)).reshape(-1, 2)
        for x, of in ((labels, overlaps.truth), (found, overlaps.predicted))
    ]
    matched = matching.match_points(*centres, mark_diameter / 2, overlaps.ignored)
    return TileBeads(image, matched.counts, np.zeros(0), np.zeros(0))


def mark_diameter(dataset: Dataset) -> float:
    """Px across a bead, as the network sees it, where masks are marks."""
    size = dataset.bead_diameter_px
    return DIAMETER if size is None else size * dataset.scale


def add_up(tiles: Sequence[TileBeads], completeness: Mapping[str, float]) -> BeadSums:
    """The sums over tiles, expected against complete masks.

    Args:
      completeness: by image.
    """
    by_image: dict[str, list[TileBeads]] = defaultdict(list)
    for tile in tiles:
        by_image[tile.image].append(tile)
    right = truth = error = 0.0
    predicted = 0
    for image, parts in by_image.items():
        counts = matching.total([part.counts for part in parts])
        counts = matching.completed(counts, completeness[image])
        found = counts.true_positive + counts.false_positive
        beads = counts.true_positive + counts.false_negative
        right += counts.true_positive
        truth += beads
        predicted += found
        error += abs(found - beads) / max(beads, 1.0)
    errors = map(_diameter_error, by_image.values())
    return BeadSums(
        true_positive=right,
        predicted=predicted,
        truth=truth,
        count_error=error,
        images=len(by_image),
        diameter_errors=np.array([e for e in errors if e is not None], np.float64),
    )


def _diameter_error(parts: Sequence[TileBeads]) -> float | None:
    """Of the median bead of an image; None where there is none, or masks are marks.

    Where images differ in size, a median over all of them tells which were found.
    """
    predicted = np.concatenate([part.predicted_diameters for part in parts])
    truth = np.concatenate([part.truth_diameters for part in parts])
    if not len(predicted) or not len(truth):
        return None
    return float(np.median(predicted) / np.median(truth) - 1)


def _rank(name: str) -> bytes:
    return hashlib.blake2b(name.encode(), digest_size=8).digest()
