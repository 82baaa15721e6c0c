"""Labels of other programs copied into a data set: images, label images, centres."""

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import tomlkit
from tqdm import tqdm

from beadseg.data.annotations import finding
from beadseg.data.annotations.readers import READERS, VectorPage
from beadseg.data.facts import KINDS, Task
from beadseg.data.folder import sort_files, stem_of
from beadseg.data.images.formats import is_zarr
from beadseg.data.images.readers import endings
from beadseg.data.images.reading import ReadError, open_pages
from beadseg.data.masks.labels import read_mask, read_points
from beadseg.data.samples import page_for_each_bead
from beadseg.data.settings_file import FILE, read_beads_toml
from beadseg.errors import BeadsegError
from beadseg.files import (
    check_unused,
    open_whole,
    read_file,
    user_path,
    whole_folder,
    write_whole,
    writing,
)
from beadseg.matching import count_beads
from beadseg.quoting import counted, of_other_size, printable, some_of

_TABLES = (".csv", ".tsv")
_NAMED = 8  # files that are left out, by name in one line


def import_labels(
    source: Path,
    output: Path,
    images: Path | None = None,
    classes: str | tuple[int | str, ...] = "auto",
    maker: str = "",
) -> dict[str, Any]:
    """Writes `output` as a data set, and tells what became of each image.

    Args:
      source: a folder of images and labels, with folders in it, or a file of labels.
      output: a new or empty folder.
      images: a folder of the images, if they are not in the source.
      classes: which numbers of masks, and which objects, are beads, see `classes_of`;
        "auto": as `beads.toml` of the source says.
      maker: as in `whole_folder`.

    Returns:
      A row per image ("image", "beads", "from", "notes") and lines on "problems" and
      "notes".

    Raises:
      BeadsegError: nothing to import, or the output holds something or cannot be
        written.
    """
    source = user_path(source)
    if not source.exists():
        raise BeadsegError(f"{source}: no such file or folder: check the name")
    problems: list[str] = []
    if line := finding.refused(source):
        raise BeadsegError(line)
    inside, loose, rest = _look(source, images and user_path(images))
    notes = _without_beside(inside["images"])
    files = sort_files(inside, loose, problems)
    if not files["images"]:
        raise BeadsegError(
            f"{printable(source)}: no images found: name their folder with --images"
        )
    check_unused(output, "-o", maker)
    for kind in KINDS[1:]:
        for stem in sorted(files[kind].keys() - files["images"].keys()):
            problems.append(f"{files[kind][stem]}: no image of this name")
    rows = []
    settings = source / FILE
    known = read_beads_toml(source if source.is_dir() else source.parent, stem_of)
    if classes == "auto":
        classes = known.classes or "auto"
    with writing(output, "-o"), whole_folder(output, "-o", maker) as part:
        for stem in tqdm(sorted(files["images"]), "importing", disable=None):
            rows.append(_import(stem, files, part, problems, classes))
        if settings.is_file():
            copied = tomlkit.parse(read_file(settings).decode("utf-8-sig"))
            copied.pop("classes", None)  # masks have a number per bead now
            write_whole(part / FILE, tomlkit.dumps(copied))
    if rest:
        named = some_of([path.name for path in rest], _NAMED)
        notes.append(f"no images and no labels of one, left out: {named}")
    return {"images": rows, "problems": problems, "notes": notes, "output": str(output)}


def _look(
    source: Path, images: Path | None
) -> tuple[dict[str, list[Path]], list[Path], list[Path]]:
    """Files by kind, files that may hold the labels of many images, and the rest.

    The names of folders and endings tell; labels may lie beside their images.
    """
    inside: dict[str, list[Path]] = {kind: [] for kind in KINDS}
    loose, rest = [], []
    labels = _below(source) if source.is_dir() else [source]
    pictures = []
    if images is not None or source.is_file():
        folder = images or source.parent
        found = [path for path in _below(folder) if _is_image(path)]
        pictures = [path for path in found if not _labelled(path, folder)]
    for path in labels:
        ending, folder = path.suffix.lower(), _labelled(path, source)
        if images is None and source.is_dir() and not folder and _is_image(path):
            pictures.append(path)
        elif ending in _TABLES or (folder == "points" and ending in READERS):
            inside["points"].append(path)
        elif folder or path == source or images is not None:
            inside[folder or "masks"].append(path)
        elif ending in READERS or finding.refused(path):
            loose.append(path)
        else:
            rest.append(path)
    stems = {stem_of(path.name) for path in pictures}
    inside["images"] = pictures
    finding.move_labels(inside, stem_of, stems)
    for path in loose[:]:
        if finding.image_of(stem_of(path.name), stems) in stems or (
            finding.refused(path)
        ):
            loose.remove(path)
            inside["masks"].append(path)
    rest += [path for path in loose if path.suffix.lower() != ".json"]
    return inside, [path for path in loose if path not in rest], rest


