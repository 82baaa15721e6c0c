"""Validation: whole tiles through the network, exact sums, one division at the end.

Only known pixels count (`weight`). The headline Jaccard is pooled over all images at
the run's threshold, chosen here as the best of the pooled validation pixels unless the
config names one; the Jaccard at 0.5 stands beside it.
"""

from collections import defaultdict
from typing import NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from beadseg.data import pipeline
from beadseg.data.builders import Dataset
from beadseg.metrics import (
    ProbabilityHistogram,
    accuracy,
    best_threshold,
    confusion_at,
    dice,
    jaccard,
    merge,
    nearest_threshold,
    pooled,
    precision,
    recall,
)
from beadseg.training.devices import Steps
from beadseg.training.state import Hyperparameters, TrainState


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
    histogram: ProbabilityHistogram  # i64[BINS], all images pooled
    images: dict[str, float]  # Jaccard of each image, at `threshold`
    samples: list[Sample]

    @property
    def jaccard(self) -> float:
        """Pooled over all known pixels, at `threshold`."""
        return float(jaccard(confusion_at(self.histogram, self.threshold)))

    def numbers(self) -> dict[str, float]:
        """All that goes into a row of the logs."""
        counts = confusion_at(self.histogram, self.threshold)
        return {
            "loss": self.loss,
            "threshold": self.threshold,
            "jaccard": float(jaccard(counts)),
            "jaccard_at_half": float(jaccard(confusion_at(self.histogram, 0.5))),
            "jaccard_mean_of_images": float(np.mean(list(self.images.values()))),
            "dice": float(dice(counts)),
            "accuracy": float(accuracy(counts)),
            "precision": float(precision(counts)),
            "recall": float(recall(counts)),
        }


def evaluate(
    steps: Steps,
    state: TrainState,
    hp: Hyperparameters,
    dataset: Dataset,
    validation: tuple[int, ...],
    config: ConfigDict,
    with_samples: bool = False,
) -> Evaluation:
    """Runs the validation records through the network of `state`.

    `with_samples` predicts the worst, the median and the best image once more, to be
    looked at: keeping every probability map would let memory grow with the data.
    """
    losses, by_image, at = [], defaultdict(list), {}
    for number, batch in enumerate(_batches(dataset, validation, config)):
        out = steps.evaluate(state, hp, batch.arrays)
        loss, histogram = jax.device_get((out.loss, out.histogram))
        for row, record in enumerate(batch.records):
            losses.append(float(loss[row]))
            name = dataset.records[record].image
            by_image[name].append(jax.tree.map(lambda h, row=row: h[row], histogram))
            at.setdefault(name, (number, row, record))
    images = {name: merge(*parts) for name, parts in by_image.items()}
    everything = pooled(merge(*images.values()))
    chosen = config.train.threshold
    if chosen is None:
        threshold, _ = best_threshold(everything)
    else:
        threshold = nearest_threshold(chosen)
    scores = {
        name: float(jaccard(confusion_at(histogram, threshold)))
        for name, histogram in images.items()
    }
    samples = []
    if with_samples:
        samples = _samples(steps, state, hp, dataset, config, scores, at, validation)
    return Evaluation(float(np.mean(losses)), threshold, everything, scores, samples)


def _samples(steps, state, hp, dataset, config, scores, at, validation):
    """The first tile of the worst, the median and the best image."""
    ranked = sorted(scores, key=lambda name: (scores[name], name))
    names = dict.fromkeys([ranked[0], ranked[len(ranked) // 2], ranked[-1]])
    wanted = {at[name][:2]: name for name in names}
    samples = {}
    for number, batch in enumerate(_batches(dataset, validation, config)):
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


def _batches(dataset, validation, config):
    devices = jax.local_device_count()
    few = -(-len(validation) // devices) * devices
    return pipeline.eval_batches(
        dataset, validation, config, min(config.data.batch_size, few)
    )
