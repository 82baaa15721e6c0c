"""Which file of a prediction belongs to which file of the truth: by the page's name.

The truth is read as training reads a data set; labels of other programs may have the
names that they have there, see `finding.image_of`.
"""

import os
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

import numpy as np

from beadseg.data.annotations import finding
from beadseg.data.annotations.readers import READERS
from beadseg.data.facts import KINDS, Task
from beadseg.data.folder import find_files, stem_of
from beadseg.data.images.readers import endings
from beadseg.data.images.reading import PageRef, ReadError, file_stem
from beadseg.data.masks.labels import (
    Mask,
    read_ignored,
    read_mask,
    read_points,
    with_unknown,
)
from beadseg.data.samples import page_for_each_bead
from beadseg.data.settings_file import read_beads_toml
from beadseg.errors import BeadsegError
from beadseg.inference.records import DONE, read_record, records
from beadseg.inference.settings import FILE
from beadseg.quoting import printable

Pages = dict[str, PageRef]
Files = dict[str, Path]  # by the stem of their image
_FOLDERS = ("labels", "masks", "annotations")  # of a prediction first
Names = dict[tuple[str, int], str]  # of pages, by the stem of the file and their number


class Pair(NamedTuple):
    """An image that was predicted and whose truth is known."""

    name: str  # NAME, or NAME_p000 in a file of several pages
    predicted: PageRef
    instances: bool  # the prediction's numbers are beads, even if there is but one
    mask: PageRef | None  # of the truth; without it there are points
    points: PageRef | None
    ignore: PageRef | None
    image: PageRef | None


class Truth(NamedTuple):
    """What is known of an image."""

    labels: np.ndarray  # i32[H, W] with -1 where unknown
    centres: np.ndarray | None  # f32[N, 2], if they are all
    kind: str = ""  # of the reading of the mask, and in words, as of `Mask`
    note: str = ""


class Pairing(NamedTuple):
    """What belongs together, what is left over and what cannot be read."""

    pairs: tuple[Pair, ...]  # in the order of their names
    without_prediction: tuple[str, ...]  # names of truths
    without_truth: tuple[str, ...]  # names of predictions
    problems: tuple[str, ...]  # lines to print


def pair(predicted: Path, truth: Path, images: Path | None = None) -> Pairing:
    """Matches the pages of two folders or files by name.

    Args:
      predicted: a prediction folder (`labels/`), a data set, a folder of label images,
        or one such file.
      truth: a data set, a prediction folder, a folder of label images, or one file.
        Two single files belong together whatever their names.
      images: a folder of the images, to be looked at; None: `images/` beside the truth.

    Raises:
      BeadsegError: no such folder or file, no label image in it, or nothing matches.
    """
    problems: list[str] = []
    seen = _images_in(images or truth / "images")  # or none
    first, _ = _labels_in(predicted, "prediction", {}, [])
    known, _ = _labels_in(truth, "truth", seen or first["masks"], problems)
    of_truth = known["masks"] | known["points"]
    found, instances = _labels_in(predicted, "prediction", seen or of_truth, problems)
    if predicted.is_file() and truth.is_file():
        known["masks"] = dict(zip(found["masks"], known["masks"].values(), strict=True))
    shown = _pages(seen, "images", problems if images else [])
    labels = _pages(found["masks"], "masks", problems, seen, _classes(predicted))
    grids = found["masks"] | seen
    masks, points, ignore = (
        _pages(known[kind], kind, problems, grids, _classes(truth))
        for kind in ("masks", "points", "ignore")
    )
    labels = _of_single(labels, shown, problems)
    masks, points = (
        _of_single(pages, labels.keys() | shown.keys(), problems)
        for pages in (masks, points)
    )
    labels = _of_single(labels, masks.keys() - seen.keys(), problems)
    names = _names(labels), _names(shown), _predicted(predicted, labels, masks | points)
    masks, points, ignore, shown = (
        _under(labels, pages, *names) for pages in (masks, points, ignore, shown)
    )
    names = sorted(labels.keys() & (masks.keys() | points.keys()))
    if not names:
        raise BeadsegError(
            _nothing_matches(predicted, truth, labels, masks | points, problems)
        )
    pairs = tuple(
        Pair(
            name,
            labels[name],
            instances,
            masks.get(name),
            points.get(name),
            ignore.get(name),
            shown.get(name),
        )
        for name in names
    )
    return Pairing(
        pairs,
        tuple(sorted((masks.keys() | points.keys()) - labels.keys())),
        tuple(sorted(labels.keys() - masks.keys() - points.keys())),
        tuple(problems),
    )


