"""How sure it is that a region is a bead: expected precision, from 0 to 1.

Small networks, fitted on generated images of all kinds and on empty ones
(`python -m tests.bench.fit_scores`), judge the region itself, then how well other
levels of the pyramid found the same disc, then its size and place among the other beads
of its image. Where some beads are far larger than others, those judge that were fitted
on more such images: to the others a small bead beside large ones looks like dust.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from beadseg.default_model import DEFAULT
from beadseg.inference.pyramid.pyramid import Candidates, Level, octaves
from beadseg.inference.pyramid.suppression import GOOD

FILE = DEFAULT / "scores.npz"
WIDE = DEFAULT / "scores_wide.npz"  # for images whose beads differ in size
KINDS = ("alone", "supported", "in_context")  # networks, each knows more
SUPPORT = (-2, -1, 1, 2)  # octaves to other levels
STRONG = 0.6  # difference of brightness beyond which more says nothing
LOUD = 30.0  # times the noise of the background: more says nothing
LEAST_NOISE = 0.003
LARGER = 1.4  # times as large: what lies around, not the same disc
NOTHING = 0.1  # score
FAR_LARGER = 4.0  # times as large as most
UNLIKE, SOME_UNLIKE = 3.0, 3  # times the size of most, or a third; regions, at least
_GRID = np.arange(0.0, 12.0, 0.1)  # log2 of diameters, px
_BANDWIDTH = 0.25  # octaves
_FAINT = 0.03  # difference of brightness that is none


def appearance(levels: Sequence[Level], found: Candidates) -> np.ndarray:
    """What each region looks like at its level: f32[N, F]."""
    columns = []
    for number, level in enumerate(levels):
        rows = np.searchsorted(
            level.regions["label"], found.label[found.level == number]
        )
        region = {name: values[rows] for name, values in level.regions.items()}
        columns.append(_appearance(region))
    return np.concatenate(columns).astype(np.float32)


def polarity(levels: Sequence[Level], found: Candidates) -> np.ndarray:
    """How much brighter each candidate is than what lies around: f64[N].

    Than the middle of the range of brightness, where no background is clear around.
    """
    differs = np.zeros(len(found.level))
    for number, level in enumerate(levels):
        own = found.level == number
        rows = np.searchsorted(level.regions["label"], found.label[own])
        region = {name: values[rows] for name, values in level.regions.items()}
        usual = region["background"]
        if len(usual):
            usual = np.where(np.isnan(usual), 0.5, usual)
        differs[own] = region["mean_intensity"] - usual
    return differs


def contrast(region: dict[str, np.ndarray]) -> np.ndarray:
    """How much brighter than around: f64[N]; 0 where nothing around is clear."""
    return np.nan_to_num(region["mean_intensity"] - region["background"])


def _appearance(region: dict[str, np.ndarray]) -> np.ndarray:
    mean = np.clip(region["mean_probability"], 1e-3, 1 - 1e-3)
    size = np.log2(region["diameter_px"] / 12)
    major = np.maximum(region["major_axis_px"], 1e-3)
    minor = np.maximum(region["minor_axis_px"], 1e-3)
    differs = np.clip(contrast(region), -STRONG, STRONG)
    noise = np.nan_to_num(region["noise"]) + LEAST_NOISE
    parts = (
        np.log(mean / (1 - mean)),
        region["sure"],
        region.get("distance", np.full(len(size), 0.4)),
        size,
        size**2,
        np.clip(region["circularity"], 0.2, 1.4),
        np.log(minor / major),
        np.log(region["area_px"] / (np.pi / 4 * major * minor + 1)),
        region["on_border"],
        differs,
        np.abs(differs),
        np.isnan(region["background"]),
        np.clip(region["mean_intensity"], -0.1, 1.1),
        np.log(np.clip(np.abs(contrast(region)) / noise, 0.5, LOUD)),
    )
    return np.stack([np.asarray(part, float) for part in parts], 1)


def agreement(found: Candidates, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """How much two candidates are the same disc, 0..1: f64 of the pairs.

    The ratio of the areas, less what the centres are apart.
    """
    small = np.minimum(found.diameter[one], found.diameter[other])
    large = np.maximum(found.diameter[one], found.diameter[other])
    apart = np.hypot(found.y[one] - found.y[other], found.x[one] - found.x[other])
    return (small / large) ** 2 * np.maximum(0, 1 - 1.3 * apart / large)


def support(found: Candidates, beneath: np.ndarray, octaves: np.ndarray) -> np.ndarray:
    """How well neighbouring levels found the same disc: f32[N, F].

    Args:
      found: the candidates.
      beneath: of `pyramid.under`.
      octaves: of `pyramid.octaves`.
    """
    columns = []
    for step in SUPPORT:
        wanted = octaves[found.level] + step
        same, there = np.zeros((2, len(found.level)))
        for octave, other in zip(octaves, beneath, strict=True):
            there[wanted == octave] = 1
            pairs = np.flatnonzero((wanted == octave) & (other >= 0))
            agree = agreement(found, pairs, other[pairs])
            same[pairs] = np.maximum(same[pairs], agree)
        columns += [same, there]
    return np.stack(columns, 1).astype(np.float32)


def context(
    found: Candidates, beneath: np.ndarray, score: np.ndarray, differs: np.ndarray
) -> np.ndarray:
    """Each candidate among the others of its image: f32[N, F].

    Args:
      found: the candidates.
      beneath: of `pyramid.under`.
      score: f[N], the first scores.
      differs: f[N], of `polarity`.
    """
    size = np.log2(np.maximum(found.diameter, 1.0))
    weight = score**3
    counts = _density(size, weight)
    covers = _density(size, weight * 4.0**size)
    parts = [
        size - _GRID[counts.argmax()],
        size - _GRID[covers.argmax()],
        np.interp(size, _GRID, counts) / max(weight.sum(), 1e-9),
        np.interp(size, _GRID, covers) / max((weight * 4.0**size).sum(), 1e-9),
        np.full(len(size), np.sort(score)[-10:].mean() if len(score) else 0.0),
    ]
    for share in (weight, weight * 4.0**size):  # as bright as most, or as the largest?
        usual = (share * differs).sum() / max(share.sum(), 1e-9)
        usual = np.copysign(max(abs(usual), _FAINT), usual)
        parts.append(np.clip(differs / usual, -3, 3))
        parts.append(np.log(np.maximum(np.abs(differs), _FAINT) / abs(usual)))
    return np.stack(parts + _family(found, beneath, score), 1).astype(np.float32)


def _density(size: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weighted density of sizes on `_GRID`, smoothed."""
    step = _GRID[1] - _GRID[0]
    at = np.clip(np.rint(size / step).astype(int), 0, len(_GRID) - 1)
    total = np.bincount(at, weight, len(_GRID))
    reach = np.arange(-10, 11) * step
    return np.convolve(total, np.exp(-0.5 * (reach / _BANDWIDTH) ** 2), "same")


