"""Beads as other programs draw them, and the pixels that they cover."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import shapely
from skimage import draw

CORNER = 0.5  # px, from the corner of the first pixel to its centre
_BEYOND = 1.0  # px beyond the image that outlines of its border reach
_CROSSED = 0.5  # px^2 by which an outline that crosses itself differs
_FAR = 1e7  # px
_ELLIPSE = 64  # points of its outline
_NAMED = 5  # beads in a line


class Shape(NamedTuple):
    """One bead. Places are f64[n, 2], (y, x) from the centre of the first pixel.

    `parts` of an "area" are lists of rings, of which those inside others are holes; of
    "pixels" or "points" there is one part of one array.
    """

    kind: str
    parts: list[list[np.ndarray]]
    number: int | None = None  # of its class
    name: str = ""  # of its class

    @property
    def has_class(self) -> bool:
        return bool(self.name) or self.number is not None

    @property
    def places(self) -> np.ndarray:
        return np.concatenate([ring for part in self.parts for ring in part])


class Drawing(NamedTuple):
    """What a file says of one image."""

    shapes: Sequence[Shape]
    size: tuple[int, int] | None = None  # of the image it was drawn on, if it says so
    notes: tuple[str, ...] = ()
    program: str = ""
    regions: Sequence[Shape] = ()  # in which beads were looked for


def area(*rings: np.ndarray) -> Shape:
    """A bead with an outline and holes, f64[n, 2] (y, x) from pixel centres."""
    return Shape("area", [list(rings)])


def point(y: float, x: float) -> Shape:
    """A bead of which the centre is known."""
    return Shape("points", [[np.array([[y, x]], float)]])


def pixels(mask: np.ndarray, top: int = 0, left: int = 0) -> Shape:
    """The pixels that are true in bool[h, w], which lies at (top, left)."""
    return Shape("pixels", [[np.argwhere(mask) + (top, left)]])


def ellipse(y: float, x: float, height: float, width: float) -> Shape:
    """The ellipse around (y, x) in a box of so many px."""
    angle = np.linspace(0, 2 * np.pi, _ELLIPSE, endpoint=False)
    rim = np.stack((np.sin(angle) * height, np.cos(angle) * width), 1) / 2
    return area(rim + (y, x))


def remarks(boxes: int) -> tuple[str, ...]:
    """A line on beads of which only boxes are known."""
    line = f"{boxes} boxes: beads are taken for the ellipses in them"
    return (line,) if boxes else ()


def of_classes(drawing: Drawing, classes: str | tuple[int | str, ...]) -> Drawing:
    """The shapes that are beads, and a line on what became of the others.

    Args:
      classes: numbers and names of those that are; of a text all are.
    """
    found = sorted({s.name or str(s.number) for s in drawing.shapes if s.has_class})
    notes = drawing.notes
    if isinstance(classes, str) or not found:
        if len(found) > 1:
            notes += (
                f"its objects are of classes {', '.join(found)}: all are read as "
                "beads; classes in beads.toml chooses",
            )
        return drawing._replace(notes=notes)
    names = {str(name).casefold() for name in classes}
    shapes = [
        shape
        for shape in drawing.shapes
        if shape.number in classes or shape.name.casefold() in names
    ]
    kept = sorted({shape.name or str(shape.number) for shape in shapes})
    if lost := [name for name in found if name not in kept]:
        notes += (
            f"objects of classes {', '.join(kept) or 'none'} are beads, those of "
            f"{', '.join(lost)} are left out",
        )
    return drawing._replace(shapes=shapes, notes=notes)


def draw_labels(drawing: Drawing, size: tuple[int, int]) -> np.ndarray:
    """i32[H, W]: shape n of the file has the number n, later ones lie on top.

    A point, and an area without the centre of a pixel, is the pixel that holds it.
    """
    labels = np.zeros(size, np.int32)
    for number, shape in enumerate(drawing.shapes, 1):
        if _is_far(shape) or shape.kind == "area" and _fill(labels, shape, number):
            continue
        places = shape.places
        if shape.kind == "area":
            places = places.mean(0)[None] if _area(shape) else places[:0]
        y, x = np.rint(np.clip(places, -1, size)).astype(int).T
        inside = (y >= 0) & (x >= 0) & (y < size[0]) & (x < size[1])
        labels[y[inside], x[inside]] = number
    return labels


def _is_far(shape: Shape) -> bool:
    """Whether it reaches where no image does: its numbers are damaged."""
    return bool((np.abs(shape.places) > _FAR).any())


def _fill(labels: np.ndarray, shape: Shape, number: int) -> bool:
    """Whether the area has pixels inside the image, which get its number."""
    places = shape.places
    if not len(places):
        return False
    low = np.clip(np.floor(places.min(0)), 0, labels.shape).astype(int)
    high = np.clip(np.ceil(places.max(0)) + 1, 0, labels.shape).astype(int)
    box = tuple(map(slice, low, high))
    inside = np.zeros(labels[box].shape, bool)
    for part in shape.parts:
        ring_inside = np.zeros_like(inside)
        for ring in part:
            ring_inside[draw.polygon(*(ring - low).T, inside.shape)] ^= True
        inside |= ring_inside
    labels[box][inside] = number
    return bool(inside.any())


def examine(
    drawing: Drawing, size: tuple[int, int], noun: str = "bead"
) -> tuple[str, ...]:
    """What a person should know of shapes on an image of `size`, a line each.

    `noun` is what a shape is called.

    Raises:
      ValueError: a place is no number, or more than half lie outside the image.
    """
    outside, cut, crossed, empty = [], [], [], []
    for number, shape in enumerate(drawing.shapes, 1):
        places = shape.places
        if not np.isfinite(places).all():
            raise ValueError(f"{noun} {number} has a place that is no number")
        if not len(places) or (shape.kind == "area" and not _area(shape)):
            empty.append(number)
            continue
        beyond = (places < -_BEYOND) | (places > np.array(size))
        before, after = places <= -CORNER, places >= np.array(size) - CORNER
        if (before.all(0) | after.all(0)).any() or _is_far(shape):
            outside.append(number)
        elif beyond.any():
            cut.append(number)
        if shape.kind == "area" and _crosses(shape):
            crossed.append(number)
    if empty and len(empty) == len(drawing.shapes):
        raise ValueError(f"none of its {noun}s encloses a pixel: draw them again")
    total, where = len(drawing.shapes), f"its image of {size[0]} x {size[1]} px"
    if 2 * len(outside) > total:
        raise ValueError(
            f"{_beads(noun, outside, total)} outside {where}: save them in pixels, "
            "not in um, and for this image"
        )
    lines = []
    if not total:
        lines.append("no bead in it: its image counts as one without beads")
    if outside:
        lines.append(f"{_beads(noun, outside, total)} outside {where}: left out")
    if cut:
        lines.append(
            f"{_beads(noun, cut, total)} partly outside {where}: cut at its border"
        )
    if crossed:
        verb = "crosses itself" if len(crossed) == 1 else "cross themselves"
        lines.append(
            f"{_beads(noun, crossed, total, verb)}: what is enclosed twice is left "
            "out, draw the outline again"
        )
    if empty:
        verb = "encloses" if len(empty) == 1 else "enclose"
        lines.append(f"{_beads(noun, empty, total, verb)} no pixel: empty, left out")
    return tuple(lines)


def _beads(noun: str, numbers: list[int], total: int, verb: str = "") -> str:
    """The beads of a line, and a verb for them."""
    verb = verb or ("lies" if len(numbers) == 1 else "lie")
    named = ", ".join(map(str, numbers[:_NAMED]))
    named += ", ..." if len(numbers) > _NAMED else ""
    if len(numbers) == 1:
        return f"{noun} {named} {verb}"
    return f"{len(numbers)} of {total} {noun}s ({named}) {verb}"


def _polygons(shape: Shape) -> Iterable[shapely.Polygon]:
    for ring in (ring for part in shape.parts for ring in part):
        if len(ring) > 2:
            yield shapely.Polygon(ring)


def _area(shape: Shape) -> float:
    """px^2, of rings that may cross themselves; holes count too."""
    return sum(p.area or shapely.make_valid(p).area for p in _polygons(shape))


def _crosses(shape: Shape) -> bool:
    """Whether an outline encloses something twice; it may touch itself."""
    return any(
        abs(shapely.make_valid(p).area - p.area) > _CROSSED
        for p in _polygons(shape)
        if not p.is_valid
    )
