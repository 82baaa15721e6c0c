"""Bootstrap intervals of the median and the CV of sizes of beads in images."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy import special

from beadseg.analysis.calibration.intervals import Interval, poisson_interval
from beadseg.analysis.calibration.regression import LEVEL

DRAWS = 1000
_WEIGHTS = 2_000_000  # held at once
_WORK = 40_000_000  # weights in all; of very many beads there are fewer draws
_FEWEST = 300  # draws
_LEAST = 1e-3  # of what was found, that a draw gives


class Intervals(NamedTuple):
    """95 % intervals; None where one bead is all there is."""

    median: Interval | None
    cv: Interval | None


def size_intervals(values: np.ndarray, image: np.ndarray) -> Intervals:
    """Of the median and of the CV of sizes.

    Images are drawn with replacement, of one image its beads. The spread of the draws
    counts that between beads within images as well, for each image brings its own
    (Davison and Hinkley 1997, Bootstrap Methods, 3.8); of m images it is too small by
    sqrt(1 - 1 / m). An interval is that of Student's t with m - 1 degrees of freedom,
    of the logarithm, and of the CV without its bootstrap bias: quantiles of draws of a
    few images end where those images do, and hold the truth too seldom (Hesterberg
    2015, Am. Stat. 69, 371). One image tells nothing of how images differ.

    Args:
      values: f64[N], above 0.
      image: i64[N], the image of each.
    """
    if len(values) < 2:
        return Intervals(None, None)
    order = np.argsort(values, kind="stable")
    values = values[order]
    names, image = np.unique(image[order], return_inverse=True)
    unit = image if len(names) > 1 else np.arange(len(values))
    # About 1: sums of squares keep their digits.
    scaled = values / values.mean()
    powers = np.array([np.ones_like(scaled), scaled, scaled**2])
    sums = np.array([np.bincount(unit, each) for each in powers])
    drawn = [
        (_medians(times[:, unit], values), _cvs(*(times @ sums.T).T))
        for times in _draws(sums.shape[1], len(values), np.random.default_rng(0))
    ]
    medians, cvs = (np.concatenate(part) for part in zip(*drawn, strict=True))
    units = sums.shape[1]
    return Intervals(
        _interval(medians, float(np.median(values)), units),
        _interval(cvs, _cvs(*sums.sum(1)), units, biased=True),
    )


def rate_interval(
    counts: np.ndarray, exposure: np.ndarray, weights: np.ndarray
) -> Interval:
    """Of beads per exposure (images, or their areas): Student's t, by drawing images.

    Of one image Poisson's (Garwood 1936), of as many beads as vary that much.

    Args:
      counts, exposure: f64[m].
      weights: f64[N], how much each bead counts; NaN: it is not known.
    """
    if len(counts) < 2 or not counts.any():
        total, squares = weights.sum(), np.square(weights).sum()
        each = squares / total if total > 0 else 1.0
        low, high = (each * n for n in poisson_interval(float(counts.sum()) / each))
        return low / exposure.sum(), high / exposure.sum()
    times = _drawn(len(counts), DRAWS, np.random.default_rng(0))
    rates = (times @ counts) / (times @ exposure)
    found = float(counts.sum() / exposure.sum())
    wide = _wide(len(counts)) * float(np.std(rates))
    return max(found - wide, 0.0), found + wide


def _drawn(units: int, draws: int, random: np.random.Generator) -> np.ndarray:
    """How often each unit is drawn, f64[draws, units]."""
    chance = np.full(units, 1 / units)
    return random.multinomial(units, chance, size=draws).astype(np.float64)


def _draws(units: int, beads: int, random: np.random.Generator) -> Iterator[np.ndarray]:
    """How often each unit is drawn, some draws at a time, of so many beads."""
    left = int(np.clip(_WORK // beads, _FEWEST, DRAWS))
    at_once = max(1, _WEIGHTS // beads)
    while left > 0:
        draws = min(at_once, left)
        yield _drawn(units, draws, random)
        left -= draws


def _medians(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    below = np.cumsum(weights, 1)
    return values[(below >= below[:, -1:] / 2).argmax(1)]


def _cvs(count, total, squares):
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / count
        return np.sqrt(np.maximum(squares / count - mean**2, 0.0)) / mean


def _interval(
    draws: np.ndarray, found: float, units: int, biased: bool = False
) -> Interval:
    """Of a number >= 0 that was `found`, by what draws of so many units give.

    Where it is `biased`, as draws are of what they were drawn from, that is taken off.
    """
    if found <= 0:
        return 0.0, 0.0
    logs = np.log(np.maximum(draws / found, _LEAST))
    bias = units / (units - 1) * np.mean(logs) if biased else 0.0
    wide = _wide(units) * np.std(logs)
    low, high = (float(found * np.exp(end - bias)) for end in (-wide, wide))
    return low, high


def _wide(units: int) -> float:
    """Half an interval, in standard deviations of draws of so many units."""
    of_t = special.stdtrit(units - 1, (1 + LEVEL) / 2)
    return float(of_t * np.sqrt(units / (units - 1)))
