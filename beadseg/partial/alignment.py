"""A mask that lies beside its beads, brought back onto them.

A mask that was cut, enlarged or turned by another program than its image lies a few
pixels beside its beads, and farther in one corner than in the other. It labels the
beads all the same.
"""

import warnings

import numpy as np
from scipy.spatial import cKDTree
from skimage.measure import ransac
from skimage.transform import AffineTransform, warp

from beadseg.matching import centroids, number_beads

FEWEST = 8  # marks and beads from which a move can be told from chance
REACH = 2.5  # bead diameters by which a mark lies beside its bead, the most
NEAR = 0.4  # bead diameters from a centre to that of its mark
WARPED = 0.1  # of its length, by which a side is stretched or turned, the most
AS_IT_IS = 0.9  # of the marks or beads, near each other: nothing is moved
ENOUGH = 0.6  # likewise after a move, the least
GAIN = 0.15  # of them that a move brings onto each other, the least
_TRIALS = 1000


def find_move(
    marks: np.ndarray, beads: np.ndarray, diameter: float, shape: tuple[int, ...]
) -> AffineTransform | None:
    """Where marks lie from the beads that they belong to.

    The affine move under which most beads have a mark near them (RANSAC, Fischler and
    Bolles 1981), of those that are nearly none.

    Args:
      marks: f[M, 2], centres, y and x in px.
      beads: f[N, 2], likewise.
      diameter: px, of a bead.
      shape: of the image.

    Returns:
      From the place of a bead to that of its mark; None where marks lie on their beads,
      or on none.
    """
    fewer = min(len(marks), len(beads))
    if fewer < FEWEST:
        return None
    tree = cKDTree(marks)

    def near(at: np.ndarray) -> int:
        away, which = tree.query(at, distance_upper_bound=NEAR * diameter)
        return len(np.unique(which[np.isfinite(away)]))

    before = near(beads)
    if before >= AS_IT_IS * fewer:
        return None
    around = tree.query_ball_point(beads, REACH * diameter)
    pairs = np.array([(i, j) for i, them in enumerate(around) for j in them])
    if len(pairs) < ENOUGH * fewer:
        return None
    corners = np.array([(y, x) for y in (0, shape[0]) for x in (0, shape[1])], float)

    def is_small(model: AffineTransform, *_: np.ndarray) -> bool:
        warped = np.abs(model.params[:2, :2] - np.eye(2)).max()
        moved = np.hypot(*(model(corners) - corners).T).max()
        return warped <= WARPED and moved <= 2 * REACH * diameter

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that nothing fits
        move, inliers = ransac(
            (beads[pairs[:, 0]].astype(float), marks[pairs[:, 1]].astype(float)),
            AffineTransform,
            3,
            0.75 * NEAR * diameter,
            is_model_valid=is_small,
            max_trials=_TRIALS,
            rng=0,
        )
    if inliers is None or not is_small(move):
        return None
    after = near(move(beads))
    helps = after >= max(before + GAIN * fewer, ENOUGH * fewer)
    return move if helps else None


def aligned(
    labels: np.ndarray, found: np.ndarray
) -> tuple[np.ndarray, AffineTransform | None]:
    """The mask moved onto its beads.

    Args:
      labels: i[H, W], positive marks; what is not known stays where it is.
      found: i[H, W], positive beads.

    Returns:
      i[H, W] like `labels`, and the move, None where there is none.
    """
    centres, diameters = zip(*(_discs(m) for m in (labels, found)), strict=True)
    if not all(map(len, centres)):
        return labels, None
    move = find_move(*centres, float(np.median(diameters[1])), labels.shape)
    if move is None:
        return labels, None
    # skimage has x before y, and asks where a pixel comes from.
    swapped = move.params[[1, 0, 2]][:, [1, 0, 2]]
    beads = warp(
        np.maximum(labels, 0), AffineTransform(swapped), order=0, preserve_range=True
    ).astype(labels.dtype)
    return np.where((beads == 0) & (labels < 0), labels, beads), move


def _discs(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centres f[N, 2] and diameters f[N], px."""
    area = np.bincount(number_beads(labels)[1].ravel())[1:]
    return centroids(labels), 2 * np.sqrt(area / np.pi)
