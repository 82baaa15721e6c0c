"""One run in motion: what follows each of its steps, until its summary.

A plain run is one `Run`; a sweep is several that share data, compiled steps and
batches. Both are the same code from the first step to the summary.

A checkpoint is written before the next batch is drawn, so that the iterator in it
stands where the state stands: a run that was killed goes on to the same bits.
"""

import math
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from beadseg import models
from beadseg.data import pipeline, splits
from beadseg.data.builders import Dataset, open_dataset
from beadseg.errors import BeadsegError
from beadseg.metrics import Confusion, accuracy, dice, jaccard, precision, recall
from beadseg.training import hosts
from beadseg.training.audit import audit
from beadseg.training.beads import pixels_of
from beadseg.training.cautions import cautions
from beadseg.training.checkpoints import Checkpoints
from beadseg.training.completeness import (
    LATEST,
    Completeness,
    Gaps,
    gaps,
)
from beadseg.training.devices import Steps, compile_steps
from beadseg.training.evaluation import Evaluation, evaluate
from beadseg.training.run_folder import RunFolder
from beadseg.training.start import START, start_from, start_of, toward_start
from beadseg.training.state import (
    TrainState,
    after_evaluation,
    create_state,
    hyperparameters,
    with_completeness,
)
from beadseg.training.step import TrainSums
from beadseg.training.tracking import pictures
from beadseg.training.tracking.clock import Clock
from beadseg.training.tracking.summary import NO_HELP, of_best, score_of, summarise
from beadseg.training.tracking.tracker import Tracker
from beadseg.training.weights import WEIGHTS, Weights, read_weights, write_weights

AUDITED = 48  # tiles, at most, that tell how complete the masks are


class NotFinite(BeadsegError):
    """The loss or its gradient is infinite or not a number: this run has ended."""

    everywhere = True


class Progress(NamedTuple):
    """What a checkpoint holds: the state, and sums since the last log and epoch."""

    state: TrainState
    window: TrainSums
    epoch: TrainSums


class Data(NamedTuple):
    """What a run learns from and is measured on."""

    dataset: Dataset
    truth: Dataset  # what validation is measured against
    sides: splits.Split
    epoch_steps: int
    gaps: Gaps
    marks: bool  # whether masks mark beads instead of outlining them
    cautions: tuple[str, ...]  # what makes its scores doubtful


class Programs(NamedTuple):
    """Compiled code that serves every run with the same static settings."""

    create: Any  # hyperparameters -> a fresh state
    steps: Steps
    in_spite: Steps | None  # the same with the loss for masks that fall short


def open_data(config: ConfigDict) -> Data:
    """Opens or builds the data set and splits it; prints what was noticed."""
    dataset = truth = open_dataset(config)
    if not config.data.dir and config.data.generated.damage != "none":
        complete = config.copy_and_resolve_references()  # labels damaged only to train
        complete.data.generated.damage = "none"
        truth = open_dataset(complete)
    sides = splits.split(
        truth.records,
        config.data.validation_fraction,
        config.data.split_seed,
        config.data.density_bins,
        config.data.validation,
    )
    doubtful = cautions(config, truth, sides)
    for line in [*dataset.notes, *splits.format_split(sides).splitlines(), *doubtful]:
        print(line)
    epoch_steps = config.train.steps_per_epoch or pipeline.steps_per_epoch(
        dataset, sides.train, config
    )
    known = gaps(config, dataset.records, dataset is truth)
    return Data(dataset, truth, sides, epoch_steps, known, truth.marks, doubtful)