def pair_images(labels: Path, images: Path) -> Pairing:
    """Matches label images with the images that they are of, by name.

    Two single files belong together whatever their names.

    Args:
      labels: as `predicted` of `pair`; it may lie beside the images.
      images: a folder of images, one that has `images/`, or one file.

    Returns:
      Pairs with an image and no truth.

    Raises:
      BeadsegError: no such folder or file, no label image in it, or nothing matches.
    """
    if not images.exists():
        raise BeadsegError(f"{images}: no such folder or file: check the images")
    problems: list[str] = []
    inside = images / "images"
    seen = _images_in(inside if inside.is_dir() else images)
    found, instances = _labels_in(labels, "labels", seen, problems)
    if labels.is_file() and images.is_file():
        found["masks"] = dict(zip(seen, found["masks"].values(), strict=True))
    shown = _pages(seen, "images", problems)
    pages = _pages(found["masks"], "masks", problems, seen, _classes(labels))
    pages = _of_single(pages, shown, problems)
    pages = _under(shown, pages, _names(shown))
    pairs = tuple(
        Pair(name, page, instances, None, None, None, shown[name])
        for name, page in sorted(pages.items())
        if name in shown
    )
    if not pairs:
        raise BeadsegError(_nothing_matches(labels, images, pages, shown, problems))
    return Pairing(
        pairs,
        tuple(sorted(shown.keys() - pages.keys())),
        tuple(sorted(pages.keys() - shown.keys())),
        tuple(problems),
    )


def dataset_of(truth: Path) -> Path:
    """The folder with the `beads.toml` that speaks of a truth, if there is one.

    The truth may also be `masks/` of a data set, or a file in there.
    """
    folder = truth.parent if truth.is_file() else truth
    return folder.parent if folder.name in ("masks", "points") else folder


def read_predicted(pair: Pair) -> Mask:
    """Labels i32[H, W] of a prediction, unknown pixels as background.

    Raises:
      ReadError: the file is damaged or no mask.
    """
    if not pair.instances:
        mask = read_mask(pair.predicted)
        return mask._replace(labels=np.maximum(mask.labels, 0))
    stored = pair.predicted.read_stored()
    if stored.ndim != 2 or (stored != np.round(stored)).any():
        raise ReadError(f"{pair.predicted.where}: holds no whole numbers, one per bead")
    return Mask(np.maximum(stored, 0).astype(np.int32))


def read_truth(pair: Pair) -> Truth:
    """Reads the mask or the points of a truth, and what is to be ignored.

    Raises:
      ReadError: a file is damaged or no mask, or sizes differ.
    """
    shape = pair.predicted.shape
    for page in (pair.mask or pair.points, pair.ignore):
        if page is not None and page.shape != shape:
            raise ReadError(
                f"{pair.predicted.where}: {shape[0]} x {shape[1]} px, but "
                f"{page.where} is {page.shape[0]} x {page.shape[1]} px: "
                "predict and label the image at the same size"
            )
    mask, centres = Mask(np.zeros(shape, np.int32)), None
    if pair.mask is not None:
        mask = read_mask(pair.mask)
    else:
        centres = read_points(pair.points)
    ignored = None if pair.ignore is None else read_ignored(pair.ignore)
    return Truth(with_unknown(mask.labels, ignored), centres, mask.kind, mask.note)


def _names(pages: Pages) -> Names:
    return {(_stem(name, page), page.index): name for name, page in pages.items()}


def _stem(name: str, page: PageRef) -> str:
    """The name of a page without what tells it from others of its file."""
    return name.removesuffix(_end(page))


def _end(page: PageRef) -> str:
    return "" if page.kind == "beads" else page.name[len(file_stem(page.path)) :]


def _predicted(folder: Path, labels: Pages, truth: Pages) -> Names:
    """The names that a prediction gave pages, if some truth has none of them."""
    if truth.keys() <= labels.keys() or not (folder / DONE).is_dir():
        return {}
    names = {}
    for file in records(folder):
        try:
            about, _ = read_record(file)
            names[file_stem(Path(about["file"])), about["page"]] = about["image"]
        except Exception:  # damaged in any way: the name of its file is known
            continue
    return names


def _under(known: Pages, pages: Pages, *names: Names) -> Pages:
    """Pages under the names that `known` has for them.

    A label image has numbered pages where its image has times and depths.
    """

    def name_of(name: str, page: PageRef) -> str:
        stem, number = _stem(name, page), page.index
        others = [some[stem, number] for some in names if (stem, number) in some]
        every = (name, *others, f"{stem}_p{number:03d}")
        return next((one for one in every if one in known), name)

    return {name_of(name, page): page for name, page in pages.items()}


def _images_in(where: Path) -> Files:
    """Images by their stem, without labels and what else lies beside them."""
    if where.is_file():
        return {stem_of(where.name): where}
    paths = _inside(where)
    beside = {"images": paths[:], "masks": []}
    finding.move_labels(beside, stem_of, {stem_of(path.name) for path in paths})
    return _by_image(beside["images"] or paths, {}, [])


