"""Bootstrap intervals of the median and the CV of sizes of beads in images."""

from typing import NamedTuple

import numpy as np
from scipy import special

from beadseg.analysis.calibration.intervals import Interval, poisson_interval
from beadseg.analysis.calibration.regression import LEVEL

DRAWS = 1000
MANY = 30  # images, from which beads need not be drawn within them
_WEIGHTS = 2_000_000  # held at once
_WORK = 40_000_000  # weights in all; of very many beads there are fewer draws
_FEWEST = 300  # draws


class Intervals(NamedTuple):
    """95 % intervals; None where one bead is all there is."""

    median: Interval | None
    cv: Interval | None


def size_intervals(values: np.ndarray, image: np.ndarray) -> Intervals:
    """Of the median and of the CV of sizes.

    Images are drawn with replacement, then beads within those drawn. Drawing images
    alone counts the spread within them already, but for 1 / m of it where there are m
    images; drawing n of n beads as well would count it twice (Davison and Hinkley 1997,
    Bootstrap Methods, 3.8). So m n beads are drawn within an image of n: of one image
    that is the plain bootstrap, and of `MANY` it is left out. The intervals are Efron's
    BCa (1987, JASA 82, 171), as wide as Student's t asks for of so few images
    (Hesterberg 2015, Am. Stat. 69, 371). One image tells nothing of how images differ.

    Args:
      values: f64[N], above 0.
      image: i64[N], the image of each.
    """
    if len(values) < 2:
        return Intervals(None, None)
    order = np.argsort(values, kind="stable")
    values = values[order]
    names, image = np.unique(image[order], return_inverse=True)
    # About 1: sums of squares keep their digits.
    scaled = values / values.mean()
    drawn = [
        (
            _medians(weights, values),
            _cvs(weights.sum(1), weights @ scaled, weights @ scaled**2),
        )
        for weights in _weights(image, len(names), np.random.default_rng(0))
    ]
    medians, cvs = (np.concatenate(part) for part in zip(*drawn, strict=True))
    one = np.ones((1, len(values)))
    sums = np.array([np.ones_like(scaled), scaled, scaled**2])
    units = sums
    if len(names) >= MANY:
        units = np.array([np.bincount(image, each) for each in sums])
    total = sums.sum(1)
    without = _cvs(*(total[:, None] - units))
    apart = without.mean() - without
    spread = 6 * np.sum(apart**2) ** 1.5
    skew = float(np.sum(apart**3) / spread) if spread > 0 else 0.0
    free = (len(names) if len(names) > 1 else len(values)) - 1
    return Intervals(
        _interval(medians, _medians(one, values)[0], 0.0, free),
        _interval(cvs, _cvs(*total), skew, free),
    )


def rate_interval(
    counts: np.ndarray, exposure: np.ndarray, weights: np.ndarray
) -> Interval:
    """Of beads per exposure (images, or their areas), by drawing images.

    Of one image Poisson's (Garwood 1936), of as many beads as vary that much.

    Args:
      counts, exposure: f64[m].
      weights: f64[N], how much each bead counts; NaN: it is not known.
    """
    if len(counts) < 2:
        total, squares = weights.sum(), np.square(weights).sum()
        each = squares / total if total > 0 else 1.0
        low, high = (each * n for n in poisson_interval(float(counts.sum()) / each))
        return low / exposure.sum(), high / exposure.sum()
    times = _drawn(len(counts), DRAWS, np.random.default_rng(0))
    rates = (times @ counts) / (times @ exposure)
    return _interval(rates, counts.sum() / exposure.sum(), 0.0, len(counts) - 1)


def _drawn(images: int, draws: int, random: np.random.Generator) -> np.ndarray:
    """How often each image is drawn, f64[draws, images]."""
    chance = np.full(images, 1 / images)
    return random.multinomial(images, chance, size=draws).astype(np.float64)


def _weights(image: np.ndarray, images: int, random: np.random.Generator):
    """How much each bead counts in some of the draws, f64[draws, N]."""
    count = len(image)
    left = int(np.clip(_WORK // count, _FEWEST, DRAWS))
    at_once = max(1, _WEIGHTS // count)
    while left > 0:
        draws = min(at_once, left)
        weights = _drawn(images, draws, random)[:, image]
        if images < MANY:  # Poisson's: m n drawn of n, but for their total
            weights = random.poisson(images * weights) / images
        yield weights[weights.any(1)]
        left -= draws


def _medians(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    below = np.cumsum(weights, 1)
    return values[(below >= below[:, -1:] / 2).argmax(1)]


def _cvs(count, total, squares):
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / count
        return np.sqrt(np.maximum(squares / count - mean**2, 0.0)) / mean


def _interval(draws: np.ndarray, found: float, skew: float, free: int) -> Interval:
    below = (np.mean(draws < found) + np.mean(draws <= found)) / 2
    shift = special.ndtri(np.clip(below, 0.05, 0.95))
    wide = np.sqrt((free + 1) / free) * special.stdtrit(free, (1 + LEVEL) / 2)
    at = shift + np.array([-wide, wide])
    # Beyond where the correction turns around the ends are those of all draws.
    at = shift + at / np.maximum(1 - skew * at, 0.05)
    low, high = np.quantile(draws, special.ndtr(at))
    return float(low), float(high)
