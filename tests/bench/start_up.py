"""Time until something happens: the help, a small prediction, the first training step.

  python -m tests.bench.start_up [--rounds 7] [--write]

Help is timed in turns with an empty Python, from the command to its end. `beadseg
predict` finds the beads of one image of 512 px, labels and tables alone: cold with an
empty cache, so that its program is compiled, then warm. The first step
is that of configs/dice.py with the data set in its cache already: with no program
compiled yet, and then a second time.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tifffile

from tests.bench.predict_speed import draw
from tests.bench.record import keep


def seconds(command: list[str], more: dict[str, str] | None = None) -> float:
    """Seconds on the clock of one process, with more in its environment."""
    environment = os.environ | (more or {})
    started = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    return time.monotonic() - started


def help_seconds(rounds: int) -> dict:
    """Medians of the help and of a Python that does nothing, in turns."""
    ours, empty = [], []
    for _ in range(rounds):
        ours.append(seconds([sys.executable, "-m", "beadseg.cli", "--help"]))
        empty.append(seconds([sys.executable, "-c", "pass"]))
    more = statistics.median(a - b for a, b in zip(ours, empty, strict=True))
    return {
        "help": round(statistics.median(ours), 3),
        "python": round(statistics.median(empty), 3),
        "more": round(more, 3),
    }


def predict_seconds(folder: Path, rounds: int) -> dict:
    """Medians of a prediction: with a cache that is empty each time, and then again."""
    image = folder / "image.tif"
    tifffile.imwrite(image, draw(512, 20).image)
    times: dict[str, list[float]] = {"cold": [], "warm": []}
    for i in range(rounds):
        for name, found in times.items():
            command = [sys.executable, "-m", "beadseg.cli", "predict", str(image)]
            command += ["-o", str(folder / f"{name}_{i}"), "--only", "labels"]
            cache = {"BEADSEG_CACHE": str(folder / f"cache_{i}")}
            found.append(seconds([*command, "--no-report"], cache))
    return {name: round(statistics.median(found), 2) for name, found in times.items()}


def first_step(folder: Path, name: str, compiled: Path) -> float:
    """Seconds from the command until the row of its first step is written."""
    command = [
        *(sys.executable, "-m", "beadseg.main", "--config=configs/dice.py"),
        f"--workdir={folder / name}",
        f"--config.data.cache_dir={folder / 'data'}",
        *("--config.train.epochs=1", "--config.train.steps_per_epoch=2"),
        *("--config.log.every=1", "--config.log.wandb=off"),
    ]
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(compiled)}
    rows = folder / name / "metrics.jsonl"
    started = time.monotonic()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    )
    while not (rows.exists() and rows.stat().st_size) and process.poll() is None:
        time.sleep(0.01)
    found = time.monotonic() - started
    if process.wait() or not rows.exists():
        raise SystemExit(f"{' '.join(command)}: failed")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--write", action="store_true", help="keep in results/")
    options = parser.parse_args()
    found = {"help_seconds": help_seconds(options.rounds)}
    print(f"help: {found['help_seconds']['more']} s more than an empty Python")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found["predict_seconds"] = predict_seconds(folder, options.rounds)
        print(f"predict, 512 px: {found['predict_seconds']}", flush=True)
        first_step(folder, "data", folder / "apart")
        times = [first_step(folder, each, folder / "xla") for each in ("new", "again")]
    found["first_step_seconds"] = {
        "first": round(times[0], 1),
        "second": round(times[1], 1),
        "ratio": round(times[1] / times[0], 3),
    }
    print(f"first step: {times[0]:.1f} s, and {times[1]:.1f} s of a second start")
    if options.write:
        keep("start_up", found)


if __name__ == "__main__":
    main()
