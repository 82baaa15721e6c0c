"""The files of images that are read, and those that are known but not read.

A new kind is a module that lists and reads it, and a row of `READERS`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from beadseg.data.images import raster, tiff
from beadseg.data.images.formats import FORMATS, is_zarr
from beadseg.data.images.stacks import Plane, Stack
from beadseg.files import what_it_is

T = TypeVar("T")


@dataclass(frozen=True)
class Reader:
    """How a kind of file is known and read; both functions may raise anything.

    `scan` reads headers alone, and gives the stacks of the file and words for what is
    missing at its end, or "". `read` gives [H, W] or [H, W, S] of one plane; asked for
    what is stored, it keeps the indices of a palette as they are.
    """

    begins: bytes  # a pattern of the first 16 bytes; a dot is any byte
    endings: tuple[str, ...]
    scan: Callable[[Path], tuple[list[Stack], str]]
    read: Callable[[Path, Plane, bool], np.ndarray]
    by_place: bool = False  # its pages are named by scene, t and z
    library: str = ""  # that decodes it
    test: str = "tests/data/images/test_reading.py"


READERS: dict[str, Reader] = {
    "TIFF": Reader(
        rb"II[*+]\0|MM\0[*+]",
        (
            *(".tif", ".tiff", ".tf2", ".tf8", ".btf", ".ptif", ".ptiff", ".zif"),
            *(".lsm", ".stk", ".svs", ".scn", ".ndpi", ".bif", ".qptiff", ".qpi"),
            ".gel",
        ),
        tiff.scan,
        tiff.read_plane,
        library="tifffile",
    ),
    "PNG": Reader(
        rb"\x89PNG\r\n\x1a\n",
        (".png",),
        raster.scan_png,
        raster.read_png,
        library="imagecodecs",
    ),
    "JPEG": Reader(
        rb"\xff\xd8\xff",
        (".jpg", ".jpeg"),
        raster.scan_jpeg,
        raster.read_jpeg,
        library="imagecodecs",
    ),
    "BMP": Reader(
        rb"BM....\0\0\0\0",
        (".bmp",),
        raster.scan_bmp,
        raster.read_bmp,
        library="pillow",
    ),
    **{
        name: Reader(
            *(row.begins, row.endings, row.scan, row.read),
            by_place=True,
            library=row.library,
            test="tests/data/images/test_formats.py",
        )
        for name, row in FORMATS.items()
    },
}
_FEW = 4  # endings of a kind that are all named
# How other files begin.
_IMAGES = {
    rb"GIF8": "a GIF",
    rb"\x89HDF": "an HDF5",
    rb"RIFF....WEBP": "a WebP",
    rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51": "a JPEG 2000",
    rb"v/1\x01": "an OpenEXR",
}
_OTHERS = {rb"%PDF": "a PDF", rb"PK": "a zip archive or an office document"}


def endings() -> tuple[str, ...]:
    """Of the names of the files that are read, in lower case."""
    return tuple(ending for reader in READERS.values() for ending in reader.endings)


def kinds_in_words() -> str:
    """For messages: TIFF, PNG, JPEG or BMP."""
    *most, last = READERS
    return f"{', '.join(most)} or {last}"


def endings_in_words() -> str:
    """For messages: which files are read."""
    words = []
    for name, reader in READERS.items():
        known = [ending[1:] for ending in reader.endings]
        few = len(known) <= _FEW
        words += known if few else [f"{known[0]} and all other endings of {name}"]
    return ", ".join(words)


def looks_like_image(path: Path) -> bool:
    """Whether a file begins as images do, also those of kinds that are not read."""
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError:
        return False
    return _reader(head) is not None or _named(head, _IMAGES) is not None


def reader_of(path: Path) -> Reader:
    """The reader of a file, by its content.

    Raises:
      ValueError: there is none; with the reason.
    """
    other = what_it_is(path)
    if is_zarr(path):
        return READERS["OME-Zarr"]
    if other == "a folder":
        raise ValueError("it is a folder; name a file in it")
    if other:
        raise ValueError(f"it is {other}; name a file")
    with path.open("rb") as file:
        head = file.read(16)
    if not head:
        raise ValueError("the file is empty (0 bytes); copy or export it again")
    reader = _reader(head)
    if reader is not None:
        return reader
    name = _named(head, _IMAGES | _OTHERS)
    what = f"{name} file" if name else "not an image"
    raise ValueError(f"it is {what}; save it as TIFF, PNG or JPEG")


def _reader(head: bytes) -> Reader | None:
    return _named(head, {reader.begins: reader for reader in READERS.values()})


def _named(head: bytes, kinds: dict[bytes, T]) -> T | None:
    return next((n for k, n in kinds.items() if re.match(k, head, re.DOTALL)), None)
