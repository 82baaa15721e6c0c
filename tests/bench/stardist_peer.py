"""Time of `beadseg predict` against StarDist, from the command to its end.

  python -m venv PEERS && PEERS/bin/pip install tensorflow-cpu "stardist==0.9.*"
  python -m tests.bench.stardist_peer --peer PEERS/bin/python [--rounds 5] [--write]

The same generated images, fluorescence: beads of 20 px in 1 and 4 megapixels, of 80 px
in 4 and 17, of 7 px in 8. Ours is the default model with nothing given but that labels
and tables alone are written; StarDist is 2D, grid 2, see `stardist_predict`. They take
turns after one round that does not count, a process each time. The ratio is StarDist's
seconds over ours, round by round; above 1 beadseg is faster. Seconds of processors are
told as well: where others use the machine, they say more than the clock.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import tifffile

from tests.bench import stardist_predict
from tests.bench.predict_speed import draw
from tests.bench.record import keep

CASES = ((20, 1024), (20, 2048), (80, 2048), (80, 4096), (7, 2896))  # px: bead, side
OURS, THEIRS = "beadseg", "stardist"
RATIOS = ("ratio", "processor_ratio")


class Run(NamedTuple):
    """One process: seconds on the clock and of processors, and its count of beads."""

    seconds: float
    processor_seconds: float
    count: int


def run(command: list[Any]) -> tuple[float, float, str]:
    """Seconds on the clock and of processors of a command, and what it printed.

    Raises:
      SystemExit: it failed.
    """
    started = time.monotonic()
    process = subprocess.Popen(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(process.args)}: exit code {process.returncode}")
    return time.monotonic() - started, usage.ru_utime + usage.ru_stime, printed


def ours(image: Path, folder: Path) -> Run:
    command = [sys.executable, "-m", "beadseg.cli", "predict", image, "-o", folder]
    told = folder.with_suffix(".json")
    command += ["--only", "labels", "--no-report", "--json", told]
    seconds, processor, _ = run(command)
    return Run(seconds, processor, json.loads(told.read_text())["images"][0]["count"])


def theirs(peer: Path, image: Path, maps: Path, folder: Path) -> Run:
    """Less the reading of the maps that stand in for a trained network."""
    command = [peer, stardist_predict.__file__, "predict", image, maps, folder]
    seconds, processor, printed = run(command)
    told = json.loads(printed.splitlines()[-1])
    spent = told["reading"]
    return Run(seconds - spent, processor - spent, told["count"])


def compare(peer: Path, diameter: float, side: int, rounds: int, folder: Path) -> dict:
    """One row of the result: both on an image, in turns."""
    folder.mkdir()
    image, labels, maps = (folder / n for n in ("image.tif", "truth.tif", "maps.npz"))
    drawn = draw(side, diameter)
    tifffile.imwrite(image, drawn.image)
    tifffile.imwrite(labels, drawn.labels)
    run([peer, stardist_predict.__file__, "truth", labels, maps])
    found: dict[str, list[Run]] = {OURS: [], THEIRS: []}
    for i in range(rounds + 1):
        found[OURS].append(ours(image, folder / f"ours_{i}"))
        found[THEIRS].append(theirs(peer, image, maps, folder / f"theirs_{i}"))
    row = {"diameter_px": diameter, "side_px": side, "beads": len(drawn.beads)}
    pairs = [
        tuple(b / a for a, b in zip(one[:2], other[:2], strict=True))
        for one, other in zip(found[OURS][1:], found[THEIRS][1:], strict=True)
    ]
    for name, each in zip(RATIOS, zip(*pairs, strict=True), strict=True):
        row[name] = {
            "median": round(statistics.median(each), 3),
            "lowest": round(min(each), 3),
            "highest": round(max(each), 3),
        }
    for name, runs in found.items():
        row[name] = {
            "count": runs[-1].count,
            "seconds": round(statistics.median(r.seconds for r in runs[1:]), 2),
            "processor_seconds": round(
                statistics.median(r.processor_seconds for r in runs[1:]), 2
            ),
        }
    return row


def peer_versions(peer: Path) -> dict[str, str]:
    """Of the packages that matter there."""
    names = ("stardist", "tensorflow-cpu", "numpy", "scikit-image")
    code = f"from importlib.metadata import version as v; print(*map(v, {names}))"
    told = run([peer, "-c", code])[2].split()
    return {f"peer {n}": v for n, v in zip(names, told, strict=True)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer", type=Path, required=True, help="a Python with both")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--cases",
        nargs="*",
        type=lambda text: tuple(int(part) for part in text.split("x")),
        default=CASES,
        help="px of beads and of the side, such as 20x1024 (all)",
    )
    parser.add_argument("--write", action="store_true", help="keep in results/")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for diameter, side in options.cases:
            folder = Path(name) / f"{diameter}_{side}"
            row = compare(options.peer, diameter, side, options.rounds, folder)
            rows.append(row)
            print(json.dumps(row), flush=True)
    if options.write:
        result = {"rounds": options.rounds, "rows": rows}
        keep("stardist", result, **peer_versions(options.peer))


if __name__ == "__main__":
    main()
