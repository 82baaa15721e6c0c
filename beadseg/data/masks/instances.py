"""Beads from the maps of a network: touching ones come apart, single ones stay whole.

With a distance head, beads are the hills of its map, which is 1 at the centre of each
bead and falls to the edge between two. Without one, they are cut at the necks of the
mask, as binary masks are when they are read.
"""

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from beadseg.data.masks.necks import ALIKE, NECK, neck_height, part_equal
from beadseg.data.masks.watershed import watershed_blockwise

PROMINENCE = 0.1  # of a centre above the way to the next, on the distance map
SMOOTH = 0.08  # bead diameters, sigma on the distance map
SPECK = 0.25  # bead diameters: what is smaller across is no bead
DIAMETER = 24.0  # px, where the run knows none
# What is less than so much of the smallest beads that a network was trained on across,
# or than so many bead diameters, is no bead.
SMALLER, SPECK_LEAST = 0.6, 0.15
CUT = 2  # times its area that a bead which the border cuts is taken to have
# Of beads that all are of one size touching ones come apart more readily.
ALIKE_SMOOTH, ALIKE_PROMINENCE = 0.06, 0.02
# Of a network that was trained on beads of a range of sizes: px of sigma and of the
# smallest region, and how far centres stand out.
RANGE_SMOOTH, RANGE_PROMINENCE, RANGE_SPECK = 0.6, 0.06, 3.6
ONE_SIZE = (0.6, 1.7)  # beads that a network trained on one size finds, of that size
REACH = 4  # bead diameters: what is deeper in a mask is all one depth
BLOCK = 1024  # px

ReadMap = Callable[[slice, slice], np.ndarray]


def options_of_size(diameter: float | None, smallest: float | None) -> dict[str, float]:
    """Options of `find_beads` for a network that was trained on beads of one size.

    Args:
      diameter: px of its maps across the median bead; None: unknown.
      smallest: size of the smallest beads in median diameters; None: unknown.
    """
    options: dict[str, float] = {"diameter": diameter or DIAMETER}
    if smallest is not None:
        options |= {"speck": max(SMALLER * smallest, SPECK_LEAST), "cut": CUT}
        if diameter and alike(smallest):
            options |= {"smooth": ALIKE_SMOOTH, "prominence": ALIKE_PROMINENCE}
            options["alike"] = True
    return options


def alike(smallest: float | None) -> bool:
    """Whether beads were seen to be of one size.

    All the same are discs drawn around centres: nothing was seen of their sizes.

    Args:
      smallest: size of the smallest beads in median diameters; None: unknown.
    """
    return smallest is not None and ALIKE <= smallest < 1


def options_of_range(smallest: float, largest: float) -> dict[str, float]:
    """The same of one that was trained on beads of `smallest` to `largest` px."""
    usual = float(np.sqrt(smallest * largest))
    shares = {"smooth": RANGE_SMOOTH / usual, "speck": RANGE_SPECK / usual}
    return {"diameter": usual, "prominence": RANGE_PROMINENCE} | shares


def find_beads(
    probability: np.ndarray,
    distance: np.ndarray | None = None,
    threshold: float = 0.5,
    **options: float,
) -> np.ndarray:
    """Labels of the beads: i32[H, W], 0 background, 1..N in the order of rows.

    Args:
      probability: f32[H, W] of being bead.
      distance: f32[H, W] of 0..1, what the "distance" head says; None without it.
      threshold: of the probability, what a bead is made of.
      diameter: px of these maps across the median bead.
      prominence: of the distance, from the lower of two centres down to the way
        between them: what is less is one bead.
      smooth: bead diameters, sigma of a Gaussian on the distance map.
      speck: bead diameters; a disc of less across is joined to what it touches, or
        left out.
      cut: how often the area of what touches the border counts there.
      alike: all beads are of one size: regions of several are parted, and numbered
        last.
    """
    labels = np.zeros(probability.shape, np.int32)
    find_beads_blockwise(
        lambda rows, columns: probability[rows, columns],
        None if distance is None else lambda rows, columns: distance[rows, columns],
        labels,
        threshold,
        **options,
    )
    return labels


def find_beads_blockwise(
    read_probability: ReadMap,
    read_distance: ReadMap | None,
    labels: np.ndarray,
    threshold: float = 0.5,
    *,
    diameter: float = DIAMETER,
    prominence: float = PROMINENCE,
    smooth: float = SMOOTH,
    speck: float = SPECK,
    cut: int = 1,
    alike: bool = False,
    block: int = BLOCK,
) -> int:
    """`find_beads` of maps of any size, in the memory of a block: the same labels.

    Args:
      read_probability: f32[h, w] of a window, from its rows and columns.
      read_distance: likewise; None without a distance head.
      labels: i32[H, W], is filled: an array, or a memory map.
      block: side in px; windows are a little larger.
      threshold, diameter, prominence, smooth, speck, cut, alike: as for `find_beads`.

    Returns:
      The number of beads.
    """
    if read_distance is None:
        halo, fall = round(REACH * diameter), NECK
    else:
        sigma = smooth * diameter
        halo, fall = round(4 * sigma), prominence

    def read(rows: slice, columns: slice) -> tuple[np.ndarray, np.ndarray]:
        wide, inner = _widened((rows, columns), labels.shape, halo)
        mask = read_probability(*wide) >= threshold
        if read_distance is None:
            height = _mask_height(mask, halo)
        else:
            height = np.maximum(read_distance(*wide), 0, dtype=np.float32)
            if halo:
                height = ndimage.gaussian_filter(
                    height, sigma, mode="nearest", radius=halo
                )
        return height[inner], mask[inner]

    smallest = np.pi / 4 * (speck * diameter) ** 2
    count = watershed_blockwise(
        read, labels, fall, min_area=round(smallest), fill=True, cut=cut, block=block
    )
    return count + (len(part_equal(labels, count, diameter)) if alike else 0)


def _mask_height(mask: np.ndarray, most: int) -> np.ndarray:
    if mask.all():
        return np.full(mask.shape, neck_height(most))
    return neck_height(np.minimum(ndimage.distance_transform_edt(mask), most))


def _widened(window: tuple[slice, slice], shape: tuple[int, ...], by: int):
    """A window and what lies around it on the map; and where it is in that."""
    wide = tuple(
        slice(max(s.start - by, 0), min(s.stop + by, n))
        for s, n in zip(window, shape, strict=True)
    )
    inner = tuple(
        slice(s.start - w.start, s.stop - w.start)
        for s, w in zip(window, wide, strict=True)
    )
    return wide, inner
