"""One run in motion: what follows each of its steps, until its summary.

A plain run is one `Run`; a sweep is several that share data, compiled steps and
batches. Both are the same code from the first step to the summary.

A checkpoint is written before the next batch is drawn, so that the iterator in it
stands where the state stands: a killed run continues to the same bits.
"""

import math
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from beadseg.data import pipeline
from beadseg.errors import BeadsegError
from beadseg.quoting import percent
from beadseg.training import hosts
from beadseg.training.beads import pixels_of
from beadseg.training.checkpoints import Checkpoints
from beadseg.training.devices import Programs
from beadseg.training.evaluation import Evaluation, evaluate
from beadseg.training.partial_labels import KnownCompleteness, audit_after
from beadseg.training.run_data import Data, check_data
from beadseg.training.run_folder import RunFolder
from beadseg.training.start import keep_start, mix_with_start, start_from
from beadseg.training.state import (
    TrainState,
    after_evaluation,
    hyperparameters,
    with_completeness,
)
from beadseg.training.step import TrainSums
from beadseg.training.tracking import pictures
from beadseg.training.tracking.clock import Clock
from beadseg.training.tracking.summary import SUMMARY, of_kept, rank_of, summarise
from beadseg.training.tracking.tracker import Tracker
from beadseg.training.weights import WEIGHTS, write_weights

# Of what validation gained, that is kept when weights are mixed with those of a start
# that knows beads of any size: at fixed levels validation sees no lost beads elsewhere.
GAIN = 0.5


class NotFinite(BeadsegError):
    """The loss or its gradient is infinite or not a number: this run has ended."""

    everywhere = True


class Progress(NamedTuple):
    """What a checkpoint holds: the state, and sums since the last log and epoch."""

    state: TrainState
    window: TrainSums
    epoch: TrainSums


