"""Outlines of the beads under marks: looked for once, then kept in the cache.

Masks that mark beads (`beadseg.data.marks`) teach no edges. What they are is found out
by a model, which this room knows nothing of; here is where its answer lies.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from beadseg.data.cache import (
    build_folder,
    cache_dir,
    check_files,
    checksums,
    hash_arrays,
    hash_code,
    hash_file,
    hash_json,
    read_stored,
    remove_damaged,
    write_stored,
    writing_cache,
)
from beadseg.data.masks.beads import number_beads
from beadseg.data.masks.marks import KINDS, Marks
from beadseg.data.masks.points import discs
from beadseg.data.samples import Sample
from beadseg.data.scaling import bead_diameters
from beadseg.errors import BeadsegError

_FACTS = "marks.json"


@dataclass(frozen=True)
class Outlined:
    """What the masks of a folder are, and outlines of the beads under them."""

    marks: Marks
    folder: Path  # of the outlines
    diameters: dict[str, list[float]]  # px, of the whole outlines, by image
    outlines: int  # beads with an outline of their own
    drawn: int  # those that are discs instead
    digest: str  # of the outlines

    def labels(self, image: str) -> np.ndarray:
        """i32[H, W] of an image with marks; -1 unknown."""
        with np.load(self.folder / f"{hash_json(image)}.npz") as file:
            return file["labels"]

    def sentence(self) -> str:
        """What training does about the marks."""
        return (
            f"{self.marks.sentence()}; trained on the outlines of {self.outlines} beads"
            f" that the default model finds under them and on {self.drawn} discs; "
            "--config.data.masks=outlines takes the marks as they are"
        )


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
    if not folder.is_dir():
        return None
    try:
        facts = read_stored(folder / _FACTS)
        check_files(folder, facts.pop("files"))
    except (OSError, ValueError) as error:
        remove_damaged(folder, error)
        return None
    return Outlined(Marks(**facts.pop("marks")), folder, **facts)


def store(
    data: ConfigDict,
    samples: Sequence[Sample],
    marks: Callable[[], Marks],
    outlines: Iterable[tuple[str, np.ndarray, int]],
) -> None:
    """Keeps what was found out.

    Args:
      data: `config.data`.
      samples: of the folder.
      marks: tells what its masks are, after the last outline.
      outlines: name, labels i32[H, W] and number of discs among them of each image.
    """
    diameters, digests, count, drawn = {}, [], 0, 0
    home = _folder(data, samples)
    with writing_cache(home), build_folder(home) as folder:
        for name, labels, without in outlines:
            np.savez_compressed(folder / f"{hash_json(name)}.npz", labels=labels)
            digests.append((name, hash_arrays(labels)))
            diameters[name] = bead_diameters(labels).round(2).tolist()
            count += len(number_beads(labels)[0]) - without
            drawn += without
        facts = {"marks": asdict(marks()), "diameters": diameters}
        facts |= {"outlines": count, "drawn": drawn, "digest": hash_json(digests)}
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


def centres(labels: np.ndarray) -> np.ndarray:
    """f32[N, 2], y and x, of the positive labels i[H, W] in ascending order, px."""
    ids, index = number_beads(labels)
    rows, columns = np.nonzero(index)
    of = index[rows, columns]
    area = np.bincount(of, minlength=len(ids) + 1)[1:]
    sums = [np.bincount(of, at, len(ids) + 1)[1:] for at in (rows, columns)]
    return (np.stack(sums, 1) / area[:, None]).astype(np.float32)


def _folder(data: ConfigDict, samples: Sequence[Sample]) -> Path:
    content = [(s.name, s.digest) for s in samples if s.mask]
    model = Path(__file__).parents[2] / "default_model/weights.npz"
    seen_by = hash_file(model) if model.exists() else None
    key = hash_json([content, data.masks, seen_by, hash_code()])
    return cache_dir(data.cache_dir) / "marks" / key
