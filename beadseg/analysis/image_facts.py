"""What one image is like, measured on its pixels: light, noise, focus, bits."""

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image
from scipy import ndimage

from beadseg.data.scaling import diagonal_noise, stretch

THUMBNAIL = 48  # px, side of the picture by which duplicates are found
_GRID = 12  # blocks a side, for the light
_REACH = 8  # px around an edge in which its height is looked for
_EDGES = 4000  # pixels of edges looked at


@dataclass(frozen=True)
class ImageFacts:
    """Numbers of one image. Intensities are shares of the image's own range."""

    dtype: str
    lowest: float
    highest: float
    bits: float | None  # depth really used: log2 of the steps in use; None: floats
    saturated: float  # share of the pixels at the upper end, where they pile up
    range: float  # 0.5th to 99.5th percentile, in the units of the file
    contrast: float  # beads against the background beside them, -1..1; > 0: brighter
    noise: float  # standard deviation, share of the range
    signal_to_noise: (
        float  # root mean square of beads against the background, over noise
    )
    edge_px: float  # deviation of the blur of the sharpest edges; nan without any
    shading: float  # of the background, over the image, share of the range
    background: float  # 0 dark, 1 bright
    texture: float  # deviation of the background beyond noise and shading


def measure_image(page: np.ndarray, inside: np.ndarray) -> ImageFacts:
    """Measures an image.

    Args:
      page: [H, W] as read from the file.
      inside: bool[H, W], where beads are (of a mask, or of an estimate).
    """
    values = page.astype(np.float32)
    values = np.where(np.isfinite(values), values, 0)
    scaled, low, high = stretch(page)
    noise = diagonal_noise(scaled)
    outside = ~ndimage.binary_dilation(inside, iterations=2)
    if outside.mean() < 0.02:
        outside = ~inside if (~inside).any() else np.ones_like(inside)
    light, background, texture = _light(scaled, outside, noise)
    flat = scaled - light
    beads = flat[inside]
    strong = float(np.sqrt(np.mean(beads**2))) if beads.size else 0.0
    return ImageFacts(
        dtype=str(page.dtype),
        lowest=float(values.min()),
        highest=float(values.max()),
        bits=_bits(page),
        saturated=_saturated(page),
        range=high - low,
        contrast=float(np.mean(beads)) if beads.size else 0.0,
        noise=noise,
        signal_to_noise=min(strong / max(noise, 1e-4), 999.0),
        edge_px=_edge(scaled, noise),
        shading=float(light.max() - light.min()),
        background=background,
        texture=texture,
    )


def thumbnail(page: np.ndarray) -> np.ndarray:
    """f32[THUMBNAIL, THUMBNAIL], of mean 0 and length 1, for correlation.

    Without the light, a surface of second order: two fields with nothing in them are
    not alike because one lamp lights them.
    """
    values = np.where(np.isfinite(page), page, 0).astype(np.float32)
    size = (THUMBNAIL, THUMBNAIL)
    small = np.asarray(Image.fromarray(values).resize(size, Image.Resampling.BOX))
    place = np.linspace(-1, 1, THUMBNAIL, dtype=np.float32)
    v, u = (axis.ravel() for axis in np.meshgrid(place, place))
    terms = _terms(u, v)
    light = terms @ np.linalg.lstsq(terms, small.ravel(), rcond=None)[0]
    small = small - light.reshape(size)
    length = float(np.sqrt(np.sum(np.square(small, dtype=np.float64))))
    return small / np.float32(length or 1)


def _bits(page: np.ndarray) -> float | None:
    if page.dtype.kind not in "iub":
        return None
    sample = page[:: max(1, page.shape[0] // 512), :: max(1, page.shape[1] // 512)]
    used = np.unique(sample).astype(np.int64)
    if len(used) < 2:
        return 0.0
    step = int(np.gcd.reduce(np.diff(used)))
    return float(np.log2((used[-1] - used[0]) / step + 1))


def _saturated(page: np.ndarray) -> float:
    """Share of the pixels at the largest value, if far more than just below it."""
    top = page.max()
    share = float(np.mean(page == top))
    if page.dtype.kind in "iub":
        span = max(1, (int(top) - int(page.min())) // 100)
        below = np.mean((page < top) & (page >= int(top) - span)) / span
    else:
        span = float(top - page.min()) / 100
        below = np.mean((page < top) & (page >= top - span))
    return share if share > max(5e-4, 4 * float(below)) else 0.0


def _light(scaled, outside, noise) -> tuple[np.ndarray, float, float]:
    """A surface of second order through the background, its level and its texture."""
    height, width = scaled.shape
    rows = np.linspace(0, height, _GRID + 1).astype(int)
    columns = np.linspace(0, width, _GRID + 1).astype(int)
    points = []
    for i in range(_GRID):
        for j in range(_GRID):
            box = slice(rows[i], rows[i + 1]), slice(columns[j], columns[j + 1])
            background = scaled[box][outside[box]]
            if background.size >= 12:
                points.append((i, j, np.median(background), background.std()))
    level = float(np.median(scaled[outside]))
    if len(points) < 8:
        return np.full_like(scaled, level), level, 0.0
    i, j, values, deviation = np.array(points).T
    u, v = (i + 0.5) / _GRID * 2 - 1, (j + 0.5) / _GRID * 2 - 1
    weight = np.ones(len(u))
    for _ in range(4):  # dirt and missed beads pull less each time
        terms = _terms(u, v) * weight[:, None]
        fitted = np.linalg.lstsq(terms, values * weight, rcond=1e-3)[0]
        rest = values - _terms(u, v) @ fitted
        usual = 1.5 * np.median(np.abs(rest)) + 1e-3
        weight = 1 / (1 + np.square(rest / (3 * usual)))
    y = (np.arange(height, dtype=np.float32) + 0.5) / height * 2 - 1
    x = (np.arange(width, dtype=np.float32) + 0.5) / width * 2 - 1
    a, b, c, d, e, f = fitted.astype(np.float32)
    light = (a + b * y + d * y * y)[:, None] + (c * x + e * x * x)[None]
    light += f * y[:, None] * x
    light = np.clip(light, values.min(), values.max())
    texture = float(np.sqrt(max(np.median(deviation) ** 2 - noise**2, 0)))
    return light.astype(np.float32), level, texture


def _terms(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.stack([np.ones_like(u), u, v, u * u, v * v, u * v], 1)


def _edge(scaled: np.ndarray, noise: float) -> float:
    """Blur of the sharpest edges: height / (slope sqrt(2 pi)) of a Gaussian step."""
    smooth = ndimage.gaussian_filter(scaled, 0.7, truncate=3)
    down, right = np.gradient(smooth)
    slope = np.hypot(down, right)[_REACH:-_REACH, _REACH:-_REACH]
    if slope.size < 256:
        return float("nan")
    edges = np.flatnonzero(slope >= np.percentile(slope, 98))
    edges = edges[:: -(-len(edges) // _EDGES)]  # a median asks for no more
    rows, columns = np.unravel_index(edges, slope.shape)
    side = 2 * _REACH + 1
    around = sliding_window_view(smooth, (side, side))[rows, columns]
    heights, slopes = np.ptp(around, (1, 2)), slope[rows, columns]
    if float(np.median(heights)) < 6 * noise or not slopes.all():
        return float("nan")
    blur = float(np.median(heights / slopes)) / np.sqrt(2 * np.pi)
    return float(np.sqrt(max(blur**2 - 0.7**2, 0.04)))
