"""Which file of a prediction belongs to which file of the truth: by the page's name."""

import re
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from beadseg.data.images.readers import endings
from beadseg.data.images.reading import PageRef, ReadError, file_stem, open_pages
from beadseg.data.masks.labels import (
    UNKNOWN,
    read_ignored,
    read_labels,
    read_points,
    with_unknown,
)
from beadseg.data.settings_file import read_beads_toml
from beadseg.errors import BeadsegError
from beadseg.inference.records import DONE, read_record, records

Pages = dict[str, PageRef]
Names = dict[tuple[str, int], str]  # of pages, by the stem of the file and their number
_OTHERS_ADD = re.compile(r"(_cp)?[_-](masks?|labels?|seg)$")


class Pair(NamedTuple):
    """An image that was predicted and whose truth is known."""

    name: str  # NAME, or NAME_p000 in a file of several pages
    predicted: PageRef
    instances: bool  # the prediction's numbers are beads, even if there is but one
    mask: PageRef | None  # of the truth; without it there are points
    points: PageRef | None
    ignore: PageRef | None
    image: PageRef | None


class Pairing(NamedTuple):
    """What belongs together, what is left over and what cannot be read."""

    pairs: tuple[Pair, ...]  # in the order of their names
    without_prediction: tuple[str, ...]  # names of truths
    without_truth: tuple[str, ...]  # names of predictions
    problems: tuple[str, ...]  # lines to print


def pair(predicted: Path, truth: Path, images: Path | None = None) -> Pairing:
    """Matches the pages of two folders or files by name.

    Args:
      predicted: a prediction folder (`labels/`), a data set (`masks/`), a folder of
        label images, or one such file.
      truth: a data set (`masks/` or `points/`, `ignore/`), a prediction folder, a
        folder of label images, or one file. Two single files belong together whatever
        their names.
      images: a folder of the images, to be looked at; None: `images/` beside the truth.

    Raises:
      BeadsegError: no such folder or file, no label image in it, or nothing matches.
    """
    problems: list[str] = []
    labels, instances = _labels_in(predicted, "prediction", problems)
    masks, _ = _labels_in(truth, "truth", problems, or_points=True)
    points = _pages(truth / "points", problems)
    ignore = _pages(truth / "ignore", problems)
    shown = _pages(images or truth / "images", problems if images else [])
    names = _names(labels), _names(shown), _predicted(predicted, labels, masks | points)
    masks, points, ignore, shown = (
        _under(labels, pages, *names) for pages in (masks, points, ignore, shown)
    )
    if truth.is_file() and predicted.is_file() and len(masks) == len(labels):
        masks = dict(zip(labels, masks.values(), strict=True))
    names = sorted(labels.keys() & (masks.keys() | points.keys()))
    if not names:
        raise BeadsegError(_nothing_matches(predicted, truth, labels, masks | points))
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

    What other programs add to a name (`_cp_masks`, `_labels`, ...) is left out. Two
    single files belong together whatever their names.

    Args:
      labels: as `predicted` of `pair`.
      images: a folder of images, one that has `images/`, or one file.

    Returns:
      Pairs with an image and no truth.

    Raises:
      BeadsegError: no such folder or file, no label image in it, or nothing matches.
    """
    problems: list[str] = []
    found, instances = _labels_in(labels, "labels", problems)
    if not images.exists():
        raise BeadsegError(f"{images}: no such folder or file: check the images")
    inside = images / "images"
    shown = (
        _pages_of([images], problems)
        if images.is_file()
        else _pages(inside if inside.is_dir() else images, problems)
    )
    found = _under(shown, found, _names(shown))
    if labels.is_file() and images.is_file() and len(found) == len(shown):
        names = dict(zip(found, shown, strict=True))
    else:
        names = {n: n if n in shown else _OTHERS_ADD.sub("", n) for n in found}
        names = _one_for_each(names, found, problems)
    pairs = tuple(
        Pair(shown_name, found[name], instances, None, None, None, shown[shown_name])
        for name, shown_name in names.items()
        if shown_name in shown
    )
    if not pairs:
        raise BeadsegError(_nothing_matches(labels, images, found, shown))
    return Pairing(
        pairs,
        tuple(sorted(shown.keys() - set(names.values()))),
        tuple(sorted(name for name in names if names[name] not in shown)),
        tuple(problems),
    )


def _one_for_each(
    names: dict[str, str], pages: Pages, problems: list[str]
) -> dict[str, str]:
    """The images by their labels: of several labels the one named like the image."""
    kept: dict[str, str] = {}
    for name, image in sorted(names.items(), key=lambda item: item[0] != item[1]):
        other = kept.setdefault(image, name)
        if other != name:
            problems.append(
                f"{pages[name].where}: labels of {image}, as {pages[other].where}, "
                "which is used instead"
            )
    return {name: names[name] for name in names if name in kept.values()}


def dataset_of(truth: Path) -> Path:
    """The folder with the `beads.toml` that speaks of a truth, if there is one.

    The truth may also be `masks/` of a data set, or a file in there.
    """
    folder = truth.parent if truth.is_file() else truth
    return folder.parent if folder.name in ("masks", "points") else folder


def read_predicted(pair: Pair) -> np.ndarray:
    """Labels i32[H, W] of a prediction; raises ReadError."""
    if not pair.instances:
        labels = read_labels(pair.predicted)
        return np.where(labels == UNKNOWN, 0, labels)
    stored = pair.predicted.read_stored()
    if stored.ndim != 2 or (stored != np.round(stored)).any():
        raise ReadError(f"{pair.predicted.where}: holds no whole numbers, one per bead")
    return np.maximum(stored, 0).astype(np.int32)


def read_truth(pair: Pair) -> tuple[np.ndarray, np.ndarray | None]:
    """Labels i32[H, W] with -1 where unknown, and centres f32[N, 2] if they are all.

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
    labels, centres = np.zeros(shape, np.int32), None
    if pair.mask is not None:
        labels = read_labels(pair.mask)
    else:
        centres = read_points(pair.points)
    if pair.ignore is not None:
        labels = with_unknown(labels, read_ignored(pair.ignore))
    return labels, centres


