"""Folders and generated beads as tfds data sets of tiles, built once and kept.

A build goes into the cache under a key made of the files' content, the settings that
shape the tiles and the code that makes them. tfds' ShardBasedBuilder writes as it goes;
the default kind holds up to 1 GB of records to shuffle them, and needs TensorFlow
beyond that.
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from ml_collections import ConfigDict
from tqdm import tqdm

from beadseg.data import cache, scaling
from beadseg.data.dataset import SPLIT, Dataset
from beadseg.data.folder import doubt_lines, require_labels, scan, trusted
from beadseg.data.images.reading import ReadError
from beadseg.data.masks import marked, sizes
from beadseg.data.masks.beads import faintest_bead
from beadseg.data.pages import (
    FolderPages,
    GeneratedPages,
    Pages,
    Preprocessing,
    Tiles,
    about_now,
    cut,
)
from beadseg.data.tiles import RecordInfo
from beadseg.errors import BeadsegError
from beadseg.libraries import allow_nameless
from beadseg.quoting import counted
from beadseg.threads import ordered_map

_INDEX = "records.json"
_SHARD_BYTES = 64 * 2**20  # of raw tiles: tfds holds a shard in memory to count it
_BYTES_PER_PIXEL = 6  # u16 image, i32 labels


@dataclass
class _Found:
    """What a build saw; `lost` beads vanished in resampling."""

    records: list[RecordInfo] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    contrasts: list[np.ndarray] = field(default_factory=list)
    beads: int = 0
    lost: int = 0


class _Info(tfds.core.DatasetInfo):
    """Of a data set that is on this machine alone."""

    def initialize_from_bucket(self) -> None:
        """tfds asks for it in the cloud, and leaves an empty folder in /tmp."""


class Beads(tfds.core.ShardBasedBuilder):
    """Writes the tiles of pages, and keeps what is known of each in `found`."""

    VERSION = tfds.core.Version("1.0.0")
    url_infos = None  # nothing is downloaded; looking for them needs one more package

    def __init__(self, pages: Pages, preprocessing: Preprocessing, **options):
        self._pages, self._preprocessing = pages, preprocessing
        self.found = _Found()
        super().__init__(file_format="array_record", **options)

    def _log_download_bytes(self) -> None:
        """tfds prints that it downloads; it does not."""

    def _log_download_done(self) -> None:
        """As above."""

    def _info(self) -> _Info:
        def array(shape: tuple, dtype: type) -> tfds.features.Tensor:
            # ArrayRecord compresses; zlib on top of it doubles the time of a read.
            return tfds.features.Tensor(shape=shape, dtype=dtype, encoding="bytes")

        features = {
            "image": array((None, None), np.uint16),
            "labels": array((None, None), np.int32),
            "points": array((None, 2), np.float32),
        }
        return _Info(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            disable_shuffling=True,
        )

    def _shard_iterators_per_split(self, dl_manager) -> dict[str, list]:
        bar = tqdm(total=len(self._pages), desc="preparing images", disable=None)
        key = iter(range(2**62))

        def examples(pages: list[int]) -> Iterator[tuple[int, dict]]:
            for tiles in ordered_map(self._cut, pages):
                bar.update()
                if isinstance(tiles, ReadError):
                    self.found.problems.append(str(tiles))
                    continue
                self.found.beads += tiles.beads
                self.found.lost += tiles.lost
                self.found.contrasts.append(tiles.contrasts)
                for info, arrays in tiles.records:
                    self.found.records.append(info)
                    yield next(key), arrays

        def shard(pages: list[int]):
            return lambda: examples(pages)

        return {SPLIT: [shard(pages) for pages in self._shards()]}

    def _cut(self, index: int) -> Tiles | ReadError:
        try:
            return cut(self._pages.load(index), self._preprocessing)
        except ReadError as error:
            return error

    def _shards(self) -> list[list[int]]:
        """Numbers of pages that go into one file."""
        shards, room = [], 0
        for index in range(len(self._pages)):
            shape = scaling.scaled_shape(
                self._pages.shape(index), self._preprocessing.scale
            )
            size = shape[0] * shape[1] * _BYTES_PER_PIXEL
            if not shards or size > room:
                shards.append([])
                room = _SHARD_BYTES
            shards[-1].append(index)
            room -= size
        return shards


def open_dataset(config: ConfigDict) -> Dataset:
    """The data set that a config asks for, built if the cache does not hold it.

    Args:
      config: `data` is read.

    Raises:
      BeadsegError: the folder cannot be trained on, or the cache not be written.
    """
    data = config.data
    if data.crop > data.tile_size:
        raise BeadsegError(
            f"data.crop = {data.crop} is larger than data.tile_size = "
            f"{data.tile_size}: lower the one or raise the other"
        )
    if data.dir:
        dataset = _open_folder(data, config.init_from)
    else:
        dataset = _open_generated(data)
    if data.dir and data.rehearsal and dataset.sizes:
        dataset = replace(dataset, rehearsal=_rehearsal(data, dataset.sizes))
    small = sum(min(record.shape) < data.crop for record in dataset.records)
    if small:
        note = (
            f"{small} of {counted(len(dataset), 'tile is', 'tiles are')} smaller than "
            f"data.crop = {data.crop} px: mirrored at their edges to fill it"
        )
        return replace(dataset, notes=(*dataset.notes, note))
    return dataset


class _Plan(NamedTuple):
    """What to build, and what to keep of how it was decided."""

    pages: Pages
    preprocessing: Preprocessing
    bead_diameter_px: float | None
    smallest_bead: float | None
    sizes: sizes.Sizes | None
    notes: list[str]


def _open_folder(data: ConfigDict, start: str) -> Dataset:
    folder = trusted(scan(data))
    require_labels(folder)
    samples = {sample.name: sample for sample in folder.samples}
    kind, outlined = marked.kind_of(data), None
    if kind != "outlines":
        outlined = marked.stored(data, folder.samples)
    are_marks = outlined.marks.are_marks if outlined else kind == "marks"
    outlined = outlined if are_marks else None
    notes = outlined.lines() if outlined else []
    redraw = None
    if are_marks and not outlined:
        redraw = marked.discs_for(folder.samples)
    pages = FolderPages(folder.samples, outlined, redraw)
    diameters = [pages.diameters(sample) for sample in folder.samples]
    known, line = None, None
    if not are_marks or data.sizes != sizes.AUTO:  # marks do not tell sizes
        known, line = sizes.chosen(data.sizes, start, diameters)
    notes += [line] if line else []

    def plan() -> _Plan:
        if known is None:
            return _plan(pages, data, diameters)
        seen = replace(pages, known=known)
        across = [look.scale * seen.diameters(sample) for sample, look in seen.seen]
        across = [a[(a >= known[0]) & (a <= known[1])] for a in across]
        return _plan(seen, data, across, known)

    content = [(name, sample.digest) for name, sample in samples.items()]
    channel = folder.samples[0].image.channel
    settings = _shaping(data) | {"stack": data.stack, "channel": channel}
    if are_marks:
        settings |= {"marks": outlined.digest if outlined else "discs"}
    if known:
        settings |= {"sizes": known}
    key = cache.hash_json([content, settings])
    dataset = _open(plan, key, data)
    now = [replace(r, **about_now(samples[r.image])) for r in dataset.records]
    problems = (*folder.problems, *dataset.problems)
    return replace(
        dataset,
        records=tuple(now),
        fingerprint=key,
        problems=problems,
        notes=(
            *problems,
            *doubt_lines(folder.doubts),
            *folder.notes,
            *notes,
            *dataset.notes,
        ),
        marks=are_marks,
        unmarked=outlined.unmarked if outlined else 0,
    )


def _open_generated(data: ConfigDict) -> Dataset:
    if data.generated.count < 2:
        raise BeadsegError(
            f"data.generated.count = {data.generated.count}: training needs two "
            "images, one of them for validation"
        )

    data = data.copy_and_resolve_references()
    drawn = tuple(data.generated.sizes)
    with data.ignore_type():  # a copy forgets that it may be a number or "auto"
        data.bead_diameter = 0.0 if drawn else data.generated.bead_diameter

    def plan() -> _Plan:
        pages = GeneratedPages(data.generated)
        found = _plan(pages, data, pages.diameters())
        median = found.bead_diameter_px
        seen = median and median * found.preprocessing.scale
        return found._replace(sizes=sizes.of_generated(drawn, seen))

    settings = _shaping(data) | {"generated": data.generated.to_dict()}
    dataset = _open(plan, cache.hash_json(settings), data)
    content = [record.uid for record in dataset.records]
    return replace(dataset, fingerprint=cache.hash_json([content, settings]))


def _rehearsal(data: ConfigDict, known: sizes.Sizes) -> Dataset:
    """Generated beads of the sizes that a run is to know still at its end."""
    data = data.copy_and_resolve_references()
    data.generated.sizes = known
    return _open_generated(data)


def _shaping(data: ConfigDict) -> dict[str, Any]:
    """The settings that decide what is in a tile."""
    return {
        "bead_diameter": data.bead_diameter,
        "tile_size": data.tile_size,
        "normalise": data.normalise.to_dict(),
    }


def _plan(
    pages: Pages,
    data: ConfigDict,
    of_images: list[np.ndarray],
    known: sizes.Sizes | None = None,
) -> _Plan:
    diameters = np.concatenate(of_images)
    scale, note = 1.0, None
    if not known:
        scale, note = scaling.choose_scale(diameters, data.bead_diameter)
    median = float(np.median(diameters)) if len(diameters) else None
    low, high, flatten = (data.normalise[k] for k in ("low", "high", "flatten"))
    preprocessing = Preprocessing(
        low, high, flatten * (median or 0.0), scale, data.tile_size
    )
    smallest = scaling.smallest_bead(of_images)
    notes = [note] if note else []
    return _Plan(pages, preprocessing, median, smallest, known, notes)


def _open(plan: Callable[[], _Plan], key: str, data: ConfigDict) -> Dataset:
    """The built data set of a key; built by `plan` where the cache does not hold it."""
    name = cache.hash_json([key, cache.hash_code()])
    home = cache.cache_dir(data.cache_dir) / "tiles" / name
    index = cache.read_built(home, _INDEX)
    if index is None:
        with cache.writing_cache(home), cache.build_folder(home) as temporary:
            _build(plan(), temporary)
        index = cache.read_built(home, _INDEX)
    preprocessing = Preprocessing(**index["treatment"])
    return Dataset(
        directory=home / index["builder"],
        records=tuple(map(RecordInfo.from_json, index["records"])),
        bead_diameter_px=index["bead_diameter_px"],
        smallest_bead=index["smallest_bead"],
        sizes=index["sizes"] and tuple(index["sizes"]),
        faintest_bead=index["faintest_bead"],
        scale=preprocessing.scale,
        normalise={k: index["treatment"][k] for k in ("low", "high", "flatten_sigma")},
        fingerprint=key,
        problems=tuple(index["problems"]),
        notes=tuple(index["notes"]),
    )


def _build(plan: _Plan, folder: Path) -> None:
    allow_nameless()
    builder = Beads(plan.pages, plan.preprocessing, data_dir=folder)
    downloads = folder / "downloads"
    builder.download_and_prepare(download_dir=downloads)
    shutil.rmtree(downloads)  # tfds makes it, empty
    found = builder.found
    if not found.records:
        raise BeadsegError(f"no image could be read, the first: {found.problems[0]}")
    notes = list(plan.notes)
    if found.lost:
        notes.append(
            f"{found.lost} of {counted(found.beads, 'bead is', 'beads are')} too small "
            "for a pixel after resampling and are lost: raise data.bead_diameter"
        )
    contrasts = np.concatenate(found.contrasts)
    index = {
        "builder": Path(builder.data_dir).relative_to(folder).as_posix(),
        "records": [asdict(record) for record in found.records],
        "problems": found.problems,
        "notes": notes,
        "bead_diameter_px": plan.bead_diameter_px,
        "smallest_bead": plan.smallest_bead,
        "sizes": plan.sizes,
        "faintest_bead": None if plan.sizes else faintest_bead(contrasts),
        "treatment": plan.preprocessing._asdict(),
    }
    index["files"] = cache.checksums(folder)
    cache.write_stored(folder / _INDEX, index)
