"""The book of one image: a person's mask, proposals for it, and all decisions in order.

In the folder of a completed data set, of image NAME (pages of one file: NAME_p000):
  images/NAME.*           the image, copied
  person/NAME.tif         the mask as a person made it, i32 labels; never written again
  proposals/NAME.tif      the beads that a model proposes, i32 labels, 0 elsewhere
  proposals/NAME.json     score and reason of each, the run, digests of what was seen
  decisions/NAME.jsonl    every decision, a line each, only ever appended to
and, made of these at any time, for training and for other tools:
  masks/NAME.tif          the person's beads with those accepted and drawn
  ignore/NAME.tif         255 where nobody has decided yet: unknown, not background
  provenance/NAME.json    where each bead comes from and what became of it

The decisions are what counts: a line is on disk before anything else happens, a kill in
the middle of one loses that line alone, and undoing is a line as well.
"""

import io
import json
import os
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from scipy import ndimage

from beadseg.data.cache import hash_file
from beadseg.errors import BeadsegError
from beadseg.files import write_whole
from beadseg.partial.actions import (
    ACTIONS,
    DRAWN,
    IN_MASK,
    KEPT,
    MODEL,
    PERSON,
    PROPOSED,
    Bead,
    Box,
    Change,
    LabelMap,
)

_NOTHING = Change((slice(0, 0),) * 2, *np.zeros((2, 0, 0), np.int32), {}, {})
FORMAT = "beadseg-provenance-1"
FOLDERS = ("images", "person", "proposals", "decisions", "masks", "ignore")
FOLDERS += ("provenance",)


class Stale(BeadsegError):
    """A decision about a state that is no longer the present one."""


class Book:
    """All about one image; open one at a time for a folder (see `review.server`)."""

    def __init__(self, folder: Path, name: str):
        """Reads the book and repeats its decisions.

        Raises:
          BeadsegError: a file of it is missing or damaged; the line names the file.
          OSError: a decision cut short by a kill cannot be taken off its end.
        """
        self.folder, self.name = folder, name
        self._log = folder / "decisions" / f"{name}.jsonl"
        self.about = read_proposals(folder, name)
        self.proposals = _read_labels(folder / "proposals" / f"{name}.tif")
        person = _read_labels(folder / "person" / f"{name}.tif")
        if person.shape != self.proposals.shape:
            raise BeadsegError(
                f"{folder}/proposals/{name}.tif: {self.proposals.shape} px, but the "
                f"person's mask is {person.shape}: run beadseg complete again"
            )
        beads = {int(n): Bead(PERSON, KEPT) for n in np.unique(person[person > 0])}
        labels = person.copy()
        for number, facts in self.about["beads"].items():
            beads[int(number)] = Bead(
                MODEL,
                PROPOSED,
                float(facts["score"]),
                str(facts["reason"]),
                self.about["run"],
            )
        free = labels == 0
        labels[free] = self.proposals[free]
        self.map = LabelMap(labels, beads)
        self.reviewed = False
        self._proposed: list[Box | None] | None = None
        self._done: list[Change | bool] = []
        self._undone: list[Change | bool] = []
        self.version = 0
        for number, action in enumerate(self._read_log(), 1):
            try:
                self._do(action["do"], self._foresee(action))
            except BeadsegError as error:
                raise BeadsegError(
                    f"{self._log}: line {number} does not fit ({error}): it was edited "
                    "by hand or belongs to other proposals; delete from there on"
                ) from error

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
        line = (json.dumps(dict(action)) + "\n").encode()
        if len(line) > 1_000_000:
            raise BeadsegError("that stroke is too long")
        change = self._foresee(action)
        _append(self._log, line)
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

    def mask(self) -> np.ndarray:
        """The person's beads with those accepted and drawn: i32[H, W], -1 unknown."""
        shown = [n for n, bead in self.map.beads.items() if bead.state in IN_MASK]
        return np.where(_among(self.map.labels, shown), self.map.labels, 0)

    def save(self) -> None:
        """Writes mask, ignore and provenance, whole; they follow from the decisions.

        Raises OSError.
        """
        self.saving()()

    def saving(self) -> Callable[[], None]:
        """What saves the present state, whenever it is called, on any thread."""
        labels = self.map.labels.copy()
        masked = [n for n, b in self.map.beads.items() if b.state in IN_MASK]
        waiting = [n for n, b in self.map.beads.items() if b.state == PROPOSED]
        provenance = {
            "format": FORMAT,
            "image": self.name,
            "reviewed": self.reviewed,
            "decisions": self.version,
            "completeness": round(self.completeness(), 4),
            "counts": self.counts(),
            "proposed_by": self.about["run"],
            "beads": {
                str(number): _as_json(bead, number in self.map.boxes)
                for number, bead in sorted(self.map.beads.items())
            },
        }

        def write() -> None:
            unknown = labels < 0
            ignore = _among(labels, waiting) | unknown
            mask = np.where(_among(labels, masked) | unknown, labels, 0)
            if not unknown.any() and mask.max(initial=0) < 2**16:
                mask = mask.astype(np.uint16)
            for kind, array in (("masks", mask), ("ignore", 255 * ignore.view("u1"))):
                write_labels(self.folder / kind / f"{self.name}.tif", array)
            write_whole(
                self.folder / "provenance" / f"{self.name}.json",
                json.dumps(provenance, indent=1) + "\n",
            )

        return write

    def _foresee(self, action: Mapping[str, Any]) -> Change | bool:
        """What an action will change; whether it is reviewed, for that one."""
        do = action.get("do")
        if do in ("undo", "redo"):
            stack = self._done if do == "undo" else self._undone
            if not stack:
                raise BeadsegError(f"nothing to {do}")
            return stack[-1]
        if do == "reviewed":
            return bool(action.get("value", True))
        if do not in ACTIONS:
            raise BeadsegError(f"unknown action {do!r}")
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

    def _read_log(self) -> list[dict]:
        """The whole lines; a last one cut short by a kill is cut off."""
        if not self._log.exists():
            return []
        content = self._log.read_bytes()
        end = content.rfind(b"\n") + 1
        if end < len(content):
            with open(self._log, "r+b") as file:
                file.truncate(end)
        actions = []
        for number, line in enumerate(content[:end].splitlines(), 1):
            try:
                action = json.loads(line)
                if not isinstance(action, dict):
                    raise ValueError("not an object")
            except ValueError as error:
                raise BeadsegError(
                    f"{self._log}: line {number} is damaged ({error}): delete that "
                    "line, or the file to begin again"
                ) from error
            actions.append(action)
        return actions


