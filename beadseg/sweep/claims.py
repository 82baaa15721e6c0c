"""Who trains which member: several processes, perhaps on several machines, one folder.

A claim is a file `NNN.G` that only one process can create; its modification time is
its owner's sign of life. Whoever finds the newest claim of a member without such a sign
for `lease` seconds creates generation G + 1 and is the owner from then on; the one
before notices and lets go. Nothing is ever removed or renamed, so that no two processes
can take one claim from each other.

All times compared are those the file system gives, so that clocks of machines may
differ. On one machine, a process that no longer exists is noticed at once.
"""

import itertools
import json
import os
import socket
import threading
from pathlib import Path

from beadseg.files import read_json_or_none, writing

_SIGNS = 12  # of life in a lease


class Claims:
    """The claims of this process; a context that gives signs of life for them."""

    def __init__(self, folder: Path, lease: float):
        """`folder` is shared by all processes; `lease` is in seconds."""
        self._folder, self._lease = folder, lease
        self._held: dict[int, Path] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._me = _identity()

    def __enter__(self) -> "Claims":
        with writing(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        for member in list(self._held):
            self.release(member)
        (self._folder / self._clock_name()).unlink(missing_ok=True)

    def take(self, member: int) -> bool:
        """Claims a member; False if another process has it."""
        with writing(self._folder):
            newest = self._newest(member)
            if newest is not None and not self._is_free(newest):
                return False
            generation = 0 if newest is None else int(newest.suffix[1:]) + 1
            claim = self._folder / f"{member:03d}.{generation}"
            try:
                with open(claim, "x") as file:
                    json.dump(self._me, file)
            except FileExistsError:
                return False
        with self._lock:
            self._held[member] = claim
        return True

    def before(self, member: int) -> int:
        """How many others had what this process has now, and ended or let go of it."""
        return int(self._held[member].suffix[1:])

    def lost(self, member: int) -> bool:
        """Whether another process, which thought this one dead, has what it had."""
        with self._lock:
            claim = self._held.get(member)
        return claim is not None and self._newest(member) not in (claim, None)

    def alone(self) -> bool:
        """Whether no other process is at work in the folder."""
        return all(self.owner(member) is None for member in self.claimed())

    def claimed(self) -> set[int]:
        """What was ever claimed, by whomever."""
        numbers = (name.partition(".")[0] for name in os.listdir(self._folder))
        return {int(number) for number in numbers if number.isdecimal()}

    def release(self, member: int) -> None:
        """Lets another process take the member at once."""
        with self._lock:
            claim = self._held.pop(member, None)
        if claim is not None:
            try:
                os.utime(claim, (0, 0))
            except OSError:
                pass  # the lease ends by itself

    def silent(self, members: list[int]) -> bool:
        """Whether some are claimed by a process that is late with its sign of life.

        They are worth waiting for: soon they can be taken, or their owner is heard.
        """
        ages = [self._age(c) for m in members if (c := self._newest(m)) is not None]
        return any(3 * self._lease / _SIGNS < age <= self._lease for age in ages)

    def owner(self, member: int) -> dict | None:
        """Who trains a member now, as its claim says; None if nobody does."""
        newest = self._newest(member)
        if newest is None or self._is_free(newest):
            return None
        return read_json_or_none(newest) or {}  # being written: it has an owner

    def _newest(self, member: int) -> Path | None:
        newest = None  # asked for by name: of thousands the folder is long to list
        for generation in itertools.count():
            claim = self._folder / f"{member:03d}.{generation}"
            if not claim.exists():
                return newest
            newest = claim

    def _is_free(self, claim: Path) -> bool:
        owner = read_json_or_none(claim) or {}
        return self._age(claim) > self._lease or _is_dead(owner, self._me)

    def _age(self, claim: Path) -> float:
        """Seconds since a sign of life, on the clock of the file system."""
        clock = self._folder / self._clock_name()
        with writing(self._folder):
            clock.touch()
        try:
            return clock.stat().st_mtime - claim.stat().st_mtime
        except FileNotFoundError:
            return float("inf")

    def _clock_name(self) -> str:
        return f".clock-{self._me['host']}-{self._me['pid']}"

    def _live(self) -> None:
        while not self._stop.wait(self._lease / _SIGNS):
            with self._lock:
                for claim in self._held.values():
                    try:
                        os.utime(claim)  # None: the server's time
                    except OSError:
                        pass  # a folder that is gone for a minute comes back


def _identity() -> dict[str, str | int | None]:
    pid = os.getpid()
    return {
        "host": socket.gethostname(),
        "machine": _line("/proc/sys/kernel/random/boot_id"),
        "namespace": _link("/proc/self/ns/pid"),
        "pid": pid,
        "started": _started(pid),
    }


def _is_dead(owner: dict, me: dict) -> bool:
    """Whether the owner was a process of this machine that is no more."""
    same = all(owner.get(k) == me[k] for k in ("host", "machine", "namespace"))
    if not same or me["started"] is None:
        return False
    return _started(owner.get("pid")) != owner.get("started")


def _started(pid: int) -> str | None:
    """When a process began, in the words of the kernel; None if there is none."""
    line = _line(f"/proc/{pid}/stat")
    fields = line.rsplit(")", 1)[1].split() if line else ["Z"]
    return None if fields[0] == "Z" else fields[19]


def _line(file: str) -> str | None:
    try:
        return Path(file).read_text().strip()
    except OSError:
        return None


def _link(file: str) -> str | None:
    try:
        return os.readlink(file)
    except OSError:
        return None
