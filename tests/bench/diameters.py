"""Diameters of plain, ringed and hollow beads against those they were drawn with.

  python -m tests.bench.diameters --write

Discs apart from each other, of 4 to 40 px, drawn eight times finer, blurred by the
optics and with noise; found by the default model with nothing given. The bias is the
median of the diameters that are found over the true ones, less 1.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import tifffile
from scipy import ndimage

from tests.bench.command import Predicted, predict
from tests.bench.record import keep

DIAMETERS = (4, 5, 6, 8, 10, 12, 16, 24, 40)  # px
FINE = 8  # subpixels a side of a pixel
ACROSS = 6  # beads a side of an image
BLUR, NOISE = 0.8, 3.0  # px of sigma; grey levels of 100 contrast
# Brightness of the middle and of the rim, the outer fifth of the radius; background is
# 0.
KINDS = {
    "bright": (100, 100),
    "dark": (-100, -100),
    "dark ring": (60, -100),  # as in bright field
    "bright ring": (-40, 100),
    "hollow": (25, 100),  # a shell that glows
}
RIM = 0.2


def draw(kind: str, diameter: float, rng: np.random.Generator):
    """An image u16[H, W] of beads, and their centres f64[N, 2] (y, x) in px."""
    pitch = max(3 * diameter, 24)
    side = int(ACROSS * pitch)
    steps = (np.arange(ACROSS) + 0.5) * pitch
    centres = np.stack(np.meshgrid(steps, steps, indexing="ij"), -1).reshape(-1, 2)
    centres += rng.uniform(-0.1, 0.1, centres.shape) * pitch
    fine = np.zeros((side * FINE, side * FINE), np.float32)
    inner, outer = KINDS[kind]
    reach = int((diameter / 2 + 1) * FINE) + 1
    for centre in (centres + 0.5) * FINE:
        top, left = (int(c) - reach for c in centre)
        box = np.s_[top : top + 2 * reach, left : left + 2 * reach]
        y, x = np.mgrid[box] + 0.5
        away = np.hypot(y - centre[0], x - centre[1]) / (FINE * diameter / 2)
        fine[box][away <= 1] = outer
        fine[box][away <= 1 - RIM] = inner
    image = fine.reshape(side, FINE, side, FINE).mean((1, 3))
    image = ndimage.gaussian_filter(image, BLUR) + rng.normal(0, NOISE, image.shape)
    return np.clip(np.rint(image * 20 + 10000), 0, 65535).astype(np.uint16), centres


def compare(predicted: Predicted, image: str, centres, diameter: float) -> dict:
    """Share of the beads that are found, and what their diameters are off by."""
    if not predicted.beads[image]:
        return {"found": 0.0, "bias": None, "spread": None}
    away = np.linalg.norm(centres[:, None] - predicted.centres(image), axis=-1)
    nearest = away.argmin(1)
    hit = away.min(1) <= max(diameter / 2, 1)
    if not hit.any():
        return {"found": 0.0, "bias": None, "spread": None}
    off = predicted.column(image, "diameter_px")[nearest[hit]] / diameter - 1
    return {
        "found": round(float(hit.mean()), 3),
        "bias": round(float(np.median(off)), 3),
        "spread": round(float(np.subtract(*np.percentile(off, (75, 25)))), 3),
    }


def measure(model: list[str]) -> list[dict]:
    """A row for each kind and diameter."""
    truth = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, kind in enumerate(KINDS):
            for diameter in DIAMETERS:
                rng = np.random.default_rng((number, diameter))
                image, centres = draw(kind, diameter, rng)
                file = folder / f"{kind.replace(' ', '_')}_{diameter}.tif"
                tifffile.imwrite(file, image)
                truth[file] = kind, diameter, centres
        predicted = predict(list(truth), folder / "predicted", model)
        return [
            {"kind": kind, "diameter": diameter}
            | compare(predicted, file.stem, centres, diameter)
            for file, (kind, diameter, centres) in truth.items()
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="keep in results/")
    parser.add_argument("model", nargs="*", help="flags of beadseg predict")
    options = parser.parse_args()
    rows = measure([*options.model, "--only", "labels"])
    for row in rows:
        bias = "-" if row["bias"] is None else f"{row['bias']:+.1%}"
        name = f"{row['kind']}, {row['diameter']} px"
        print(f"{name:22} found {row['found']:5.0%}  diameter {bias}")
    if options.write:
        keep("diameters", {"rows": rows})


if __name__ == "__main__":
    main()
