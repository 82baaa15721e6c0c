"""How many of the beads the masks of a run label, as its network sees it so far.

Beads are counted, not pixels: a mark that is thinner, thicker or a little beside what
the network has learnt of beads labels one all the same.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict
from scipy import ndimage

from beadseg import models
from beadseg.data import pipeline
from beadseg.data.dataset import Dataset
from beadseg.data.masks.beads import number_beads
from beadseg.data.masks.labels import separate
from beadseg.training.devices import Steps
from beadseg.training.state import Hyperparameters, TrainState

SAME = 0.5  # of the smaller of bead and mark, that they share
KNOWN = 0.5  # of a bead, that must not lie on unknown pixels
SHARP = 0.6  # of what looks like bead, in shares of what should be, that is labelled

Map = np.ndarray  # [H, W]


class Objects(NamedTuple):
    """What looks like bead in a tile, N objects: f64[N] each."""

    certainty: np.ndarray  # mean probability
    marks: np.ndarray  # labelled beads that lie on it
    area: np.ndarray  # px


class Share(NamedTuple):
    """What the audit says."""

    completeness: float  # 0..1
    sharp: bool  # whether the network knows beads well enough to say it


def audit(
    steps: Steps,
    state: TrainState,
    hp: Hyperparameters,
    dataset: Dataset,
    indices: Sequence[int],
    config: ConfigDict,
) -> Share:
    """What the network of `state` says of the masks of some tiles."""
    devices = jax.device_count()
    size = min(config.data.batch_size, -(-len(indices) // devices) * devices)
    tiles = []
    stride = models.build(config.model).stride
    for batch in pipeline.eval_batches(dataset, indices, config, size, stride):
        found = np.asarray(steps.evaluate(state, hp, batch.arrays).probability)
        for row, record in enumerate(batch.records):
            labels = dataset[record]["labels"]
            height, width = labels.shape
            tiles.append((found[row, :height, :width, 0], labels))
    return audit_tiles(tiles)


def audit_tiles(tiles: Sequence[tuple[Map, Map]]) -> Share:
    """Completeness from probabilities and labels.

    Of objects that the network is as sure of as of the surer half of those with a mark,
    nearly all are beads, and the share with a mark is the completeness: whether its
    probabilities are of beads or of labels (after Elkan and Noto 2008). An object of
    several beads counts for as many as its area holds.

    Args:
      tiles: probability f32[H, W], and labels i32[H, W] with -1 unknown.
    """
    surest = [_surest(p, labels) for p, labels in tiles]
    labelled = np.concatenate(surest) if surest else np.zeros(0)
    if not len(labelled):
        return Share(1.0, False)
    threshold = float(np.median(labelled)) / 2
    found = _join(find_objects(p, labels, threshold) for p, labels in tiles)
    alone = found.area[found.marks == 1]
    if not len(alone):
        return Share(1.0, False)
    beads = np.maximum(np.rint(found.area / np.median(alone)), 1)
    beads = np.maximum(beads, found.marks)
    sure = found.certainty >= np.median(found.certainty[found.marks > 0])
    share = float(found.marks[sure].sum() / beads[sure].sum())
    over_all = found.marks.sum() / beads.sum()
    return Share(share, bool(over_all >= SHARP * share))


def find_objects(probability: Map, labels: Map, threshold: float) -> Objects:
    """What looks like bead, apart at its necks, and the marks on it.

    Args:
      probability: f32[H, W].
      labels: i32[H, W], positive beads, -1 unknown: what lies there is left out.
      threshold: of the probability.
    """
    _, index = number_beads(separate(probability >= threshold))
    ids, mark = number_beads(labels)
    count = int(index.max(initial=0))
    area = np.bincount(index.ravel(), minlength=count + 1)
    unknown = np.bincount(index[labels < 0], minlength=count + 1)
    both = (index > 0) & (mark > 0)
    pairs, shared = np.unique(
        np.stack([index[both], mark[both]]), axis=1, return_counts=True
    )
    own = np.bincount(mark.ravel(), minlength=len(ids) + 1)
    same = shared >= SAME * np.minimum(area[pairs[0]], own[pairs[1]])
    marks = np.bincount(pairs[0][same], minlength=count + 1)
    certainty = ndimage.mean(probability, index, np.arange(1, count + 1))
    kept = (unknown[1:] <= KNOWN * area[1:]) & (area[1:] > 2)
    return Objects(
        *(np.asarray(v, float)[kept] for v in (certainty, marks[1:], area[1:]))
    )


def _surest(probability: Map, labels: Map) -> np.ndarray:
    """The highest probability on each mark: f64[N]."""
    ids, mark = number_beads(labels)
    return np.asarray(ndimage.maximum(probability, mark, np.arange(1, len(ids) + 1)))


def _join(parts: Iterable[Objects]) -> Objects:
    return Objects(*(np.concatenate(field) for field in zip(*parts, strict=True)))
