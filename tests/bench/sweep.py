"""A sweep in one process against the same members as separate runs; and its speed.

  python -m tests.bench.sweep [--members 8] [--steps 40 200] [--write]

Both begin as a user types them, with nothing compiled and the data set in its cache.
The speed of the sweep is that of its members' own logs, in member-steps per second,
against the single compiled step called again and again in this process. In short runs
the start counts for more, in long ones the checkpoints for less. Then what W&B
(offline) adds to the time of a sweep of twice the members, in turns with one without;
and how long the plan of 200 points takes (--dry_run).
"""

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import numpy as np

from beadseg import models
from beadseg.training.devices import compile_steps
from beadseg.training.state import create_state, hyperparameters
from beadseg.training.tracking.tracker import read_rows
from configs import smoke
from tests.bench.record import keep

ROOT = Path(__file__).parents[2]
CONFIG = """
from beadseg.sweep.points import over
from configs import smoke

def get_config():
    c = smoke.get_config()
    c.log.wandb = "off"
    c.train.epochs = 2
    return c
"""
SWEEP = """
def sweep(add):
    for point in over("seed", *range({members})):
        add(point)
"""


def timed(command: list[str]) -> float:
    environment = {k: v for k, v in os.environ.items() if "COMPILATION" not in k}
    environment["PYTHONPATH"] = str(ROOT)
    begin = time.perf_counter()
    subprocess.run(
        command, check=True, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    return time.perf_counter() - begin


def single_steps_per_second(steps: int) -> float:
    config = smoke.get_config()
    model, hp = models.build(config.model), hyperparameters(config)
    compiled = compile_steps(model, config, 1000, jax.devices()[:1])
    state = compiled.place(jax.jit(lambda h: create_state(model, config, h))(hp))
    side = config.data.crop
    rng = np.random.default_rng(0)
    pixels = rng.random((config.data.batch_size, side, side, 1), np.float32)
    batch = {"image": pixels, "mask": np.round(pixels), "weight": np.ones_like(pixels)}
    batch["distance"] = pixels  # for the head of that name
    state, sums = compiled.train(state, hp, batch)
    jax.block_until_ready((state, sums))
    begin = time.perf_counter()
    for _ in range(steps):
        state, sums = compiled.train(state, hp, batch)
    jax.block_until_ready((state, sums))
    return steps / (time.perf_counter() - begin)


def sweep_steps_per_second(folder: Path) -> float:
    """Of all members, by their own clocks, without the first lines: they compile."""
    steps = seconds = 0.0
    with open(folder / "leaderboard.csv", newline="") as file:
        members = [int(row["member"]) for row in csv.DictReader(file)]
    for member in members:
        rows = read_rows(folder / "members" / f"{member:03d}" / "metrics.jsonl")
        logs = [row for row in rows if row["kind"] == "train"]
        steps += logs[-1]["step"] - logs[0]["step"]
        seconds += sum(row["seconds_step"] + row["seconds_data"] for row in logs[1:])
    return steps / seconds


def measure(members: int, steps: int) -> dict:
    with tempfile.TemporaryDirectory() as work:
        plain, together = Path(work) / "plain.py", Path(work) / "together.py"
        per_epoch = f"    c.train.steps_per_epoch = {steps // 2}\n    return c"
        config = CONFIG.replace("    return c", per_epoch)
        plain.write_text(config)
        together.write_text(config + SWEEP.format(members=members))
        command = [sys.executable, "-m", "beadseg.main"]
        timed([*command, f"--config={plain}", f"--workdir={work}/warm"])
        sweep = timed([*command, f"--config={together}", f"--workdir={work}/sweep"])
        separate = [
            timed(
                [
                    *command,
                    f"--config={plain}",
                    f"--workdir={work}/{seed}",
                    f"--config.seed={seed}",
                ]
            )
            for seed in range(members)
        ]
        rate = sweep_steps_per_second(Path(work) / "sweep")
    single = single_steps_per_second(steps)
    return {
        "members": members,
        "steps": steps,
        "seconds_sweep": round(sweep, 1),
        "seconds_separate": [round(s, 1) for s in separate],
        "share_of_separate": round(sweep / sum(separate), 3),
        "member_steps_per_second": round(rate, 2),
        "single_steps_per_second": round(single, 2),
        "against_single_step": round(rate / single, 3),
    }


def tracking(members: int, steps: int, rounds: int = 2) -> dict:
    """Share of the time of a sweep that W&B takes: median of pairs, and each."""
    shares = []
    with tempfile.TemporaryDirectory() as work:
        file = Path(work) / "tracked.py"
        per_epoch = f"    c.train.steps_per_epoch = {steps // 2}\n    return c"
        config = CONFIG.replace("    return c", per_epoch)
        file.write_text(config + SWEEP.format(members=members))
        command = [sys.executable, "-m", "beadseg.main", f"--config={file}"]
        timed([*command, f"--workdir={work}/first"])  # compiles
        for number in range(rounds):
            seconds = {
                how: timed(
                    [*command, f"--workdir={work}/{how}_{number}"]
                    + [f"--config.log.wandb={how}"]
                )
                for how in ("off", "offline")
            }
            shares.append(1.0 - seconds["off"] / seconds["offline"])
    share = round(statistics.median(shares), 3)
    return {"members": members, "share": share, "each": [round(s, 3) for s in shares]}


def planning(points: int) -> float:
    """Seconds that `--dry_run` takes, from the command to its end."""
    with tempfile.TemporaryDirectory() as work:
        file = Path(work) / "planned.py"
        file.write_text(CONFIG + SWEEP.format(members=points))
        command = [sys.executable, "-m", "beadseg.main", f"--config={file}"]
        return timed([*command, "--dry_run"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--steps", type=int, nargs="+", default=[40, 200])
    parser.add_argument("--write", action="store_true", help="keep in results/")
    options = parser.parse_args()
    rows = []
    for steps in options.steps:
        rows.append(measure(options.members, steps))
        for name, value in rows[-1].items():
            print(f"{name:24} {value}", flush=True)
    found = {
        "rows": rows,
        "tracking": tracking(2 * options.members, options.steps[0]),
        "seconds_to_plan_200_points": round(planning(200), 1),
    }
    print(json.dumps({k: v for k, v in found.items() if k != "rows"}))
    if options.write:
        keep("sweep", found)


if __name__ == "__main__":
    main()
