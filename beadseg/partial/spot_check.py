"""Whether masks without a given completeness look complete: a look at a few of them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from beadseg.data.images.reading import ReadError
from beadseg.data.scaling import middle
from beadseg.inference.scores.pairing import Pair, read_truth
from beadseg.matching import count_beads
from beadseg.partial.audit import audit, pooled
from beadseg.training.completeness import SHORT

IMAGES, PIXELS = 3, 2**20  # looked at, at most: a few seconds
FEWEST = 20  # labelled beads, below which nothing is said


class SpotCheck(NamedTuple):
    """Masks that look incomplete."""

    completeness: float
    low: float  # end of the 90 % interval
    high: float
    images: int  # looked at


def spot_check(pairs: Sequence[Pair]) -> SpotCheck | None:
    """Looks at some masks beside their images, without a prediction; None: they pass.

    Nor is anything said where few beads are labelled, or images are not there. The
    pairs are those whose masks have no given completeness.
    """
    pairs = [pair for pair in pairs if pair.mask is not None and pair.image is not None]
    places = np.linspace(0, len(pairs) - 1, min(IMAGES, len(pairs))).round().astype(int)
    looked = []
    for place in places:
        try:
            labels = read_truth(pairs[place]).labels
            image = pairs[place].image.read()
        except ReadError:  # evaluation names it
            continue
        if image.shape == labels.shape and image.min() < image.max():
            seen = middle(image.shape, int(np.sqrt(PIXELS)))
            looked.append((image[seen], labels[seen]))
    beads = sum(count_beads(labels) for _, labels in looked)
    if beads < FEWEST:
        return None
    found = pooled([audit(image, labels) for image, labels in looked])
    if found.high >= SHORT:
        return None
    return SpotCheck(found.completeness, found.low, found.high, len(looked))
