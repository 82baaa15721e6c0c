"""Pages of one file: taken of the same beads, by the same microscope, in one go.

So they share one bead size, which is told on the pages that show most, and a page is
not stretched to full contrast where another of its file has many times as much: the
noise of an empty page stays noise.
"""

from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage

from beadseg.data.reading import PageRef, ReadError, check_image
from beadseg.data.scaling import span
from beadseg.inference.predictor import Predictor

LOOKED_AT = 24  # pages of a file, at most, evenly over it
CLEAREST = 3  # of these, on which the size is told
DIMMEST = 8  # times less contrast than the clearest page has: not stretched further


class Shared(NamedTuple):
    """What the pages of a file have in common."""

    scale: float | None  # None: of each page as it is
    least_span: float  # see `beadseg.data.scaling.prepare`


class Files:
    """Looks at each file of several pages once, when its first page is due."""

    def __init__(self, pages: list[PageRef], predictor: Predictor):
        self._predictor = predictor
        self._pages: dict[Any, list[PageRef]] = defaultdict(list)
        for page in pages:
            self._pages[_file(page)].append(page)
        self._shared: dict[Any, Shared] = {}

    def shared(self, page: PageRef, threshold: float, diameter: float | str) -> Shared:
        """What a page shares with the others of its file and shape.

        Args:
          page: one of those given.
          threshold, diameter: as for `Predictor.choose_scale`.
        """
        file = _file(page)
        if file not in self._shared:
            self._shared[file] = self._look(self._pages[file], threshold, diameter)
        return self._shared[file]

    def _look(self, pages, threshold: float, diameter: float | str) -> Shared:
        some = pages[:: -(-len(pages) // LOOKED_AT)]
        run = self._predictor.runs[0]
        seen = []
        for page in some if len(pages) > 1 else ():
            try:
                image = page.read()
                check_image(image, page.where)
            except ReadError:  # is told when its turn comes
                continue
            smooth = ndimage.gaussian_filter(image.astype(np.float32), 1.0)
            low, high = span(image, run.low, run.high)
            seen.append((float(smooth.std()), high - low, page))
        if not seen:
            return Shared(None, 0.0)
        seen.sort(key=lambda one: -one[0])
        least = seen[0][1] / DIMMEST
        scales = [
            self._predictor.choose_scale(page.read(), threshold, diameter, least)[0]
            for _, _, page in seen[:CLEAREST]
        ]
        return Shared(float(np.median(scales)), least)


def _file(page: PageRef) -> tuple[Path, tuple[int, int]]:
    return page.path, page.shape
