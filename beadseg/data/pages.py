"""Where pages come from, files or the renderer, and how one becomes tiles."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import numpy as np
from ml_collections import ConfigDict

from beadseg.data import scaling
from beadseg.data.cache import hash_arrays, hash_json
from beadseg.data.damage import damage_labels
from beadseg.data.generated import generate
from beadseg.data.generated_settings import GeneratedSettings
from beadseg.data.labels import UNKNOWN, read_labels, read_points
from beadseg.data.points import discs
from beadseg.data.reading import check_image
from beadseg.data.samples import Sample
from beadseg.data.tiles import RecordInfo, points_inside, quantise, tile_boxes
from beadseg.errors import BeadsegError

_FEW = 32  # generated images that tell the size of all


class Page(NamedTuple):
    """A page in memory, as the files have it."""

    image: np.ndarray  # [H, W]
    labels: np.ndarray | None  # i32[H, W]; -1 unknown
    points: np.ndarray | None  # f32[N, 2]: y, x
    about: dict[str, Any]  # the fields of RecordInfo that it decides


class Pages(Protocol):
    """A source of pages. `load` raises ReadError for one that cannot be read."""

    def __len__(self) -> int: ...

    def shape(self, index: int) -> tuple[int, ...]: ...

    def load(self, index: int) -> Page: ...


class Treatment(NamedTuple):
    """What is done to every page of a data set."""

    low: float  # percentile
    high: float
    flatten_sigma: float  # px of the page
    scale: float
    tile_size: int  # px after resampling


@dataclass(frozen=True)
class FolderPages:
    """The samples of a folder."""

    samples: Sequence[Sample]

    def __len__(self) -> int:
        return len(self.samples)

    def shape(self, index: int) -> tuple[int, ...]:
        return self.samples[index].shape

    def load(self, index: int) -> Page:
        sample = self.samples[index]
        page = sample.image.open()[sample.page]
        image = page.read()
        check_image(image, page.where)
        labels = points = None
        if sample.points:
            points = read_points(sample.points.open()[sample.page])
        if sample.mask:
            labels = read_labels(sample.mask.open()[sample.page])
        elif sample.disc is not None:
            labels = discs(points, sample.disc, image.shape)
        if sample.ignore and labels is not None:
            ignored = sample.ignore.open()[sample.page].read() != 0
            labels = np.where(ignored, np.int32(UNKNOWN), labels)
        about = {
            "image": sample.name,
            "source": sample.source,
            "page": sample.page,
            "beads": sample.beads,
            "uid": hash_json(sample.digest),
        }
        return Page(image, labels, points, about | about_now(sample))


def about_now(sample: Sample) -> dict[str, Any]:
    """What config and beads.toml say about a page; no part of what is stored."""
    return {
        "group": sample.group,
        "pixel_size": sample.pixel_size,
        "completeness": sample.completeness,
    }


class GeneratedPages:
    """Generated images, with their labels damaged if the config says so.

    With `generated.per_image`, a frame is as many beads wide whatever their size, and
    each image is resampled so that its own median bead is `bead_diameter` across: blur
    and noise then have the strength that real images of large and small beads have.

    Raises:
      BeadsegError: `per_image` without a `bead_diameter`.
    """

    def __init__(self, generated: ConfigDict):
        if generated.per_image and not generated.bead_diameter:
            raise BeadsegError(
                "data.generated.per_image resamples each image to "
                "data.generated.bead_diameter, which is 0: give it in px"
            )
        self._config = generated
        self._settings = GeneratedSettings(
            preset=generated.preset,
            size=generated.size,
            modalities=tuple(generated.modalities),
        )
        # The first ones are drawn for their size and kept until they are asked for.
        self._drawn = {i: self._draw(i) for i in range(min(_FEW, len(self)))}

    def __len__(self) -> int:
        return self._config.count

    def shape(self, index: int) -> tuple[int, int]:
        return self._settings.size, self._settings.size

    def diameters(self) -> list[np.ndarray]:
        """Of the beads in each of the first images, px; before the first `load`."""
        return [scaling.bead_diameters(page.labels) for page in self._drawn.values()]

    def load(self, index: int) -> Page:
        page = self._drawn.pop(index, None)
        return self._draw(index) if page is None else page

    def _draw(self, index: int) -> Page:
        config = self._config
        drawn = generate(self._frame(index), config.seed, index)
        rng = np.random.default_rng((config.seed, index, 1))
        labels = damage_labels(
            config.damage, config.amount, drawn.labels, drawn.beads, rng
        )
        image, scale = drawn.image, 1.0
        if config.per_image:
            median = float(np.median(scaling.bead_diameters(drawn.labels)))
            scale = config.bead_diameter / median
            shape = scaling.scaled_shape(image.shape, scale)
            image = scaling.resample(image, shape)
            labels = scaling.resample_labels(labels, shape)
        name = f"generated_{index:05d}"
        about = {
            "image": name,
            "source": name,
            "group": name,
            "page": 0,
            "beads": len(np.unique(labels[labels > 0])),
            "uid": hash_arrays(image, labels),
            "pixel_size": drawn.pixel_size / scale,
            "completeness": None,
        }
        return Page(image, labels, None, about)

    def _frame(self, index: int) -> GeneratedSettings:
        if not self._config.per_image:
            return self._settings
        rng = np.random.default_rng((self._config.seed, index, 2))
        radius = float(np.exp(rng.uniform(*np.log(self._settings.radius))))
        size = round(self._settings.size * 2 * radius / self._config.bead_diameter)
        near = (0.9 * radius, 1.1 * radius)
        return replace(self._settings, size=max(size, 32), radius=near)


class Tiles(NamedTuple):
    """A page made ready."""

    records: list[tuple[RecordInfo, dict[str, np.ndarray]]]
    beads: int  # labelled in the page
    lost: int  # of them, those too small for a pixel after resampling


def cut(page: Page, treatment: Treatment) -> Tiles:
    """Normalises, resamples and cuts a page."""
    image, low, high = scaling.prepare(
        page.image,
        low=treatment.low,
        high=treatment.high,
        flatten_sigma=treatment.flatten_sigma,
        scale=treatment.scale,
    )
    has_mask, has_points = page.labels is not None, page.points is not None
    labels = page.labels
    if not has_mask:
        labels = np.full(page.image.shape, UNKNOWN, np.int32)
    before = _count(labels)
    labels = scaling.resample_labels(labels, image.shape)
    points = page.points if has_points else np.zeros((0, 2), np.float32)
    points = scaling.resample_points(points, page.image.shape, image.shape)
    records = []
    for rows, columns in tile_boxes(image.shape, treatment.tile_size):
        tile = labels[rows, columns]
        known = int((tile != UNKNOWN).sum())
        info = RecordInfo(
            name=f"{page.about['image']}@{rows.start},{columns.start}",
            offset=(rows.start, columns.start),
            shape=tile.shape,
            page_shape=image.shape,
            has_mask=has_mask,
            has_points=has_points,
            coverage=int((tile > 0).sum()) / max(known, 1),
            known=known / tile.size,
            scale=treatment.scale,
            low=low,
            high=high,
            **page.about,
        )
        arrays = {
            "image": quantise(image[rows, columns]),
            "labels": np.ascontiguousarray(tile),
            "points": points_inside(points, rows, columns),
        }
        records.append((info, arrays))
    return Tiles(records, before, before - _count(labels))


def _count(labels: np.ndarray) -> int:
    return len(np.unique(labels[labels > 0]))
