"""What the heads of a network are trained to say, from the labels of a crop."""

from collections.abc import Iterable

import numpy as np
from scipy import ndimage

from beadseg.data.masks.beads import boundaries

UNKNOWN_DISTANCE = -1.0
RING = 4  # px around a bead where it is known that it has ended


def targets(
    image: np.ndarray, labels: np.ndarray, heads: Iterable[str]
) -> dict[str, np.ndarray]:
    """The arrays of one example: all f32[h, w, 1].

    Args:
      image: f32[h, w], normalised.
      labels: i32[h, w]: 0 background, > 0 a bead, -1 unknown.
      heads: of the network; "distance" adds that key.

    Returns:
      "image", "mask" (1 on beads), "weight" (0 where unknown) and what heads ask for.
    """
    arrays = {"image": image, "mask": labels > 0, "weight": labels >= 0}
    if "distance" in heads:
        arrays["distance"] = distance(labels)
    return {key: array.astype(np.float32)[..., None] for key, array in arrays.items()}


def distance(labels: np.ndarray) -> np.ndarray:
    """How deep in its own bead each pixel lies: 0 around it, 1 at the deepest.

    The distance to the outermost pixels of the bead and one pixel more, by the largest
    such distance in the bead. A bead that the border cuts goes on beyond it; one that
    is deepest at the border may have its centre beyond, and is unknown. So is all that
    is further than `RING` from a bead: it is not needed to part beads, and where masks
    lack some, they teach nothing wrong.

    Args:
      labels: i32[H, W]; beads are > 0.

    Returns:
      f32[H, W] of 0..1, or UNKNOWN_DISTANCE.
    """
    beads = labels > 0
    rim = boundaries(labels)
    if not rim.any():  # all one bead, or none
        return np.full(labels.shape, UNKNOWN_DISTANCE, np.float32)
    # Beyond an array nothing is measured to: a bead goes on there. One transform for
    # all beads: exact, it would be one for each and four times slower. This is at most
    # 2 - sqrt(2) px more than the distance to the nearest pixel that is another's.
    depth = ndimage.distance_transform_edt(~rim).astype(np.float32) + 1
    values, bead = np.unique(labels, return_inverse=True)
    bead = bead.reshape(labels.shape)
    deepest = np.zeros(len(values), np.float32)
    np.maximum.at(deepest, bead, depth)
    share = depth / deepest[bead]
    cut = np.zeros(len(values), bool)
    for side in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
        cut[bead[side][share[side] == 1]] = True
    share[cut[bead]] = UNKNOWN_DISTANCE
    around = np.where(depth > RING, np.float32(UNKNOWN_DISTANCE), np.float32(0))
    return np.where(beads, share, around)
