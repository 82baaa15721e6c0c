"""What a file of a data set holds, found by reading it once and then remembered.

A file is read again when its path, size or modification time differs from what the
index in the cache says.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tqdm import tqdm

from beadseg.data.annotations.readers import READERS, names_of_classes, open_vector
from beadseg.data.cache import (
    hash_code,
    hash_file,
    hash_json,
    once_a_file,
    read_stored_or_none,
    size_and_time,
    write_stored,
    writing_cache,
)
from beadseg.data.images import gaps, reading
from beadseg.data.masks import labels as labelling
from beadseg.data.masks.points import spacings
from beadseg.data.scaling import bead_diameters
from beadseg.matching import count_beads
from beadseg.threads import ordered_map

_TUPLES = ("shape", "diameters", "spacings", "reading")
_hash_once = once_a_file(8)(hash_file)  # a file may hold the labels of many images
KINDS = ("images", "masks", "ignore", "points")  # the folders of a data set


@dataclass(frozen=True)
class PageFacts:
    """One page; `problem` says why it cannot be used."""

    name: str = ""
    shape: tuple[int, ...] = ()
    pixel_size: float | None = None  # um
    missing: int = 0  # pixels of an image without data
    beads: int = 0  # in a mask or in points
    diameters: tuple[float, ...] = ()  # px, of the beads of a mask
    spacings: tuple[float, ...] = ()  # px, of points: to the nearest other
    reading: tuple[str, ...] = ("", "")  # kind and note of how a mask was read
    problem: str | None = None


@dataclass(frozen=True)
class FileFacts:
    """One file; no pages and a `problem` where it cannot be opened."""

    digest: str
    pages: tuple[PageFacts, ...] = ()
    notes: tuple[str, ...] = ()
    problem: str | None = None

    @classmethod
    def from_json(cls, fields: dict) -> "FileFacts":
        pages = tuple(
            PageFacts(**page | {key: tuple(page[key]) for key in _TUPLES})
            for page in fields["pages"]
        )
        return cls(**(fields | {"pages": pages, "notes": tuple(fields["notes"])}))


@dataclass(frozen=True)
class Task:
    """A file to look into."""

    path: Path
    kind: str  # of KINDS
    channel: int | None
    stack: str
    image: Path | None = None  # that a mask or points belong to
    classes: str | tuple[int | str, ...] = "auto"  # of masks, see `classes_of`

    def open(self) -> list[reading.PageRef]:
        """Its pages; raises ReadError."""
        if self.kind == "images":
            return reading.open_pages(self.path, channel=self.channel, stack=self.stack)
        if self.path.suffix.lower() in READERS:
            return open_vector(self.path, self.image, self.classes)
        pages = reading.open_pages(self.path)
        if self.kind != "masks":
            return pages
        return [replace(page, classes=self.classes) for page in pages]


def gather(tasks: list[Task], folder: Path, cache: Path) -> dict[Task, FileFacts]:
    """Facts of every file, from the index in `cache` where the file is unchanged."""
    index_path = cache / "index" / f"{hash_json(str(folder.resolve()))}.json"
    code = hash_code()
    index = _load(index_path, code)
    keys = {task: _key(task, folder) for task in tasks}
    facts = {
        task: FileFacts.from_json(index[key])
        for task, key in keys.items()
        if key in index
    }
    missing = [task for task in tasks if task not in facts]
    found = ordered_map(look_into, missing)
    hidden = None if missing else True  # None: tqdm hides itself off a terminal
    bar = tqdm(found, "reading images", len(missing), disable=hidden)
    facts |= dict(zip(missing, bar, strict=True))
    if missing or len(index) != len(facts):
        entries = {keys[task]: asdict(fact) for task, fact in facts.items()}
        with writing_cache(cache):
            write_stored(index_path, {"code": code, "files": entries})
    return facts


def _load(path: Path, code: str) -> dict[str, dict]:
    stored = read_stored_or_none(path)
    return stored["files"] if stored and stored["code"] == code else {}


def _key(task: Task, folder: Path) -> str:
    size, changed = size_and_time(task.path)
    how = f"{task.channel}:{task.stack}" if task.kind == "images" else ""
    if task.kind == "masks":
        how = f"{task.classes}"
    if task.image is not None and task.path.suffix.lower() in READERS:
        # On whose grid it is drawn.
        size_of_image, time = size_and_time(task.image)
        how = f"{task.image.name}:{size_of_image}:{time}:{_classes(task)}"
    where = task.path.relative_to(folder).as_posix()
    return f"{where}:{size}:{changed}:{how}"


def _classes(task: Task) -> str:
    """What the reading of classes depends on, their names too."""
    names = None
    if not isinstance(task.classes, str) and task.path.suffix.lower() == ".txt":
        names = names_of_classes(task.path)
    return f"{task.classes}" + (f" {hash_file(names)}" if names else "")


def look_into(task: Task) -> FileFacts:
    """Reads a file, one page at a time."""
    digest = ""
    try:
        digest = _hash_once(task.path)
        if task.kind == "masks" and task.classes != "auto":
            digest += f" of classes {_classes(task)}"
        pages = task.open()
    except reading.ReadError as error:
        return FileFacts(digest, problem=str(error))
    except OSError as error:
        return FileFacts(digest, problem=f"{task.path}: {error.strerror}")
    notes = tuple(dict.fromkeys(note for page in pages for note in page.notes))
    return FileFacts(digest, tuple(_page(task.kind, p) for p in pages), notes)


def _page(kind: str, page: reading.PageRef) -> PageFacts:
    facts = {"name": page.name, "shape": tuple(page.shape)}
    try:
        match kind:
            case "images":
                facts["pixel_size"] = page.pixel_size
                image = page.read()
                reading.check_image(image, page.where)
                lost = gaps.missing(image)
                facts["missing"] = 0 if lost is None else int(lost.sum())
            case "masks":
                mask = labelling.read_mask(page)
                labels, facts["reading"] = mask.labels, (mask.kind, mask.note)
                facts["beads"] = count_beads(labels)
                facts["diameters"] = tuple(bead_diameters(labels).round(2).tolist())
            case "ignore":
                labelling.read_ignored(page)
            case "points":
                points = labelling.read_points(page)
                facts |= {"beads": len(points), "spacings": spacings(points)}
    except reading.ReadError as error:
        facts["problem"] = str(error)
    return PageFacts(**facts)
