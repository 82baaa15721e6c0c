"""An image larger than what memory holds of maps, from pixels to files in bands.

The image itself is in memory, as the file has it; maps and labels are on disk, beside
the results, and never whole in memory. Files and numbers are those of
`beadseg.inference.batch` for a smaller image.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from beadseg.data.scaling import PreparedWindows, scaled_shape
from beadseg.errors import BeadsegError
from beadseg.inference import writers
from beadseg.inference.grid import (
    resample_beads,
    resample_map,
    resample_probability,
    rows_around,
)
from beadseg.inference.instances import find_beads_blockwise
from beadseg.inference.measure import BAND, Measured, Measurer
from beadseg.inference.outputs import UNCERTAINTY, write_outputs
from beadseg.inference.predictor import Predictor
from beadseg.inference.scratch import Scratch

LARGE = 2**25  # px of an image, or of it as the network sees it, from which on


class _Maps(NamedTuple):
    """On the grid of the network, f32[h, w]."""

    probability: Scratch
    distance: Scratch | None
    uncertainty: Scratch | None


def is_large(image: np.ndarray, scale: float) -> bool:
    """Whether an image is predicted in bands."""
    return max(image.size, math.prod(scaled_shape(image.shape, scale))) >= LARGE


def predict_large(
    image: np.ndarray,
    predictor: Predictor,
    *,
    scale: float,
    threshold: float,
    least_span: float,
    pixel_size: float | None,
    folder: Path,
    files: dict[str, Path],
) -> Measured:
    """Predicts and writes an image.

    Args:
      image: [H, W].
      predictor: its runs must see the image at one scale.
      scale: pixels of the network to a pixel of the image.
      threshold: of the probability.
      least_span: see `beadseg.data.scaling.prepare`.
      pixel_size: um.
      folder: where there is room for maps.
      files: what to write, as for `write_outputs`.

    Raises:
      BeadsegError: runs that know beads of different sizes.
    """
    maps = _maps(image, predictor, scale, least_span, folder)
    grid = maps.probability.shape
    labels = Scratch(folder, grid, np.int32)
    distance = maps.distance
    count = find_beads_blockwise(
        lambda rows, columns: maps.probability[rows, columns],
        None if distance is None else lambda rows, columns: distance[rows, columns],
        labels,
        threshold,
        **predictor.bead_options,
    )
    if grid != image.shape:
        labels = _on_page(labels, maps.probability, image.shape, threshold, folder)
    measurer = Measurer(image.shape, count, threshold)
    for rows in _bands(image.shape[0]):
        measurer.add(
            labels[rows],
            image[rows],
            _page_rows(maps.probability, rows, image.shape, resample_probability),
            None
            if maps.uncertainty is None
            else _page_rows(maps.uncertainty, rows, image.shape, resample_map),
        )
    found = measurer.finish(pixel_size)
    _write(image, labels, maps, found, pixel_size, files)
    return found


def _maps(image, predictor: Predictor, scale, least_span, folder: Path) -> _Maps:
    shape = scaled_shape(image.shape, scale)
    count = len(predictor.networks)
    probability = Scratch(folder, shape, np.float32)
    square = Scratch(folder, shape, np.float32) if predictor.spreads else None
    distance, deep = None, sum(n.has_distance for n in predictor.networks)
    if deep:
        distance = Scratch(folder, shape, np.float32)
    for network in predictor.networks:
        run = network.run
        if scaled_shape(image.shape, predictor.scale_of(run, scale)) != shape:
            raise BeadsegError(
                f"{run.name}: knows beads of another size than {predictor.runs[0].name}"
                ", and the image is too large to mix them: give one of them with --run"
            )
        source = PreparedWindows(image, **run.preparation(scale, least_span))
        for band in network.bands(source.read, shape):
            rows = slice(band.top, band.top + len(band.probability))
            _add(probability, rows, band.probability, count)
            if square is not None:
                _add(square, rows, band.square, count)
            if band.distance is not None:
                _add(distance, rows, band.distance, deep)
    if square is not None:  # becomes the spread
        for rows in _bands(shape[0]):
            variance = square[rows] - np.square(probability[rows])
            square[rows] = np.sqrt(np.maximum(variance, 0.0))
    return _Maps(probability, distance, square)


def _add(total: Scratch, rows: slice, values: np.ndarray, count: int) -> None:
    total[rows] = values if count == 1 else total[rows] + values / np.float32(count)


def _on_page(
    labels: Scratch,
    probability: Scratch,
    shape: tuple[int, int],
    threshold: float,
    folder: Path,
) -> Scratch:
    """The labels on the grid of the image."""
    page = Scratch(folder, shape, np.int32)
    heights = (labels.shape[0], shape[0])
    for rows in _bands(shape[0]):
        first, last = rows_around(rows, *heights)
        inside = _page_rows(probability, rows, shape, resample_probability) >= threshold
        page[rows] = resample_beads(
            labels[first:last],
            inside,
            shape=heights,
            top=rows.start,
            label_top=first,
        )
    return page


def _page_rows(
    values: Scratch,
    rows: slice,
    shape: tuple[int, int],
    resample: Callable[..., np.ndarray],
) -> np.ndarray:
    """Rows of a map on the grid of the image, as `resample` gives them of the whole."""
    if values.shape == shape:
        return values[rows]
    ratio = values.shape[0] / shape[0]
    first, last = rows_around(rows, values.shape[0], shape[0])
    box = (0, rows.start * ratio - first, values.shape[1], rows.stop * ratio - first)
    return resample(values[first:last], (rows.stop - rows.start, shape[1]), box)


def _bands(height: int) -> Iterator[slice]:
    for top in range(0, height, BAND):
        yield slice(top, min(top + BAND, height))


def _write(image, labels, maps: _Maps, found: Measured, pixel_size, files) -> None:
    def write_map(kind: str, resample: Callable, file: Path) -> None:
        values = getattr(maps, kind)
        bands = (
            writers.in_steps(_page_rows(values, rows, image.shape, resample))
            for rows in _bands(image.shape[0])
        )
        writers.write_tiled(file, bands, image.shape, np.float32, pixel_size)

    def write_labels(file: Path) -> None:
        dtype = writers.label_type(int(found.table["label"].max(initial=0)))
        bands = (labels[rows].astype(dtype) for rows in _bands(image.shape[0]))
        writers.write_tiled(file, bands, image.shape, dtype, pixel_size)

    rasters = {
        "labels": write_labels,
        "probability": partial(write_map, "probability", resample_probability),
        UNCERTAINTY: partial(write_map, "uncertainty", resample_map),
    }
    write_outputs(files, rasters, image, labels, found.table, found.boxes, pixel_size)
