"""The books of one folder as the review page sees them: opened, decided, saved.

Masks, ignore and provenance are written after the decisions that they follow from; a
decision is on disk before it is answered.
"""

import fcntl
import json
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

from beadseg.errors import BeadsegError
from beadseg.files import writing
from beadseg.partial.actions import DELETED, REJECTED, numbers_in
from beadseg.partial.book import (
    Book,
    image_problem,
    names,
    read_proposals,
)
from beadseg.partial.review.outlines import outline
from beadseg.partial.review.picture import Picture, read_picture

_OPEN = 4  # books in memory


class Desk:
    """The books of a folder, opened when asked for; one desk at a time for a folder.

    Public attributes: `names`, `problems` (a line by name of each image left out).
    """

    def __init__(self, folder: Path):
        """Raises BeadsegError: not a completed folder, read-only, or in review."""
        self.folder = folder
        self._lock = threading.RLock()
        self._reading, self._saving = threading.Lock(), threading.Lock()
        self._picture: tuple[tuple[str, int | None], Picture] | None = None
        self._books: OrderedDict[str, Book] = OrderedDict()
        self._unsaved: set[str] = set()
        self._summaries: dict[str, dict] = {}
        self.names, self.problems = [], {}
        for name in names(folder):
            try:
                problem = image_problem(folder, read_proposals(folder, name))
            except BeadsegError as error:
                problem = str(error)
            if problem:
                self.problems[name] = problem
            else:
                self.names.append(name)
        if not self.names:
            raise BeadsegError(next(iter(self.problems.values())))
        try:
            self._alone = open(folder / ".review.lock", "w")
            (folder / "decisions").mkdir(exist_ok=True)
        except OSError as error:
            raise BeadsegError(
                f"{folder}: cannot be written ({error.strerror}): copy it to where you "
                "may write, and review that"
            ) from error
        try:
            fcntl.flock(self._alone, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._alone.close()
            raise BeadsegError(
                f"{folder}: is being reviewed by another beadseg review: use its page, "
                "or stop it"
            ) from None

    def summary(self, name: str) -> dict[str, Any]:
        """What the list of images says of one."""
        with self._lock:
            if name in self._books:
                return _summary(self._books[name])
            if name not in self._summaries:
                told = _told(self.folder, name)
                self._summaries[name] = told or _summary(Book(self.folder, name))
            return self._summaries[name]

    def book(self, name: str) -> Book:
        """The open book of an image."""
        with self._lock:
            if name not in self._books:
                with writing(self.folder, None):
                    self._books[name] = Book(self.folder, name)
                saved = [n for n in self._books if n not in {name, *self._unsaved}]
                for gone in saved[: max(len(self._books) - _OPEN, 0)]:
                    self._summaries[gone] = _summary(self._books.pop(gone))
            self._books.move_to_end(name)
            return self._books[name]

    def pixels(self, name: str, channel: int | None, step: int) -> tuple[bytes, dict]:
        """Of an image: every `step`th pixel, and what they are."""
        with self._reading:
            if self._picture is None or self._picture[0] != (name, channel):
                picture = read_picture(self.folder, name, channel)
                self._picture = ((name, channel), picture)
            picture = self._picture[1]
        return picture.part(step)

    def decide(self, name: str, action: dict, version: int) -> dict[str, Any]:
        """Acts on an image, and tells what the page must draw anew."""
        with self._lock:
            book = self.book(name)
            with writing(self.folder, None):
                change = book.act(action, version)
            self._unsaved.add(name)
            moved = numbers_in(change.before[change.before != change.after])
            moved |= numbers_in(change.after[change.before != change.after])
            touched = set(change.beads_before) | set(change.beads_after) | moved
            beads = [bead_json(book, n, n in moved) for n in sorted(touched)]
            return {
                "version": book.version,
                "beads": beads,
                "focus": change.focus,
                "summary": _summary(book),
            }

    def all_of(self, name: str) -> dict[str, Any]:
        """All that the page shows of an image but its pixels."""
        with self._lock:
            book = self.book(name)
            height, width = book.map.labels.shape
            return {
                "name": name,
                "height": height,
                "width": width,
                "version": book.version,
                "run": book.about["run"],
                "summary": _summary(book),
                "beads": [bead_json(book, n) for n in sorted(book.map.beads)],
            }

    def save(self) -> None:
        """Writes what follows from the decisions, for images that have new ones.

        Decisions go on meanwhile.
        """
        with self._saving:
            while True:
                with self._lock:
                    if not self._unsaved:
                        return
                    name = self._unsaved.pop()
                    write = self.book(name).saving()
                try:
                    with writing(self.folder, None):
                        write()
                except BaseException:
                    with self._lock:
                        self._unsaved.add(name)
                    raise

    def close(self) -> None:
        """Saves and lets the folder go."""
        try:
            self.save()
        finally:
            self._alone.close()


def bead_json(book: Book, number: int, moved: bool = True) -> dict[str, Any]:
    """A bead as the page draws it: outline in x, y pairs of pixel corners.

    Not `moved`: without the outline, which the page has.
    """
    bead = book.map.beads.get(number)
    if bead is None:
        return {"id": number, "state": "none"}
    shown = {
        "id": number,
        "origin": bead.origin,
        "state": bead.state,
        "score": bead.score,
        "reason": bead.reason,
        "edited": bead.edited,
    }
    if not moved:
        return shown | {"moved": False}
    labels, box = book.map.labels, book.map.box(number)
    if box is None and bead.state == REJECTED and not bead.edited:
        # Where it was, to be seen and reopened.
        labels, box = book.proposals, book.proposed_box(number)
    if box is None or bead.state == DELETED:
        return shown
    return shown | _shape(labels[box] == number, box[0].start, box[1].start)


def _told(folder: Path, name: str) -> dict[str, Any] | None:
    """The summary that was last saved, if no decision came after; opens no image."""
    try:
        log = folder / "decisions" / f"{name}.jsonl"
        decisions = log.read_bytes().count(b"\n") if log.exists() else 0
        told = json.loads((folder / "provenance" / f"{name}.json").read_text())
        if told["decisions"] != decisions:
            return None
        facts = {key: told[key] for key in ("reviewed", "counts", "completeness")}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return {"name": name, **facts, "undo": False, "redo": False}


def _summary(book: Book) -> dict[str, Any]:
    return {
        "name": book.name,
        "reviewed": book.reviewed,
        "counts": book.counts(),
        "completeness": round(book.completeness(), 4),
        "undo": book.can_undo,
        "redo": book.can_redo,
    }


def _shape(part: np.ndarray, top: int, left: int) -> dict[str, Any]:
    rows, columns = np.nonzero(part)
    bottom, right = top + part.shape[0], left + part.shape[1]
    return {
        "y": round(float(rows.mean()) + top, 1),
        "x": round(float(columns.mean()) + left, 1),
        "box": [top, left, bottom, right],
        "outline": [
            [int(v) + (left, top)[i % 2] for i, v in enumerate(line)]
            for line in outline(part)
        ],
    }
