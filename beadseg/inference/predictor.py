"""Images in memory to beads: `beadseg.load(RUN).predict(array)`."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from beadseg.data.pixels import to_grey
from beadseg.data.reading import check_image
from beadseg.data.scaling import (
    LARGEST_SCALE,
    SMALLEST_SCALE,
    prepare,
)
from beadseg.errors import BeadsegError
from beadseg.inference import size
from beadseg.inference.grid import (
    resample_beads,
    resample_map,
    resample_probability,
)
from beadseg.inference.instances import DIAMETER, find_beads
from beadseg.inference.measure import Table, measure
from beadseg.inference.run import Run, load_runs
from beadseg.inference.tiles import TILE, Network

AUTO = "auto"
# Of a network that has seen no real image: it takes more of the ground for small beads,
# and its centres stand out less. Chosen with the default model on tests/bench.
UNSEEN = {"speck": 0.45, "prominence": 0.06, "smooth": 0.05}
# What is less than so much of the smallest beads that a network was trained on across,
# or than so many bead diameters, is no bead.
SMALLER, SPECK_LEAST = 0.6, 0.15


@dataclass(frozen=True)
class Prediction:
    """The beads of an image of H x W px."""

    labels: np.ndarray  # i32[H, W], 0 background, 1..N
    probability: np.ndarray  # f32[H, W]
    table: Table  # a row a bead, see `beadseg.inference.measure`
    image: dict[str, Any]  # count, density, ...: one row of images.csv
    uncertainty: np.ndarray | None  # f32[H, W], spread over runs and symmetries
    boxes: np.ndarray  # i64[N, 4], first and last + 1 row, first and last + 1 column


@dataclass(frozen=True)
class Maps:
    """What the networks say, f32[h, w] on the grid of the first of them."""

    probability: np.ndarray
    distance: np.ndarray | None
    uncertainty: np.ndarray | None
    labels: np.ndarray | None = None  # i32[h, w], where they are known already


@dataclass(frozen=True)
class Seen:
    """An image after the networks: what is left needs none of them."""

    image: np.ndarray  # [H, W]
    maps: Maps
    threshold: float
    scale: float  # px of the maps to a px of the image


def load(
    *runs: str | Path,
    top: int | None = None,
    tile: int = TILE,
    overlap: int | None = None,
    augment: bool = False,
) -> "Predictor":
    """A predictor from run folders; from none, the default model.

    Args:
      runs: run or sweep folders; several make an ensemble.
      top: members of each sweep that are taken, best first.
      tile: px of the image that a window contributes, a side; only memory and speed
        depend on it.
      overlap: px by which windows reach beyond that; None: as far as exactness needs.
      augment: predicts in the 8 symmetries of the square and takes the mean.

    Raises:
      BeadsegError: no such run, or one that cannot be used.
    """
    loaded = load_runs([Path(run) for run in runs], top)
    return Predictor(loaded, tile=tile, overlap=overlap, augment=augment)


class Predictor:
    """Predicts with one run, or with the mean of several."""

    def __init__(self, runs: list[Run], **tiling: Any):
        """`tiling` is passed on to `Network`."""
        self.runs = runs
        self.networks = [Network(run, **tiling) for run in runs]
        self.augment = bool(tiling.get("augment"))
        self.spreads = len(runs) > 1 or self.augment

    def predict(
        self,
        array: np.ndarray,
        threshold: float | str = AUTO,
        diameter: float | str = AUTO,
        pixel_size: float | None = None,
    ) -> Prediction:
        """Finds and measures the beads of an image.

        Args:
          array: [H, W] of any real type, or [H, W, 3 or 4] of RGB(A).
          threshold: of the probability; "auto": the one chosen on validation images.
          diameter: px of the beads in this image; "auto": measured in it.
          pixel_size: um, for lengths in um.

        Raises:
          BeadsegError: pixels, a threshold or a size that make no sense.
        """
        image = grey(array)
        check_image(image, "the image")
        threshold = self.threshold(threshold)
        seen = self.look(
            image, threshold, *self.choose_scale(image, threshold, diameter)
        )
        return self.finish(seen, pixel_size)

    def look(
        self,
        image: np.ndarray,
        threshold: float,
        scale: float,
        maps: Maps | None = None,
        least_span: float = 0.0,
    ) -> Seen:
        """What the networks say of an image [H, W], unless `maps` hold it already."""
        if maps is None:
            maps = self.maps(image, scale, least_span)
        return Seen(image, maps, threshold, scale)

    def finish(self, seen: Seen, pixel_size: float | None = None) -> Prediction:
        """The rest of `predict`, which may run on another thread."""
        maps, shape = seen.maps, seen.image.shape
        labels = maps.labels
        if labels is None:
            labels = self.beads(maps, seen.threshold)
        probability = resample_probability(maps.probability, shape)
        labels = resample_beads(labels, probability >= seen.threshold)
        uncertainty = None
        if maps.uncertainty is not None:
            uncertainty = resample_map(maps.uncertainty, shape)
        found = measure(
            labels,
            seen.image,
            probability,
            threshold=seen.threshold,
            pixel_size=pixel_size,
            uncertainty=uncertainty,
        )
        about = found.image | {"threshold": seen.threshold, "scale": seen.scale}
        return Prediction(
            labels, probability, found.table, about, uncertainty, found.boxes
        )

    def threshold(self, wanted: float | str = AUTO) -> float:
        """The threshold in use: of several runs the mean of theirs."""
        if wanted == AUTO:
            return float(np.mean([run.threshold for run in self.runs]))
        if not 0 < wanted < 1:
            raise BeadsegError(f"--threshold {wanted}: give a number between 0 and 1")
        return float(wanted)

    def choose_scale(
        self,
        image: np.ndarray,
        threshold: float,
        diameter: float | str = AUTO,
        least_span: float = 0.0,
    ) -> tuple[float, Maps | None]:
        """Pixels of the first network to a pixel of the image, [H, W].

        Returns:
          The scale, and the maps of the whole image where they were needed to find it.
        """
        run = self.runs[0]
        if run.bead_diameter is None:
            return run.scale, None
        if diameter != AUTO:
            return size.scale_for(run.bead_diameter, diameter), None

        def maps_of(part: np.ndarray, scale: float) -> Maps:
            maps = self.maps(part, scale, least_span)
            return replace(maps, labels=self.beads(maps, threshold))

        return size.choose(image, run, maps_of)

    def maps(self, image: np.ndarray, scale: float, least_span: float = 0.0) -> Maps:
        """What the networks say of an image [H, W], on the grid of the first.

        `least_span` is that of `beadseg.data.scaling.prepare`.
        """
        parts = []
        for network in self.networks:
            own = self.scale_of(network.run, scale)
            prepared = prepare(image, **network.run.preparation(own, least_span))
            parts.append(network.predict(prepared.image))
        shape = parts[0].probability.shape
        distances = [p.distance for p in parts if p.distance is not None]
        mean = _mean([resample_map(p.probability, shape) for p in parts])
        uncertainty = None
        if self.spreads:
            square = _mean([resample_map(p.square, shape) for p in parts])
            uncertainty = np.sqrt(np.maximum(square - np.square(mean), 0.0))
        distance = None
        if distances:
            distance = _mean([resample_map(d, shape) for d in distances])
        return Maps(mean, distance, uncertainty)

    def beads(self, maps: Maps, threshold: float) -> np.ndarray:
        """Labels i32[h, w] of the beads that the maps show."""
        return find_beads(
            maps.probability, maps.distance, threshold, **self.bead_options
        )

    @property
    def bead_options(self) -> dict[str, float]:
        """What `find_beads` is told of these runs."""
        run = self.runs[0]
        options = {"diameter": run.bead_diameter or DIAMETER}
        if run.generated:
            return options | UNSEEN
        if run.smallest_bead is not None:
            options["speck"] = max(SMALLER * run.smallest_bead, SPECK_LEAST)
        return options

    def scale_of(self, run: Run, scale: float) -> float:
        """The scale at which another run sees beads of the size that it knows."""
        first = self.runs[0]
        if run is first or not (run.bead_diameter and first.bead_diameter):
            return scale
        own = scale * run.bead_diameter / first.bead_diameter
        return min(max(own, SMALLEST_SCALE), LARGEST_SCALE)


def grey(array: np.ndarray) -> np.ndarray:
    """[H, W] of an image, luminance of RGB(A).

    Raises:
      BeadsegError: it is neither.
    """
    array = np.asarray(array)
    if array.dtype == bool:
        array = array.astype(np.uint8)
    if array.ndim == 3 and array.shape[-1] in (1, 3, 4):
        array = array[..., 0] if array.shape[-1] == 1 else array[..., :3]
        array = to_grey(array, "colour", None)
    if array.ndim != 2 or array.dtype.kind not in "iuf":
        raise BeadsegError(
            f"an array of shape {array.shape} and type {array.dtype} is no image: give "
            "[H, W] or [H, W, 3] of numbers"
        )
    return array


def _mean(arrays: list[np.ndarray]) -> np.ndarray:
    return arrays[0] if len(arrays) == 1 else np.mean(arrays, 0, dtype=np.float32)
