"""The review session of a folder: annotation logs as its page opens and saves them.

Masks, ignore and provenance are written after the decisions that they follow from; a
decision is on disk before it is answered. What does not stand for all decisions when
the session is opened (a kill came between) is written anew. An image whose files are
damaged is left out, with a line; all others go on.
"""

import logging
import threading
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from filelock import FileLock, Timeout

from beadseg.data.folder import stem_of
from beadseg.data.settings_file import write_completeness
from beadseg.errors import BeadsegError
from beadseg.files import remove_leftovers, writing
from beadseg.partial.completed import FOLDERS, image_problem, names, read_proposals
from beadseg.partial.review.actions import number_of, redrawable, redrawn, threshold_of
from beadseg.partial.review.annotation_log import AnnotationLog
from beadseg.partial.review.derived import changed, saving, set_aside, stands
from beadseg.partial.review.fit_disc import LOOKED_AT, fit_disc, known_beads
from beadseg.partial.review.label_map import DELETED, REJECTED, among, numbers_in
from beadseg.partial.review.outlines import outline
from beadseg.partial.review.picture import Picture, read_picture
from beadseg.partial.review.predicted import is_prediction, read_known
from beadseg.partial.review.thresholds import LEAST, MOST, probability_file

_OPEN = 4  # annotation logs in memory
_LOG = logging.getLogger("uvicorn.error")


class View(NamedTuple):
    """A part of an image on a screen."""

    x: float  # px of the image at the left edge of the view
    y: float  # likewise at its top
    scale: float  # px of the screen per px of the image
    width: int  # px of the screen
    height: int


