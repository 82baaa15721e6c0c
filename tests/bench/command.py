"""`beadseg predict` as a user runs it, and what it wrote."""

import csv
import math
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tifffile


class Predicted(NamedTuple):
    """A prediction folder, with its tables as rows of texts."""

    folder: Path
    images: dict[str, dict[str, str]]  # row of images.csv by name
    beads: dict[str, list[dict[str, str]]]  # rows of beads.csv by image
    seconds: float  # from the command to its end

    def labels(self, image: str) -> np.ndarray:
        """i[H, W], 0 background."""
        return tifffile.imread(self.folder / "labels" / f"{image}.tif")

    def column(self, image: str, name: str) -> np.ndarray:
        """f64[N], a column of the table of the beads of an image."""
        return np.array([float(bead[name]) for bead in self.beads[image]])

    def centres(self, image: str) -> np.ndarray:
        """f64[N, 2], y and x in px."""
        columns = [self.column(image, name) for name in ("y", "x")]
        return np.stack(columns, 1)


def predict(
    images: Sequence[Path], folder: Path, model: Sequence[str] = ()
) -> Predicted:
    """Runs `beadseg predict` with nothing given but `model`: flags, such as --run.

    An image that cannot be predicted has no row in `images`.

    Raises:
      RuntimeError: the command failed as a whole.
    """
    command = [sys.executable, "-m", "beadseg.cli", "predict", *images, "-o", folder]
    started = time.monotonic()
    done = subprocess.run([*command, *model], stdout=subprocess.DEVNULL)
    seconds = time.monotonic() - started
    if done.returncode and not (folder / "images.csv").exists():
        raise RuntimeError(f"beadseg predict ends with exit code {done.returncode}")
    return read(folder, seconds)


def read(folder: Path, seconds: float = math.nan) -> Predicted:
    """A prediction folder as it stands."""
    rows = {row["image"]: row for row in _rows(folder / "images.csv")}
    beads: dict[str, list] = {name: [] for name in rows}
    for bead in _rows(folder / "beads.csv"):
        beads[bead["image"]].append(bead)
    return Predicted(folder, rows, beads, seconds)


def _rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as text:
        return list(csv.DictReader(text))
