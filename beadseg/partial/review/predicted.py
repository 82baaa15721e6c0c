"""A prediction folder made one to review: its beads are accepted to begin with.

Beside what `beadseg predict` wrote stands what `beadseg.partial.completed` tells of:
each image, its beads as proposals that are accepted, and nobody's mask. So the folder
is a data set as well.
"""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from tqdm import tqdm

from beadseg.data.cache import hash_file
from beadseg.data.images.readers import endings
from beadseg.data.images.reading import PageRef, ReadError, file_stem, open_pages
from beadseg.errors import BeadsegError
from beadseg.files import open_whole, write_json, writing
from beadseg.inference import settings
from beadseg.inference.records import DONE, read_record, record_of, records
from beadseg.inference.settings import FILE
from beadseg.partial.completed import FOLDERS, write_labels
from beadseg.quoting import of_other_size, printable
from beadseg.tables import Table


def is_prediction(folder: Path) -> bool:
    """Whether `beadseg predict` or `beadseg measure` wrote it."""
    return (folder / FILE).is_file() and (folder / DONE).is_dir()


def prepare(folder: Path, images: Path | None = None) -> list[str]:
    """Puts into a prediction folder what a review needs, where it is not there yet.

    `images` is the folder of the images, if they are not where they were.

    Returns:
      A line on each image that is left out.

    Raises:
      BeadsegError: no image can be reviewed, or the folder cannot be written.
    """
    names = [file.stem for file in records(folder)]
    runs = settings.names_of_runs(read_settings(folder))
    problems: list[str] = []
    with writing(folder, None):
        for name in tqdm(names, "opening", unit="image", disable=None, leave=False):
            if (folder / "proposals" / f"{name}.json").exists():
                continue
            try:
                _prepare(folder, name, images, " and ".join(runs) or "given labels")
            except (ReadError, BeadsegError) as error:
                problems.append(str(error))
    if len(problems) == len(names):
        raise BeadsegError(problems[0] if problems else f"{folder}: holds no image")
    return problems


def _prepare(folder: Path, name: str, images: Path | None, run: str) -> None:
    about, table = read_known(folder, name)
    file = folder / "labels" / f"{name}.tif"
    if not file.is_file():
        raise BeadsegError(
            f"{file}: is not there: predict again, with labels among --only"
        )
    labels = read_tiff(file).astype(np.int32)
    if unknown := {*np.unique(labels).tolist()} - {0, *table["label"].tolist()}:
        raise BeadsegError(
            f"{file}: bead {min(unknown)} is not in the tables: it was changed since; "
            f"measure it first (beadseg measure {file.parent} IMAGES -o NEW)"
        )
    page = page_of(about, folder, images)
    if page.shape != labels.shape:
        sizes = of_other_size(labels.shape, page.shape)
        raise BeadsegError(f"{file}: {sizes}: is it another?")
    for kind in FOLDERS:
        (folder / kind).mkdir(exist_ok=True)
    image = _keep_image(folder, name, page)
    write_labels(folder / "person" / f"{name}.tif", np.zeros(labels.shape, np.uint8))
    write_labels(folder / "proposals" / f"{name}.tif", labels)
    columns = (table["label"].tolist(), _scores(table))
    beads = {
        str(number): {"score": round(score, 4), "reason": "Found."}
        for number, score in zip(*columns, strict=True)
    }
    proposals = {
        "image": image.name,
        "image_digest": hash_file(image),
        "run": run,
        "stack": "pages",
        "channel": None,
        "threshold": about.get("threshold", 0.5),
        "accepted": True,
        "beads": beads,
    }
    write_json(folder / "proposals" / f"{name}.json", proposals, indent=1)


def read_settings(folder: Path) -> dict[str, Any]:
    """What a prediction was made with; raises BeadsegError: it is damaged."""
    try:
        return settings.read_settings(folder)
    except (OSError, ValueError) as error:
        raise BeadsegError(
            f"{folder / FILE}: damaged ({error}): put a copy of it back, or predict "
            "into a new folder"
        ) from error


def read_known(folder: Path, name: str) -> tuple[dict[str, Any], Table]:
    """What is known of an image and its beads; raises BeadsegError: it is damaged."""
    file = record_of(folder, name)
    try:
        return read_record(file)
    except Exception as error:  # damaged in any way
        raise BeadsegError(
            f"{printable(file)}: damaged ({printable(error)}): run beadseg predict "
            "again with --resume"
        ) from error


def read_tiff(file: Path) -> np.ndarray:
    """[H, W] of a file of a prediction; raises BeadsegError: it is damaged."""
    try:
        return tifffile.imread(file)
    except Exception as error:  # tifffile raises many kinds
        raise BeadsegError(
            f"{file}: damaged ({error}): run beadseg predict again with --resume"
        ) from error


def read_region(folder: Path, name: str, made: dict[str, Any]) -> np.ndarray | None:
    """bool[H, W], where beads of an image count; None: everywhere.

    Raises:
      BeadsegError: the file of its region is missing or damaged.
    """
    if not (made.get("roi") or made.get("exclude")):
        return None
    return read_tiff(folder / "regions" / f"{name}.tif") > 0


def _scores(table: Table) -> list[float]:
    """Of labels of other tools, which have none, 1."""
    scores = table.get("score", np.ones(len(table["label"])))
    return np.clip(np.nan_to_num(scores, nan=1.0), 0, 1).astype(float).tolist()


def page_of(about: dict[str, Any], folder: Path, images: Path | None = None) -> PageRef:
    """The image that was predicted, by its record; `images` as of `prepare`.

    Raises:
      BeadsegError: it is not there; ReadError: it cannot be read.
    """
    file, read = Path(about["file"]), about.get("read", {})
    if images is not None:
        places = [images / file.name, images / "images" / file.name]
    else:
        kept = _of_name(folder / "images", about["image"])
        known = [Path(read["path"])] if "path" in read else []
        places = [*known, file, folder / file, *kept]
    path = next((place for place in places if place.exists()), None)
    if not about["file"] or path is None:
        where = f" in {images}" if images is not None else ""
        raise BeadsegError(
            f"{file or about['image']}: the image is not there{where}: say with "
            "--images in which folder it is"
        )
    pages = open_pages(
        path, channel=read.get("channel"), stack=read.get("stack", "pages")
    )
    for page in pages:
        if page.index == about["page"]:
            return page
    raise BeadsegError(f"{path}: has no page {about['page']}: is it another file?")


def _of_name(folder: Path, name: str) -> list[Path]:
    return [f for f in folder.glob("*") if f.stem == name] if folder.is_dir() else []


def _keep_image(folder: Path, name: str, page: PageRef) -> Path:
    """The image in the folder: the very file, linked where that can be, or its page."""
    path = page.path
    alone = page.name == file_stem(path)
    alone &= page.channel is None and not page.number  # what is read by default
    ending = path.suffix.lower()
    if alone and path.is_file() and ending in endings() and page.kind != "samples":
        image = folder / "images" / f"{name}{path.suffix}"
        if image.exists():
            return image
        try:
            os.link(path, image)
        except OSError:  # another disk, or one that knows no links
            with path.open("rb") as source, open_whole(image) as copy:
                shutil.copyfileobj(source, copy)
        return image
    image = folder / "images" / f"{name}.tif"
    with open_whole(image) as file:
        tifffile.imwrite(file, page.read(), compression="zlib")
    return image
