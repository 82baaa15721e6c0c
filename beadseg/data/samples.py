"""The pages of an image file, each with the pages of mask, ignore and points of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from beadseg.data.facts import FileFacts, PageFacts, Task
from beadseg.data.images import gaps
from beadseg.data.images.reading import PageRef, check_image
from beadseg.data.masks.labels import (
    read_ignored,
    read_labels,
    read_points,
    with_unknown,
)
from beadseg.data.settings_file import BeadsToml
from beadseg.errors import BeadsegError
from beadseg.quoting import counted, printable

SMALLEST_DISC = 2.0  # px; one of less across has no shape


@dataclass(frozen=True)
class Sample:
    """A page of an image file, with the files that speak of it."""

    name: str  # NAME, or NAME_p000 in a file of several pages
    source: str  # NAME
    page: int
    image: Task
    mask: Task | None
    ignore: Task | None
    points: Task | None
    shape: tuple[int, ...]
    beads: int  # in the mask, or discs
    diameters: tuple[float, ...]  # px, of the beads of the mask that are whole
    centres: int  # in points
    spacings: tuple[float, ...]  # px, from each centre to the nearest other
    group: str
    pixel_size: float | None  # um
    completeness: float | None
    digest: str  # of the content of the files, and the page
    disc: float | None = None  # px across; what points are taken for without a mask
    reading: tuple[str, ...] = ("", "")  # kind and note of how the mask was read

    @property
    def labelled(self) -> bool:
        """Whether it can be trained on."""
        return self.mask is not None or self.disc is not None

    def page_of(self, kind: str) -> PageRef | None:
        """Its page of "image", "mask", "ignore" or "points"; None: it has none."""
        task = getattr(self, kind)
        return task.open()[self.page] if task else None


class Content(NamedTuple):
    """What the files of a sample hold."""

    image: np.ndarray  # [H, W], not finite where it has no data
    labels: np.ndarray | None  # i32[H, W]; -1 unknown
    points: np.ndarray | None  # f32[N, 2]: y, x


def mask_of(sample: Sample, points: np.ndarray | None = None) -> np.ndarray | None:
    """The labels i32[H, W] of its mask; None: it has none. Raises ReadError."""
    page = sample.page_of("mask")
    return None if page is None else read_labels(page)


def read_sample(
    sample: Sample,
    labels_of: Callable[[Sample, np.ndarray | None], np.ndarray | None] = mask_of,
) -> Content:
    """Reads a sample; unknown are pixels of `ignore`, and those without data.

    Args:
      labels_of: the labels i32[H, W] of a sample, from it and its points.

    Raises:
      ReadError: a file is damaged or has changed.
    """
    page = sample.page_of("image")
    image = page.read()
    check_image(image, page.where)
    dots = sample.page_of("points")
    points = None if dots is None else read_points(dots)
    labels = labels_of(sample, points)
    if labels is not None:
        ignore = sample.page_of("ignore")
        labels = with_unknown(labels, None if ignore is None else read_ignored(ignore))
        labels = with_unknown(labels, gaps.missing(image))
    return Content(image, labels, points)


def match(
    stem: str,
    tasks: dict[str, Task | None],
    facts: dict[Task, FileFacts],
    settings: BeadsToml,
    group: str,
    problems: list[str],
) -> list[Sample]:
    """The usable pages of an image file, each with the usable pages that match it.

    Args:
      tasks: its image file, and the others of the same stem, by kind.
      problems: gets a line for each file and page that is left out.
    """
    known = {kind: facts[task] for kind, task in tasks.items() if task}
    problems += [fact.problem for fact in known.values() if fact.problem]
    images = known.pop("images").pages
    for kind, fact in list(known.items()):
        if kind != "ignore" and len(images) == 1 < len(fact.pages):
            problems.append(page_for_each_bead(tasks[kind].path, len(fact.pages)))
            del known[kind]
        elif images and fact.pages and len(fact.pages) != len(images):
            problems.append(
                f"{tasks[kind].path}: {counted(len(fact.pages), 'page')}, but its "
                f"image has {len(images)}: only pages that both have are matched"
            )
    samples = []
    for number, page in enumerate(images):
        if page.problem:
            problems.append(page.problem)
            continue
        matched = _matching(number, page, known, tasks, len(images), problems)
        if "ignore" in known and "ignore" not in matched:
            for kind in ("masks", "points"):  # unknown pixels would pass for background
                matched.pop(kind, None)
        mask, points = (matched.get(k, PageFacts()) for k in ("masks", "points"))
        used = {kind: tasks[kind] for kind in matched}
        digests = {kind: facts[tasks[kind]].digest for kind in ("images", *used)}
        sample = Sample(
            name=page.name,
            source=stem,
            page=number,
            image=tasks["images"],
            mask=used.get("masks"),
            ignore=used.get("ignore"),
            points=used.get("points"),
            shape=page.shape,
            beads=mask.beads,
            diameters=mask.diameters,
            centres=points.beads,
            spacings=points.spacings,
            group=group,
            pixel_size=settings.pixel_size or page.pixel_size,
            completeness=settings.completeness_of(stem),
            digest=f"{digests} {number}",
            reading=mask.reading,
        )
        samples.append(sample)
    return samples


def page_for_each_bead(path: Path, pages: int) -> str:
    """Why labels on several pages are not used for an image of one."""
    return (
        f"{printable(path)}: {counted(pages, 'page')}, but its image has 1: save all "
        "beads on one page, with a number each"
    )


def with_discs(
    samples: Sequence[Sample], diameter: float | None
) -> tuple[list[Sample], str | None]:
    """Samples whose beads are discs where there are points and no mask, and a remark.

    Args:
      diameter: px, `data.point_diameter`; None: the median distance from a centre to
        the nearest other, which is a diameter where beads lie close.

    Raises:
      BeadsegError: a diameter of less than `SMALLEST_DISC`.
    """
    if diameter is not None and not diameter >= SMALLEST_DISC:
        raise BeadsegError(
            f"data.point_diameter = {diameter}: give {SMALLEST_DISC:g} px or more"
        )
    bare = [s for s in samples if s.points is not None and s.mask is None]
    found = [spacing for sample in bare for spacing in sample.spacings]
    source = "data.point_diameter"
    if diameter is None and found:
        diameter = max(round(float(np.median(found)), 2), SMALLEST_DISC)
        source = "the median distance between nearest centres; where beads lie apart, "
        source += "set data.point_diameter"
    if diameter is None or not bare:
        return list(samples), None

    def drawn(sample: Sample) -> Sample:
        return replace(
            sample,
            disc=diameter,
            beads=sample.centres,
            diameters=(diameter,) * sample.centres,
            digest=f"{sample.digest} discs of {diameter} px",
        )

    names = {sample.name for sample in bare}
    return [drawn(s) if s.name in names else s for s in samples], (
        f"images with points and no mask ({len(bare)}): their beads are taken for "
        f"discs of {diameter:g} px ({source}), parted midway where they meet"
    )


def _matching(
    number: int,
    image: PageFacts,
    known: dict[str, FileFacts],
    tasks: dict[str, Task | None],
    count: int,
    problems: list[str],
) -> dict[str, PageFacts]:
    """Facts of the usable pages for one page of an image, by kind."""
    matched = {}
    for kind, fact in known.items():
        if number >= len(fact.pages):
            continue
        page = fact.pages[number]
        if page.problem:
            problems.append(page.problem)
        elif page.shape != image.shape:
            where = f" page {number}" if count > 1 else ""
            remedy = "export both at the same size"
            if page.shape == image.shape[::-1]:
                remedy = "one is turned by 90 degrees: turn the mask as the image is"
            problems.append(
                f"{tasks[kind].path}{where}: {page.shape[0]} x {page.shape[1]} px, but "
                f"its image is {image.shape[0]} x {image.shape[1]} px: {remedy}"
            )
        else:
            matched[kind] = page
    return matched
