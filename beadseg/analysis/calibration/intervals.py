"""Intervals of counts: of Poisson's distribution, and of what varies beyond it."""

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

from beadseg.analysis.calibration.regression import LEVEL, fit, quantile

Interval = tuple[float, float]
_TAIL = (1 - LEVEL) / 2


class Spread(NamedTuple):
    """How much independent counts of the same dilution vary beyond Poisson's."""

    overdispersion: float  # a of variance = mean + a mean^2
    information: float  # by which Pearson's chi-squared falls as `overdispersion` rises
    chi_squared: float  # Pearson's, of Poisson's variance, about the means of groups
    df: int

    @property
    def cv(self) -> float:
        """Standard deviation over mean of the concentrations behind the counts."""
        return float(np.sqrt(self.overdispersion))

    @property
    def p(self) -> float:
        """Chance that Poisson's distribution alone scatters as much."""
        return float(special.chdtrc(self.df, self.chi_squared))

    def df_at(self, mean: float) -> float:
        """Degrees of freedom of the variance at a mean count (Satterthwaite 1946).

        Few where other means say little of it: counts of 5 know nothing of a spread
        that rules counts of 500.
        """
        of_mean = mean / (1 + self.overdispersion * mean)
        return max((self.information / of_mean) ** 2 / self.df, 1.0)


def poisson_interval(count: float, tail: float = _TAIL) -> Interval:
    """The exact interval of the mean behind a count (Garwood 1936, Biometrika 28, 437).

    Of 0 it is 0 to 3.69 at 95 %. `tail` is the chance left out on either side.
    """
    low = float(special.gammaincinv(count, tail)) if count else 0.0
    return low, float(special.chdtri(2 * (count + 1), tail)) / 2


def spread(
    counts: np.ndarray, exposure: np.ndarray, groups: Sequence[Hashable]
) -> Spread | None:
    """Of counts about the mean of their group, pooled over groups.

    Args:
      counts, exposure: f64[n].
      groups: of each count. One that stands alone in its group, or among none but
        zeros, tells nothing.

    Returns:
      None where no group tells anything.
    """
    places: dict[Hashable, list[int]] = {}
    for i, group in enumerate(groups):
        places.setdefault(group, []).append(i)
    repeated = [at for at in places.values() if len(at) > 1 and counts[at].any()]
    if not repeated:
        return None
    rows = np.concatenate(repeated)
    number = np.repeat(np.arange(len(repeated)), [len(at) for at in repeated])
    design = np.eye(len(repeated))[number]
    of = counts[rows], exposure[rows]
    poisson = fit(design, *of, overdispersed=False)
    chi_squared = float(np.sum((of[0] - poisson.mean) ** 2 / poisson.mean))
    found = fit(design, *of)
    return Spread(found.overdispersion, found.information, chi_squared, found.df)


def between_interval(
    counts: np.ndarray, exposure: np.ndarray, varies: Spread
) -> Interval:
    """Of the mean behind counts of one dilution, in counts per exposure.

    The counts are worth fewer beads, as many as a Poisson count with their relative
    variance; Garwood's interval of those, as wide as Student's t asks for where the
    spread was found.
    """
    count, whole = float(counts.sum()), float(exposure.sum())
    typical = count / whole * float(np.sum(exposure**2)) / whole  # count of one
    inflation = 1 + varies.overdispersion * typical
    tail = _TAIL
    if varies.overdispersion > 0 and count:
        tail = float(special.ndtr(-quantile(varies.df_at(typical))))
    low, high = poisson_interval(count / inflation, tail)
    return low * inflation / whole, high * inflation / whole
