"""Validation: whole tiles through the network, exact sums, one division at the end.

Only known pixels count (`weight`). The headline Jaccard is pooled over all images at
the run's threshold, chosen here as the best of the pooled validation pixels unless the
config names one; the Jaccard at 0.5 stands beside it. Where masks are marks, it is of
the nearly best ones the nearest to 0.5. Where masks label only a share of the beads,
counts are those expected against complete ones, or only complete masks count: imitating
gaps is never rewarded (`beadseg.training.partial_labels`). Beads are found on some
of the tiles (`beadseg.training.beads`).

What a run is judged by, its score, is the Jaccard; where masks are marks instead of
outlines, it is the F1 of the beads.
"""

from collections import defaultdict
from typing import NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from beadseg import metrics
from beadseg.data.builders import Dataset
from beadseg.metrics import Confusion, ProbabilityHistogram, jaccard
from beadseg.training import beads
from beadseg.training.beads import BeadSums
from beadseg.training.devices import Steps
from beadseg.training.partial_labels import (
    KnownCompleteness,
    counted_images,
    whole_tiles,
)
from beadseg.training.state import Hyperparameters, TrainState

# Of the best Jaccard, by which another threshold may fall short where masks are marks:
# edges are not known, and what is far from 0.5 misses faint beads or invents some.
SLACK = 0.05


class Sample(NamedTuple):
    """A validation tile to look at: arrays f32 [H, W], and its image's Jaccard."""

    name: str
    image: np.ndarray
    mask: np.ndarray
    weight: np.ndarray
    probability: np.ndarray
    jaccard: float


class Evaluation(NamedTuple):
    """What one pass over the validation images found."""

    loss: float  # mean over tiles
    threshold: float
    counts: Confusion  # of the pixels of all images that count, at `threshold`
    counts_at_half: Confusion
    images: dict[str, float]  # Jaccard of each image that counts, at `threshold`
    how: str  # on which masks, or how corrected
    histogram: ProbabilityHistogram  # of all images, against the masks as they are
    samples: list[Sample]
    best_threshold: float  # of the best Jaccard, also where another is in use
    best_jaccard: float  # there
    beads: BeadSums | None  # None: not looked for
    marks: bool  # whether masks mark beads instead of outlining them
    incomplete: bool  # whether these marks lack beads

    @property
    def jaccard(self) -> float:
        """Pooled over all known pixels, at `threshold`."""
        return float(jaccard(self.counts))

    @property
    def bead_share(self) -> float:
        """Of the known pixels: the Jaccard of calling all of them bead."""
        c = self.counts
        return float((c.true_positive + c.false_negative) / max(sum(c), 1))

    @property
    def score(self) -> float:
        """What the run is judged by: Jaccard, or F1 where masks are marks."""
        return self.beads.f1 if self.marks and self.beads else self.jaccard

    @property
    def score_error(self) -> float:
        """Standard error of the score of incomplete marks, by the number of beads.

        They are few, and what is found beside them may be right. 0 of other masks.
        """
        if not (self.incomplete and self.beads):
            return 0.0
        spread = self.beads.f1 * (1.0 - self.beads.f1)
        return float(np.sqrt(spread / max(self.beads.truth, 1.0)))

    def numbers(self) -> dict[str, float | None]:
        """All that goes into a row of the logs."""
        return {
            "score": self.score,
            "score_error": self.score_error,
            "loss": self.loss,
            "threshold": self.threshold,
            **metrics.ratios(self.counts),
            "jaccard_at_0.5": float(jaccard(self.counts_at_half)),
            "jaccard_mean_of_images": float(np.mean(list(self.images.values()))),
            "bead_share": self.bead_share,
            "best_threshold": self.best_threshold,
            "jaccard_at_best_threshold": self.best_jaccard,
            **(self.beads.numbers() if self.beads else {}),
        }


