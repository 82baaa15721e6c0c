"""Brightness and size of a page brought to what the network sees.

Training and prediction both call `prepare`, so they cannot drift apart.
"""

import copy
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage

from beadseg.errors import BeadsegError

SMALLEST_SCALE, LARGEST_SCALE = 1 / 16, 8.0
AUTO = "auto"
# Median beads that are left as they are by "auto": px. Larger ones are reduced to the
# larger, smaller ones enlarged to the smaller: the default model finds beads of 8 px
# with an F1 of 0.93 at their size and 0.97 at 10 px, at 12 px no more of them.
AS_THEY_ARE = (10.0, 16.0)
LARGEST = 10_000  # px across a bead that settings may speak of
_MANY = 8  # beads of an image, to tell how small they get
_ROWS = 2048  # of a page that are floats at once
_COARSE_ROWS = 64  # of a coarse background that are made at once
_SPAN_ROWS = 64  # of a page that is not large, that are read at once for its span
_PERCENTILE_PIXELS = 2**20  # a grid of so many tells the same percentiles, where its
# step is odd: rows of video and columns of some cameras differ by turns
CLIP = (-1.0, 2.0)  # normalised values beyond are cut: hot pixels, dirt
NOISE_SPAN = 12.0  # standard deviations of the noise that 0 and 1 lie apart at least
# Where all but a tenth of the pixels share a tenth of the span, and differ by more than
# noise, the rest is dirt, and its contrast is not what counts.
DIRT, _INNER = 10.0, (5.0, 95.0)
_GAUSSIAN_MEDIAN = 0.6745  # of the absolute values of a standard normal variable
_GAUSSIAN_MEAN = math.sqrt(2 / math.pi)  # likewise their mean


class Prepared(NamedTuple):
    """A page as the network sees it, with what undoes it."""

    image: np.ndarray  # f32[h, w]; percentile `low` at 0, `high` at 1; cut at CLIP
    low: float  # in units of the page (less its background, if flattened)
    high: float


def prepare(
    page: np.ndarray,
    *,
    low: float,
    high: float,
    flatten_sigma: float = 0.0,
    scale: float = 1.0,
    least_span: float = 0.0,
) -> Prepared:
    """Flattens the background, normalises to percentiles, clips and resamples.

    0 and 1 are at least `NOISE_SPAN` standard deviations of the noise apart, so that an
    empty field stays grey instead of being stretched until its noise looks like beads.
    A little dirt of many times the contrast does not widen the span, and what lies
    beyond `CLIP` is cut, so that a few bright pixels change nothing around.

    Args:
      page: [H, W] of any real type.
      low: percentile that becomes 0.
      high: percentile that becomes 1.
      flatten_sigma: pixels of the page; 0 leaves the background alone.
      scale: output pixels to a pixel of the page.
      least_span: 0 and 1 are at least so far apart, in units of the page.
    """
    values = as_floats(page)
    if flatten_sigma:
        values = values - background(values, flatten_sigma)
    bottom, top = span(values, low, high, least_span)
    values = _normalised(values, bottom, top)
    return Prepared(resample(values, scaled_shape(page.shape, scale)), bottom, top)


def _normalised(values: np.ndarray, bottom: float, top: float) -> np.ndarray:
    scaled = ((values - bottom) / (top - bottom)).astype(np.float32)
    return np.clip(scaled, *CLIP, out=scaled)


