"""The mask-free estimate against the truth, on generated and on real data sets.

  python -m tests.bench.estimate --sets 200 --write
  BEADSEG_REAL_DATA=DIR python -m tests.bench.estimate --sets 200 --write

A generated set is `--images` images of one kind: one modality and pattern, and ranges
drawn from those of `GeneratedSettings` (size of beads, overlap, noise, light, dirt...).
Its count is the sum over its images, its diameter the median over its beads, its
coverage the mean. The seeds are those of neither the training of the default model nor
the fit of its scores. Time is of one image of 1024 x 1024, once its programs are
compiled, on all cores.
"""

import argparse
import json
import sys
import time

import numpy as np

from beadseg.data.generated.render import generate
from beadseg.data.generated.settings import MODALITIES, PATTERNS, GeneratedSettings
from beadseg.data.images.reading import open_pages
from beadseg.data.masks.labels import read_labels, read_points
from beadseg.data.scaling import bead_diameters
from beadseg.errors import BeadsegError
from beadseg.inference.estimate import Estimate, estimate
from tests.bench.record import keep
from tests.real_data import real_set

REAL = (
    ("emps_spheres_dev", "masks"),
    ("dsb2018_nuclei_dev", "masks"),
    ("vnc_mitochondria_em", "masks"),
    ("beadnet_latex_dev", "points"),
)


def draw_settings(number: int) -> GeneratedSettings:
    """Settings of set `number`: each kind and pattern in turn, all else by chance."""
    rng = np.random.default_rng([7, number])

    def between(low, high):
        a, b = np.sort(rng.uniform(low, high, 2))
        return float(a), float(b)

    radius = float(np.exp(rng.uniform(np.log(4), np.log(36))))
    return GeneratedSettings(
        modalities=(MODALITIES[number % len(MODALITIES)],),
        patterns=(PATTERNS[number // len(MODALITIES) % len(PATTERNS)],),
        radius=(radius, 1.25 * radius),
        polydispersity=between(0, 0.4),
        overlap=between(0, 0.25),
        overlap_share=rng.uniform(0, 0.5),
        irregular_share=rng.uniform(0, 0.7),
        blurred_share=between(0, 0.2),
        dim_share=between(0, 0.2),
        contrast_spread=rng.uniform(0, 0.25),
        texture=rng.uniform(0, 1),
        uneven=rng.uniform(0, 0.55),
        artefacts=rng.uniform(0, 1),
        noise=rng.uniform(0.2, 1),
    )


def errors(found: list[Estimate], beads: int, diameters, coverage) -> dict:
    """Relative errors of count and diameter; of coverage the difference in points."""
    count = sum(e.count for e in found)
    sizes = np.concatenate([e.diameters for e in found])
    size = float(np.median(sizes)) if len(sizes) else np.nan
    row = {"beads": beads, "count": round(count / beads - 1, 4)}
    if diameters is not None:
        true = float(np.median(diameters))
        row |= {"diameter_px": round(true, 1), "diameter": round(size / true - 1, 4)}
        seen = float(np.mean([e.coverage for e in found]))
        row |= {"coverage": round(100 * (seen - coverage), 2)}
    return row


def generated_set(number: int, images: int) -> dict:
    """One set, drawn and estimated."""
    for attempt in range(20):
        try:
            settings = draw_settings(number + 1000 * attempt)
            drawn = [generate(settings, 1, 100 * number + i) for i in range(images)]
            break
        except BeadsegError:  # no image of 256 px holds such beads
            continue
    found = [estimate(each.image) for each in drawn]
    return {
        "modality": settings.modalities[0],
        "pattern": settings.patterns[0],
    } | errors(
        found,
        sum(len(each.beads) for each in drawn),
        np.concatenate([bead_diameters(each.labels) for each in drawn]),
        float(np.mean([np.mean(each.labels > 0) for each in drawn])),
    )


def real_sets() -> dict:
    """Each real set as a whole, and the median error of its single images."""
    rows = {}
    for name, kind in REAL:
        try:
            folder = real_set(name)
        except FileNotFoundError as error:
            print(f"left out: {error}", flush=True)
            continue
        found, counts, diameters, coverage = [], [], [], []
        for file in sorted((folder / kind).iterdir()):
            image = next((folder / "images").glob(f"{file.stem}.*"))
            found.append(estimate(open_pages(image)[0].read()))
            if kind == "points":
                counts.append(len(read_points(file)))
                continue
            labels = read_labels(file)
            counts.append(len(np.unique(labels[labels > 0])))
            diameters.append(bead_diameters(labels))
            coverage.append(float(np.mean(labels > 0)))
        sizes = np.concatenate(diameters) if diameters else None
        row = errors(found, sum(counts), sizes, np.mean(coverage) if coverage else 0)
        each = [abs(e.count / n - 1) for e, n in zip(found, counts, strict=True)]
        rows[name] = row | {"median_image_count": round(float(np.median(each)), 4)}
        print(name, rows[name], flush=True)
    return rows


def shares(rows: list[dict]) -> dict:
    """Share of the sets within the limits of each quantity."""
    limits = {"count": 0.1, "diameter": 0.1, "coverage": 5}
    return {
        name: round(float(np.mean([abs(row[name]) <= limit for row in rows])), 4)
        for name, limit in limits.items()
    }


def seconds(repeats: int = 3) -> dict[str, float]:
    """Of an image of 1024 x 1024 px: large beads, and small ones."""
    times = {}
    for name, radius in (("radius 20", (20, 24)), ("radius 5", (5, 6))):
        settings = GeneratedSettings(
            size=1024, radius=radius, beads=(100, 3000), coverage=(0.1, 0.5)
        )
        image = generate(settings, 1, 0).image
        took = []
        for _ in range(repeats):
            started = time.perf_counter()
            estimate(image)
            took.append(time.perf_counter() - started)
        times[name] = round(min(took), 3)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=200)
    parser.add_argument("--images", type=int, default=5, help="of a set (5)")
    parser.add_argument("--write", action="store_true", help="keep in results/")
    options = parser.parse_args()
    rows = []
    for number in range(options.sets):
        rows.append(generated_set(number, options.images))
        print(number, rows[-1], flush=True)
    result = {
        "command": " ".join(["python -m tests.bench.estimate", *sys.argv[1:]]),
        "sets": len(rows),
        "images_of_a_set": options.images,
        "within_limits": shares(rows),
        "by_modality": {
            name: shares([r for r in rows if r["modality"] == name])
            for name in MODALITIES
            if any(r["modality"] == name for r in rows)
        },
        "seconds": seconds(),
    }
    print(json.dumps(result, indent=2), flush=True)
    if real := real_sets():
        result["real"] = real
    if options.write:
        keep("estimate", result | {"rows": rows})


if __name__ == "__main__":
    main()
