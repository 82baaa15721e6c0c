"""Kinds of files that need a library of the extra `formats`: one row each.

Every `scan` lists the stacks of planes from headers, and every `read` gives one plane,
[H, W] or [H, W, 3]; the memory is that of a plane.
"""

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np

from beadseg.data.images.stacks import Plane, Stack


class Format(NamedTuple):
    """How a kind of file is known and read."""

    begins: bytes  # a pattern of the first 16 bytes; a dot is any byte
    endings: tuple[str, ...]
    library: str
    module: str  # of this folder, with scan(path) and read(path, plane) for it

    def scan(self, path: Path) -> tuple[list[Stack], str]:
        return self._call("scan")(path), ""

    def read(self, path: Path, plane: Plane, stored: bool) -> np.ndarray:
        return self._call("read")(path, plane)

    def _call(self, name: str) -> Callable:
        self._library()
        place = f"{__package__}.{self.module}"
        return getattr(importlib.import_module(place), f"{name}_{self.library}")

    def _library(self) -> ModuleType:
        try:
            return importlib.import_module(self.library)
        except ImportError as error:
            raise ValueError(
                f"reading {self.endings[0]} files needs {self.library}: pip install "
                f"'beadseg[formats]' ({error})"
            ) from None


FORMATS: dict[str, Format] = {
    "Nikon ND2": Format(rb"\xda\xce\xbe\x0a", (".nd2",), "nd2", "microscopes"),
    "Zeiss CZI": Format(rb"ZISRAW", (".czi",), "pylibCZIrw", "microscopes"),
    "Leica LIF": Format(rb"\x70\0\0\0", (".lif",), "liffile", "microscopes"),
    "OME-Zarr": Format(rb"(?!)", (".zarr",), "zarr", "zarr_folder"),
    "video": Format(
        rb"....ftyp|RIFF....AVI |\x1aE\xdf\xa3",
        (".mp4", ".avi", ".mov", ".mkv", ".webm"),
        "av",
        "video",
    ),
}


def is_zarr(path: Path) -> bool:
    """Whether a folder is an image of OME-Zarr."""
    return path.is_dir() and any(
        (path / name).is_file() for name in (".zgroup", ".zattrs", "zarr.json")
    )
