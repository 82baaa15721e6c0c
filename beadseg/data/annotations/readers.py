"""Labels of other programs as labels of their image: one table of readers.

Such a file says little of its image and is drawn on the grid of that.
"""

import functools
import logging
import math
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml
from roifile import ROI_SUBTYPE, ROI_TYPE, ImagejRoi

from beadseg.data.annotations import json_files, tables
from beadseg.data.annotations.finding import NAMES_OF_CLASSES
from beadseg.data.annotations.shapes import (
    CORNER,
    Drawing,
    Shape,
    area,
    draw_labels,
    ellipse,
    examine,
    of_classes,
    point,
    remarks,
)
from beadseg.data.annotations.text import LARGEST, read_text
from beadseg.data.images.reading import PageRef, ReadError, file_stem, open_pages
from beadseg.errors import note
from beadseg.quoting import counted, of_other_size, printable, reason_of

# roifile tells its log of damage, once a field; here a line tells of the file.
logging.getLogger("roifile").setLevel(logging.CRITICAL + 1)

_LINES = (ROI_TYPE.LINE, ROI_TYPE.FREELINE, ROI_TYPE.POLYLINE, ROI_TYPE.ANGLE)
_ENCRYPTED = 1  # flag of a file in a zip
_WORDS = (ROI_SUBTYPE.TEXT, ROI_SUBTYPE.ARROW, ROI_SUBTYPE.IMAGE)


@dataclass(frozen=True)
class VectorPage(PageRef):
    """The one page of such a file, on the grid of its image."""

    drawing: Drawing = field(repr=False, default=Drawing(()))

    def read(self) -> np.ndarray:
        """Returns labels i32[H, W]: 0 where nothing is drawn, later beads on top."""
        return draw_labels(self.drawing, self.shape)

    read_stored = read


def open_vector(
    path: Path, image: Path | None, classes: str | tuple[int | str, ...] = "auto"
) -> list[PageRef]:
    """Lists the page of a file whose ending is one of `READERS`.

    Args:
      classes: which of its objects are beads, see `shapes.of_classes`.

    Raises:
      ReadError: there is no image of its name, or one of several pages; the file is
        damaged, of another program, or what it says lies outside the image.
    """
    if image is None:
        raise ReadError(f"{path}: no image of this name in images/")
    pages = open_pages(image)
    if len(pages) > 1:
        raise ReadError(
            f"{path}: its image has {counted(len(pages), 'page')}, and outlines are "
            "for one: convert them to a label image with as many pages"
        )
    return [_vector_page(path, pages[0], file_stem(image), classes=classes)]


def draw_vector(path: Path, page: PageRef) -> np.ndarray:
    """What such a file draws on the grid of a page: i32[H, W]; raises `ReadError`.

    Of QuPath's objects the annotations, where there are some beside detections.
    """
    vector = _vector_page(path, page, page.name, "region")
    for line in vector.notes:
        _say_once(f"{path}: {line}")
    if vector.shape != page.shape:
        sizes = of_other_size(vector.shape, page.shape)
        raise ReadError(f"{path}: {sizes}: draw it on the image")
    return vector.read()


@functools.lru_cache
def _say_once(line: str) -> None:
    """One file may be the region of many images."""
    note(line)


def _vector_page(
    path: Path,
    page: PageRef,
    name: str,
    noun: str = "bead",
    classes: str | tuple[int | str, ...] = "auto",
) -> VectorPage:
    of_many = name not in path.name and noun == "bead"
    which = f"{name}: " if of_many else ""  # of a file of many images
    try:
        drawing = READERS[path.suffix.lower()].read(path, page)
        size = drawing.size or page.shape
        if noun == "region":
            if drawing.regions:
                drawing = drawing._replace(shapes=drawing.regions, notes=())
            if any(shape.kind == "points" for shape in drawing.shapes):
                raise ValueError("a point encloses nothing: draw areas as regions")
            if not drawing.shapes:
                raise ValueError("no region in it, it is empty: draw one")
        else:
            drawing = of_classes(drawing, classes)
        notes = [*drawing.notes, *examine(drawing, size, noun)]
    except Exception as error:  # parsers raise anything on damaged files
        reason = reason_of(error, most=400)  # its own words, too
        if isinstance(error, (KeyError, TypeError, AttributeError, IndexError)):
            reason = f"it is damaged or of another kind ({reason})"
        remedy = "" if ":" in reason else ": export it again"
        raise ReadError(printable(f"{path}: {which}{reason}{remedy}")) from error
    notes = tuple(f"{which}{note}" for note in notes)
    return VectorPage(path, 0, name, size, None, notes, kind="beads", drawing=drawing)


