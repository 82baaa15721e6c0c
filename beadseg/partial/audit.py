"""How complete masks are, which beads look missing, and whether by chance or by kind.

Beads that are seen without the mask, by the mask-free estimate or by a model, are
compared with those it labels: of the labelled ones a share is seen, and beads that are
seen and not labelled stand for all that are missing in that proportion (capture and
recapture, Lincoln and Petersen). Where a model runs labelled beads together, what it
finds counts for as many as its area holds.
"""

from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage, stats
from scipy.spatial import cKDTree
from skimage.filters import threshold_otsu

from beadseg.data.masks.beads import describe_beads, number_beads
from beadseg.data.masks.marks import MarkedImage
from beadseg.inference.estimate import Estimate, estimate
from beadseg.matching import count_beads
from beadseg.partial.agreement import Agreement, agree
from beadseg.partial.proposals import SAME, overlaps, propose
from beadseg.training.completeness import estimate_completeness

CONFIDENCE = 0.9  # of intervals
LEVEL = 0.01  # of tests, after Holm's correction
FEWEST = 15  # beads of each sort, below which nothing is tested
# What single images show beyond chance, standard deviation: judged, not fitted.
_BEYOND_CHANCE = {"mask-free": 0.08, "model": 0.03}
_LEAST_SEEN = 0.02  # of the labelled beads, those that count as seen again, at least
_DRAWS = 2000
_SHUFFLES = 300
# Score from which a bead of the estimate counts as surely seen. Scores are the expected
# precision, and none below 0.5 is among them: half of those near 0.5 are no bead.
SURE = 0.7
KINDS = {  # in which beads that are missing may differ from labelled ones, in words
    "dim": "the dim ones",
    "blurred": "the blurred ones",
    "crowded": "the crowded ones",
    "region": "those of some regions",
}


class CompletenessEstimate(NamedTuple):
    """Completeness as one way of looking finds it."""

    completeness: float
    low: float
    high: float
    missing: float  # beads, expected


class VisibleBeads(NamedTuple):
    """The beads of an image that are surely seen, labelled or missing."""

    beads: np.ndarray  # BEAD_TABLE[N], measured as they are seen
    is_missing: np.ndarray  # bool[N]


class Audit(NamedTuple):
    """What is found about one image."""

    labelled: int
    by_count: float  # completeness: beads of the mask over components of the image
    mask_free: CompletenessEstimate
    model: CompletenessEstimate | None
    missing: np.ndarray  # i32[H, W], the beads that look missing, by the best way
    seen: VisibleBeads
    shift: float  # px by which the mask lies beside its beads in the worst corner
    marked: MarkedImage  # the mask as discs on beads

    @property
    def best(self) -> CompletenessEstimate:
        """By the model where there is one."""
        return self.model or self.mask_free


class Missingness(NamedTuple):
    """Whether the beads that are missing are of a kind."""

    kind: str  # of KINDS, "random", or "unknown" where there are too few
    tests: dict[str, tuple[float, float]]  # by kind: effect (-1..1), corrected p


def audit(
    image: np.ndarray,
    manual: np.ndarray,
    predict: Any | None = None,
    settings: Any = None,
) -> Audit:
    """Looks at an image and its mask.

    Args:
      image: [H, W].
      manual: i[H, W], positive beads, -1 unknown.
      predict: as of `beadseg.partial.completion`; None: without a model.
      settings: of the default model, see `beadseg.inference.estimate`.
    """
    labelled = count_beads(manual)
    found = estimate(image, settings)
    agreement = agree(image, manual, found)
    manual = agreement.mask
    missing, free = _mask_free(found, agreement, labelled)
    seen, model = sure_labels(found), None
    if predict is not None:
        seen, probability, threshold = predict(image)
        proposed = propose(manual, seen, probability, threshold)
        missing = proposed.labels
        scores = np.array([p.score for p in proposed.beads.values()])
        whole = _run_together(seen, np.maximum(manual, 0))
        held = whole.beads_in(np.bincount(missing[missing > 0])[list(proposed.beads)])
        agreed = min(proposed.agreed, labelled)
        model = _completeness_estimate(
            "model", labelled, agreed, scores, held, whole.hidden
        )
    count = components(image)
    by_count = min(labelled / count, 1.0) if count else 1.0
    looked = look(image, seen, manual, missing)
    more = looked, agreement.shift(), agreement.marked("", found.labels)
    return Audit(labelled, by_count, free, model, missing, *more)


