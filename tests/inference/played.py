"""Levels of a pyramid as a network would give them that finds the discs it is told."""

import numpy as np

from beadseg.data.scaling import scaled_shape
from beadseg.inference.outputs.measure import Measurer
from beadseg.inference.pyramid import pyramid
from beadseg.inference.pyramid.pyramid import Candidates, Level, Maps

CLEAR = 0.01  # probability where no disc is


def level(shape, scale, discs, probability=0.95, spreads=False) -> Level:
    """A look at an image of `shape` in which discs are found.

    Args:
      shape: [H, W] of the image.
      scale: px of the level to a px of the image.
      discs: y, x, diameter in px of the image, the centre of the first pixel at 0;
        later ones on top. Disc i is label i + 1.
      probability: of the pixels of each disc, one or as many.
      spreads: whether there is an uncertainty.
    """
    own = scaled_shape(shape, scale)
    down, across = (m / n for m, n in zip(own, shape, strict=True))
    labels, values = np.zeros(own, np.int32), np.full(own, CLEAR, np.float32)
    rows, columns = np.ogrid[: own[0], : own[1]]
    each = np.broadcast_to(probability, len(discs))
    for i, (y, x, diameter) in enumerate(discs):
        off_y = (rows + 0.5) / down - 0.5 - y
        off_x = (columns + 0.5) / across - 0.5 - x
        inside = off_y**2 + off_x**2 <= (diameter / 2) ** 2
        labels[inside], values[inside] = i + 1, each[i]
    maps = {"sure": (values >= pyramid.SURE).astype(np.float32), "distance": values / 2}
    image = 100 + 900 * (labels > 0).astype(np.float32)
    measurer = Measurer(own, len(discs), 0.5)
    measurer.add(labels, image, values, maps)
    regions = measurer.finish()
    own_maps = Maps(values, maps["distance"], values / 10 if spreads else None)
    columns = regions.table | {"noise": regions.noise}
    return Level(scale, own_maps, labels, columns, regions.boxes)


def candidates(levels, *discs) -> Candidates:
    """Candidates by hand: (level, label, y, x, diameter) of each, px of the image."""
    columns = np.array(discs, float).reshape(-1, 5).T
    number, label = columns[:2].astype(int)
    scale = np.array([one.scale for one in levels])
    return Candidates(number, label, *columns[2:], columns[4] * scale[number])
