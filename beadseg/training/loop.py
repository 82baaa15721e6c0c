"""The training loop of a plain run: batches in, a summary out."""

import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict
from tqdm import tqdm

from beadseg.data import pipeline
from beadseg.data.masks import sizes
from beadseg.errors import BeadsegError, note
from beadseg.training import hosts
from beadseg.training.devices import compile_programs
from beadseg.training.interrupts import Interrupts
from beadseg.training.run import Run
from beadseg.training.run_data import open_data
from beadseg.training.run_folder import RunFolder
from beadseg.training.state import hyperparameters
from beadseg.training.tracking import wandb_mode
from beadseg.training.tracking.summary import SUMMARY, check_summary
from beadseg.training.weights import WEIGHTS, read_weights


class Interrupted(BeadsegError):
    """A signal stopped the run after it was saved."""

    everywhere = True

    def __init__(self, line: str, signal: int):
        super().__init__(line)
        self.exit_code = 128 + signal


def train(config: ConfigDict, workdir: Path, name: str) -> dict[str, Any]:
    """Trains one run in `workdir`, from where it stands there, and returns its summary.

    Raises:
      BeadsegError: for anything a user can put right: config, data, folder, disk, and
        a loss that is not finite.
      Interrupted: after Ctrl-C or SIGTERM, once the run is saved.
    """
    with ExitStack() as alone:
        return _train(config, workdir, name, alone)


def _train(config: ConfigDict, workdir: Path, name: str, alone: ExitStack):
    started = time.monotonic()
    wandb_mode.ask_early(config.log.wandb if hosts.is_primary() else "off")
    folder = hosts.primary_first(lambda: _open_folder(workdir, config, alone))
    done = hosts.broadcast_from_primary(lambda: _outcome(folder))
    if done is not None and done.get("epochs") == config.train.epochs:
        print(f"{folder.path}: this run is already finished")
        return done
    settled = sizes.settled(config, folder.read("dataset.json"))
    data = hosts.primary_first(lambda: open_data(settled))
    hosts.check_alike(
        "fingerprint of the images",
        data.dataset.fingerprint,
        "give all the same code and the same files in --config.data.dir",
    )
    programs = hosts.primary_first(lambda: compile_programs(config, data))
    rows = programs.steps.rows
    batches = pipeline.train_batches(data.dataset, data.sides.train, config, rows)
    try:
        run = Run(config, folder, data, programs, batches, name)
        try:
            with Interrupts() as interrupts:
                _steps(run, batches, interrupts, started)
            return run.finish()
        except BaseException as error:
            hosts.abort(error)
            raise
        finally:
            run.close()
    finally:
        batches.close()


def _open_folder(workdir: Path, config: ConfigDict, alone: ExitStack) -> RunFolder:
    hyperparameters(config)  # what is out of range is said before a folder is made
    return RunFolder(workdir, config, hosts.is_primary(), alone)


def _outcome(folder: RunFolder) -> dict[str, Any] | None:
    """The summary of a finished run, if it and the weights are whole.

    What is damaged is written anew from the checkpoints.
    """
    summary = folder.read(SUMMARY)
    if summary is None:
        return None
    try:
        check_summary(summary)
        read_weights(folder.path / WEIGHTS)
    except (OSError, ValueError, BeadsegError) as error:
        note(f"{folder.path}: {error}: summary and weights are written anew")
        return None
    return summary


def _steps(run: Run, batches, interrupts: Interrupts, started: float) -> None:
    """All steps that are left."""
    first = run.step
    stop = hosts.Stop()
    with progress_bar(run.total_steps, initial=run.step) as bar:
        while not run.over():
            with run.clock.data:
                batch = next(batches)
            run.train_step(batch)
            if run.step == first + 1:
                run.fetch()
                seconds = time.monotonic() - started
                bar.set_postfix_str(f"first step {seconds:.0f} s after the start")
                forget_start(bar)
            elif run.news:
                bar.set_postfix_str(run.news, refresh=False)
            bar.update()
            signal = stop(interrupts.received)
            if signal:
                run.save()
                raise Interrupted(
                    f"stopped by {signal.name} and saved at step {run.step} of "
                    f"{run.total_steps} in {run.folder.path}: the "
                    "same command continues from there",
                    signal,
                )


def forget_start(bar: tqdm) -> None:
    """Leaves what comes before the first step out of the time that a bar foretells."""
    if not bar.disable:
        begun = bar.start_t
        bar.unpause()
        bar.start_t = begun  # elapsed is all of it


def progress_bar(total: int, unit: str = "step", initial: int = 0) -> tqdm:
    """Of training; of several processes, the first shows it."""
    return tqdm(
        disable=not hosts.is_primary(),
        total=total,
        initial=initial,
        unit=unit,
        mininterval=0.3 if sys.stderr.isatty() else 20.0,
        dynamic_ncols=True,
        desc="training",
    )
