"""JSON of one image: GeoJSON of QuPath and labelme; COCO has a module of its own."""

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from beadseg.data.annotations import coco
from beadseg.data.annotations.shapes import (
    CORNER,
    Drawing,
    Shape,
    area,
    ellipse,
    pixels,
    point,
)
from beadseg.data.annotations.text import read_content
from beadseg.data.images.reading import PageRef

_DETECTED = ("detection", "cell", "tile")  # objects of QuPath, beside annotations


def read_json(path: Path, page: PageRef) -> Drawing:
    """What a JSON file says of an image.

    Raises:
      ValueError: it is damaged, or of another program.
    """
    content = read_content(path)
    if coco.is_coco(content):
        return coco.read_coco(path, page)
    if isinstance(content, dict) and "shapes" in content:
        return _labelme(content)
    features = content
    if isinstance(content, dict):
        features = content.get("features", [content] if "type" in content else None)
    if not isinstance(features, list):
        raise ValueError("it is no COCO, labelme or GeoJSON file")
    return _geojson(features)


def _geojson(features: list[dict[str, Any]]) -> Drawing:
    """Where QuPath has detected objects, its annotations are the regions of them."""
    kinds = [(f.get("properties") or {}).get("objectType", "") for f in features]
    notes, around = (), []
    if set(kinds) & set(_DETECTED) and "annotation" in kinds:
        pairs = [*zip(features, kinds, strict=True)]
        around = [feature for feature, kind in pairs if kind == "annotation"]
        features = [feature for feature, kind in pairs if kind != "annotation"]
        notes = (f"{len(around)} annotations beside detections are regions: left out",)
    shapes, regions = (
        [shape for feature in some for shape in _feature(feature)]
        for some in (features, around)
    )
    return Drawing(shapes, None, notes, "GeoJSON", regions)


def _feature(feature: dict[str, Any]) -> Iterator[Shape]:
    geometry = feature.get("geometry", feature)
    if geometry is None:  # an object without a place
        yield Shape("area", [[np.zeros((0, 2))]])
        return
    kind, places = geometry["type"], geometry["coordinates"]
    if kind in ("Point", "MultiPoint"):
        for place in [places] if kind == "Point" else places:
            yield point(*np.floor(_ring([place])[0] + CORNER))
    elif kind in ("Polygon", "MultiPolygon"):
        parts = [places] if kind == "Polygon" else places
        yield Shape("area", [[_ring(ring) for ring in part] for part in parts])
    else:
        raise ValueError(
            f"a {kind} is no bead and no region: convert it to a Polygon or Point"
        )


def _ring(places: list) -> np.ndarray:
    ring = np.array([place[:2] for place in places], float).reshape(-1, 2)
    return ring[:, ::-1] - CORNER


def _labelme(content: dict[str, Any]) -> Drawing:
    """Shapes of one group are one bead."""
    shapes: list[Shape] = []
    groups: dict[Any, int] = {}
    lines = 0
    for number, one in enumerate(content["shapes"], 1):
        found = _drawn(one, number)
        lines += not found
        key = one.get("group_id"), one.get("label")
        joined = key in groups and all(s.kind == "area" for s in found)
        if joined and shapes[groups[key]].kind == "area":
            place = groups[key]
            more = [part for shape in found for part in shape.parts]
            shapes[place] = shapes[place]._replace(parts=shapes[place].parts + more)
            continue
        if key[0] is not None and found:
            groups[key] = len(shapes)
        name = str(one.get("label") or "")
        shapes += [shape._replace(name=name) for shape in found]
    size = content.get("imageHeight"), content.get("imageWidth")
    notes = (f"{lines} shapes are lines: left out",) if lines else ()
    size = size if all(size) else None
    return Drawing(shapes, size, notes, "labelme")


def _drawn(one: dict[str, Any], number: int) -> list[Shape]:
    """The beads of a shape of labelme: none of a line, one or several of points."""
    places = _ring(one["points"])
    match one.get("shape_type", "polygon"):
        case "polygon" | "oriented_rectangle":
            return [area(places)]
        case "rectangle":
            (top, left), (bottom, right) = places.min(0), places.max(0)
            return [area(np.array(_box(top, left, bottom, right)))]
        case "circle":
            across = 2 * float(np.hypot(*(places[1] - places[0])))
            return [ellipse(*places[0], across, across)]
        case "point" | "points":
            return [point(*np.floor(place + CORNER)) for place in places]
        case "mask":
            with Image.open(io.BytesIO(base64.b64decode(one["mask"]))) as picture:
                mask = np.asarray(picture) > 0
            top, left = np.rint(places[0] + CORNER).astype(int)
            return [pixels(mask, top, left)]
        case "line" | "linestrip":
            return []
        case kind:
            raise ValueError(f"shape {number}: a {kind} of labelme is no bead")


def _box(top: float, left: float, bottom: float, right: float) -> list:
    return [(top, left), (top, right), (bottom, right), (bottom, left)]
