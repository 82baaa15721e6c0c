"""Lines of text and bars with data, drawn by another library on fields of beads."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from beadseg.inference.pyramid.lettering import (
    lines_of_text,
    without_bars,
    written,
)

SIDE = 320
TEXTS = ("5.0kV x20.0k", "200 nm", "100um", "(b) 50 nm", "WD 8.7 mm  Mag 1.00 K X")


def field(seed, hollow=0.0, height=60.0):
    """Discs, or shells with walls of a part of the radius, on noise; u8[SIDE, SIDE]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE]
    image = np.full((SIDE, SIDE), 110.0)
    for _ in range(25):
        cy, cx = rng.uniform(0, SIDE, 2)
        radius = rng.uniform(5, 25)
        off = np.hypot(y - cy, x - cx) / radius
        image[(off < 1) & (off >= hollow)] = 110 + height
    image += rng.normal(0, 4, image.shape)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def with_text(image, text, at, size, grey):
    """The image, and the box of the text: top, bottom, left, right."""
    drawn = Image.fromarray(image)
    font, pen = ImageFont.load_default(size), ImageDraw.Draw(drawn)
    pen.text(at, text, fill=grey, font=font)
    left, top, right, bottom = pen.textbbox(at, text, font=font)
    return np.asarray(drawn), (top, bottom, left, right)


def area(box):
    return max(box[1] - box[0], 0) * max(box[3] - box[2], 0)


def shared(one, other):
    both = zip(one, other, (max, min, max, min), strict=True)
    return area([choose(a, b) for a, b, choose in both])


@settings(deadline=None)
@given(
    st.integers(0, 100),
    st.sampled_from(TEXTS),
    st.sampled_from([18, 24, 30]),
    st.sampled_from([0, 255]),
)
def test_text_is_found_where_it_stands(seed, text, size, grey):
    rng = np.random.default_rng(seed)
    at = (int(rng.integers(5, 20)), int(rng.integers(10, SIDE - 50)))
    image, box = with_text(field(seed), text, at, size, grey)
    boxes = lines_of_text(image).tolist()
    assert boxes
    for found in boxes:
        assert shared(found, box) > 0.4 * area(found)
    covered = np.zeros(image.shape, bool)
    for top, bottom, left, right in boxes:
        covered[top:bottom, left:right] = True
    top, bottom, left, right = box
    assert covered[top:bottom, left : min(right, SIDE)].mean() > 0.6


@settings(deadline=None)
@given(st.integers(0, 300), st.sampled_from([0.0, 0.6, 0.8]), st.booleans())
def test_beads_are_no_text(seed, hollow, dark):
    for height in (60, 300):  # of these the second are saturated
        image = field(seed, hollow, -height if dark else height)
        assert not len(lines_of_text(image))


@pytest.mark.parametrize("wall", [2, 3, 5])
@pytest.mark.parametrize("radius", [8, 15])
def test_equal_shells_in_rows_are_no_text(radius, wall):
    image = np.full((SIDE, SIDE), 20, np.uint8)
    y, x = np.mgrid[:SIDE, :SIDE]
    for cy in range(radius + 2, SIDE - radius, 2 * radius + 4):
        for cx in range(radius + 2, SIDE - radius, 2 * radius + 4):
            off = np.hypot(y - cy, x - cx)
            image[(off < radius) & (off > radius - wall)] = 255
    assert not len(lines_of_text(image))


@pytest.mark.parametrize("at_top", [True, False])
@pytest.mark.parametrize("grey", [0, 90, 255])
def test_an_image_ends_at_its_bar(at_top, grey):
    image = field(3)
    rows = slice(0, 30) if at_top else slice(SIDE - 30, SIDE)
    image[rows] = grey
    image, _ = with_text(image, TEXTS[4], (20, rows.start + 8), 14, 255 - grey)
    found, bar = without_bars(image)
    kept = np.ones(SIDE, bool)
    kept[rows] = False
    np.testing.assert_array_equal(bar[:, 0], ~kept)
    np.testing.assert_array_equal(found[kept], image[kept])
    edge = image[30 if at_top else SIDE - 31]
    np.testing.assert_array_equal(found[rows], np.tile(edge, (30, 1)))


@settings(deadline=None)
@given(
    st.integers(0, 50), st.sampled_from(["flat", "half", "black", "columns", "grid"])
)
def test_other_images_hold_none(seed, kind):
    rng = np.random.default_rng(seed)
    image = rng.poisson(3, (SIDE, SIDE)).astype(np.uint16)
    if kind == "flat":
        image[:] = 7
    elif kind == "half":
        image[SIDE // 2 :] += 100
    elif kind == "black":  # little light on most of the image
        image = np.maximum(image.astype(int) - 6, 0).astype(np.uint16)
    elif kind == "columns":
        image[:, 40] = image[:, 90] = 500
    else:  # of a counting chamber
        image[20::50] = image[21::50] = image[:, ::50] = 30
    assert not len(lines_of_text(image))
    assert without_bars(image)[1] is None


def test_what_is_far_larger_than_the_letters_lies_under_them():
    boxes = np.array([[100, 120, 50, 200]])
    y, x = np.array([110.0, 110, 90, 110]), np.array([60.0, 60, 60, 210])
    found = written(boxes, y, x, np.array([18.0, 80, 18, 18]))
    np.testing.assert_array_equal(found, [True, False, False, False])


@pytest.mark.parametrize("height", [12, 40])
@pytest.mark.parametrize("count", [2, 7])
@pytest.mark.parametrize("spread", [0.0, 0.05])
def test_discs_of_one_size_that_fill_a_line_are_a_row_of_beads(height, count, spread):
    margin = int(0.3 * height) + 1
    boxes = np.array([[50 - margin, 50 + height + margin, 0, count * height]])
    x = (np.arange(count) + 0.5) * height
    y = np.full(count, 50 + height / 2)
    diameter = height * np.exp(spread * (-1.0) ** np.arange(count))
    assert not written(boxes, y, x, diameter).any()
    few = np.arange(count) < count / 4  # the zeros of "x20.0k"
    assert written(boxes, y[few], x[few], diameter[few]).all()
    assert written(boxes, y, x, diameter * np.where(few, 1.0, 0.3)).all()
