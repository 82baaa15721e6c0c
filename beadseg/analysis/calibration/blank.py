"""The blank: its level, and the limits of detection and of quantification."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from beadseg.analysis.calibration.intervals import Interval, poisson_interval
from beadseg.analysis.calibration.series import Unit

DETECTION, QUANTIFICATION = 3.0, 10.0  # sigma of the blank (IUPAC 1978; Currie 1995)
_NONE_SEEN = -np.log(0.05)  # beads: a mean above gives none once in twenty


class Blank(NamedTuple):
    """What is counted where there is no bead, in beads per field."""

    count: int
    images: int
    units: int
    level: float
    error: float  # standard error of the level
    interval: Interval  # Poisson's
    sigma: float  # of the count of one unit of the series
    sigma_from: str
    detection: float
    quantification: float


def blank_of(units: Sequence[Unit], exposure: float) -> Blank:
    """The level is all beads over all fields, limits stand 3 and 10 sigma above it.

    Sigma is the standard deviation between blanks, and no less than the root of a
    Poisson count of the same mean; where no bead was seen, of the largest mean that
    gives none once in twenty times.

    Args:
      units: the blanks.
      exposure: fields of one unit of the series: a larger one counts more surely.
    """
    count = sum(unit.count for unit in units)
    fields = sum(unit.exposure for unit in units)
    level = count / fields
    poisson = float(np.sqrt((level or _NONE_SEEN / fields) / exposure))
    rates = [unit.count / unit.exposure for unit in units]
    scatter = float(np.std(rates, ddof=1)) if len(rates) > 1 else 0.0
    sigma = max(poisson, scatter)
    if scatter > poisson:
        sigma_from = "standard deviation between blanks"
    elif count:
        sigma_from = "Poisson's, of the mean of the blanks"
    else:
        sigma_from = "Poisson's, of the largest mean that gives no bead once in twenty"
    return Blank(
        count=count,
        images=sum(unit.images for unit in units),
        units=len(units),
        level=level,
        error=max(scatter / len(units) ** 0.5, (count**0.5 or 1.0) / fields),
        interval=tuple(end / fields for end in poisson_interval(count)),
        sigma=sigma,
        sigma_from=sigma_from,
        detection=level + DETECTION * sigma,
        quantification=level + QUANTIFICATION * sigma,
    )
