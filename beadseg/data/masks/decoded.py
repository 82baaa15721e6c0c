"""What the numbers of a mask turned out to mean."""

from typing import NamedTuple

import numpy as np

FEW = 8  # numbers up to which they may be kinds, cores and rims, or overlaps
PART = 0.3  # areas of the median bead, from which a part may be a bead of its own
EIGHT = np.ones((3, 3), bool)  # neighbours of a pixel, and itself


class Decoded(NamedTuple):
    """Beads of a mask, and in words how they were read, if not as they stand."""

    beads: np.ndarray  # bool[H, W] to be separated, or int[H, W] with an id per bead
    kind: str = ""  # "", or of the reading, for tables
    note: str = ""  # evidence, and what was made of it
    classes: np.ndarray | None = None  # i64[N], of beads 1..N, where numbers are kinds
