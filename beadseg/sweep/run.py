"""Runs a sweep: one batch feeds all members of a group, each of which is a whole run.

Any number of processes may run the same command on one folder. Each takes members by a
claim, trains them from where they stand and leaves when none is left to take; what the
others still train is theirs. If one is killed, the next goes on with its members.
"""

import contextlib
import errno
import functools
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict
from tqdm import tqdm

from beadseg import models
from beadseg.data import pipeline
from beadseg.data.cache import hash_json
from beadseg.errors import BeadsegError, note
from beadseg.files import remove_leftovers
from beadseg.sweep import plan, programs
from beadseg.sweep.claims import Claims
from beadseg.sweep.folder import Result, SweepFolder
from beadseg.sweep.points import Point, Space, describe
from beadseg.sweep.search import Search, search_of
from beadseg.training.interrupts import Interrupts
from beadseg.training.loop import Interrupted
from beadseg.training.run import (
    Data,
    NotFinite,
    Programs,
    Run,
    compile_programs,
    open_data,
)
from beadseg.training.run_folder import RunFolder
from beadseg.training.step import make_train_step
from beadseg.training.tracking import wandb_mode

_DISK_PATIENCE = 600.0  # s that a shared folder may be gone
_PAUSE = 5.0  # s between two looks at something that others do
_FINAL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


class Share(NamedTuple):
    """The part of a sweep with which a process begins: `task` of `tasks`."""

    task: int = 0
    tasks: int = 1


class Outcome(NamedTuple):
    """What a process leaves behind."""

    results: list[Result]  # best first
    elsewhere: int  # members that other processes still train
    skipped: dict[int, str]  # members that could not begin, and why


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
        worker = _Worker(folder, search, claims, signals, share)
        try:
            while worker.train_some():
                pass
        finally:
            results = folder.write_leaderboard()
    left = [number for number in search.todo() if number not in worker.skipped]
    return Outcome(results, len(left), worker.skipped)


class _Task(NamedTuple):
    """A member to be trained until an epoch."""

    member: int
    epochs: int
    config: ConfigDict


