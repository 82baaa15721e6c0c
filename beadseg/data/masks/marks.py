"""Whether masks mark beads instead of outlining them: equal discs of any radius.

Who marks beads by their centres stamps a disc on each. Such a mask is the truth about
where beads are and how many, and says nothing of their edges: a model that finds every
edge is told that it is wrong. Equal discs alone prove nothing, as beads of one size
have such outlines too. What tells is their size against that of the beads: outlines
follow it from image to image, marks do not.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.cluster.vq import kmeans2
from scipy.optimize import minimize_scalar
from scipy.spatial import cKDTree

from beadseg.data.masks.beads import on_border
from beadseg.matching import centroids, number_beads

KINDS = ("auto", "outlines", "marks")  # values of `config.data.masks`
EQUAL = 0.09  # relative standard deviation of the diameters of equal marks, the most
ROUND = 0.3  # of the marks, that are lone discs, the least
ALIKE = 0.7  # of the masks, that hold equal discs, the least
FEWEST = 10  # marks whose beads are seen, before anything is said
SEEN = 0.3  # of the lone discs, likewise
WRONG_SIZE = 1.25  # times as wide as the beads, or as narrow: no outline
REACHED = 0.85  # Jaccard with outlines of one convention, the least
MIXED = 0.18  # standard deviation of log diameters of beads of many sizes, the least
BARE = 0.1  # of a piece, that discs as wide as the lone ones leave uncovered, the most
_SPLIT = 0.2  # of the median, by which a tenth of equal marks that touch are smaller
_TENTH = 1.2816  # standard deviations from the median to a tenth of a normal variable
_SIGMA = 1.4826  # standard deviations in the median absolute deviation of one


@dataclass(frozen=True)
class MarkedImage:
    """The lone discs of one mask, and the beads that they lie on."""

    name: str
    count: int  # whole pieces of the mask, discs or not
    discs: np.ndarray  # f[N], px, diameters of those that are
    marks: np.ndarray  # f[M], px, of those whose bead is seen
    beads: np.ndarray  # f[M], px, of these beads

    @property
    def equal(self) -> bool:
        """Whether nothing but equal discs is there, and what becomes of touching ones.

        Touching discs may look like a larger one: the smaller half tells.
        """
        if not len(self.discs) or len(self.discs) < ROUND * self.count:
            return False
        low, middle = np.percentile(self.discs, (10, 50))
        return bool(middle - low <= EQUAL * _TENTH * middle)


@dataclass(frozen=True)
class Marks:
    """What the masks of a data set are."""

    are_marks: bool
    diameters: dict[str, float]  # px, of the median disc of each image that has one
    beads: dict[str, float]  # px, of the median bead under them, where it is seen
    diameter: float  # px, of the median bead of all, else of the median disc; nan: none
    best_jaccard: float  # with these masks, of whoever finds every edge; nan: unknown
    one_size: bool  # whether the beads of an image are, as far as they are seen

    def sentence(self) -> str:
        """What a person should hear of marks."""
        if not self.diameters:
            return "the masks are marks, not outlines"
        radii = np.array([*self.diameters.values()]) / 2
        said = f"{radii.min():.1f}"
        if f"{radii.max():.1f}" != said:
            said += f" to {radii.max():.1f}"
        said = f"the masks are equal discs with a radius of {said} px"
        if self.beads:
            bead = float(np.median([*self.beads.values()])) / 2
            said += f" on beads with a radius of about {bead:.1f} px"
        said += ": marks, not outlines"
        if np.isfinite(self.best_jaccard):
            said += (
                f"; a model that finds every edge reaches a Jaccard of at most "
                f"{self.best_jaccard:.2f} on them"
            )
        return said


def may_be_marks(of_images: Sequence[Sequence[float]]) -> bool:
    """Whether sizes alone allow that masks are marks: told in no time.

    Args:
      of_images: diameters of the whole pieces of each mask, px.
    """
    of_images = [np.array(diameters) for diameters in of_images if len(diameters)]
    spreads = [1 - np.percentile(d, 10) / np.median(d) for d in of_images]
    return bool(spreads) and np.mean(np.array(spreads) <= _SPLIT) >= ALIKE


def measure_marks(
    name: str, labels: np.ndarray, seen: Sequence[tuple[int, float]] = ()
) -> MarkedImage:
    """Finds the discs of a mask.

    Args:
      labels: i[H, W], positive marks.
      seen: label of a mark, and diameter in px of the bead seen under it alone.
    """
    ids, index = number_beads(labels)
    if not len(ids):
        return MarkedImage(name, 0, *[np.zeros(0)] * 3)
    area, disc = _discs(index, len(ids))
    whole = ~np.isin(ids, on_border(labels))
    diameters = 2 * np.sqrt(area / np.pi)
    lone, beads = disc & whole, dict(seen)
    pairs = [
        (diameter, beads[label])
        for label, diameter in zip(ids[lone], diameters[lone], strict=True)
        if label in beads
    ]
    marks, under = np.array(pairs, float).reshape(-1, 2).T
    return MarkedImage(name, int(whole.sum()), diameters[lone], marks, under)


def kind_of_masks(images: Sequence[MarkedImage], kind: str = "auto") -> Marks:
    """Tells marks from outlines.

    Marks are equal discs of another size than the beads: by a factor of `WRONG_SIZE`,
    or by one that changes from image to image or from bead to bead, so that even with
    the best factor in common beads and marks do not reach a Jaccard of `REACHED`.
    Where too few beads are seen, masks are taken for outlines.

    Args:
      kind: of `KINDS`; all but "auto" decides.
    """
    images = [image for image in images if image.count]
    discs = np.concatenate([image.discs for image in images] or [np.zeros(0)])
    beads = np.concatenate([image.beads for image in images] or [np.zeros(0)])
    equal = bool(images) and np.mean([image.equal for image in images]) >= ALIKE
    seen = len(beads) >= max(FEWEST, SEEN * len(discs))
    factor, best = _best_factor(images) if len(beads) else (1.0, float("nan"))
    differ = best < REACHED or not 1 / WRONG_SIZE < factor < WRONG_SIZE
    usual = beads if seen else discs
    return Marks(
        are_marks=kind == "marks" or kind == "auto" and bool(equal and seen and differ),
        diameters={i.name: float(np.median(i.discs)) for i in images if len(i.discs)},
        beads={i.name: float(np.median(i.beads)) for i in images if len(i.beads)},
        diameter=float(np.median(usual)) if len(usual) else float("nan"),
        best_jaccard=best,
        one_size=not _mixed(images),
    )


def mark_centres(labels: np.ndarray) -> np.ndarray:
    """f32[N, 2], y and x, px: where equal discs were stamped, also on each other.

    A piece of several discs has several centres (k-means of its pixels): the fewest
    around which discs as wide as the lone ones cover all but `BARE` of it. Its area
    would tell more of them, as marks that touch are often one body without necks.

    Args:
      labels: i[H, W], positive marks; those of touching discs may be parts or wholes.
    """
    lone = measure_marks("", labels).discs
    radius = float(np.median(lone)) / 2 if len(lone) else None
    pieces, number = ndimage.label(labels > 0)
    _, disc = _discs(pieces, number)
    at = []
    for i, box in enumerate(ndimage.find_objects(pieces)):
        inside = pieces[box] == i + 1
        own = centres(np.where(inside, labels[box], 0))
        if radius is not None and not disc[i]:
            own = _covering(np.argwhere(inside).astype(np.float32), own, radius)
        at.append(own + [s.start for s in box])
    return np.concatenate(at or [np.zeros((0, 2))]).astype(np.float32)


def _covering(pixels: np.ndarray, own: np.ndarray, radius: float) -> np.ndarray:
    """The fewest centres around which discs cover the pixels of a piece, f32[P, 2].

    `own` are those of its parts, which are taken where they are as few.
    """
    reach = radius + 0.5  # a pixel is a square, not a point
    fewest = (1 - BARE) * len(pixels) / (np.pi * reach**2)
    most = max(len(own), len(pixels) / (np.pi * radius**2) + 1)
    count = max(math.ceil(fewest), 1)
    while True:
        at = own
        if count != len(own):
            at = kmeans2(pixels, count, minit="++", rng=0)[0]
        away = cKDTree(at).query(pixels)[0]
        if np.mean(away > reach) <= BARE or count >= most:
            return at
        count = max(count + 1, round(1.05 * count))  # of many no step tells much


def centres(labels: np.ndarray) -> np.ndarray:
    """f32[N, 2], y and x, of the positive labels i[H, W] in ascending order, px."""
    return centroids(labels).astype(np.float32)


def _discs(index: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Area of the pieces 1..N of i[H, W], px, and whether each is a disc: [N]."""
    rows, columns = np.nonzero(index)
    of = index[rows, columns] - 1
    area = np.bincount(of, minlength=count)
    spread = np.full(count, 1 / 6)  # a pixel is a square, not a point
    for at in (rows, columns):
        centre = np.bincount(of, at, count) / area
        spread += np.bincount(of, (at - centre[of]) ** 2, count) / area
    # 1 for a disc, more for all else; a disc of few pixels has corners.
    return area, 2 * np.pi * spread / area <= 1.012 + 0.4 * np.pi / area


