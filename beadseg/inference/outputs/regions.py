"""Regions of images in which beads count: drawn in another program, or painted."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from beadseg.data.annotations.readers import READERS, draw_vector
from beadseg.data.images.readers import endings
from beadseg.data.images.reading import PageRef, ReadError, file_stem, open_pages
from beadseg.errors import BeadsegError
from beadseg.inference.inputs import Input
from beadseg.quoting import of_other_size

KINDS = tuple(kind for kind in READERS if kind in (".geojson", ".json", ".roi", ".zip"))


@dataclass(frozen=True)
class Regions:
    """Where beads count, for each image of a batch; see `Regions.of`.

    A file holds for all images, a folder has a file for each, of the name of the image:
    GeoJSON, ROIs of ImageJ, or an image that is not 0 inside. What is drawn is joined.

    Raises:
      BeadsegError: a path that is not there, or a file of another kind.
    """

    roi: Path | None = None  # beads count inside
    exclude: Path | None = None  # beads count outside

    def __post_init__(self):
        for option, path in (("--roi", self.roi), ("--exclude", self.exclude)):
            if path is None or path.is_dir():
                continue
            if not path.exists():
                raise BeadsegError(f"{option} {path}: no such file or folder")
            if path.suffix.lower() not in (*KINDS, *endings()):
                raise BeadsegError(
                    f"{option} {path}: give GeoJSON, ROIs of ImageJ (.roi, .zip) or an "
                    "image that is not 0 inside"
                )

    def __bool__(self) -> bool:
        return self.roi is not None or self.exclude is not None

    def of(self, image: Input) -> np.ndarray | None:
        """Where beads of an image count, bool[H, W]; None: everywhere.

        Raises:
          ReadError: there is none for this image, it is empty, or it does not fit.
        """
        if not self:
            return None
        inside = np.ones(image.page.shape, bool)
        if self.roi is not None:
            inside &= _read(_file(self.roi, image, "--roi"), image.page)
        if self.exclude is not None:
            inside &= ~_read(_file(self.exclude, image, "--exclude"), image.page)
        if not inside.any():
            raise ReadError(
                f"{image.page.where}: its region is empty: draw it again, or leave "
                "--roi and --exclude out"
            )
        return inside

    def stamp(self, image: Input) -> list[int]:
        """Of the image and of what draws its region: equal while neither changes.

        Raises:
          ReadError: there is no region for this image.
          OSError: it cannot be looked at.
        """
        stamp = [*image.page.stamp]
        for option, path in (("--roi", self.roi), ("--exclude", self.exclude)):
            if path is not None:
                status = _file(path, image, option).stat()
                stamp += [status.st_size, status.st_mtime_ns]
        return stamp


def counting(edge: str, regions: Regions) -> dict[str, str | None]:
    """Of `prediction.json`: which beads count."""
    asked = {"roi": regions.roi, "exclude": regions.exclude}
    return {"edge": edge} | {k: v and os.path.abspath(v) for k, v in asked.items()}


def _file(path: Path, image: Input, option: str) -> Path:
    if not path.is_dir():
        return path
    names = (image.name, file_stem(image.page.path))
    for name in names:
        for file in sorted(path.glob("*")):
            ending = file.suffix.lower()
            if file_stem(file) == name and ending in (*KINDS, *endings()):
                return file
    raise ReadError(
        f"{image.page.where}: {option} {path} has no file {image.name}.geojson, .zip, "
        ".roi or .tif: draw its region, or leave the image out"
    )


def _read(file: Path, page: PageRef) -> np.ndarray:
    """bool[H, W], what a file draws on the grid of an image."""
    if file.suffix.lower() in KINDS:
        return draw_vector(file, page) > 0
    stored = open_pages(file)[0].read_stored()
    inside = stored.reshape(*stored.shape[:2], -1).any(-1)
    if inside.shape != page.shape:
        sizes = of_other_size(inside.shape, page.shape)
        raise ReadError(f"{file}: {sizes}: draw it on the image")
    return inside
