"""Noise that outweighs beads is smoothed, or gets a span that leaves them clear."""

import numpy as np
import pytest
from scipy import ndimage

from beadseg.data.scaling import noise
from beadseg.inference.pyramid.noisy import LEFT, SIGMA, span_of_few, without_noise

SHAPE = (300, 260)
WHITE = np.random.default_rng(0).normal(0, 1, SHAPE)
SOFT = ndimage.gaussian_filter(WHITE, 2.5)
SOFT /= SOFT.std()
DISC = np.hypot(*(np.indices(SHAPE) - 130)) < 40


@pytest.mark.parametrize("apart", [1, 2, 5])
def test_the_noise_of_pixels_apart_is_that_of_white_noise(apart):
    assert noise(3 * WHITE + DISC, apart) == pytest.approx(3, rel=0.03)


@pytest.mark.parametrize("sigma", [0.5, 40.0])
def test_white_noise_is_smoothed_by_as_much_as_is_told(sigma):
    smooth, span = without_noise(100 + sigma * WHITE + 3 * sigma * DISC)
    assert span == pytest.approx(12 * LEFT * sigma, rel=0.05)
    blurred = ndimage.gaussian_filter(WHITE, SIGMA, mode="nearest")
    assert blurred.std() == pytest.approx(LEFT, rel=0.1)
    far = np.s_[:, 200:]  # of the disc
    assert smooth[far].std() == pytest.approx(LEFT * sigma, rel=0.1)


def test_hot_pixels_are_not_spread():
    hot = 100 + WHITE
    hot[5::20, 5::20] = hot[6::20, 5::40] = 60_000  # some of them pairs
    smooth, span = without_noise(hot)
    assert span > 0
    assert np.abs(smooth - 100).max() < np.abs(WHITE).max()


@pytest.mark.parametrize(
    "image",
    [
        100 + WHITE + 30 * DISC,  # beads outweigh it
        ndimage.gaussian_filter(WHITE, 1.0),  # neighbours share it
        np.kron(WHITE[:150, :130], np.ones((2, 2))),
        np.full(SHAPE, 7, np.uint8),
        WHITE[:3, :3],
    ],
    ids=["contrast", "soft", "doubled", "constant", "few pixels"],
)
def test_any_other_image_is_the_same_array(image):
    same, span = without_noise(image)
    assert same is image and span == 0


def discs(*places: tuple[int, int], radius: float) -> np.ndarray:
    """1 in discs of a radius around places (y, x), 0 elsewhere: f64[300, 260]."""
    off = [np.hypot(*(np.indices(SHAPE) - np.reshape(at, (2, 1, 1)))) for at in places]
    return (np.min(off, 0) <= radius) * 1.0


@pytest.mark.parametrize("sigma", [0.5, 40.0])
@pytest.mark.parametrize("contrast", [-20, 20, 200])
def test_a_few_beads_stay_clear_of_noise_that_pixels_share(sigma, contrast):
    few = discs((60, 60), (200, 150), radius=3)
    span = span_of_few(100 + sigma * (SOFT + contrast * few), 0.0)
    assert span == pytest.approx(20 * sigma, rel=0.1)


@pytest.mark.parametrize(
    "image",
    [
        100 + SOFT,
        100 + SOFT + 20 * discs((60, 60), radius=0),  # a hot pixel
        100 + SOFT + 20 * DISC,  # beads take the span
        100 + SOFT * (1 + 2 * (SOFT > 0)) + 50 * discs((60, 60), radius=3),
        100 + SOFT + 5 * discs((60, 60), radius=3),  # no more than noise does
        100 + WHITE + 20 * discs((60, 60), radius=3),
        100 + 10 * np.sin(np.indices(SHAPE)[1] / 20) + SOFT,  # uneven light
        np.full(SHAPE, 7, np.uint8),
        WHITE[:3, :3],
    ],
    ids=[
        "empty",
        "hot",
        "large",
        "texture",
        "faint",
        "white",
        "light",
        "constant",
        "few pixels",
    ],
)
def test_any_other_image_has_span_enough(image):
    assert span_of_few(image, 0.0) == 0
