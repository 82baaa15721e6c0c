"""The noise that compression hides is known from the steps of the file."""

import io
import math

import numpy as np
import pytest
from PIL import Image

from beadseg.inference.pyramid.blocks import hidden_span


def noise(sigma=3.0, shape=(320, 400)):
    pixels = 100 + np.random.default_rng(0).normal(0, sigma, shape)
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def compressed(image, quality):
    """An image after JPEG, and the step of its slowest cosines, as the file has it."""
    stored = io.BytesIO()
    Image.fromarray(image).save(stored, "JPEG", quality=quality)
    again = Image.open(stored)
    table = again.quantization[0]  # the first rows, then their columns
    steps = [table[k] for k in (1, 8, 9, 2, 16)]
    return np.array(again), float(np.median(steps))


@pytest.mark.parametrize("quality", [30, 50, 75])
@pytest.mark.parametrize("corner", [(0, 0), (3, 5)])
def test_the_step_of_a_file_is_found_wherever_its_blocks_begin(quality, corner):
    image, step = compressed(noise(6.0), quality)
    found = hidden_span(image[corner[0] :, corner[1] :])
    assert found == pytest.approx(12 * step / math.sqrt(12), rel=0.15)


def test_brightness_is_no_matter():
    image, _ = compressed(noise(), 50)
    assert hidden_span(image + 1000.0) == pytest.approx(hidden_span(image), rel=1e-3)


@pytest.mark.parametrize(
    "image",
    [
        noise(),
        np.full((64, 64), 7, np.uint8),
        noise(shape=(20, 300)),
        np.kron(noise(shape=(40, 40)), np.ones((2, 2), np.uint8)),
        np.kron(noise(shape=(40, 40)), np.ones((8, 8), np.uint8)),
    ],
    ids=["noise", "constant", "few rows", "doubled", "eight times"],
)
def test_an_image_that_was_not_compressed_hides_nothing(image):
    assert hidden_span(image) == 0
