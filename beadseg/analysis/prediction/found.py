"""What a prediction folder holds, read without the network."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from beadseg.inference.records import read_record, record_of
from beadseg.quoting import printable
from beadseg.tables import Table

COLUMNS = ("diameter_px", "circularity", "mean_intensity", "on_border", "score")
COLUMNS += ("edge_weight",)
NO_GROUP = "no group"


class Found(NamedTuple):
    """Images and their beads."""

    folder: Path
    rows: list[dict[str, Any]]  # of images.csv, with "doubt"
    image: np.ndarray  # i64[N], the row of each bead
    beads: Table  # N beads each: `COLUMNS`, and "size" in `unit`
    unit: str  # "µm" where every image with beads has a pixel size, else "px"
    settings: dict[str, Any]  # of prediction.json

    @property
    def whole(self) -> np.ndarray:
        """bool[N], beads whose size is known: not cut by the border, if any is not."""
        inside = ~self.beads["on_border"].astype(bool)
        return inside if inside.any() else np.ones_like(inside)

    @property
    def edge(self) -> str:
        """By which rule beads count, of `measure.EDGES`."""
        return self.settings.get("edge", "corrected")

    @property
    def count(self) -> int:
        """Beads that count by that rule."""
        return sum(row["count"] for row in self.rows)

    def of(self, rows: Iterable[int]) -> np.ndarray:
        """bool[N], the beads of some images."""
        return np.isin(self.image, list(rows))


def read_found(
    folder: Path, rows: list[dict[str, Any]], settings: dict[str, Any]
) -> Found:
    """Reads the beads of images from the records of a prediction folder.

    Args:
      rows: of images.csv. Those whose record is damaged are left out.
    """
    read = []
    for row in rows:
        try:
            read.append((row, read_record(record_of(folder, row["image"]))[1]))
        except Exception:  # damaged in any way; predict has told of it
            continue
    return join([row for row, _ in read], [t for _, t in read], folder, settings)


def join(
    rows: list[dict[str, Any]],
    tables: list[Table],
    folder: Path,
    settings: dict[str, Any],
) -> Found:
    """The beads of all images under each other; a table for each of the rows."""
    counts = [len(table["label"]) for table in tables]
    beads = {}
    for name in COLUMNS:
        parts = [t.get(name, np.full(len(t["label"]), np.nan)) for t in tables]
        beads[name] = np.concatenate([np.zeros(0), *parts])
    image = np.repeat(np.arange(len(rows)), counts)
    scales = np.array([row["pixel_size_um"] or np.nan for row in rows], float)[image]
    known = len(scales) > 0 and bool(np.isfinite(scales).all())
    beads["size"] = beads["diameter_px"] * (scales if known else 1.0)
    return Found(folder, rows, image, beads, "µm" if known else "px", settings)


def grouped(rows: list[dict[str, Any]], pattern: re.Pattern) -> dict[str, list[int]]:
    """Rows by the part of the image's name that a pattern finds.

    Its groups in brackets, where it has any, else all that it matches. Images without
    a match come last, as "no group".
    """
    groups: dict[str, list[int]] = {}
    rest = []
    for i, row in enumerate(rows):
        match = pattern.search(row["image"])
        if match is None:
            rest.append(i)
            continue
        name = " ".join(part or "" for part in match.groups()) or match.group()
        groups.setdefault(printable(name), []).append(i)
    groups = {name: groups[name] for name in sorted(groups, key=_natural)}
    return groups | ({NO_GROUP: rest} if rest else {})


def _natural(name: str) -> list[tuple[int, int | str]]:
    """Numbers by their value: 20x before 100x."""
    parts = re.split(r"(\d+)", name)
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts]
