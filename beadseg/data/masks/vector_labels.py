"""Beads as outlines or points: ImageJ ROIs, GeoJSON of QuPath, tables of centres.

Such a file says nothing of the size of its image, and is drawn on the grid of that.
"""

import csv
import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from roifile import ROI_TYPE, ImagejRoi
from skimage import draw

from beadseg.data.images.reading import PageRef, ReadError, file_stem, open_pages

_CORNER = 0.5  # px, from the corner of the first pixel to its centre
_POINTS = (ROI_TYPE.POINT,)
_COLUMNS = (("X", "Y"), ("x", "y"), ("axis-1", "axis-0"))  # ImageJ, beadseg, napari
_LARGEST = 2**28  # bytes of one unpacked ROI, or of a text
# A shape is its rings and whether they bound an area, f64[n, 2] (y, x) from the centre
# of the first pixel; of an area rings inside rings are holes.
Shape = tuple[list[np.ndarray], bool]


@dataclass(frozen=True)
class VectorPage(PageRef):
    """The one page of such a file, on the grid of its image."""

    def read(self) -> np.ndarray:
        """Returns labels i32[H, W]: 0 where nothing is drawn, later beads on top.

        Raises:
          ReadError: the file is damaged, or what it says lies outside the image.
        """
        try:
            return draw_labels(READERS[self.path.suffix.lower()](self.path), self.shape)
        except Exception as error:  # parsers raise anything on damaged files
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ReadError(f"{self.path}: {reason}; export it again") from error

    read_stored = read


def open_vector(path: Path, image: Path | None) -> list[PageRef]:
    """Lists the page of a file whose ending is one of `READERS`.

    Raises:
      ReadError: there is no image of its name, or one of several pages.
    """
    if image is None:
        raise ReadError(f"{path}: no image of this name in images/")
    pages = open_pages(image)
    if len({page.shape for page in pages}) > 1 or len(pages) > 1:
        raise ReadError(
            f"{path}: its image has {len(pages)} pages, and outlines are for one: "
            "convert them to a label image with as many pages"
        )
    page = pages[0]
    return [VectorPage(path, 0, file_stem(path), page.shape, None, ())]


def draw_labels(shapes: Iterator[Shape], size: tuple[int, int]) -> np.ndarray:
    """i32[H, W] of shapes 1..N; a point is the pixel that holds it.

    Raises:
      ValueError: a shape lies outside.
    """
    labels = np.zeros(size, np.int32)
    for number, (rings, area) in enumerate(shapes, 1):
        points = np.concatenate(rings)
        beyond = (points < -1) | (points > np.array(size))
        if not np.isfinite(points).all() or beyond.all(0).any():
            raise ValueError(
                f"bead {number} lies outside its image of {size[0]} x {size[1]} px: "
                "save it in pixels, not in um"
            )
        if not area:
            y, x = np.rint(points).astype(int).T
            labels[np.clip(y, 0, size[0] - 1), np.clip(x, 0, size[1] - 1)] = number
            continue
        inside = np.zeros(size, bool)
        for ring in rings:
            inside[draw.polygon(*ring.T, size)] ^= True
        labels[inside] = number
    return labels


def _imagej(path: Path) -> Iterator[Shape]:
    if path.suffix.lower() == ".roi":
        contents = [path.read_bytes()]
    else:
        with zipfile.ZipFile(path) as archive:
            inside = [i for i in archive.infolist() if i.filename.endswith(".roi")]
            if not inside or max(i.file_size for i in inside) > _LARGEST:
                raise ValueError("it is no set of ImageJ ROIs")
            contents = [archive.read(info) for info in inside]
    for content in contents:
        roi = ImagejRoi.frombytes(content)
        rings = [np.asarray(c, float)[:, ::-1] for c in roi.coordinates(multi=True)]
        if roi.roitype in _POINTS:
            for point in np.concatenate(rings):
                yield [np.floor(point)[None]], False
        else:
            yield [ring - _CORNER for ring in rings], True


def _geojson(path: Path) -> Iterator[Shape]:
    if path.stat().st_size > _LARGEST:
        raise ValueError("it is too large")
    content = json.loads(path.read_text("utf-8"))
    if isinstance(content, dict):
        content = content.get("features", [content])
    for feature in content:
        geometry = feature.get("geometry", feature)
        kind, places = geometry["type"], geometry["coordinates"]
        if kind in ("Point", "MultiPoint"):
            for place in [places] if kind == "Point" else places:
                yield [np.floor(_ring([place]) + _CORNER)], False
        elif kind in ("Polygon", "MultiPolygon"):
            parts = [places] if kind == "Polygon" else places
            yield [_ring(ring) for part in parts for ring in part], True
        else:
            raise ValueError(f"a {kind} is no bead: convert it to a Polygon or Point")


def _ring(places: list) -> np.ndarray:
    return np.array([place[:2] for place in places], float)[:, ::-1] - _CORNER


def _table(path: Path) -> Iterator[Shape]:
    """Centres: X and Y as ImageJ counts, from the corner; else from pixel centres."""
    with path.open(newline="", encoding="utf-8-sig") as lines:
        table = csv.DictReader(lines)
        names = [pair for pair in _COLUMNS if {*pair} <= {*(table.fieldnames or ())}]
        if not names:
            known = ", or ".join(" and ".join(pair) for pair in _COLUMNS)
            raise ValueError(f"it has no columns {known}")
        x, y = names[0]
        for row in table:
            point = np.array([[float(row[y]), float(row[x])]])
            yield [np.floor(point) if x == "X" else point], False


# By ending, those that come first in order of preference.
READERS: dict[str, Callable[[Path], Iterator[Shape]]] = {
    ".zip": _imagej,
    ".roi": _imagej,
    ".geojson": _geojson,
    ".csv": _table,
}
