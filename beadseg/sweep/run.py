"""Runs a sweep: one batch feeds all members of a group, each of which is a whole run.

Any number of processes may run the same command on one folder. Each takes members by a
claim, trains them from where they stand and leaves when none is left to take; what the
others still train is theirs. If one is killed, the next goes on with its members.
"""

import contextlib
import errno
import time
from pathlib import Path
from typing import NamedTuple

import jax
from ml_collections import ConfigDict

from beadseg.data import pipeline
from beadseg.errors import BeadsegError, note
from beadseg.files import remove_leftovers
from beadseg.quoting import counted
from beadseg.sweep import programs
from beadseg.sweep.claims import Claims
from beadseg.sweep.device_groups import DeviceGroup, DeviceGroups
from beadseg.sweep.folder import Result, SweepFolder
from beadseg.sweep.points import Point, Space, describe
from beadseg.sweep.queue import Queue, Share, Task
from beadseg.sweep.search import search_of
from beadseg.training.interrupts import Interrupts
from beadseg.training.loop import Interrupted, forget_start, progress_bar
from beadseg.training.run import NotFinite, Run
from beadseg.training.run_folder import RunFolder
from beadseg.training.tracking import wandb_mode

_DISK_PATIENCE = 600.0  # s that a shared folder may be gone
_PAUSE = 5.0  # s between two looks at something that others do
_FINAL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
_FINAL += (errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.EFBIG)
_FINAL += (errno.ENAMETOOLONG, errno.EINVAL)  # somebody must put it right


class Outcome(NamedTuple):
    """What a process leaves behind."""

    results: list[Result]  # best first
    elsewhere: int  # members that other processes still train
    skipped: dict[int, str]  # members that could not begin, and why


class _Member(NamedTuple):
    """A member in motion."""

    run: Run
    task: Task
    group: DeviceGroup


class _OutOfMemory(Exception):
    """The device has no room for this many members."""


def run_sweep(
    base: ConfigDict,
    points: list[Point],
    workdir: Path,
    name: str,
    space: Space | None = None,
    share: Share = Share(),  # noqa: B008 (immutable)
) -> Outcome:
    """Trains what is left of a sweep, together with other processes on its folder.

    Raises:
      BeadsegError: for anything a user can put right.
      Interrupted: after Ctrl-C or SIGTERM, once all members are saved.
    """
    programs.check(base.sweep.over_members)
    wandb_mode.ask_early(base.log.wandb)
    folder = SweepFolder(workdir, name, base, points)
    search = search_of(folder, space)
    lease = base.sweep.lease
    with Interrupts() as signals, Claims(folder.path / "claims", lease) as claims:
        if claims.alone():
            parts = ("trials", "how")
            remove_leftovers(folder.path, *(folder.path / part for part in parts))
        queue = Queue(folder, search, claims, share)
        worker = _Worker(folder, queue, claims, signals)
        try:
            while worker.train_some():
                pass
        finally:
            results = folder.write_leaderboard()
    return Outcome(results, len(queue.left()), queue.skipped)


