"""Do the intervals of a prediction's page hold the truth of drawn sizes?

python -m tests.bench.intervals

Sizes are log-normal about the size of their image, which is log-normal too. Of each
design 300 sets are drawn; told is how often the interval of the median, and of the CV,
holds the value of the whole population.
"""

import math
from typing import NamedTuple

import numpy as np

from beadseg.analysis.prediction.intervals import size_intervals
from tests.bench import record

SETS = 300
GOAL = (0.93, 0.97)


class Design(NamedTuple):
    """`between` and `within` images: standard deviations of the log of sizes."""

    images: int
    beads: int  # per image, in the mean (Poisson)
    between: float
    within: float


DESIGNS = (
    Design(1, 1000, 0.0, 0.2),
    Design(1, 30, 0.0, 0.2),  # too few beads for the CV
    Design(2, 100, 0.0, 0.2),
    Design(2, 100, 0.05, 0.2),
    Design(3, 100, 0.0, 0.2),
    Design(3, 100, 0.05, 0.2),
    Design(5, 40, 0.05, 0.2),
    Design(12, 8, 0.0, 0.2),
    Design(12, 60, 0.0, 0.2),
    Design(12, 60, 0.05, 0.2),
    Design(20, 50, 0.0, 0.2),
    Design(20, 50, 0.05, 0.2),
    Design(50, 40, 0.0, 0.3),
    Design(50, 40, 0.1, 0.3),
)


def coverage(design: Design) -> dict[str, float]:
    """Shares of the sets whose interval holds the truth."""
    truth = 1.0, math.sqrt(math.expm1(design.between**2 + design.within**2))
    held = np.zeros(2)
    for number in range(SETS):
        random = np.random.default_rng((number, design.images))
        counts = np.maximum(random.poisson(design.beads, design.images), 1)
        image = np.repeat(np.arange(design.images), counts)
        middle = design.between * random.normal(size=design.images)
        sizes = np.exp(middle[image] + design.within * random.normal(size=len(image)))
        found = size_intervals(sizes, image)
        ends = zip(found, truth, strict=True)
        held += [low <= true <= high for (low, high), true in ends]
    return dict(zip(("median", "cv"), held / SETS, strict=True))


def main() -> None:
    """Prints and keeps what was found."""
    rows = []
    for design in DESIGNS:
        rows.append(design._asdict() | coverage(design))
        print(rows[-1], flush=True)
    record.keep("intervals", {"sets": SETS, "goal": GOAL, "rows": record.rounded(rows)})


if __name__ == "__main__":
    main()
