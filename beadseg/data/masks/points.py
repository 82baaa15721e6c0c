"""Beads of which only the centres are known, as discs that can be trained on."""

import numpy as np
from scipy.spatial import cKDTree


def spacings(points: np.ndarray) -> tuple[float, ...]:
    """From each centre f32[N, 2] to the nearest other, px; nothing of a single one."""
    if len(points) < 2:
        return ()
    away, _ = cKDTree(points).query(points, k=2)
    return tuple(away[:, 1].round(2).tolist())


def discs(points: np.ndarray, diameter: float, shape: tuple[int, ...]) -> np.ndarray:
    """Labels i32[H, W] of discs, 1..N in the order of their centres.

    Where discs meet, a pixel is of the nearer centre (Voronoi).

    Args:
      points: f32[N, 2], y and x, px.
      diameter: px.
      shape: of the image, (H, W).
    """
    if not len(points):
        return np.zeros(shape, np.int32)
    pixels = np.stack(np.indices(shape, np.float32), -1)
    _, nearest = cKDTree(points).query(pixels, distance_upper_bound=diameter / 2)
    return np.where(nearest < len(points), nearest + 1, 0).astype(np.int32)
