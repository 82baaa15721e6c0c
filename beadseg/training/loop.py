"""The training loop: batches in, metrics, checkpoints and a summary out.

A checkpoint is written before the next batch is drawn, so that the iterator in it
stands where the state stands: a run that was killed goes on to the same bits.
"""

import math
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from beadseg import models
from beadseg.data import pipeline, splits
from beadseg.data.builders import Dataset, open_dataset
from beadseg.errors import BeadsegError
from beadseg.metrics import Confusion, accuracy, dice, jaccard, precision, recall
from beadseg.training import pictures
from beadseg.training.checkpoints import Checkpoints
from beadseg.training.devices import Steps, compile_steps
from beadseg.training.evaluation import Evaluation, evaluate
from beadseg.training.interrupts import Interrupts
from beadseg.training.run_folder import RunFolder
from beadseg.training.start import start_from
from beadseg.training.state import (
    Hyperparameters,
    TrainState,
    after_evaluation,
    create_state,
    hyperparameters,
)
from beadseg.training.step import TrainSums
from beadseg.training.summary import summarise
from beadseg.training.tracking import Tracker
from beadseg.training.weights import WEIGHTS, write_weights


class Interrupted(BeadsegError):
    """A signal stopped the run after it was saved; `signal` says which."""

    def __init__(self, line: str, signal: int):
        super().__init__(line)
        self.signal = signal


class Progress(NamedTuple):
    """What a checkpoint holds: the state, and sums since the last log and epoch."""

    state: TrainState
    window: TrainSums
    epoch: TrainSums


def train(config: ConfigDict, workdir: Path, name: str) -> dict[str, Any]:
    """Trains one run in `workdir`, from where it stands there, and returns its summary.

    Raises:
      BeadsegError: for anything a user can put right: config, data, folder, disk, and
        a loss that is not finite.
      Interrupted: after Ctrl-C or SIGTERM, once the run is saved.
    """
    started = time.monotonic()
    hp = hyperparameters(config)
    model = models.build(config.model)
    folder = RunFolder(workdir, config)
    done = folder.read("summary.json")
    if done is not None and done["epochs"] == config.train.epochs:
        print(f"{folder.path}: this run has come to its end before")
        return done
    dataset, truth = _open(config)
    sides = _split(dataset, truth, config, folder)
    epoch_steps = config.train.steps_per_epoch or pipeline.steps_per_epoch(
        dataset, sides.train, config
    )
    total_steps = epoch_steps * config.train.epochs
    steps = compile_steps(model, config, total_steps)
    hp = steps.place(hp)
    state = steps.place(jax.jit(lambda h: create_state(model, config, h))(hp))
    checkpoints = Checkpoints(folder.path / "checkpoints")
    run = _Run(config, folder, truth, sides, steps, hp, checkpoints, epoch_steps)
    progress = Progress(state, _no_sums(), _no_sums())
    batches = pipeline.train_batches(dataset, sides.train, config)
    at = checkpoints.latest_step
    if at is not None:
        progress = checkpoints.restore(progress, at, batches)
    elif config.init_from:
        start = steps.place(start_from(state, config.init_from))
        progress = progress._replace(state=start)
    tracker = Tracker(folder, config, name, at or 0)
    try:
        with Interrupts() as interrupts:
            progress = _steps(run, progress, batches, tracker, interrupts, started)
        summary = _finish(run, progress, tracker)
    except BaseException:
        tracker.finish()
        raise
    finally:
        checkpoints.close()
        pipeline.close(batches)
    tracker.finish(summary)
    return summary


class _Run(NamedTuple):
    config: ConfigDict
    folder: RunFolder
    truth: Dataset  # what validation is measured against
    sides: splits.Split
    steps: Steps
    hp: Hyperparameters
    checkpoints: Checkpoints
    epoch_steps: int


