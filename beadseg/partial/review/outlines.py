"""Outlines of pixel shapes as closed lines along the edges of pixels."""

import numpy as np

# Unit steps along an edge, with the bead on the right: east, south, west, north.
_STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))


def outline(shape: np.ndarray) -> list[list[int]]:
    """Closed lines around a shape and its holes.

    Args:
      shape: bool [h, w].

    Returns:
      For each line its corners as [x, y, x, y, ...], in pixel edges: pixel (0, 0) has
      corners 0 and 1. Outer lines run clockwise, holes the other way.
    """
    padded = np.pad(shape, 1)
    inside, above, left = padded[1:, 1:], padded[:-1, 1:], padded[1:, :-1]
    starts: dict[tuple[int, int], list[int]] = {}
    for direction, edges in enumerate(
        (
            inside & ~above,  # top edge, eastwards from its left end
            left & ~inside,  # right edge, southwards from its top
            above & ~inside,  # bottom edge, westwards from its right end
            inside & ~left,  # left edge, northwards from its bottom
        )
    ):
        dx, dy = ((0, 0), (0, 0), (1, 0), (0, 1))[direction]
        for y, x in zip(*np.nonzero(edges), strict=True):
            starts.setdefault((int(x) + dx, int(y) + dy), []).append(direction)
    lines = []
    while starts:
        first = next(iter(starts))
        at, before, line = first, None, []
        while True:
            ways = starts[at]
            # Where two corners meet, the sharpest right turn keeps to the same pixel.
            way = ways[0]
            if len(ways) > 1 and before is not None and (before + 1) % 4 in ways:
                way = (before + 1) % 4
            ways.remove(way)
            if not ways:
                del starts[at]
            if way != before:
                line += at
            at = (at[0] + _STEPS[way][0], at[1] + _STEPS[way][1])
            before = way
            if at == first:
                break
        lines.append(line)
    return lines
