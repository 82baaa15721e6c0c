"""A label map, what is known of each bead in it, and changes that can be taken back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import ndimage

Box = tuple[slice, slice]

# Where a bead comes from, and what became of it.
MANUAL, MODEL, DRAWN = "person", "model", "drawn"
KEPT, PROPOSED, ACCEPTED = "kept", "proposed", "accepted"
REJECTED, DELETED = "rejected", "deleted"
IN_MASK = (KEPT, ACCEPTED)


@dataclass(frozen=True)
class Bead:
    """One bead of a label map."""

    origin: str  # person, model or drawn
    state: str  # kept, proposed, accepted, rejected or deleted
    score: float | None = None  # expected precision, of a proposal
    reason: str = ""  # why it was proposed
    run: str = ""  # that proposed it
    by: str = ""  # who decided: "" a person, else the rule
    edited: bool = False  # its pixels were changed by a person since


class Change(NamedTuple):
    """What an action did: new pixels in a box, and beads before and after."""

    box: Box
    before: np.ndarray  # i32[h, w]
    after: np.ndarray  # i32[h, w]
    beads_before: dict[int, Bead | None]  # None: there was none
    beads_after: dict[int, Bead | None]
    focus: int | None = None  # the bead to look at afterwards
    threshold: float | None = None  # of the probability, that beads were redrawn at


class LabelMap:
    """Labels i32[H, W] and what is known of each: 0 is free, -1 unknown.

    Public attributes: `labels`, `beads` by their numbers, `boxes`, where those with
    pixels lie, `next_id`, the number of a new one.
    """

    def __init__(self, labels: np.ndarray, beads: Mapping[int, Bead]):
        self.labels, self.beads = labels, dict(beads)
        boxes = ndimage.find_objects(np.maximum(labels, 0))
        self.boxes: dict[int, Box] = {
            i + 1: box for i, box in enumerate(boxes) if box is not None
        }
        self.next_id = max(self.beads, default=0) + 1

    def near(self, y: float, x: float, most: int) -> list[int]:
        """The beads in the mask that are nearest to a place; cut ones are the last."""
        numbers = [n for n in self.boxes if self.beads[n].state in IN_MASK]
        ends = [[(s.start, s.stop) for s in self.boxes[n]] for n in numbers]
        ends = np.array(ends, float).reshape(-1, 2, 2)  # axis, start or stop
        cut = ((ends[..., 0] == 0) | (ends[..., 1] == self.labels.shape)).any(1)
        away = np.square(ends.mean(-1) - 0.5 - (y, x)).sum(1)
        return [numbers[i] for i in np.lexsort((away, cut))[:most]]

    def apply(self, change: Change) -> None:
        """Does a change."""
        self._put(change.box, change.after, change.beads_after)

    def revert(self, change: Change) -> None:
        """Takes the latest change back."""
        self._put(change.box, change.before, change.beads_before)

    def _put(self, box: Box, pixels: np.ndarray, beads: dict) -> None:
        touched = numbers_in(self.labels[box]) | numbers_in(pixels)
        self.labels[box] = pixels
        for number, bead in beads.items():
            if bead is None:
                self.beads.pop(number, None)
            else:
                self.beads[number] = bead
        self.next_id = max([self.next_id, *(n + 1 for n in beads)])
        inside = ndimage.find_objects(np.maximum(pixels, 0)) if touched else []
        for number in touched:
            here = inside[number - 1] if number <= len(inside) else None
            self._find(number, box, here)

    def _find(self, number: int, box: Box, inside: Box | None) -> None:
        """Looks where a bead is now: only its old place and `box` can hold it.

        `inside` is where it is in `box`, counted from its corner.
        """
        old = self.boxes.pop(number, box)
        sides = zip(old, box, strict=True)
        if all(b.start <= a.start and a.stop <= b.stop for a, b in sides):
            if inside is not None:
                self.boxes[number] = tuple(
                    slice(a.start + b.start, a.start + b.stop)
                    for a, b in zip(box, inside, strict=True)
                )
            return
        around = tuple(
            slice(min(a.start, b.start), max(a.stop, b.stop))
            for a, b in zip(old, box, strict=True)
        )
        here = self.labels[around] == number
        if here.any():
            self.boxes[number] = tuple(
                slice(a.start + int(where[0]), a.start + int(where[-1]) + 1)
                for a, where in zip(
                    around,
                    (np.flatnonzero(here.any(1)), np.flatnonzero(here.any(0))),
                    strict=True,
                )
            )


def numbers_in(labels: np.ndarray) -> set[int]:
    """The positive numbers in a label map; faster than np.unique on large ones."""
    counts = np.bincount(np.maximum(labels, 0).ravel())
    return set(np.flatnonzero(counts).tolist()) - {0}


def among(labels: np.ndarray, numbers: list[int]) -> np.ndarray:
    """Where labels are among numbers, by a table: faster than np.isin on large maps."""
    table = np.zeros(max([int(labels.max(initial=0)), *numbers], default=0) + 1, bool)
    table[numbers] = True
    return table[np.maximum(labels, 0)] & (labels > 0)
