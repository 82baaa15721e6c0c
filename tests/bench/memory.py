"""Peak memory of preparing a folder and training on it for an epoch.

It must not grow with the number of images: `python -m tests.bench.memory` measures it
for 10 and for 80 images of 1024 x 1024 (16 bit) in processes of their own, prints the
ratio, and fails above 1.15.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile

from tests.bench.record import keep

SIZE, PITCH, RADIUS = 1024, 32, 12  # px
MOST = 1.15


def write_images(folder: Path, count: int) -> None:
    """Images with 1024 discs on a grid, and their masks."""
    y, x = np.mgrid[:SIZE, :SIZE]
    inside = (y % PITCH - PITCH / 2) ** 2 + (x % PITCH - PITCH / 2) ** 2 < RADIUS**2
    ids = (y // PITCH) * (SIZE // PITCH) + x // PITCH + 1
    labels = np.where(inside, ids, 0).astype(np.uint16)
    for i in range(count):
        noise = np.random.default_rng(i).normal(1000, 100, labels.shape)
        image = (noise + 3000 * inside).astype(np.uint16)
        for kind, array in (("images", image), ("masks", labels)):
            path = folder / kind / f"{i:03d}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(path, array)


def measure(folder: str) -> dict[str, float]:
    """Peak resident memory of this process, MB, after building and after an epoch."""
    from beadseg.data import pipeline, splits
    from beadseg.data.builders import open_dataset
    from configs.base import get_config

    config = get_config()
    config.data.dir, config.data.cache_dir = f"{folder}/data", f"{folder}/cache"
    found = {"imported": _peak()}
    started = time.monotonic()
    dataset = open_dataset(config)
    found |= {"built": _peak(), "seconds_build": time.monotonic() - started}
    sides = splits.split(dataset.records)
    batches = pipeline.train_batches(dataset, sides.train, config)
    steps = pipeline.steps_per_epoch(dataset, sides.train, config)
    started = time.monotonic()
    for _ in range(steps):
        next(batches)
    batches.close()
    crops = steps * config.data.batch_size / (time.monotonic() - started)
    for _ in pipeline.eval_batches(dataset, sides.validation, config, 8, 16):
        pass
    return found | {"epoch": _peak(), "crops_per_second": crops}


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", type=int, nargs=2, default=(10, 80))
    parser.add_argument("--write", action="store_true", help="keep in results/")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure)))
        return
    peaks, rows = [], {}
    for count in options.counts:
        with tempfile.TemporaryDirectory() as folder:
            write_images(Path(folder) / "data", count)
            command = [sys.executable, "-m", "tests.bench.memory", "--measure", folder]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
        found = json.loads(done.stdout)
        peaks.append(found["epoch"])
        rows[count] = {key: round(value, 1) for key, value in found.items()}
        print(count, "images:", rows[count])
    ratio = peaks[1] / peaks[0]
    print(f"ratio of peak memory: {ratio:.3f}")
    if options.write:
        keep("memory", {"ratio": round(ratio, 3), "images": rows})
    sys.exit(ratio > MOST)


if __name__ == "__main__":
    main()