def _open(config: ConfigDict) -> tuple[Dataset, Dataset]:
    """The data to train on, and to validate on: damaged labels only to train on."""
    dataset = open_dataset(config)
    if config.data.dir or config.data.generated.damage == "none":
        return dataset, dataset
    complete = config.copy_and_resolve_references()
    complete.data.generated.damage = "none"
    return dataset, open_dataset(complete)


def _split(
    dataset: Dataset, truth: Dataset, config: ConfigDict, folder: RunFolder
) -> splits.Split:
    sides = splits.split(
        truth.records,
        config.data.validation_fraction,
        config.data.split_seed,
        config.data.density_bins,
    )
    before = folder.read("dataset.json")
    if before is not None and before["fingerprint"] != dataset.fingerprint:
        raise BeadsegError(
            f"{folder.path}: the images or masks have changed since this run began: "
            "give another folder with --workdir"
        )
    folder.write("dataset.json", dataset.as_json())
    folder.write("split.json", sides.as_json(dataset.records))
    for line in [*dataset.notes, *splits.format_split(sides).splitlines()]:
        print(line)
    return sides


def _steps(
    run: _Run,
    progress: Progress,
    batches: Any,
    tracker: Tracker,
    interrupts: Interrupts,
    started: float,
) -> Progress:
    """All steps that are left. The sums of a step are fetched while the next runs."""
    config = run.config
    state, window, epoch = progress
    step = int(state.step)
    total = run.epoch_steps * config.train.epochs
    terminal = sys.stderr.isatty()
    bar = tqdm(
        total=total,
        initial=step,
        unit="step",
        mininterval=0.3 if terminal else 20.0,
        dynamic_ncols=True,
        desc="training",
    )
    clock = _Clock()
    pending = None
    stopped = _stopped_early(state, config)
    while step < total and not stopped:
        with clock.data:
            batch = next(batches)
        with clock.step:
            state, sums = run.steps.train(state, run.hp, batch)
            if pending is not None:
                window, epoch = _add(run, pending, step, window, epoch)
            pending = sums
            step += 1
            boundary = step % run.epoch_steps == 0
            signal = interrupts.received  # looked at once: it may come at any time
            if boundary or signal or started or step % config.log.every == 0:
                window, epoch = _add(run, pending, step, window, epoch)
                pending = None
        if started is not None:
            bar.set_postfix_str(f"first step after {time.monotonic() - started:.0f} s")
            started = None
        bar.update()
        number = math.ceil(step / run.epoch_steps)
        if step % config.log.every == 0:
            tracker.log(_train_row("train", window, step, number) | clock.row(window))
            window, clock = _no_sums(), _Clock()
        if boundary:
            with clock.evaluation:
                look = number % config.log.images_every == 0 or step == total
                state, row, panels = _evaluate(run, state, step, number, look)
            tracker.log(_train_row("train_epoch", epoch, step, number))
            tracker.log(row)
            if look:
                tracker.log_images(step, panels)
            stopped = _stopped_early(state, config)
            epoch = _no_sums()
            bar.set_postfix_str(
                f"epoch {number}, validation Jaccard {row['jaccard']:.3f}, "
                f"best {float(state.stopping.best):.3f}"
            )
            now = Progress(state, window, epoch)
            _save(run, step, now, batches, row["jaccard"])
        if signal:
            if not boundary:
                _save(run, step, Progress(state, window, epoch), batches, None)
            run.checkpoints.wait()
            bar.close()
            raise Interrupted(
                f"stopped by {signal.name} and saved at step {step} of "
                f"{total} in {run.folder.path}: the same command goes on from there",
                signal,
            )
    bar.close()
    return Progress(state, window, epoch)


def _stopped_early(state: TrainState, config: ConfigDict) -> bool:
    patience = config.train.early_stopping
    return bool(patience) and int(state.stopping.stale) >= patience


