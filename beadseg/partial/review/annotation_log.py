"""The annotation log of one image: manual mask, proposals, and decisions in order.

The decisions are what counts: a line is on disk before anything else happens, a kill in
the middle of one loses that line alone, and undoing is a line as well. What follows
from them is written by `derived`, the files are those of `completed`.
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from beadseg.errors import BeadsegError
from beadseg.partial.completed import (
    read_file,
    read_layers,
    read_proposals,
    read_provenance,
)
from beadseg.partial.review.actions import ACTIONS, FIELDS, redraw
from beadseg.partial.review.label_map import (
    ACCEPTED,
    DRAWN,
    IN_MASK,
    KEPT,
    MANUAL,
    MODEL,
    PROPOSED,
    Bead,
    Box,
    Change,
    LabelMap,
)
from beadseg.partial.review.thresholds import Extents, read_extents

_LONGEST = 1_000_000  # bytes of a line
_NOTHING = Change((slice(0, 0),) * 2, *np.zeros((2, 0, 0), np.int32), {}, {})


class Stale(BeadsegError):
    """A decision about a state that is no longer the present one."""


class DecisionLog:
    """The file `decisions/NAME.jsonl`: it only ever grows, a line for each decision.

    A line stands once it is on disk to its end; refused means that nothing of it is in
    the file. What a kill or a failing disk leaves behind is cut off by the next line,
    never by who only reads: many may read, one at a time may write.

    Public attributes: `actions`, as JSON has them, in order.
    """

    def __init__(self, file: Path):
        """Reads the file, if there is one.

        Raises:
          BeadsegError: a line is no decision, or the file cannot be read.
        """
        self._file = file
        self.actions: list[dict] = []
        content = _read(file)
        whole = content.rfind(b"\n") + 1
        lines, rest = content[:whole].split(b"\n")[:-1], content[whole:]
        self._missing = b""  # before the next line
        if rest and isinstance(_parse(rest), dict):  # its end alone is lost
            lines.append(rest)
            whole, rest, self._missing = len(content), b"", b"\n"
        self._size, self._rest = whole, rest  # of what stands; what follows it
        self._lines = [hashlib.sha256()]  # of the first 0, 1, 2, ... lines
        for number, line in enumerate(lines, 1):
            action = _parse(line)
            if not isinstance(action, dict):
                raise self.unusable(number, action, "is damaged")
            self._add(action, line)

    def unusable(self, number: int, why: object, is_: str) -> BeadsegError:
        """The error of a line that cannot be followed; what stands is left alone."""
        return BeadsegError(
            f"{self._file}: line {number} {is_} ({why}): put a copy of the file back, "
            "or put that line right in a text editor; until then all files of this "
            "image stay as they are"
        )

    def check(self, count: int, digest: str) -> None:
        """Whether the first `count` decisions are those of then, by their `digest`.

        Raises:
          BeadsegError: some are gone, or are others.
        """
        if count > len(self.actions) or self.digest(count) != digest:
            name = self._file.stem
            raise BeadsegError(
                f"{self._file}: its first {count} decisions are not those that masks/ "
                "was made of, the file is damaged or was changed: put a copy of it "
                f"back; if you changed it, move provenance/{name}.json away"
            )

    def digest(self, count: int) -> str:
        """Of the first `count` decisions: SHA-256 of their lines."""
        return self._lines[count].hexdigest()

    def append(self, action: Mapping[str, Any]) -> None:
        """Puts a decision on disk, whole or not at all.

        Raises:
          BeadsegError: it is too long, or another program has changed the file.
          OSError: it cannot be written.
        """
        line = json.dumps(dict(action)).encode()
        if len(line) >= _LONGEST:
            raise BeadsegError("that stroke is too long")
        added = self._missing + line + b"\n"
        new = self._size == 0
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
        # Not buffered: closing would write again what was refused.
        with open(os.open(self._file, flags, 0o666), "r+b", buffering=0) as file:
            self._check_unchanged(file)
            self._rest = added  # as far as it gets, until it is whole or cut off
            try:
                file.truncate(self._size)
                file.seek(self._size)
                left = memoryview(added)
                while left:
                    left = left[file.write(left) :]
                os.fsync(file.fileno())
                if new:
                    _sync_folder(self._file.parent)
            except BaseException:
                file.truncate(self._size)
                os.fsync(file.fileno())
                self._rest = b""
                raise
        self._size += len(added)
        self._missing = self._rest = b""
        self._add(dict(action), line)

    def _add(self, action: dict, line: bytes) -> None:
        self.actions.append(action)
        digest = self._lines[-1].copy()
        digest.update(line + b"\n")
        self._lines.append(digest)

    def _check_unchanged(self, file) -> None:
        size = file.seek(0, os.SEEK_END)
        file.seek(self._size)
        if size < self._size or not self._rest.startswith(file.read()):
            raise BeadsegError(
                f"{self._file}: was changed by another program: end beadseg review and "
                "start it again"
            )


def open_log(folder: Path, name: str) -> DecisionLog:
    """The decisions on an image, of which those that masks/ was made of are the first.

    Raises:
      BeadsegError: a line is damaged, or decisions are gone or others.
    """
    log = DecisionLog(folder / "decisions" / f"{name}.jsonl")
    if provenance := read_provenance(folder, name):
        log.check(provenance["decisions"], provenance["decisions_digest"])
    return log


class AnnotationLog:
    """All about one image; open one at a time for a folder (see `review.server`)."""

    def __init__(self, folder: Path, name: str):
        """Reads the log and repeats its decisions.

        Raises:
          BeadsegError: a file of it is missing or damaged; the line names the file.
        """
        self.folder, self.name = folder, name
        self.about = read_proposals(folder, name)
        manual, self.proposals = read_layers(folder, name, self.about)
        beads = {int(n): Bead(MANUAL, KEPT) for n in np.unique(manual[manual > 0])}
        waiting = not self.about.get("accepted")  # as in a prediction folder
        labels = manual
        for number, facts in self.about["beads"].items():
            beads[int(number)] = Bead(
                MODEL,
                PROPOSED if waiting else ACCEPTED,
                float(facts["score"]),
                str(facts["reason"]),
                self.about["run"],
                "" if waiting else "prediction",
            )
        free = labels == 0
        labels[free] = self.proposals[free]
        self.map = LabelMap(labels, beads)
        self.reviewed: bool | None = None  # nobody has said so or otherwise
        self._proposed: list[Box | None] | None = None
        self._extents: Extents | None = None
        self._done: list[Change | bool] = []
        self._undone: list[Change | bool] = []
        self.version = 0
        self.log = open_log(folder, name)
        for number, action in enumerate(self.log.actions, 1):
            try:
                self._do(action["do"], self._foresee(action))
            except BeadsegError as error:
                raise self.log.unusable(number, error, "does not fit") from error

    def act(self, action: Mapping[str, Any], version: int | None = None) -> Change:
        """Decides: a key of `ACTIONS`, "undo", "redo" or "reviewed" under "do".

        Args:
          action: as JSON has it.
          version: the number of decisions that the decider knows of.

        Raises:
          Stale: others have decided since.
          BeadsegError: the action is impossible; nothing has changed.
          OSError: it cannot be written; nothing has changed.
        """
        if version is not None and version != self.version:
            raise Stale(f"{self.name} has changed in another window: look again")
        change = self._foresee(action)
        self.log.append(action)
        return self._do(action["do"], change)

    @property
    def can_undo(self) -> bool:
        return bool(self._done)

    @property
    def can_redo(self) -> bool:
        return bool(self._undone)

    def proposed_box(self, number: int) -> Box | None:
        """Where a proposal lay when it was made; None where it had no pixel."""
        if self._proposed is None:
            self._proposed = ndimage.find_objects(self.proposals)
        return self._proposed[number - 1] if number <= len(self._proposed) else None

    def extents(self) -> Extents:
        """Where beads end at other thresholds; raises BeadsegError: not known."""
        if self._extents is None:
            found_at = self.about.get("threshold", 0.5)
            given = self.folder, self.name, self.proposals, found_at
            self._extents = read_extents(*given)
        return self._extents

    @property
    def threshold(self) -> float:
        """Of the probability, that the beads which a model found end at."""
        for change in reversed(self._done):
            if isinstance(change, Change) and change.threshold is not None:
                return change.threshold
        return self.about.get("threshold", 0.5)

    def counts(self) -> dict[str, int]:
        """Beads by what they are: kept, drawn, accepted, rejected, proposed."""
        kinds = Counter()
        for bead in self.map.beads.values():
            drawn = bead.origin == DRAWN and bead.state in IN_MASK
            kinds["drawn" if drawn else bead.state] += 1
        return dict(kinds)

    def completeness(self) -> float:
        """Share of the expected beads that the mask labels; 1 once it is reviewed.

        Each proposal that waits counts as much as its score.
        """
        beads = self.map.beads.values()
        labelled = sum(bead.state in IN_MASK for bead in beads)
        if self.reviewed:
            return 1.0
        waiting = sum(bead.score or 0.0 for bead in beads if bead.state == PROPOSED)
        return labelled / (labelled + waiting) if labelled + waiting else 1.0

    def _foresee(self, action: Mapping[str, Any]) -> Change | bool:
        """What an action will change; whether it is reviewed, for that one."""
        do = action.get("do")
        if not isinstance(do, str) or do not in FIELDS:
            raise BeadsegError(f"unknown action {str(do)[:20]!r}")
        if more := set(action) - {"do", *FIELDS[do]}:
            raise BeadsegError(f"{do}: {min(more)[:20]!r} says nothing")
        if do in ("undo", "redo"):
            stack = self._done if do == "undo" else self._undone
            if not stack:
                raise BeadsegError(f"nothing to {do}")
            return stack[-1]
        if do == "reviewed":
            if not isinstance(value := action.get("value", True), bool):
                raise BeadsegError("reviewed: value must be true or false")
            return value
        if do == "redraw":
            return redraw(self.map, self.extents(), action)
        return ACTIONS[do](self.map, self.proposals, action)

    def _do(self, do: str, change: Change | bool) -> Change:
        """Does what was foreseen; returns the change that the map saw."""
        self.version += 1
        if do == "undo":
            self._undone.append(self._done.pop())
        elif do == "redo":
            self._done.append(self._undone.pop())
        else:
            self._done.append(change)
            self._undone.clear()
        if isinstance(change, bool):
            self.reviewed = change != (do == "undo")
            return _NOTHING
        if do != "undo":
            self.map.apply(change)
            return change
        self.map.revert(change)
        return change._replace(
            before=change.after,
            after=change.before,
            beads_before=change.beads_after,
            beads_after=change.beads_before,
        )


def _read(file: Path) -> bytes:
    try:
        return read_file(file)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise BeadsegError(
            f"{file}: cannot be read ({error.strerror}): make it readable"
        ) from error


def _parse(line: bytes) -> dict | str:
    """A decision, or why it is none."""
    try:
        action = json.loads(line)
    except ValueError as error:
        return str(error)
    except RecursionError:
        return "too deep"
    if isinstance(action, dict) and isinstance(action.get("do"), str):
        return action
    return "it says nothing to do"


def _sync_folder(folder: Path) -> None:
    """A new file is on disk once its name is; Windows does so by itself."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
