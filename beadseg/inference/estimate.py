"""Count, size and coverage of the beads of an image, from the image alone.

The default model on a pyramid (`beadseg.inference.pyramid`), without a mask and without
training.
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np


class Estimate(NamedTuple):
    """What is seen in an image without a mask."""

    count: int
    diameter_px: float  # median; nan where no bead is found
    coverage: float  # share of the pixels, 0..1
    centres: np.ndarray  # f32[N, 2], y and x, px
    diameters: np.ndarray  # f32[N], px
    scores: np.ndarray  # f32[N], 0..1
    labels: np.ndarray  # i32[H, W], 0 background


def estimate(image: np.ndarray, settings: Any = None) -> Estimate:
    """Finds the beads of an image with the default model.

    Args:
      image: [H, W], any real type and scale.
      settings: of `beadseg.inference.settings`; None: nothing is given.
    """
    found = _predictor().predict(image, **(vars(settings) if settings else {}))
    table = found.table
    diameters = table["diameter_px"].astype(np.float32)
    return Estimate(
        count=len(diameters),
        diameter_px=found.image["median_diameter_px"] or np.nan,
        coverage=found.image["coverage"],
        centres=np.stack([table["y"], table["x"]], 1).astype(np.float32),
        diameters=diameters,
        scores=table["score"].astype(np.float32),
        labels=found.labels,
    )


@cache
def _predictor() -> Any:
    # jax takes seconds: wrong use is told before it is loaded.
    from beadseg.inference.predictor import load

    return load()