def _evaluate(run: _Run, state: TrainState, step: int, epoch: int, look: bool):
    """One evaluation: the new state, a row for the logs, and panels to look at."""
    found = _validate(run, state, look)
    row = {"step": step, "epoch": epoch, "kind": "validation"} | found.numbers()
    state = after_evaluation(
        state,
        np.float32(found.loss),
        np.float32(found.jaccard),
        np.int32(epoch),
        run.config,
    )
    return state, row, pictures.panels(found.samples, found.threshold)


def _validate(run: _Run, state: TrainState, look: bool) -> Evaluation:
    return evaluate(
        run.steps,
        state,
        run.hp,
        run.truth,
        run.sides.validation,
        run.config,
        with_samples=look,
    )


def _save(run: _Run, step: int, now: Progress, batches: Any, jaccard: float | None):
    try:
        run.checkpoints.save(step, now, batches, jaccard)
    except OSError as error:
        raise BeadsegError(
            f"{run.folder.path}: checkpoint of step {step} cannot be written "
            f"({error.strerror or error}): free space and run the same command again"
        ) from error


def _finish(run: _Run, progress: Progress, tracker: Tracker) -> dict[str, Any]:
    """Keeps the best weights, draws curves and samples, writes the summary."""
    run.checkpoints.wait()
    best = run.checkpoints.restore(progress, run.checkpoints.best_step)
    write_weights(run.folder.path / WEIGHTS, best.state.params, best.state.statistics)
    found = _validate(run, best.state, look=True)
    summary = summarise(tracker.rows, run.config) | {
        "epochs": run.config.train.epochs,
        "validation": "on known pixels",
        "bead_diameter_px": run.truth.bead_diameter_px,
        "scale": run.truth.scale,
    }
    pictures.draw_curves(tracker.rows, run.folder.path / "curves.png")
    pictures.draw_samples(found, run.folder.path / "samples.png")
    run.folder.write("summary.json", summary)
    return summary


def _add(run: _Run, sums: TrainSums, step: int, window: TrainSums, epoch: TrainSums):
    """Fetches the sums of a step and adds them on the host, in float64."""
    sums = jax.device_get(sums)
    if not (np.isfinite(sums.loss) and np.isfinite(sums.gradient_norm)):
        last = run.checkpoints.latest_step
        saved = f"step {last}" if last is not None else "none yet"
        raise BeadsegError(
            f"{run.folder.path}: the loss is not finite at step {step} (member 0, last "
            f"good checkpoint: {saved}): lower config.optim.learning_rate and train "
            "in a new folder"
        )

    def add(total, value):
        return total + np.float64(value)

    return jax.tree.map(add, window, sums), jax.tree.map(add, epoch, sums)


def _no_sums() -> TrainSums:
    zero = np.zeros((), np.float64)
    return TrainSums(*[zero] * 5, confusion=Confusion(*[zero] * 4))


def _train_row(kind: str, sums: TrainSums, step: int, epoch: int) -> dict[str, Any]:
    counts = sums.confusion
    return {
        "step": step,
        "epoch": epoch,
        "kind": kind,
        "loss": float(sums.loss / sums.examples),
        "gradient_norm": float(sums.gradient_norm / sums.steps),
        "learning_rate": float(sums.learning_rate / sums.steps),
        "jaccard": float(jaccard(counts)),
        "dice": float(dice(counts)),
        "accuracy": float(accuracy(counts)),
        "precision": float(precision(counts)),
        "recall": float(recall(counts)),
    }


class _Clock:
    """Seconds spent on data, steps and evaluation since it was made."""

    def __init__(self) -> None:
        self.data, self.step, self.evaluation = _Watch(), _Watch(), _Watch()

    def row(self, sums: TrainSums) -> dict[str, float]:
        busy = self.data.seconds + self.step.seconds
        return {
            "images_per_second": float(sums.examples) / busy,
            "seconds_data": self.data.seconds,
            "seconds_step": self.step.seconds,
            "seconds_evaluation": self.evaluation.seconds,
        }


class _Watch:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __enter__(self) -> None:
        self._since = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.monotonic() - self._since
