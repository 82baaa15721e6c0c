"""Batches for training and evaluation, from tiles."""

import asyncio
import json
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import grain
import numpy as np
from absl import flags
from ml_collections import ConfigDict

from beadseg.data.augment import augment
from beadseg.data.dataset import Dataset
from beadseg.data.targets import targets
from beadseg.errors import BeadsegError
from beadseg.files import disk_error

_SHAPES = 3  # of evaluation batches, at most: each is compiled
_CANDIDATES = 32  # shapes to merge them from: the time grows with its cube
_WASTE = 0.15  # share of padding that is cheaper than compiling for one more shape

_STATE = "process_0-of-1.json"  # as grain names it where there is one process

PER_LEVEL = 8  # crops of each level of an image, where there are several
Batch = dict[str, np.ndarray]


class EvalBatch(NamedTuple):
    """Whole tiles, padded to one shape."""

    arrays: Batch  # as of `train_batches`; weight is 0 on padding
    records: tuple[int, ...]  # of the first rows; rows beyond are padding


def steps_per_epoch(
    dataset: Dataset, indices: Sequence[int], config: ConfigDict
) -> int:
    """Batches that hold as many pixels as the tiles of `indices`."""
    crops = len(_crops(dataset, indices, config))
    return math.ceil(crops / config.data.batch_size)


class TrainBatches(grain.DatasetIterator):
    """Endless batches; its state is the number of those drawn, nothing else.

    The states of grain's own iterators depend on the number of worker processes, and
    so do the files that it keeps them in on that of training processes: a run could
    not go on with others.
    """

    def __init__(self, batches: grain.MapDataset, workers: int, keeps: bool = True):
        """`keeps`: whether this process writes the state into a checkpoint."""
        super().__init__()
        self._batches, self._workers, self._keeps = batches, workers, keeps
        self._drawn, self._ahead = 0, None

    def __next__(self) -> Batch:
        self._assert_not_closed()
        with _shared_memory(self._workers):
            self.start_prefetch()
            batch = next(self._ahead)
        self._drawn += 1
        return batch

    def start_prefetch(self) -> None:
        """Begins to prepare batches, if that has not begun."""
        if self._ahead is None:
            left = self._batches.slice(slice(self._drawn, None))
            self._ahead = iter(_prefetched(left, self._workers))

    def get_state(self) -> dict[str, int]:
        return {"batches": self._drawn}

    def set_state(self, state: dict[str, int]) -> None:
        self._stop()
        self._drawn = state["batches"]

    async def save(self, directory: Any) -> Awaitable[None]:
        """Part of a checkpoint, as orbax asks for it."""
        return _save(directory, self.get_state() if self._keeps else None)

    async def load(self, directory: Path) -> Awaitable[None]:
        """The reverse of `save`."""
        return _load(directory, self.set_state)

    def close(self) -> None:
        """Ends the threads or processes that prepare batches."""
        super().close()
        self._stop()

    def _stop(self) -> None:
        if self._ahead is not None:
            self._ahead.close()
            self._ahead = None


@contextmanager
def _shared_memory(workers: int) -> Iterator[None]:
    """One line where worker processes have no room for what they hand over."""
    try:
        yield
    except Exception as error:
        gone = "terminated unexpectedly" in str(error)
        if not workers or not (gone or disk_error(error)):
            raise
        reason = " ".join(str(error).split())[:200]
        raise BeadsegError(
            f"config.data.workers = {workers}: a worker process cannot hand over its "
            f"batches ({reason}): give the container more shared memory (/dev/shm, "
            "docker run --shm-size=1g), or --config.data.workers=0 for threads"
        ) from error


async def _save(directory: Any, state: dict[str, int] | None) -> None:
    made = await directory.await_creation()
    if state is not None:
        await asyncio.to_thread((made / _STATE).write_text, json.dumps(state))


async def _load(directory: Path, set_state: Callable[[dict[str, int]], None]) -> None:
    set_state(json.loads(await asyncio.to_thread((directory / _STATE).read_text)))


