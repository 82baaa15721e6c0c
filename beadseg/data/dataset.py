"""A data set made ready: random access to its tiles, and what is known of each."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from beadseg.data.tiles import RecordInfo, dequantise
from beadseg.quoting import counted

SPLIT = "records"  # the one split of the tfds builders


@dataclass(frozen=True)
class Dataset:
    """Tiles on disk. Cheap to pickle: each process opens the files for itself."""

    directory: Path  # of the tfds builder
    records: tuple[RecordInfo, ...]
    bead_diameter_px: float | None  # median, in the files; None: no bead is labelled
    smallest_bead: float | None  # across, in median diameters of its image
    sizes: tuple[float, float] | None  # px here, that are known; None: one
    faintest_bead: float | None  # relative contrast that they reach; None: they differ
    scale: float  # pixels of a tile to a pixel of the file
    normalise: dict[str, float]  # low and high percentile; flatten_sigma, px of file
    fingerprint: str  # of the content and the settings that shaped it
    problems: tuple[str, ...]  # a line for each file or page left out
    notes: tuple[str, ...]  # lines to print, problems included
    marks: bool = False  # whether masks are true in place and number alone
    unmarked: int = 0  # beads that incomplete marks lack: unknown, where one is seen
    rehearsal: "Dataset | None" = None  # generated beads that it is trained on with

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        """A tile: image f32[h, w], labels i32[h, w] (-1 unknown), points f32[N, 2]."""
        record = self._tiles[index]
        return {
            "image": dequantise(record["image"]),
            "labels": record["labels"],
            "points": record["points"],
        }

    @functools.cached_property
    def _tiles(self) -> Sequence[dict[str, np.ndarray]]:
        builder = tfds.builder_from_directory(self.directory)
        return builder.as_data_source(SPLIT)

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if k != "_tiles"}

    def __repr__(self) -> str:
        return f"Dataset({counted(len(self), 'tile')}, {self.fingerprint})"

    @functools.cached_property
    def levels(self) -> bool:
        """Whether images are seen at several scales."""
        return len({(r.image, r.scale) for r in self.records}) > len(
            {r.image for r in self.records}
        )

    def _pixel_size(self) -> float | None:
        """Of the files, um, where all agree within 2 %."""
        known = {record.pixel_size for record in self.records}
        if None in known or not known or max(known) > 1.02 * min(known):
            return None
        return float(np.median(list(known)))

    def as_json(self) -> dict[str, Any]:
        """What a run keeps of the data it saw."""
        labelled = [record for record in self.records if record.has_mask]
        return {
            "fingerprint": self.fingerprint,
            "bead_diameter_px": self.bead_diameter_px,
            "smallest_bead": self.smallest_bead,
            "sizes": self.sizes,
            "faintest_bead": self.faintest_bead,
            "pixel_size_um": self._pixel_size(),
            "scale": self.scale,
            "normalise": self.normalise,
            "images": len({record.image for record in self.records}),
            "labelled_images": len({record.image for record in labelled}),
            "tiles": len(self.records),
            "marks": self.marks,
            "notes": list(self.notes),
        }