class ReviewSession:
    """The annotation logs of a folder, opened when asked for; one session at a time.

    Public attributes: `names`, of all images; `problems`, a line by name of each that
    was left out so far; `prediction`, whether it is the folder of a prediction.
    """

    def __init__(self, folder: Path):
        """Raises BeadsegError: not a completed folder, read-only, or in review."""
        self.folder, self.names = folder, names(folder)
        self.prediction = is_prediction(folder)
        self._lock = threading.RLock()
        self._reading, self._saving = threading.Lock(), threading.Lock()
        self._measuring = threading.Lock()
        self._picture: tuple[tuple[str, int | None], Picture] | None = None
        self._annotations: OrderedDict[str, AnnotationLog] = OrderedDict()
        self._summaries: dict[str, dict] = {}
        self._unsaved: set[str] = set()
        self._decided = -float("inf")  # when, last
        self._reviewed: dict[str, bool | None] = {}
        self._written: dict[str, bool | None] = {}  # to beads.toml
        self._bright: dict[str, dict[int, bool]] = {}  # of found beads, once asked for
        self.problems: dict[str, str] = {}
        self._sound: set[str] = set()  # images that beads were proposed for
        for name in self.names:
            try:
                self._require_image(name)
            except BeadsegError as error:
                self.problems[name] = str(error)
        self._unchecked = sorted(self._sound)
        if not self._unchecked:
            raise BeadsegError(next(iter(self.problems.values())))
        self._alone = FileLock(folder / ".review.lock", thread_local=False)
        try:
            self._alone.acquire(blocking=False)
            (folder / "decisions").mkdir(exist_ok=True)
            remove_leftovers(*(folder / kind for kind in ("", *FOLDERS)))
        except Timeout:
            raise BeadsegError(
                f"{folder}: is being reviewed by another beadseg review: use its page, "
                "or stop it"
            ) from None
        except (OSError, NotImplementedError) as error:
            self._alone.release()
            reason = getattr(error, "strerror", None) or error
            raise BeadsegError(
                f"{folder}: cannot be written ({reason}): copy it to where you may "
                "write, and review that"
            ) from error

    def listing(self) -> tuple[list[dict[str, Any]], list[str]]:
        """What the list says of each image, and a line on each that is left out."""
        images = []
        for name in self.names:
            try:
                images.append(self.summary(name))
            except BeadsegError as error:
                self.problems[name] = str(error)
        return images, [self.problems[name] for name in sorted(self.problems)]

    def summary(self, name: str) -> dict[str, Any]:
        """What the list of images says of one; raises BeadsegError: it is damaged."""
        with self._lock:
            if name in self._annotations:
                return _summary(self._annotations[name])
            if name not in self._summaries:
                self._require_image(name)
                last = None if name in self.problems else stands(self.folder, name)
                self._summaries[name] = (
                    _summary(self.annotations(name))
                    if last is None
                    else {"name": name, "undo": False, "redo": False}
                    | {key: last[key] for key in ("reviewed", "counts", "completeness")}
                )
            return self._summaries[name]

    def annotations(self, name: str) -> AnnotationLog:
        """The open annotation log of an image; raises BeadsegError: it is damaged."""
        with self._lock:
            if name not in self._annotations:
                try:
                    self._require_image(name)
                    self._annotations[name] = AnnotationLog(self.folder, name)
                    self.problems.pop(name, None)
                except BeadsegError as error:
                    self.problems[name] = str(error)
                    raise
                kept = {name, *self._unsaved}
                saved = [n for n in self._annotations if n not in kept]
                for gone in saved[: max(len(self._annotations) - _OPEN, 0)]:
                    self._summaries[gone] = _summary(self._annotations.pop(gone))
            self._annotations.move_to_end(name)
            return self._annotations[name]

    def pixels(self, name: str, channel: int | None, step: int) -> tuple[bytes, dict]:
        """Of an image: every `step`th pixel, and what they are."""
        with self._reading:
            if self._picture is None or self._picture[0] != (name, channel):
                self._require_image(name)
                picture = read_picture(self.folder, name, channel)
                self._picture = ((name, channel), picture)
            picture = self._picture[1]
        return picture.part(step)

    def decide(self, name: str, action: dict, version: int) -> dict[str, Any]:
        """Acts on an image, and tells what the page must draw anew.

        To "place" a bead at y, x is to draw the one that is seen there.
        """
        if action.get("do") == "place":
            action = self._placed(name, action)
        with self._lock:
            annotations = self.annotations(name)
            try:
                with writing(self.folder, None):
                    change = annotations.act(action, version)
            except BeadsegError:
                raise
            except BaseException:  # perhaps between its line and its pixels
                del self._annotations[name]
                raise
            self._unsaved.add(name)
            self._decided = time.monotonic()
            differs = change.before != change.after
            moved = numbers_in(change.before[differs])
            moved |= numbers_in(change.after[differs])
            touched = set(change.beads_before) | set(change.beads_after) | moved
            bright = self._brighter(name)
            beads = [
                bead_json(annotations, n, n in moved, bright.get(n))
                for n in sorted(touched)
            ]
            return {
                "version": annotations.version,
                "beads": beads,
                "focus": change.focus,
                "threshold": annotations.threshold,
                "summary": _summary(annotations),
            }

    def _placed(self, name: str, action: dict) -> dict[str, Any]:
        """The action that draws the bead at a place, as the image has them there."""
        y, x = (number_of(action, axis) for axis in "yx")
        self.pixels(name, None, 64)
        with self._reading:
            image = self._picture[1].array
        height, width = image.shape
        if not (-0.5 <= y < height - 0.5 and -0.5 <= x < width - 0.5):
            raise BeadsegError("that lies outside the image")
        with self._lock:
            beads = self.annotations(name).map
            numbers = beads.near(y, x, LOOKED_AT)
            if not numbers:
                raise BeadsegError("there is no bead yet that says how large: draw one")
            y, x, radius = fit_disc(
                image, beads.labels, known_beads(beads, numbers), y, x
            )
        at = {"y": y, "x": x, "ry": radius, "rx": radius}
        return {"do": "draw"} | {key: round(value, 2) for key, value in at.items()}

    def redrawn(self, name: str, threshold: float, view: View) -> np.ndarray:
        """Beads at another threshold, as to "redraw" would have them.

        Returns:
          i32[view.height, view.width]: of each pixel of a view, the bead that a model
          found there; 0: none, or one that the threshold does not change.

        Raises:
          BeadsegError: the folder holds no probability map.
        """
        threshold = threshold_of({"threshold": threshold})
        with self._lock:
            annotations = self.annotations(name)
        with self._measuring:
            extents = annotations.extents()
        with self._lock:
            labels, numbers = annotations.map.labels, redrawable(annotations.map)
            rows, columns = (
                np.floor(start + (np.arange(count) + 0.5) / view.scale).astype(int)
                for start, count in ((view.y, view.height), (view.x, view.width))
            )
            inside = [
                (at >= 0) & (at < size)
                for at, size in zip((rows, columns), labels.shape, strict=True)
            ]
            rows, columns = rows[inside[0]], columns[inside[1]]
            part = np.s_[rows[:, None], columns]
            new = redrawn(labels[part], extents.labels(threshold, part), numbers)
            seen = np.zeros((view.height, view.width), "<i4")
            seen[np.ix_(*inside)] = np.where(among(new, numbers), new, 0)
        return seen

    def _brighter(self, name: str) -> dict[int, bool]:
        """Of the beads found in an image, whether they are brighter than around them.

        Not of those without background around them; empty where nothing was found.
        """
        if self.prediction and name not in self._bright:
            try:
                _, table = read_known(self.folder, name)
            except BeadsegError:  # said where it is measured again
                table = {}
            above = table.get("mean_above_background", np.zeros(0))
            known = zip(table.get("label", ()), above, strict=False)
            self._bright[name] = {int(n): bool(a > 0) for n, a in known if a == a}
        return self._bright.get(name, {})

    def all_of(self, name: str) -> dict[str, Any]:
        """All that the page shows of an image but its pixels."""
        with self._lock:
            annotations, bright = self.annotations(name), self._brighter(name)
            height, width = annotations.map.labels.shape
            mapped = probability_file(self.folder, name).is_file()
            return {
                "name": name,
                "height": height,
                "width": width,
                "version": annotations.version,
                "run": annotations.about["run"],
                "threshold": annotations.threshold,
                "thresholds": [LEAST, MOST] if self.prediction and mapped else [],
                "summary": _summary(annotations),
                "beads": [
                    bead_json(annotations, n, bright=bright.get(n))
                    for n in sorted(annotations.map.beads)
                ],
            }

    def rests(self, seconds: float) -> bool:
        """Whether nothing was decided for some time."""
        return time.monotonic() - self._decided > seconds

    def save(self) -> list[str]:
        """Writes what follows from decisions, where it does not stand for all of them.

        Decisions go on meanwhile.

        Returns:
          A line on each image, and on `beads.toml`, where that failed; it is tried
          again the next time.
        """
        failed = []
        with self._saving:
            while self._unchecked:
                self._check(self._unchecked.pop())
            with self._lock:
                unsaved = sorted(self._unsaved)
            for name in unsaved:
                try:
                    self._save(name)
                except BeadsegError as error:
                    failed.append(str(error))
            with self._lock:
                reviewed = dict(self._reviewed)
            if reviewed != self._written:
                # Training validates on masks that are known to be complete.
                said = {n: r for n, r in reviewed.items() if r is not None}
                shares = {n: 1.0 if r else None for n, r in said.items()}
                try:
                    write_completeness(self.folder, shares, stem_of, self.names)
                    self._written = reviewed
                except BeadsegError as error:
                    failed.append(str(error))
        return failed

    def close(self) -> dict[str, Any]:
        """Saves, lets the folder go, and tells how far the review has come."""
        try:
            failed = self.save()
            images, problems = self.listing()
        finally:
            self.release()
        return {
            "images": len(self.names),
            "reviewed": sum(image["reviewed"] for image in images),
            "undecided": sum(image["counts"].get("proposed", 0) for image in images),
            "problems": list(dict.fromkeys(problems + failed)),
        }

    def release(self) -> None:
        """Lets the folder go; what was decided is on disk."""
        self._alone.release()

    def _require_image(self, name: str) -> None:
        """Raises BeadsegError: not the image of then."""
        if name not in self._sound:
            problem = image_problem(self.folder, read_proposals(self.folder, name))
            if problem:
                raise BeadsegError(problem)
            self._sound.add(name)

    def _check(self, name: str) -> None:
        """Finds out whether what follows from decisions stands for all of them."""
        try:
            stored = stands(self.folder, name)
            if stored is not None:
                known = stored["reviewed"] or stored["was_reviewed"]
                self._reviewed[name] = stored["reviewed"] if known else None
                for kind in changed(self.folder, name):
                    with writing(self.folder, None):
                        kept = set_aside(self.folder, name, kind)
                    if kept is not None:
                        _LOG.warning(
                            "%s/%s.tif was changed by another program: that is now %s, "
                            "the decisions of the review are in its place",
                            *(kind, name, kept),
                        )
                    stored = None
            if stored is None:
                self._unsaved.add(name)
        except BeadsegError as error:
            self.problems[name] = str(error)

    def _save(self, name: str) -> None:
        with self._lock:
            try:
                annotations = self.annotations(name)
            except BeadsegError:
                self._unsaved.discard(name)
                return
            self._unsaved.discard(name)
            self._reviewed[name] = annotations.reviewed
            write = saving(annotations)
        try:
            with writing(self.folder, None):
                write()
        except BaseException:
            with self._lock:
                self._unsaved.add(name)
            raise


