"""Beads that were cut in brightness: their size is that of half their height."""

import numpy as np
import pytest
from scipy.special import ndtr

import beadseg


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("diameter", [12.0, 20.0])
def test_a_lone_bead_of_any_brightness_is_as_large_as_it_is(diameter, sign):
    y, x = np.mgrid[:512, :512]
    disc = ndtr((diameter / 2 - np.hypot(y - 250.3, x - 261.8)) / 1.5)
    image = 30_000 + sign * 25_000 * disc
    image += np.random.default_rng(0).normal(0, 20, image.shape)
    table = beadseg.load().predict(image.astype(np.uint16)).table
    assert len(table["label"]) == 1
    assert table["diameter_px"][0] == pytest.approx(diameter, rel=0.07)
