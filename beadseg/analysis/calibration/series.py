"""A dilution series: the counts of a prediction folder, as independent ones.

Crops of one frame share their drop of liquid, their place and their light: they are
counted together, and a frame is one count. Frames of a replicate share its pipetting:
where replicates are named, each is one count.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from beadseg import old_names
from beadseg.analysis.calibration import naming
from beadseg.analysis.calibration.naming import Names, Samples
from beadseg.data.annotations.tables import cells
from beadseg.data.frames import frame_of
from beadseg.data.images.reading import file_stem
from beadseg.errors import BeadsegError
from beadseg.files import read_file
from beadseg.quoting import counted

Rows = list[dict[str, Any]]  # of images.csv
TABLES = ("images.csv", "images.parquet")


@dataclass(frozen=True)
class Optics:
    """What is known of the images; None: unknown."""

    pixel_size: float | None = None  # um, instead of what the table says
    area: float | None = None  # mm2 of an image
    depth: float | None = None  # um of the liquid that is seen
    volume: float | None = None  # ul of an image


class Image(NamedTuple):
    """One image: a field."""

    name: str
    dilution: float | None  # None: a blank
    replicate: str | None
    frame: str
    count: int
    exposure: float  # fields: how much of the sample it shows, 1 for the median image


class Unit(NamedTuple):
    """What is counted as one: a frame, or a replicate."""

    name: str
    dilution: float | None
    images: int
    count: int
    exposure: float  # fields


class Series(NamedTuple):
    """All images that have a dilution or are blanks."""

    images: tuple[Image, ...]
    frames: tuple[Unit, ...]
    replicates: tuple[Unit, ...]  # () where none is named
    mm2: float | None  # of a field, less what its edges count twice
    ml: float | None  # likewise
    edge: float  # beads per field that belong to it, over all that are seen in it
    left_out: tuple[str, ...]  # images without a dilution
    limits: tuple[str, ...]  # sentences

    @property
    def units(self) -> tuple[Unit, ...]:
        """The independent counts."""
        return self.replicates or self.frames


def read_rows(folder: Path) -> Rows:
    """The rows of the table of images in a prediction folder.

    Returns:
      One dict per image, with at least "image" and "count"; texts, or numbers of
      Parquet.

    Raises:
      BeadsegError: there is no such table, or it is damaged, or a count is none.
    """
    file = next((folder / t for t in TABLES if (folder / t).is_file()), None)
    if file is None:
        what = "no images.csv in it" if folder.is_dir() else "no such folder"
        raise BeadsegError(
            f"{folder}: {what}: give a folder that beadseg predict wrote"
        )
    try:
        if file.suffix == ".csv":
            table = cells(read_file(file).decode("utf-8-sig"))
            rows = [dict(zip(table[0], row, strict=False)) for row in table[1:]]
        else:
            import pyarrow.parquet as pq

            rows = pq.read_table(file).to_pylist()
        rows = [old_names.row(row) for row in rows]
    except Exception as error:
        raise BeadsegError(
            f"{file}: cannot be read ({error}): predict into another folder"
        ) from error
    for number, row in enumerate(rows, 1):
        for name in ("image", "count"):
            if row.get(name) in (None, ""):
                raise BeadsegError(
                    f"{file}: row {number} has no {name!r}: predict into another folder"
                )
        row["count"] = _count(row["count"], f"{file}: {row['image']}")
    if not rows:
        raise BeadsegError(f"{file}: lists no image: predict some first")
    twice = {row["image"] for row in rows}
    if len(twice) < len(rows):
        raise BeadsegError(f"{file}: names an image twice: predict into another folder")
    return rows


def _count(value: Any, where: str) -> int:
    number = _number(value)
    if number is None or number < 0 or number != int(number):
        raise BeadsegError(
            f"{where}: the count is {value!r}: it shall be a whole number of 0 or "
            "more; mend the table, or predict into another folder"
        )
    return int(number)


def _number(value: Any) -> float | None:
    """None for what is no finite number."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def names_of(rows: Rows) -> list[Names]:
    """What the rows call their images."""
    return [Names(str(row["image"]), str(row.get("file") or "")) for row in rows]


def build(
    rows: Rows, samples: Samples, optics: Optics, frame: str | None = None
) -> Series:
    """Puts images together into frames and replicates.

    Args:
      rows: of `read_rows`.
      samples: of each row.
      optics: area, depth and volume.
      frame: a pattern whose first group or whole match names the frame of an image;
        None: names without the place of a tile, and one frame for the pages of a file.

    Raises:
      BeadsegError: the pattern is wrong or matches none, or the optics cannot be.
    """
    kept = [i for i, sample in enumerate(samples) if sample is not None]
    left_out = [str(r["image"]) for i, r in enumerate(rows) if samples[i] is None]
    rows = [rows[i] for i in kept]
    chosen = [samples[i] for i in kept]
    limits: list[str] = []
    frames = _frames(names_of(rows), frame)
    edges = _edges(rows)
    areas = _areas(rows, optics, limits)
    exposure = np.array(areas.shown) / edges
    typical = float(np.median(exposure))
    images = tuple(
        Image(str(row["image"]), s.dilution, s.replicate, f, row["count"], float(e))
        for row, s, f, e in zip(rows, chosen, frames, exposure / typical, strict=True)
    )
    edge = float(np.median(edges))
    return Series(
        images,
        _units(images, lambda image: (image.replicate, image.frame)),
        _units(images, lambda image: (image.replicate or image.frame,))
        if any(image.replicate for image in images)
        else (),
        None if areas.mm2 is None else areas.mm2 * typical,
        None if areas.ml is None else areas.ml * typical,
        edge,
        tuple(left_out),
        tuple(limits),
    )


