"""Pages of one file: taken by the same microscope, in one go.

A page is not stretched to full contrast where another of its file has many times as
much: the noise of an empty page stays noise. Scenes of different pixel sizes have
nothing in common.
"""

from collections import defaultdict
from typing import Any

import numpy as np
from scipy import ndimage

from beadseg.data.images.gaps import fill
from beadseg.data.images.reading import PageRef, ReadError, check_image
from beadseg.data.scaling import as_floats, span
from beadseg.inference.run import Run

LOOKED_AT = 24  # pages of a file, at most, evenly over it
DIMMEST = 8  # times less contrast than the clearest page has: not stretched further


class Files:
    """Looks at each file of several pages once, when its first page is due."""

    def __init__(self, pages: list[PageRef], run: Run):
        self._run = run
        self._pages: dict[Any, list[PageRef]] = defaultdict(list)
        for page in pages:
            self._pages[_kind(page)].append(page)
        self._spans: dict[Any, float] = {}

    def least_span(self, page: PageRef) -> float:
        """See `beadseg.data.scaling.prepare`; 0 for a page that is alone.

        Args:
          page: one of those given.
        """
        kind = _kind(page)
        if kind not in self._spans:
            self._spans[kind] = self._look(self._pages[kind])
        return self._spans[kind]

    def _look(self, pages: list[PageRef]) -> float:
        seen = [(0.0, 0.0)]
        some = pages[:: -(-len(pages) // LOOKED_AT)]
        for page in some if len(pages) > 1 else ():
            try:
                image = page.read()
                check_image(image, page.where)
                image, _ = fill(image)
            except ReadError:  # is told when its turn comes
                continue
            smooth = ndimage.gaussian_filter(image.astype(np.float32), 1.0)
            low, high = span(as_floats(image), self._run.low, self._run.high)
            seen.append((float(smooth.std()), high - low))
        return max(seen)[1] / DIMMEST


def _kind(page: PageRef) -> tuple:
    return page.path, page.shape, page.pixel_size
