"""Where the beads lie and how large they are: the layout of an image."""

import itertools

import numpy as np
from scipy.spatial import cKDTree

from beadseg.data.generated.outlines import HARMONICS, Outlines, rasterise
from beadseg.data.generated.settings import GeneratedSettings
from beadseg.data.masks.beads import numbered_anew
from beadseg.errors import BeadsegError

ATTEMPTS = 8  # layouts tried until number and coverage are in their ranges
SMALLEST = 2.4  # px, radius
OUTSIDE = 0.7  # radii that a centre may lie outside the frame


def _typical_radius(settings: GeneratedSettings, rng, height: int) -> tuple[int, float]:
    low, high = settings.beads
    area = settings.size * height
    for _ in range(4000):
        count = int(round(np.exp(rng.uniform(np.log(low), np.log(high)))))
        share = np.sqrt(rng.uniform(*settings.coverage) / (count * np.pi))
        # Beads cut by the border are counted whole but seen in part.
        radius = share * np.sqrt(area) / max(1 - 1.2 * share, 0.2)
        if settings.radius[0] <= radius <= settings.radius[1]:
            return count, float(radius)
    raise BeadsegError(
        f"no generated image of {settings.size} px holds {settings.beads} beads of "
        f"radius {settings.radius} px at coverage {settings.coverage}: widen one"
    )


def _relax(y, x, radius, touch: float) -> None:
    for step in range(36):
        if step % 9 == 0:
            tree = cKDTree(np.stack([y, x], 1))
            reach = 2.3 * float(radius.max())
            i, j = tree.query_pairs(reach, output_type="ndarray").T
            least = (radius[i] + radius[j]) * touch
            ends = np.concatenate([i, j])
        dy, dx = y[i] - y[j], x[i] - x[j]
        apart = np.sqrt(dy * dy + dx * dx) + 1e-6
        push = np.maximum(least - apart, 0) * (0.5 / apart)
        if not push.any():
            continue
        push *= 0.9
        for position, d in ((y, dy), (x, dx)):
            move = np.concatenate([d * push, -d * push])
            position += np.bincount(ends, move, minlength=len(y))


def _scatter(rng, number, radius, low, high):
    return rng.uniform(low, high[0], number), rng.uniform(low, high[1], number)


def _clusters(rng, number, radius, low, high):
    groups = int(rng.integers(1, 7))
    share = rng.dirichlet(np.full(groups, 2.0))
    group = rng.choice(groups, number, p=share)
    tight = rng.uniform(0.7, 1.4) * radius * np.sqrt(share * number)
    squeeze = rng.uniform(0.5, 1.0, groups)
    turn = rng.uniform(0, np.pi, groups)
    u, v = rng.standard_normal((2, number)) * tight[group]
    v = v * squeeze[group]
    cos, sin = np.cos(turn)[group], np.sin(turn)[group]
    y = rng.uniform(0, high[0], groups)[group] + u * sin + v * cos
    x = rng.uniform(0, high[1], groups)[group] + u * cos - v * sin
    return y, x


def _chains(rng, number, radius, low, high):
    y, x = np.empty(number), np.empty(number)
    start = 0
    while start < number:
        stop = min(number, start + int(rng.integers(4, 26)))
        turns = rng.normal(0, 0.6, stop - start)
        turns[0] = rng.uniform(0, 2 * np.pi)
        heading = np.cumsum(turns)
        apart = 1.9 * radius
        y[start:stop] = rng.uniform(0, high[0]) + apart * np.sin(heading).cumsum()
        x[start:stop] = rng.uniform(0, high[1]) + apart * np.cos(heading).cumsum()
        start = stop
    return y, x


