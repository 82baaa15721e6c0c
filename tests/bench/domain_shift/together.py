"""Members of a sweep together: the mean of their probabilities against each alone."""

import json
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from beadseg import models
from beadseg.data import pipeline, splits
from beadseg.data.builders import open_dataset
from beadseg.metrics import (
    THRESHOLDS,
    ProbabilityHistogram,
    choose_threshold,
    confusions,
    jaccard,
    merge,
    pooled,
    probability_histogram,
)
from beadseg.training.weights import WEIGHTS, read_weights


def together(runs: Sequence[Path]) -> dict[str, dict[str, float]]:
    """Jaccard of runs that differ in numbers only, on their validation images.

    Masks are taken as complete (those of generated beads are, whatever was damaged to
    train on).

    Args:
      runs: folders of runs with one split, at their end.

    Returns:
      "together" and "alone" (the mean over the runs), each with Jaccard at the "best"
      threshold and "best at 0.5", as in `study.scores_of`.
    """
    config = ConfigDict(json.loads((runs[0] / "config.json").read_text()))
    config.data.generated.damage = "none"
    dataset = open_dataset(config)
    split = json.loads((runs[0] / "split.json").read_text())
    chosen = splits.from_json(split, dataset.records).validation
    model = models.build(config.model)

    @jax.jit
    def predict(weights, image):
        variables = {"params": weights.params, "batch_stats": weights.statistics}
        return jax.nn.sigmoid(model.apply(variables, image)["mask"])

    count = jax.jit(probability_histogram)
    every = [read_weights(run / WEIGHTS) for run in runs]
    found: list[list[ProbabilityHistogram]] = [[] for _ in range(len(runs) + 1)]
    size = min(config.data.batch_size, len(chosen))
    for batch in pipeline.eval_batches(dataset, chosen, config, size, model.stride):
        arrays = batch.arrays
        each = [predict(weights, arrays["image"]) for weights in every]
        for number, probability in enumerate([*each, jnp.stack(each).mean(0)]):
            counts = count(probability, arrays["mask"], arrays["weight"])
            found[number].append(pooled(jax.device_get(counts)))
    scores = [_scores(merge(*histograms)) for histograms in found]
    alone = {name: float(np.mean([s[name] for s in scores[:-1]])) for name in scores[0]}
    return {"together": scores[-1], "alone": alone}


def _scores(histogram: ProbabilityHistogram) -> dict[str, float]:
    counts = confusions(histogram)
    return {
        "best": choose_threshold(counts)[1],
        "best at 0.5": float(jaccard(counts)[THRESHOLDS == 0.5][0]),
    }
