"""Labels of other programs copied into a data set: images, label images, centres."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from tqdm import tqdm

from beadseg.data.annotations import finding
from beadseg.data.annotations.readers import READERS, VectorPage
from beadseg.data.facts import KINDS, Task
from beadseg.data.folder import sort_files, stem_of
from beadseg.data.images.readers import endings
from beadseg.data.images.reading import ReadError
from beadseg.data.masks.labels import read_mask, read_points
from beadseg.errors import BeadsegError
from beadseg.files import open_whole, user_path, write_whole, writing
from beadseg.quoting import printable

_TABLES = (".csv", ".tsv")


def import_labels(
    source: Path, output: Path, images: Path | None = None
) -> dict[str, Any]:
    """Writes `output` as a data set, and tells what became of each image.

    Args:
      source: a folder of images and labels, with folders in it, or a file of labels.
      output: a new or empty folder.
      images: a folder of the images, if they are not in the source.

    Returns:
      A row per image ("image", "beads", "from", "notes") and lines on "problems".

    Raises:
      BeadsegError: nothing to import, or the output holds something or cannot be
        written.
    """
    source = user_path(source)
    if not source.exists():
        raise BeadsegError(f"{source}: no such file or folder: check the name")
    problems: list[str] = []
    inside = _look(source, images and user_path(images))
    if line := finding.refused(source):
        raise BeadsegError(line)
    files = sort_files(inside, [], problems)
    if not files["images"]:
        raise BeadsegError(
            f"{printable(source)}: no images found: name their folder with --images"
        )
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise BeadsegError(f"{output}: is not empty: give a new folder with -o")
    for kind in KINDS[1:]:
        for stem in sorted(files[kind].keys() - files["images"].keys()):
            problems.append(f"{files[kind][stem]}: no image of this name")
    rows = []
    with writing(output, "-o"):
        for stem in tqdm(sorted(files["images"]), "importing", disable=None):
            rows.append(_import(stem, files, output, problems))
    return {"images": rows, "problems": problems, "output": str(output)}


def _look(source: Path, images: Path | None) -> dict[str, list[Path]]:
    """Files by kind, from the names of their folders and their endings."""
    inside: dict[str, list[Path]] = {kind: [] for kind in KINDS}
    top = source if source.is_dir() else source.parent
    if images is not None:
        inside["images"] = [p for p in _below(images) if p.suffix.lower() in endings()]
    labels = _below(source) if source.is_dir() else [source]
    beside = _below(top) if images is None and labels == [source] else []
    for path in dict.fromkeys([*labels, *beside]):
        folders = {part.lower() for part in path.relative_to(top).parts[:-1]}
        ending = path.suffix.lower()
        of = next((kind for kind in KINDS[2:] if kind in folders), "masks")
        if ending in _TABLES or (of == "points" and ending in READERS):
            inside["points"].append(path)
        elif path == source or folders & {*finding.FOLDERS, *KINDS[1:]}:
            inside[of].append(path)
        elif ending in READERS:
            inside["masks"].append(path)
        elif images is not None:
            inside["masks"].append(path)
        else:
            inside["images"].append(path)
    if source.is_file():  # what lies beside is not asked for
        inside["masks"] = [p for p in inside["masks"] if p == source]
        inside["points"] = [p for p in inside["points"] if p == source]
    stems = {stem_of(p.name) for p in inside["images"] if p.suffix.lower() in endings()}
    for path in inside["images"][:]:
        if finding.is_beside(path, stem_of(path.name), stems):
            inside["images"].remove(path)
            inside["masks"].append(path)
    return inside


def _below(folder: Path) -> list[Path]:
    found = sorted(folder.rglob("*"))
    hidden = [p for p in found if any(q.startswith(".") for q in _parts(p, folder))]
    return [p for p in found if p.is_file() and p not in set(hidden)]


def _parts(path: Path, folder: Path) -> tuple[str, ...]:
    return path.relative_to(folder).parts


def _import(
    stem: str, files: dict[str, dict[str, Path]], output: Path, problems: list[str]
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
            pages = Task(path, kind, None, "pages", image).open()
            found = list(_write(output / kind / stem, kind, pages))
        except ReadError as error:
            problems.append(str(error))
            continue
        first = pages[0]
        program = first.drawing.program if isinstance(first, VectorPage) else "pixels"
        row["beads"] = sum(beads for beads, _ in found)
        row["from"] = printable(f"{path.name} ({program})")
        row["notes"] += [note for page in pages for note in page.notes]
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
        yield len(np.unique(page[page > 0])), mask.note


def _copy(path: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    with path.open("rb") as original, open_whole(to) as copy:
        shutil.copyfileobj(original, copy)