def _prefetched(batches: grain.MapDataset, workers: int) -> grain.IterDataset:
    if not workers:
        # Two threads: more would wait for each other.
        return batches.to_iter_dataset(grain.ReadOptions(2, prefetch_buffer_size=4))
    if not flags.FLAGS.is_parsed():  # grain's workers read flags
        flags.FLAGS.mark_as_parsed()
    batches = batches.to_iter_dataset(grain.ReadOptions(0, prefetch_buffer_size=0))
    options = grain.MultiprocessingOptions(workers, per_worker_buffer_size=4)
    return batches.mp_prefetch(options)


def train_batches(
    dataset: Dataset,
    indices: Sequence[int],
    config: ConfigDict,
    rows: range | None = None,
) -> TrainBatches:
    """Endless batches of augmented crops; `close` them when done.

    Every pixel is as likely as any other: a tile gives crops in proportion to its
    area. A batch depends on `config.data.seed` and its number alone, not on
    `config.data.workers`. `get_state` and `set_state` go on with the same bits. Of
    several processes, each draws its `rows` of every batch; None: all.

    Returns:
      An iterator of {"image", "mask", "weight"} and the targets that
      `config.model.heads` ask for: f32[B, H, W, 1], see `beadseg.data.targets`. Where
      masks are given as incomplete, also "completeness", f32[B, 1, 1, 1]: 0 of those
      without a given completeness.
    """
    data = config.data
    source = _crops(dataset, indices, config)
    crops = grain.MapDataset.source(source).seed(data.seed).shuffle().repeat()
    settings = data.augment.copy_and_resolve_references()
    heads = tuple(config.model.heads)
    crops = crops.random_map(_Augment(settings, data.crop, heads))
    if rows is None or len(rows) == data.batch_size:
        batches = crops.batch(data.batch_size, drop_remainder=True)
        return TrainBatches(batches, data.workers)
    mine = grain.MapDataset.source(_Rows(crops, data.batch_size, rows))
    batches = mine.batch(len(rows), drop_remainder=True)
    return TrainBatches(batches, data.workers, keeps=rows.start == 0)


def eval_batches(
    dataset: Dataset,
    indices: Sequence[int],
    config: ConfigDict,
    batch_size: int,
    multiple: int,
) -> Iterator[EvalBatch]:
    """Every tile once, in few shapes.

    Sides are rounded up to a multiple of the network's stride. Images are mirrored into
    the padding, the mask there is 0.
    """
    while True:
        shapes = {i: _round_up(dataset.records[i].shape, multiple) for i in indices}
        counts = Counter(shapes.values())
        if len(counts) <= _CANDIDATES:
            break
        multiple *= 2
    padded = _merge_shapes(counts)
    buckets: dict[tuple[int, ...], list[int]] = {}
    for i in indices:
        buckets.setdefault(padded[shapes[i]], []).append(i)
    for shape in sorted(buckets):
        for start in range(0, len(buckets[shape]), batch_size):
            chosen = buckets[shape][start : start + batch_size]
            tiles = [dataset[i] for i in chosen]
            arrays = _eval_arrays(tiles, shape, batch_size, tuple(config.model.heads))
            yield EvalBatch(arrays, tuple(chosen))


@dataclass(frozen=True)
class _Crops:
    """A grain source: tiles, each as often as crops of it make up its area.

    Those of the rehearsal are numbered from the end: -1, -2 and so on.
    """

    dataset: Dataset
    numbers: tuple[int, ...]
    given: bool  # whether batches hold the given completeness of each mask

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> Batch:
        number = self.numbers[index]
        if number < 0:
            tile, share = self.dataset.rehearsal[-1 - number], 1.0
        else:
            tile = self.dataset[number]
            share = self.dataset.records[number].completeness or 0.0
        if self.given:
            tile["completeness"] = np.full((1, 1, 1), share, np.float32)
        return tile

    def __repr__(self) -> str:  # grain stores it to check that a state fits
        return f"crops of {self.dataset!r}"


