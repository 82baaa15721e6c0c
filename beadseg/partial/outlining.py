"""Finds out whether the masks of a folder are marks, and the outlines beneath them.

Before training: the default model looks at some images, and if their masks turn out to
be marks, at all. Where beads are of one size, training then learns equal discs of that
size: on each bead that the model finds under a mark, and on each other mark. Where they
are not, it learns the outline of the bead instead, where there is one. How many beads
there are and where is left to the marks: what the model alone sees is background. Where
it sees so much more than is marked that the marks are incomplete, it is unknown.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict
from scipy.spatial import cKDTree
from tqdm import tqdm

from beadseg.data.folder import scan, trusted
from beadseg.data.images.reading import ReadError
from beadseg.data.masks import marked
from beadseg.data.masks.beads import number_beads
from beadseg.data.masks.labels import UNKNOWN, read_labels
from beadseg.data.masks.marked import OutlinedImage
from beadseg.data.masks.marks import (
    MarkedImage,
    centres,
    kind_of_masks,
    mark_centres,
    may_be_marks,
)
from beadseg.data.masks.points import discs
from beadseg.data.samples import Sample
from beadseg.inference.estimate import estimate
from beadseg.partial.agreement import agree

LOOKED_AT = 24  # images, before all are: of 8 crops of a lab no two draws agreed
PIXELS = 2**23  # of them, at most
TWICE = 1.5  # areas of the median bead from which one under several marks is several
ALIKE = 1.3  # times the common diameter, to which that of an image is the same
# Of the beads seen, that are marked: of fewer in an image, the others are unknown, if
# there are several.
COMPLETE, SEVERAL = 0.9, 5


class _Look(NamedTuple):
    """An image, its mask as it lies on its beads, and those."""

    sample: Sample
    mask: np.ndarray  # i32[H, W], -1 unknown, as are beads that incomplete marks lack
    found: np.ndarray  # i32[H, W], beads that are labelled
    marked: MarkedImage
    unmarked: int  # beads that are unknown
    shift: float  # px by which the mask was moved


def prepare(config: ConfigDict) -> None:
    """Looks at the masks that the config of a run trains on, unless that was done.

    Raises:
      BeadsegError: the folder is no data set, or the cache cannot be written.
    """
    data = config.data
    kind = marked.kind_of(data)
    if not data.dir or kind == "outlines":
        return
    samples = trusted(scan(data)).samples
    masked = [sample for sample in samples if sample.mask]
    if not masked or marked.stored(data, samples) is not None:
        return
    if kind == "auto" and not may_be_marks([s.diameters for s in masked]):
        return
    some = [look.marked for look in _looks(_some(masked))]
    marks = kind_of_masks(some, kind)
    if not marks.are_marks:
        marked.store(data, samples, lambda: marks, ())
        return
    diameter = marks.diameter
    if not np.isfinite(diameter):
        every = [d for sample in masked for d in sample.diameters]
        diameter = float(np.median(every or [1.0]))
    seen: list[MarkedImage] = []

    def outlines() -> Iterator[OutlinedImage]:
        for look in _looks(masked):
            seen.append(look.marked)
            labels, drawn = outline(look.mask, look.found, diameter, marks.one_size)
            name = look.sample.name
            yield OutlinedImage(name, labels, drawn, look.unmarked, look.shift)

    marked.store(data, samples, lambda: kind_of_masks(seen, "marks"), outlines())


def outline(
    mask: np.ndarray, found: np.ndarray, diameter: float, one_size: bool = False
) -> tuple[np.ndarray, int]:
    """The beads that a mask marks, and how many are discs where only a mark is.

    Args:
      mask: i[H, W], positive marks as they lie on their beads, -1 unknown.
      found: i[H, W], positive beads that are marked.
      diameter: px of a bead, where the image does not tell another.
      one_size: draws equal discs instead of outlines.

    Returns:
      i32[H, W], 1..N, and -1 where the mask has that and there is no bead.
    """
    ids, index = number_beads(found)
    area = np.bincount(index.ravel(), minlength=len(ids) + 1)
    usual = float(np.median(area[1:])) if len(ids) else np.pi * diameter**2 / 4
    across = 2 * np.sqrt(usual / np.pi)
    if one_size and 1 / ALIKE < across / diameter < ALIKE:
        across, usual = diameter, np.pi * diameter**2 / 4
    at = mark_centres(mask)
    limits = np.array(mask.shape) - 1
    rows, columns = np.clip(np.rint(at).astype(int), 0, limits).T
    under = index[rows, columns]
    marks_of = np.bincount(under, minlength=len(ids) + 1)
    if one_size:
        agree = (under > 0) & (marks_of[under] == 1) & (area[under] < TWICE * usual)
        agree &= area[under] * TWICE > usual
        at[agree] = centres(found)[under[agree] - 1]
        labels, lone = discs(at, across, mask.shape), at[~agree]
    else:
        labels, count = index.astype(np.int32), len(ids)
        for bead in np.flatnonzero((marks_of > 1) & (area > TWICE * usual)):
            if bead:  # several that are seen as one: each pixel is of the nearest mark
                inside = np.argwhere(index == bead)
                own = at[under == bead]
                nearest = np.square(inside[:, None] - own[None]).sum(-1).argmin(1)
                labels[tuple(inside[nearest > 0].T)] = count + nearest[nearest > 0]
                count += len(own) - 1
        lone = at[under == 0]
        lone = lone[_far(lone, index, across / 4)]
        drawn = discs(lone, across, mask.shape)
        here = (drawn > 0) & (labels == 0)
        labels[here] = count + drawn[here]
    return np.where((labels == 0) & (mask < 0), np.int32(UNKNOWN), labels), len(lone)


def _far(at: np.ndarray, index: np.ndarray, least: float) -> np.ndarray:
    """Which of the places f[N, 2] are so far, px, from all beads: bool[N]."""
    beads = np.argwhere(index)
    if not len(beads) or not len(at):
        return np.ones(len(at), bool)
    return cKDTree(beads).query(at)[0] > least


def _some(masked: list[Sample]) -> list[Sample]:
    """Images with beads, spread over the folder, of few pixels in all."""
    masked = [sample for sample in masked if sample.beads]
    places = np.unique(np.linspace(0, len(masked) - 1, LOOKED_AT).round().astype(int))
    chosen, pixels = [], 0
    for place in places:
        pixels += int(np.prod(masked[place].shape))
        if pixels > PIXELS and chosen:
            break
        chosen.append(masked[place])
    return chosen


def _looks(masked: list[Sample]) -> Iterator[_Look]:
    for sample in tqdm(masked, "looking at marks", disable=None):
        try:
            image = sample.image.open()[sample.page].read()
            mask = read_labels(sample.mask.open()[sample.page])
        except ReadError:  # said when the data are prepared
            continue
        seen = estimate(image)
        agreement = agree(image, mask, seen)
        _, index = number_beads(seen.labels)
        kept, missing = (
            np.concatenate([[False], which])[index]
            for which in (agreement.labelled, agreement.missing)
        )
        mask, unmarked = agreement.mask.astype(np.int32), 0
        share = agreement.completeness(seen.scores)
        several = int(agreement.missing.sum())
        if share is not None and share < COMPLETE and several >= SEVERAL:
            mask = np.where(missing & (mask == 0), np.int32(UNKNOWN), mask)
            unmarked = several
        disc = agreement.marked(sample.name, seen.labels)
        found = np.where(kept, seen.labels, 0)
        yield _Look(sample, mask, found, disc, unmarked, agreement.shift())
