"""Outlines of beads against scikit-image's marching squares."""

import numpy as np
import pytest
from scipy import ndimage
from skimage import measure

from beadseg.inference.outputs import outlines
from beadseg.inference.outputs.outlines import polygons

EIGHT = np.ones((3, 3))


def boxes(labels):
    return np.array(
        [(y.start, y.stop, x.start, x.stop) for y, x in ndimage.find_objects(labels)]
    )


def corners(outline):
    """The points where a closed outline, its first point repeated, turns."""
    way = np.diff(outline, axis=0)
    return outline[:-1][(way != np.roll(way, 1, axis=0)).any(1)]


def area(outline):
    y, x = outline.T
    return abs((y * np.roll(x, 1) - x * np.roll(y, 1)).sum()) / 2


def marched(inside):
    """All closed outlines of a mask, largest first."""
    found = measure.find_contours(
        np.pad(inside, 1).astype(float), 0.5, fully_connected="high"
    )
    return sorted((line - 1 for line in found), key=lambda line: -area(line[:-1]))


def test_outlines_are_the_outer_ones_of_marching_squares(monkeypatch):
    rng = np.random.default_rng(0)
    monkeypatch.setattr(outlines, "BATCH", 300)  # several batches an image
    for blur in (0.0, 0.5, 1.0, 2.0) * 5:
        image = ndimage.gaussian_filter(rng.random((40, 50)), blur)
        labels, count = ndimage.label(image > np.quantile(image, 0.6), EIGHT)
        labels = rng.permutation(count + 1)[labels]  # any number, the background's too
        beads = np.unique(labels[labels > 0])
        found = list(polygons(labels, boxes(labels)[beads - 1], beads))
        assert len(found) == len(beads)
        for bead, outline in zip(beads, found, strict=True):
            inside = labels == bead
            if ndimage.label(inside, EIGHT)[1] > 1:
                continue
            want = [corners(line) for line in marched(inside)]
            got = sorted(map(tuple, outline.tolist()))
            same = [sorted(map(tuple, line.tolist())) == got for line in want]
            # A hole's outline may be longer than the outer one: then it is that.
            longest = max(range(len(want)), key=lambda i: len(marched(inside)[i]))
            assert same[0] or same[longest]


def test_points_follow_the_outline():
    y, x = np.mgrid[:50, :50]
    disc = ((y - 24) ** 2 + (x - 25) ** 2 < 20**2).astype(np.int32)
    (outline,) = polygons(disc, boxes(disc), np.array([1]))
    # The corners of pixels are cut off: half a pixel's triangle each.
    assert area(outline) == pytest.approx(area(marched(disc)[0][:-1]))
    assert area(outline) == pytest.approx(np.pi * 20**2, rel=0.02)
    assert outline.dtype == np.float32


def test_a_straight_side_has_no_points_on_it():
    labels = np.zeros((9, 12), np.int32)
    labels[2:7, 3:11] = 4
    (outline,) = polygons(labels, np.array([[2, 7, 3, 11]]), np.array([4]))
    assert sorted(map(tuple, outline.tolist())) == [
        *((1.5, 3.0), (1.5, 10.0), (2.0, 2.5), (2.0, 10.5)),
        *((6.0, 2.5), (6.0, 10.5), (6.5, 3.0), (6.5, 10.0)),
    ]


def test_of_a_bead_in_parts_the_longest_outline_is_given():
    labels = np.zeros((12, 12), np.int32)
    labels[0, 0] = 1  # the first pixel is no help
    labels[4:11, 3:11] = 1
    (outline,) = polygons(labels, np.array([[0, 11, 0, 11]]), np.array([1]))
    assert outline.min(0).tolist() == [3.5, 2.5]
    assert outline.max(0).tolist() == [10.5, 10.5]


def test_the_holes_of_a_bead_are_filled():
    labels = np.zeros((12, 12), np.int32)
    labels[1:11, 2:11] = 1
    (whole,) = polygons(labels, np.array([[1, 11, 2, 11]]), np.array([1]))
    labels[4:8, 4:8] = 0
    (outline,) = polygons(labels, np.array([[1, 11, 2, 11]]), np.array([1]))
    np.testing.assert_array_equal(outline, whole)


def test_no_bead_has_no_outline():
    none = np.zeros((0, 4), int)
    assert list(polygons(np.zeros((5, 5), np.int32), none, none[:, 0])) == []
