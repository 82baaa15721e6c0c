"""The files of one image, two at a time.

Outlines are work for Python, everything else for libraries that need it little: the
one goes on beside the other.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from beadseg.inference.outputs import writers
from beadseg.inference.outputs.measure import Table
from beadseg.inference.outputs.outlines import polygons
from beadseg.inference.outputs.overlay import draw_overlay
from beadseg.inference.scratch import Scratch

# Folders of a prediction folder and the endings of the files in them.
OUTPUTS = {
    "labels": ".tif",
    "probability": ".tif",
    "overlays": ".png",
    "rois": ".zip",
    "geojson": ".geojson",
}
UNCERTAINTY = "uncertainty"  # a folder more, where several networks or symmetries are


def write_outputs(
    files: dict[str, Path],
    rasters: dict[str, Callable[[Path], None]],
    image: np.ndarray,
    labels: np.ndarray | Scratch,
    table: Table,
    boxes: np.ndarray,
    pixel_size: float | None,
) -> None:
    """Writes what `files` names.

    Args:
      files: by their kinds, of `OUTPUTS` or "uncertainty".
      rasters: how the files of pixels are written.
      image: [H, W], as the file has it.
      labels: i32[H, W].
      table: of the beads, see `beadseg.inference.measure`.
      boxes: i64[N, 4] of the beads, likewise.
      pixel_size: um.
    """
    beads = table["label"]
    with ThreadPoolExecutor(1) as beside:
        started = [
            beside.submit(write, files[kind])
            for kind, write in rasters.items()
            if kind in files
        ]
        outlines: list[np.ndarray] = []
        if {"overlays", "rois", "geojson"} & set(files):
            outlines += polygons(labels, boxes, beads)
        if "overlays" in files:
            started.append(
                beside.submit(
                    lambda: writers.write_png(
                        files["overlays"], draw_overlay(image, outlines, pixel_size)
                    )
                )
            )
        if "rois" in files:
            writers.write_rois(files["rois"], beads.tolist(), outlines)
        if "geojson" in files:
            writers.write_geojson(files["geojson"], table, outlines)
        for future in started:
            future.result()
