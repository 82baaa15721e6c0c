"""Which beads that a model finds are missing from a mask, and how sure that is."""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from beadseg.data.masks.beads import number_beads
from beadseg.quoting import percent

SAME = 0.5  # of the smaller of two beads: from this overlap on they are one
SLIVER = 0.2  # of the usual area: less, inside the image, is no bead
LEAST = 1 / 3  # score: less is never accepted unseen
PRECISIONS = (0.99, 0.95, 0.9, 0.8)  # of "auto": the first that accepts some
_USUAL = 2.0  # spreads around the median area within which a size is usual
_SPREAD = 0.25  # least spread of the logarithm of areas


class Proposal(NamedTuple):
    """A bead that the mask lacks."""

    score: float  # 0..1: the model's certainty, or once calibrated expected precision
    reason: str


class Proposed(NamedTuple):
    """What is proposed for one image, and how the model agrees with the person."""

    labels: np.ndarray  # i32[H, W], 0 where nothing is proposed
    beads: dict[int, Proposal]
    labelled: int  # beads of the person
    agreed: int  # of them, those that the model finds too
    right: tuple[float, ...]  # scores of beads found as they are labelled
    wrong: tuple[float, ...]  # of those found on a labelled bead, but unlike it


class Compared(NamedTuple):
    """N beads found and those that a person has labelled, in either direction."""

    labelled: np.ndarray  # bool[N], a labelled bead is the same
    missing: np.ndarray  # bool[N], none is, and most of the bead has no label
    found: np.ndarray  # labels of the person's beads that one found is the same as


def propose(
    manual: np.ndarray, found: np.ndarray, probability: np.ndarray, threshold: float
) -> Proposed:
    """Finds the beads that a mask lacks; never on a pixel that it labels or ignores.

    A bead found counts as missing if no bead of the person covers `SAME` of it, nor it
    `SAME` of one. Its score is the mean probability, with the threshold moved to 1/2,
    less what a strange size and pixels lost to neighbours take away. The beads found on
    labelled ones are scored as well: `beadseg.partial.calibration` compares them.

    Args:
      manual: i[H, W], positive beads, -1 unknown.
      found: i[H, W] beads of the model.
      probability: f[H, W].
      threshold: of the probability.
    """
    known, overlap = _known(manual, found)
    areas = np.bincount(np.maximum(manual, 0).ravel())
    labelled = np.unique(manual[manual > 0])
    seen = np.unique(manual[(manual > 0) & (found > 0)])
    both = np.bincount(np.where(found > 0, np.maximum(manual, 0), 0).ravel())
    agreed = sum(2 * both[n] >= areas[n] for n in seen)
    odds = np.clip(probability, 1e-6, 1 - 1e-6)
    odds = odds / (1 - odds) * (1 - threshold) / threshold
    certain = odds / (1 + odds)
    sizes = areas[labelled] if len(labelled) else np.bincount(found.ravel())[1:]
    sizes = sizes[sizes > 0]
    usual = float(np.median(sizes)) if len(sizes) else 1.0
    spread = _spread(sizes, usual)
    labels = np.zeros(manual.shape, np.int32)
    beads: dict[int, Proposal] = {}
    right, wrong = [], []

    def scored(box, part, kept: float) -> tuple[float, float, float]:
        """Score, mean probability, and spreads by which the size is unusual."""
        mean, strange = float(certain[box][part].mean()), 0.0
        if not _cut_off(box, manual.shape):
            away = abs(np.log(part.sum() / usual))
            strange = max(away / spread - _USUAL, 0.0)
        return mean * kept * float(np.exp(-0.5 * strange**2)), mean, strange

    first = int(max(manual.max(initial=0), 0)) + 1
    for index, box in enumerate(ndimage.find_objects(found)):
        number = index + 1
        if box is None:
            continue
        whole = found[box] == number
        if number in known:
            if number in overlap:
                score = scored(box, whole, 1.0)[0]
                (right if overlap[number] >= SAME else wrong).append(score)
            continue
        part = whole & (manual[box] == 0)
        if not part.any():
            continue
        pieces, count = ndimage.label(part)
        if count > 1:
            part = pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:])
        area, kept = int(part.sum()), part.sum() / whole.sum()
        sliver = area < SLIVER * usual and not _cut_off(box, manual.shape)
        if kept < SAME or sliver:
            continue
        score, mean, strange = scored(box, part, kept)
        labels[box][part] = first + len(beads)
        reason = _reason(mean, area, usual, strange, kept)
        beads[first + len(beads)] = Proposal(score, reason)
    count = len(labelled), int(agreed)
    return Proposed(labels, beads, *count, tuple(right), tuple(wrong))


