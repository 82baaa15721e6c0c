"""Count, size and coverage of the beads of an image, from the image alone.

Circles are voted for by slopes (`circles`), judged by small networks that have seen
a few thousand generated beads under all kinds of microscope (`quick_count.npz`, fitted
by `tests/bench/fit_quick_count.py`), and thinned out until no two lie on one another:
first each for itself, then against what the best of the image have in common, which
tells beads from the gaps between them. No mask, no training and no jax are needed. A
large image is looked at through windows first: the size of most of its beads says which
octaves to search in full.
"""

from collections.abc import Iterable
from functools import cache
from importlib import resources
from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from beadseg.data.circles import (
    CONTRAST,
    GLANCE,
    LOOK,
    RADII,
    Octave,
    even_out,
    look,
    padded,
    pyramid,
    vote,
)

ACCEPT = 0.05  # score of a bead among those of its image
CANDIDATE = 0.04  # score of a circle for itself: in a clump little of a rim shows
CLOSEST = 0.65  # of the sum of two radii, between centres of different beads
WINDOW = 160  # px of an octave, side of a window
WINDOWS = 3  # of an octave
SPAN = 2.8  # largest bead over the usual one, and the usual one over the smallest
_PROMISING = 0.01  # score at the first glance
_SMALL = RADII[2]  # px: below, circles are tried in the first octave only


class Estimate(NamedTuple):
    """What is seen in an image without a mask."""

    count: int
    diameter_px: float  # median; nan where no bead is found
    coverage: float  # share of the pixels, 0..1
    centres: np.ndarray  # f32[N, 2], y and x, px
    diameters: np.ndarray  # f32[N], px
    scores: np.ndarray  # f32[N], 0..1


class Found(NamedTuple):
    """Beads in px of an image: f32[N] each, profile f32[N, R]."""

    y: np.ndarray
    x: np.ndarray
    radius: np.ndarray
    score: np.ndarray
    contrast: np.ndarray  # logarithm of the spread around
    profile: np.ndarray  # from the centre outwards, of mean 0 and spread near 1

    def take(self, which: np.ndarray) -> "Found":
        return Found(*(field[which] for field in self))


def estimate(image: np.ndarray) -> Estimate:
    """Finds the beads of an image roughly.

    Args:
      image: [H, W], any real type and scale.
    """
    image = even_out(image)
    levels = pyramid(image)
    tried = [radii(number) for number in range(len(levels))]
    if image.size > 4 * WINDOW**2:
        usual = _usual_radius(levels, tried)
        tried = [
            [r for r in each if usual / SPAN <= r * 2**number <= usual * SPAN]
            for number, each in enumerate(tried)
        ]
    beads = candidates(
        (padded(level, image.shape[0] / level.shape[0]), each)
        for level, each in zip(levels, tried, strict=True)
    )
    score, _ = judge("context", context(beads))
    beads = thin_out(beads._replace(score=score).take(score >= ACCEPT))
    centres = np.stack([beads.y, beads.x], 1)
    return Estimate(
        count=len(centres),
        diameter_px=float(2 * np.median(beads.radius)) if len(centres) else np.nan,
        coverage=covered(centres, beads.radius, image.shape),
        centres=centres,
        diameters=2 * beads.radius,
        scores=beads.score,
    )


