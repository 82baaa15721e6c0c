"""What reading costs: beadseg's time over that of the library, and memory in planes.

  python -m tests.bench.reading [--times 15] [--write]

Files of u16 planes of 1,024 x 1,024 px, written by other libraries, or by hand where
none writes the kind (.nd2, .lif). Time (of the processor, on all threads): a file of 20
planes is opened and every plane copied into memory and kept, by beadseg and by the
library alone in turns; the median of the ratios, and their middle half. Memory: of a
file of 200 planes each is read once, in a process of its own; how far its own memory
(RssAnon, looked at every half millisecond) rises above that before the file is opened,
in planes, as it is and where freed memory goes back at once.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import tifffile

from beadseg.data.images import handles
from beadseg.data.images.reading import open_pages
from tests.bench.record import keep, rounded
from tests.data.images.written import leica, nikon, write_czi, write_zarr

SIDE, PLANES, MANY = 1024, 20, 200
PLANE = 2 * SIDE**2  # bytes
# glibc keeps freed blocks, for each thread, unless they are pages of their own.
MEMORY = {
    "planes_held": {},
    "planes_needed": {"MALLOC_MMAP_THRESHOLD_": "131072"},
}
WRITERS: dict[str, Callable[[Path, np.ndarray], object]] = {
    ".nd2": lambda f, a: f.write_bytes(nikon(a[:, None, None], ["DAPI"])),
    ".czi": lambda f, a: write_czi(f, a[None, :, None, None]),
    ".lif": lambda f, a: f.write_bytes(leica({"one": a})),
    ".zarr": lambda f, a: write_zarr(f, a, "0.4", "zyx", (1, *a.shape[1:])),
    ".tif": lambda f, a: tifffile.imwrite(f, a, photometric="minisblack"),
}


def planes(count: int, side: int = SIDE) -> np.ndarray:
    """u16 [count, H, W], noise, each plane of another brightness."""
    noise = np.random.default_rng(0).integers(1, 4000, (side, side), np.uint16)
    return noise + np.arange(count, dtype=np.uint16)[:, None, None]


def by_beadseg(file: Path) -> Iterator[np.ndarray]:
    for page in open_pages(file):
        yield page.read()
    handles.close()


def by_library(file: Path) -> Iterator[np.ndarray]:
    """The same planes, as the documentation of the library reads them."""
    match file.suffix:
        case ".nd2":
            import nd2

            with nd2.ND2File(file) as opened:
                for i in range(opened.sizes["T"]):
                    yield np.array(opened.read_frame(i))
        case ".czi":
            from pylibCZIrw import czi

            with czi.open_czi(str(file)) as opened:
                for i in range(opened.total_bounding_box["T"][1]):
                    yield opened.read(plane={"T": i}, scene=0)[..., 0]
        case ".lif":
            import liffile

            with liffile.LifFile(file) as opened:
                image = opened.images[0]
                for i in range(image.sizes["Z"]):
                    yield np.array(image.frame(Z=i))
        case ".zarr":
            import zarr

            array = zarr.open_group(str(file), mode="r")["0"]
            for i in range(array.shape[0]):
                yield np.asarray(array[i])
        case ".tif":
            with tifffile.TiffFile(file) as opened:
                for page in opened.pages:
                    yield page.asarray()


def seconds(read: Callable[[Path], Iterator[np.ndarray]], file: Path) -> float:
    started = time.process_time()
    kept = list(read(file))
    took = time.process_time() - started
    assert len(kept) == PLANES
    return took


def ratio(file: Path, times: int) -> dict[str, float]:
    """Of the times of beadseg and the library, measured in turns."""
    for one, other in zip(by_beadseg(file), by_library(file), strict=True):
        np.testing.assert_array_equal(one, other)
    both = [by_beadseg, by_library]
    took: dict[Callable, list[float]] = {read: [] for read in both}
    for turn in range(times):
        for read in both[:: 1 - 2 * (turn % 2)]:
            took[read].append(seconds(read, file))
    ratios = np.divide(took[by_beadseg], took[by_library])
    low, median, high = np.percentile(ratios, (25, 50, 75))
    library = float(np.median(took[by_library])) / PLANES
    return {"ratio": median, "low": low, "high": high, "library_s_a_plane": library}


def memory_of(file: Path) -> float:
    """Planes of memory that this process takes to read every plane of a file."""

    def held() -> int:
        told = Path("/proc/self/status").read_text()
        return 1024 * int(told.split("RssAnon:")[1].split()[0])

    for _ in by_beadseg(file.with_stem("small")):  # all libraries are loaded
        pass
    before = highest = held()
    done = threading.Event()

    def look() -> None:
        nonlocal highest
        while not done.wait(0.0005):
            highest = max(highest, held())

    beside = threading.Thread(target=look)
    beside.start()
    for page in open_pages(file):
        page.read()
        highest = max(highest, held())
    done.set()
    beside.join()
    return (highest - before) / PLANE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=15, help="that each is measured")
    parser.add_argument("--write", action="store_true", help="keep in results/")
    parser.add_argument("--memory", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory:
        print(json.dumps(memory_of(options.memory)))
        return
    rows = {}
    for ending, write in WRITERS.items():
        with tempfile.TemporaryDirectory() as folder:
            few, many, small = (
                Path(folder) / f"{name}{ending}" for name in ("few", "many", "small")
            )
            write(few, planes(PLANES))
            write(small, planes(3, 16))
            row = ratio(few, options.times)
            write(many, planes(MANY))
            command = [sys.executable, "-m", "tests.bench.reading", "--memory", many]
            for name, more in MEMORY.items():
                options_of = {"capture_output": True, "text": True, "check": True}
                told = subprocess.run(command, env=os.environ | more, **options_of)
                row[name] = json.loads(told.stdout)
        rows[ending] = rounded(row)
        print(
            f"{ending}: {row['ratio']:.2f} ({row['low']:.2f} to {row['high']:.2f}) "
            f"times the library's {1000 * row['library_s_a_plane']:.1f} ms a plane; "
            f"planes of memory: {row['planes_held']:.1f}, "
            f"needed {row['planes_needed']:.1f}"
        )
    if options.write:
        keep("reading", {"kinds": rows})


if __name__ == "__main__":
    main()
