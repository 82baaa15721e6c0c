"""Defective lines of a camera against fields whose lines are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beadseg.inference.pyramid.lines import without_lines


def beads(shape, seed, noise=3.0):
    """A field of discs in a slope of light, f64[H, W]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    image = 100.0 + 40 * x / shape[1]
    for _ in range(6):
        cy, cx = rng.uniform(0, shape)
        image[np.hypot(y - cy, x - cx) < rng.uniform(3, 25)] += 60
    return image + rng.normal(0, noise, shape)


@given(st.integers(0, 50), st.sampled_from([0.0, 0.5, 3.0]))
def test_an_image_without_such_lines_stays_as_it_is(seed, noise):
    image = beads((120, 170), seed, noise)
    assert without_lines(image) is image


@given(st.integers(0, 50), st.sampled_from([-300, -150, 150, 5000]), st.booleans())
def test_lines_become_as_bright_as_those_beside_them(seed, height, rows):
    image = beads((150, 130), seed)
    rng = np.random.default_rng(seed)
    wrong = np.sort(rng.choice(np.arange(5, 125, 6), 3, replace=False))
    damaged = image.T.copy() if rows else image.copy()
    damaged[:, wrong] += height
    mended = without_lines(damaged.T if rows else damaged)
    mended = mended.T if rows else mended
    true = image.T if rows else image
    others = np.setdiff1d(np.arange(mended.shape[1]), wrong)
    np.testing.assert_allclose(mended[:, others], true[:, others], rtol=1e-6)
    assert np.abs(mended[:, wrong] - true[:, wrong]).mean() < 12  # was 150 and more


@pytest.mark.parametrize("period", [2, 4, 10])
def test_a_pattern_of_lines_is_no_defect(period):
    image = beads((128, 128), 0)
    image[:, ::period] += 50
    assert without_lines(image) is image


def test_the_edge_of_a_large_bead_is_no_defect():
    image = np.full((100, 100), 50.0)
    image[:, 40:] += 100
    assert without_lines(image) is image
