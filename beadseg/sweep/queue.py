"""Which members a process trains next: those it can claim, group by group."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
from ml_collections import ConfigDict

from beadseg.errors import BeadsegError, note
from beadseg.quoting import counted
from beadseg.sweep import plan
from beadseg.sweep.claims import Claims
from beadseg.sweep.folder import SweepFolder
from beadseg.sweep.search import All


class Share(NamedTuple):
    """The part of a sweep with which a process begins: `task` of `tasks`."""

    task: int = 0
    tasks: int = 1


class Task(NamedTuple):
    """A member to be trained until an epoch."""

    member: int
    epochs: int
    config: ConfigDict


class Queue:
    """The members of a sweep that are left, as this process sees them.

    `skipped`: members that could not begin here, and why.
    """

    def __init__(self, folder: SweepFolder, search: All, claims: Claims, share: Share):
        self.skipped: dict[int, str] = {}
        self._folder, self._search = folder, search
        self._claims, self._share = claims, share
        self._width: dict[str, int] = {}  # members at once, by group

    def left(self) -> dict[int, int]:
        """Members with epochs to be trained until, here or by other processes."""
        todo = self._search.todo()
        return {m: e for m, e in todo.items() if m not in self.skipped}

    def claim(self) -> list[Task] | None:
        """Members to train now; None if all are done or others train them."""
        todo = self._todo()
        if not todo and self._search.ask(self._folder.base.sweep.at_once or 1):
            todo = self._todo()
        mine: list[Task] = []
        for task in todo:
            key = plan.group_key(task.config)
            if mine and key != plan.group_key(mine[0].config):
                continue
            if mine and len(mine) >= self._room(mine, todo, key):
                break
            if self._claims.take(task.member):
                mine.append(task)
        if not mine:
            return None
        still = self._search.todo()
        for task in mine:
            if still.get(task.member) != task.epochs:  # another ended it meanwhile
                self._claims.release(task.member)
        return [task for task in mine if still.get(task.member) == task.epochs]

    def let_go(self, members: Sequence[int]) -> list[int]:
        """The members that another process has taken over, said in a line.

        It has thought this one dead, which slept: a suspended node, a hung disk.
        """
        lost = [member for member in members if self._claims.lost(member)]
        for member in lost:
            owner = self._claims.owner(member) or {}
            who = f"process {owner.get('pid', '?')} on {owner.get('host', '?')}"
            note(
                f"member {member} was without a sign of life for longer than "
                f"config.sweep.lease and is with {who} now: it is let go of here"
            )
            self._claims.release(member)
        return lost

    def finish(self, member: int) -> None:
        """A member is at its end: the search learns what came of it."""
        self._search.tell(self._folder.result(member, self._folder.members[member]))

    def fail(self, member: int, reason: str) -> None:
        """A member has ended before it was done."""
        note(f"member {member} has ended: {reason}")
        self._folder.fail(member, reason)
        self.finish(member)

    def skip(self, member: int, error: BeadsegError) -> None:
        """Leaves out a member that a user can put right; its folder stays as it is.

        Raises:
          BeadsegError: `error` itself, where a disk is to blame.
        """
        if isinstance(error.__cause__, OSError):
            raise error
        note(f"member {member} is left out: {error}")
        self.skipped[member] = str(error)

    def halve(self, tasks: list[Task]) -> None:
        """Fewer members next time; one that does not fit alone has failed."""
        if len(tasks) == 1:
            self.fail(
                tasks[0].member,
                "the device has no memory for this member even alone: lower "
                "data.batch_size, data.crop or model.width",
            )
            return
        width = self._width[plan.group_key(tasks[0].config)] = len(tasks) // 2
        note(
            f"no memory for {counted(len(tasks), 'member')} at once: continuing with "
            f"{width}"
        )

    def _todo(self) -> list[Task]:
        """What is to be done, group by group, this process's own share first."""
        todo = self.left()
        configs = [self._folder.config(number) for number in todo]
        ordered = [n for g in plan.groups(configs, list(todo)) for n in g.members]
        every = list(self._folder.members)
        first = len(every) * self._share.task // self._share.tasks
        rank = {number: at for at, number in enumerate(every)}
        ahead = [n for n in ordered if rank[n] >= first]
        behind = [n for n in ordered if rank[n] < first]
        return [Task(n, todo[n], self._folder.config(n)) for n in (*ahead, *behind)]

    def _room(self, mine: list[Task], todo: list[Task], key: str) -> int:
        """How many members of a group to take at once."""
        config, tasks = mine[0].config, self._share.tasks
        alike = sum(plan.group_key(task.config) == key for task in todo)
        fair = -(-len(todo) // tasks) if tasks > 1 else alike
        chosen = config.sweep.at_once or min(alike, max(fair, 1))
        fit = plan.at_once(
            plan.cost(config),
            config.sweep.over_members,
            chosen,
            plan.memory_of_device(),
        )
        devices = jax.local_device_count()
        return min(chosen, fit * devices, self._width.get(key, chosen))
