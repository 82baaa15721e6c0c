"""Crops a second that the input pipeline prepares, against those that training eats.

  python -m tests.bench.input [--seconds 20] [--write]

On 16 TIFFs of 1,024 x 1,024 px (16 bit, 1,024 beads each), as configs/dice.py cuts and
augments them. The pipeline runs alone, then the training step on one batch alone: above
1, input is not what a run waits for, if it has cores of its own.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import jax

from beadseg import models
from beadseg.data import pipeline, splits
from beadseg.data.builders import open_dataset
from beadseg.training.devices import compile_steps
from beadseg.training.state import create_state, hyperparameters
from configs import dice
from tests.bench.memory import write_images
from tests.bench.record import keep


def rate(run: Callable[[], None], seconds: float) -> float:
    """Calls a second, after three that do not count."""
    for _ in range(3):
        run()
    calls, started = 0, time.monotonic()
    while time.monotonic() - started < seconds:
        run()
        calls += 1
    return calls / (time.monotonic() - started)


def measure(folder: Path, seconds: float) -> dict[str, float]:
    write_images(folder / "data", 16)
    config = dice.get_config()
    config.data.dir, config.data.cache_dir = str(folder / "data"), str(folder / "cache")
    started = time.monotonic()
    dataset = open_dataset(config)
    found = {"images_prepared_per_second": 16 / (time.monotonic() - started)}
    train = splits.split(dataset.records).train
    batches = pipeline.train_batches(dataset, train, config)
    size = config.data.batch_size
    found["input"] = size * rate(lambda: next(batches), seconds)
    batch = next(batches)
    batches.close()

    model, hp = models.build(config.model), hyperparameters(config)
    steps = compile_steps(model, config, 1000)
    held = [steps.place(jax.jit(lambda h: create_state(model, config, h))(hp))]

    def step() -> None:
        held[0], sums = steps.train(held[0], hp, batch)
        jax.block_until_ready((held[0], sums))

    found["training"] = size * rate(step, seconds)
    found["ratio"] = found["input"] / found["training"]
    return {name: round(value, 2) for name, value in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20, help="of each measurement")
    parser.add_argument("--write", action="store_true", help="keep in results/")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), options.seconds)
    print(
        f"input {found['input']} crops/s, training {found['training']} crops/s: "
        f"{found['ratio']} times what training eats"
    )
    if options.write:
        keep("input", {"crops_per_second": found})


if __name__ == "__main__":
    main()