def _family(found: Candidates, beneath: np.ndarray, score: np.ndarray) -> list:
    """What lies around each candidate, what in it, and what is the same disc."""
    count = len(found.level)
    own = np.arange(count)
    around, ratio = np.zeros(count), np.zeros(count)
    inside, twin = np.zeros(count), np.zeros(count)
    for other in beneath:
        pairs = np.flatnonzero((other >= 0) & (other != own))
        there = other[pairs]
        larger = found.diameter[there] > LARGER * found.diameter[pairs]
        children, parents = pairs[larger], there[larger]
        share = (found.diameter[children] / found.diameter[parents]) ** 2
        inside += np.bincount(parents, share * score[children], count)
        better = score[parents] > around[children]
        around[children[better]] = score[parents[better]]
        ratio[children[better]] = np.log2(share[better])
        same = pairs[~larger], there[~larger]
        close = agreement(found, *same) > 0.4
        np.maximum.at(twin, same[0][close], score[same[1][close]])
        np.maximum.at(twin, same[1][close], score[same[0][close]])
    return [around, ratio, np.minimum(inside, 3.0), twin, twin - score]


def scores(
    levels: Sequence[Level],
    found: Candidates,
    beneath: np.ndarray | None,
) -> np.ndarray:
    """The score of each candidate, f32[N].

    Args:
      levels: of an image.
      found: its candidates.
      beneath: of `pyramid.under`; None: there is one level, and nothing to compare.
    """
    alone = appearance(levels, found)
    if beneath is None or not len(found.level):
        return scored_by("alone", alone)
    around = support(found, beneath, octaves(levels))
    supported = np.concatenate([alone, around], 1)
    differs = polarity(levels, found)
    wide = _in_context(WIDE, found, beneath, supported, differs)
    if sizes_differ(found.diameter[wide >= GOOD]):
        return wide
    return _in_context(FILE, found, beneath, supported, differs)


