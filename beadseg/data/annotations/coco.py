"""COCO: the annotations of many images in one file, with polygons or run lengths.

Lin et al. 2014, Microsoft COCO: Common Objects in Context; the run lengths as
pycocotools writes them.
"""

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from beadseg.data.annotations.shapes import CORNER, Drawing, Shape, ellipse, remarks
from beadseg.data.annotations.text import read_content
from beadseg.data.cache import once_a_file
from beadseg.data.images.reading import PageRef, file_stem


class CocoFile(NamedTuple):
    """The images of a COCO file by the stems of their names, and their annotations."""

    images: dict[str, dict[str, Any]]
    annotations: dict[Any, list[dict[str, Any]]]  # by the id of the image
    twice: tuple[str, ...]  # names that several images have
    names: dict[Any, str]  # of classes, by their ids


def is_coco(content: Any) -> bool:
    return isinstance(content, dict) and {"images", "annotations"} <= content.keys()


@once_a_file(2)
def read_coco_file(path: Path) -> CocoFile | None:
    """What a file says of its images; None: it is no COCO file.

    Raises:
      ValueError: it is damaged.
      OSError: it cannot be read.
    """
    content = read_content(path)
    if not is_coco(content):
        return None
    try:
        stems = [stem_in(image["file_name"]) for image in content["images"]]
        images = dict(zip(reversed(stems), reversed(content["images"]), strict=True))
        annotations = defaultdict(list)
        for one in content["annotations"]:
            annotations[one["image_id"]].append(one)
        classes = content.get("categories") or ()
        names = {one["id"]: str(one.get("name", "")) for one in classes}
    except (TypeError, AttributeError, KeyError) as error:
        raise ValueError(f"no COCO file: damaged ({error})") from error
    twice = tuple(stem for stem, count in Counter(stems).items() if count > 1)
    return CocoFile(images, dict(annotations), twice, names)


def stem_in(name: str) -> str:
    """The stem of a file that is named with its folders, with / or with a backslash."""
    return file_stem(Path(str(name).replace("\\", "/").rpartition("/")[2]))


def read_coco(path: Path, page: PageRef) -> Drawing:
    """The beads of one image.

    Objects marked as crowds are beads too: CVAT marks all that have run lengths. One
    with a box only is the ellipse in it.

    Raises:
      ValueError: the image is not in the file, or what is said of it is damaged.
    """
    coco = read_coco_file(path)
    name = file_stem(page.path)
    image = coco.images.get(name)
    if image is None and len(coco.images) == 1:
        image = next(iter(coco.images.values()))
    if image is None:
        raise ValueError(f"it holds no image {name}: name it as the image in the file")
    size = None
    if image.get("height") and image.get("width"):
        size = int(image["height"]), int(image["width"])
    shapes, boxes = [], 0
    for one in coco.annotations.get(image["id"], ()):
        try:
            shape, of_box = _shape(one, size or page.shape)
        except (TypeError, AttributeError, KeyError, IndexError) as error:
            raise ValueError(
                f"annotation {one.get('id')}: damaged ({error})"
            ) from error
        boxes += of_box
        number = one.get("category_id")
        shapes.append(shape._replace(number=number, name=coco.names.get(number, "")))
    return Drawing(shapes, size, remarks(boxes), "COCO")


def _shape(one: dict[str, Any], size: tuple[int, int]) -> tuple[Shape, bool]:
    """A bead, and whether only its box is known."""
    found = one.get("segmentation")
    if isinstance(found, dict):
        return _of_runs(found, size, one.get("id")), False
    if found:  # several polygons are parts of one bead
        rings = [np.reshape(ring, (-1, 2))[:, ::-1] - CORNER for ring in found]
        return Shape("area", [[ring.astype(float)] for ring in rings]), False
    left, top, width, height = map(float, one["bbox"])
    middle = top + height / 2 - CORNER, left + width / 2 - CORNER
    return ellipse(*middle, height, width), True


def _of_runs(runs: dict[str, Any], size: tuple[int, int], number: Any) -> Shape:
    """Run lengths of background and bead in turn, down the columns."""
    if tuple(runs["size"]) != tuple(size):
        raise ValueError(
            f"annotation {number}: run lengths of {runs['size']} px, and its image has "
            f"{list(size)}"
        )
    counts = runs["counts"]
    counts = decompress(counts) if isinstance(counts, str) else np.array(counts, int)
    ends = np.cumsum(counts)
    if counts.min(initial=0) < 0 or (ends[-1] if len(ends) else 0) != size[0] * size[1]:
        raise ValueError(f"annotation {number}: its run lengths are damaged")
    spans = [np.arange(a, b) for a, b in zip(ends[::2], ends[1::2], strict=False)]
    x, y = np.divmod(np.concatenate([np.zeros(0, int), *spans]), size[0])
    return Shape("pixels", [[np.stack((y, x), 1)]])


def decompress(text: str) -> np.ndarray:
    """Run lengths from the text of pycocotools.

    Each number has 5 bits a character, low ones first, the sixth says that more
    follow; from the fourth on it is the difference to the last but one.
    """
    counts: list[int] = []
    value = shift = 0
    for byte in text.encode("ascii"):
        bits = byte - 48
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            if bits & 16:
                value -= 1 << shift
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = shift = 0
    if shift:
        raise ValueError("run lengths that end within a number")
    return np.array(counts, int)
