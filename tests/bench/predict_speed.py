"""Time of the default model with nothing given, from images to all outputs.

  BEADSEG_REAL_DATA=DIR:DIR python -m tests.bench.predict_speed [--write] [--run RUN]
  python -m tests.bench.predict_speed --sides 1024 --diameters 16    # less of it

"lab" is bright field: a frame of 3840 x 2048 px laid with crops of
brightfield_dilution_dev, of all dilutions in their order, and one crop of the thinnest
alone. "generated" is beads of 7, 16 and 60 px in 1, 4 and 16 megapixels, fluorescence.

"command" is `beadseg predict IMAGE -o OUT` from its start to its end, "predict" is
`beadseg.load().predict(array)` in a process that has looked at this very image before.
A small image goes first, so that what is compiled is in the cache on disk; each is run
--repeats times and the fastest counts, for an image of a new size may still compile.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tifffile

from beadseg.data.generated.render import GeneratedImage, generate
from beadseg.data.generated.settings import GeneratedSettings
from beadseg.data.images.reading import open_pages
from tests.bench.command import predict
from tests.bench.real_sets import images_of
from tests.bench.record import keep
from tests.real_data import real_set

LAB = "brightfield_dilution_dev"
FRAME = (2048, 3840)  # px, height and width
COVERAGE = (0.2, 0.4)
WARM_UP = 256  # px


def lay_frame(files: Sequence[Path], shape: tuple[int, int]) -> np.ndarray:
    """u8[H, W, 3]: crops side by side, taken evenly from all `files` in their order."""
    crops = [open_pages(file)[0].read_stored() for file in files]
    side = crops[0].shape[0]
    rows, columns = (math.ceil(length / side) for length in shape)
    place = np.arange(rows * columns) * len(crops) // (rows * columns)
    laid = [
        np.concatenate([crops[i] for i in row], axis=1)
        for row in place.reshape(rows, columns)
    ]
    return np.concatenate(laid)[: shape[0], : shape[1]]


def draw(side: int, diameter: float) -> GeneratedImage:
    """A generated image of beads of about one size."""
    radius = diameter / 2
    most = side**2 / (math.pi * radius**2)
    settings = GeneratedSettings(
        preset="beads",
        size=side,
        radius=(0.95 * radius, 1.05 * radius),
        beads=(int(0.9 * COVERAGE[0] * most), int(1.1 * COVERAGE[1] * most)),
        coverage=COVERAGE,
        modalities=("fluorescence",),
    )
    return generate(settings, 0, 0)


def time_image(image: np.ndarray, run: str | None, repeats: int, folder: Path) -> dict:
    """Seconds and megapixels per second of the command, and of predict alone."""
    folder.mkdir()
    file = folder / "image.tif"
    photometric = "rgb" if image.ndim == 3 else "minisblack"
    tifffile.imwrite(file, image, photometric=photometric)
    done = [
        predict([file], folder / f"out_{i}", ["--run", run] if run else [])
        for i in range(repeats)
    ]
    command = [sys.executable, "-m", "tests.bench.predict_speed", "--in-process"]
    command += [str(file), "--repeats", str(repeats), *(["--run", run] if run else [])]
    alone = subprocess.run(command, capture_output=True, text=True)
    if alone.returncode:
        raise RuntimeError(alone.stderr)
    seconds = {
        "command": min(each.seconds for each in done),
        "predict": min(json.loads(alone.stdout.splitlines()[-1])),
    }
    megapixels = math.prod(image.shape[:2]) / 1e6
    row = {
        "megapixels": round(megapixels, 2),
        "found": int(done[0].images[file.stem]["count"]),
    }
    for name, value in seconds.items():
        row[f"{name}_seconds"] = round(value, 2)
        row[f"{name}_megapixels_per_second"] = round(megapixels / value, 3)
    return row


def in_process(file: Path, run: str | None, repeats: int) -> list[float]:
    """Seconds of each look at an image, after a first one that does not count."""
    import beadseg

    predictor = beadseg.load(*([run] if run else []))
    image = open_pages(file)[0].read()
    predictor.predict(image)
    seconds = []
    for _ in range(repeats):
        started = time.monotonic()
        predictor.predict(image)
        seconds.append(time.monotonic() - started)
    return seconds


def time_lab(run: str | None, repeats: int, folder: Path) -> dict:
    """Of a frame and of a crop of the lab's dilution series."""
    files = images_of(real_set(LAB))
    files.sort(key=lambda file: (-int(file.name.partition("x")[0]), file.name))
    images = {
        "frame of 3840 x 2048 px": lay_frame(files, FRAME),
        "crop of 512 x 512 px, thinnest": open_pages(files[0])[0].read_stored(),
    }
    rows = {}
    for number, (name, image) in enumerate(images.items()):
        rows[name] = time_image(image, run, repeats, folder / f"lab_{number}")
        print(name, rows[name], flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sides", type=int, nargs="*", default=[1024, 2048, 4096])
    parser.add_argument("--diameters", type=float, nargs="*", default=[7, 16, 60])
    parser.add_argument("--no-lab", action="store_true", help="generated images alone")
    parser.add_argument("--repeats", type=int, default=2, help="the fastest counts (2)")
    parser.add_argument("--run", help="a run folder; without it the default model")
    parser.add_argument("--write", action="store_true", help="keep in results/")
    parser.add_argument("--in-process", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.in_process:
        seconds = in_process(options.in_process, options.run, options.repeats)
        print(json.dumps(seconds))
        return
    result: dict = {"generated": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        time_image(draw(WARM_UP, 16).image, options.run, 1, folder / "warm_up")
        if not options.no_lab:
            result["lab"] = time_lab(options.run, options.repeats, folder)
        for diameter in options.diameters:
            for side in options.sides:
                drawn = draw(side, diameter)
                row = {
                    "diameter_px": diameter,
                    "side_px": side,
                    "beads": len(drawn.beads),
                }
                inside = folder / f"{diameter:g}_{side}"
                row |= time_image(drawn.image, options.run, options.repeats, inside)
                result["generated"].append(row)
                print(row, flush=True)
    if options.write:
        keep("predict_speed", result)


if __name__ == "__main__":
    main()
