"""What is written of images: a row for each kind of file.

A new kind is a function and a row of `OUTPUTS`, a new kind of table one of `TABLES`:
the help of `beadseg predict`, its flags and the prediction folder follow. What a writer
needs is imported when it writes, so that help comes at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    import numpy as np

    from beadseg.inference.outputs.measure import Table
    from beadseg.inference.predictor import Prediction


@dataclass(frozen=True)
class Predicted:
    """An image and what was found in it."""

    image: np.ndarray  # [H, W], as the file has it
    found: Prediction
    pixel_size: float | None  # um
    outlines: list[np.ndarray]  # f32[n, 2] (y, x), px, of each bead; see `polygons`


@dataclass(frozen=True)
class Output:
    """A folder of a prediction folder, with a file for each image."""

    about: str  # for the help
    ending: str
    write: Callable[[Path, Predicted], None]  # the file, whole or not at all
    outlined: bool = False  # whether `write` looks at the outlines
    in_python: bool = False  # work for Python, not for libraries that need it little
    along: str = ""  # the kind it goes along with, where there is an uncertainty


@dataclass(frozen=True)
class TableKind:
    """A kind of the tables of beads and of images."""

    about: str  # for the help; "" where the name says it
    write: Callable[[BinaryIO, list[str], list[Table]], None]  # columns, tables


def _labels(file: Path, of: Predicted) -> None:
    from beadseg.inference.outputs.writers import write_labels

    count = int(of.found.table["label"].max(initial=0))
    write_labels(file, of.found.labels, count, of.pixel_size)


def _probability(file: Path, of: Predicted) -> None:
    from beadseg.inference.outputs.writers import write_map

    write_map(file, of.found.probability, of.pixel_size)


def _uncertainty(file: Path, of: Predicted) -> None:
    from beadseg.inference.outputs.writers import write_map

    write_map(file, of.found.uncertainty, of.pixel_size)


def _overlay(file: Path, of: Predicted) -> None:
    from beadseg.inference.outputs.overlay import draw_overlay
    from beadseg.inference.outputs.writers import write_png

    write_png(file, draw_overlay(of.image, of.outlines, of.pixel_size))


def _rois(file: Path, of: Predicted) -> None:
    from beadseg.inference.outputs.writers import write_rois

    write_rois(file, of.found.table["label"].tolist(), of.outlines)


def _geojson(file: Path, of: Predicted) -> None:
    from beadseg.inference.outputs.writers import write_geojson

    write_geojson(file, of.found.table, of.outlines)


OUTPUTS: dict[str, Output] = {
    "labels": Output("labels", ".tif", _labels),
    "probability": Output("probability", ".tif", _probability),
    "uncertainty": Output("", ".tif", _uncertainty, along="probability"),
    "overlays": Output("overlays", ".png", _overlay, True),
    "rois": Output("ImageJ ROIs", ".zip", _rois, True, True),
    "geojson": Output("GeoJSON (QuPath)", ".geojson", _geojson, True, True),
}


def _csv(content: BinaryIO, names: list[str], tables: list[Table]) -> None:
    from beadseg.inference.outputs.writers import write_csv

    write_csv(content, names, tables)


def _parquet(content: BinaryIO, names: list[str], tables: list[Table]) -> None:
    from beadseg.inference.outputs.writers import write_parquet

    write_parquet(content, names, tables)


def _excel(content: BinaryIO, names: list[str], tables: list[Table]) -> None:
    from beadseg.inference.outputs.writers import write_excel

    write_excel(content, names, tables)


TABLES: dict[str, TableKind] = {
    "csv": TableKind("", _csv),
    "parquet": TableKind("", _parquet),
    "xlsx": TableKind("for Excel in any language, with its decimal separator", _excel),
}


def choices() -> tuple[str, ...]:
    """The kinds of `OUTPUTS` that a person can choose."""
    return tuple(kind for kind, output in OUTPUTS.items() if not output.along)


def write_outputs(
    folder: Path,
    name: str,
    only: Iterable[str],
    image: np.ndarray,
    found: Prediction,
    pixel_size: float | None,
) -> None:
    """Writes the files of one image, two at a time.

    Outlines are work for Python, everything else for libraries that need it little: the
    one goes on beside the other.

    Args:
      folder: of the prediction.
      name: of the image.
      only: kinds of `choices`.
      image: [H, W], as the file has it.
      found: in the image.
      pixel_size: um.
    """
    from beadseg.inference.outputs.outlines import polygons

    chosen, spreads = {*only}, found.uncertainty is not None
    outputs = {
        kind: output
        for kind, output in OUTPUTS.items()
        if kind in chosen or spreads and output.along in chosen
    }
    of = Predicted(image, found, pixel_size, [])
    with ThreadPoolExecutor(1) as beside:
        started = []
        for outlined in (False, True):
            some = {k: o for k, o in outputs.items() if o.outlined == outlined}
            if outlined and some:
                of.outlines += polygons(found.labels, found.boxes, found.table["label"])
            for kind, output in sorted(some.items(), key=lambda kv: kv[1].in_python):
                file = folder / kind / f"{name}{output.ending}"
                file.parent.mkdir(exist_ok=True)
                if output.in_python:
                    output.write(file, of)
                else:
                    started.append(beside.submit(output.write, file, of))
        for future in started:
            future.result()
