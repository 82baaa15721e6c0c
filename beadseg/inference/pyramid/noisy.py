"""Images whose noise outweighs their beads are seen smoothed a little.

0 and 1 lie so many standard deviations of the noise apart that faint beads of few
pixels are next to nothing. A Gaussian of less than their size takes most of white noise
from them; noise that neighbouring pixels share looks like beads, and stays as it is.

Such noise, as of enlarged frames of videos, is next to nothing between neighbours, and
takes the whole span from a few beads that rise far out of it: those need a wider one.
"""

import math

import numpy as np
from scipy import ndimage

from beadseg.data.scaling import NOISE_SPAN, as_floats, middle, noise
from beadseg.inference.pyramid.small import SPECK

SIGMA = 0.8  # px
LEFT = 1 / (2 * math.sqrt(math.pi) * SIGMA)  # of white noise, by that Gaussian
PERCENTILES = (1.0, 99.5)  # of the brightness, whose distance the noise outweighs
SIDE = 1024  # px of the middle of an image, which tell its noise
HOT = 2.0  # standard deviations of the noise
AROUND = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], bool)
WHITE = (0.9, 1.1)  # times as much between every second pixel
SHARED = 16  # px: as far apart pixels share no noise
WIDER = 1.25  # times the span, that noise asks for
BELL = (2.5, 15.87, 84.13, 97.5)  # percentiles of noise, and how far from the middle
AWAY = np.array([-1.96, -1.0, 1.0, 1.96])  # one they are, in standard deviations
ALIKE = (0.75, 1.33)  # of that, where most pixels differ by this noise alone
RISES = 14.0  # standard deviations of it, beads that it hides: fainter ones are found
ENOUGH = 20.0  # likewise, the span at most


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
    outweighs = NOISE_SPAN * sigma > _span(_sample(image)) > 0
    if not outweighs or not WHITE[0] < noise(part, apart=2) / sigma < WHITE[1]:
        return image, 0.0
    limited = _without_hot_pixels(as_floats(image), HOT * sigma)
    smooth = ndimage.gaussian_filter(limited, SIGMA, mode="nearest")
    return smooth, NOISE_SPAN * sigma * LEFT


def span_of_few(image: np.ndarray, least_span: float) -> float:
    """The span in which a few beads stay clear of noise that neighbouring pixels share.

    Args:
      image: [H, W], without gaps.
      least_span: that it has already, in units of the image.

    Returns:
      In those units; 0 where the noise leaves enough of the span, is not what most
      pixels differ by, or nothing larger than a speck rises far out of it.
    """
    part, some = as_floats(image[middle(image.shape, SIDE)]), _sample(image)
    sigma = noise(part, SHARED)
    span = max(_span(some), NOISE_SPAN * noise(part), least_span)
    if NOISE_SPAN * sigma <= WIDER * span:
        return 0.0
    usual = np.median(some)
    bell = (np.percentile(some, BELL) - usual) / (AWAY * sigma)
    if bell.min() < ALIKE[0] or bell.max() > ALIKE[1]:
        return 0.0
    off = np.abs(as_floats(image) - usual)
    labels, _ = ndimage.label(off > RISES * sigma)
    sizes = np.bincount(labels.ravel())[1:]
    if sizes.max(initial=0) < SPECK:
        return 0.0
    return min(float(off.max()), ENOUGH * sigma)


def _sample(image: np.ndarray) -> np.ndarray:
    step = math.ceil(math.sqrt(image.size) / SIDE)
    return image[::step, ::step]


def _span(pixels: np.ndarray) -> float:
    return float(np.ptp(np.percentile(pixels, PERCENTILES)))


def _without_hot_pixels(image: np.ndarray, most: float) -> np.ndarray:
    """No pixel is brighter or darker by more than `most` than all but one around it."""
    low, high = (
        ndimage.rank_filter(image, rank, footprint=AROUND, mode="mirror")
        for rank in (1, -2)
    )
    return np.clip(image, low - most, high + most)
