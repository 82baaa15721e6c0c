"""A data set on disk: which file belongs to which, and what is wrong with it.

DIR/images/NAME.tif    8/16/32-bit or float, grey or RGB, of one page or many
DIR/masks/NAME.tif     a number per bead, 0 for background; or black and white
DIR/masks/NAME.zip     or what other programs write: see `beadseg help formats`
DIR/points/NAME.csv    or only centres; as an image, one pixel a bead
DIR/ignore/NAME.tif    not 0 where nobody knows (optional)
DIR/beads.toml         what a person knows beside (optional)

An image without a mask is unlabelled. Names may be any; endings may differ. One bad
file never stops the rest: it is named in `Folder.problems`, with its page and the
reason, and left out.
"""

import errno
import json
import os
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from ml_collections import ConfigDict

from beadseg.data.annotations import finding
from beadseg.data.annotations.readers import READERS
from beadseg.data.cache import cache_dir
from beadseg.data.facts import KINDS, FileFacts, Task, gather
from beadseg.data.grouping import given_groups, keep_frames_together
from beadseg.data.images.formats import is_zarr
from beadseg.data.images.pixels import WITH_OPTION
from beadseg.data.images.readers import endings, endings_in_words, kinds_in_words
from beadseg.data.images.reading import file_stem
from beadseg.data.masks.checkup import MaskDoubt, check
from beadseg.data.samples import Sample, match, with_discs
from beadseg.data.settings_file import FILE, BeadsToml, classes_of, read_beads_toml
from beadseg.errors import BeadsegError
from beadseg.files import read_file, user_path, what_it_is
from beadseg.quoting import counted, is_printable, printable, some_of

_LONGEST = 230  # bytes of a name: what is made of an image has longer endings
_PRINTED = 8  # lines of one kind
_LEFT = ("Thumbs.db", "desktop.ini", *finding.OF_CLASSES)  # of no use here


class Folder(NamedTuple):
    """What `scan` found; `problems` and `notes` are lines to print."""

    path: Path
    samples: tuple[Sample, ...]  # in the order of their names
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    doubts: tuple[MaskDoubt, ...] = ()  # about masks; `doubt_lines` to print


def scan(data: ConfigDict) -> Folder:
    """Matches the files of `data.dir` and reads those not read before.

    Args:
      data: `config.data`.

    Raises:
      BeadsegError: no such folder, no `images/` in it, nothing in that, a bad
        `beads.toml`, `data.group_pattern` or `data.point_diameter`, or no cache to
        write to.
    """
    folder = user_path(data.dir)
    _check_layout(folder)
    problems: list[str] = []
    settings = read_beads_toml(folder, stem_of)
    channel = settings.channel if data.channel is None else data.channel
    classes = classes_in(data, settings)
    files = find_files(folder, problems)
    if not files["images"]:
        raise BeadsegError(
            f"{folder / 'images'}: no image in it: put {kinds_in_words()} files there"
        )
    tasks = {
        kind: {
            stem: Task(
                *(path, kind, channel, data.stack, files["images"].get(stem), classes)
            )
            for stem, path in files[kind].items()
        }
        for kind in KINDS
    }
    everything = [task for of_kind in tasks.values() for task in of_kind.values()]
    facts = gather(everything, folder, cache_dir(data.cache_dir))
    problems += _without_image(folder, files, settings)
    group_of = given_groups(data.group_pattern, settings)
    samples = _samples(tasks, facts, settings, group_of, problems)
    notes = _notes(everything, facts)
    late = [folder / "masks" / stem for stem in files["masks"] if _late(folder, stem)]
    if late:
        notes.append(
            f"{some_of(late)}: older than the decisions of a review that was killed: "
            f"run beadseg review {folder} and end it, before you train on them"
        )
    notes += _notes_on_gaps(everything, facts)
    samples, note = with_discs(samples, data.point_diameter)
    if note:
        notes.append(note)
    found = check(samples, cache_dir(data.cache_dir))
    doubts = found.doubts
    if not data.check_masks:
        doubts = tuple(doubt._replace(left_out=False) for doubt in doubts)
    if not data.group_pattern:
        samples, note = keep_frames_together(
            samples, lambda stem: stem in settings.group, found.neighbours
        )
        if note:
            notes.append(note)
    # Why a mask that is there cannot be used stands among the problems.
    unlabelled = [
        sample.name
        for sample in samples
        if not sample.labelled and sample.source not in files["masks"]
    ]
    if unlabelled:
        notes.append(
            f"images without a mask, not trained on ({len(unlabelled)}): "
            + some_of(unlabelled, 3)
        )
    asked_with = _channel_field(data.channel, settings.channel)
    problems, notes = (
        tuple(line.replace(WITH_OPTION, asked_with) for line in lines)
        for lines in (problems, notes)
    )
    return Folder(folder, tuple(samples), problems, notes, doubts)


def _channel_field(of_config: int | None, of_toml: int | None) -> str:
    """Where the channel was given, or can be, after what is to be given."""
    if of_config is not None:
        return " with data.channel"
    toml = f"channel in {FILE}"
    return f" with {toml}" if of_toml is not None else f" with data.channel or {toml}"


