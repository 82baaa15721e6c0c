"""Small beads of one size beside large ones of another: how many are found.

  python -m tests.bench.two_sizes [--write]

Even discs and domes, brighter or darker than their ground, in 640 x 640 px: beads of 30
to 240 px, and small ones of a fifth to a twentieth of that, apart from each other. Each
image is looked at as it is by users, and without the scores for images whose beads
differ in size, for comparison. A bead is found where its centre is within a quarter of
its diameter.
"""

import argparse
from collections.abc import Iterator
from unittest import mock

import numpy as np
from scipy import ndimage
from tqdm import tqdm

import beadseg
from tests.bench.record import keep, rounded
from tests.bench.spoilt import Rng, domes
from tests.default_model.test_default_model import field, pairs

SIDE = 640  # px
CONTRAST, NOISE = 80, 4.0  # steps of 8 bits
EDGE = 0.8  # px, of domes
# Diameters of the large and the small ones, px, and how many there are.
SCENES = (
    *((120, 6, 6, 60), (120, 7, 6, 60), (120, 8, 6, 60), (120, 12, 6, 50)),
    *((60, 7, 15, 80), (80, 10, 10, 60), (160, 16, 5, 40), (200, 10, 4, 50)),
    *((30, 6, 40, 80), (240, 24, 3, 40)),
)
WITHOUT = "beadseg.inference.pyramid.bead_scores.sizes_differ"


def place(large: int, small: int, of_large: int, of_small: int, rng: Rng) -> list:
    """Beads (y, x, diameter), large ones first; as many as there is room for."""
    discs: list[tuple[float, float, float]] = []
    for usual in [large] * of_large + [small] * of_small:
        diameter = usual * rng.uniform(0.9, 1.1)
        for _ in range(500):
            y, x = rng.uniform(diameter / 2 + 3, SIDE - diameter / 2 - 3, 2)
            if all(
                np.hypot(y - v, x - u) > 0.58 * (diameter + d) + 1 for v, u, d in discs
            ):
                discs.append((y, x, diameter))
                break
    return discs


def draw(rng: Rng) -> Iterator[tuple[str, list, np.ndarray]]:
    """What it shows, its beads, and the image u8[SIDE, SIDE]."""
    for large, small, *counts in SCENES:
        for polarity, contrast in (("dark", -CONTRAST), ("bright", CONTRAST)):
            for shape in ("discs", "domes"):
                discs = place(large, small, *counts, rng)
                if shape == "discs":
                    image = field((SIDE, SIDE), discs, contrast=contrast, noise=0)
                else:
                    image = domes((SIDE, SIDE), discs, contrast)
                    image = ndimage.gaussian_filter(image, EDGE)
                image = image + rng.normal(0, NOISE, image.shape)
                name = f"{polarity} {shape} of {small} and {large} px"
                yield name, discs, np.clip(np.rint(image), 0, 255).astype(np.uint8)


def measure(predictor, discs: list, image: np.ndarray) -> dict[str, float]:
    """Shares found of large and of small beads, and false ones."""
    table = predictor.predict(image).table
    found = np.zeros(len(discs), bool)
    found[pairs(discs, table)[0]] = True
    diameter = np.array(discs)[:, 2]
    large = diameter > diameter.max() / 2
    return {
        "large": float(found[large].mean()),
        "small": float(found[~large].mean()),
        "false_beads": len(table["label"]) - int(found.sum()),
    }


def summary(rows: list[dict]) -> dict[str, float]:
    """Of all images."""
    shares = {n: float(np.mean([row[n] for row in rows])) for n in ("large", "small")}
    lost = sum(row["small"] < 0.1 for row in rows)
    false = sum(row["false_beads"] for row in rows)
    return shares | {"lost_nearly_all_small": lost, "false_beads": false}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3, help="draws of all scenes (3)")
    parser.add_argument("--write", action="store_true", help="keep in results/")
    options = parser.parse_args()
    predictor = beadseg.load()
    found = []
    for seed in range(options.seeds):
        scenes = {}
        images = list(draw(np.random.default_rng(seed)))
        for name, discs, image in tqdm(images, unit="image", disable=None):
            row = {"found": measure(predictor, discs, image)}
            with mock.patch(WITHOUT, lambda diameter: False):
                row["without"] = measure(predictor, discs, image)
            scenes[name] = rounded(row)
            print(name, scenes[name], flush=True)
        of_all = {
            way: rounded(summary([row[way] for row in scenes.values()]))
            for way in ("found", "without")
        }
        print(f"seed {seed}: {len(images)} images", of_all, flush=True)
        found.append({"images": len(images), "all": of_all, "scenes": scenes})
    if options.write:
        keep("two_sizes", {"seeds": found})


if __name__ == "__main__":
    main()
