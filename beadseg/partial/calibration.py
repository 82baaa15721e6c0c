"""From the model's own certainty to the share of proposals that are right.

The beads that a person labelled tell how certain the model is of true beads. The place
of a proposal among those is uniform over 0..1 if it is a true bead that was left out by
chance, leans low if dim or crowded ones were left out, and lies near 0 if it is none.
So the places of all proposals are a mixture of two exponential densities, a slow and a
fast one, and the share of the slow one at a place is the expected precision there: the
local false discovery rate (Efron 2001) of conformal p-values (Bates et al. 2023).
"""

from collections.abc import Sequence

import numpy as np
from scipy import optimize
from scipy.special import expit

FEWEST = 20  # labelled beads found, below which nothing can be said
_FAST = (15.0, 300.0)  # rate of the density of wrong proposals, per unit of place
_TILT = 6.0  # largest rate, either way, of that of right ones
# Centres and spreads, of a normal prior each: log odds of being right, rate of right
# ones, log rate of wrong ones. Wide beside what some hundred proposals tell.
_CENTRE = np.array([2.0, 0.0, np.log(40.0)])
_SPREAD = np.array([2.0, 2.0, 0.7])
_LOW = 0.1  # place below which a wrong outline shows in the certainty
_WRONG = 0.05  # of outlines are wrong, as far as is known before any is seen


def calibrate(
    proposed: Sequence[float], right: Sequence[float], wrong: Sequence[float]
) -> np.ndarray | None:
    """Expected precision of each proposal, rising with its certainty: f64[N] of 0..1.

    Args:
      proposed: certainty of the proposals of all images, any monotone measure.
      right: the same of the beads found that a person labelled as they are.
      wrong: the same of those found on a labelled bead with a wrong outline.

    Returns:
      None where fewer than `FEWEST` labelled beads were found.
    """
    if len(right) < FEWEST:
        return None
    scores, known = np.asarray(proposed, float), np.sort(np.asarray(right, float))
    place = _place(scores, known)
    start = _CENTRE + [0.0, 0.5, 0.0]  # off the middle of the tilt, where slopes vanish
    bounds = [(-6.0, 6.0), (-_TILT, _TILT), tuple(np.log(_FAST))]
    fit = optimize.minimize(_loss, start, place, method="L-BFGS-B", bounds=bounds)
    is_right, is_wrong = _densities(fit.x, place)
    precision = expit(is_right - is_wrong)
    order = np.argsort(scores, kind="stable")
    precision[order] = np.maximum.accumulate(precision[order])
    return precision * _outlined(known, np.asarray(wrong, float))


def _place(scores: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Share of the known scores below each score, 0..1 exclusive; ties count half."""
    below = np.searchsorted(known, scores, "left")
    upto = np.searchsorted(known, scores, "right")
    return (0.5 * (below + upto) + 0.5) / (len(known) + 1)


def _loss(parameters: np.ndarray, place: np.ndarray) -> float:
    likelihood = np.logaddexp(*_densities(parameters, place)).sum()
    return 0.5 * np.square((parameters - _CENTRE) / _SPREAD).sum() - likelihood


def _densities(parameters: np.ndarray, place: np.ndarray):
    """Logarithms of the two weighted densities at each place."""
    odds, tilt, rate = parameters[0], parameters[1], np.exp(parameters[2])
    right = -np.logaddexp(0.0, -odds) + _exponential(tilt, place)
    return right, -np.logaddexp(0.0, odds) + _exponential(rate, place)


def _exponential(rate: float, place: np.ndarray) -> np.ndarray:
    """Logarithm of the density exp(-rate * place) on 0..1."""
    if abs(rate) < 1e-4:
        return rate * (0.5 - place)
    return np.log(rate / -np.expm1(-rate)) - rate * place


def _outlined(known: np.ndarray, wrong: np.ndarray) -> float:
    """Share of the certain labelled beads whose outline is right: no score tells it."""
    least = np.quantile(known, _LOW)
    bad, good = (wrong >= least).sum(), (known >= least).sum()
    return float((good + 1.0 - _WRONG) / (good + bad + 1.0))
