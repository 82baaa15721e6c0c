"""Folders of beadseg as layers of napari, and an image to try it on."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import tifffile
from PIL import Image

from beadseg.data.generated.render import generate
from beadseg.data.generated.settings import GeneratedSettings
from beadseg.data.images.reading import PageRef, ReadError, open_pages
from beadseg.data.images.stacks import PLACE
from beadseg.errors import BeadsegError
from beadseg.inference.outputs.kinds import OUTPUTS
from beadseg.inference.records import read_record, records
from beadseg.inference.settings import FILE
from beadseg.tables import Table, constant, stacked
from beadseg.training.run_folder import CONFIG

SAMPLES = "samples.png"  # of a run
Layer = tuple[Any, dict[str, Any], str]  # what napari takes: data, options, kind
Beads = tuple[dict[str, Any], Table]  # a row of images.csv, one row per bead


def get_reader(path: str | list[str]) -> Callable[[Any], list[Layer]] | None:
    """What reads a folder: of a prediction, or of a run; None: neither."""
    folder = _folder(path)
    if (folder / FILE).is_file():
        return read_prediction
    if (folder / CONFIG).is_file() and (folder / SAMPLES).is_file():
        return read_samples
    return None


def read_samples(path: str | list[str]) -> list[Layer]:
    """The picture of a run: its worst, median and best validation image."""
    folder = _folder(path)
    with Image.open(folder / SAMPLES) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    return [(pixels, {"name": f"{folder.name} samples", "rgb": True}, "image")]


def read_prediction(path: str | list[str]) -> list[Layer]:
    """Images where they are found, labels, and beads with their measurements.

    Images of one size are a stack, and read as they are looked at.

    Raises:
      BeadsegError: no image is done in the folder, or a file is damaged.
    """
    folder = _folder(path)
    stacks: dict[tuple, list[Beads]] = {}
    for file in records(folder):
        try:
            row, table = read_record(file)
        except Exception as error:  # damaged in any way
            raise BeadsegError(
                f"{file}: damaged ({error}): predict again with --resume"
            ) from error
        key = row["height"], row["width"], row["pixel_size_um"]
        stacks.setdefault(key, []).append((row, table))
    if not stacks:
        raise BeadsegError(f"{folder}: no image is done in this prediction folder")
    open_file = cache(_pages)
    return [
        layer
        for (height, width, pixel_size), stack in stacks.items()
        for layer in _stack(folder, stack, (height, width), pixel_size, open_file)
    ]


def _stack(
    folder: Path,
    stack: list[Beads],
    shape: tuple[int, int],
    pixel_size: float | None,
    open_file: Callable[[str, str | None], list[PageRef]],
) -> list[Layer]:
    """The layers of images of one size."""
    rows, several = [row for row, _ in stack], len(stack) > 1
    name = f"{folder.name} {shape[1]} x {shape[0]}" if several else rows[0]["image"]
    place: dict[str, Any] = {"scale": [1] * several + [pixel_size or 1] * 2}
    if pixel_size:
        place["units"] = ["pixel"] * several + ["um"] * 2

    def joined(read: Callable[[int], np.ndarray], dtype: np.dtype) -> Any:
        if not several:
            return read(0)
        planes = [
            dask.array.from_delayed(dask.delayed(read)(i), shape, dtype)
            for i in range(len(stack))
        ]
        return dask.array.stack(planes)

    layers: list[Layer] = []
    pages = [_page(row, shape, open_file) for row in rows]
    known = next((page for page in pages if page is not None), None)
    if known is not None:
        kind = known.read().dtype

        def pixels(i: int) -> np.ndarray:
            page = pages[i]
            return np.zeros(shape, kind) if page is None else page.read().astype(kind)

        layers.append((joined(pixels, kind), {"name": name, **place}, "image"))
    ending = OUTPUTS["labels"].ending
    files = [folder / "labels" / f"{row['image']}{ending}" for row in rows]
    if all(file.is_file() for file in files):
        labels = joined(lambda i: tifffile.imread(files[i]).astype(np.int32), np.int32)
        features = {} if several else features_of(stack[0][1])
        options = {"name": f"{name} labels", "features": features, **place}
        layers.append((labels, options, "labels"))
    return [*layers, _points(f"{name} beads", stack, place)]


def _points(name: str, stack: list[Beads], place: dict[str, Any]) -> Layer:
    """All beads as circles, with their measurements."""
    tables = [
        constant(len(table["label"]), image=row["image"]) | table
        for row, table in stack
    ]
    features = stacked(tables)
    at = [features["y"], features["x"]]
    if len(stack) > 1:
        count = [len(table["label"]) for table in tables]
        at.insert(0, np.repeat(np.arange(len(stack)), count))
    circles = {
        "size": features["diameter_px"],
        "face_color": "transparent",
        "border_color": "cyan",
        "features": features,
    }
    return np.stack(at, 1), {"name": name, **circles, **place}, "points"


def features_of(table: Table) -> dict[str, np.ndarray]:
    """The features of a labels layer: "index" is the label they are of."""
    return {"index": table["label"], **table}


def _pages(file: str, channel: str | None) -> list[PageRef]:
    """The pages of a file, also with z projected; none where it is gone."""
    pages = []
    for stack in ("pages", "max"):
        try:
            pages += open_pages(file, channel=channel, stack=stack)
        except (ReadError, OSError):
            continue
    return pages


def _page(row: dict[str, Any], shape: tuple[int, int], open_file) -> PageRef | None:
    """The page that an image was read from."""
    if not row["file"]:
        return None
    place = {key: row[key] for key in PLACE if key in row}
    pages = [
        page
        for page in open_file(row["file"], row.get("channel") or None)
        if (page.index, page.shape) == (row["page"], shape)
    ]
    same = [page for page in pages if dict(page.place) == place]
    # Once no place of a page of TIFF was known.
    return next(iter(same or ([] if place else pages)), None)


def _folder(path: str | list[str]) -> Path:
    folder = Path(path if isinstance(path, str) else path[0])
    return folder.parent if folder.name == FILE else folder


def drawn_beads() -> list[Layer]:
    """A generated image of beads, and its truth."""
    made = generate(GeneratedSettings(size=512), 0, 1)
    place = {"scale": [made.pixel_size] * 2, "units": ["um"] * 2}
    return [
        (made.image, {"name": "generated beads", **place}, "image"),
        (made.labels, {"name": "truth", "visible": False, **place}, "labels"),
    ]
