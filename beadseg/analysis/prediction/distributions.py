"""Numbers of a size distribution, by number and by volume, and tests between groups."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

PERCENTS = (10, 25, 50, 75, 90)


class Distribution(NamedTuple):
    """Of diameters, in their unit; each bead counts once, or by its volume."""

    mean: float
    sd: float  # n - 1 by number
    d10: float
    d25: float
    d50: float  # the median
    d75: float
    d90: float

    @property
    def cv(self) -> float:
        """Standard deviation over mean."""
        return self.sd / self.mean

    @property
    def iqr(self) -> float:
        """Between the quartiles."""
        return self.d75 - self.d25

    @property
    def span(self) -> float:
        """(D90 - D10) / D50."""
        return (self.d90 - self.d10) / self.d50

    @property
    def pdi(self) -> float:
        """Polydispersity index as in light scattering, (SD / mean)^2 (ISO 22412)."""
        return self.cv**2


def by_number(diameters: np.ndarray) -> Distribution:
    """Each of f64[N] counts once; of one bead the standard deviation is NaN."""
    sd = float(np.std(diameters, ddof=1)) if len(diameters) > 1 else float("nan")
    return Distribution(
        float(np.mean(diameters)), sd, *np.percentile(diameters, PERCENTS).tolist()
    )


def by_volume(diameters: np.ndarray) -> Distribution:
    """Each of f64[N] counts by the volume of a sphere of its diameter.

    The mean is D[4,3]. A percentile is the least diameter up to which so much of the
    volume lies.
    """
    weights = (diameters / np.max(diameters)) ** 3
    mean = np.average(diameters, weights=weights)
    variance = np.average((diameters - mean) ** 2, weights=weights)
    at = np.percentile(diameters, PERCENTS, weights=weights, method="inverted_cdf")
    return Distribution(
        float(mean),
        float(np.sqrt(variance)) if len(diameters) > 1 else float("nan"),
        *at.tolist(),
    )


def moment_mean(diameters: np.ndarray, p: int, q: int) -> float:
    """D[p,q] = (sum d^p / sum d^q)^(1 / (p - q)) (ISO 9276-2): D[3,2] is Sauter's."""
    scale = float(np.max(diameters))
    ratio = np.sum((diameters / scale) ** p) / np.sum((diameters / scale) ** q)
    return scale * float(ratio ** (1 / (p - q)))


class Comparison(NamedTuple):
    """Whether groups differ."""

    name: str
    statistic: float
    p: float

    def __str__(self):
        """As "Mann-Whitney U = 3, p = 0.012"."""
        p = f"p = {self.p:.2g}" if self.p >= 1e-4 else "p < 0.0001"
        return f"{self.name} = {self.statistic:.4g}, {p}"


def compare(groups: Sequence[np.ndarray]) -> Comparison | None:
    """Tests whether one number per image differs between groups of images.

    Two groups: Mann and Whitney's U, exact where there are few images and no ties.
    More: Kruskal and Wallis' H. The images are the sample, for beads of one image are
    not independent. None where there are not two groups of at least two images.

    Args:
      groups: f64[images] of each group.
    """
    groups = [group for group in groups if len(group) > 1]
    if len(groups) < 2:
        return None
    from scipy import stats  # takes a third of a second

    if len(groups) == 2:
        return Comparison("Mann-Whitney U", *map(float, stats.mannwhitneyu(*groups)))
    if len(np.unique(np.concatenate(groups))) == 1:
        return Comparison("Kruskal-Wallis H", 0.0, 1.0)
    return Comparison("Kruskal-Wallis H", *map(float, stats.kruskal(*groups)))
