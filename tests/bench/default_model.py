"""The default model on real images that it never saw, as a user runs it.

  BEADSEG_REAL_DATA=DIR python -m tests.bench.default_model [--write] [--run RUN]

`beadseg predict` on each set with threshold and bead size found by itself, then
`beadseg evaluate`. Centres count as found within half a diameter. Last, one image of
1,024 x 1,024 px from the command to the files.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile

from beadseg.data.generated import generate
from beadseg.data.generated_settings import GeneratedSettings
from tests.bench.record import keep

SETS = ("beadnet_latex_dev", "emps_spheres_dev", "dsb2018_nuclei_dev")
# Where centres alone are known: px, the median distance of nearest neighbours.
DIAMETERS = {"beadnet_latex_dev": 12.4}
NEAR = 0.15  # of the diameter: a size that is right


def beadseg(*arguments: str | Path) -> None:
    """Runs a command of beadseg, quietly."""
    command = [sys.executable, "-m", "beadseg.cli", *map(str, arguments)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def score(data: Path, name: str, model: list[str], folder: Path) -> dict:
    """The numbers of one set."""
    started = time.monotonic()
    beadseg("predict", data / name / "images", "-o", folder / name, *model)
    seconds = time.monotonic() - started
    result = folder / f"{name}.json"
    known = DIAMETERS.get(name)
    near = [] if known is None else ["--distance", f"{known / 2}"]
    beadseg("evaluate", folder / name, data / name, *near, "--json", result)
    found = json.loads(result.read_text())
    pooled, images = found["pooled"], found["images"]
    sizes = [
        (image["predicted_median_diameter"] or 0) / (known or image["median_diameter"])
        for image in images
    ]
    row = {
        "images": len(images),
        "beads": pooled["beads"],
        "count_error": pooled["count_error"],
        "mean_count_error": found["mean_of_images"]["count_error"],
        "detection_f1": pooled["detection"]["f1"],
        "size_within_15_percent": float(np.mean(np.abs(np.array(sizes) - 1) <= NEAR)),
    }
    if "ap" in pooled:
        row |= {"ap50": pooled["ap"][0], "ap75": pooled["ap"][5]}
        row |= {key: pooled[key] for key in ("mean_ap", "jaccard", "boundary_f1")}
        row["pq"] = pooled["pq"][0]
    return {k: round(v, 4) for k, v in row.items()} | {"seconds": round(seconds, 1)}


def command_seconds(model: list[str], folder: Path) -> float:
    """From the command to all files, for one image of 1,024 x 1,024 px."""
    settings = GeneratedSettings(size=1024, beads=(400, 700), radius=(8, 14))
    image = generate(settings, 0, 0).image
    tifffile.imwrite(folder / "large.tif", image)
    started = time.monotonic()
    beadseg("predict", folder / "large.tif", "-o", folder / "large", *model)
    return round(time.monotonic() - started, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", help="a run folder; without it the default model")
    parser.add_argument("--write", action="store_true", help="keep in results/")
    options = parser.parse_args()
    data = Path(os.environ["BEADSEG_REAL_DATA"])
    model = ["--run", options.run] if options.run else []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sets = {}
        for part in SETS:
            sets[part] = score(data, part, model, folder)
            print(part, sets[part], flush=True)
        result = {
            "sets": sets,
            "seconds_1024": command_seconds(model, folder),
        }
    print(f"1,024 x 1,024 px: {result['seconds_1024']} s")
    if options.write:
        keep("default_model", result)


if __name__ == "__main__":
    main()
