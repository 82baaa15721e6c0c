"""Smooth random fields: light, haze and grain, each from a coarse grid."""

from functools import lru_cache

import numpy as np


@lru_cache(maxsize=64)
def _taps(size: int, cells: int) -> tuple[np.ndarray, np.ndarray]:
    at = (np.arange(size, dtype=np.float32) + 0.5) * (cells / size)
    first = at.astype(np.intp)
    f = at - first
    weights = np.stack(
        [(1 - f) ** 3, 3 * f**3 - 6 * f**2 + 4, 3 * (f + f**2 - f**3) + 1, f**3]
    )
    return first + np.arange(4)[:, None], (weights / 6).astype(np.float32)


def upsample(coarse: np.ndarray, size: int) -> np.ndarray:
    """Cubic B-spline through a coarse grid: f32[g + 3, g + 3] to f32[size, size].

    Four multiply-adds an axis, always in the same order: the same bits whatever the
    threads of the linear algebra library, and no filter over the full frame.
    """
    index, weight = _taps(size, coarse.shape[0] - 3)
    columns = coarse[:, index[0]] * weight[0]
    for k in (1, 2, 3):
        columns += coarse[:, index[k]] * weight[k]
    field = columns[index[0]]
    field *= weight[0][:, None]
    part = np.empty_like(field)
    for k in (1, 2, 3):
        np.take(columns, index[k], axis=0, out=part, mode="clip")
        part *= weight[k][:, None]
        field += part
    return field


def smooth_noise(rng: np.random.Generator, size: int, period: float) -> np.ndarray:
    """Noise of mean 0 and standard deviation about 1, f32[size, size].

    `period` is the distance in px between independent values, at least 1.
    """
    if period <= 1:
        return rng.standard_normal((size, size), np.float32)
    cells = max(1, round(size / period))
    coarse = rng.standard_normal((cells + 3, cells + 3), np.float32)
    # A cubic B-spline keeps 0.479 of the variance of white noise along each axis.
    return upsample(coarse / 0.479, size)
