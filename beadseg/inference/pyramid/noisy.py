"""Images whose noise outweighs their beads are seen smoothed a little.

0 and 1 lie so many standard deviations of the noise apart that faint beads of few
pixels are next to nothing. A Gaussian of less than their size takes most of white noise
from them; noise that neighbouring pixels share looks like beads, and stays as it is.
"""

import math

import numpy as np
from scipy import ndimage

from beadseg.data.scaling import NOISE_SPAN, as_floats, middle, noise

SIGMA = 0.8  # px
LEFT = 1 / (2 * math.sqrt(math.pi) * SIGMA)  # of white noise, by that Gaussian
PERCENTILES = (1.0, 99.5)  # of the brightness, whose distance the noise outweighs
SIDE = 1024  # px of the middle of an image, which tell its noise
HOT = 2.0  # standard deviations of the noise
AROUND = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], bool)
WHITE = (0.9, 1.1)  # times as much between every second pixel


def without_noise(image: np.ndarray) -> tuple[np.ndarray, float]:
    """The image, smoothed where noise outweighs it, and the least span it then needs.

    Args:
      image: [H, W], without gaps.

    Returns:
      f32 or f64[H, W] and a span in its units; the image itself and 0 where it is not
      noisy, or its noise not white.
    """
    part = as_floats(image[middle(image.shape, SIDE)])
    sigma = noise(part)
    step = math.ceil(math.sqrt(image.size) / SIDE)
    low, high = np.percentile(image[::step, ::step], PERCENTILES)
    outweighs = NOISE_SPAN * sigma > high - low > 0
    if not outweighs or not WHITE[0] < noise(part, apart=2) / sigma < WHITE[1]:
        return image, 0.0
    limited = _without_hot_pixels(as_floats(image), HOT * sigma)
    smooth = ndimage.gaussian_filter(limited, SIGMA, mode="nearest")
    return smooth, NOISE_SPAN * sigma * LEFT


def _without_hot_pixels(image: np.ndarray, most: float) -> np.ndarray:
    """No pixel is brighter or darker by more than `most` than all but one around it."""
    low, high = (
        ndimage.rank_filter(image, rank, footprint=AROUND, mode="mirror")
        for rank in (1, -2)
    )
    return np.clip(image, low - most, high + most)
