"""Validation Jaccard of the default command, over seeds, on generated and real data.

  python -m tests.bench.accuracy generated --write
  BEADSEG_REAL_DATA=DIR python -m tests.bench.accuracy emps_spheres_dev --write

A seed sets the weights and the batches; `--split-seeds` also changes the split. Each
run is the command of the README with nothing changed but seeds and data, or that of
another file of configs/ with `--recipe NAME`. With `--add`, runs of other seeds that
stand in the results stay there: seeds may be run one after the other, or on a core
each (`taskset`, OMP_NUM_THREADS=1).
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

from tests.bench.record import RESULTS, keep
from tests.real_data import real_set

FIELDS = ("best_jaccard", "best_jaccard_at_0.5", "final_jaccard", "best_epoch")
FIELDS += ("best_f1", "best_count_error", "best_diameter_error")


def run(name: str, recipe: str, seed: int, split_seed: int, extra: list[str]) -> dict:
    """One run of the command in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *(sys.executable, "-m", "beadseg.main", f"--config=configs/{recipe}.py"),
            f"--workdir={folder}/run",
            f"--config.seed={seed}",
            f"--config.data.seed={seed}",
            f"--config.data.split_seed={split_seed}",
            *extra,
        ]
        if name != "generated":
            command.append(f"--config.data.dir={real_set(name)}")
        started = time.monotonic()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds = time.monotonic() - started
        summary = json.loads(Path(folder, "run", "summary.json").read_text())
    return {
        "seed": seed,
        "split_seed": split_seed,
        "minutes": round(seconds / 60, 2),
        "cores": len(os.sched_getaffinity(0)),
        "verdict": summary["verdict"],
        "threshold": summary["threshold"],
    } | {field: round(summary[field], 4) for field in FIELDS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", help="generated, or a set in $BEADSEG_REAL_DATA")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--recipe", default="dice", help="file of configs/ (dice)")
    parser.add_argument("--split-seeds", action="store_true")
    parser.add_argument("--write", action="store_true", help="keep in results/")
    parser.add_argument("--add", action="store_true", help="to what results/ holds")
    options, extra = parser.parse_known_args()
    name = f"accuracy_{options.data}"
    name += "" if options.recipe == "dice" else f"_{options.recipe}"
    file = RESULTS / f"{name}.json"
    runs = []
    if options.add and file.exists():
        held = json.loads(file.read_text())["runs"]
        runs = [old for old in held if old["seed"] not in options.seeds]
    for seed in options.seeds:
        split_seed = 42 + seed if options.split_seeds else 42
        runs.append(run(options.data, options.recipe, seed, split_seed, extra))
        print(runs[-1], flush=True)
        best = [r["best_jaccard"] for r in runs]
        result = {
            "mean": round(statistics.mean(best), 4),
            "spread": round(max(best) - min(best), 4),
            "runs": sorted(runs, key=lambda r: r["seed"]),
        }
        if options.write:  # after each run: a bench cut short has told something
            keep(name, result)
    print(f"{options.data}: mean {result['mean']}, spread {result['spread']}")


if __name__ == "__main__":
    main()