class _Worker:
    """This process at work on a sweep."""

    def __init__(
        self, folder: SweepFolder, queue: Queue, claims: Claims, signals: Interrupts
    ):
        self.folder, self.queue = folder, queue
        self.claims, self.signals = claims, signals
        self._groups = DeviceGroups(folder)
        self._disk_gone: float | None = None

    def train_some(self) -> bool:
        """Claims some members of one group and trains them; False: none is left."""
        try:
            tasks = self.queue.claim()
            if tasks is None:
                return self._wait()
            if not tasks:
                return True
            try:
                self._train(tasks)
            except _OutOfMemory:
                self.queue.halve(tasks)
            except Interrupted:
                raise
            except Exception:  # of folders that are another's by now, whatever it is
                if not self.queue.let_go([task.member for task in tasks]):
                    raise
            finally:
                for task in tasks:
                    self.claims.release(task.member)
            self._disk_gone = None
            self.folder.write_leaderboard()
        except BeadsegError as error:
            if not self._may_come_back(error):
                raise
        return True

    def _wait(self) -> bool:
        """Whether to look again: a silent process may be dead, or asks for more."""
        others = self.queue.left()
        if not others or not self.claims.silent(list(others)):
            return False
        self._pause()
        return True

    def _pause(self) -> None:
        until = time.monotonic() + _PAUSE
        while time.monotonic() < until:
            self._stop_if_asked([])
            time.sleep(0.1)

    def _may_come_back(self, error: BeadsegError) -> bool:
        """Whether a shared folder is gone that was there, for not too long yet."""
        cause = error.__cause__
        if not isinstance(cause, OSError) or cause.errno in _FINAL:
            return False
        now = time.monotonic()
        self._disk_gone = self._disk_gone or now
        if now - self._disk_gone > _DISK_PATIENCE:
            return False
        note(f"{error} (trying again)")
        self._pause()
        return True

    def _train(self, tasks: list[Task]) -> None:
        """Trains members of one group until each is finished."""
        config = tasks[0].config
        try:
            data = self._groups.data(config)
            groups = self._groups.on_devices(config, data, len(tasks))
            batches = pipeline.train_batches(data.dataset, data.sides.train, config)
        except BeadsegError as error:
            for task in tasks:
                self.queue.skip(task.member, error)
            return
        runs: dict[int, _Member] = {}
        try:
            for at, task in enumerate(tasks):
                group = groups[at % len(groups)]
                run = self._begin(task, data, group.compiled, batches)
                if run is not None:
                    runs[task.member] = _Member(run, task, group)
            self._steps(runs, groups, batches)
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            raise _OutOfMemory from error
        finally:
            for member in runs.values():
                member.run.close()
            batches.close()

    def _begin(self, task, data, compiled, batches) -> Run | None:
        path = self.folder.run_path(task.member)
        try:
            folder = RunFolder(path, task.config)
            remove_leftovers(path)
            point = self.folder.members[task.member]
            name = f"{task.member:03d} {describe(point)}".strip()
            return Run(task.config, folder, data, compiled, batches, name, task.member)
        except BeadsegError as error:
            self.queue.skip(task.member, error)
            return None

    def _steps(self, runs, groups, batches) -> None:
        """One batch after the other, for all members that stand there."""
        self._leave_if_over(runs)
        if not runs:
            return
        awake = time.time()
        position = min(m.run.step for m in runs.values())
        batches.set_state({"batches": position})
        left = sum(
            m.task.epochs * m.run.data.epoch_steps - m.run.step for m in runs.values()
        )
        with progress_bar(left, "member-step") as bar:
            while runs:
                before, awake = awake, time.time()
                if awake - before > self.folder.lease / 3:
                    self._leave_the_lost(runs)
                    if not runs:  # all were taken over
                        return
                begin = time.monotonic()
                batch = next(batches)
                waited = (time.monotonic() - begin) / len(runs)
                for group in groups:
                    due = [
                        m.run
                        for m in runs.values()
                        if m.group is group and m.run.step == position
                    ]
                    if due:
                        fed = group.compiled.steps.feed(batch)
                        self._step(runs, due, group, fed, waited)
                        if not bar.n:
                            forget_start(bar)
                        bar.update(len(due))
                position += 1
                self._stop_if_asked([m.run for m in runs.values()])
                bar.set_postfix_str(_news(runs), refresh=False)
                self._leave_if_over(runs)

    def _step(
        self, runs, due: list[Run], group: DeviceGroup, batch, waited: float
    ) -> None:
        """One step of the members on one device; one that is not finite ends."""
        for run in due:
            run.clock.data.seconds += waited
        for run, take in group.steps_of(due, batch):
            try:
                take()
            except NotFinite as error:
                runs.pop(run.member)
                run.close()
                self.queue.fail(run.member, str(error))

    def _leave_the_lost(self, runs) -> None:
        for member in self.queue.let_go(list(runs)):
            with contextlib.suppress(Exception):  # it writes where another does
                runs.pop(member).run.close()

    def _leave_if_over(self, runs) -> None:
        """Members at their end leave the program; so do those another process took."""
        if any(m.run.step % m.run.data.epoch_steps == 0 for m in runs.values()):
            self._leave_the_lost(runs)
        for member, (run, task, _) in list(runs.items()):
            if not run.over(task.epochs):
                continue
            runs.pop(member)
            try:
                run.finish(task.epochs)
            finally:
                run.close()
            self.queue.finish(member)
            self.claims.release(member)
            self.folder.write_leaderboard()

    def _stop_if_asked(self, runs: list[Run]) -> None:
        signal = self.signals.received
        if signal:
            runs = [run for run in runs if not self.claims.lost(run.member)]
            for run in runs:
                run.save()
            raise Interrupted(
                f"stopped by {signal.name}, {counted(len(runs), 'member')} saved in "
                f"{self.folder.path}: the same command continues from there",
                signal,
            )


def _news(runs: dict[int, _Member]) -> str:
    best = max((m.run.best for m in runs.values()), default=-1)
    if best < 0 or not any(m.run.news for m in runs.values()):
        return counted(len(runs), "member")
    return f"{counted(len(runs), 'member')}, best validation Jaccard {best:.3f}"
