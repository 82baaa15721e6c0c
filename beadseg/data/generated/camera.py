"""From a signal of light or electrons to the numbers of a file."""

import numpy as np
from PIL import Image
from scipy import fft, ndimage

from beadseg.data.generated.fields import smooth_noise

# Luminance steps of the JPEG standard (ITU T.81, 1992, table K.1).
_JPEG_STEPS = np.array(
    """16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56
    14 17 22 29 51 87 80 62 18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92
    49 64 78 87 103 121 120 101 72 92 95 98 112 100 103 99""".split(),
    np.float32,
).reshape(8, 8)


def light_field(rng: np.random.Generator, size: int, loss: float) -> np.ndarray:
    """Uneven illumination, f32[size, size], largest 1, least about 1 - `loss`.

    Vignetting around a centre that is off axis, a slope and soft blotches, mixed.
    """
    at = (np.arange(size, dtype=np.float32) + 0.5) / size - 0.5
    y, x = (at - rng.uniform(-0.15, 0.15))[:, None], (at - rng.uniform(-0.15, 0.15))
    parts = rng.dirichlet((1.0, 0.8, 0.5)).astype(np.float32)
    distance = y * y + x[None] * x[None]
    fall = distance * np.float32(2) if rng.random() < 0.6 else distance**2 * 4
    turn = rng.uniform(0, 2 * np.pi)
    slope = y * np.float32(np.sin(turn)) + x[None] * np.float32(np.cos(turn))
    dark = parts[0] * fall + parts[1] * slope
    if parts[2] > 0.1:
        dark += parts[2] * 0.25 * smooth_noise(rng, size, size / rng.integers(2, 6))
    low, high = float(dark.min()), float(dark.max())
    return 1 - (dark - low) * np.float32(loss / max(high - low, 1e-6))


def aperture(rng: np.random.Generator, size: int) -> np.ndarray:
    """A round field of view, f32[size, size]: 1 in the middle, dark beyond its rim."""
    at = (np.arange(size, dtype=np.float32) + 0.5) / size - 0.5
    y, x = (at - rng.uniform(-0.2, 0.2))[:, None], (at - rng.uniform(-0.2, 0.2))[None]
    rim = np.float32(rng.uniform(0.4, 0.65))
    soft = np.float32(rng.uniform(0.03, 0.15))
    beyond = np.clip((np.sqrt(y * y + x * x) - rim) / soft, -1, 1)
    dark = np.float32(rng.uniform(0.08, 0.3))
    return 1 - (1 - dark) * (0.5 + beyond * (0.75 - 0.25 * beyond * beyond))


def expose(
    signal: np.ndarray,
    rng: np.random.Generator,
    *,
    bits: int,
    electrons: float,
    read: float,
    noise: float,
    saturate: bool,
) -> np.ndarray:
    """Records a signal: exposure, shot and read noise, clipping, quantisation.

    Args:
      signal: f32[H, W] >= 0; changed in place.
      bits: depth of the camera, 8 to 16.
      electrons: quanta at full scale; shot noise is sqrt of the quanta (Gaussian).
      read: standard deviation of the read noise, share of full scale.
      noise: factor on both; 0 switches them off.
      saturate: exposes for the background, so that the brightest parts clip.

    Returns:
      uint8 (8 bits) or uint16.
    """
    sample = signal[::3, ::3]
    brightest = float(np.quantile(sample, 0.97 if saturate else 0.9995))
    goal = rng.uniform(1.0, 1.15) if saturate else rng.uniform(0.45, 0.95)
    signal *= np.float32(goal / max(brightest, 1e-6))
    np.maximum(signal, 0, out=signal)
    if noise > 0:
        spread = np.sqrt(signal / np.float32(electrons) + np.float32(read**2))
        spread *= np.float32(noise)
        signal += spread * rng.standard_normal(signal.shape, np.float32)
    white = 2**bits - 1
    offset = rng.uniform(0, 0.03) * white
    signal *= np.float32(white - offset)
    signal += np.float32(offset + 0.5)
    np.clip(signal, 0, white, out=signal)
    return signal.astype(np.uint8 if bits <= 8 else np.uint16)