def evaluate(
    steps: Steps,
    state: TrainState,
    hp: Hyperparameters,
    dataset: Dataset,
    validation: tuple[int, ...],
    config: ConfigDict,
    known: KnownCompleteness,
    with_samples: bool = False,
    look_at: int = 0,
    marks: bool = False,
) -> Evaluation:
    """Runs the validation records through the network of `state`.

    `with_samples` predicts the worst, the median and the best image once more, to be
    looked at: keeping every probability map would let memory grow with the data.

    Args:
      dataset: that `validation` numbers records of.
      look_at: px in which beads are looked for, at most; 0: they are not.
      marks: whether masks mark beads instead of outlining them.
    """
    shares, sentence = counted_images(_images(dataset, validation), known)
    chosen: dict[int, tuple[np.ndarray, np.ndarray | None]] = {}
    if look_at:
        wanted = beads.choose_tiles(dataset.records, validation, shares, look_at)
        chosen = dict.fromkeys(wanted)
    losses, by_image, at = [], defaultdict(list), {}
    for number, batch in enumerate(whole_tiles(dataset, validation, config)):
        out = steps.evaluate(state, hp, batch.arrays)
        loss, histogram = jax.device_get((out.loss, out.histogram))
        for row, record in enumerate(batch.records):
            losses.append(float(loss[row]))
            name = dataset.records[record].image
            by_image[name].append(jax.tree.map(lambda h, row=row: h[row], histogram))
            at.setdefault(name, (number, row, record))
        for row, record in enumerate(batch.records):
            if record in chosen:
                chosen[record] = _maps(out, row, dataset.records[record].shape)
    images = {name: metrics.merge(*parts) for name, parts in by_image.items()}
    every = {
        name: metrics.completed(metrics.confusions(images[name]), c)
        for name, c in shares.items()
    }
    counts = Confusion(
        *(np.sum(parts, 0) for parts in zip(*every.values(), strict=True))
    )
    best, _ = metrics.choose_threshold(counts)
    threshold, _ = metrics.choose_threshold(counts, SLACK if marks else 0.0)
    if min(shares.values()) < 1.0:
        best = _threshold_partial(images, shares)
        threshold = _threshold_partial(images, shares, SLACK if marks else 0.0)
    if config.train.threshold is not None:
        threshold = metrics.nearest_threshold(config.train.threshold)
    found = None
    if look_at:
        found = _beads(dataset, chosen, threshold, shares, marks)
    scores = {name: float(jaccard(_at(c, threshold))) for name, c in every.items()}
    samples = []
    if with_samples:
        samples = _samples(steps, state, hp, dataset, config, scores, at, validation)
    return Evaluation(
        loss=float(np.mean(losses)),
        threshold=threshold,
        counts=_at(counts, threshold),
        counts_at_half=_at(counts, 0.5),
        images=scores,
        how=sentence,
        histogram=metrics.pooled(metrics.merge(*images.values())),
        samples=samples,
        best_threshold=best,
        best_jaccard=float(jaccard(_at(counts, best))),
        beads=found,
        marks=marks,
        incomplete=marks and dataset.unmarked > 0,
    )


def _images(dataset: Dataset, validation: tuple[int, ...]) -> list[str]:
    return list(dict.fromkeys(dataset.records[i].image for i in validation))


def _maps(out, row: int, shape) -> tuple[np.ndarray, np.ndarray | None]:
    """Probability and distance of a tile, f32[h, w], copied: batches are large."""
    part = (row, slice(shape[0]), slice(shape[1]), 0)
    probability, distance = (
        None if x is None else np.array(np.asarray(x)[part], np.float32)
        for x in (out.probability, out.distance)
    )
    return probability, distance


def _beads(dataset, chosen, threshold, completeness, marks) -> BeadSums:
    options = beads.options(dataset)
    across = beads.mark_diameter(dataset) if marks else None
    tiles = [
        beads.compare(
            dataset.records[record].image,
            dataset[record]["labels"],
            *maps,
            threshold,
            options,
            across,
            dataset.sizes,
        )
        for record, maps in chosen.items()
    ]
    return beads.add_up(tiles, completeness)


def _threshold_partial(
    images, completeness: dict[str, float], slack: float = 0.0
) -> float:
    right = found = 0.0
    for name, share in completeness.items():
        counts = metrics.confusions(images[name])
        right = right + counts.true_positive / share
        found = found + counts.true_positive + counts.false_positive
    return metrics.choose_threshold_partial(right, found, slack)


def _at(counts: Confusion, threshold: float) -> Confusion:
    index = metrics.THRESHOLDS.searchsorted(threshold)
    return Confusion(*(part[index] for part in counts))


def _samples(steps, state, hp, dataset, config, scores, at, validation):
    """The first tile of the worst, the median and the best image."""
    ranked = sorted(scores, key=lambda name: (scores[name], name))
    names = dict.fromkeys([ranked[0], ranked[len(ranked) // 2], ranked[-1]])
    wanted = {at[name][:2]: name for name in names}
    samples = {}
    for number, batch in enumerate(whole_tiles(dataset, validation, config)):
        rows = {row: name for (n, row), name in wanted.items() if n == number}
        if not rows:
            continue
        out = steps.evaluate(state, hp, batch.arrays)
        probability = np.asarray(out.probability)
        for row, name in rows.items():
            height, width = dataset.records[batch.records[row]].shape
            parts = (batch.arrays[k][row] for k in ("image", "mask", "weight"))
            image, mask, weight, found = (
                part[:height, :width, 0] for part in (*parts, probability[row])
            )
            samples[name] = Sample(name, image, mask, weight, found, scores[name])
    return [samples[name] for name in names]