def sizes_differ(diameter: np.ndarray) -> bool:
    """Whether some beads f[N] are far larger or smaller than most."""
    if not len(diameter):
        return False
    times = diameter / np.median(diameter)
    large, small = times >= UNLIKE, times <= 1 / UNLIKE
    return max(np.count_nonzero(large), np.count_nonzero(small)) >= SOME_UNLIKE


def _in_context(
    file: Path,
    found: Candidates,
    beneath: np.ndarray,
    supported: np.ndarray,
    differs: np.ndarray,
) -> np.ndarray:
    """The scores of candidates among each other, by the networks of a file."""

    def in_context(weight):
        others = context(found, beneath, weight, differs)
        features = np.concatenate([supported, others], 1)
        return scored_by("in_context", features, file)

    first = scored_by("supported", supported, file)
    score = in_context(first)
    pretended = _pretended(found, score)
    if not pretended.any():
        return score
    rest = np.where(pretended, score, in_context(np.where(pretended, 0, first)))
    return rest if rest.sum() > score.sum() else score


def _pretended(found: Candidates, score: np.ndarray) -> np.ndarray:
    """Large candidates that are no beads, and should not tell the size of any: bool[N].

    A stain or a change of light across the field looks like a bead to itself: it covers
    more than all tiny beads together.
    """
    nothing = score < NOTHING
    others = found.diameter[~nothing] if not nothing.all() else found.diameter
    return nothing & (found.diameter >= FAR_LARGER * np.median(others))


def scored_by(kind: str, features: np.ndarray, file: Path = FILE) -> np.ndarray:
    """Probability of being a bead, f32[N], of f32[N, F], by the networks `kind`."""
    return mean_of(networks(file)[kind], features)


def mean_of(nets: Sequence[dict[str, np.ndarray]], features: np.ndarray) -> np.ndarray:
    """Of several networks the mean of their logits, as a probability, f32[N]."""
    return _probability(np.mean([forward(net, features) for net in nets], 0))


def forward(net: dict[str, np.ndarray], features: np.ndarray) -> np.ndarray:
    """Logits of one network, f32[N], of f32[N, F]."""
    x = np.clip((features - net["mean"]) / net["spread"], -6, 6)
    x = np.maximum(x @ net["w0"] + net["b0"], 0)
    x = np.maximum(x @ net["w1"] + net["b1"], 0)
    return (x @ net["w2"] + net["b2"])[:, 0]


def _probability(logits: np.ndarray) -> np.ndarray:
    return (1 / (1 + np.exp(-np.clip(logits, -30, 30)))).astype(np.float32)


@cache
def networks(file: Path) -> dict[str, list[dict[str, np.ndarray]]]:
    """The weights of the networks, by kind; stored as "KIND/MEMBER/ARRAY"."""
    found: dict[str, list[dict[str, np.ndarray]]] = {kind: [] for kind in KINDS}
    with np.load(file, allow_pickle=False) as stored:
        for key in sorted(stored.files):
            kind, member, name = key.split("/")
            if len(found[kind]) <= int(member):
                found[kind].append({})
            found[kind][int(member)][name] = stored[key]
    return found
