"""Which of the candidates of all levels are beads: the best where several overlap."""

import numpy as np

from beadseg.inference.pyramid.pyramid import Candidates

COVERED = 0.3  # share of a candidate that better ones may cover
DRAWN_WELL = (13.0, 26.0)  # px of a level, at which outlines are drawn best
PER_OCTAVE = 0.15  # score that an octave beyond costs, where another level has it
LARGER = 0.03  # score that an octave of diameter is worth among equals
MIN_SCORE = 0.4  # tiny dark beads are found more often than at 0.5
TAKEN = f"(--min-score {MIN_SCORE} takes them)"
# In an image of few or no sure beads, see `least_score`.
SURE, FEW_SURE = 0.9, 0.025  # score; share of the beads
GOOD, COMPANY = 0.6, 0.33  # score; share of the beads
ALONE = 0.7  # least score where others have no company
FAINT, CLEAR = 0.05, 0.5  # score; share of what has at least that
STAND_OUT, ALL_GOOD = 0.2, 0.9  # that share where so many of the beads are good
CROWDED = 0.1  # of the image, that beads cover: more is no grain
MANY, ALIKE = 5, 0.25  # beads; standard deviation of the log of their diameters
# Where sizes leave a gap, the smaller are a kind of their own: dust and droplets, not
# beads, where they cover little, are unlikely in the mean and the larger ones are not.
GAP, LITTLE = 2.5, 0.2  # factor; share of what the larger cover
SOME = 3  # from which on a mean says something
UNLIKELY, LIKELY = 0.85, 0.9  # mean scores


def select(
    found: Candidates, beneath: np.ndarray, score: np.ndarray, min_score: float
) -> np.ndarray:
    """The candidates that are beads: i64[M], indices.

    Best first, of equals the larger, each is taken unless those taken before cover
    `COVERED` of it: so a bead that several levels found counts once, a clump gives way
    to its beads, and dust to the bead that it lies in. Regions of one level never
    overlap.

    Args:
      found: the candidates.
      beneath: of `pyramid.under`.
      score: f[N].
      min_score: what has less is left out.
    """
    small = np.log2(DRAWN_WELL[0] / found.size) * (found.level > 0)
    large = np.log2(found.size / DRAWN_WELL[1])
    rank = score - PER_OCTAVE * np.maximum(np.maximum(small, large), 0)
    rank += LARGER * np.log2(found.diameter)
    good = np.flatnonzero(score >= min_score)
    order = good[np.argsort(-rank[good], kind="stable")]
    starts, others, shares = _neighbours(found, beneath, score >= min_score)
    covered = np.zeros(len(score))
    taken = []
    for i in order.tolist():
        if covered[i] > COVERED:
            continue
        taken.append(i)
        span = slice(starts[i], starts[i + 1])
        np.add.at(covered, others[span], shares[span])
    return np.array(taken, int)


def least_score(
    found: Candidates,
    beneath: np.ndarray,
    score: np.ndarray,
    chosen: np.ndarray,
    pixels: int,
) -> float:
    """The score that counts in an image: `MIN_SCORE`, and more where few are sure.

    Grain and noise hold things of any low score, beads hardly any but their own, and of
    one size: many of those stand up for each other, whatever the score of each.

    Args:
      found, beneath, score: as for `select`.
      chosen: what it gives for `MIN_SCORE`.
      pixels: of the image.
    """
    own, diameter, count = score[chosen], found.diameter[chosen], len(chosen)
    covered = np.pi / 4 * np.square(diameter).sum()
    if np.count_nonzero(own >= SURE) > FEW_SURE * count or covered > CROWDED * pixels:
        return MIN_SCORE
    faint = len(select(found, beneath, score, FAINT))
    good = np.count_nonzero(own >= GOOD)
    stand_out = count >= SOME and good >= ALL_GOOD * count
    if count < (STAND_OUT if stand_out else CLEAR) * faint:
        return SURE
    alike = count >= MANY and np.log(diameter).std() <= ALIKE
    return MIN_SCORE if alike or good >= COMPANY * count else ALONE


def dust(beads: Candidates, score: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Which are far smaller than the beads of their image, and unlikely: bool[N].

    Args:
      beads: that were selected.
      score: f[N].
      shape: [H, W] of the image, whose border cuts beads to any size.
    """
    place = np.stack([beads.y, beads.x])
    inner = np.minimum(place, np.array(shape)[:, None] - 1 - place).min(0)
    whole = inner >= beads.diameter / 2 - 1
    sizes = np.sort(beads.diameter[whole])
    gaps = np.flatnonzero(sizes[1:] >= GAP * sizes[:-1])
    if not len(gaps):
        return np.zeros(len(score), bool)
    small = beads.diameter <= sizes[gaps[-1]]
    covered, covered_by_large = (
        np.square(beads.diameter[own]).sum() for own in (small, ~small)
    )
    one, other = score[small & whole], score[~small & whole]
    dusty = len(one) >= SOME and one.mean() < UNLIKELY and other.mean() >= LIKELY
    return small & (dusty and covered <= LITTLE * covered_by_large)


def _neighbours(found: Candidates, beneath: np.ndarray, good: np.ndarray):
    """Of each candidate the others that overlap it, and what of them it covers.

    Returns:
      i64[N + 1], where those of each begin; i64[P]; f64[P].
    """
    count = len(found.level)
    own = np.tile(np.arange(count), len(beneath))
    other = beneath.ravel()
    pairs = (other >= 0) & (other != own)
    one, two = own[pairs], other[pairs]
    pairs = good[one] & good[two]
    pairs = np.stack([one[pairs], two[pairs]])
    pairs = np.unique(np.concatenate([pairs, pairs[::-1]], 1), axis=1)
    one, two = pairs
    shared = lens(
        found.diameter[one] / 2,
        found.diameter[two] / 2,
        np.hypot(found.y[one] - found.y[two], found.x[one] - found.x[two]),
    )
    share = shared / (np.pi / 4 * found.diameter[two] ** 2)
    starts = np.searchsorted(one, np.arange(count + 1))
    return starts, two, share


def lens(r: np.ndarray, s: np.ndarray, apart: np.ndarray) -> np.ndarray:
    """Area that discs of radius r and s share, their centres `apart`: f64[P]."""
    apart = np.maximum(apart, 1e-9)
    low, high = np.minimum(r, s), np.maximum(r, s)
    near = np.clip(apart, np.maximum(high - low, 1e-9), r + s)
    a = np.clip((near**2 + r**2 - s**2) / (2 * near * r), -1, 1)
    b = np.clip((near**2 + s**2 - r**2) / (2 * near * s), -1, 1)
    chord = (-near + r + s) * (near + r - s) * (near - r + s) * (near + r + s)
    area = r**2 * np.arccos(a) + s**2 * np.arccos(b)
    area -= 0.5 * np.sqrt(np.maximum(chord, 0))
    inside, outside = apart <= high - low, apart >= r + s
    return np.where(inside, np.pi * low**2, np.where(outside, 0, area))
