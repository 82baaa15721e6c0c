"""Images per second of the generator, and of drawing beads over the full frame.

    python -m tests.bench.renderer [--write]

The peer draws the very same beads with the very same formulas over the whole pixel grid
of the frame, one bead after another, as a first version would; the pictures are checked
to agree. Times are medians; read them as ratios on a shared machine.
"""

import argparse
import json
import multiprocessing
import time

import numpy as np

from beadseg.data.generated.optics import LOOKS, Radial
from beadseg.data.generated.render import draw_beads, generate
from beadseg.data.generated.scene import lay_out
from beadseg.data.generated.settings import GeneratedSettings
from tests.bench.record import keep

IMAGES = 150


def _make(settings: GeneratedSettings, start: int, stop: int) -> float:
    used = time.process_time()
    for index in range(start, stop):
        generate(settings, 0, index)
    return time.process_time() - used


def _draw(outlines, look, size: int, reach: float) -> tuple[np.ndarray, float]:
    signal = np.full((size, size), look.background, np.float32)
    plain = GeneratedSettings(texture=0.0)
    begin = time.perf_counter()
    draw_beads(plain, np.random.default_rng(0), signal, outlines, look, reach)
    return signal, time.perf_counter() - begin


def _drawing_ratio(size: int, images: int) -> float:
    ratios = []
    for index in range(images):
        rng = np.random.default_rng([0, index])
        outlines, _ = lay_out(GeneratedSettings(size=size), rng, size)
        blur = np.full(len(outlines.y), 0.8)
        look = LOOKS["transmission_electron"](
            rng, Radial(outlines.radius, blur, 8.0), np.ones((len(blur), 1))
        )
        ours, seconds = _draw(outlines, look, size, 8.0)
        peer, longer = _draw(outlines, look, size, 2.0 * size)
        np.testing.assert_allclose(ours, peer, atol=2e-3)
        ratios.append(longer / seconds)
    return float(np.median(ratios))


def run(size: int = 256, images: int = IMAGES) -> dict[str, float]:
    """Measures every preset in one process and in two.

    Returns:
      images per second of wall time and of processor time, and how many times faster
      drawing in patches is than over the full grid.
    """
    result = {}
    for preset in ("beads", "varied", "mitochondria"):
        settings = GeneratedSettings(preset=preset, size=size)
        _make(settings, 0, 5)
        begin = time.perf_counter()
        used = _make(settings, 0, images)
        wall = time.perf_counter() - begin
        result[f"{preset}_images_per_second"] = images / wall
        result[f"{preset}_images_per_processor_second"] = images / used
        with multiprocessing.get_context("spawn").Pool(2) as pool:
            half = [(settings, 0, images // 2), (settings, images // 2, images)]
            pool.starmap(_make, [(settings, 0, 5)] * 4)
            begin = time.perf_counter()
            pool.starmap(_make, half, chunksize=1)
            wall = time.perf_counter() - begin
        result[f"{preset}_images_per_second_two_processes"] = images / wall
    result["drawing_times_faster_than_full_grid"] = _drawing_ratio(size, 20)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="keep in results/")
    options = parser.parse_args()
    found = {k: round(v, 2) for k, v in run().items()}
    print(json.dumps(found, indent=2))
    if options.write:
        keep("renderer", found)


if __name__ == "__main__":
    main()
