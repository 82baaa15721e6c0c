"""What is written of images: a row for each kind of file.

A new kind is a function and a row of `OUTPUTS`, a new kind of table one of `TABLES`:
the help of `beadseg predict`, its flags and the prediction folder follow. What a writer
needs is imported when it writes, so that help comes at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    import numpy as np

    from beadseg.inference.prediction import Prediction
    from beadseg.tables import Table


@dataclass(frozen=True)
class Predicted:
    """An image and what was found in it; `found.table` has one row per bead."""

    image: np.ndarray  # [H, W], as the file has it
    found: Prediction
    pixel_size: float | None  # um
    region: np.ndarray | None = None  # bool[H, W], where beads count
    # f32[n, 2] (y, x), px, of each bead; see `polygons`
    outlines: list[np.ndarray] = field(default_factory=list)

    @property
    def beads(self) -> np.ndarray:
        """i64[N], their labels."""
        return self.found.table["label"]


@dataclass(frozen=True)
class Output:
    """A folder of a prediction folder, with a file for each image."""

    about: str  # for the help
    ending: str
    write: Callable[[Path, Predicted], None]  # whole: by `files.write_whole`
    outlined: bool = False  # whether `write` looks at the outlines
    in_python: bool = False  # work for Python, not for libraries that need it little
    # Of what nobody chooses: whether it is written beside the kinds that are chosen.
    beside: Callable[[Predicted, set[str]], bool] | None = None
    library: str = ""  # that writes it; "": the standard library
    test: str = "tests/inference/outputs/test_writers.py"


@dataclass(frozen=True)
class TableKind:
    """A kind of the tables of beads and of images."""

    about: str  # for the help; "" where the name says it
    # of columns and tables; None: `beadseg.tables.write_csv`
    write: Callable[[BinaryIO, list[str], list[Table]], None] | None
    library: str = ""  # that writes it; "": the standard library
    test: str = "tests/inference/outputs/test_writers.py"


def _writers() -> ModuleType:
    from beadseg.inference.outputs import writers

    return writers


def _overlay(file: Path, of: Predicted) -> None:
    from beadseg.inference.outputs.overlay import draw_overlay

    picture = draw_overlay(of.image, of.outlines, of.pixel_size, of.region)
    _writers().write_png(file, picture)


OUTPUTS: dict[str, Output] = {
    "labels": Output(
        "labels",
        ".tif",
        lambda f, of: _writers().write_labels(
            f, of.found.labels, of.beads.max(initial=0), of.pixel_size
        ),
        library="tifffile",
        test="tests/data/annotations/test_importing.py",
    ),
    "probability": Output(
        "probability",
        ".tif",
        lambda f, of: _writers().write_map(f, of.found.probability, of.pixel_size),
        library="tifffile",
        test="tests/commands/test_predict.py",
    ),
    "uncertainty": Output(
        "",
        ".tif",
        lambda f, of: _writers().write_map(f, of.found.uncertainty, of.pixel_size),
        beside=lambda of, chosen: (
            of.found.uncertainty is not None and "probability" in chosen
        ),
        library="tifffile",
        test="tests/commands/test_predict.py",
    ),
    "regions": Output(
        "",
        ".tif",
        lambda f, of: _writers().write_region(f, of.region, of.pixel_size),
        beside=lambda of, chosen: of.region is not None,
        library="tifffile",
        test="tests/inference/outputs/test_regions.py",
    ),
    "overlays": Output(
        *("overlays", ".png", _overlay),
        outlined=True,
        library="imagecodecs",
        test="tests/commands/test_predict.py",
    ),
    "rois": Output(
        "ImageJ ROIs",
        ".zip",
        lambda f, of: _writers().write_rois(f, of.beads.tolist(), of.outlines),
        outlined=True,
        in_python=True,
        library="roifile",
    ),
    "geojson": Output(
        "GeoJSON (QuPath)",
        ".geojson",
        lambda f, of: _writers().write_geojson(f, of.found.table, of.outlines),
        outlined=True,
        in_python=True,
        test="tests/data/annotations/test_label_readers.py",
    ),
}
TABLES: dict[str, TableKind] = {
    "csv": TableKind("", None),
    "parquet": TableKind(
        "", lambda *parts: _writers().write_parquet(*parts), "pyarrow"
    ),
    "xlsx": TableKind(
        "for Excel in any language, with its decimal separator",
        lambda *parts: _writers().write_excel(*parts),
        "xlsxwriter",
    ),
}


def choices() -> tuple[str, ...]:
    """The kinds of `OUTPUTS` that a person can choose."""
    return tuple(kind for kind, output in OUTPUTS.items() if output.beside is None)


def output_of(folder: Path, name: str, kind: str) -> Path:
    """The file of an image in a prediction folder."""
    return folder / kind / f"{name}{OUTPUTS[kind].ending}"


def write_outputs(folder: Path, name: str, only: Iterable[str], of: Predicted) -> None:
    """Writes the files of the image `name` into a prediction folder, two at a time.

    Outlines are work for Python, everything else for libraries that need it little: the
    one goes on beside the other. `only` are kinds of `choices`; the outlines are added
    to `of` if a kind needs them.
    """
    from beadseg.inference.outputs.outlines import polygons

    chosen = {*only}
    outputs = [
        (output_of(folder, name, kind), output)
        for kind, output in OUTPUTS.items()
        if kind in chosen or output.beside is not None and output.beside(of, chosen)
    ]
    outputs.sort(key=lambda pair: (pair[1].outlined, pair[1].in_python))
    with ThreadPoolExecutor(1) as beside:
        started = []
        for file, output in outputs:
            if output.outlined and not of.outlines:
                found = polygons(of.found.labels, of.found.boxes, of.beads)
                of.outlines.extend(found)
            file.parent.mkdir(exist_ok=True)
            if output.in_python:
                output.write(file, of)
            else:
                started.append(beside.submit(output.write, file, of))
        for future in started:
            future.result()