@dataclass(frozen=True)
class _Rows:
    """A grain source: of each batch that crops make up, the crops in some rows."""

    crops: grain.MapDataset
    batch_size: int
    rows: range

    def __len__(self) -> int:
        return len(self.crops) // self.batch_size * len(self.rows)

    def __getitem__(self, index: int) -> Batch:
        batch, row = divmod(index, len(self.rows))
        return self.crops[batch * self.batch_size + self.rows[row]]

    def __repr__(self) -> str:
        return f"rows {self.rows} of {self.crops!r}"


def _crops(dataset: Dataset, indices: Sequence[int], config: ConfigDict) -> _Crops:
    area = config.data.crop**2
    numbers = []
    for i in indices:
        record = dataset.records[i]
        pixels = math.prod(record.shape)
        count = pixels / area
        if dataset.levels:
            count = PER_LEVEL * pixels / math.prod(record.page_shape)
        numbers += [i] * math.ceil(count)
    shares = [record.completeness or 1.0 for record in dataset.records]
    given = min(shares) < 1.0
    if dataset.rehearsal is not None:
        share, count = config.data.rehearsal, len(dataset.rehearsal)
        numbers *= math.ceil(count / len(numbers) * (1 - share) / share)
        wanted = round(len(numbers) * share / (1 - share))
        numbers += [-1 - i % count for i in range(wanted)]
        given = True
    return _Crops(dataset, tuple(numbers), given)


class _Augment(grain.transforms.RandomMap):
    def __init__(self, settings: ConfigDict, crop: int, heads: tuple[str, ...]):
        self._settings, self._crop, self._heads = settings, crop, heads

    def random_map(self, tile: Batch, rng: np.random.Generator) -> Batch:
        image, labels = augment(
            tile["image"], tile["labels"], rng, self._settings, self._crop
        )
        batch = targets(image, labels, self._heads)
        if "completeness" in tile:
            batch["completeness"] = tile["completeness"]
        return batch


def _eval_arrays(
    tiles: list[Batch], shape: tuple[int, ...], batch_size: int, heads: tuple[str, ...]
) -> Batch:
    arrays: Batch = {}
    for row, tile in enumerate(tiles):
        height, width = tile["image"].shape
        pad = [(0, n - m) for n, m in zip(shape, (height, width), strict=True)]
        for key, part in targets(tile["image"], tile["labels"], heads).items():
            if key == "image":
                part = np.pad(part, [*pad, (0, 0)], "symmetric")
            whole = arrays.setdefault(
                key, np.zeros((batch_size, *shape, 1), np.float32)
            )
            whole[row, : part.shape[0], : part.shape[1]] = part
    return arrays


def _round_up(shape: tuple[int, int], multiple: int) -> tuple[int, int]:
    height, width = (math.ceil(n / multiple) * multiple for n in shape)
    return height, width


def _merge_shapes(
    counts: Counter[tuple[int, ...]],
) -> dict[tuple[int, ...], tuple[int, ...]]:
    """The shape that tiles of each shape are padded to: at most _SHAPES of them.

    The two that cost the least padding are merged, until there are few enough and
    the next merge would cost more than it saves.
    """
    groups = {shape: [shape] for shape in counts}
    total = sum(n * math.prod(shape) for shape, n in counts.items())

    def pixels(shapes: list, padded: tuple) -> int:
        return sum(counts[s] for s in shapes) * math.prod(padded)

    while len(groups) > 1:
        options = []
        for a, b in combinations(sorted(groups), 2):
            both = tuple(map(max, a, b))
            extra = pixels(groups[a] + groups[b], both) - pixels(groups[a], a)
            options.append((extra - pixels(groups[b], b), a, b, both))
        extra, a, b, both = min(options)
        if len(groups) <= _SHAPES and extra > _WASTE * total:
            break
        members = groups.pop(a) + groups.pop(b)
        groups[both] = groups.get(both, []) + members
    return {shape: padded for padded, shapes in groups.items() for shape in shapes}
