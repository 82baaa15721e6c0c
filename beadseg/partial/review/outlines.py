"""Outlines of pixel shapes as closed lines along the edges of pixels."""

import numpy as np

from beadseg.inference.outputs.outlines import APART, marching_squares


def outline(shape: np.ndarray) -> list[list[int]]:
    """Closed lines around a shape and its holes; pixels apart that touch at a corner.

    Args:
      shape: bool [h, w].

    Returns:
      For each line its corners as [x, y, x, y, ...], in pixel edges: pixel (0, 0) has
      corners 0 and 1. Outer lines run clockwise, holes the other way.
    """
    found = []
    for line in marching_squares(shape, APART):
        upright = line[:, 0] % 1 != 0  # the middle of a left or right side
        here, there = upright[:-1], upright[1:]
        x = np.where(here, line[:-1, 0], line[1:, 0])
        y = np.where(here, line[1:, 1], line[:-1, 1])
        corners = np.stack((x, y), 1)[here != there] + 0.5
        found.append(corners.astype(int).ravel().tolist())
    return found