class _Worker:
    """What this process knows beside the folder: what it compiled and what fits."""

    def __init__(self, folder, search, claims, signals, share):
        self.folder: SweepFolder = folder
        self.search: Search = search
        self.claims: Claims = claims
        self.signals: Interrupts = signals
        self.share: Share = share
        self.skipped: dict[int, str] = {}
        self._width: dict[str, int] = {}  # members at once, by group
        self._data: dict[str, Data] = {}
        self._compiled: dict[str, list[_Lane]] = {}
        self._how: dict[str, programs.How] = {}
        self._disk_gone: float | None = None

    def train_some(self) -> bool:
        """Claims some members of one group and trains them; False: none is left."""
        try:
            tasks = self._claim()
            if tasks is None:
                return self._wait()
            if not tasks:
                return True
            key = _key(tasks[0].config)
            try:
                self._train(tasks, key)
            except _OutOfMemory:
                self._halve(tasks, key)
            except Interrupted:
                raise
            except Exception:  # of folders that are another's by now, whatever it is
                if not self._let_go([task.member for task in tasks]):
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

    def _let_go(self, members: Sequence[int]) -> list[int]:
        """The members that another process has taken over, said in a line.

        It has thought this one dead, which slept: a suspended node, a hung disk.
        """
        lost = [member for member in members if self.claims.lost(member)]
        for member in lost:
            owner = self.claims.owner(member) or {}
            who = f"process {owner.get('pid', '?')} on {owner.get('host', '?')}"
            note(
                f"member {member} was without a sign of life for longer than "
                f"config.sweep.lease and is with {who} now: it is let go of here"
            )
            self.claims.release(member)
        return lost

    def _claim(self) -> list[_Task] | None:
        """Members to train now; None if all are done or others train them."""
        todo = self._todo()
        if not todo and self.search.ask(self.folder.base.sweep.at_once or 1):
            todo = self._todo()
        mine: list[_Task] = []
        for task in todo:
            key = _key(task.config)
            if mine and key != _key(mine[0].config):
                continue
            if mine and len(mine) >= self._room(mine, todo, key):
                break
            if self.claims.take(task.member):
                mine.append(task)
        if not mine:
            return None
        still = self.search.todo()
        for task in mine:
            if still.get(task.member) != task.epochs:  # another ended it meanwhile
                self.claims.release(task.member)
        return [task for task in mine if still.get(task.member) == task.epochs]

    def _todo(self) -> list[_Task]:
        """What is to be done, group by group, this process's own share first."""
        todo = {m: e for m, e in self.search.todo().items() if m not in self.skipped}
        configs = [self.folder.config(number) for number in todo]
        ordered = [n for g in plan.groups(configs, list(todo)) for n in g.members]
        every = list(self.folder.members)
        first = len(every) * self.share.task // self.share.tasks
        rank = {number: at for at, number in enumerate(every)}
        ahead = [n for n in ordered if rank[n] >= first]
        behind = [n for n in ordered if rank[n] < first]
        return [_Task(n, todo[n], self.folder.config(n)) for n in (*ahead, *behind)]

    def _room(self, mine: list[_Task], todo: list[_Task], key: str) -> int:
        """How many members of a group to take at once."""
        config = mine[0].config
        alike = sum(_key(task.config) == key for task in todo)
        fair = -(-len(todo) // self.share.tasks) if self.share.tasks > 1 else alike
        chosen = config.sweep.at_once or min(alike, max(fair, 1))
        fit = plan.at_once(
            plan.cost(config),
            config.sweep.over_members,
            chosen,
            plan.memory_of_device(),
        )
        devices = jax.local_device_count()
        return min(chosen, fit * devices, self._width.get(key, chosen))

    def _wait(self) -> bool:
        """Whether to look again: a silent process may be dead, or asks for more."""
        others = [m for m in self.search.todo() if m not in self.skipped]
        if not others or not self.claims.silent(others):
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
        print(f"note: {error} (trying again)", file=sys.stderr, flush=True)
        self._pause()
        return True

    def _halve(self, tasks: list[_Task], key: str) -> None:
        """Fewer members next time; one that does not fit alone has failed."""
        if len(tasks) > 1:
            self._width[key] = len(tasks) // 2
            print(
                f"note: no memory for {len(tasks)} members at once: going on with "
                f"{len(tasks) // 2}",
                file=sys.stderr,
            )
        else:
            self._fail(
                tasks[0].member,
                "the device has no memory for this member even alone: lower "
                "data.batch_size, data.crop or model.width",
            )

    def _fail(self, member: int, reason: str) -> None:
        print(f"note: member {member} has ended: {reason}", file=sys.stderr)
        self.folder.fail(member, reason)
        self._tell(member)

    def _tell(self, member: int) -> None:
        self.search.tell(self.folder.result(member, self.folder.members[member]))

    def _train(self, tasks: list[_Task], key: str) -> None:
        """Trains members of one group until each has come to its end."""
        config = tasks[0].config
        try:
            data = self._open(config)
            lanes = self._lanes(config, data, key, len(tasks))
            batches = pipeline.train_batches(data.dataset, data.sides.train, config)
        except BeadsegError as error:
            if isinstance(error.__cause__, OSError):
                raise
            for task in tasks:
                self._skip(task.member, error)
            return
        runs: dict[int, tuple[Run, _Task, int]] = {}
        try:
            for at, task in enumerate(tasks):
                lane = at % len(lanes)
                run = self._begin(task, data, lanes[lane].compiled, batches)
                if run is not None:
                    runs[task.member] = (run, task, lane)
            self._steps(runs, lanes, batches)
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            raise _OutOfMemory from error
        finally:
            for run, _, _ in runs.values():
                run.close()
            pipeline.close(batches)

    def _begin(self, task, data, compiled, batches) -> Run | None:
        path = self.folder.run_path(task.member)
        try:
            folder = RunFolder(path, task.config)
            remove_leftovers(path)
            point = self.folder.members[task.member]
            name = f"{task.member:03d} {describe(point)}".strip()
            return Run(task.config, folder, data, compiled, batches, name, task.member)
        except BeadsegError as error:
            if isinstance(error.__cause__, OSError):
                raise
            self._skip(task.member, error)
            return None

    def _skip(self, member: int, error: BeadsegError) -> None:
        """Leaves out a member that a user can put right; its folder stays as it is."""
        print(f"note: member {member} is left out: {error}", file=sys.stderr)
        self.skipped[member] = str(error)

    def _steps(self, runs, lanes, batches) -> None:
        """One batch after the other, for all members that stand there."""
        self._leave_if_over(runs)
        if not runs:
            return
        awake = time.time()
        position = min(run.step for run, _, _ in runs.values())
        batches.set_state({"batches": position})
        left = [t.epochs * r.data.epoch_steps - r.step for r, t, _ in runs.values()]
        with _bar(sum(left)) as bar:
            while runs:
                before, awake = awake, time.time()
                if awake - before > self.folder.lease / 3:
                    self._leave_the_lost(runs)
                begin = time.monotonic()
                batch = next(batches)
                waited = (time.monotonic() - begin) / len(runs)
                for number, lane in enumerate(lanes):
                    due = [
                        run
                        for run, _, at in runs.values()
                        if at == number and run.step == position
                    ]
                    if due:
                        fed = lane.compiled.steps.feed(batch)
                        self._step(runs, due, lane, fed, waited)
                        bar.update(len(due))
                position += 1
                self._stop_if_asked([run for run, _, _ in runs.values()])
                bar.set_postfix_str(_news(runs), refresh=False)
                self._leave_if_over(runs)

    def _step(self, runs, due: list[Run], lane: "_Lane", batch, waited: float) -> None:
        """One step of the members on one device; one that is not finite ends."""
        for run in due:
            run.clock.data.seconds += waited
        for run, take in lane.steps_of(due, batch):
            try:
                take()
            except NotFinite as error:
                runs.pop(run.member)
                run.close()
                self._fail(run.member, str(error))

    def _leave_the_lost(self, runs) -> None:
        for member in self._let_go(list(runs)):
            run, _, _ = runs.pop(member)
            with contextlib.suppress(Exception):  # it writes where another does
                run.close()

    def _leave_if_over(self, runs) -> None:
        """Members at their end leave the program; so do those another process took."""
        if any(run.step % run.data.epoch_steps == 0 for run, _, _ in runs.values()):
            self._leave_the_lost(runs)
        for member, (run, task, _) in list(runs.items()):
            if not run.over(task.epochs):
                continue
            runs.pop(member)
            try:
                run.finish(task.epochs)
            finally:
                run.close()
            self._tell(member)
            self.claims.release(member)
            self.folder.write_leaderboard()

    def _stop_if_asked(self, runs: list[Run]) -> None:
        signal = self.signals.received
        if signal:
            runs = [run for run in runs if not self.claims.lost(run.member)]
            for run in runs:
                run.save()
            raise Interrupted(
                f"stopped by {signal.name}, {len(runs)} members saved in "
                f"{self.folder.path}: the same command goes on from there",
                signal,
            )

    def _open(self, config: ConfigDict) -> Data:
        key = hash_json(
            [
                config.data.to_dict(),
                config.partial.to_dict(),
                config.train.steps_per_epoch,
            ]
        )
        if key not in self._data:
            self._data[key] = open_data(config)
        return self._data[key]

    def _lanes(self, config, data, key, members) -> "list[_Lane]":
        """Compiled code for each device that is to be used; kept for the next time."""
        devices = jax.local_devices()[:members]
        how = self._choose(config, data, key, members).over_members
        width = 1 if how == "loop" else -(-members // len(devices))
        name = f"{key} {how} {len(devices)} {width}"
        if name not in self._compiled:
            self._compiled[name] = [
                _Lane(compile_programs(config, data, [d]), config, data, how, width)
                for d in devices
            ]
        return self._compiled[name]

    def _choose(self, config, data, key, members) -> programs.How:
        how = config.sweep.over_members
        if how != "auto":
            return programs.How(how, "as config.sweep.over_members says", {})
        kind = jax.devices()[0].device_kind.replace(" ", "-").replace("/", "-")
        name = f"{_how_key(config)}-{kind}"
        if name not in self._how:
            before = self.folder.read_how(name)
            if before is None:
                steps = data.epoch_steps * config.train.epochs * members
                seconds = steps * plan.cost(config).flop / plan.device_speed()
                chosen = programs.choose(config, members, seconds)
                self.folder.write_how(name, chosen._asdict())
            else:
                chosen = programs.How(**before)
            self._how[name] = chosen
            print(f"members run as {chosen.over_members}: {chosen.why}")
        return self._how[name]


class _Lane:
    """The compiled code of a group on one device."""

    def __init__(
        self, compiled: Programs, config: ConfigDict, data: Data, how: str, width: int
    ):
        self.compiled = compiled
        self._config, self._how, self._width = config, how, width
        self._total_steps = data.epoch_steps * config.train.epochs
        self._gap_loss = data.gaps.method
        self._together: dict[bool, programs.Program] = {}

    def steps_of(
        self, due: list[Run], batch: Any
    ) -> Iterator[tuple[Run, Callable[[], None]]]:
        """The members with what makes each take the batch, in turn or all at once."""
        if self._how == "loop":
            yield from ((run, functools.partial(run.take, batch)) for run in due)
            return
        for in_spite in (False, True):
            chosen = [r for r in due if (r.steps is self.compiled.in_spite) == in_spite]
            if not chosen:
                continue
            spent, begin = 0.0, time.monotonic()
            program = self._program(in_spite)
            pairs = program([r.state for r in chosen], [r.hp for r in chosen], batch)
            for run, (state, sums) in zip(chosen, pairs, strict=True):
                spent += time.monotonic() - begin
                yield run, functools.partial(run.stepped, state, sums)
                begin = time.monotonic()
            for run in chosen:
                run.clock.step.seconds += spent / len(chosen)

    def _program(self, in_spite: bool) -> programs.Program:
        if in_spite in self._together:
            return self._together[in_spite]
        build = programs.OVER_MEMBERS[self._how]
        if self._how in programs.OF_COMPILED:
            steps = self.compiled.in_spite if in_spite else self.compiled.steps
            step = steps.train
        else:
            config = self._config.copy_and_resolve_references()
            if in_spite:  # of gaps in the masks: with another loss
                config.loss.name = self._gap_loss
            model = models.build(config.model)
            step = make_train_step(model, config, self._total_steps)
        self._together[in_spite] = build(step, self._width)
        return self._together[in_spite]


def _key(config: ConfigDict) -> str:
    return json.dumps(plan.static_fields(config), sort_keys=True, default=str)


def _how_key(config: ConfigDict) -> str:
    """Of the settings on which the speed of a step depends."""
    return hash_json(
        [config.model.to_dict(), config.data.batch_size, config.data.crop]
    )[:8]


def _bar(total: int) -> tqdm:
    return tqdm(
        total=total,
        unit="member-step",
        mininterval=0.3 if sys.stderr.isatty() else 20.0,
        dynamic_ncols=True,
        desc="training",
    )


def _news(runs: dict[int, Any]) -> str:
    told: Sequence[str] = [run.news for run, _, _ in runs.values() if run.news]
    best = max((run.best for run, _, _ in runs.values()), default=-1)
    if not told or best < 0:
        return f"{len(runs)} members"
    return f"{len(runs)} members, best validation Jaccard {best:.3f}"
