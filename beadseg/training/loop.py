"""The training loop of a plain run: batches in, a summary out."""

import sys
import time
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict
from tqdm import tqdm

from beadseg.data import pipeline
from beadseg.errors import BeadsegError
from beadseg.training.interrupts import Interrupts
from beadseg.training.run import Run, compile_programs, open_data
from beadseg.training.run_folder import RunFolder
from beadseg.training.state import hyperparameters


class Interrupted(BeadsegError):
    """A signal stopped the run after it was saved; `signal` says which."""

    def __init__(self, line: str, signal: int):
        super().__init__(line)
        self.signal = signal


def train(config: ConfigDict, workdir: Path, name: str) -> dict[str, Any]:
    """Trains one run in `workdir`, from where it stands there, and returns its summary.

    Raises:
      BeadsegError: for anything a user can put right: config, data, folder, disk, and
        a loss that is not finite.
      Interrupted: after Ctrl-C or SIGTERM, once the run is saved.
    """
    started = time.monotonic()
    hyperparameters(config)  # what is out of range is said before a folder is made
    folder = RunFolder(workdir, config)
    done = folder.read("summary.json")
    if done is not None and done["epochs"] == config.train.epochs:
        print(f"{folder.path}: this run has come to its end before")
        return done
    data = open_data(config)
    programs = compile_programs(config, data)
    batches = pipeline.train_batches(data.dataset, data.sides.train, config)
    try:
        run = Run(config, folder, data, programs, batches, name)
        try:
            with Interrupts() as interrupts:
                _steps(run, batches, interrupts, started)
            return run.finish()
        finally:
            run.close()
    finally:
        pipeline.close(batches)


def _steps(run: Run, batches, interrupts: Interrupts, started: float) -> None:
    """All steps that are left."""
    terminal = sys.stderr.isatty()
    bar = tqdm(
        total=run.total_steps,
        initial=run.step,
        unit="step",
        mininterval=0.3 if terminal else 20.0,
        dynamic_ncols=True,
        desc="training",
    )
    first = run.step
    while not run.over():
        with run.clock.data:
            batch = next(batches)
        run.take(batch)
        if run.step == first + 1:
            run.fetch()
            seconds = time.monotonic() - started
            bar.set_postfix_str(f"first step after {seconds:.0f} s")
        elif run.news:
            bar.set_postfix_str(run.news, refresh=False)
        bar.update()
        signal = interrupts.received  # looked at once: it may come at any time
        if signal:
            run.save()
            bar.close()
            raise Interrupted(
                f"stopped by {signal.name} and saved at step {run.step} of "
                f"{run.total_steps} in {run.folder.path}: the same command goes on "
                "from there",
                signal,
            )
    bar.close()