def names(folder: Path) -> list[str]:
    """The images of a completed folder, in order.

    Raises:
      BeadsegError: it is not one.
    """
    found = sorted(p.stem for p in (folder / "proposals").glob("*.json"))
    if not found:
        raise BeadsegError(
            f"{folder}: no proposals in it: make it with beadseg complete DIR -o "
            f"{folder}"
        )
    return found


def read_proposals(folder: Path, name: str) -> dict[str, Any]:
    """What `beadseg complete` wrote about the proposals of an image.

    Raises:
      BeadsegError: the file is missing or damaged.
    """
    file = folder / "proposals" / f"{name}.json"
    try:
        about = json.loads(file.read_text())
        for number, facts in about["beads"].items():
            int(number), float(facts["score"]), str(facts["reason"])
        str(about["run"]), str(about["image"]), str(about["image_digest"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BeadsegError(
            f"{file}: damaged ({reason}): run beadseg complete again into a new folder"
        ) from error
    return about


def image_problem(folder: Path, about: Mapping[str, Any]) -> str | None:
    """Why the proposals no longer speak of the image that is there; None if they do."""
    image = folder / "images" / Path(about["image"]).name
    if not image.exists():
        return f"{image}: the image is gone: put it back, or run beadseg complete again"
    if hash_file(image) != about["image_digest"]:
        return (
            f"{image}: the image has changed since beads were proposed: put it back, "
            "or run beadseg complete again"
        )
    return None


def write_labels(file: Path, labels: np.ndarray) -> None:
    """Writes a label image as TIFF, whole."""
    content = io.BytesIO()
    tifffile.imwrite(content, labels, compression="zlib", compressionargs={"level": 1})
    write_whole(file, content.getvalue())


def _read_labels(file: Path) -> np.ndarray:
    try:
        labels = tifffile.imread(file)
    except Exception as error:  # tifffile raises many kinds
        raise BeadsegError(
            f"{file}: cannot be read ({error}): run beadseg complete again into a new "
            "folder"
        ) from error
    return labels.astype(np.int32)


def _among(labels: np.ndarray, numbers: list[int]) -> np.ndarray:
    """Where labels are among numbers, by a table: faster than np.isin on large maps."""
    table = np.zeros(max([int(labels.max(initial=0)), *numbers], default=0) + 1, bool)
    table[numbers] = True
    return table[np.maximum(labels, 0)] & (labels > 0)


def _append(file: Path, line: bytes) -> None:
    with open(file, "ab") as f:
        f.write(line)
        f.flush()
        os.fsync(f.fileno())


def _as_json(bead: Bead, in_map: bool) -> dict[str, Any]:
    facts = {"origin": bead.origin, "state": bead.state}
    facts["in_mask"] = in_map and bead.state in IN_MASK
    if bead.origin == MODEL:
        facts |= {"score": bead.score, "reason": bead.reason, "run": bead.run}
    if bead.by:
        facts["decided_by"] = bead.by
    if bead.edited:
        facts["edited"] = True
    return facts
