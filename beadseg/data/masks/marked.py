"""Outlines of the beads under marks: looked for once, then kept in the cache.

Masks that mark beads (`beadseg.data.marks`) teach no edges. What they are is found out
by a model, which this room knows nothing of; here is where its answer lies.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from beadseg.data.cache import (
    build_folder,
    cache_dir,
    checksums,
    hash_arrays,
    hash_code,
    hash_file,
    hash_json,
    read_built,
    write_stored,
    writing_cache,
)
from beadseg.data.masks.marks import KINDS, Marks, centres
from beadseg.data.masks.points import discs
from beadseg.data.samples import Sample
from beadseg.data.scaling import bead_diameters
from beadseg.errors import BeadsegError
from beadseg.matching import number_beads
from beadseg.quoting import counted, percent

BESIDE = 2.0  # px by which a mask is said to lie beside its beads
_FACTS = "marks.json"
_SEEN_BY = (  # other rooms: what they change is looked for anew
    "default_model/weights.npz",
    *(f"partial/{name}.py" for name in ("outlining", "agreement", "alignment")),
)


class OutlinedImage(NamedTuple):
    """What was found under the marks of an image."""

    name: str
    labels: np.ndarray  # i32[H, W], -1 unknown
    drawn: int  # discs that are where a mark is
    unmarked: int  # beads that are unknown, as marks lack them
    shift: float  # px in the worst corner by which the mask was moved onto its beads


@dataclass(frozen=True)
class Outlined:
    """What the masks of a folder are, and outlines of the beads under them."""

    marks: Marks
    folder: Path  # of the outlines
    diameters: dict[str, list[float]]  # px, of the whole outlines, by image
    outlines: int  # beads that are where one is seen
    drawn: int  # discs that are where a mark is
    unmarked: int  # beads seen that incomplete marks lack
    shifts: dict[str, float]  # px, of images whose marks were moved by `BESIDE` or more
    digest: str  # of the outlines

    def labels(self, image: str) -> np.ndarray:
        """i32[H, W] of an image with marks; -1 unknown."""
        with np.load(self.folder / f"{hash_json(image)}.npz") as file:
            return file["labels"]

    def lines(self) -> list[str]:
        """What training does about the marks."""
        what = f"the outlines of {counted(self.outlines, 'bead')} that the default "
        what += f"model finds under them and on {counted(self.drawn, 'disc')}"
        if self.marks.one_size:
            what = f"discs of {self.marks.diameter:.1f} px, {self.outlines} of them"
            what += f" where the default model sees beads, {self.drawn} at their marks"
        said = f"{self.marks.sentence()}; trained on {what}; "
        if self.unmarked:
            taught = self.outlines + self.drawn
            share = taught / (taught + self.unmarked)
            said += (
                f"{self.unmarked} more that it sees where marks are incomplete are "
                f"unknown (about {percent(share)} of the beads are marked); "
            )
        moved = [
            f"{name}: the marks lie up to {px:.0f} px beside the beads: moved there "
            "to train and validate, the file stays as it is"
            for name, px in self.shifts.items()
        ]
        return [
            f"{said}--config.data.masks=outlines takes the marks as they are",
            *moved,
        ]


def kind_of(data: ConfigDict) -> str:
    """What `data.masks` says masks are.

    Raises:
      BeadsegError: nothing known.
    """
    if data.masks not in KINDS:
        raise BeadsegError(
            f"data.masks = {data.masks!r} is unknown: use {', '.join(KINDS)}"
        )
    return data.masks


def stored(data: ConfigDict, samples: Sequence[Sample]) -> Outlined | None:
    """What was found out about the masks of a folder; None: nobody looked yet."""
    folder = _folder(data, samples)
    facts = read_built(folder, _FACTS)
    if facts is None:
        return None
    del facts["files"]
    return Outlined(Marks(**facts.pop("marks")), folder, **facts)


def store(
    data: ConfigDict,
    samples: Sequence[Sample],
    marks: Callable[[], Marks],
    outlines: Iterable[OutlinedImage],
) -> None:
    """Keeps what was found out.

    Args:
      data: `config.data`.
      marks: tells what its masks are, after the last outline.
    """
    diameters, digests, shifts = {}, [], {}
    count = drawn = unmarked = 0
    home = _folder(data, samples)
    with writing_cache(home), build_folder(home) as folder:
        for image in outlines:
            name, labels = image.name, image.labels
            np.savez_compressed(folder / f"{hash_json(name)}.npz", labels=labels)
            digests.append((name, hash_arrays(labels)))
            diameters[name] = bead_diameters(labels).round(2).tolist()
            count += len(number_beads(labels)[0]) - image.drawn
            drawn += image.drawn
            unmarked += image.unmarked
            if image.shift >= BESIDE:
                shifts[name] = round(image.shift, 1)
        facts = {"marks": asdict(marks()), "diameters": diameters}
        facts |= {"outlines": count, "drawn": drawn, "unmarked": unmarked}
        facts |= {"shifts": shifts, "digest": hash_json(digests)}
        facts["files"] = checksums(folder)
        write_stored(folder / _FACTS, facts)


def discs_for(samples: Sequence[Sample]) -> Callable[[np.ndarray], np.ndarray]:
    """Redraws marks as discs of one size, the median of all, where nobody looked."""
    every = [d for sample in samples for d in sample.diameters]
    diameter = float(np.median(every)) if every else 1.0

    def redraw(labels: np.ndarray) -> np.ndarray:
        drawn = discs(centres(labels), diameter, labels.shape)
        return np.where((drawn == 0) & (labels < 0), labels, drawn)

    return redraw


def _folder(data: ConfigDict, samples: Sequence[Sample]) -> Path:
    content = [(s.name, s.digest) for s in samples if s.mask]
    package = Path(__file__).parents[2]
    seen_by = [hash_file(package / f) for f in _SEEN_BY if (package / f).exists()]
    key = hash_json([content, data.masks, seen_by, hash_code()])
    return cache_dir(data.cache_dir) / "marks" / key