def _frames(images: Sequence[Names], pattern: str | None) -> list[str]:
    if pattern is not None:
        search = naming.compiled("--frame", pattern)
        found = [search.search(image.image) for image in images]
        if not any(found):
            raise BeadsegError(f"--frame {pattern!r}: matches no image name")
        return [
            image.image if match is None else match[min(search.groups, 1)] or ""
            for image, match in zip(images, found, strict=True)
        ]
    pages = defaultdict(list)
    for image in images:
        pages[image.file or image.image].append(image)
    return [
        file_stem(Path(image.file))
        if image.file and len(pages[image.file]) > 1
        else frame_of(image.image) or image.image
        for image in images
    ]


def _units(images: Sequence[Image], key) -> tuple[Unit, ...]:
    """Sums over the images of each dilution that `key` calls the same."""
    groups: dict[tuple, list[Image]] = {}
    for image in images:
        groups.setdefault((image.dilution, *key(image)), []).append(image)
    units = [
        Unit(
            str(name[-1]),
            dilution,
            len(members),
            sum(image.count for image in members),
            sum(image.exposure for image in members),
        )
        for (dilution, *name), members in groups.items()
    ]
    return tuple(sorted(units, key=lambda u: (u.dilution is None, u.dilution or 0)))


def _edges(rows: Rows) -> np.ndarray:
    """f64[n], beads that belong to an image over those seen in it, of images its size.

    See `beadseg.inference.outputs.measure.edge_weights`; 1 where it is not known.
    """
    sums: dict[tuple, list[float]] = defaultdict(lambda: [0.0, 0.0])
    shapes = [(_number(r.get("height")), _number(r.get("width"))) for r in rows]
    for row, shape in zip(rows, shapes, strict=True):
        corrected = _number(row.get("edge_corrected_count"))
        sums[shape][0] += row["count"] if corrected is None else corrected
        sums[shape][1] += row["count"]
    shares = {s: own / seen if own and seen else 1.0 for s, (own, seen) in sums.items()}
    return np.array([shares[shape] for shape in shapes])


class _Areas(NamedTuple):
    """How much each image shows, and what one of that unit is."""

    shown: list[float]
    mm2: float | None
    ml: float | None


def _areas(rows: Rows, optics: Optics, limits: list[str]) -> _Areas:
    for name, value in vars(optics).items():
        if value is not None and not (0 < value < math.inf):
            option = f"--{name.replace('_', '-')}"
            raise BeadsegError(f"{option} {value:g}: give a number above 0")
    if optics.depth is not None and optics.volume is not None:
        raise BeadsegError("--depth and --volume: give one, the other follows from it")
    sides = [(_number(r.get("height")), _number(r.get("width"))) for r in rows]
    sizes = [optics.pixel_size or _number(r.get("pixel_size_um")) for r in rows]
    sized = all(all(side) for side in sides)
    shown, mm2 = [1.0] * len(rows), None
    if optics.area is not None:
        mm2 = optics.area
    elif sized and all(sizes):
        mm2 = 1.0
        shown = [
            (_number(row.get("region_area_px")) or h * w) * size**2 / 1e6
            for row, (h, w), size in zip(rows, sides, sizes, strict=True)
        ]
    elif sized and optics.volume is None:
        shown = [h * w for h, w in sides]
    if mm2 is None and any(sizes):
        lacking = len(sizes) - sum(map(bool, sizes))
        limits.append(
            f"{lacking} of {counted(len(sizes), 'image has', 'images have')} no pixel "
            "size: no beads per mm2; give --pixel-size or --area"
        )
    if optics.volume is not None:
        if mm2 is not None:  # the images show the same depth
            volume = optics.volume / float(np.median(shown))
            return _Areas(shown, mm2, volume * 1e-3)
        return _Areas(shown, None, optics.volume * 1e-3)
    if optics.depth is None:
        return _Areas(shown, mm2, None)
    if mm2 is None:
        raise BeadsegError(
            f"--depth {optics.depth:g}: the area of an image is not known: give "
            "--pixel-size or --area too, or --volume in place of it"
        )
    return _Areas(shown, mm2, mm2 * optics.depth * 1e-6)  # mm2 um = 1e-6 ml