class Run:
    """A run from where it stands in its folder, to be given steps one by one.

    Public attributes: `state` and `hp` for the step, `steps` (the compiled ones),
    `step` (steps done), `best` (score of validation; kept on the host, as asking the
    device for it would wait for the step under way), `clock`.
    """

    def __init__(
        self,
        config: ConfigDict,
        folder: RunFolder,
        data: Data,
        programs: Programs,
        batches: pipeline.TrainBatches,
        name: str,
        member: int = 0,
    ):
        """Restores the latest checkpoint, with `batches` where it stood, or begins."""
        self.config, self.folder, self.data = config, folder, data
        self.clock = Clock()
        self._batches, self.member = batches, member
        self._programs, self.steps = programs, programs.steps
        self._pending: TrainSums | None = None
        self._last_row: dict[str, Any] | None = None
        hosts.broadcast_from_primary(lambda: check_data(folder, data))
        self.hp = self.steps.place(hyperparameters(config))
        state = self.steps.place(programs.create(self.hp))
        self._checkpoints = Checkpoints(folder.path / "checkpoints")
        progress = Progress(state, TrainSums.none(), TrainSums.none())
        at = self._checkpoints.latest_step
        try:
            hosts.check_alike(
                f"latest checkpoint in {folder.path}", at, "give all the same folder"
            )
            if at is not None:
                progress, at = self._checkpoints.restore_latest(progress, batches)
            elif config.init_from:
                start = hosts.primary_first(
                    lambda: keep_start(config.init_from, folder.path)
                )
                state = start_from(state, start, config.init_from)
                progress = progress._replace(state=self.steps.place(state))
            self._tracker = Tracker(folder, config, name, at or 0)
        except BaseException as error:
            hosts.abort(error)
            self._checkpoints.close()
            raise
        self.state, self._window, self._epoch = progress
        self.best = float(self.state.stopping.best)
        self.step = at or 0
        if at is None:
            train = [data.dataset.records[i] for i in data.sides.train]
            given = data.labels.given_in(train)
            if given is not None:
                self._correct_for(given, "as given")
        self._choose_steps()

    @property
    def total_steps(self) -> int:
        """Steps until the last epoch."""
        return self.data.epoch_steps * self.config.train.epochs

    @property
    def stopped_early(self) -> bool:
        """Whether the score has stalled for longer than the config allows."""
        patience = self.config.train.early_stopping
        return bool(patience) and int(self.state.stopping.stale) >= patience

    def over(self, epochs: int | None = None) -> bool:
        """Whether no step is left until epoch `epochs` (None: the last)."""
        last = self.total_steps if epochs is None else epochs * self.data.epoch_steps
        at_boundary = self.step % self.data.epoch_steps == 0
        return self.step >= last or (at_boundary and self.stopped_early)

    @property
    def news(self) -> str:
        """The latest evaluation in a few words; empty before the first."""
        if self._last_row is None:
            return ""
        row = self._last_row
        news = f"epoch {row['epoch']}, validation Jaccard {row['jaccard']:.3f}"
        news += f", F1 {row['f1']:.3f}"
        # None is the best yet just after the masks were found to lack beads.
        return f"{news}, best {self.best:.3f}" if self.best >= 0 else news

    @property
    def rows(self) -> list[dict[str, Any]]:
        """All rows of `metrics.jsonl` so far."""
        return self._tracker.rows

    def train_step(self, batch: dict[str, Any]) -> None:
        """One training step, and all that is due after it."""
        with self.clock.step:
            state, sums = self.steps.train(self.state, self.hp, batch)
        self.after_step(state, sums)

    def after_step(self, state: TrainState, sums: TrainSums) -> None:
        """Takes over the outcome of a step; logs, evaluates and saves when it is time.

        The sums of the step before are fetched only now, while this one runs.

        Raises:
          NotFinite: the loss is not finite.
        """
        before, self._pending = self._pending, sums
        self.state, self.step = state, self.step + 1
        if before is not None:
            with self.clock.step:
                self._add(before, self.step - 1)
        boundary = self.step % self.data.epoch_steps == 0
        log = self.step % self.config.log.every == 0
        if boundary or log:
            self.fetch()
        number = math.ceil(self.step / self.data.epoch_steps)
        if log:
            sums = self._window
            row = self._row("train", number) | sums.numbers() | self.clock.row(sums)
            self._tracker.log(row)
            self._window, self.clock = TrainSums.none(), Clock()
        if boundary:
            self._end_epoch(number)

    def fetch(self) -> None:
        """Waits for the step under way and adds its sums."""
        if self._pending is not None:
            with self.clock.step:
                self._add(self._pending, self.step)
            self._pending = None

    def save(self) -> None:
        """Makes sure that the run is on disk as it stands; returns once it is."""
        self.fetch()
        if self.step and self.step != self._checkpoints.latest_step:
            self._save(None)
        self._checkpoints.wait()

    def finish(self, epochs: int | None = None) -> dict[str, Any]:
        """Keeps the best weights, draws curves and samples, writes the summary.

        `epochs` is how far the run was to go, if not to its last epoch.
        """
        self._checkpoints.wait()
        now = Progress(self.state, self._window, self._epoch)
        best, step = self._checkpoints.restore_best(now)
        best, of_start = best.state, {}
        # Incomplete marks cannot judge the start: what they lack is unknown where the
        # default model sees it, so that none of its own mistakes count.
        if not self.data.truth.unmarked:
            best, of_start = mix_with_start(
                best,
                self.folder.path,
                self.config.train.weight_interpolation,
                self.best,
                self.steps.place,
                lambda state: self._validate(state, look=False).score,
                GAIN if self.config.data.dir and self.data.dataset.sizes else 1.0,
            )
        found = self._validate(best, bool(self.config.log.images_every))
        return hosts.broadcast_from_primary(
            lambda: self._conclude(best, step, found, of_start, epochs)
        )

    def close(self) -> None:
        """Waits for what is being written and lets go of folder and logs."""
        try:
            self._checkpoints.close()
        finally:
            self._tracker.finish()

    def _conclude(
        self,
        best: TrainState,
        step: int,
        found: Evaluation,
        of_start: dict[str, Any],
        epochs: int | None,
    ) -> dict[str, Any]:
        write_weights(self.folder.path / WEIGHTS, best.params, best.statistics)
        epoch = math.ceil(step / self.data.epoch_steps)
        row = {"step": step, "epoch": epoch, "kind": "validation"} | found.numbers()
        rows = self._tracker.rows
        summary = summarise(rows, self.config, self.data.marks, row)
        summary |= of_kept(row, rows, of_start)
        validated = [self.data.truth.records[i] for i in self.data.sides.validation]
        summary |= {
            "epochs": epochs or self.config.train.epochs,
            "validation": found.how,
            "validation_images": len({record.image for record in validated}),
            "validation_groups": len({record.group for record in validated}),
            "cautions": list(self.data.cautions),
            "completeness": self.data.labels.completeness(best.estimate),
            "bead_diameter_px": self.data.truth.bead_diameter_px,
            "scale": self.data.truth.scale,
        }
        if self.config.log.images_every:
            pictures.draw_curves(rows, self.folder.path / "curves.png")
            pictures.draw_samples(found, self.folder.path / "samples.png")
        self.folder.write(SUMMARY, summary)
        self._tracker.summarise(summary)
        return summary

    def _end_epoch(self, number: int) -> None:
        every = self.config.log.images_every
        look = bool(every) and (number % every == 0 or self.step == self.total_steps)
        with self.clock.evaluation:
            found = self._validate(self.state, look)
            # Processors of other kinds may round otherwise.
            loss, score = hosts.broadcast_from_primary(
                lambda: [found.loss, found.score]
            )
            self.state = after_evaluation(
                self.state,
                np.float32(loss),
                np.float32(score),
                np.int32(number),
                self.config,
            )
            self.best = float(self.state.stopping.best)
        self._last_row = self._row("validation", number) | found.numbers()
        self._tracker.log(self._row("train_epoch", number) | self._epoch.numbers())
        self._tracker.log(self._last_row)
        if look:
            panels = pictures.panels(found.samples, found.threshold)
            self._tracker.log_images(self.step, panels)
        self._epoch = TrainSums.none()
        if not self.state.estimate:
            share = audit_after(
                number, self.data.labels, self._predict, self.data.dataset, self.config
            )
            if share is not None:
                self._correct_for(share, f"as estimated after epoch {number}")
        self._save(rank_of(self._last_row, self.best))

    def _row(self, kind: str, epoch: int) -> dict[str, Any]:
        return {"step": self.step, "epoch": epoch, "kind": kind}

    def _validate(self, state: TrainState, look: bool) -> Evaluation:
        return evaluate(
            self.steps,
            state,
            self.hp,
            self.data.truth,
            self.data.sides.validation,
            self.config,
            KnownCompleteness(self.data.labels.given_of_truth, state.estimate),
            with_samples=look,
            look_at=pixels_of(self.config, self.data.epoch_steps),
            marks=self.data.marks,
        )

    def _predict(self, batch: pipeline.Batch) -> jax.Array:
        return self.steps.evaluate(self.state, self.hp, batch).probability

    def _correct_for(self, completeness: float, how: str) -> None:
        """Goes on with the loss for partial labels, if the masks are partial enough."""
        if completeness >= self.config.partial.enough:
            return
        state = with_completeness(jax.device_get(self.state), completeness, self.config)
        self.state = self.steps.place(state)
        self.best = float(state.stopping.best)
        self._choose_steps()
        print(
            f"the masks label {percent(completeness)} of the beads, {how}: trained "
            f"with the loss for partial labels ({self.data.labels.method}; "
            "--config.partial.method=none: as if complete)"
        )

    def _choose_steps(self) -> None:
        if self.state.estimate and self._programs.partial:
            self.steps = self._programs.partial

    def _save(self, score: float | None) -> None:
        now = Progress(self.state, self._window, self._epoch)
        self._checkpoints.save(self.step, now, self._batches, score)

    def _add(self, sums: TrainSums, step: int) -> None:
        """Fetches the sums of a step and adds them on the host, in float64."""
        sums = jax.device_get(sums)
        if not (np.isfinite(sums.loss) and np.isfinite(sums.gradient_norm)):
            last = self._checkpoints.latest_step
            saved = f"step {last}" if last is not None else "none yet"
            raise NotFinite(
                f"{self.folder.path}: the loss is not finite at step {step} (member "
                f"{self.member}, last good checkpoint: {saved}): lower "
                "config.optim.learning_rate and train in a new folder"
            )

        def add(total, value):
            return total + np.float64(value)

        self._window = jax.tree.map(add, self._window, sums)
        self._epoch = jax.tree.map(add, self._epoch, sums)
