"""Cost against work over a factor of 64, as one picture.

  python -m tests.bench.linear [--only images] [--write]

images    `beadseg predict` of 2 to 128 images of 512 px, with all files, less its start
pixels    the default model on one image of 512 to 4,096 px, in memory
members   a step of 1 to 64 members of configs/smoke.py, as a sweep runs them
devices   a training step on 1 to 4 devices that share two cores, 4 crops each

Costs are the shortest of some rounds, told as a multiple of what the first size costs
for as much work: 1 is linear, less is better. The slope is that of a line through the
logarithms. A process for each number of devices.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from matplotlib.figure import Figure

import beadseg
from beadseg import models
from beadseg.data.images.reading import open_pages
from beadseg.sweep import programs
from beadseg.training.devices import compile_steps
from beadseg.training.state import create_state, hyperparameters
from configs import smoke
from tests.bench.predict import write_image
from tests.bench.record import RESULTS, keep

ROUNDS = 3
IMAGES, SIDES = (2, 8, 32, 128), (512, 1024, 2048, 4096)
MEMBERS, DEVICES = (1, 4, 16, 64), (1, 2, 4)
CROPS = 4  # a device


def shortest(work: Callable[[], object]) -> float:
    """Seconds of the fastest of some rounds, after one that compiles."""
    seconds = []
    for _ in range(1 + ROUNDS):
        begin = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begin)
    return min(seconds[1:])


def images() -> list[float]:
    """The command, without what it takes for no more than to start and compile."""
    with tempfile.TemporaryDirectory() as work:
        found = []
        for count in (1, *(1 + n for n in IMAGES)):
            folder = Path(work, str(count))
            folder.mkdir()
            for number in range(count):
                write_image(folder / f"{number}.tif", 512)
            command = [sys.executable, "-m", "beadseg.cli", "predict", str(folder)]
            found.append(
                shortest(
                    lambda command=command: subprocess.run(
                        [*command, "-o", tempfile.mkdtemp(dir=work)],
                        check=True,
                        stdout=subprocess.DEVNULL,
                        stderr=subprocess.DEVNULL,
                    )
                )
            )
    return [seconds - found[0] for seconds in found[1:]]


def pixels() -> list[float]:
    predictor, found = beadseg.load(), []
    with tempfile.TemporaryDirectory() as work:
        for side in SIDES:
            file = Path(work) / f"{side}.tif"
            write_image(file, side)
            image = open_pages(file)[0].read()
            found.append(shortest(lambda image=image: predictor.predict(image)))
    return found


def _steps(devices: int):
    """A compiled step on some devices, a state and its hyperparameters, a batch."""
    config = smoke.get_config()
    config.data.batch_size = CROPS * devices
    model, hp = models.build(config.model), hyperparameters(config)
    steps = compile_steps(model, config, 1000, jax.devices()[:devices])
    create = jax.jit(lambda h: create_state(model, config, h))
    side = config.data.crop
    crops = np.random.default_rng(0).random((CROPS * devices, side, side, 1), "f4")
    batch = {"image": crops, "mask": np.round(crops), "weight": np.ones_like(crops)}
    batch["distance"] = crops  # for the head of that name
    return steps, lambda: steps.place(create(hp)), hp, steps.feed(batch)


def members() -> list[float]:
    steps, create, hp, batch = _steps(1)
    found = []
    for count in MEMBERS:
        program = programs.in_streams(steps.train, count)
        states = [create() for _ in range(count)]

        def several(states=states, program=program):
            for _ in range(10):
                pairs = program(states, [hp] * len(states), batch)
                states[:] = [state for state, _ in pairs]
            jax.block_until_ready(states)

        found.append(shortest(several) / 10)
    return found


def devices() -> list[float]:
    found = []
    for count in DEVICES:
        command = [sys.executable, "-m", "tests.bench.linear", "--devices", str(count)]
        environment = os.environ | {"JAX_NUM_CPU_DEVICES": str(count)}
        done = subprocess.run(command, check=True, env=environment, capture_output=True)
        found.append(float(done.stdout.splitlines()[-1]))
    return found


def one_step(count: int) -> float:
    steps, create, hp, batch = _steps(count)
    held = [create()]

    def several():
        for _ in range(10):
            held[0], _ = steps.train(held[0], hp, batch)
        jax.block_until_ready(held[0])

    return shortest(several) / 10


PARTS = {
    "images": (IMAGES, images),
    "pixels": (tuple(side**2 for side in SIDES), pixels),
    "members": (MEMBERS, members),
    "devices": (DEVICES, devices),
}


def draw(found: dict, file: Path) -> None:
    """Cost of as much work, as a multiple of that of the first size."""
    figure = Figure((6, 3.4), layout="constrained")
    axes = figure.subplots()
    for name, part in found.items():
        work = np.array(part["work"]) / part["work"][0]
        axes.plot(work, part["cost_of_as_much"], "o-", label=name, alpha=0.8)
    axes.axhline(1.0, color="grey", linewidth=0.8)
    axes.set_xscale("log", base=2)
    axes.set_ylim(0, None)
    axes.set_xlabel("work, as a multiple of the least")
    axes.set_ylabel("cost of as much work")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(file, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--devices", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--write", action="store_true", help="keep in results/")
    options = parser.parse_args()
    if options.devices:
        print(one_step(options.devices))
        return
    found = {}
    for name in options.only:
        work, cost = PARTS[name]
        seconds = cost()
        as_much = np.array(seconds) / seconds[0] / (np.array(work) / work[0])
        found[name] = {
            "work": list(work),
            "seconds": [round(s, 4) for s in seconds],
            "cost_of_as_much": [round(float(cost), 2) for cost in as_much],
            "slope": round(float(np.polyfit(np.log(work), np.log(seconds), 1)[0]), 3),
        }
        print(f"{name:8} {found[name]}", flush=True)
    if options.write:
        file = RESULTS / "linear.json"
        before = json.loads(file.read_text()) if file.exists() else {}
        found = {n: p for n, p in (before | found).items() if n in PARTS}
        keep("linear", found)
        draw(found, RESULTS / "linear.png")


if __name__ == "__main__":
    main()
