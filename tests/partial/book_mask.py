"""The mask that the decisions in a book make, for tests."""

import numpy as np

from beadseg.partial.review.book import Book
from beadseg.partial.review.label_map import IN_MASK


def book_mask(book: Book) -> np.ndarray:
    """The person's beads with those accepted and drawn: i32[H, W]."""
    shown = [n for n, bead in book.map.beads.items() if bead.state in IN_MASK]
    return np.where(np.isin(book.map.labels, shown), book.map.labels, 0)
