"""What can be done to a label map, as pure functions of it: each gives a change.

A change can be taken back exactly. Nothing here draws over a bead that somebody
labelled: new pixels are taken from the background, and from proposals on which nobody
has decided.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import ndimage
from skimage.draw import ellipse as draw_ellipse

from beadseg.errors import BeadsegError
from beadseg.partial.review.label_map import (
    ACCEPTED,
    DELETED,
    DRAWN,
    IN_MASK,
    KEPT,
    MODEL,
    PROPOSED,
    REJECTED,
    Bead,
    Box,
    Change,
    LabelMap,
    among,
    numbers_in,
)
from beadseg.partial.review.strokes import stroke_pixels
from beadseg.partial.review.thresholds import LEAST, MOST, Extents

BY_THRESHOLD = "threshold"  # whose decision it was
_COVERED = 0.5  # of a proposal: drawn over that far, it is the same bead


def decide(beads: LabelMap, proposals: np.ndarray, action: Mapping[str, Any]) -> Change:
    """Accepts or rejects proposals, or puts them back among the undecided.

    Rejected ones leave the map; those that come back take the pixels that are free.
    """
    state = {"accept": ACCEPTED, "reject": REJECTED, "reopen": PROPOSED}[action["do"]]
    numbers = _numbers(action, "ids")
    after = {}
    for number in numbers:
        bead = _bead(beads, number)
        if bead.origin != MODEL:
            raise BeadsegError(f"bead {number} is no proposal of a model")
        after[number] = replace(bead, state=state, by=str(action.get("by", "")))
    if state == REJECTED:
        return _renumber(beads, numbers, 0, after, numbers[-1])
    gone = [n for n in numbers if n not in beads.boxes]  # others stay as they are
    box = _around(_boxes_of(proposals, gone))
    pixels = beads.labels[box].copy()
    back = np.isin(proposals[box], gone) & (pixels == 0)
    pixels[back] = proposals[box][back]
    for number in gone:
        if not (pixels == number).any():
            raise BeadsegError(f"proposal {number}: another bead is there now")
    return _change(beads, box, pixels, after, numbers[-1])


def draw(beads: LabelMap, proposals: np.ndarray, action: Mapping[str, Any]) -> Change:
    """A new bead: an ellipse around y, x with radii and a turn (radians)."""
    y, x, down, right, turn = (
        number_of(action, name, default)
        for name, default in (
            *(("y", None), ("x", None), ("ry", None), ("rx", None)),
            ("turn", 0.0),
        )
    )
    if not (0.5 <= down <= 1e4 and 0.5 <= right <= 1e4):
        raise BeadsegError("a bead needs radii of half a pixel or more")
    rows, columns = draw_ellipse(
        y, x, down, right, shape=beads.labels.shape, rotation=-turn
    )
    return _fill(beads, rows, columns, None)


def paint(beads: LabelMap, proposals: np.ndarray, action: Mapping[str, Any]) -> Change:
    """A stroke of the brush or, with `erase`, of the eraser, on a bead.

    The brush without `id` makes a new bead.
    """
    radius = number_of(action, "radius")
    if not 0.5 <= radius <= 500:
        raise BeadsegError("the brush is half a pixel to 500 px in radius")
    stroke = stroke_pixels(action.get("points"), radius, beads.labels.shape)
    number = action.get("id")
    if number is not None:
        number = _numbers({"ids": [number]}, "ids")[0]
        _bead(beads, number)
    if not action.get("erase"):
        return _fill(beads, *np.nonzero(stroke), number)
    if number not in beads.boxes:
        raise BeadsegError("choose the bead to erase from")
    box = beads.boxes[number]
    pixels = beads.labels[box].copy()
    pixels[stroke[box] & (pixels == number)] = 0
    bead = beads.beads[number]
    if (pixels == number).any():
        after = {number: replace(bead, edited=True)}
        return _change(beads, box, pixels, after, number)
    return _change(beads, box, pixels, {number: _taken_out(bead)}, None)


def split(beads: LabelMap, proposals: np.ndarray, action: Mapping[str, Any]) -> Change:
    """Cuts a bead along the line from y0, x0 to y1, x1; the smaller part is new."""
    number = _numbers({"ids": [action.get("id")]}, "ids")[0]
    bead, box = _bead(beads, number), beads.boxes.get(number)
    y0, x0, y1, x1 = (number_of(action, name) for name in ("y0", "x0", "y1", "x1"))
    if box is None:
        raise BeadsegError(f"bead {number} is not in the mask")
    pixels = beads.labels[box].copy()
    y, x = np.mgrid[box]
    beyond = (x1 - x0) * (y - y0) - (y1 - y0) * (x - x0) > 0
    own = pixels == number
    part = own & beyond
    if 2 * part.sum() > own.sum():
        part = own & ~beyond
    if not part.any():
        raise BeadsegError("the line does not cut the bead")
    pixels[part] = beads.next_id
    new = Bead(DRAWN, KEPT if bead.state in IN_MASK else bead.state, edited=True)
    if bead.state == PROPOSED:  # to mend a proposal is to believe in it
        bead, new = replace(bead, state=ACCEPTED), replace(new, state=KEPT)
    after = {number: replace(bead, edited=True), beads.next_id: new}
    return _change(beads, box, pixels, after, number)


def merge(beads: LabelMap, proposals: np.ndarray, action: Mapping[str, Any]) -> Change:
    """Makes beads one: the first keeps its number, the others are gone."""
    numbers = list(dict.fromkeys(_numbers(action, "ids")))
    if len(numbers) < 2 or not beads.boxes.keys() >= set(numbers):
        raise BeadsegError("choose two beads or more of the mask to merge")
    first, *others = numbers
    bead = _bead(beads, first)
    state = ACCEPTED if bead.state == PROPOSED else bead.state
    after = {first: replace(bead, edited=True, state=state)}
    after |= {number: _taken_out(_bead(beads, number)) for number in others}
    return _renumber(beads, numbers, first, after, first)


def delete(beads: LabelMap, proposals: np.ndarray, action: Mapping[str, Any]) -> Change:
    """Takes beads out of the mask, whoever labelled them."""
    numbers = _numbers(action, "ids")
    after = {number: _taken_out(_bead(beads, number)) for number in numbers}
    return _renumber(beads, numbers, 0, after, None)


def redraw(beads: LabelMap, extents: Extents, action: Mapping[str, Any]) -> Change:
    """Lets the beads that a model found end at another `threshold`.

    Those that a person has drawn, edited or deleted stay as they are.
    """
    threshold = threshold_of(action)
    numbers = redrawable(beads)
    pixels = redrawn(beads.labels, extents.labels(threshold), numbers)
    left = numbers_in(pixels)
    after = {}
    for number in numbers:
        bead = beads.beads[number]
        state = ACCEPTED if number in left else REJECTED
        if state != bead.state:
            after[number] = replace(bead, state=state, by=BY_THRESHOLD)
    whole = tuple(slice(0, size) for size in pixels.shape)
    change = _change(beads, whole, pixels, after, None)
    return change._replace(threshold=threshold)


def redrawable(beads: LabelMap) -> list[int]:
    """The beads that a threshold draws: found by a model, and left to it."""
    return [
        number
        for number, bead in beads.beads.items()
        if bead.origin == MODEL
        and not bead.edited
        and (bead.state == ACCEPTED or bead.by == BY_THRESHOLD)
    ]


def redrawn(labels: np.ndarray, new: np.ndarray, numbers: list[int]) -> np.ndarray:
    """A label map, or a part of it, with beads as `new` has them where it is free."""
    old = among(labels, numbers)
    free = (old | (labels == 0)) & among(new, numbers)
    return np.where(free, new, np.where(old, 0, labels))


def threshold_of(action: Mapping[str, Any]) -> float:
    """The threshold of an action; raises BeadsegError where it is none."""
    threshold = number_of(action, "threshold")
    if not LEAST <= threshold <= MOST:
        raise BeadsegError(f"the threshold is a number from {LEAST} to {MOST}")
    return threshold


ACTIONS: dict[str, Callable[[LabelMap, np.ndarray, Mapping[str, Any]], Change]] = {
    "accept": decide,
    "reject": decide,
    "reopen": decide,
    "draw": draw,
    "paint": paint,
    "split": split,
    "merge": merge,
    "delete": delete,
}


# What an action may say, beside what to do.
FIELDS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("accept", "reject", "reopen"), ("ids", "by")),
    "draw": ("y", "x", "ry", "rx", "turn"),
    "paint": ("id", "points", "radius", "erase"),
    "split": ("id", "y0", "x0", "y1", "x1"),
    **dict.fromkeys(("merge", "delete"), ("ids",)),
    "reviewed": ("value",),
    "redraw": ("threshold",),
    **dict.fromkeys(("undo", "redo"), ()),
}


def _fill(beads: LabelMap, rows, columns, number: int | None) -> Change:
    """Gives a bead (a new one: None) the pixels that are free or merely proposed."""
    if not len(rows):
        raise BeadsegError("that lies outside the image")
    box = tuple(slice(int(n.min()), int(n.max()) + 1) for n in (rows, columns))
    new = number is None
    number = beads.next_id if new else number
    inside = beads.labels[box]
    proposed = [
        n
        for n in numbers_in(inside)
        if n != number and beads.beads[n].state == PROPOSED
    ]
    wanted = np.zeros(beads.labels.shape, bool)
    wanted[rows, columns] = True
    taken = wanted[box] & ((inside == 0) | among(inside, proposed))
    if not (taken.any() or (wanted[box] & (inside == number)).any()):
        raise BeadsegError("there is no free pixel: other beads are there")
    lost = np.bincount(inside[taken], minlength=max(proposed, default=0) + 1)
    covered = []
    for other in proposed:
        whole = int((beads.labels[beads.boxes[other]] == other).sum())
        if lost[other] and lost[other] >= _COVERED * whole:
            covered.append(other)
    # What is left of them goes too.
    box = _around([box, *(beads.boxes[n] for n in covered)])
    pixels = beads.labels[box].copy()
    taken = wanted[box] & ((pixels == 0) | among(pixels, proposed))
    pixels[among(pixels, covered)] = 0
    pixels[taken] = number
    after = {n: replace(beads.beads[n], state=REJECTED, by="drawn") for n in covered}
    if new:
        after[number] = Bead(DRAWN, KEPT)
    else:
        bead = beads.beads[number]
        state = {PROPOSED: ACCEPTED, REJECTED: ACCEPTED, DELETED: KEPT}
        state = state.get(bead.state, bead.state)
        after[number] = replace(bead, edited=True, state=state)
    return _change(beads, box, pixels, after, number)


def _taken_out(bead: Bead) -> Bead:
    """A bead that a person has taken out of the mask."""
    return replace(
        bead, state=REJECTED if bead.origin == MODEL else DELETED, edited=True
    )


def _renumber(beads: LabelMap, numbers, number: int, after: dict, focus) -> Change:
    """Gives all pixels of some beads another number, or 0."""
    box = _around([beads.boxes[n] for n in numbers if n in beads.boxes])
    pixels = beads.labels[box].copy()
    pixels[np.isin(pixels, numbers)] = number
    return _change(beads, box, pixels, after, focus)


def _change(beads: LabelMap, box: Box, pixels, after: dict, focus) -> Change:
    """A change that is kept to be undone: no larger than what it changes."""
    before = {number: beads.beads.get(number) for number in after}
    changed = beads.labels[box] != pixels
    lines = [np.flatnonzero(changed.any(axis)) for axis in (1, 0)]
    inner = tuple(
        slice(int(n[0]), int(n[-1]) + 1) if len(n) else slice(0) for n in lines
    )
    box = tuple(
        slice(outer.start + part.start, outer.start + part.stop)
        if part.stop
        else slice(0, 0)
        for outer, part in zip(box, inner, strict=True)
    )
    old = beads.labels[box].copy()
    return Change(box, old, pixels[inner].copy(), before, after, focus)


def _bead(beads: LabelMap, number: int) -> Bead:
    if number not in beads.beads:
        raise BeadsegError(f"there is no bead {number}")
    return beads.beads[number]


def _boxes_of(labels: np.ndarray, numbers: list[int]) -> list[Box]:
    found = ndimage.find_objects(labels) if numbers else []
    for number in numbers:
        if number > len(found) or found[number - 1] is None:
            raise BeadsegError(f"proposal {number} has no pixel")
    return [found[number - 1] for number in numbers]


def _around(boxes: list[Box]) -> Box:
    if not boxes:
        return slice(0, 0), slice(0, 0)
    return tuple(
        slice(min(b[axis].start for b in boxes), max(b[axis].stop for b in boxes))
        for axis in range(2)
    )


def _numbers(action: Mapping[str, Any], name: str) -> list[int]:
    given = action.get(name)
    if (
        not isinstance(given, list)
        or not given
        or not all(type(n) is int for n in given)
    ):
        raise BeadsegError(f"{action.get('do', 'this')}: give the numbers of beads")
    return given


def number_of(
    action: Mapping[str, Any], name: str, default: float | None = None
) -> float:
    """A number of an action; raises BeadsegError where it is none."""
    value = action.get(name, default)
    if type(value) not in (int, float) or not abs(value) <= 1e6:
        raise BeadsegError(f"{action.get('do', 'this')}: {name} must be a number")
    return float(value)