def compile_programs(
    config: ConfigDict, data: Data, devices: list[jax.Device] | None = None
) -> Programs:
    """Builds network and steps; each is compiled once, at its first use."""
    model = models.build(config.model)
    total_steps = data.epoch_steps * config.train.epochs
    steps = compile_steps(model, config, total_steps, devices)
    in_spite = None
    if data.gaps.method is not None:
        other = config.copy_and_resolve_references()
        other.loss.name = data.gaps.method
        in_spite = compile_steps(model, other, total_steps, devices)
    create = jax.jit(lambda hp: create_state(model, config, hp))
    return Programs(create, steps, in_spite)


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
        hosts.told(lambda: _check_data(folder, data))
        self.hp = self.steps.place(hyperparameters(config))
        state = self.steps.place(programs.create(self.hp))
        self._checkpoints = Checkpoints(folder.path / "checkpoints")
        progress = Progress(state, _no_sums(), _no_sums())
        at = self._checkpoints.latest_step
        try:
            hosts.check_alike(
                f"latest checkpoint in {folder.path}", at, "give all the same folder"
            )
            if at is not None:
                progress, at = self._checkpoints.restore_latest(progress, batches)
            elif config.init_from:
                start = hosts.in_turn(self._keep_start)
                state = start_from(state, start, config.init_from)
                progress = progress._replace(state=self.steps.place(state))
            self._tracker = Tracker(folder, config, name, at or 0)
        except BaseException as error:
            hosts.leave(error)
            self._checkpoints.close()
            raise
        self.state, self._window, self._epoch = progress
        self.best = float(self.state.stopping.best)
        self.step = at or 0
        if at is None:
            self._begin()
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

    def take(self, batch: dict[str, Any]) -> None:
        """One training step, and all that is due after it."""
        with self.clock.step:
            state, sums = self.steps.train(self.state, self.hp, batch)
        self.stepped(state, sums)

    def stepped(self, state: TrainState, sums: TrainSums) -> None:
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
            row = _train_row("train", self._window, self.step, number)
            self._tracker.log(row | self.clock.row(self._window))
            self._window, self.clock = _no_sums(), Clock()
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
        best, of_start = self._toward_start(best.state)
        found = self._validate(best, bool(self.config.log.images_every))
        return hosts.told(lambda: self._conclude(best, step, found, of_start, epochs))

    def close(self) -> None:
        """Waits for what is being written and lets go of folder and logs."""
        try:
            self._checkpoints.close()
        finally:
            self._tracker.finish()

    def _keep_start(self) -> Weights:
        """The weights to begin with, kept beside the run: they may change or go."""
        start = start_of(self.config.init_from)
        if hosts.leads():
            write_weights(self.folder.path / START, *start)
        return start

    def _toward_start(self, best: TrainState) -> tuple[TrainState, dict[str, Any]]:
        """The best state with as much of its start as validation gains by.

        Returns:
          It, and what the summary says of that; nothing where the start was random.
        """
        file = self.folder.path / START
        if not hosts.told(file.exists):
            return best, {}
        start, states, scores = read_weights(file), {0.0: best}, {0.0: self.best}
        for share in {*self.config.train.shares_of_start, 1.0}:
            state = toward_start(jax.device_get(best), start, share)
            states[share] = self.steps.place(state)
            found = self._validate(states[share], look=False)
            scores[share] = hosts.told(lambda found=found: found.score)
        allowed = (0.0, *self.config.train.shares_of_start)
        share = max(allowed, key=lambda share: (scores[share], share))
        return states[share], {
            "share_of_start": share,
            "start_score": scores[1.0],
            "tuned_score": self.best,
        }

    def _conclude(
        self,
        best: TrainState,
        step: int,
        found: Evaluation,
        of_start: dict[str, Any],
        epochs: int | None,
    ) -> dict[str, Any]:
        weights = self.folder.path / WEIGHTS
        write_weights(weights, best.params, best.statistics)
        row = found.numbers()
        epoch = math.ceil(step / self.data.epoch_steps)
        about = {"step": step, "epoch": epoch, "kind": "validation"}
        summary = summarise(
            self._tracker.rows, self.config, self.data.marks, about | row
        )
        summary |= of_start
        evaluated = [r for r in self._tracker.rows if r["kind"] == "validation"]
        scores = {r["step"]: score_of(r) for r in evaluated}
        # Less than the best, where the checkpoint of that was damaged.
        less = scores.get(step, found.score) < summary["best_score"]
        if of_start.get("share_of_start") or less:
            summary |= of_best(row) | {"best_epoch": epoch}
        if of_start.get("share_of_start") == 1.0:
            summary |= {"verdict": NO_HELP, "best_epoch": 0}
        validated = [self.data.truth.records[i] for i in self.data.sides.validation]
        summary |= {
            "epochs": epochs or self.config.train.epochs,
            "validation": found.how,
            "validation_images": len({record.image for record in validated}),
            "validation_groups": len({record.group for record in validated}),
            "cautions": list(self.data.cautions),
            "completeness": self._completeness(best),
            "bead_diameter_px": self.data.truth.bead_diameter_px,
            "scale": self.data.truth.scale,
        }
        if self.config.log.images_every:
            pictures.draw_curves(self._tracker.rows, self.folder.path / "curves.png")
            pictures.draw_samples(found, self.folder.path / "samples.png")
        self.folder.write("summary.json", summary)
        self._tracker.summarise(summary)
        return summary

    def _end_epoch(self, number: int) -> None:
        every = self.config.log.images_every
        look = bool(every) and (number % every == 0 or self.step == self.total_steps)
        with self.clock.evaluation:
            found = self._validate(self.state, look)
            # Processors of other kinds may round otherwise.
            loss, score = hosts.told(lambda: [found.loss, found.score])
            self.state = after_evaluation(
                self.state,
                np.float32(loss),
                np.float32(score),
                np.int32(number),
                self.config,
            )
            self.best = float(self.state.stopping.best)
        row = {"step": self.step, "epoch": number, "kind": "validation"}
        self._last_row = row | found.numbers()
        self._tracker.log(_train_row("train_epoch", self._epoch, self.step, number))
        self._tracker.log(self._last_row)
        if look:
            panels = pictures.panels(found.samples, found.threshold)
            self._tracker.log_images(self.step, panels)
        self._epoch = _no_sums()
        self._audit(number)
        self._save(self._last_row["score"])

    def _validate(self, state: TrainState, look: bool) -> Evaluation:
        return evaluate(
            self.steps,
            state,
            self.hp,
            self.data.truth,
            self.data.sides.validation,
            self.config,
            Completeness(self.data.gaps.told_of_truth, _estimate_in(state)),
            with_samples=look,
            look_at=pixels_of(self.config, self.data.epoch_steps),
            marks=self.data.marks,
        )

    def _begin(self) -> None:
        """Masks that are told to fall short need no audit."""
        told = self.data.gaps.told
        records = [self.data.dataset.records[i] for i in self.data.sides.train]
        shares = [told[r.image] for r in records if r.image in told]
        if self._programs.in_spite and shares and min(shares) < 1.0:
            self._fall_short(float(np.mean(shares)), "as told")

    def _audit(self, epoch: int) -> None:
        """Judges the masks by what the network has learnt of them so far.

        Until the latest epoch for it, only a network that is sharp finds them short.
        """
        config, known = self.config, self.data.gaps
        first, last = (
            max(1, math.ceil(share * config.train.epochs))
            for share in (config.partial.audit, max(config.partial.audit, LATEST))
        )
        judging = first <= epoch <= last and not _estimate_in(self.state)
        if not known.audited or not judging:
            return
        records = self.data.dataset.records
        judged = [
            i for i in self.data.sides.train if records[i].image not in known.told
        ]
        some = tuple(judged[:: -(-len(judged) // AUDITED)])
        found = audit(self.steps, self.state, self.hp, self.data.dataset, some, config)
        share, sharp = hosts.told(lambda: list(found))
        if share < config.partial.suspect:
            if sharp or epoch == last:
                self._fall_short(share, f"as estimated after epoch {epoch}")
        elif share < config.partial.enough and epoch == last:
            # So early, complete masks look so too.
            print(
                f"the masks may label only {share:.0%} of the beads, seen from epoch "
                f"{epoch}; trained as if complete: beadseg verify looks closer"
            )

    def _fall_short(self, share: float, how: str) -> None:
        if share >= self.config.partial.enough:
            return
        state = with_completeness(jax.device_get(self.state), share, self.config)
        self.state = self.steps.place(state)
        self.best = float(state.stopping.best)
        self._choose_steps()
        print(
            f"the masks label {share:.0%} of the beads, {how}: trained in spite of it "
            f"({self.data.gaps.method}; --config.partial.method=none: as if complete)"
        )

    def _choose_steps(self) -> None:
        if _estimate_in(self.state) and self._programs.in_spite:
            self.steps = self._programs.in_spite

    def _completeness(self, state: TrainState) -> float | None:
        """Of the masks trained on, as told or estimated; None: nothing is known."""
        told = self.data.gaps.told
        share = _estimate_in(state)
        if share or self.data.gaps.audited:
            return share or 1.0
        return float(np.mean(list(told.values()))) if told else None

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


def _estimate_in(state: TrainState) -> float | None:
    share = float(state.completeness)
    return share if share < 1.0 else None


def _check_data(folder: RunFolder, data: Data) -> None:
    before = folder.read("dataset.json")
    if before is not None and before["fingerprint"] != data.dataset.fingerprint:
        raise BeadsegError(
            f"{folder.path}: the images or masks have changed since this run began: "
            "give another folder with --workdir"
        )
    folder.write("dataset.json", data.dataset.as_json())
    split = data.sides.as_json(data.dataset.records)
    stored = folder.read("split.json")
    if stored is not None and stored["validation"] != split["validation"]:
        raise BeadsegError(
            f"{folder.path}: this run was made with another split of the images (by "
            "another version of beadseg): give another folder with --workdir"
        )
    folder.write("split.json", split)


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
