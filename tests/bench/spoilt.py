"""Drawn beads in images that a camera, the light or a file spoils: what is still found.

  python -m tests.bench.spoilt [--write]
  python -m tests.bench.spoilt --kinds columns slope

Even discs and domes of 6 to 70 px, brighter or darker than their ground by 60 steps of
8 bits, 1, 6 or 40 of them, apart from each other, in 320 x 320 px. The default model is
told nothing. A bead is found where its centre is within a quarter of its diameter.
Ruled and padded images are looked at as they are, too, for comparison.
"""

import argparse
from collections.abc import Callable, Iterator
from unittest import mock

import numpy as np
from scipy import ndimage
from tqdm import tqdm

import beadseg
from beadseg.data.generated.camera import jpeg_blocks
from tests.bench.record import keep, rounded
from tests.default_model.test_default_model import CONTRAST, GROUND, field, pairs

SIDE = 320  # px
DIAMETERS = (6, 8, 14, 30, 70)  # px
COUNTS = (1, 6, 40)
FULL = 0.35  # share of the image that beads cover at most
APART = 1.15  # diameters between centres, the least
NOISE = 3.0  # steps of 8 bits

Rng = np.random.Generator
Kind = Callable[[np.ndarray, Rng], np.ndarray]


def _noisy(image: np.ndarray, rng: Rng, sigma: float = NOISE) -> np.ndarray:
    return image + rng.normal(0, sigma, image.shape)


def _jpeg(quality: int) -> Kind:
    def spoil(image, rng):
        stored = np.clip(_noisy(image, rng), 0, 255).astype(np.uint8)
        return jpeg_blocks(stored, quality)

    return spoil


def _hot(image, rng):
    return np.where(rng.random(image.shape) < 5e-4, 60_000, _noisy(image, rng))


def _columns(image, rng):
    return _noisy(image, rng) + 200 * (rng.random(image.shape[1]) < 0.02)


def _few_counts(image, rng):
    ground = GROUND if image.max() > GROUND + CONTRAST / 6 else GROUND - CONTRAST
    return rng.poisson(8 * np.maximum(image - ground + NOISE, 0) / CONTRAST)


def _waves(image, rng):
    return _noisy(image, rng) + 8 * np.sin(np.arange(SIDE) / 1.7)[:, None]


def _shade(image, rng):
    y, x = np.indices(image.shape) / SIDE - 0.5
    return _noisy(image * (1 - 0.6 * np.hypot(y, x)), rng)


def _soft(image, rng):
    return image + 20 * ndimage.gaussian_filter(rng.normal(size=image.shape), 1.0)


def _ruled(image, rng):
    """Lines of a counting chamber, which beads hide."""
    y, x = np.indices(image.shape)
    turn, pitch = np.radians(rng.uniform(-5, 5)), rng.uniform(40, 120)
    width, height = rng.uniform(1.5, 4), rng.choice([-40, -20, 20, 40])
    lines = np.zeros(image.shape)
    for across in (turn, turn + np.pi / 2):
        place = x * np.cos(across) + y * np.sin(across) + rng.uniform(0, pitch)
        off = np.abs(place % pitch - pitch / 2)
        lines += height * np.clip((width - off) / 1.5, 0, 1)
    free = np.abs(image - GROUND) < CONTRAST / 12
    return _noisy(image + np.where(free, lines, 0), rng)


def _padded(image, rng):
    taken = np.clip(_noisy(image, rng), 0, 255).astype(np.uint8)
    return np.pad(taken, (0, SIDE // 4), constant_values=rng.choice([0, 255]))


KINDS: dict[str, Kind] = {
    "noise": _noisy,
    "hot pixels": _hot,
    "columns": _columns,
    "slope": lambda image, rng: _noisy(image, rng) + np.linspace(-60, 120, SIDE),
    "shade": _shade,
    "waves": _waves,
    "blur": lambda image, rng: _noisy(ndimage.gaussian_filter(image, 1.5), rng),
    "soft noise": _soft,
    "low contrast": lambda image, rng: _noisy(0.25 * (image - GROUND), rng, 4),
    "few counts": _few_counts,
    "ruled": _ruled,
    "padded": _padded,
    **{f"JPEG {quality}": _jpeg(quality) for quality in (90, 75, 50, 20)},
}


# What finds these out, and what stands for it where they are looked at as they are.
FOUND_OUT = {
    "ruled": ("beadseg.inference.pyramid.cleaning.without_ruling", lambda image: image),
    "padded": ("beadseg.data.images.gaps.blank", lambda image: None),
}


def _place(count: int, diameter: float, rng: Rng) -> list[tuple[float, float, float]]:
    discs: list[tuple[float, float, float]] = []
    while len(discs) < count:
        y, x = rng.uniform(0.7 * diameter, SIDE - 0.7 * diameter, 2)
        if all(np.hypot(y - v, x - u) > APART * diameter for v, u, _ in discs):
            discs.append((y, x, diameter))
    return discs


def domes(shape: tuple[int, int], discs: list, contrast: float) -> np.ndarray:
    """Beads (y, x, diameter) highest in their middle, f32[H, W], without noise."""
    y, x = np.indices(shape)
    image = np.full(shape, GROUND, np.float32)
    for v, u, diameter in discs:
        off = np.hypot(y - v, x - u) / (diameter / 2)
        image += contrast * np.sqrt(np.maximum(1 - off**2, 0))
    return image


def draw(rng: Rng) -> Iterator[tuple[list, np.ndarray]]:
    """Beads (y, x, diameter), and f32[SIDE, SIDE] of them without any noise."""
    for diameter in DIAMETERS:
        for contrast in (CONTRAST, -CONTRAST):
            for count in COUNTS:
                if count * diameter**2 > FULL * SIDE**2:
                    continue
                discs = _place(count, diameter, rng)
                even = field((SIDE, SIDE), discs, contrast=contrast, noise=0)
                yield discs, even.astype(np.float32)
                yield discs, domes((SIDE, SIDE), discs, contrast)


def measure(predictor, spoil: Kind, seed: int) -> dict:
    """Mean share found of an image, by diameter too, and false beads of all."""
    rng = np.random.default_rng(seed)
    shares: dict[int, list[float]] = {diameter: [] for diameter in DIAMETERS}
    false = 0
    for discs, image in draw(rng):
        table = predictor.predict(spoil(image, rng)).table
        found = len(pairs(discs, table)[0]) if len(table["label"]) else 0
        shares[discs[0][2]].append(found / len(discs))
        false += len(table["label"]) - found
    return {
        "images": sum(map(len, shares.values())),
        "found": float(np.mean(sum(shares.values(), []))),
        "by_diameter_px": {d: float(np.mean(each)) for d, each in shares.items()},
        "false_beads": false,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--run", help="a run folder; without it the default model")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help="keep in results/")
    options = parser.parse_args()
    predictor = beadseg.load(options.run)
    found = {}
    for kind in tqdm(options.kinds, disable=None):
        row = found[kind] = rounded(measure(predictor, KINDS[kind], options.seed))
        print(kind, row, flush=True)
        if kind in FOUND_OUT:
            with mock.patch(*FOUND_OUT[kind]):
                row = rounded(measure(predictor, KINDS[kind], options.seed))
            found[f"{kind}, as it is"] = row
            print(f"{kind}, as it is", row, flush=True)
    if options.write:
        keep("spoilt", {"seed": options.seed, "kinds": found})


if __name__ == "__main__":
    main()
