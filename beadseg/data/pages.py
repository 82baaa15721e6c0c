"""Where pages come from, files or the renderer, and how one becomes tiles."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from beadseg.data import scaling
from beadseg.data.cache import hash_arrays, hash_json
from beadseg.data.generated.damage import damage_labels
from beadseg.data.generated.render import GeneratedImage, generate
from beadseg.data.generated.settings import GeneratedSettings
from beadseg.data.images import gaps
from beadseg.data.masks import sizes
from beadseg.data.masks.beads import contrasts
from beadseg.data.masks.labels import UNKNOWN
from beadseg.data.masks.marked import Outlined
from beadseg.data.masks.points import discs
from beadseg.data.samples import Sample, mask_of, read_sample
from beadseg.data.tiles import RecordInfo, points_inside, quantise, tile_boxes
from beadseg.errors import BeadsegError
from beadseg.matching import count_beads

_PART = 256  # px, side of what is seen of a level that is not seen as a whole
_FEW = 32  # generated images that tell the size of all
_TOO_FINE = 0.85  # from this share of the images on, all beads are larger than that
_REDUCED = 4.0  # largest factor by which a generated image is reduced


class Page(NamedTuple):
    """A page in memory, as the files have it."""

    image: np.ndarray  # [H, W]
    labels: np.ndarray | None  # i32[H, W]; -1 unknown
    points: np.ndarray | None  # f32[N, 2]: y, x
    about: dict[str, Any]  # the fields of RecordInfo that it decides
    scale: float = 1.0  # by which it is resampled, beside that of the data set
    level: str = ""  # what tells it from the same page at other scales
    whole: bool = True  # or its middle alone


class Preprocessing(NamedTuple):
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
    outlined: Outlined | None = None  # instead of masks
    redraw: Callable[[np.ndarray], np.ndarray] | None = None  # or done to masks
    known: sizes.Sizes | None = None  # sizes that are taught; None: one

    @functools.cached_property
    def seen(self) -> list[tuple[Sample, sizes.Look]]:
        """Each sample, at each level at which it is seen."""
        if self.known is None:
            return [(sample, sizes.Look(1.0, True)) for sample in self.samples]
        return [
            (sample, look)
            for sample in self.samples
            for look in sizes.levels(self.diameters(sample), self.known)
        ]

    def diameters(self, sample: Sample) -> np.ndarray:
        """Px across the beads of a sample."""
        known = self.outlined.diameters if self.outlined else {}
        return np.array(known.get(sample.name, sample.diameters))

    def __len__(self) -> int:
        return len(self.seen)

    def shape(self, index: int) -> tuple[int, ...]:
        return self.seen[index][0].shape

    def load(self, index: int) -> Page:
        sample, (scale, whole) = self.seen[index]
        image, labels, points = read_sample(sample, self._labels)
        about = {
            "image": sample.name,
            "source": sample.source,
            "page": sample.page,
            "beads": sample.beads,
            "uid": hash_json(sample.digest),
        }
        if self.known and labels is not None:
            labels = sizes.taught_at(labels, scale, self.known)
        about |= about_now(sample)
        level = f",{scale:g}" if self.known else ""
        return Page(gaps.fill(image)[0], labels, points, about, scale, level, whole)

    def _labels(self, sample: Sample, points: np.ndarray | None) -> np.ndarray | None:
        if sample.mask and self.outlined and sample.name in self.outlined.diameters:
            return self.outlined.labels(sample.name)
        if sample.mask:
            labels = mask_of(sample)
            return self.redraw(labels) if self.redraw else labels
        if sample.disc is not None:
            return discs(points, sample.disc, sample.shape)
        return None


def about_now(sample: Sample) -> dict[str, Any]:
    """What config and beads.toml say about a page; no part of what is stored."""
    return {
        "group": sample.group,
        "pixel_size": sample.pixel_size,
        "completeness": sample.completeness,
    }


class GeneratedPages:
    """Generated images, with their labels damaged if the config says so.

    With `generated.sizes`, one of the beads of each image is so many px across, drawn
    from that range in octaves, and the image is as it comes from the camera or a level
    of its pyramid. Beads a little larger or smaller than the range are unknown, those
    larger by far background: other levels find them.

    Raises:
      BeadsegError: `sizes` that are no range.
    """

    def __init__(self, generated: ConfigDict):
        sizes = tuple(generated.sizes)
        if sizes and not (len(sizes) == 2 and 2 <= sizes[0] < sizes[1]):
            raise BeadsegError(
                f"data.generated.sizes = {sizes}: give (smallest, largest) px, from 2 "
                "on, or ()"
            )
        self._config = generated
        self._sizes = sizes
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
        return [
            scaling.bead_diameters(page.labels) * page.scale
            for page in self._drawn.values()
        ]

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
        scale = 1.0
        if self._sizes:
            scale = self._size_of(index)[1]
            labels = self._taught(labels, drawn, scale)
        name = f"generated_{index:05d}"
        about = {
            "image": name,
            "source": name,
            "group": name,
            "page": 0,
            "beads": count_beads(labels),
            "uid": hash_arrays(drawn.image, labels),
            "pixel_size": drawn.pixel_size,
            "completeness": None,
        }
        return Page(drawn.image, labels, None, about, scale)

    def _size_of(self, index: int) -> tuple[float, float]:
        """Diameter of the usual beads of an image as it is drawn, and its scale."""
        rng = np.random.default_rng((self._config.seed, index, 3))
        wanted = float(np.exp(rng.uniform(*np.log(self._sizes))))
        lowest, highest = 2 * np.array(self._settings.radius)
        factor, kind = 1.0, rng.random()
        if kind > _TOO_FINE:
            beyond = np.array((1.05, 5)) * sizes.BEYOND * self._sizes[1]
            wanted = float(np.exp(rng.uniform(*np.log(beyond))))
        elif kind < 0.5:
            factor = float(np.exp(rng.uniform(0, np.log(_REDUCED))))
        elif kind < 0.56:
            factor = 0.5  # enlarged
        drawn = float(np.clip(wanted * factor, lowest, highest))
        return drawn, wanted / drawn

    def _taught(
        self, labels: np.ndarray, drawn: GeneratedImage, scale: float
    ) -> np.ndarray:
        """Labels without the beads that another level of a pyramid finds.

        Dust is unknown there: only the rest of its image tells it from a small bead.
        """
        across = np.concatenate([[0.0], 2 * drawn.beads["radius"] * scale])
        taught = sizes.taught(labels, across, self._sizes)
        return np.where(drawn.dust & (taught == 0), np.int32(UNKNOWN), taught)

    def _frame(self, index: int) -> GeneratedSettings:
        if self._sizes:
            diameter, scale = self._size_of(index)
            near = (0.45 * diameter, 0.55 * diameter)
            size = max(round(self._settings.size / scale), 32)
            return replace(self._settings, size=size, radius=near)
        return self._settings


Pages = FolderPages | GeneratedPages  # `load` raises ReadError for one that is damaged


class Tiles(NamedTuple):
    """A page made ready."""

    records: list[tuple[RecordInfo, dict[str, np.ndarray]]]
    beads: int  # labelled in the page
    lost: int  # of them, those too small for a pixel after resampling
    contrasts: np.ndarray  # f64[N], of them, relative


def cut(page: Page, preprocessing: Preprocessing) -> Tiles:
    """Normalises, resamples and cuts a page."""
    scale = preprocessing.scale * page.scale
    image, low, high = scaling.prepare(
        page.image,
        low=preprocessing.low,
        high=preprocessing.high,
        flatten_sigma=preprocessing.flatten_sigma / page.scale,
        scale=scale,
    )
    labels, points = page.labels, page.points
    if labels is None:
        labels = np.full(page.image.shape, UNKNOWN, np.int32)
    before, found = count_beads(labels), contrasts(labels, page.image, relative=True)
    labels = scaling.resample_labels(labels, image.shape)
    points = np.zeros((0, 2), np.float32) if points is None else points
    points = scaling.resample_points(points, page.image.shape, image.shape)
    records = []
    boxes = tile_boxes(image.shape, preprocessing.tile_size)
    for rows, columns in boxes if page.whole else [scaling.middle(image.shape, _PART)]:
        tile = labels[rows, columns]
        known = int((tile != UNKNOWN).sum())
        info = RecordInfo(
            name=f"{page.about['image']}@{rows.start},{columns.start}{page.level}",
            offset=(rows.start, columns.start),
            shape=tile.shape,
            page_shape=image.shape,
            has_mask=page.labels is not None,
            coverage=int((tile > 0).sum()) / max(known, 1),
            known=known / tile.size,
            scale=scale,
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
    return Tiles(records, before, before - count_beads(labels), found)