def _without_image(
    folder: Path, files: dict[str, dict[str, Path]], settings: BeadsToml
) -> list[str]:
    """Lines on what belongs to an image that is not there."""
    there = files["images"].keys()
    problems = [
        f"{files[kind][stem]}: no image of this name in images/"
        for kind in KINDS[1:]
        for stem in sorted(files[kind].keys() - there)
    ]
    return problems + [
        f"{folder / FILE}: no image {stem} in images/"
        for stem in sorted(settings.named() - there)
    ]


def _samples(
    tasks: dict[str, dict[str, Task]],
    facts: dict[Task, FileFacts],
    settings: BeadsToml,
    group_of: Callable[[str], str],
    problems: list[str],
) -> list[Sample]:
    """The samples of all images by name, each name once; adds to `problems`."""
    samples: list[Sample] = []
    taken: set[str] = set()
    for stem in sorted(tasks["images"]):
        parts = {kind: tasks[kind].get(stem) for kind in KINDS}
        found = match(stem, parts, facts, settings, group_of(stem), problems)
        for sample in [s for s in found if s.name in taken]:
            problems.append(f"{sample.image.path}: {sample.name} is also another file")
            found.remove(sample)
        taken.update(sample.name for sample in found)
        samples += found
    return samples


def _notes(tasks: list[Task], facts: dict[Task, FileFacts]) -> list[str]:
    """What there is to say on how files were read, each with its files."""
    files_of: dict[str, list[Path]] = {}
    for task in tasks:
        for note in facts[task].notes:
            files_of.setdefault(note, []).append(task.path)
    return [f"{some_of(paths)}: {note}" for note, paths in files_of.items()]


def _notes_on_gaps(tasks: list[Task], facts: dict[Task, FileFacts]) -> list[str]:
    gaps = {task.path: sum(p.missing for p in facts[task].pages) for task in tasks}
    gaps = {path: count for path, count in gaps.items() if count}
    if not gaps:
        return []
    pixels = counted(sum(gaps.values()), "pixel has", "pixels have")
    return [
        f"{some_of(list(gaps))}: {pixels} no data (NaN, infinite or blank): unknown, "
        "neither bead nor background"
    ]


def doubt_lines(doubts: tuple[MaskDoubt, ...]) -> list[str]:
    """A line to print for each doubt about a mask; of many alike the first ones."""
    kinds = Counter(doubt.kind for doubt in doubts)
    printed: Counter[str] = Counter()
    lines = []
    for doubt in doubts:
        printed[doubt.kind] += 1
        if printed[doubt.kind] <= _PRINTED:
            lines.append(doubt.line)
        elif printed[doubt.kind] == kinds[doubt.kind]:
            more = kinds[doubt.kind] - _PRINTED
            more = counted(more, "more mask")
            lines.append(f"{more}: {doubt.kind} (beadseg analyze lists all)")
    return lines


def trusted(folder: Folder) -> Folder:
    """The folder without the masks that do not belong to their images."""
    out = {doubt.image for doubt in folder.doubts if doubt.left_out}
    return folder._replace(
        samples=tuple(
            replace(
                sample,
                mask=None,
                ignore=None,
                beads=0,
                diameters=(),
                digest=f"{sample.digest} without its mask",
            )
            if sample.name in out
            else sample
            for sample in folder.samples
        )
    )


def require_labels(folder: Folder) -> None:
    """Says in one line why nothing can be trained on a folder.

    Raises:
      BeadsegError: no readable image, no mask, only empty masks, or masks for fewer
        than two files or groups (one is for validation).
    """
    left_out = [doubt.line for doubt in folder.doubts if doubt.left_out]
    where, hint = folder.path, _first((*folder.problems, *left_out))
    if not folder.samples:
        raise BeadsegError(f"{where}: none of its images can be read{hint}")
    labelled = [sample for sample in folder.samples if sample.labelled]
    if not labelled and any(sample.points for sample in folder.samples):
        raise BeadsegError(
            f"{where}: no masks, and points too few to tell how large the beads are: "
            f"give their diameter in px with --config.data.point_diameter{hint}"
        )
    if not labelled:
        raise BeadsegError(
            f"{where}: no image has a mask: put label images of the same names into "
            f"masks/{hint}"
        )
    if not any(sample.beads for sample in labelled):
        raise BeadsegError(
            f"{where}: all masks are empty: label some beads (values above 0){hint}"
        )
    if len({sample.group for sample in labelled}) < 2:
        if len(labelled) == 1:
            what = "only one image has a mask"
        elif len({sample.source for sample in labelled}) == 1:
            what = "all masks are for pages of one file, which stay together"
        else:
            what = "all images with masks are of one group, which stays together"
        raise BeadsegError(
            f"{where}: {what}: training needs two, one of them for validation{hint}"
        )


def classes_in(data: ConfigDict, settings: BeadsToml) -> str | tuple[int | str, ...]:
    """What numbers of masks are, see `classes_of`: config first, then `beads.toml`."""
    classes = classes_of(data.classes, "data.classes")
    return settings.classes or "auto" if classes == "auto" else classes