def compare(manual: np.ndarray, found: np.ndarray) -> Compared:
    """Which beads found are labelled, and which labelled ones are found.

    Two beads are the same if they share `SAME` of the smaller: marks drawn too small,
    too large or a little beside their beads count as well. A bead that is neither
    labelled nor missing lies on unknown pixels, or on parts of several labelled ones.

    Args:
      manual: i[H, W], positive beads, -1 unknown.
      found: i[H, W], positive beads, in any order and with gaps.

    Returns:
      An entry a bead found, in the order of its labels.
    """
    ids, index = number_beads(found)
    area = np.bincount(index.ravel(), minlength=len(ids) + 1)
    area_person = np.bincount(np.maximum(manual, 0).ravel())
    mine, theirs, shared = overlaps(index, manual)
    smaller = np.minimum(area[mine], area_person[np.maximum(theirs, 0)])
    same = (theirs > 0) & (shared >= SAME * smaller)
    labelled = np.zeros(len(ids) + 1, bool)
    labelled[mine[same]] = True
    taken = np.bincount(mine, shared, len(ids) + 1)
    missing = ~labelled & (taken < SAME * area)
    return Compared(labelled[1:], missing[1:], np.unique(theirs[same]))


def certain(proposals: list[float], precision: float) -> float | None:
    """The lowest score to accept for an expected precision; None: none is sure enough.

    The best proposals are accepted as long as their mean score stays above it, and none
    of less than `LEAST`, however much their mean would allow. Those of one score, of
    which calibration makes many, are accepted together or not at all.
    """
    scores = np.sort(np.asarray(proposals, float))[::-1]
    scores = scores[scores >= LEAST]
    means = scores.cumsum() / np.arange(1, len(scores) + 1)
    together = np.append(scores[1:], -1.0) < scores
    enough = np.flatnonzero(together & (means >= precision))
    return float(scores[enough[-1]]) if len(enough) else None


def strictest(proposals: list[float]) -> float:
    """Of `PRECISIONS` the first at which some are accepted; else the last."""
    usable = (p for p in PRECISIONS if certain(proposals, p) is not None)
    return next(usable, PRECISIONS[-1])


def overlaps(found: np.ndarray, manual: np.ndarray) -> tuple[np.ndarray, ...]:
    """Each bead found with each of the person's under it, -1 unknown; pixels shared."""
    both = (found > 0) & (manual != 0)
    pairs, shared = np.unique(
        np.stack([found[both], np.maximum(manual[both], -1)]),
        axis=1,
        return_counts=True,
    )
    return *pairs, shared


def _known(manual: np.ndarray, found: np.ndarray) -> tuple[set[int], dict[int, float]]:
    """Beads of the model that the person has labelled, or that unknown pixels cover.

    And of those on labelled beads the largest intersection over union with one.
    """
    area_found = np.bincount(found.ravel())
    area_person = np.bincount(np.maximum(manual, 0).ravel())
    known, overlap = set(), {}
    for mine, theirs, shared in zip(*overlaps(found, manual), strict=True):
        mine, least = int(mine), area_found[mine]
        if theirs > 0:
            least = min(least, area_person[theirs])
        if shared < SAME * least:
            continue
        known.add(mine)
        if theirs > 0:
            union = area_found[mine] + area_person[theirs] - shared
            overlap[mine] = max(overlap.get(mine, 0.0), shared / union)
    return known, overlap


def _spread(sizes: np.ndarray, usual: float) -> float:
    if len(sizes) < 3:
        return 2 * _SPREAD
    away = np.abs(np.log(sizes / usual))
    return max(1.4826 * float(np.median(away)), _SPREAD)


def _cut_off(box, shape) -> bool:
    return any(s.start == 0 or s.stop == n for s, n in zip(box, shape, strict=True))


def _reason(mean, area, usual, strange, kept) -> str:
    across, common = (2 * np.sqrt(a / np.pi) for a in (area, usual))
    said = f"not in the mask; probability {mean:.2f}, {across:.0f} px across"
    if strange:
        said += f", unlike the usual {common:.0f} px"
    if kept < 0.9:
        said += f"; {percent(1 - kept)} of it is labelled as other beads"
    return said
