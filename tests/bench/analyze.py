"""`beadseg analyze` on many large images: time on two cores, and peak memory.

  python -m tests.bench.analyze --counts 100 1000 --write

Images of 1024 x 1024 px and their masks are windows of generated scenes (100 scenes of
1536 px, of all kinds of microscope, some hundreds of beads each), so that no two are
alike. The command runs in a process of its own, whole, from files to page, on as many
processes as there are cores, at most two. The goal for 1,000 images is 600 s, with no
more memory than for a hundred.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile
from tqdm import tqdm

from beadseg.data.generated.render import generate
from beadseg.data.generated.settings import GeneratedSettings
from tests.bench.record import keep

SCENE, SIZE = 1536, 1024  # px
GOAL = 600.0  # s, for 1,000 images


def write_images(folder: Path, count: int, scenes: int) -> int:
    """Images u8 or u16 and masks u16; returns how many beads the masks label."""
    settings = GeneratedSettings(
        size=SCENE, radius=(5, 40), beads=(100, 3000), coverage=(0.05, 0.65)
    )
    beads = 0
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for scene in tqdm(range(min(scenes, count)), "drawing", disable=None):
        drawn = generate(settings, 21, scene)
        rng = np.random.default_rng(scene)
        for i in range(scene, count, scenes):
            top, left = rng.integers(0, np.array(drawn.image.shape) - SIZE + 1)
            window = np.s_[top : top + SIZE, left : left + SIZE]
            labels = drawn.labels[window].astype(np.uint16)
            beads += len(np.unique(labels)) - 1
            name = f"{i:05d}.tif"
            tifffile.imwrite(folder / "images" / name, drawn.image[window])
            tifffile.imwrite(folder / "masks" / name, labels, compression="zlib")
    return beads


def measure(folder: str, processes: int) -> dict[str, float]:
    """Seconds of the whole command, and peak MB of this process and of its largest."""
    from beadseg.cli import main

    started = time.monotonic()
    try:
        main(
            ["analyze", f"{folder}/data", "-o", f"{folder}/page"]
            + ["--processes", str(processes), "--json", f"{folder}/result.json"]
        )
    except SystemExit as ended:
        if ended.code:
            raise
    seconds = time.monotonic() - started
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    own = resource.getrusage(resource.RUSAGE_SELF)
    page = sum(file.stat().st_size for file in Path(folder, "page").iterdir())
    return {
        "seconds": seconds,
        "core_seconds": sum(u.ru_utime + u.ru_stime for u in (own, children)),
        "peak_mb": own.ru_maxrss / 1024,
        "peak_mb_of_a_worker": children.ru_maxrss / 1024,
        "written_mb": page / 2**20,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=(100, 1000))
    parser.add_argument("--scenes", type=int, default=100)
    parser.add_argument("--folder", type=Path, help="for the images (a temporary one)")
    parser.add_argument("--write", action="store_true", help="keep in results/")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    processes = min(2, len(os.sched_getaffinity(0)))
    if options.measure:
        found = measure(options.measure, processes)
        print(json.dumps(found))
        return
    rows = []
    for count in options.counts:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            beads = write_images(Path(folder) / "data", count, options.scenes)
            command = [sys.executable, "-m", "tests.bench.analyze"]
            environment = os.environ | {"BEADSEG_CACHE": f"{folder}/cache"}
            done = subprocess.run(
                [*command, "--measure", folder],
                check=True,
                stdout=subprocess.PIPE,
                text=True,
                env=environment,
            )
        found = json.loads(done.stdout.splitlines()[-1])
        row = {"images": count, "beads": beads}
        row |= {key: round(value, 1) for key, value in found.items()}
        row["seconds_an_image"] = round(found["seconds"] / count, 3)
        rows.append(row)
        print(row, flush=True)
    result = {"processes": processes, "goal_seconds_1000": GOAL, "rows": rows}
    if len(rows) > 1:
        result["ratio"] = round(rows[-1]["peak_mb"] / rows[0]["peak_mb"], 3)
        print(f"ratio of peak memory: {result['ratio']}")
    if options.write:
        keep("analyze", result)


if __name__ == "__main__":
    main()
