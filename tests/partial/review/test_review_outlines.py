"""Lines along the edges of pixels against the pixels."""

import numpy as np
from scipy import ndimage

from beadseg.partial.review.outlines import outline


def signed_area(line):
    """Positive of a line that runs clockwise, y downwards."""
    x, y = np.reshape(line, (-1, 2)).T
    return (x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2


def test_lines_enclose_the_pixels_and_holes_run_the_other_way():
    rng = np.random.default_rng(0)
    for shape in ((1, 1), (1, 9), (12, 15), (30, 20)) * 5:
        inside = rng.random(shape) > 0.5
        areas = [signed_area(line) for line in outline(inside)]
        assert sum(areas) == inside.sum()
        # Pixels that touch at a corner are apart inside, hence joined outside.
        assert sum(area > 0 for area in areas) == ndimage.label(inside)[1]
        outside = ndimage.label(~np.pad(inside, 1), np.ones((3, 3)))[1]
        assert sum(area < 0 for area in areas) == outside - 1


def test_corners_are_those_of_pixels():
    shape = np.zeros((4, 5), bool)
    shape[1, 1:4] = shape[2, 1] = True
    (line,) = outline(shape)
    want = {(1, 1), (4, 1), (4, 2), (2, 2), (2, 3), (1, 3)}
    assert set(map(tuple, np.reshape(line, (-1, 2)).tolist())) == want
    assert len(line) == 2 * len(want)
