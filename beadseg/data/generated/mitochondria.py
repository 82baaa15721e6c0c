"""The sparse preset: a section of tissue with two or three branching mitochondria."""

from typing import NamedTuple

import numpy as np

from beadseg.data.generated.fields import smooth_noise, upsample
from beadseg.data.generated.settings import GeneratedSettings
from beadseg.data.masks.beads import BEAD_TABLE, crowding, on_border

ATTEMPTS = 60  # placements tried until coverage and number are in their ranges


class Body(NamedTuple):
    """A tube as overlapping discs, in units of its half width."""

    y: np.ndarray  # f[P]
    x: np.ndarray  # f[P]
    radius: np.ndarray  # f[P]


def _strand(rng, y, x, heading, length, start) -> tuple[np.ndarray, ...]:
    points = max(3, int(length / 0.35))
    turn = np.cumsum(rng.normal(0, 0.13, points)) + heading
    bend = 0.3 * np.sin(np.linspace(0, rng.uniform(1, 5), points) + rng.uniform(0, 6))
    y = y + 0.35 * np.cumsum(np.sin(turn + bend))
    x = x + 0.35 * np.cumsum(np.cos(turn + bend))
    phase, period = rng.uniform(0, 6), rng.uniform(2, 6)
    steps = np.arange(points) * 0.35
    width = start * (1 + 0.2 * np.sin(steps * 2 * np.pi / period + phase))
    # Rounded ends: the last discs are smaller.
    return y, x, width * np.sqrt(np.clip((length - steps) / start, 0.15, 1))


def _grow(rng: np.random.Generator) -> Body:
    heading = rng.uniform(0, 2 * np.pi)
    trunk = _strand(rng, 0.0, 0.0, heading, rng.uniform(1.2, 7), 1.0)
    back = _strand(rng, 0.0, 0.0, heading + np.pi, rng.uniform(1, 2), 1.0)
    strands = [trunk, back]
    for _ in range(int(rng.choice(3, p=(0.35, 0.45, 0.2)))):
        at = int(rng.integers(0, len(trunk[0])))
        side = heading + rng.choice([-1, 1]) * rng.uniform(0.7, 1.7)
        branch = (trunk[0][at], trunk[1][at], side, rng.uniform(1.8, 4.5))
        strands.append(_strand(rng, *branch, rng.uniform(0.6, 0.9)))
    y, x, radius = (np.concatenate(part) for part in zip(*strands, strict=True))
    return Body(y - y.mean(), x - x.mean(), radius)


def _distance(body: Body, size: int, margin: float) -> tuple[tuple, np.ndarray]:
    """Signed px beyond the outline in the box around a body, at most `margin`."""
    extent = body.radius + margin
    top, left = (
        int(max((body.y - extent).min(), 0)),
        int(max((body.x - extent).min(), 0)),
    )
    bottom = int(min((body.y + extent).max() + 2, size))
    right = int(min((body.x + extent).max() + 2, size))
    box = (slice(top, max(bottom, top)), slice(left, max(right, left)))
    beyond = np.full((box[0].stop - top, box[1].stop - left), margin, np.float32)
    if not beyond.size:
        return box, beyond
    for y, x, radius in zip(body.y - top, body.x - left, body.radius, strict=True):
        reach = radius + margin
        t, le = max(int(y - reach), 0), max(int(x - reach), 0)
        part = beyond[t : max(int(y + reach) + 2, 0), le : max(int(x + reach) + 2, 0)]
        dy = np.arange(t, t + part.shape[0], dtype=np.float32)[:, None] - np.float32(y)
        dx = np.arange(le, le + part.shape[1], dtype=np.float32)[None] - np.float32(x)
        np.minimum(part, np.sqrt(dy * dy + dx * dx) - np.float32(radius), out=part)
    return box, beyond


def _place(settings: GeneratedSettings, rng) -> tuple[np.ndarray, list]:
    size, (low, high) = settings.size, settings.coverage
    fallback, miss = None, np.inf
    for _ in range(ATTEMPTS):
        count = int(rng.integers(settings.beads[0], settings.beads[1] + 1))
        goal = rng.uniform(low, high) * size**2
        share = rng.dirichlet(np.full(count, 6.0))
        labels, drawn = np.zeros((size, size), np.int32), []
        for k in range(count):
            body = _grow(rng)
            # Discs a third of a half width apart: area is about length x width.
            scale = np.sqrt(goal * share[k] / (0.62 * np.sum(body.radius)))
            body = Body(*(part * scale for part in body))
            for _ in range(6):
                y, x = rng.uniform(0.08 * size, 0.92 * size, 2)
                moved = Body(body.y + y, body.x + x, body.radius)
                box, beyond = _distance(moved, size, 8.0)
                if not (labels[box][beyond < 4] > 0).any():
                    break
            else:
                continue
            if np.count_nonzero(beyond <= 0) < 0.005 * size**2:
                continue
            labels[box][beyond <= 0] = len(drawn) + 1
            drawn.append((moved, box, beyond))
        covered = np.count_nonzero(labels) / size**2
        off = max(low - covered, covered - high, 0) + max(
            settings.beads[0] - len(drawn), 0
        )
        if off < miss:
            fallback, miss = (labels, drawn), off
        if off == 0:
            break
    return fallback