def _crystal(rng, number, radius, low, high):
    """Hexagonal grains that grow from seeds; vacancies and jitter are the defects."""
    grains = int(rng.integers(1, 4))
    spacing = 2 * radius * rng.uniform(1.01, 1.12)
    sites = []
    seeds = np.stack([rng.uniform(0, h, grains) for h in high], 1)
    reach = int(1.5 * max(high) / spacing) + 2
    a, b = np.meshgrid(np.arange(-reach, reach + 1), np.arange(-reach, reach + 1))
    for k in range(grains):
        turn = rng.uniform(0, np.pi / 3)
        sin, cos = np.sin(turn), np.cos(turn)
        u, v = (a + 0.5 * b).ravel() * spacing, (b * np.sqrt(0.75)).ravel() * spacing
        at = np.stack([u * sin + v * cos, u * cos - v * sin], 1) + seeds[k]
        framed = ((at > low) & (at < high)).all(1)
        at = at[framed]
        gap = np.hypot(*np.moveaxis(at[:, None] - seeds[None], 2, 0))
        sites.append(np.column_stack([at, gap.min(1)])[gap.argmin(1) == k])
    sites = np.concatenate(sites)
    ragged = sites[:, 2] + rng.normal(0, 0.8 * spacing, len(sites))
    sites = sites[np.argsort(ragged)]
    sites = sites[rng.random(len(sites)) > rng.uniform(0, 0.12)][:number]
    sites = rng.permutation(sites)[:, :2]
    sites += rng.normal(0, 0.02 * radius, sites.shape)
    return tuple(sites.T.copy())


_PLACE = {
    "scattered": _scatter,
    "clusters": _clusters,
    "chains": _chains,
    "crystal": _crystal,
}


def _radii(rng, typical, spread, number):
    if spread > 0.12 and rng.random() < 0.35:
        ratio = rng.uniform(0.4, 0.75)  # two sizes mixed
        share = rng.uniform(0.2, 0.8)
        small = rng.random(number) < share
        factor = np.where(small, ratio, 1.0) * (1 + rng.normal(0, 0.03, number))
    else:
        factor = np.exp(rng.normal(0, spread, number))
    factor = np.clip(factor, min(0.35, np.exp(-2.5 * spread)), 2.2)
    factor /= np.sqrt(np.mean(factor**2))
    return np.maximum(typical * factor, SMALLEST)


def _wide_radii(rng, typical, number):
    """Sizes over a factor of 4 to 20, the small ones far more often; or two of them."""
    ratio = np.exp(rng.uniform(np.log(4), np.log(20)))
    if rng.random() < 0.4:
        small = rng.random(number) < rng.uniform(0.6, 0.97)
        factor = np.where(small, 1.0, ratio) * (1 + rng.normal(0, 0.05, number))
        factor /= np.sqrt(np.mean(factor**2))
        return np.maximum(typical * factor, SMALLEST)
    power = rng.uniform(0.6, 2.2)  # of the density of radii, falling
    low = ratio ** (1 - power) if power != 1 else 1.0
    at = rng.random(number)
    factor = (at + (1 - at) * low) ** (1 / (1 - power)) if power != 1 else ratio**at
    factor /= np.sqrt(np.mean(factor**2))
    return np.maximum(typical * factor, SMALLEST)


def _satellites(rng, y, x, radius):
    """Beads with tiny ones that cling to them: y, x, radius of all."""
    number = round(rng.uniform(0.1, 0.6) * len(y))
    host = rng.integers(len(y), size=number)
    small = np.maximum(radius[host] * rng.uniform(0.15, 0.42, number), SMALLEST)
    turn = rng.uniform(0, 2 * np.pi, number)
    away = (radius[host] + small) * rng.uniform(0.9, 1.1, number)
    y = np.concatenate([y, y[host] + away * np.sin(turn)])
    x = np.concatenate([x, x[host] + away * np.cos(turn)])
    order = rng.permutation(len(y))  # some lie on top, some beneath
    return y[order], x[order], np.concatenate([radius, small])[order]


def _shapes(settings, rng, number):
    ratio, angle = np.ones(number), np.zeros(number)
    wave = np.zeros((number, len(HARMONICS)), np.complex64)
    if rng.random() < settings.irregular_share:
        if rng.random() < 0.7:
            most = settings.ellipticity * rng.random() ** 2
            ratio = 1 + most * rng.random(number)
            angle = rng.uniform(0, np.pi, number)
        if rng.random() < 0.6:
            rough = settings.roughness * rng.random(number) * rng.random()
            falling = 1 / (HARMONICS - 1.0)
            falling *= np.sqrt(2 / np.sum(falling**2))
            phase = np.exp(2j * np.pi * rng.random(wave.shape))
            wave = (rough[:, None] * falling * phase).astype(np.complex64)
    return ratio, angle, wave


