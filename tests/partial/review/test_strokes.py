"""Strokes: the pixels of all discs along a line, at a cost that is bounded."""

import json
import time

import numpy as np
import pytest

from beadseg.errors import BeadsegError
from beadseg.partial.review.annotation_log import AnnotationLog
from beadseg.partial.review.strokes import stroke_pixels


def all_discs(points, radius, shape):
    """Disc by disc, pixel by pixel: half a radius apart along each line."""
    points = np.array(points, float)
    centres = [points[0]]
    for a, b in zip(points, points[1:], strict=False):
        length = np.hypot(*(b - a))
        steps = int(min(length / max(0.5 * radius, 0.5) + 1, 10_000))
        centres += list(a + (b - a) * np.linspace(0, 1, steps + 1)[1:, None])
    stroke = np.zeros(shape, bool)
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    for y, x in centres:
        if np.hypot(y, x) < 1e4:
            stroke |= (rows - y) ** 2 + (columns - x) ** 2 <= radius**2
    return stroke


@pytest.mark.parametrize("radius", [0.5, 1, 1.3, 5, 60])
def test_a_stroke_is_the_discs_along_its_line_to_the_pixel(radius):
    rng = np.random.default_rng(int(10 * radius))
    for trial in range(8):
        shape = tuple(rng.integers(1, 90, 2))
        points = rng.uniform(-40, 120, (int(rng.integers(1, 6)), 2))
        points = np.round(points, (0, 1, 2, 9)[trial % 4])  # on edges of pixels as well
        if trial % 5 == 0:
            points[-1] *= 10  # leaves the image
        points = points.tolist()
        np.testing.assert_array_equal(
            stroke_pixels(points, radius, shape), all_discs(points, radius, shape)
        )


LIMIT = 10  # s of a busy processor; a tenth of that on an idle one
COSTLY = {
    "there and back": [[0, 0], [1e6, 1e6]] * 15,
    "across and across": [[0, 0], [1999, 1999]] * 5000,
    "far outside": [[1e8, -1e8], [-1e8, 1e8]] * 4000,
    "on the spot": [[900.5, 900.5]] * 10_000,
    "along the edge": [[-400, -1e5], [-400, 1e5]] * 200,
    "all over": [[37 * i % 2000, 91 * i % 2000] for i in range(10_000)],
}


@pytest.mark.parametrize("radius", [0.5, 30, 500])
@pytest.mark.parametrize("points", COSTLY.values(), ids=COSTLY)
def test_the_cost_of_a_stroke_is_bounded(points, radius):
    started = time.process_time()
    try:
        stroke_pixels(points, radius, (2000, 2000))
    except BeadsegError as error:
        assert "draw it in parts" in str(error)
    assert time.process_time() - started < LIMIT


def test_a_stroke_that_a_person_draws_is_never_too_long():
    rng = np.random.default_rng(0)
    for radius in (1, 6, 60):  # a minute of scribbling, all over a large image
        path = np.abs(np.cumsum(rng.normal(0, 6, (6000, 2)), 0) % 8000 - 4000)
        assert stroke_pixels(path.tolist(), radius, (4096, 4096)).any()


@pytest.mark.parametrize("name", COSTLY)
def test_costly_strokes_on_file_do_not_hold_an_image(completed, name):
    action = {"do": "paint", "points": COSTLY[name], "radius": 500}
    log = completed / "decisions" / "a.jsonl"
    log.write_text(3 * (json.dumps(action) + "\n"))
    started = time.process_time()
    try:
        AnnotationLog(completed, "a")
    except BeadsegError as error:
        assert "line 1 does not fit" in str(error) or "line 2 does not" in str(error)
    assert time.process_time() - started < LIMIT
    assert log.read_text() == 3 * (json.dumps(action) + "\n")


@pytest.mark.parametrize(
    "points",
    [
        None,
        "12",
        {},
        [],
        [[1, 2]] * 10_001,
        [[1, 2], [3]],
        [[1, 2, 3]],
        [1, 2],
        [[None, 1]],
        [["1", "2"]],
        [[True, False]],
        [[float("nan"), 1]],
        [[float("inf"), 1]],
        [[10**400, 1]],
        [[[1], [2]]],
    ],
    ids=range(15),
)
def test_what_are_no_points_is_refused(points):
    with pytest.raises(BeadsegError, match="points"):
        stroke_pixels(points, 3.0, (20, 20))