def _cells(rng, size: int, signal: np.ndarray) -> None:
    """Membranes between wobbling cells, cytoplasm of different density in each."""
    half = (size + 1) // 2
    at = np.arange(half, dtype=np.float32)
    warp = rng.uniform(2, 5)
    wy = at[:, None] + np.float32(warp) * smooth_noise(rng, half, 14)
    wx = at[None] + np.float32(warp) * smooth_noise(rng, half, 14)
    number = int(rng.integers(8, 40))
    sites = rng.uniform(-0.1 * half, 1.1 * half, (number, 2)).astype(np.float32)
    weight = rng.uniform(0.75, 1.0, number).astype(np.float32)
    first = np.full((half, half), 1e6, np.float32)
    second, tone = first.copy(), np.zeros_like(first)
    for k in range(number):
        distance = np.hypot(wy - sites[k, 0], wx - sites[k, 1])
        nearer = distance < first
        np.copyto(tone, weight[k], where=nearer)
        np.minimum(second, np.where(nearer, first, distance), out=second)
        np.copyto(first, distance, where=nearer)
    gap = np.pad(second - first, ((1, 2), (1, 2)), mode="edge")
    tone = np.pad(tone, ((1, 2), (1, 2)), mode="edge")
    thick = np.float32(rng.uniform(0.8, 1.8) * (1.5 if rng.random() < 0.3 else 1))
    membrane = 1 - np.float32(rng.uniform(0.55, 0.85)) * np.exp(-((gap / thick) ** 2))
    # A quarter of the pixels will do: nothing here is finer than 2 px.
    signal *= upsample(membrane * tone, 2 * half)[:size, :size]


def _vesicles(rng, signal: np.ndarray) -> None:
    size = len(signal)
    number = rng.poisson(rng.uniform(10, 90) * (size / 256) ** 2)
    for y, x in rng.uniform(3, size - 4, (number, 2)):
        radius = rng.uniform(1.0, 4.0)
        t, le = max(int(y - radius - 3), 0), max(int(x - radius - 3), 0)
        part = signal[t : int(y + radius) + 4, le : int(x + radius) + 4]
        dy = np.arange(t, t + part.shape[0], dtype=np.float32)[:, None] - np.float32(y)
        dx = np.arange(le, le + part.shape[1], dtype=np.float32)[None] - np.float32(x)
        wall = np.sqrt(dy * dy + dx * dx) - np.float32(radius)
        part *= 1 - np.float32(rng.uniform(0.15, 0.45)) * np.exp(-(wall**2))


def _paint(rng, signal, beyond, body: Body, darkness: float) -> None:
    """Matrix, cristae and the double membrane of one mitochondrion, in its box."""
    shape = beyond.shape
    half_width = float(np.median(body.radius))
    side = max(shape)
    cut = (slice(shape[0]), slice(shape[1]))
    warp = smooth_noise(rng, side, max(3.0, 0.9 * half_width))[cut]
    clear = smooth_noise(rng, side, max(3.0, 0.6 * half_width))[cut]
    turn = rng.uniform(0, np.pi)
    spacing = max(3.6, rng.uniform(0.25, 0.5) * half_width)
    y = np.arange(shape[0], dtype=np.float32)[:, None] * np.float32(np.sin(turn))
    x = np.arange(shape[1], dtype=np.float32)[None] * np.float32(np.cos(turn))
    folds = np.sin((y + x) * np.float32(2 * np.pi / spacing) + np.float32(2.6) * warp)
    folds = np.maximum(folds + np.float32(0.5) * clear, -0.6)
    matrix = np.float32(1 - darkness) + np.float32(rng.uniform(0.03, 0.11)) * folds
    matrix *= 1 - np.float32(rng.uniform(0.1, 0.35)) * np.exp(
        -((beyond + 1.5) ** 2) / 2
    )
    alpha = np.clip(0.5 - beyond * 0.7, 0, 1)
    signal += alpha * (np.float32(0.72) * matrix - signal)
    # A pale rim of cytoplasm sets the outer membrane off.
    signal *= 1 + np.float32(rng.uniform(0, 0.12)) * np.exp(-((beyond - 3) ** 2) / 4)


def draw(
    settings: GeneratedSettings, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draws a section of tissue.

    Returns:
      signal f32[size, size] in 0..1, labels i32[size, size] with 1..N, and
      BEAD_TABLE[N] (centres of mass; radius of the disc of equal visible area).
    """
    size = settings.size
    labels, drawn = _place(settings, rng)
    signal = np.full((size, size), rng.uniform(0.6, 0.8), np.float32)
    _cells(rng, size, signal)
    _vesicles(rng, signal)
    if settings.texture > 0:
        factor = np.float32(settings.texture)
        cloud = factor * np.float32(rng.uniform(0, 0.06)) * smooth_noise(rng, size, 9)
        # Ribosomes and filaments: the peaks of a fine noise are dark dots.
        dots = np.maximum(smooth_noise(rng, size, rng.uniform(2.5, 4)) - 1, 0)
        grain = np.float32(rng.uniform(0.02, 0.07)) * smooth_noise(rng, size, 1.8)
        dots *= np.float32(rng.uniform(0.05, 0.35))
        signal *= np.maximum(1 + cloud + factor * (grain - dots), 0.2)
    beads = np.zeros(len(drawn), BEAD_TABLE)
    beads["label"] = np.arange(1, len(drawn) + 1)
    beads["blur"] = 0.6
    for k, (body, box, beyond) in enumerate(drawn):
        darkness = rng.uniform(0.35, 0.6)
        _paint(rng, signal[box], beyond, body, darkness)
        ys, xs = np.nonzero(labels == k + 1)
        beads["y"][k], beads["x"][k] = ys.mean(), xs.mean()
        beads["radius"][k] = np.sqrt(len(ys) / np.pi)
        beads["brightness"][k] = darkness / 0.6
    beads["crowding"] = crowding(beads["y"], beads["x"], beads["radius"])
    beads["touches_border"] = np.isin(beads["label"], on_border(labels))
    return signal, labels, beads