def lay_out(
    settings: GeneratedSettings, rng: np.random.Generator, height: int
) -> tuple[Outlines, np.ndarray]:
    """Draws a scene whose bead number and coverage are in the asked ranges.

    Args:
      height: rows of the frame that show the scene, counted from the top.

    Returns:
      outlines of N beads and labels i32[size, size] with 1..N, each present; coverage
      counts pixels of the whole frame.
    """
    size = settings.size
    pattern = str(rng.choice(settings.patterns))
    count, typical = _typical_radius(settings, rng, height)
    low_spread, high_spread = settings.polydispersity
    kind = rng.random()
    share = 0.06 * rng.random() if kind < 0.45 else rng.random() ** 1.5
    if pattern == "crystal":
        share *= 0.1
    spread = low_spread + (high_spread - low_spread) * share
    overlap = min(0.02, settings.overlap[1])
    if rng.random() < settings.overlap_share:
        overlap = rng.uniform(*settings.overlap)
    wide = settings.wide_share > 0 and rng.random() < settings.wide_share
    tiny = settings.satellite_share > 0 and rng.random() < settings.satellite_share
    coverage_goal = count * np.pi * typical**2 / (size * height)
    coverage_goal = float(np.clip(coverage_goal, *settings.coverage))

    number, best, best_miss = float(count), None, np.inf
    for attempt in itertools.count(1):
        pad = 1.3 * typical
        box = np.array([height, size]) + pad
        beyond = (height + 2 * pad) * (size + 2 * pad)
        within = (height + 2 * OUTSIDE * typical) * (size + 2 * OUTSIDE * typical)
        drawn = max(1, round(number * beyond / within))
        y, x = _PLACE[pattern](rng, drawn, typical, -pad, box)
        if wide:
            radius = _wide_radii(rng, typical, len(y))
        else:
            radius = _radii(rng, typical, spread, len(y))
        if tiny:
            y, x, radius = _satellites(rng, y, x, radius)
        if len(y) > 1:
            _relax(y, x, radius, 1 - overlap)
        margin = OUTSIDE * radius
        framed = (y > -margin) & (x > -margin)
        framed &= (y < height + margin) & (x < size + margin)
        framed = np.flatnonzero(framed)[: settings.beads[1]]
        found, last = len(framed), attempt >= ATTEMPTS
        if found >= settings.beads[0] or (found and last and best is None):
            outlines = Outlines(
                y[framed], x[framed], radius[framed], *_shapes(settings, rng, found)
            )
            labels, kept = rasterise(outlines, size, height)
            found, coverage = int(kept.sum()), np.count_nonzero(labels) / labels.size
            miss = _miss(found, settings.beads) + _miss(coverage, settings.coverage)
            if found and miss < best_miss:
                best, best_miss = (outlines, labels, kept), miss
            if miss == 0:
                break
            resize = np.sqrt(coverage_goal / max(coverage, 1e-3))
            typical *= np.clip(resize, 0.85, 1.2)
        if last and best is not None:
            break
        number *= np.clip(count / max(found, 1), 0.6, 1.6)
    outlines, labels, kept = best
    return _those(outlines, kept), numbered_anew(labels, kept)


def thin_out(
    outlines: Outlines, kept: np.ndarray, size: int, height: int
) -> tuple[Outlines, np.ndarray]:
    """The scene with those of its beads alone that `kept` i[M] names."""
    left = _those(outlines, kept)
    return left, rasterise(left, size, height)[0]


def within_walls(
    outlines: Outlines, wall: np.ndarray, size: int, height: int
) -> tuple[Outlines, np.ndarray, np.ndarray, np.ndarray]:
    """What the walls of bubbles enclose: their truth.

    Args:
      outlines: of N bubbles with their walls.
      wall: f[N], px.
      size: px, side of the frame.
      height: rows of the frame that show the scene.

    Returns:
      The M outlines that are seen, i32[size, size] with labels 1..M, i[M], which of
      the N they are, and bool[size, size], the others, whose walls leave no room.
    """
    whole, _ = rasterise(outlines, size, height)
    inner = outlines._replace(radius=outlines.radius - wall)
    labels, seen = rasterise(inner, size, height)
    kept = np.flatnonzero(seen)
    full = (whole > 0) & ~np.concatenate([[False], seen])[whole]
    return _those(inner, kept), numbered_anew(labels, seen), kept, full


def _those(outlines: Outlines, kept: np.ndarray) -> Outlines:
    return Outlines(*(field[kept] for field in outlines))


def _miss(value: float, limits: tuple[float, float]) -> float:
    low, high = limits
    return max(low - value, value - high, 0) / max(high, 1e-9)