def bead_json(
    annotations: AnnotationLog,
    number: int,
    moved: bool = True,
    bright: bool | None = None,
) -> dict[str, Any]:
    """A bead as the page draws it: outline in x, y pairs of pixel corners.

    Not `moved`: without the outline, which the page has. `bright`: whether it is
    brighter than what is around it; None: not known.
    """
    bead = annotations.map.beads.get(number)
    if bead is None:
        return {"id": number, "state": "none"}
    shown = {
        "id": number,
        "origin": bead.origin,
        "state": bead.state,
        "score": bead.score,
        "reason": bead.reason,
        "edited": bead.edited,
        "by": bead.by,
        "bright": bright,
    }
    if not moved:
        return shown | {"moved": False}
    labels, box = annotations.map.labels, annotations.map.boxes.get(number)
    if box is None and bead.state == REJECTED and not bead.edited:
        # Where it was, to be seen and reopened.
        labels, box = annotations.proposals, annotations.proposed_box(number)
    if box is None or bead.state == DELETED:
        return shown
    return shown | _shape(labels[box] == number, box[0].start, box[1].start)


def _summary(annotations: AnnotationLog) -> dict[str, Any]:
    return {
        "name": annotations.name,
        "reviewed": bool(annotations.reviewed),
        "counts": annotations.counts(),
        "completeness": round(annotations.completeness(), 4),
        "undo": annotations.can_undo,
        "redo": annotations.can_redo,
    }


def _shape(part: np.ndarray, top: int, left: int) -> dict[str, Any]:
    rows, columns = np.nonzero(part)
    bottom, right = top + part.shape[0], left + part.shape[1]
    return {
        "diameter": round(2 * float(np.sqrt(len(rows) / np.pi)), 2),
        "y": round(float(rows.mean()) + top, 1),
        "x": round(float(columns.mean()) + left, 1),
        "box": [top, left, bottom, right],
        "outline": [
            [int(v) + (left, top)[i % 2] for i, v in enumerate(line)]
            for line in outline(part)
        ],
    }