def judge(name: str, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How well circles fit beads, f32[N] in 0..1, and factors that put radii right."""
    net = layers(name)
    x = (features - net["mean"]) / net["spread"]
    x = np.maximum(x @ net["w0"] + net["b0"], 0)
    x = np.maximum(x @ net["w1"] + net["b1"], 0)
    x = x @ net["w2"] + net["b2"]
    score = 1 / (1 + np.exp(-np.clip(x[:, 0], -30, 30)))
    return score, np.exp(np.clip(x[:, 1], -0.3, 0.3))


def thin_out(beads: Found) -> Found:
    """Those that lie on no better one, best first."""
    order = np.argsort(-beads.score, kind="stable")
    if not len(order):
        return beads
    at = np.stack([beads.y, beads.x], 1)[order]
    radius = beads.radius[order]
    reach = CLOSEST * (radius + radius.max())
    tree = cKDTree(at)
    gone = np.zeros(len(order), bool)
    kept = []
    for i in range(len(order)):
        if gone[i]:
            continue
        kept.append(i)
        near = np.array(tree.query_ball_point(at[i], reach[i]))
        apart = np.hypot(*(at[near] - at[i]).T)
        gone[near[apart < CLOSEST * (radius[i] + radius[near])]] = True
    return beads.take(order[kept])


def context(beads: Found) -> np.ndarray:
    """Each circle against the typical bead of the image: f32[N, F]."""
    if not len(beads.score):
        return np.zeros((0, 8), np.float32)
    best = thin_out(beads)
    strong = float(np.percentile(best.score, 90))
    best = best.take(best.score >= 0.7 * strong)
    typical = best.profile.mean(0)
    typical /= np.sqrt(np.mean(typical**2)) + 1e-6
    size = np.log(beads.radius / np.median(best.radius))
    contrast = beads.contrast - np.median(best.contrast)
    spread = float(np.log(best.radius).std())
    likeness = (beads.profile * typical).mean(1)
    agreement = float((best.profile * typical).mean())
    whole = np.ones_like(size)
    parts = (
        _logit(beads.score),
        _logit(strong) * whole,
        likeness,
        agreement * whole,
        size,
        np.abs(size),
        contrast,
        spread * whole,
    )
    return np.stack(parts, 1).astype(np.float32)


def _logit(score):
    score = np.clip(score, 1e-4, 1 - 1e-4)
    return np.log(score / (1 - score))


def covered(centres: np.ndarray, radius: np.ndarray, shape: tuple[int, ...]) -> float:
    """Share of an image of `shape` that lies in at least one disc."""
    if not len(centres):
        return 0.0
    step = max(1.0, float(np.median(radius)) / 6)
    height, width = (max(1, round(n / step)) for n in shape)
    seen = np.zeros((height, width), bool)
    for (cy, cx), r in zip((centres + 0.5) / step - 0.5, radius / step, strict=True):
        top, left = max(0, int(cy - r)), max(0, int(cx - r))
        y = np.arange(top, min(height, int(cy + r) + 2), dtype=np.float32)
        x = np.arange(left, min(width, int(cx + r) + 2), dtype=np.float32)
        if len(y) and len(x):
            disc = (y[:, None] - cy) ** 2 + (x - cx) ** 2 <= r * r
            seen[top : top + len(y), left : left + len(x)] |= disc
    return float(seen.mean())


def radii(number: int) -> list[float]:
    """Those to try in octave `number`, px of it."""
    return [r for r in RADII if number == 0 or r >= _SMALL]


def candidates(octaves: Iterable[tuple[Octave, list[float]]]) -> Found:
    """Circles in octaves, each with the radii to try in it, that may be beads."""
    parts = [_judged(octave, radii) for octave, radii in octaves if radii]
    if not parts:
        none = np.zeros(0, np.float32)
        return Found(*[none] * 5, np.zeros((0, len(LOOK.at)), np.float32))
    return Found(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _judged(octave: Octave, radii: list[float]) -> Found:
    circles = vote(octave, tuple(radii))
    promise, _ = judge("glance", look(octave, circles, GLANCE))
    circles = circles.take(promise >= _PROMISING)
    features = look(octave, circles, LOOK)
    score, factor = judge("look", features)
    good = score >= CANDIDATE
    circles, features = circles.take(good), features[good]
    return Found(
        y=octave.place(circles.y),
        x=octave.place(circles.x),
        radius=circles.radius * factor[good] * np.float32(octave.factor),
        score=score[good],
        contrast=features[:, CONTRAST],
        profile=features[:, : len(LOOK.at)],
    )


def _usual_radius(levels: list[np.ndarray], tried: list[list[float]]) -> float:
    """Radius, px of the image, of the beads that cover most of what windows show."""
    area, size = [np.zeros(0)], [np.ones(0)]
    for number, (level, each) in enumerate(zip(levels, tried, strict=True)):
        windows = _windows(level)
        for window in windows:
            beads = thin_out(candidates([(padded(window, 1.0), each)]))
            share = beads.score * beads.radius**2 / (len(windows) * window.size)
            area.append(share)
            size.append(beads.radius * 2**number)
    area, size = np.concatenate(area), np.concatenate(size)
    if not area.size:
        return float(_SMALL)
    bins = np.round(4 * np.log2(size)).astype(int)
    bins -= bins.min()
    total = np.bincount(bins, area)
    around = np.convolve(total, [0.5, 1, 0.5], "same")
    return float(np.median(size[np.abs(bins - around.argmax()) <= 1]))


def _windows(level: np.ndarray) -> list[np.ndarray]:
    """The parts of a level with the most contrast, or all of it if it is small."""
    rows, columns = (max(1, n // WINDOW) for n in level.shape)
    if rows * columns <= WINDOWS:
        return [level]
    height, width = (n // k for n, k in zip(level.shape, (rows, columns), strict=True))
    parts = [
        level[i * height : (i + 1) * height, j * width : (j + 1) * width]
        for i in range(rows)
        for j in range(columns)
    ]
    contrast = [float(part[::4, ::4].std()) for part in parts]
    best = np.argsort(contrast, kind="stable")[-WINDOWS:]
    return [parts[i] for i in best]


@cache
def layers(name: str) -> dict[str, np.ndarray]:
    file = resources.files("beadseg.data").joinpath("quick_count.npz")
    with file.open("rb") as stream, np.load(stream) as stored:
        return {
            key.removeprefix(f"{name}/"): stored[key].astype(np.float32)
            for key in stored.files
            if key.startswith(f"{name}/")
        }