class PreparedWindows:
    """`prepare` of a page too large to be held as floats, a window at a time.

    Takes what `prepare` takes, and gives the same pixels.
    """

    def __init__(
        self,
        page: np.ndarray,
        *,
        low: float,
        high: float,
        flatten_sigma: float = 0.0,
        scale: float = 1.0,
        least_span: float = 0.0,
    ):
        self.shape = scaled_shape(page.shape, scale)
        self._page = page
        self._shading = (
            _coarse_background(page, flatten_sigma) if flatten_sigma else None
        )
        self._low, self._high = _span(
            lambda rows: self._values(rows, slice(None)),
            page.shape,
            (low, high),
            least_span,
        )

    @property
    def span(self) -> float:
        """How far apart 0 and 1 lie, in units of the page."""
        return self._high - self._low

    def at_scale(self, scale: float) -> "PreparedWindows":
        """The same page, as bright, resampled by another factor."""
        other = copy.copy(self)
        other.shape = scaled_shape(self._page.shape, scale)
        return other

    def whole(self) -> np.ndarray:
        """All of the result, f32[h, w], made of few rows of the page at a time."""
        height, width = self.shape
        step = max(math.ceil(_ROWS * height / self._page.shape[0]), 1)
        bands = [
            self.read(top, min(top + step, height), 0, width)
            for top in range(0, height, step)
        ]
        return np.concatenate(bands)

    def read(self, top: int, bottom: int, left: int, right: int) -> np.ndarray:
        """f32 of these rows and columns of the result; edges repeat beyond it."""
        inner = [
            min(end, n) for end, n in zip((bottom, right), self.shape, strict=True)
        ]
        page = self._page.shape
        if page == self.shape:
            values = self._values(slice(top, inner[0]), slice(left, inner[1]))
            values = _normalised(values, self._low, self._high)
        else:
            axes = [
                _resampled_span(*span)
                for span in (
                    (top, inner[0], self.shape[0], page[0]),
                    (left, inner[1], self.shape[1], page[1]),
                )
            ]
            values = self._values(axes[0][0], axes[1][0])
            values = _normalised(values, self._low, self._high)
            box = (axes[1][1], axes[0][1], axes[1][2], axes[0][2])
            size = (inner[0] - top, inner[1] - left)
            values = _resize(values, size, Image.Resampling.BICUBIC, box)
        rest = [(0, bottom - inner[0]), (0, right - inner[1])]
        return np.pad(values, rest, mode="edge") if np.any(rest) else values

    def _values(self, rows: slice, columns: slice) -> np.ndarray:
        """Of the page, less its background."""
        values = as_floats(self._page[rows, columns])
        if self._shading is None:
            return values
        height, width = self._page.shape
        top, bottom, _ = rows.indices(height)
        left, right, _ = columns.indices(width)
        down, across = (
            c / n for c, n in zip(self._shading.shape, (height, width), strict=True)
        )
        box = (left * across, top * down, right * across, bottom * down)
        shading = _resize(self._shading, values.shape, Image.Resampling.BICUBIC, box)
        return values - shading


def _resampled_span(first: int, last: int, new: int, old: int):
    """What of an axis of `old` px is needed for a span of `new`: slice, box in it."""
    ratio = old / new
    reach = math.ceil(2 * max(ratio, 1.0)) + 2  # of the bicubic filter
    start = max(math.floor(first * ratio) - reach, 0)
    stop = min(math.ceil(last * ratio) + reach, old)
    return slice(start, stop), first * ratio - start, last * ratio - start


def as_floats(page: np.ndarray) -> np.ndarray:
    """The page as f32, or f64 where f32 would lose small differences."""
    exact = page.dtype.itemsize <= 2 or page.dtype == np.float32
    return page.astype(np.float32 if exact else np.float64)


