"""Beads end at half their height: those cut in brightness, and even ones."""

import numpy as np
import pytest
from scipy.special import ndtr

import beadseg


def disc(side, y, x, diameter, blur):
    rows, columns = np.mgrid[:side, :side]
    return ndtr((diameter / 2 - np.hypot(rows - y, columns - x)) / blur)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("diameter", [12.0, 20.0])
def test_a_lone_bead_of_any_brightness_is_as_large_as_it_is(diameter, sign):
    image = 30_000 + sign * 25_000 * disc(512, 250.3, 261.8, diameter, 1.5)
    image += np.random.default_rng(0).normal(0, 20, image.shape)
    table = beadseg.load().predict(image.astype(np.uint16)).table
    assert len(table["label"]) == 1
    assert table["diameter_px"][0] == pytest.approx(diameter, rel=0.07)


@pytest.mark.parametrize("blur", [0.6, 3.0])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("diameter", [31.0, 75.0, 190.0])
def test_an_even_bead_found_at_a_coarse_level_is_as_large_as_it_is(
    diameter, sign, blur
):
    side = int(1.6 * diameter) + 40
    image = 100 + sign * 60 * disc(side, side / 2, side / 2 + 0.4, diameter, blur)
    image += np.random.default_rng(1).normal(0, 3, image.shape)
    prediction = beadseg.load().predict(image.clip(0, 255).astype(np.uint8))
    assert len(prediction.table["label"]) == 1
    assert prediction.table["diameter_px"][0] == pytest.approx(diameter, rel=0.02)
    whole = disc(side, side / 2, side / 2 + 0.4, diameter, 0.01) > 0.5
    shared = np.count_nonzero(whole & (prediction.labels > 0))
    assert shared / np.count_nonzero(whole | (prediction.labels > 0)) > 0.95


def test_outlines_of_touching_beads_do_not_grow_into_each_other():
    image = np.full((260, 360), 60.0)
    for x in (130, 231):
        rows, columns = np.mgrid[:260, :360]
        inside = ndtr((50 - np.hypot(rows - 130, columns - x)) / 0.8)
        image = np.maximum(image, 60 + 120 * inside)
    image += np.random.default_rng(2).normal(0, 3, image.shape)
    table = beadseg.load().predict(image.clip(0, 255).astype(np.uint8)).table
    np.testing.assert_allclose(table["diameter_px"], [100, 100], rtol=0.05)
