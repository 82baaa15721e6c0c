"""The scale at which an image is looked at, with a network that is played."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import ndimage

from beadseg.inference.size import choose

KNOWN = 16.0  # px of the network
DIAMETER = 32.0  # px of the image


def discs(size: int, diameter: float, pitch: float) -> np.ndarray:
    """Labels of discs on a grid, none cut at the border."""
    at = np.arange(size)
    apart = (at % pitch) - pitch / 2
    near = apart[:, None] ** 2 + apart**2 < (diameter / 2) ** 2
    whole = at < size // pitch * pitch
    return ndimage.label(near & whole[:, None] & whole)[0]


@pytest.fixture
def image() -> np.ndarray:
    rng = np.random.default_rng(0)
    inside = discs(512, DIAMETER, DIAMETER + 4) > 0
    return (2000 * inside + rng.normal(500, 60, inside.shape)).astype(np.float32)


def played(scales: list[float]):
    """At the right scale all beads; at others few clumps of the size that it knows."""

    def maps_of(part: np.ndarray, scale: float):
        scales.append(scale)
        right = abs(np.log(scale * DIAMETER / KNOWN)) < 0.2
        pitch = (DIAMETER + 4) * scale if right else 2.5 * KNOWN
        size = round(part.shape[0] * scale)
        return SimpleNamespace(labels=discs(size, KNOWN, pitch))

    return maps_of


@pytest.mark.parametrize("scale", [0.19, 0.5, 1.4])
def test_clumps_of_the_known_size_are_not_taken_for_beads(image, scale):
    run = SimpleNamespace(bead_diameter=KNOWN, scale=scale, generated=False)
    found, maps = choose(image, run, played(looked := []))
    assert found == pytest.approx(KNOWN / DIAMETER, rel=0.1)
    assert maps.labels.max() == 14 * 14
    assert looked[0] == scale  # that of training comes first


def test_where_training_and_circles_agree_one_look_is_enough(image):
    run = SimpleNamespace(bead_diameter=KNOWN, scale=0.5, generated=False)
    choose(image, run, played(looked := []))
    assert looked == [0.5]


def test_what_generated_images_were_drawn_at_says_nothing(image):
    run = SimpleNamespace(bead_diameter=KNOWN, scale=0.19, generated=True)
    found, _ = choose(image, run, played(looked := []))
    assert found == pytest.approx(KNOWN / DIAMETER, rel=0.1)
    assert 0.19 not in looked