def middle(shape: tuple[int, ...], side: int) -> tuple[slice, ...]:
    """The square of `side` px in the middle of an image, as far as the image goes."""
    return tuple(slice(max(n - side, 0) // 2, (n + min(side, n)) // 2) for n in shape)


def span(
    values: np.ndarray, low: float, high: float, least: float = 0.0
) -> tuple[float, float]:
    """What becomes 0 and 1: two percentiles of [H, W], moved apart where too near.

    Args:
      values: [H, W], floats.
      low, high: percentiles.
      least: distance that the two keep at least, as do `NOISE_SPAN` standard
        deviations of the noise.
    """
    return _span(lambda rows: values[rows], values.shape, (low, high), least)


def _span(
    read: Callable[[slice], np.ndarray],
    shape: tuple[int, ...],
    percentiles: tuple[float, float],
    least: float,
) -> tuple[float, float]:
    """`span` of rows that are read a few at a time."""
    step = math.ceil(math.sqrt(math.prod(shape) / _PERCENTILE_PIXELS)) | 1
    count = max(_SPAN_ROWS // step**2, 1)  # of sampled rows that are read at once
    sampled, across, down = [], [], []
    for first in range(0, shape[0], count * step):
        above = min(first, 1)
        rows = read(slice(first - above, first + (count - 1) * step + 2))
        at = np.arange(above, min(above + count * step, len(rows)), step)
        at = at[at < shape[0] - first + above]
        sampled.append(rows[at][:, ::step])
        across.append(np.abs(np.diff(rows[at], 2))[:, ::step])
        at = at[(at > 0) & (at < len(rows) - 1)]
        second = rows[at - 1] - 2 * rows[at] + rows[at + 1]
        down.append(np.abs(second[:, ::step]))
    sampled, across, down = (
        np.concatenate([part.ravel() for part in parts])
        for parts in (sampled, across, down)
    )
    bottom, top = np.percentile(sampled, percentiles)
    if bottom == top:  # a few bright specks on an even background
        bottom, top = sampled.min(), sampled.max()
    noise = max(_noise(across), _noise(down))
    inner = np.percentile(sampled, _INNER)
    width = inner[1] - inner[0]
    if NOISE_SPAN * noise <= width and top - bottom > DIRT * width:
        bottom, top = max(bottom, inner[0] - width), min(top, inner[1] + width)
    missing = max(least, NOISE_SPAN * noise) - (top - bottom)
    if missing > 0:
        bottom, top = bottom - missing / 2, top + missing / 2
    bottom, top = float(bottom), float(top)
    if bottom == top:
        top = bottom + max(1.0, abs(bottom))
    return bottom, top


def noise(values: np.ndarray, apart: int = 1) -> float:
    """Standard deviation of the noise of f[H, W], from pixels that are `apart`."""
    found = [0.0]
    for some in (values, values.T):
        second = some[2 * apart :] - 2 * some[apart:-apart] + some[: -2 * apart]
        found.append(_noise(np.abs(second)))
    return max(found)


def _noise(found: np.ndarray) -> float:
    """Standard deviation of the noise from absolute second differences of pixels.

    Their median is that of white noise, as long as beads have fewer edges than pixels
    (Donoho and Johnstone 1994 do the same with wavelets). Where most differ by nothing,
    as in few counts, their mean tells more.
    """
    if not found.size:
        return 0.0
    usual = float(np.median(found)) / _GAUSSIAN_MEDIAN
    if usual == 0:
        usual = float(found.mean(dtype=np.float64)) / _GAUSSIAN_MEAN
    return usual / math.sqrt(6)


def stretch(page: np.ndarray) -> tuple[np.ndarray, float, float]:
    """A page [H, W] as shares of its own range, f32 from -0.5 to 1.5, and its ends.

    What is not finite counts as 0. The ends, in units of the page, are percentiles, or
    the smallest and the largest pixel where these are the same.
    """
    values = page.astype(np.float32)
    values = np.where(np.isfinite(values), values, 0)
    low, high = (float(v) for v in np.percentile(values[::2, ::2], (0.5, 99.5)))
    if high <= low:
        low, high = float(values.min()), float(values.max())
    return np.clip((values - low) / ((high - low) or 1.0), -0.5, 1.5), low, high


def diagonal_noise(values: np.ndarray) -> float:
    """As `noise`, from differences across diagonals, which edges and slopes spare."""
    height, width = (n // 2 * 2 for n in values.shape)
    a, b = values[:height:2, :width:2], values[:height:2, 1:width:2]
    c, d = values[1:height:2, :width:2], values[1:height:2, 1:width:2]
    return float(np.median(np.abs(a - b - c + d)) / (2 * 0.6745))


def background(values: np.ndarray, sigma: float) -> np.ndarray:
    """Slow changes of brightness: a Gaussian mean, for uneven light.

    A mean takes no side between dark and bright beads, as an opening or a rolling
    ball does. It follows the beads as well where sigma is near their size: use three
    diameters or more. It is subtracted, not divided by: a black background is no light
    to divide by.

    Args:
      values: f[H, W].
      sigma: standard deviation in pixels.

    Returns:
      f32[H, W].
    """
    smooth = _coarse_background(values, sigma)
    return _resize(smooth, values.shape, Image.Resampling.BICUBIC)


def unevenness(page: np.ndarray, sigma: float) -> float:
    """How far its `background` reaches from dark to bright, in units of the page.

    All but the last hundredths of it. Flattened, a page spans less by so much at most.
    """
    return float(np.ptp(np.percentile(_coarse_background(page, sigma), (1, 99))))


def _coarse_background(values: np.ndarray, sigma: float) -> np.ndarray:
    """`background` on a coarse grid, which holds all that sigma leaves."""
    step = max(1.0, sigma / 8)
    height, width = values.shape
    rows, columns = (max(1, math.ceil(n / step)) for n in values.shape)
    bands = []
    for first in range(0, rows, _COARSE_ROWS):
        last = min(first + _COARSE_ROWS, rows)
        span, top, bottom = _resampled_span(first, last, rows, height)
        band = values[span].astype(np.float32)
        box = (0, top, width, bottom)
        bands.append(_resize(band, (last - first, columns), Image.Resampling.BOX, box))
    sigmas = (sigma * rows / height, sigma * columns / width)
    return ndimage.gaussian_filter(np.concatenate(bands), sigmas, mode="reflect")


def bead_diameters(labels: np.ndarray) -> np.ndarray:
    """Diameters of the discs with the areas of the beads, in pixels.

    Beads that touch the border are left out: their area is unknown. Where all touch
    it, all count.

    Args:
      labels: i32[H, W]; beads are > 0.

    Returns:
      f64[N], by label.
    """
    beads, areas = np.unique(labels[labels > 0], return_counts=True)
    edges = np.concatenate((labels[0], labels[-1], labels[:, 0], labels[:, -1]))
    whole = ~np.isin(beads, edges)
    chosen = areas[whole] if whole.any() else areas
    return 2 * np.sqrt(chosen / np.pi)


def smallest_bead(of_images: Sequence[np.ndarray]) -> float | None:
    """How small beads get, in median diameters of their image; None: too few.

    The least size that 98 % of an image's beads have, and of nine images in ten: images
    of other magnifications do not count as small beads, nor do a few odd ones.

    Args:
      of_images: diameters of the beads of each.
    """
    shares = [
        np.percentile(diameters, 2) / np.median(diameters)
        for diameters in of_images
        if len(diameters) >= _MANY
    ]
    return float(np.percentile(shares, 10)) if shares else None


def wanted_diameter(setting: float | str, median: float | None) -> float:
    """What `data.bead_diameter` asks for, px; 0: images stay as they are.

    Args:
      setting: px, or "auto".
      median: px of the beads in the files; None or nan: unknown.

    Raises:
      BeadsegError: the setting is neither.
    """
    if setting == AUTO:
        if median is None or not median > 0:
            return 0.0
        return float(np.clip(median, *AS_THEY_ARE))
    if not isinstance(setting, int | float) or not 0 <= setting <= LARGEST:
        raise BeadsegError(
            f"data.bead_diameter = {setting!r}: give px, 0 for images as they are, or "
            f'"{AUTO}"'
        )
    return float(setting)


def choose_scale(
    diameters: Sequence[float] | np.ndarray, wanted: float | str
) -> tuple[float, str | None]:
    """The factor that gives the median bead the wanted diameter, and a remark.

    Args:
      diameters: pixels, of all beads of a data set.
      wanted: pixels, or "auto"; 0 keeps the images as they are.

    Returns:
      The factor (1.0 within 10 %: resampling would only blur), and what a person
      should hear about it, or None.
    """
    median = float(np.median(diameters)) if len(diameters) else None
    wanted = wanted_diameter(wanted, median)
    if not wanted or median is None:
        return 1.0, None
    scale = min(max(wanted / median, SMALLEST_SCALE), LARGEST_SCALE)
    if scale != wanted / median:
        return scale, (
            f"the median bead is {median:.1f} px across: resampled by the limit of "
            f"{scale:g} to {median * scale:.1f} px, not to {wanted:g} px"
        )
    if abs(scale - 1) < 0.1:
        return 1.0, None
    return scale, (
        f"the median bead is {median:.1f} px across: images are resampled by "
        f"{scale:.3g} to {wanted:g} px"
    )


def scaled_shape(shape: tuple[int, ...], scale: float) -> tuple[int, int]:
    """Shape [h, w] of a page of `shape` [H, W] after resampling."""
    height, width = (max(1, round(n * scale)) for n in shape)
    return height, width


def resample(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """f32[H, W] to f32[h, w]: bicubic, with an antialiasing filter when shrinking."""
    return _resize(image.astype(np.float32), shape, Image.Resampling.BICUBIC)


def resample_labels(labels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """i32[H, W] to i32[h, w] by the nearest pixel: no new labels."""
    rows, columns = (
        ((np.arange(new) + 0.5) * (old / new)).astype(np.intp)
        for new, old in zip(shape, labels.shape, strict=True)
    )
    return labels[rows[:, None], columns]


def resample_points(
    points: np.ndarray, shape: tuple[int, ...], new_shape: tuple[int, int]
) -> np.ndarray:
    """f32[N, 2] (y, x) at pixel centres, from a grid of `shape` to `new_shape`."""
    factors = np.divide(new_shape, shape)
    return ((points + 0.5) * factors - 0.5).astype(np.float32)


def _resize(
    image: np.ndarray,
    shape: tuple[int, ...],
    filter_: Image.Resampling,
    box: tuple[float, ...] | None = None,
) -> np.ndarray:
    """`box`: left, top, right, bottom of the part that is resized; what lies around it
    is looked at too."""
    if image.shape == tuple(shape) and box in (None, (0, 0, *shape[::-1])):
        return image
    resized = Image.fromarray(image).resize(shape[::-1], filter_, box)
    return np.array(resized, np.float32)
