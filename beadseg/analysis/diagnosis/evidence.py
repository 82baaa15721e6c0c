"""What the validation images of a run give away: numbers that causes are judged by.

An image is looked at once (`examine`) and leaves a row of numbers; `Evidence` pools the
rows and adds the curves of the run. Causes (`diagnosis`) read nothing else.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from beadseg import matching
from beadseg.analysis.fingerprint import Pair
from beadseg.data.masks.beads import edges
from beadseg.data.scaling import background, bead_diameters
from beadseg.training.completeness import are_partial

LEVELS = 100  # of probability
_LOOSE = 0.2  # IoU from which a bead is found, with a poor outline perhaps
_UNSURE = (0.2, 0.8)
_TINY = 0.45  # bead diameters: components smaller across are specks
_NEIGHBOURS = 7  # beads whose brightness tells the light
_CALM = 50  # percentile of the slopes of an image, up to which it is calm
_JUMP = 0.1  # of probability, from pixel to pixel, inside a bead
_RIM = 4  # px of an image's border, where networks see less
_EDGES = 6.0  # px beyond which two outlines are not compared


class ExaminedImage(NamedTuple):
    """A validation image and what the network makes of it."""

    name: str
    image: np.ndarray  # f32[H, W]
    labels: np.ndarray  # i32[H, W]; 0 background, > 0 beads, -1 unknown
    probability: np.ndarray  # f32[H, W]
    predicted: np.ndarray  # i32[H, W]


class Row(NamedTuple):
    """Numbers of one image."""

    name: str
    diameter: float  # px, median of the labelled beads; nan without
    truth: int
    predicted: int
    true_positive: int
    located: int  # labelled beads with a prediction on them, whatever its outline
    false_negative: int
    false_positive: int
    merged: int  # labelled beads under one prediction with another
    split: int  # labelled beads cut into several predictions
    specks: int  # tiny components of the predicted mask off the labels
    beadlike: int  # false positives of the size and contrast of true ones
    positive: np.ndarray  # i64[LEVELS], pixels on labelled beads by probability
    negative: np.ndarray  # i64[LEVELS], off them
    positive_pixels: int  # pixels over the threshold
    false_negative_probability: float  # sum over missed beads of their mean probability
    unsure: float  # pixels of middling probability
    outline: float  # pixels of predicted outline
    outline_error: float  # px, sum over the outline of found beads
    outline_pixels: float
    area_ratio: np.ndarray  # f64[K], predicted over labelled, of the found
    light: np.ndarray  # f64[N], of the beads around each labelled one, share of range
    sure: np.ndarray  # f64[N], mean probability of each labelled bead
    seam: float  # share of the pixels of the worst line across which it jumps


@dataclass(frozen=True)
class Evidence:
    """All that the causes may look at."""

    rows: tuple[Row, ...]
    threshold: float
    curve: tuple[dict[str, Any], ...] = ()  # rows of kind "validation"
    training: tuple[dict[str, Any], ...] = ()  # rows of kind "train_epoch"
    leaks: tuple[Pair, ...] = ()
    labelled: float = float("nan")  # share of the beads seen that training masks label
    seen: float = float("nan")  # share of the labelled that the estimate sees
    config: dict[str, Any] = field(default_factory=dict)
    expected_diameter: float = float("nan")  # px, as the network sees it in training

    @property
    def partial(self) -> bool:
        """Whether training masks lack beads, as far as the estimate can be trusted."""
        return are_partial(self.labelled, self.seen)

    def total(self, name: str) -> float:
        return float(sum(getattr(row, name) for row in self.rows))

    def pixels(self, name: str) -> np.ndarray:
        """i64[LEVELS] by probability, on ("positive") or off ("negative") beads."""
        return sum((getattr(r, name) for r in self.rows), np.zeros(LEVELS, np.int64))

    def share(self, name: str) -> float:
        """Of the labelled beads."""
        return self.total(name) / max(self.total("truth"), 1)

    @property
    def diameter(self) -> float:
        sizes = [row.diameter for row in self.rows if np.isfinite(row.diameter)]
        return float(np.median(sizes)) if sizes else float("nan")

    @property
    def jaccards(self) -> np.ndarray:
        """f64[LEVELS + 1], pooled, at each threshold k / LEVELS."""
        above, wrong = (
            np.append(np.cumsum(self.pixels(name)[::-1])[::-1], 0)
            for name in ("positive", "negative")
        )
        return above / np.maximum(above[0] + wrong, 1)

    def jaccard_at(self, threshold: float) -> float:
        return float(self.jaccards[round(threshold * LEVELS)])

    @property
    def best(self) -> tuple[float, float]:
        """The best Jaccard and its threshold."""
        scores = self.jaccards
        return float(scores.max()), float(scores.argmax() / LEVELS)

    @property
    def unsure_width(self) -> float:
        """px of middling probability to a px of predicted outline."""
        return self.total("unsure") / max(self.total("outline"), 1)

    @property
    def undecided(self) -> bool:
        """Whether not only edges are neither bead nor background."""
        return min(self.unsure_shares()) > 0.5

    def unsure_shares(self) -> tuple[float, float]:
        """Of the pixels on beads, and of those off them, 0..1."""
        low, high = (round(LEVELS * limit) for limit in _UNSURE)
        counts = self.pixels("positive"), self.pixels("negative")
        return tuple(float(np.sum(c[low:high]) / max(np.sum(c), 1)) for c in counts)

    @property
    def trivial(self) -> float:
        """Jaccard of calling everything bead: what no skill at all reaches."""
        return float(self.jaccards[0])

    @property
    def skill(self) -> float:
        """Jaccard at the best threshold, beyond what no skill reaches."""
        return self.best[0] - self.trivial

    @property
    def predicted_share(self) -> float:
        """Predicted over labelled pixels."""
        labelled = int(self.pixels("positive").sum())
        return self.total("positive_pixels") / max(labelled, 1)

    @property
    def silent(self) -> bool:
        """Hardly anything is predicted where there are beads."""
        return bool(self.total("truth")) and self.predicted_share < 0.1

    @property
    def false_negative_probability(self) -> float:
        missed = max(self.total("false_negative"), 1)
        return self.total("false_negative_probability") / missed

    @property
    def background_probability(self) -> float:
        negative, middle = self.pixels("negative"), (np.arange(LEVELS) + 0.5) / LEVELS
        return float((negative * middle).sum() / max(negative.sum(), 1))


def examine(seen: ExaminedImage, threshold: float) -> Row:
    """The numbers of one image."""
    labels, predicted = seen.labels, seen.predicted
    known = labels >= 0
    sizes = bead_diameters(labels) if (labels > 0).any() else np.zeros(0)
    diameter = float(np.median(sizes)) if len(sizes) else float("nan")
    overlaps = matching.overlaps(labels, predicted)
    matched = matching.match(overlaps)
    loose = matching.match(overlaps, min_iou=_LOOSE)
    wrong = matching.errors(overlaps, matched)
    inside = labels > 0
    level = np.clip((seen.probability * LEVELS).astype(int), 0, LEVELS - 1)
    over = (seen.probability >= threshold) & known
    means = _means(seen.probability, labels, overlaps.truth)
    missed = np.isin(overlaps.truth, wrong.false_negative)
    error, pixels = _outline_error(labels, predicted, loose)
    flat = predicted > 0
    outline = flat & ~ndimage.binary_erosion(flat)
    unsure = _between(seen.probability, known & ~inside)
    area = overlaps.truth_area[overlaps.truth.searchsorted(loose.truth)]
    at = overlaps.predicted.searchsorted(loose.predicted)
    return Row(
        name=seen.name,
        diameter=diameter,
        truth=len(overlaps.truth),
        predicted=len(overlaps.predicted),
        true_positive=len(wrong.true_positive),
        located=len(loose.truth),
        false_negative=len(wrong.false_negative),
        false_positive=len(wrong.false_positive),
        merged=len(wrong.merged),
        split=len(wrong.split),
        specks=_specks(over, inside, diameter),
        beadlike=_beadlike(seen, overlaps, wrong, diameter),
        positive=np.bincount(level[inside], minlength=LEVELS),
        negative=np.bincount(level[known & ~inside], minlength=LEVELS),
        positive_pixels=int(over.sum()),
        false_negative_probability=float(means[missed].sum()),
        unsure=float((unsure & known).sum()),
        outline=float(outline.sum()),
        outline_error=error,
        outline_pixels=pixels,
        area_ratio=overlaps.predicted_area[at] / area,
        light=_light(seen, overlaps.truth),
        sure=means,
        seam=_seam(seen.probability, seen.image),
    )


def pool(images: Iterable[ExaminedImage], threshold: float, **more: Any) -> Evidence:
    """Evidence from images, one at a time, and from what else is known of the run."""
    return Evidence(
        tuple(examine(seen, threshold) for seen in images), threshold, **more
    )


def _means(values: np.ndarray, labels: np.ndarray, ids: np.ndarray) -> np.ndarray:
    if not len(ids):
        return np.zeros(0)
    return np.asarray(ndimage.mean(values, np.maximum(labels, 0), ids))


def _between(probability: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """Pixels that are neither bead nor like most of the background."""
    usual = float(np.median(probability[outside])) if outside.any() else 0.0
    level = (probability - usual) / max(1 - usual, 1e-6)
    return (level > _UNSURE[0]) & (level < _UNSURE[1])


def _specks(over: np.ndarray, inside: np.ndarray, diameter: float) -> int:
    """Components that lie off the beads, and are far smaller than a bead."""
    parts, number = ndimage.label(over)
    if not number:
        return 0
    area = np.bincount(parts.ravel(), minlength=number + 1)[1:]
    on = np.bincount(parts.ravel(), inside.ravel(), number + 1)[1:]
    size = _TINY * (diameter if np.isfinite(diameter) else 24.0)
    return int(np.sum((on == 0) & (area < np.pi / 4 * size**2)))


def _beadlike(seen: ExaminedImage, overlaps, wrong, diameter: float) -> int:
    """False positives of the size of labelled beads, as sure and as strong."""
    if not len(wrong.false_positive) or not len(wrong.true_positive):
        return 0
    area = dict(zip(overlaps.predicted, overlaps.predicted_area, strict=True))
    usual = np.pi / 4 * diameter**2
    sized = [i for i in wrong.false_positive if 0.4 * usual < area[i] < 2.5 * usual]
    if not sized:
        return 0
    size = max(4 * diameter, 8)
    local = np.abs(seen.image - background(seen.image, size)).astype(np.float32)
    strength = np.median(_means(local, seen.labels, wrong.true_positive))
    sure = np.median(_means(seen.probability, seen.labels, wrong.true_positive))
    strong = _means(local, seen.predicted, np.array(sized)) > 0.5 * strength
    certain = _means(seen.probability, seen.predicted, np.array(sized)) > 0.7 * sure
    return int(np.sum(strong & certain))


def _outline_error(labels, predicted, matched) -> tuple[float, float]:
    """Distances from predicted outlines to labelled ones, summed, and how many px."""
    if not len(matched.truth):
        return 0.0, 0.0
    partner = np.zeros(int(predicted.max()) + 1, np.int64)
    partner[matched.predicted] = matched.truth
    paired = partner[np.maximum(predicted, 0)]
    outline, border = edges(paired), edges(labels)
    # Twice: what is too much is far from the labels, what is missing far from it.
    total, pixels = 0.0, 0
    own = np.isin(labels, matched.truth)
    near = ndimage.binary_dilation(own, iterations=2) | (paired > 0)
    for here, there in ((outline, border), (border, outline)):
        here = here & near
        if here.any() and there.any():
            away = ndimage.distance_transform_edt(~there)[here]
            away = away[away < _EDGES * 2]
            total += float(np.minimum(away, _EDGES).sum())
            pixels += len(away)
    return total, float(pixels)


def _light(seen: ExaminedImage, ids: np.ndarray) -> np.ndarray:
    """How bright beads are around each labelled one, as a share of the range.

    What a single bead is like averages out; the light that falls on them stays, and
    on a dark background only beads show it.
    """
    if not len(ids):
        return np.zeros(0)
    low, high = np.percentile(seen.image, (1, 99))
    own = _means((seen.image - low) / max(high - low, 1e-6), seen.labels, ids)
    places = matching.centroids(seen.labels)
    _, near = cKDTree(places).query(places, min(_NEIGHBOURS, len(ids)))
    return own[near.reshape(len(ids), -1)].mean(1)


def _seam(probability: np.ndarray, image: np.ndarray) -> float:
    """Of the pixels along the worst line of the image, the share that jumps.

    Only pixels on beads count, and where the image itself is calm: the edges of beads
    that lie in a row are no seam.
    """
    worst = 0.0
    smooth = ndimage.gaussian_filter(image, 1.0, truncate=3)
    slope = np.hypot(*np.gradient(smooth))
    calm = slope <= np.percentile(slope, _CALM)
    probability, calm = (a[_RIM:-_RIM, _RIM:-_RIM] for a in (probability, calm))
    for axis in (0, 1):
        if min(probability.shape) < 32:
            continue
        first, second = ([slice(None), slice(None)] for _ in range(2))
        first[axis], second[axis] = slice(None, -1), slice(1, None)
        a, b = probability[tuple(first)], probability[tuple(second)]
        bead = calm[tuple(second)] & (np.maximum(a, b) > _UNSURE[0])
        jumps = bead & (np.abs(a - b) > _JUMP)
        number = bead.sum(1 - axis)
        share = jumps.sum(1 - axis) / np.maximum(number, 1)
        enough = number >= max(0.1 * probability.shape[1 - axis], 10)
        worst = max(worst, float(share[enough].max(initial=0)))
    return worst
