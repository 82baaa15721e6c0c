"""Beads that are seen compared with beads that are labelled, one by one.

Never pixels with pixels: a mark that is thin, thick, small or beside its bead labels it
all the same.
"""

from typing import NamedTuple

import numpy as np
from skimage.transform import AffineTransform

from beadseg.data.masks.beads import contrasts, number_beads
from beadseg.data.masks.marks import MarkedImage, measure_marks
from beadseg.inference.estimate import Estimate
from beadseg.matching import count_beads
from beadseg.partial.alignment import aligned
from beadseg.partial.proposals import SAME, compare, overlaps
from beadseg.training.completeness import estimate_completeness

FAINT = 0.25  # of the contrast of labelled beads: what has less is no bead like these


class Agreement(NamedTuple):
    """N beads of an estimate and those of a mask, in either direction."""

    labelled: np.ndarray  # bool[N], a labelled bead is the same
    missing: np.ndarray  # bool[N], none is, though it looks like those that are
    found: np.ndarray  # labels of the mask's beads that one seen is the same as
    beads: int  # of the mask
    mask: np.ndarray  # i[H, W], the mask as it lies on its beads
    move: AffineTransform | None  # that brought it there; None: as it is

    def completeness(self, scores: np.ndarray) -> float | None:
        """Of the mask, by the beads seen, each by its score; None where none is."""
        labelled, missing = (scores[k].sum() for k in (self.labelled, self.missing))
        return estimate_completeness(labelled, missing)

    def marked(self, name: str, seen: np.ndarray) -> MarkedImage:
        """The mask, of an image of that name, as discs on beads seen, i[H, W]."""
        return measure_marks(name, self.mask, pairs(self.mask, seen))

    def shift(self) -> float:
        """px by which the mask lies beside its beads in the worst corner."""
        if self.move is None:
            return 0.0
        height, width = self.mask.shape
        corners = np.array([(y, x) for y in (0, height) for x in (0, width)], float)
        return float(np.hypot(*(self.move(corners) - corners).T).max())


def agree(image: np.ndarray, mask: np.ndarray, found: Estimate) -> Agreement:
    """Compares the beads of an estimate with those of a mask.

    Args:
      image: [H, W].
      mask: i[H, W], positive beads, -1 unknown.
      found: in the image.
    """
    beads = count_beads(mask)
    mask, move = aligned(mask, found.labels)
    compared = compare(mask, found.labels)
    missing = compared.missing
    if compared.labelled.any() and missing.any():
        differs = contrasts(found.labels, image)
        usual = float(np.median(differs[compared.labelled]))
        missing = missing & (differs * np.sign(usual) >= FAINT * abs(usual))
    return Agreement(compared.labelled, missing, compared.found, beads, mask, move)


def pairs(mask: np.ndarray, found: np.ndarray) -> list[tuple[int, float]]:
    """Labels of a mask that one bead lies on and on no other, and its diameter, px.

    Args:
      mask: i[H, W], positive beads, as it lies on its beads.
      found: i[H, W], positive beads.
    """
    _, index = number_beads(found)
    bead, label, shared = overlaps(index, mask)
    known = label > 0
    bead, label, shared = bead[known], label[known], shared[known]
    areas = np.bincount(index.ravel())[bead]
    smaller = np.minimum(areas, np.bincount(np.maximum(mask, 0).ravel())[label])
    alone = (np.bincount(bead)[bead] == 1) & (np.bincount(label)[label] == 1)
    chosen = alone & (shared >= SAME * smaller)
    across = 2 * np.sqrt(areas[chosen] / np.pi)
    return list(zip(label[chosen].tolist(), across.tolist(), strict=True))