def _mixed(images: Sequence[MarkedImage]) -> bool:
    """Whether the beads of an image are of many sizes, as far as they are seen."""
    away = [np.log(i.beads / np.median(i.beads)) for i in images if len(i.beads)]
    return bool(away) and _SIGMA * np.median(np.abs(np.concatenate(away))) > MIXED


def _best_factor(images: Sequence[MarkedImage]) -> tuple[float, float]:
    """The factor on the diameters of beads that fits the marks best, and the Jaccard.

    Of concentric discs, all pixels pooled. Diameters of small beads are uncertain: in
    an image they count as equal, unless they differ by far.
    """
    images = [image for image in images if len(image.beads)]
    mixed = _mixed(images)
    marks = np.concatenate([image.marks for image in images])
    beads = np.concatenate(
        [
            i.beads if mixed else np.full(len(i.beads), np.median(i.beads))
            for i in images
        ]
    )

    def jaccard(log_factor: float) -> float:
        scaled = np.exp(log_factor) * beads
        shared, either = np.minimum(marks, scaled), np.maximum(marks, scaled)
        return float((shared**2).sum() / (either**2).sum())

    ratios = np.log(marks / beads)
    bounds = (ratios.min() - 0.01, ratios.max() + 0.01)
    grid = np.linspace(*bounds, 64)  # several maxima are possible
    start = int(np.argmax([jaccard(x) for x in grid]))
    around = (grid[max(start - 1, 0)], grid[min(start + 1, 63)])
    best = minimize_scalar(lambda x: -jaccard(x), bounds=around, method="bounded")
    return float(np.exp(best.x)), float(-best.fun)
