"""The widget: finds the beads of the image that is shown."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from magicgui import magic_factory
from napari import Viewer
from napari.layers import Image
from napari.qt.threading import create_worker
from napari.utils.notifications import show_error, show_info, show_warning

from beadseg.errors import BeadsegError
from beadseg.inference.prediction import Prediction
from beadseg.inference.settings import AUTO, POLARITIES
from beadseg.napari.reading import features_of


@magic_factory(
    call_button="Find beads",
    run={
        "mode": "d",
        "nullable": True,
        "tooltip": "folder of a run or a sweep; empty: the default model",
    },
    diameter={"tooltip": "px of the beads in this image, or auto"},
    min_score={
        "label": "min-score",
        "tooltip": "beads less sure than this are left out, 0 to 1, or auto",
    },
    polarity={
        "choices": POLARITIES,
        "tooltip": "beads brighter or darker than what lies around alone",
    },
)
def find_beads(
    viewer: Viewer,
    image: Image,
    run: Path | None = None,
    diameter: str = AUTO,
    min_score: str = AUTO,
    polarity: str = "any",
):
    """Adds the beads of the plane that is shown as labels with measurements.

    Returns:
      The worker that looks for them, so that napari can be used meanwhile.
    """
    if image is None:
        show_error("no image is open: open one, or a sample of beadseg (File menu)")
        return None
    at = _plane(image, viewer.dims.point)
    data = image.data[0] if image.multiscale else image.data

    def find() -> Prediction:
        return _predictor(run).predict(
            np.asarray(data[at]),
            diameter=_number(diameter),
            min_score=_number(min_score),
            polarity=polarity,
            pixel_size=_pixel_size(image),
        )

    def show(found: Prediction) -> None:
        lead = (None,) * len(at)
        offset = np.zeros(image.ndim)
        offset[: len(at)] = at
        viewer.add_labels(
            found.labels[lead],
            name=f"{image.name} beads",
            features=features_of(found.table),
            scale=image.scale,
            translate=image.translate + offset * image.scale,
            units=image.units,
        )
        show_info(repr(found))
        for line in (*found.notes, *found.doubts):
            show_warning(line)

    return create_worker(
        find,
        _connect={"returned": show, "errored": _tell},
        _progress={"desc": "finding beads"},
        _ignore_errors=True,  # `_tell` tells them
    )


@lru_cache(maxsize=1)
def _predictor(run: Path | None) -> Any:
    from beadseg.inference.predictor import load  # jax takes seconds

    return load(run)


def _tell(error: Exception) -> None:
    """One line of what a person can put right; the rest as napari does."""
    if not isinstance(error, BeadsegError):
        raise error
    show_error(str(error))


def _plane(image: Image, point: tuple[float, ...]) -> tuple[int, ...]:
    """Where the plane that is shown lies in the data of a layer."""
    at = image.world_to_data(point[-image.ndim :])[:-2]
    sizes = (image.data[0] if image.multiscale else image.data).shape
    return tuple(min(max(round(i), 0), n - 1) for i, n in zip(at, sizes, strict=False))


def _pixel_size(image: Image) -> float | None:
    """um, where the layer has a unit of length and square pixels."""
    y, x = image.scale[-2:]
    unit = image.units[-1]
    if not (unit.is_compatible_with("um") and np.isclose(y, x)):
        return None
    return float((x * unit).to("um").magnitude)


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:  # auto; what else is told by `Settings`
        return text.strip()