def add_soft_noise(image: np.ndarray, rng: np.random.Generator, white: int) -> None:
    """Noise that neighbouring pixels share, as denoised or deconvolved images hold.

    Its crests are as round as beads of a few pixels, of either sign or bright alone.

    Args:
      image: uint8 or uint16 [H, W]; changed in place.
      white: largest value.
    """
    height, width = image.shape
    side, period = max(height, width), rng.uniform(1.5, 8.0)
    noise = smooth_noise(rng, side, period)
    if rng.random() < 0.3:  # of one spatial frequency, as a microscope out of focus
        noise -= ndimage.gaussian_filter(noise, 0.7 * period)
        noise /= max(float(noise.std()), 1e-6)
    noise = noise[:height, :width]
    skew = rng.uniform(0.1, 0.7)
    if rng.random() < 0.5:  # spots brighter than the troughs are dark
        noise = np.expm1(np.float32(skew) * noise) / np.float32(skew)
    strength = white * float(np.exp(rng.uniform(np.log(0.003), np.log(0.08))))
    values = image + np.float32(strength) * noise
    image[:] = np.clip(np.round(values), 0, white).astype(image.dtype)
    if white == 255 and rng.random() < 0.4:
        image[:] = jpeg_blocks(image, rng.uniform(20, 60))


def video_frame(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A frame of a video: small, colours blurred, sharpened, compressed, enlarged.

    Noise is no longer white, and single pixels are gone.

    Args:
      image: uint8[H, W].
    """
    height, width = image.shape
    factor = rng.uniform(1.0, 2.2)
    small = (max(round(width / factor), 16), max(round(height / factor), 16))
    frame = Image.fromarray(image).resize(small, Image.Resampling.BOX)
    values = np.asarray(frame, np.float32)
    spread = max(float(values.std()), 2.0)
    colour = smooth_noise(rng, max(values.shape), rng.uniform(1.5, 4))
    colour = colour[: values.shape[0], : values.shape[1]]
    values = values + rng.uniform(0, 1.5) * colour
    values += rng.uniform(0, 0.1) * spread * rng.standard_normal(values.shape)
    if rng.random() < 0.5:
        soft = ndimage.gaussian_filter(values, rng.uniform(0.8, 1.6))
        values += rng.uniform(0.2, 1.0) * (values - soft)
    values = np.clip(np.round(values), 0, 255).astype(np.uint8)
    values = jpeg_blocks(values, rng.uniform(30, 90))
    whole = Image.fromarray(values).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(whole)


def add_defects(image: np.ndarray, rng: np.random.Generator, white: int) -> None:
    """Pixels, columns or lines of the camera that say nothing of the scene."""
    kind = rng.integers(4)
    height, width = image.shape
    if kind == 0:  # hot and dead pixels
        count = int(np.exp(rng.uniform(0, np.log(0.004 * image.size + 2))))
        at = rng.integers(height, size=count), rng.integers(width, size=count)
        image[at] = np.where(rng.random(count) < 0.8, white, 0)
    elif kind == 1:
        for column in rng.integers(width, size=rng.integers(1, 4)):
            image[:, column] = white if rng.random() < 0.6 else 0
    else:  # rows, or columns, read with an offset of their own
        strength = rng.uniform(0.1, 0.8) * max(float(image.std()), 1.0)
        if kind == 2:
            lines = rng.standard_normal(height)
        else:
            period, phase = rng.uniform(2, 20), rng.uniform(0, 2 * np.pi)
            lines = np.sin(2 * np.pi * np.arange(height) / period + phase)
        values = image + (strength * lines)[:, None]
        image[:] = np.clip(np.round(values), 0, white).astype(image.dtype)


def jpeg_blocks(image: np.ndarray, quality: float) -> np.ndarray:
    """Rounds the cosine coefficients of 8 x 8 blocks as JPEG does, without the file.

    Args:
      image: uint8[H, W]; rows and columns beyond a multiple of 8 are left alone.
      quality: 1..100 on the scale of libjpeg.
    """
    scale = 50 / quality if quality < 50 else 2 - quality / 50
    steps = np.maximum(_JPEG_STEPS * np.float32(scale), 1)[None, :, None, :]
    rows, columns = image.shape[0] // 8, image.shape[1] // 8
    whole = image[: rows * 8, : columns * 8]
    blocks = whole.astype(np.float32).reshape(rows, 8, columns, 8)
    waves = fft.dctn(blocks, axes=(1, 3), norm="ortho")
    waves = np.round(waves / steps) * steps
    blocks = fft.idctn(waves, axes=(1, 3), norm="ortho").reshape(whole.shape)
    result = image.copy()
    result[: rows * 8, : columns * 8] = np.clip(np.round(blocks), 0, 255)
    return result