def _check_layout(folder: Path) -> None:
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "no such folder"
        raise BeadsegError(f"{folder}: {what}: give one that holds images/")
    if (folder / "images").is_dir():
        return
    inside = sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))
    images = sum(Path(name).suffix.lower() in endings() for name in inside)
    if images:
        raise BeadsegError(
            f"{folder}: {counted(images, 'image lies', 'images lie')} in the folder "
            "itself: move them to "
            f"{folder / 'images'} and their masks to {folder / 'masks'}"
        )
    found = f"only {', '.join(inside[:5])}" if inside else "the folder is empty"
    raise BeadsegError(
        f"{folder}: no images/ in it ({found}): put the images in "
        f"{folder / 'images'} and their masks in {folder / 'masks'}"
    )


def find_files(folder: Path, problems: list[str]) -> dict[str, dict[str, Path]]:
    """The files of a data set, by the kinds of `KINDS` and the stems of their images.

    Labels lie in masks/ (or labels/, annotations/), beside their images as labelme,
    Cellpose and LabelImg put them, or in a COCO file that may also lie in the folder
    itself. What is not used is said in `problems`.
    """
    inside = {kind: _inside(folder / kind) for kind in KINDS}
    inside["images"].sort()
    for name in reversed(finding.FOLDERS):
        inside["masks"] = _inside(folder / name) or inside["masks"]
    stems = {stem_of(p.name) for p in inside["images"] if p.suffix.lower() in endings()}
    finding.move_labels(inside, stem_of, stems)
    loose = [*_inside(folder), *_inside(folder / "annotations")]
    return sort_files(inside, loose, problems)


def sort_files(
    inside: dict[str, list[Path]], loose: list[Path], problems: list[str]
) -> dict[str, dict[str, Path]]:
    """Files by kind and stem, those of COCO files too, masks or loose."""
    files = {"images": _named(inside["images"], "images", (), problems)}
    coco = finding.coco_files([*inside["masks"], *loose], files["images"], problems)
    inside["masks"] = [path for path in inside["masks"] if path not in coco]
    for kind in KINDS[1:]:
        files[kind] = _named(inside[kind], kind, files["images"], problems)
    finding.open_coco_files(coco, files["masks"], files["images"], problems)
    return files


def _inside(folder: Path) -> list[Path]:
    """What lies in a folder: pixels before outlines, then by name."""
    order = list(READERS)

    def rank(path: Path) -> tuple:
        ending = path.suffix.lower()
        return order.index(ending) if ending in READERS else -1, path

    return sorted(folder.iterdir(), key=rank) if folder.is_dir() else []


def _named(
    paths: list[Path], kind: str, images: Collection[str], problems: list[str]
) -> dict[str, Path]:
    """Files by the stem of their image; of two with one stem the first."""
    files: dict[str, Path] = {}
    known = endings() + (*READERS,) * (kind in ("masks", "points"))
    for path in paths:
        if path.name.startswith(".") or path.name in _LEFT:
            continue
        stem = finding.image_of(stem_of(path.name), images)
        where = printable(path)
        zarr = kind == "images" and is_zarr(path)
        if path.is_dir() and not zarr:
            problems.append(f"{where}: a folder inside {kind}/ is not looked into")
        elif not path.exists():
            problems.append(f"{where}: a link {_leads(path)}")
        elif not zarr and (other := what_it_is(path)):
            problems.append(f"{where}: it is {other}, not an image")
        elif not is_printable(path.name):
            problems.append(f"{where}: its name is not UTF-8 text: rename it")
        elif len(os.fsencode(stem)) > _LONGEST:
            problems.append(
                f"{where}: its name has more than {_LONGEST} bytes, which leaves no "
                "room for masks/ of that name: shorten it"
            )
        elif line := finding.refused(path):
            problems.append(line)
        elif path.suffix.lower() not in known:
            problems.append(f"{where}: not a type that is read ({endings_in_words()})")
        elif stem in files:
            problems.append(
                f"{where}: of one name with {files[stem].name}, which is used instead"
            )
        else:
            files[stem] = path
    return files


def _leads(link: Path) -> str:
    try:
        link.stat()
    except OSError as error:
        return "in a circle" if error.errno == errno.ELOOP else "to nothing"
    return "to nothing"  # so it was a moment ago


def _late(folder: Path, stem: str) -> bool:
    """Whether `beadseg review` has yet to write what was decided into the mask."""
    try:
        decided = read_file(folder / "decisions" / f"{stem}.jsonl").count(b"\n")
    except OSError:
        return False
    try:
        written = json.loads(read_file(folder / "provenance" / f"{stem}.json"))
        return decided != written["decisions"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return decided > 0


def stem_of(name: str) -> str:
    """The stem of an image file by its name, with an ending or without."""
    ending = Path(name).suffix.lower()
    return file_stem(Path(name)) if ending in (*endings(), *READERS) else name


def _first(problems: tuple[str, ...]) -> str:
    return f" (problems: {len(problems)}, the first: {problems[0]})" if problems else ""
