"""A picture of what was found: the image, thin outlines, the count, a scale bar."""

import importlib.util
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from beadseg.quoting import counted

# Okabe and Ito's colours (2008), which people with any colour vision tell apart, less
# those that are lost on grey; neighbours in the list differ most.
COLOURS = ("#56B4E9", "#E69F00", "#00C08B", "#F0E442", "#FF6A3D", "#CC79A7")
LARGEST, SMALLEST = 4096, 900  # px, longer side of the picture
DARKEST, BRIGHTEST = 0.5, 99.8  # percentiles of the image
SAMPLE = 2**20  # pixels that tell the percentiles


def draw_overlay(
    image: np.ndarray,
    outlines: Sequence[np.ndarray],
    pixel_size: float | None = None,
    region: np.ndarray | None = None,
) -> np.ndarray:
    """Draws the beads of an image, which is brought to a size for the eye.

    Args:
      image: [H, W], as the file has it.
      outlines: f32[n, 2] (y, x) of each bead, px.
      pixel_size: um; gives a scale bar.
      region: bool[H, W], where beads count; all else is drawn dark.

    Returns:
      u8[h, w, 3].
    """
    step = math.ceil(max(image.shape) / LARGEST)
    image = image[::step, ::step]
    zoom = max(1, round(SMALLEST / max(image.shape)))
    levels = _stretched(image)
    if region is not None:
        levels = np.where(region[::step, ::step], levels, levels // 3)
    grey = Image.fromarray(levels)
    if zoom > 1:
        size = (grey.width * zoom, grey.height * zoom)
        grey = grey.resize(size, Image.Resampling.BICUBIC)
    picture = grey.convert("RGB")
    draw = ImageDraw.Draw(picture)
    scale = zoom / step
    width = _line_width(picture.size, outlines, scale)
    for i, outline in enumerate(outlines):
        ring = (outline[:, ::-1] + 0.5) * scale - 0.5
        points = [*map(tuple, ring.tolist()), tuple(ring[0].tolist())]
        draw.line(points, COLOURS[i % len(COLOURS)], width)
    _write_count(draw, picture.size, len(outlines))
    if pixel_size:
        _draw_bar(draw, picture.size, pixel_size / scale)
    return np.asarray(picture)


def brightness(image: np.ndarray) -> tuple[float, float]:
    """What is drawn black and what white of [H, W]."""
    step = math.ceil(math.sqrt(image.size / SAMPLE))
    return tuple(np.percentile(image[::step, ::step], (DARKEST, BRIGHTEST)))


def _stretched(image: np.ndarray) -> np.ndarray:
    """Grey levels u8 between two percentiles."""
    low, high = brightness(image)
    span = max(float(high - low), 1e-12)
    levels = (image.astype(np.float32) - np.float32(low)) * np.float32(255 / span)
    return np.clip(levels, 0, 255).astype(np.uint8)


def _write_count(draw: ImageDraw.ImageDraw, size: tuple[int, int], count: int) -> None:
    text = counted(count, "bead")
    pad = _pad(size)
    left, top, right, bottom = draw.textbbox((2 * pad, 2 * pad), text, _font(size))
    box = (left - pad, top - pad, right + pad, bottom + pad)
    draw.rounded_rectangle(box, pad // 2, "#101418")
    draw.text((2 * pad, 2 * pad), text, "white", _font(size))


def _draw_bar(draw: ImageDraw.ImageDraw, size: tuple[int, int], um: float) -> None:
    """A bar of a round length, a fifth of the width at most; `um` a px of the picture.

    It lies on a dark plate, to be seen on any image.
    """
    most = size[0] * um / 5
    power = 10.0 ** math.floor(math.log10(most))
    length = max(n * power for n in (1, 2, 5) if n * power <= most)
    text = f"{length:g} µm" if length < 1000 else f"{length / 1000:g} mm"
    font, pad = _font(size), _pad(size)
    bar, thick = length / um, max(2, pad // 2)
    _, _, wide, high = draw.textbbox((0, 0), text, font)
    inner = max(bar, wide)
    right, bottom = size[0] - 2 * pad, size[1] - 2 * pad
    top = bottom - thick - high - pad // 2
    plate = (right - inner - pad, top - pad, right + pad, bottom + pad)
    draw.rounded_rectangle(plate, pad // 2, "#101418")
    middle = right - inner / 2
    draw.text((middle - wide / 2, top), text, "white", font)
    draw.rectangle(
        (middle - bar / 2, bottom - thick, middle + bar / 2, bottom), "white"
    )


def _pad(size: tuple[int, int]) -> int:
    return max(4, round(min(size) / 90))


def _line_width(
    size: tuple[int, int], outlines: Sequence[np.ndarray], scale: float
) -> int:
    """Thin, for the picture and for a small bead in it."""
    sizes = [np.ptp(outline[:, 0]) for outline in outlines[:1000]]
    smallest = float(np.percentile(sizes, 10)) * scale if sizes else max(size)
    return max(1, round(min(max(size) / 500, smallest / 12)))


def _font(size: tuple[int, int]) -> ImageFont.FreeTypeFont:
    # Pillow's own font has no micro sign; matplotlib's has, and is not loaded for it.
    home = Path(importlib.util.find_spec("matplotlib").origin).parent
    file = home / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(file, max(12, round(min(size) / 32)))