def _labels_in(
    where: Path, what: str, images: Files, problems: list[str]
) -> tuple[dict[str, Files], bool]:
    """Files of labels by kind, and whether their numbers are sure to be beads.

    Args:
      where: see `pair`.
      what: it is, for messages.
      images: that files may be named after.
      problems: gets lines on files that are not used.
    """
    files: dict[str, Files] = {kind: {} for kind in KINDS}
    if not where.exists():
        raise BeadsegError(f"{where}: no such folder or file: check the {what}")
    if where.is_file():
        files["masks"] = {finding.image_of(stem_of(where.name), images): where}
        return files, False
    lines: list[str] = []
    home = where.parent if where.name == "labels" else where
    ours = (home / DONE).is_dir() or (home / FILE).is_file()  # of beadseg
    if (where / "images").is_dir() and not ours:
        files = find_files(where, lines)
    if not files["masks"] and not files["points"]:
        inside = next(filter(Path.is_dir, (where / n for n in _FOLDERS)), where)
        for kind in KINDS[1:]:
            folder = inside if kind == "masks" else where / kind
            files[kind] = _by_image(_inside(folder), images, lines)
    # What is wrong with images is for those to say that look at them.
    of_images = f"{printable(where / 'images')}{os.sep}"
    problems += [line for line in lines if not line.startswith(of_images)]
    if not files["masks"] and not files["points"]:
        reason = f" ({problems[0]})" if problems else ""
        raise BeadsegError(
            f"{where}: no label image in it{reason}: give a folder with labels/ or "
            "masks/, or one of TIFF or PNG label images"
        )
    return files, ours and (home / "labels").is_dir()


def _inside(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _by_image(paths: list[Path], images: Files, problems: list[str]) -> Files:
    """Files by the image that they are named after; pixels come before outlines."""

    def rank(path: Path) -> tuple:
        return _ending(path) in READERS, stem_of(path.name) not in images, path

    files: Files = {}
    own = {os.path.realpath(path) for path in images.values()}
    # Labels may lie beside their images.
    paths = [path for path in paths if os.path.realpath(path) not in own] or paths
    for path in sorted(paths, key=rank):
        stem = stem_of(path.name)
        image = finding.image_of(stem, images)
        drawn = _ending(path) in READERS and image in images
        if finding.is_by_product(stem, images) or not (
            drawn or _ending(path) in endings()
        ):
            continue
        if image in files:
            problems.append(
                f"{printable(path)}: labels of {image}, as {printable(files[image])}, "
                "which is used instead"
            )
        else:
            files[image] = path
    return files


def _ending(path: Path) -> str:
    return path.suffix.lower()


def _classes(where: Path) -> str | tuple[int | str, ...]:
    return read_beads_toml(dataset_of(where), str).classes or "auto"


def _pages(
    files: Files,
    kind: str,
    problems: list[str],
    images: Files | None = None,
    classes: str | tuple[int | str, ...] = "auto",
) -> Pages:
    """The pages of files by name, as training reads them.

    Args:
      files: by the stem of their image.
      kind: of `KINDS`.
      problems: gets lines on what cannot be read.
      images: on whose grid outlines are drawn.
      classes: of masks.
    """
    pages: Pages = {}
    for stem, path in files.items():
        task = Task(path, kind, None, "pages", (images or {}).get(stem), classes)
        try:
            found = task.open()
        except ReadError as error:
            problems.append(str(error))
            continue
        for page in found:
            name = f"{stem}{_end(page)}"
            if name in pages:
                problems.append(
                    f"{page.where}: of one name with {pages[name].where}, which "
                    "is used instead"
                )
            else:
                pages[name] = page
    return pages


def _of_single(pages: Pages, single: Collection[str], problems: list[str]) -> Pages:
    """Pages without those of files that have several for an image known to have one."""
    stems = {name: _stem(name, page) for name, page in pages.items()}
    out = {name for name, stem in stems.items() if stem in single and name != stem}
    files = Counter(pages[name].path for name in sorted(out))
    problems += [page_for_each_bead(path, count) for path, count in files.items()]
    return {name: page for name, page in pages.items() if name not in out}


def _nothing_matches(
    predicted: Path, truth: Path, labels: Pages, masks: Pages, problems: list[str]
) -> str:
    """Why: the files that are left out, if there are some."""
    if problems and not (labels and masks):
        return problems[0]

    def some(pages):
        return f"{min(pages)}, ..." if len(pages) > 1 else min(pages, default="nothing")

    return (
        f"{predicted}: no name in it ({some(labels)}) is one in {truth} "
        f"({some(masks)}): give both files the same names; labels may have _labels, "
        "_masks or the like behind them"
    )