def components(image: np.ndarray) -> int:
    """The simplest count: connected parts above Otsu's threshold."""
    if image.min() == image.max():
        return 0
    return int(ndimage.label(image > threshold_otsu(np.asarray(image, np.float32)))[1])


def missingness(images: list[VisibleBeads]) -> Missingness:
    """Tests whether the beads that are missing differ from those that are labelled.

    Dim, blurred and crowded: Mann-Whitney tests of the ranks within each image. Region:
    whether neighbours share their fate more than when fates are shuffled within each
    image. All corrected by Holm; of those below `LEVEL` the largest effect is named.
    """
    chosen = [a for a in images if a.is_missing.any() and not a.is_missing.all()]
    fates = [a.is_missing for a in chosen]
    gone = np.concatenate(fates) if fates else np.zeros(0, bool)
    if min(gone.sum(), (~gone).sum()) < FEWEST:
        return Missingness("unknown", {})
    effects, chances = {}, {}
    for kind, field, sign in (
        ("dim", "brightness", -1),
        ("blurred", "blur", 1),
        ("crowded", "crowding", 1),
    ):
        ranks = [stats.rankdata(a.beads[field]) / len(a.beads) for a in chosen]
        ranks = sign * np.concatenate(ranks)
        test = stats.mannwhitneyu(ranks[gone], ranks[~gone], alternative="greater")
        pairs = gone.sum() * (~gone).sum()
        effects[kind] = float(2 * test.statistic / pairs - 1)
        chances[kind] = float(test.pvalue)
    effects["region"], chances["region"] = _togetherness(chosen)
    order = sorted(chances, key=chances.get)
    corrected, worst = {}, 0.0
    for place, kind in enumerate(order):
        worst = max(worst, min(chances[kind] * (len(order) - place), 1.0))
        corrected[kind] = worst
    tests = {kind: (effects[kind], corrected[kind]) for kind in KINDS}
    sure = [k for k in KINDS if corrected[k] < LEVEL and effects[k] > 0.1]
    return Missingness(max(sure, key=effects.get) if sure else "random", tests)


def pooled(audits: list[Audit]) -> CompletenessEstimate:
    """Completeness of all masks together, by the best way."""
    labelled = sum(a.labelled for a in audits)
    missing = sum(a.best.missing for a in audits)
    every = labelled + missing
    if not every:
        return CompletenessEstimate(1.0, 1.0, 1.0, 0.0)
    weights = np.array([a.labelled + a.best.missing for a in audits]) / every
    spread = np.array([(a.best.high - a.best.low) / 2 for a in audits])
    # Half of the spread is of the way of looking, the same in all images.
    chance = float(np.sqrt(((weights * spread) ** 2).sum()))
    half = np.hypot(chance, 0.5 * float((weights * spread).sum()))
    c = labelled / every
    return CompletenessEstimate(c, max(c - half, 0.0), min(c + half, 1.0), missing)


class _Whole(NamedTuple):
    """How a model tells beads apart, as those that are labelled show."""

    share: float  # of the labelled beads found, those that are found one by one
    area: float  # px, mean of these; nan if there are none
    hidden: float  # beads more than the labelled ones that the area of the others holds

    def beads_in(self, areas: np.ndarray) -> np.ndarray:
        """Beads expected in objects of some areas: one, or as many as they hold."""
        if not self.share < 1:
            return np.ones(len(areas))
        return self.share + (1 - self.share) * np.maximum(areas / self.area, 1.0)


def _run_together(found: np.ndarray, manual: np.ndarray) -> _Whole:
    mine, theirs, shared = overlaps(found, manual)
    areas, areas_of_person = (np.bincount(a.ravel()) for a in (found, manual))
    union = areas[mine] + areas_of_person[theirs] - shared
    alone = np.unique(mine[shared >= SAME * union])
    if not len(alone):
        return _Whole(1.0, np.nan, 0.0)
    area = float(areas[alone].mean())
    covered = mine[2 * shared >= areas_of_person[theirs]]
    under = np.bincount(covered[~np.isin(covered, alone)], minlength=len(areas))
    more = np.maximum(areas / area - under, 0.0)[under > 0]
    share = len(alone) / (len(alone) + int(under.sum()))
    return _Whole(share, area, float(more.sum()))


