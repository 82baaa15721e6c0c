"""Finer levels are left out only where they have nothing to show."""

import numpy as np
import pytest

from beadseg.data.scaling import resample
from beadseg.inference.networks.tiles import source_of
from beadseg.inference.pyramid.small import only_beads

SIDE, NOISE = 600, 0.02
Y, X, DIAMETER = (np.array(v, float) for v in ([150, 420], [160, 400], [90, 100]))


def disc(y, x, diameter):
    yy, xx = np.mgrid[:SIDE, :SIDE]
    return np.clip(diameter / 2 - np.hypot(yy - y, xx - x) + 0.5, 0, 1)


def picture():
    """Two large beads, as an image is when the network sees it: f32[H, W]."""
    image = np.random.default_rng(0).normal(0, NOISE, (SIDE, SIDE))
    for y, x, diameter in zip(Y, X, DIAMETER, strict=True):
        image += disc(y, x, diameter)
    return image.astype(np.float32)


def shows_all(image, scale, said=0.0):
    side = int(SIDE * scale)
    level = resample(image, (side, side))
    at = [((v + 0.5) * scale - 0.5) for v in (Y, X)]
    maps = (level, np.full(level.shape, said, np.float32))
    return only_beads(source_of(image), image.shape, *maps, *at, DIAMETER * scale)


@pytest.mark.parametrize("scale", [0.5, 0.25])
def test_large_beads_alone_need_no_finer_look(scale):
    assert shows_all(picture(), scale)


@pytest.mark.parametrize("scale", [0.5, 0.25])
@pytest.mark.parametrize(
    "diameter", [5, 7, 10]
)  # px; larger ones the network sees at these levels
@pytest.mark.parametrize("brighter", [5 * NOISE, -5 * NOISE])
@pytest.mark.parametrize("place", [(300, 300), (150, 290), (40, 500)])
def test_one_faint_small_bead_calls_for_a_finer_look(scale, diameter, brighter, place):
    image = picture() + brighter * disc(*place, diameter)
    assert not shows_all(image.astype(np.float32), scale)


@pytest.mark.parametrize("scale", [0.5, 0.25])
def test_a_clump_of_small_beads_is_no_large_bead(scale):
    image = picture()
    grains = sum(disc(y, x, 6) for y in range(370, 471, 8) for x in range(350, 451, 8))
    image -= 0.5 * (grains * disc(420, 400, 100)).astype(np.float32)
    assert not shows_all(image, scale)


def test_a_hot_pixel_is_no_bead():
    image = picture()
    image[301, 301] = 1.0
    assert shows_all(image, 0.5)


def test_what_the_network_takes_for_bead_calls_for_a_finer_look():
    assert not shows_all(picture(), 0.5, said=0.5)
