"""The fingerprint of a data set: every image measured once, and all of them together.

Each image is looked at once, with the network of the estimate, while the next is read
and the last measured on other threads. What is kept of each is a row of numbers, a
small picture and the outlines of a window, so that memory does not grow with its size.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from beadseg.analysis.image_facts import ImageFacts, measure_image, thumbnail
from beadseg.analysis.mask_facts import MaskFacts, measure_mask
from beadseg.data import splits
from beadseg.data.folder import Folder, trusted
from beadseg.data.images.gaps import fill
from beadseg.data.images.reading import ReadError
from beadseg.data.masks.checkup import MaskDoubt
from beadseg.data.masks.marks import MarkedImage, Marks, kind_of_masks
from beadseg.data.samples import Sample, read_sample
from beadseg.errors import BeadsegError
from beadseg.inference.estimate import Estimate, estimate
from beadseg.inference.outputs.views import Excerpt, excerpt
from beadseg.partial.agreement import Agreement, agree
from beadseg.partial.audit import SURE
from beadseg.threads import in_order

SAME = 0.97  # correlation of two small pictures of one field
_WINDOW = 640  # px of a large image whose outlines are kept
_BLOCK = 512  # images compared with all others at a time


@dataclass(frozen=True)
class Row:
    """One image. `mask` is None without one; `labelled` None where nobody can say."""

    name: str
    group: str
    shape: tuple[int, int]
    pixel_size: float | None  # um
    image: ImageFacts
    mask: MaskFacts | None
    points: int | None
    count: int  # estimated from the image alone, like the next two
    diameter_px: float
    coverage: float  # 0..1
    labelled: float | None  # share of the beads seen that the mask or points have
    seen: float | None  # share of the labelled beads that the estimate sees
    beside: float  # px by which the mask lies beside its beads in the worst corner


class Pair(NamedTuple):
    """Two images that are one: copies, or a field taken twice."""

    first: str
    second: str
    exact: bool
    correlation: float


@dataclass(frozen=True)
class Fingerprint:
    """All that is measured on a data set."""

    rows: tuple[Row, ...]
    duplicates: tuple[Pair, ...]
    leaks: tuple[Pair, ...]  # duplicates with one in training, one in validation
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    excerpts: dict[str, Excerpt]  # by name: where the estimate sees most beads
    marks: Marks  # whether masks outline their beads
    doubts: tuple[MaskDoubt, ...] = ()

    def as_json(self) -> dict:
        return {
            "images": [plain(asdict(row)) for row in self.rows],
            "duplicates": [pair._asdict() for pair in self.duplicates],
            "leaks": [pair._asdict() for pair in self.leaks],
            "marks": plain(asdict(self.marks)),
            "problems": list(self.problems),
            "notes": list(self.notes),
            "mask_doubts": [doubt._asdict() for doubt in self.doubts],
        }


def take_fingerprint(
    folder: Folder,
    fraction: float = 0.15,
    seed: int = 42,
    bins: tuple[int, ...] = (0, 20, 50, 100),
) -> Fingerprint:
    """Measures every readable image of a folder, without masks that are not its own.

    Args:
      folder: of `data.folder.scan`.
      fraction, seed, bins: of the split in which leaks are looked for.
    """
    rows, pictures, digests, excerpts, marked = [], [], [], {}, []
    problems = list(folder.problems)
    samples = trusted(folder).samples
    bar = tqdm(_measured(samples), "measuring images", len(samples), disable=None)
    for found in bar:
        if isinstance(found, str):
            problems.append(found)
            continue
        rows.append(found.row)
        pictures.append(found.picture)
        digests.append(found.digest)
        excerpts[found.row.name] = found.excerpt
        marked += [found.marked] if found.marked else []
    duplicates = find_duplicates([row.name for row in rows], pictures, digests)
    groups = {row.name: row.group for row in rows}
    duplicates = [
        p for p in duplicates if p.exact or groups[p.first] != groups[p.second]
    ]
    sides = _sides(samples, fraction, seed, bins)
    leaks = [p for p in duplicates if {sides.get(n) for n in p[:2]} == {"train", "val"}]
    return Fingerprint(
        tuple(rows),
        tuple(duplicates),
        tuple(leaks),
        tuple(problems),
        folder.notes,
        excerpts,
        kind_of_masks(marked),
        folder.doubts,
    )


class _Pixels(NamedTuple):
    """One image, read and looked at."""

    sample: Sample
    page: np.ndarray  # [H, W]
    labels: np.ndarray | None  # i32[H, W]
    points: np.ndarray | None  # f32[N, 2]
    found: Estimate | None = None


class _Measured(NamedTuple):
    """What is kept of one image."""

    row: Row
    picture: np.ndarray  # f16, of `thumbnail`
    digest: bytes  # of the pixels
    excerpt: Excerpt
    marked: MarkedImage | None  # where there is a mask


def _measured(samples: Iterable[Sample]) -> Iterator[_Measured | str]:
    """Each image in order, or why it cannot be read.

    The network alone stays on this thread: it takes all cores by itself, and the order
    of the images, on which its rounding may depend, is always the same.
    """
    with ThreadPoolExecutor(2) as pool:  # one reads, one measures
        read = in_order(pool, _read, samples, 1)
        yield from in_order(pool, _measure, map(_look, read), 1)


def _read(sample: Sample) -> _Pixels | str:
    try:
        image, labels, points = read_sample(sample)
        return _Pixels(sample, fill(image)[0], labels, points)
    except ReadError as error:
        return str(error)
    except OSError as error:
        return f"{sample.image.path}: {error.strerror}"


def _look(read: _Pixels | str) -> _Pixels | str:
    return read if isinstance(read, str) else read._replace(found=estimate(read.page))


def _measure(looked: _Pixels | str) -> _Measured | str:
    if isinstance(looked, str):
        return looked
    sample, page, labels, points, found = looked
    mask, inside, values = None, None, page.astype(np.float32)
    if labels is not None:
        mask = measure_mask(labels, values)
        inside = labels > 0 if mask.objects else None
    if inside is None or not 0.002 < inside.mean() < 0.98:
        inside = found.labels > 0
    agreement, marked = None, None
    if labels is not None and (labels > 0).any():
        agreement = agree(values, labels, found)
        marked = agreement.marked(sample.name, found.labels)
    labelled, seen = share_labelled(found, agreement, points)
    row = Row(
        name=sample.name,
        group=sample.group,
        shape=tuple(page.shape),
        pixel_size=sample.pixel_size,
        image=measure_image(page, inside),
        mask=mask,
        points=None if points is None else len(points),
        count=found.count,
        diameter_px=found.diameter_px,
        coverage=found.coverage,
        labelled=labelled,
        seen=seen,
        beside=agreement.shift() if agreement else 0.0,
    )
    return _Measured(
        row,
        thumbnail(page).astype(np.float16),
        blake2b(np.ascontiguousarray(page).tobytes(), digest_size=16).digest(),
        excerpt(found.labels, _WINDOW),
        marked,
    )


def find_duplicates(
    names: list[str], pictures: list[np.ndarray], digests: list[bytes]
) -> list[Pair]:
    """Pairs of equal images, and of those whose small pictures agree, also turned.

    `pictures` are of `thumbnail`, `digests` hashes of the pixels.
    """
    if len(names) < 2:
        return []
    plain = np.stack(pictures).astype(np.float32)
    flat = plain.reshape(len(names), -1)
    empty = ~plain.any((1, 2))
    number = {digest: i for i, digest in enumerate(dict.fromkeys(digests))}
    ids = np.array([number[digest] for digest in digests])
    pairs = []
    for start in range(0, len(names), _BLOCK):
        block = slice(start, start + _BLOCK)
        best = np.full((len(flat[block]), len(names)), -1.0, np.float32)
        for turned in _turned(plain[block]):
            np.maximum(best, turned.reshape(len(turned), -1) @ flat.T, out=best)
        equal = ids[block, None] == ids
        for row, j in np.argwhere(np.triu((best > SAME) | equal, start + 1)):
            i = start + row
            if equal[row, j] or not (empty[i] or empty[j]):
                alike = round(float(best[row, j]), 4)
                pairs.append(Pair(names[i], names[j], bool(equal[row, j]), alike))
    return pairs


def _turned(pictures: np.ndarray) -> Iterator[np.ndarray]:
    """Pictures [N, S, S] in the eight ways that a field can lie under a microscope."""
    for turn in range(4):
        turned = np.rot90(pictures, turn, (1, 2))
        yield turned
        yield turned[:, :, ::-1]


def share_labelled(
    found: Estimate, agreement: Agreement | None, points: np.ndarray | None
) -> tuple[float | None, float | None]:
    """Of the beads seen, the share that is labelled; of the labelled, seen.

    The first is the completeness of the labels, as far as what is seen does not hang on
    what is labelled; the second says how far the estimate is to be believed.

    Args:
      found: in the image.
      agreement: of the labels with that, None without any.
      points: f[N, 2], None without any.
    """
    if agreement is not None:
        share = agreement.completeness(found.scores)
        return share, len(agreement.found) / agreement.beads
    if points is not None and len(points):
        sure = found.scores >= SURE
        centres, radius = found.centres[sure], found.diameters[sure] / 2
        if not len(centres):
            return None, 0.0
        apart = np.hypot(*(centres[:, None] - points[None]).transpose(2, 0, 1))
        near = apart < np.maximum(radius, 2)[:, None]
        return float(near.any(1).mean()), float(near.any(0).mean())
    return None, None


def _sides(samples, fraction, seed, bins) -> dict[str, str]:
    """Side of each labelled image in the split that training would make."""
    records = [
        _Record(s.name, s.group, s.mask is not None or s.points is not None, s.beads)
        for s in samples
    ]
    try:
        split = splits.split(records, fraction, seed, bins)
    except BeadsegError:
        return {}
    return {records[i].image: "train" for i in split.train} | {
        records[i].image: "val" for i in split.validation
    }


class _Record(NamedTuple):
    """What a split asks of a record."""

    image: str
    group: str
    has_mask: bool
    beads: int


def plain(value):
    """A value made ready for JSON: no NumPy numbers, no NaN, short floats."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, float | np.floating):
        return None if not np.isfinite(value) else round(float(value), 5)
    if isinstance(value, np.integer):
        return int(value)
    return value