def _imagej(path: Path, page: PageRef) -> Drawing:
    """ROIs of ImageJ; lines are no beads."""
    if path.suffix.lower() == ".roi":
        contents = [path.read_bytes()]
    else:
        with zipfile.ZipFile(path) as archive:
            inside = [i for i in archive.infolist() if i.filename.endswith(".roi")]
            if any(info.flag_bits & _ENCRYPTED for info in inside):
                raise ValueError("it is encrypted: save it without a password")
            if not inside and archive.infolist():
                raise ValueError("it is no set of ImageJ ROIs")
            if max((i.file_size for i in inside), default=0) > LARGEST:
                raise ValueError("it is no set of ImageJ ROIs")
            contents = [archive.read(info) for info in inside]
    try:
        rois = [ImagejRoi.frombytes(content) for content in contents]
    except Exception as error:  # of any damage
        reason = f"it is no ROI of ImageJ, or cut short ({error})"
        raise ValueError(f"{reason}: export it again") from error
    kept = [
        roi for roi in rois if roi.roitype not in _LINES and roi.subtype not in _WORDS
    ]
    notes = ()
    if len(kept) < len(rois):
        notes = (
            f"{len(rois) - len(kept)} of {len(rois)} ROIs are lines or words: left out",
        )
    shapes = [shape for roi in kept for shape in _of_roi(roi)]
    return Drawing(shapes, None, notes, "ImageJ")


def _of_roi(roi: ImagejRoi) -> Iterator[Shape]:
    rings = [np.asarray(c, float)[:, ::-1] for c in roi.coordinates(multi=True)]
    if roi.roitype == ROI_TYPE.POINT:
        for place in np.concatenate(rings):
            yield point(*np.floor(place))
    else:
        yield area(*(ring - CORNER for ring in rings))


def _text(path: Path, page: PageRef) -> Drawing:
    """YOLO has a class and 4 or more numbers in a line; else it is a table."""
    lines = [line.split() for line in read_text(path).splitlines() if line.strip()]
    if not lines:  # YOLO has such a file for an image without objects
        return Drawing([], None, (), "YOLO")
    if not (len(lines[0]) > 4 and _is_number(lines[0][0])):
        return tables.read_table(path, page)
    file = names_of_classes(path)
    return _yolo(lines, page, _names_in(file) if file else {})


def names_of_classes(path: Path) -> Path | None:
    """The file that gives the classes of YOLO names, near `path` or above its split.

    A name a line, the first that of class 0; or `names` in the YAML of a data set.
    """
    files = [folder / name for folder in path.parents[:3] for name in NAMES_OF_CLASSES]
    return next((file for file in files if file != path and file.is_file()), None)


def _names_in(file: Path) -> dict[int, str]:
    """The names of classes by their numbers."""
    text = read_text(file)
    if file.suffix not in (".yaml", ".yml"):
        return dict(enumerate(line.strip() for line in text.splitlines()))
    try:
        names = yaml.safe_load(text).get("names") or {}
        names = names if isinstance(names, dict) else dict(enumerate(names))
        return {int(number): str(name) for number, name in names.items()}
    except (yaml.YAMLError, AttributeError, TypeError, ValueError) as error:
        raise ValueError(
            f"{file.name}, which should name its classes, is damaged ({error}): put it "
            "right or take it away"
        ) from error


def _yolo(lines: list[list[str]], page: PageRef, names: dict[int, str]) -> Drawing:
    """Boxes (class, middle, size, perhaps a score) and polygons, as shares of a side.

    A bead in a box is taken for the ellipse in it.
    """
    shapes, boxes = [], 0
    for number, line in enumerate(lines, 1):
        if len(line) < 5 or not all(map(_is_number, line)):
            raise ValueError(f"line {number} is no box and no polygon of YOLO")
        kind, *values = map(float, line)
        values = values[:4] if len(values) == 5 else values
        if max(values) > 2 or min(values) < -1:
            raise ValueError(
                f"line {number}: YOLO counts in shares of the image, from 0 to 1: "
                "export it again"
            )
        pairs = values[: len(values) // 2 * 2]  # of a polygon, without a score
        places = np.reshape(pairs, (-1, 2))[:, ::-1] * page.shape
        if len(values) == 4:
            boxes += 1
            shapes.append(ellipse(*(places[0] - CORNER), *places[1]))
        else:
            shapes.append(area(places - CORNER))
        name = names.get(int(kind), "")
        shapes[-1] = shapes[-1]._replace(number=int(kind), name=name)
    return Drawing(shapes, None, remarks(boxes), "YOLO")


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


TEST = "tests/data/annotations/test_other_programs.py"


class Reader(NamedTuple):
    """One row of the table."""

    programs: str
    read: Callable[[Path, PageRef], Drawing]
    library: str = ""  # that parses it; "": a few lines here
    test: str = TEST


# By ending, those that come first in order of preference.
READERS: dict[str, Reader] = {
    ".zip": Reader(
        *("ImageJ RoiSet", _imagej, "roifile"),
        test="tests/data/annotations/test_label_readers.py",
    ),
    ".roi": Reader("ImageJ ROI", _imagej, "roifile"),
    ".geojson": Reader("QuPath GeoJSON", json_files.read_json),
    ".json": Reader(
        *("COCO, labelme or GeoJSON", json_files.read_json),
        test="tests/data/annotations/test_coco.py",
    ),
    ".txt": Reader("YOLO, or a table of centres", _text),
    ".csv": Reader("table of centres: ImageJ, TrackMate, napari", tables.read_table),
    ".tsv": Reader("table of centres", tables.read_table),
}
