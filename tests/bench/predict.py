"""From files to files: time around the network, and memory, as images grow.

  python -m tests.bench.predict [--sizes 1024 2048 4096] [--width 16] [--write]

The network has the shape of configs/base.py (less with --width and --depth) and weights
in closed form that take what is bright for bead, so that every image has as many beads
as was drawn: discs of 24 px, a third of the area. A process for each size; in it the
network alone is timed on the prepared image, and then the whole batch of one file with
all its outputs, both compiled before. Peak memory is that of the process up to there,
of one that only does the batch. `--write` draws time against pixels as well.
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

from tests.bench.record import RESULTS, keep

PITCH, RADIUS = 37, 12  # px


def write_image(file: Path, size: int) -> None:
    """Discs on a grid, with noise: u16 [size, size]."""
    at = np.arange(size) % PITCH - PITCH // 2
    disc = (at[:PITCH, None] ** 2 + at[:PITCH] ** 2 < RADIUS**2) * 3000 + 1000
    rng = np.random.default_rng(0)
    copies = -(-size // PITCH)
    patch = np.tile(disc, (1, copies))[:, :size]
    rows = [
        (patch + rng.integers(0, 300, patch.shape)).astype(np.uint16)
        for _ in range(copies)
    ]
    tifffile.imwrite(file, np.concatenate(rows)[:size])


def write_run(folder: Path, width: int, depth: int) -> None:
    """A run whose network hands the image on: logit = 20 image - 10."""
    import jax

    from beadseg import __version__, models
    from beadseg.training.weights import WEIGHTS, write_weights
    from configs import base

    config = base.get_config()
    config.model.width, config.model.depth = width, depth
    config.model.heads = ("mask",)
    model = models.build(config.model)
    side = model.stride
    shapes = jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, side, side, 1)))
    params, statistics = (
        jax.tree_util.tree_map_with_path(
            lambda path, x: np.full(x.shape, path[-1].key in ("gain", "var"), "f4"),
            shapes[kind],
        )
        for kind in ("params", "batch_stats")
    )
    for block in ("encoder_0", "decoder_0"):
        for convolution in params[block].values():
            convolution["kernel"][1, 1, 0, 0] = 1.0
    params["head_mask"]["kernel"][0] = 20.0
    params["head_mask"]["bias"][:] = -10.0
    folder.mkdir()
    for name, content in (
        ("config.json", config.to_dict()),
        ("versions.json", {"beadseg": __version__}),
        ("summary.json", {"threshold": 0.5}),
        (
            "dataset.json",
            {
                "bead_diameter_px": 24.0,
                "scale": 1.0,
                "normalise": {"low": 1.0, "high": 99.5, "flatten_sigma": 0.0},
            },
        ),
    ):
        (folder / name).write_text(json.dumps(content))
    write_weights(folder / WEIGHTS, params, statistics)


def measure(image: Path, run: Path, output: Path, network_too: bool) -> dict:
    """Seconds and peak MB of one file with all its outputs."""
    import beadseg
    from beadseg.data.scaling import PreparedWindows
    from beadseg.inference.batch import Options, predict_batch
    from beadseg.inference.inputs import find_inputs

    predictor = beadseg.load(run)
    inputs = find_inputs([str(image)])
    found = {}
    if network_too:
        network, page = predictor.networks[0], inputs.images[0].page.read()
        windows = PreparedWindows(page, **network.run.preparation(1.0))
        shape = page.shape
        predictor.predict(page)  # compiles what the batch needs
        for _ in range(2):  # the first compiles
            started = time.monotonic()
            for _band in network.bands(windows.read, shape):
                pass
            found["network_seconds"] = time.monotonic() - started
        del page, windows
    started = time.monotonic()
    result = predict_batch(inputs, predictor, Options(output))
    found["seconds"] = time.monotonic() - started
    found["beads"] = result["images"][0]["count"]
    found["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return found


def draw(rows: list[dict], file: Path) -> None:
    """Time against pixels, with the line on which it would be if it were linear."""
    from matplotlib.figure import Figure

    pixels = np.array([row["megapixels"] for row in rows])
    figure = Figure((5, 3.6), layout="constrained")
    axes = figure.subplots()
    names = {"seconds": "files to files", "network_seconds": "network alone"}
    if "seconds" not in rows[0]:
        names = {"seconds_with_compiling": "files to files, start and compiling too"}
    for i, (key, name) in enumerate(names.items()):
        times = np.array([row[key] for row in rows])
        axes.loglog(pixels, times, "o", color=f"C{i}", label=name)
        linear = times[-1] * pixels / pixels[-1]
        axes.loglog(pixels, linear, color=f"C{i}", linewidth=0.8, linestyle="--")
    axes.set(xlabel="megapixels", ylabel="seconds")
    axes.legend(frameon=False, title="dashed: linear from the largest")
    figure.savefig(file, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1024, 2048, 4096])
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--memory-only", action="store_true", help="no network alone")
    parser.add_argument("--write", action="store_true", help="keep in results/")
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        paths = map(Path, options.measure)
        print(json.dumps(measure(*paths, not options.memory_only)))
        return
    rows = []
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as folder:
            image, run = Path(folder) / "image.tif", Path(folder) / "run"
            write_image(image, size)
            write_run(run, options.width, options.depth)
            row = {"size": size, "megapixels": size**2 / 1e6}
            for kind in ("memory",) if options.memory_only else ("time", "memory"):
                command = [sys.executable, "-m", "tests.bench.predict"]
                command += ["--measure", image, run, Path(folder) / kind]
                command += ["--memory-only"] if kind == "memory" else []
                done = subprocess.run(command, capture_output=True, text=True)
                if done.returncode:
                    sys.exit(done.stderr)
                found = json.loads(done.stdout.splitlines()[-1])
                if kind == "memory":
                    row |= {"peak_mb": found["peak_mb"]}
                    row.setdefault("seconds_with_compiling", found["seconds"])
                else:
                    row |= {k: v for k, v in found.items() if k != "peak_mb"}
                    row["around"] = row["seconds"] / row["network_seconds"] - 1
        rows.append(row)
        print(json.dumps(row), flush=True)
    if options.write:
        name = "predict_memory" if options.memory_only else "predict"
        sizes = {"width": options.width, "depth": options.depth}
        keep(name, sizes | {"rows": rows})
        draw(rows, RESULTS / f"{name}.png")


if __name__ == "__main__":
    main()
