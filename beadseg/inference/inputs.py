"""Which images a command is given, and a name for each that no other has."""

import glob
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from beadseg.data.images.formats import is_zarr
from beadseg.data.images.readers import endings, endings_in_words, looks_like_image
from beadseg.data.images.reading import PageRef, ReadError, file_stem, open_pages
from beadseg.errors import BeadsegError
from beadseg.files import user_path
from beadseg.quoting import printable, short_name, some_of

NAMED = 20  # files that are left out, by name in one line


class Input(NamedTuple):
    """One image to predict; `name` is that of its files, without an ending."""

    name: str
    page: PageRef


class Inputs(NamedTuple):
    """What was found; `problems` and `notes` are lines to print."""

    images: list[Input]
    problems: list[str]
    notes: list[str]


def find_inputs(
    arguments: list[str],
    channel: int | str | None = None,
    stack: str = "pages",
    every: int = 1,
    level: int = 0,
) -> Inputs:
    """Lists the images of files, folders and patterns, in that order.

    Of a folder the images in it are taken, whatever their names, or those in its
    `images/`; what else lies there is named in a note. What cannot be opened is a
    problem, and the rest goes on. Of the pages of a file each `every`-th is taken.

    Raises:
      BeadsegError: an argument under which there is no image at all.
    """
    files: dict[Path, None] = {}
    left_out: dict[str, None] = {}
    for argument in arguments:
        found, note = _expand(argument)
        files |= dict.fromkeys(found)
        left_out |= dict.fromkeys(note)
    images, problems = [], []
    notes: dict[str, dict[Path, None]] = {}
    names = _names(list(files))
    for file in files:
        try:
            pages = open_pages(file, channel=channel, stack=stack, level=level)
        except ReadError as error:
            problems.append(str(error))
            continue
        broken = [any(plane.problem for plane in page.planes) for page in pages]
        for page in [p for i, p in enumerate(pages) if broken[i] or not i % every]:
            name = names[file] + page.name[len(file_stem(file)) :]
            images.append(Input(name, page))
            for note in page.notes:
                notes.setdefault(note, {})[file] = None
    taken = Counter(image.name.lower() for image in images)
    seen: Counter[str] = Counter()
    for i, image in enumerate(images):  # a page of one file named as another file
        key = image.name.lower()
        if taken[key] > 1:
            seen[key] += 1
            images[i] = Input(f"{image.name}_{seen[key]}", image.page)
    # Names that every disk, table and page takes, with any ending of an output.
    images = [Input(short_name(printable(i.name)), i.page) for i in images]
    lines = [f"{some_of(list(where))}: {note}" for note, where in notes.items()]
    return Inputs(images, problems, [*left_out, *lines])


def _expand(argument: str) -> tuple[list[Path], list[str]]:
    """The files of an argument, and a line on what is left out of a folder."""
    path = user_path(argument)
    if path.is_dir() and not is_zarr(path):
        found, note = _images(path)
        if not found:
            found, note = _images(path / "images")
        if not found:
            raise BeadsegError(
                f"{path}: no image in this folder ({endings_in_words()})"
            )
        return found, note
    if not path.exists() and glob.has_magic(argument):
        found = [Path(p) for p in sorted(glob.glob(str(path), recursive=True))]
        found = [p for p in found if p.is_file()]
        if not found:
            raise BeadsegError(f"{argument}: no file has such a name")
        return found, []
    return [path], []


def _images(folder: Path) -> tuple[list[Path], list[str]]:
    """What may be an image, by its ending or its content, and a line on the rest."""
    if not folder.is_dir():
        return [], []
    found, rest = [], []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name in ("Thumbs.db", "desktop.ini"):
            continue
        known = path.suffix.lower() in endings() and not path.is_dir()
        taken = known or is_zarr(path) or (path.is_file() and looks_like_image(path))
        (found if taken else rest).append(path)
    if not rest:
        return found, []
    names = [path.name + "/" * path.is_dir() for path in rest]
    return found, [f"{folder}: no images, left out: {some_of(names, NAMED)}"]


def _names(files: list[Path]) -> dict[Path, str]:
    """A name for each file: its stem, with as much of its path as tells it apart.

    a/x.tif and b/x.tif become a_x and b_x, x.tif and x.png x_tif and x_png. Names that
    differ only in case are the same on many disks.
    """
    makers = [
        file_stem,
        lambda f: f"{f.resolve().parent.name}_{file_stem(f)}",
        lambda f: f"{file_stem(f)}_{f.suffix[1:]}",
        lambda f: f"{f.resolve().parent.name}_{file_stem(f)}_{f.suffix[1:]}",
    ]
    names: dict[Path, str] = {}
    for make in makers:
        left = [file for file in files if file not in names]
        counts = Counter(make(file).lower() for file in left)
        taken = {name.lower() for name in names.values()}
        names |= {
            file: make(file)
            for file in left
            if counts[make(file).lower()] == 1 and make(file).lower() not in taken
        }
    for i, file in enumerate(file for file in files if file not in names):
        names[file] = f"{file_stem(file)}_{i + 1}"
    return names