def look(
    image: np.ndarray, seen: np.ndarray, manual: np.ndarray, missing: np.ndarray
) -> VisibleBeads:
    """Measures the beads seen that are labelled or missing.

    Both as they are seen: an outline drawn by hand gives another brightness and blur
    than one that was found.

    Args:
      image: [H, W].
      seen: i[H, W], beads as they are found.
      manual: i[H, W], positive beads.
      missing: i[H, W], positive where a bead looks missing.
    """
    beads = describe_beads(seen, image)
    labelled, gone = (
        np.bincount(np.where(part > 0, seen, 0).ravel(), minlength=seen.max() + 1)
        for part in (manual, missing)
    )
    labelled, gone = labelled[beads["label"]], gone[beads["label"]]
    judged = labelled + gone > 0
    return VisibleBeads(beads[judged], (gone > labelled)[judged])


def sure_labels(found: Estimate) -> np.ndarray:
    """The beads of an estimate that reach a score of `SURE`: i32[H, W]."""
    _, index = number_beads(found.labels)
    sure = np.concatenate([[False], found.scores >= SURE])
    return np.where(sure[index], found.labels, 0)


def _mask_free(
    found: Estimate, agreement: Agreement, labelled: int
) -> tuple[np.ndarray, CompletenessEstimate]:
    """Beads of the estimate that look missing, i32[H, W], and the completeness."""
    _, index = number_beads(found.labels)
    first = max(int(agreement.mask.max(initial=0)), 0) + 1
    numbers = np.zeros(len(found.scores) + 1, np.int32)
    numbers[1:][agreement.missing] = first + np.arange(agreement.missing.sum())
    missing = np.where(agreement.mask == 0, numbers[index], 0)
    scores = found.scores.astype(float)
    again = scores[agreement.labelled].sum()
    return missing, _completeness_estimate(
        "mask-free", labelled, again, scores[agreement.missing]
    )


def _completeness_estimate(
    way: str,
    labelled: int,
    again: float,
    scores: np.ndarray,
    held: np.ndarray | float = 1.0,
    hidden: float = 0.0,
) -> CompletenessEstimate:
    """Completeness from labelled beads, those seen again, and others that are seen.

    `again` may count each by its score, as the others count. `held` is how many beads
    each of the others stands for, `hidden` how many more there are in what is seen on
    labelled ones.
    """
    expected = (scores * held).sum() + hidden
    variance = (scores * (1 - scores) * held**2).sum()
    if not labelled:
        none = 0.0 if expected >= 0.5 else 1.0
        return CompletenessEstimate(none, none, none, float(expected))
    rng = np.random.default_rng(0)
    seen = min(again, labelled)
    if way == "model":  # which sees a bead or does not: of few that says little
        again = labelled * (again + 0.5) / (labelled + 1)
    again = max(again, _LEAST_SEEN * labelled)
    drawn_rate = rng.beta(seen + 0.5, labelled - seen + 0.5, _DRAWS)
    drawn_rate *= max(again / labelled, 1.0)  # more may be seen than labelled: clumps
    beside = np.maximum(rng.normal(expected, np.sqrt(variance + expected), _DRAWS), 0)
    drawn = labelled / (labelled + beside / np.maximum(drawn_rate, _LEAST_SEEN))
    drawn += rng.normal(0, _BEYOND_CHANCE[way], _DRAWS)
    c, missing = estimate_completeness(again, expected), expected * labelled / again
    tail = (1 - CONFIDENCE) / 2
    low, high = np.clip(np.quantile(drawn, (tail, 1 - tail)), 0, 1)
    return CompletenessEstimate(
        c, float(min(low, c)), float(max(high, c)), float(missing)
    )


def _togetherness(images: list[VisibleBeads]) -> tuple[float, float]:
    """Excess of neighbours of the same fate over shuffled fates, and its chance."""
    pairs, fates = [], []
    for a in images:
        if len(a.beads) < 4:
            continue
        at = np.stack([a.beads["y"], a.beads["x"]], 1)
        near = cKDTree(at).query(at, k=min(5, len(at)))[1][:, 1:]
        pairs.append(near)
        fates.append(a.is_missing)
    if not fates:
        return 0.0, 1.0
    rng = np.random.default_rng(0)

    def same(shuffled) -> float:
        agree = [(f[:, None] == f[p]) for f, p in zip(shuffled, pairs, strict=True)]
        return float(np.concatenate([a.ravel() for a in agree]).mean())

    observed = same(fates)
    by_chance = np.array(
        [same([rng.permutation(f) for f in fates]) for _ in range(_SHUFFLES)]
    )
    expected = by_chance.mean()
    z = (observed - expected) / max(float(by_chance.std()), 1e-9)
    effect = (observed - expected) / max(1 - expected, 1e-9)
    return float(effect), float(stats.norm.sf(z))
