"""The mask that the decisions in a book make, for tests."""

import numpy as np

from beadseg.partial.review.annotation_log import AnnotationLog
from beadseg.partial.review.label_map import IN_MASK


def book_mask(annotations: AnnotationLog) -> np.ndarray:
    """The person's beads with those accepted and drawn: i32[H, W]."""
    shown = [n for n, bead in annotations.map.beads.items() if bead.state in IN_MASK]
    return np.where(np.isin(annotations.map.labels, shown), annotations.map.labels, 0)