def _without_beside(pictures: list[Path]) -> list[str]:
    """Takes out what has the name of a picture in images/ beside its folder; notes."""
    every, out = set(pictures), Counter()
    for path in pictures[:]:
        folder = path.parent
        if folder.name != "images" and folder.parent / "images" / path.name in every:
            pictures.remove(path)
            out[folder] += 1
    return [
        f"{printable(folder)}: {counted(count, 'file')} of the same name as in images/ "
        "beside it, left out"
        for folder, count in out.items()
    ]


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in endings()


def _labelled(path: Path, top: Path) -> str:
    """The kind that a folder on the way from `top` names; "" where none does."""
    names = dict.fromkeys(finding.FOLDERS, "masks")
    names |= {"ignore": "ignore", "points": "points"}
    folders = path.relative_to(top).parent.parts if path != top else ()
    return next((names[f.lower()] for f in folders[::-1] if f.lower() in names), "")


def _below(folder: Path, within: tuple[str, ...] = ()) -> list[Path]:
    """All that is no folder in a folder and those in it, and is not hidden.

    An image that is a folder is one file. A link that leads back is not followed.
    """
    within = (*within, os.path.realpath(folder))
    found: list[Path] = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if not path.is_dir() or is_zarr(path):
            found.append(path)
        elif os.path.realpath(path) not in within:
            found += _below(path, within)
    return found


def _import(
    stem: str,
    files: dict[str, dict[str, Path]],
    output: Path,
    problems: list[str],
    classes: str | tuple[int | str, ...],
) -> dict[str, Any]:
    """Copies an image and writes what is known of it."""
    image = files["images"][stem]
    row: dict[str, Any] = {"image": stem, "beads": None, "from": "", "notes": []}
    _copy(image, output / "images" / image.name)
    for kind in KINDS[1:]:
        path = files[kind].get(stem)
        if path is None:
            continue
        try:
            if kind == "ignore":
                _copy(path, output / kind / path.name)
                continue
            pages = Task(path, kind, None, "pages", image, classes).open()
            shown = open_pages(image)
            if len(pages) > 1 and len(shown) == 1:
                raise ReadError(page_for_each_bead(path, len(pages)))
            for page, of in zip(pages, shown, strict=False):
                if page.shape != of.shape:
                    sizes = of_other_size(page.shape, of.shape)
                    raise ReadError(f"{page.where}: {sizes}: export both at one size")
            found = list(_write(output / kind / stem, kind, pages))
        except ReadError as error:
            problems.append(str(error))
            continue
        first = pages[0]
        program = first.drawing.program if isinstance(first, VectorPage) else "pixels"
        row["beads"] = sum(beads for beads, _ in found)
        row["from"] = printable(f"{path.name} ({program})")
        notes = [note.removeprefix(f"{stem}: ") for p in pages for note in p.notes]
        row["notes"] += notes
        row["notes"] += [note for _, note in found if note]
    return row


def _write(file: Path, kind: str, pages: list) -> Iterator[tuple[int, str]]:
    """Writes the labels or centres of an image; how many, and how they were read."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if kind == "points" and len(pages) == 1:
        points = read_points(pages[0])
        lines = [f"{x:g},{y:g}\n" for y, x in points]
        write_whole(file.with_name(f"{file.name}.csv"), "".join(["x,y\n", *lines]))
        yield len(points), ""
        return
    masks = [read_mask(page) for page in pages]
    labels = np.stack([mask.labels for mask in masks])
    small = 0 <= labels.min() and labels.max() <= np.iinfo(np.uint16).max
    labels = labels.astype(np.uint16 if small else np.int32)
    with open_whole(file.with_name(f"{file.name}.tif")) as content:
        tifffile.imwrite(
            content,
            labels if len(pages) > 1 else labels[0],
            photometric="minisblack",
            compression="zlib",
        )
    for mask, page in zip(masks, labels, strict=True):
        yield count_beads(page), mask.note


def _copy(path: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        shutil.copytree(path, to)
        return
    with path.open("rb") as original, open_whole(to) as copy:
        shutil.copyfileobj(original, copy)