def _names(pages: Pages) -> Names:
    return {(file_stem(page.path), page.index): name for name, page in pages.items()}


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
        stem, number = file_stem(page.path), page.index
        others = [some[stem, number] for some in names if (stem, number) in some]
        every = (name, *others, f"{stem}_p{number:03d}")
        return next((one for one in every if one in known), name)

    return {name_of(name, page): page for name, page in pages.items()}


def _labels_in(
    where: Path, what: str, problems: list[str], or_points: bool = False
) -> tuple[Pages, bool]:
    """Pages of label images by name, and whether their numbers are sure to be beads."""
    pages, instances = _found_in(where, what, problems, or_points)
    classes = read_beads_toml(dataset_of(where), str).classes or "auto"
    pages = {name: replace(page, classes=classes) for name, page in pages.items()}
    return pages, instances


def _found_in(
    where: Path, what: str, problems: list[str], or_points: bool
) -> tuple[Pages, bool]:
    if not where.exists():
        raise BeadsegError(f"{where}: no such folder or file: check the {what}")
    if where.is_file():
        return _pages_of([where], problems), False
    for inside in ("labels", "masks"):
        if (where / inside).is_dir():
            return _pages(where / inside, problems), inside == "labels"
    if or_points and (where / "points").is_dir():
        return {}, False
    pages = _pages(where, problems)
    if not pages:
        reason = f" ({problems[0]})" if problems else ""
        raise BeadsegError(
            f"{where}: no label image in it{reason}: give a folder with labels/ or "
            "masks/, or one of TIFF or PNG label images"
        )
    return pages, False


def _pages(folder: Path, problems: list[str]) -> Pages:
    if not folder.is_dir():
        return {}
    files = sorted(p for p in folder.iterdir() if not p.name.startswith("."))
    return _pages_of([p for p in files if p.suffix.lower() in endings()], problems)


def _pages_of(files: list[Path], problems: list[str]) -> Pages:
    pages: Pages = {}
    for file in files:
        try:
            found = open_pages(file)
        except ReadError as error:
            problems.append(str(error))
            continue
        for page in found:
            if page.name in pages:
                problems.append(
                    f"{page.where}: of one name with {pages[page.name].where}, which "
                    "is used instead"
                )
            else:
                pages[page.name] = page
    return pages


def _nothing_matches(predicted: Path, truth: Path, labels: Pages, masks: Pages) -> str:
    def some(pages):
        return f"{min(pages)}, ..." if len(pages) > 1 else min(pages, default="nothing")

    return (
        f"{predicted}: no name in it ({some(labels)}) is one in {truth} "
        f"({some(masks)}): give both files the same names"
    )
