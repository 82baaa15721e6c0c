"""Label maps made worse in known ways: beads left out, outlines moved.

The originals are never changed. A bead that is left out becomes background, as in a
mask that somebody has not finished; `amount` is the share of the beads left out, or
px. Who is left out follows the table of `beads.describe_beads` or of a generated image,
so that real and generated label maps are damaged alike.
"""

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from beadseg.errors import BeadsegError

_MOST = 10**5  # px, as in a config
Damage = Callable[[float, np.ndarray, np.ndarray, np.random.Generator], np.ndarray]


def damage_labels(
    kind: str,
    amount: float,
    labels: np.ndarray,
    beads: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Returns a damaged copy of a label map.

    Args:
      kind: a key of DAMAGES.
      amount: share of the beads that is dropped, 0..1, exactly round(amount * N) of
        them; or px for "erode", "dilate" and "shift".
      labels: i[H, W]; 0 background, positive beads, -1 unknown (left alone).
      beads: BEAD_TABLE[N], a row for each positive label.

    Raises:
      BeadsegError: an unknown kind, or an amount out of its range.
    """
    if kind not in DAMAGES:
        raise BeadsegError(
            f"unknown label damage {kind!r}: choose one of {', '.join(DAMAGES)}"
        )
    if not 0 <= amount <= (1 if kind.startswith("drop") else _MOST):
        raise BeadsegError(
            f"label damage {kind!r} of {amount}: give "
            + ("a share from 0 to 1" if kind.startswith("drop") else f"0 to {_MOST} px")
        )
    return DAMAGES[kind](amount, labels, beads, rng)


def _drop_first(amount: float, labels: np.ndarray, ranked: np.ndarray) -> np.ndarray:
    # Half up: Python's round would leave out 2 of 5 at one half, not 3.
    gone = ranked[: int(np.floor(amount * len(ranked) + 0.5))]
    return np.where(np.isin(labels, gone), 0, labels).astype(labels.dtype)


def none(amount, labels, beads, rng) -> np.ndarray:
    """As it is."""
    return labels.copy()


def drop_random(amount, labels, beads, rng) -> np.ndarray:
    """Leaves out beads whatever they look like."""
    return _drop_first(amount, labels, rng.permutation(beads["label"]))


def drop_dim(amount, labels, beads, rng) -> np.ndarray:
    """Leaves out the beads of least contrast."""
    order = np.argsort(beads["brightness"], kind="stable")
    return _drop_first(amount, labels, beads["label"][order])


def drop_blurred(amount, labels, beads, rng) -> np.ndarray:
    """Leaves out the beads furthest from focus; chance decides between equals."""
    order = np.lexsort((rng.random(len(beads)), -beads["blur"]))
    return _drop_first(amount, labels, beads["label"][order])


def drop_crowded(amount, labels, beads, rng) -> np.ndarray:
    """Leaves out the beads with most neighbours; chance decides between equals."""
    order = np.lexsort((rng.random(len(beads)), -beads["crowding"]))
    return _drop_first(amount, labels, beads["label"][order])


def drop_outside(amount, labels, beads, rng) -> np.ndarray:
    """Leaves out all beads outside a region, as when somebody did one corner only.

    The region is a random ellipse around a random place, grown until the asked number
    of beads lies inside by their centres.
    """
    centre = rng.uniform(0, labels.shape)
    turn, stretch = rng.uniform(0, np.pi), np.exp(rng.uniform(0, 0.5))
    dy, dx = beads["y"] - centre[0], beads["x"] - centre[1]
    along = (dx * np.cos(turn) + dy * np.sin(turn)) / stretch
    across = (dy * np.cos(turn) - dx * np.sin(turn)) * stretch
    order = np.argsort(-np.hypot(along, across), kind="stable")
    return _drop_first(amount, labels, beads["label"][order])


def erode(amount, labels, beads, rng) -> np.ndarray:
    """Takes `amount` px off the outline of every bead; small ones may vanish.

    What is cut off by the image border or a neighbour has its outline there, but only
    the sides towards other labels shrink, never the border of the image.
    """
    result = labels.copy()
    for label, box in _boxes(labels):
        grown = _pad(box, int(amount) + 2, labels.shape)
        inside = labels[grown] == label
        if inside.all():
            continue
        near = inside & (ndimage.distance_transform_edt(inside) <= amount)
        result[grown][near] = 0
    return result


def dilate(amount, labels, beads, rng) -> np.ndarray:
    """Grows every bead by `amount` px into the background, never into another bead.

    A pixel in reach of several goes to the nearest; unknown pixels stay unknown.
    """
    away, nearest = ndimage.distance_transform_edt(labels <= 0, return_indices=True)
    reached = (labels == 0) & (away <= amount)
    return np.where(reached, labels[tuple(nearest)], labels).astype(labels.dtype)


def shift(amount, labels, beads, rng) -> np.ndarray:
    """Moves the whole map by `amount` px, rounded to the grid, in a random direction.

    What leaves the image is lost; what comes in is background.
    """
    turn = rng.uniform(0, 2 * np.pi)
    moves = np.rint(amount * np.array([np.sin(turn), np.cos(turn)])).astype(int)
    return ndimage.shift(labels, moves, order=0, prefilter=False)


def _boxes(labels: np.ndarray):
    found = ndimage.find_objects(np.maximum(labels, 0))
    return [(i + 1, box) for i, box in enumerate(found) if box is not None]


def _pad(box, margin: int, shape) -> tuple[slice, ...]:
    return tuple(
        slice(max(part.start - margin, 0), min(part.stop + margin, length))
        for part, length in zip(box, shape, strict=True)
    )


DAMAGES: dict[str, Damage] = {
    "none": none,
    "drop_random": drop_random,
    "drop_dim": drop_dim,
    "drop_blurred": drop_blurred,
    "drop_crowded": drop_crowded,
    "drop_outside": drop_outside,
    "erode": erode,
    "dilate": dilate,
    "shift": shift,
}
