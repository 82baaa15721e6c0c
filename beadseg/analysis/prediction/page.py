"""The page of a prediction: what was found, how sure it is, numbers for a paper."""

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from beadseg.analysis.prediction import plots
from beadseg.analysis.prediction.distributions import (
    by_number,
    by_volume,
    compare,
    moment_mean,
)
from beadseg.analysis.prediction.found import NO_GROUP, Found, grouped, read_found
from beadseg.analysis.prediction.gallery import MOST, add_gallery
from beadseg.analysis.prediction.intervals import rate_interval, size_intervals
from beadseg.analysis.prediction.methods import Tests, add_methods, left_out, number
from beadseg.errors import BeadsegError
from beadseg.files import user_path, writing
from beadseg.inference.arrays import naming_arguments
from beadseg.inference.doubts import DOUBTS, mark
from beadseg.inference.records import read_record, records
from beadseg.inference.settings import has_calibrated_scores, read_settings
from beadseg.page import Page
from beadseg.quoting import counted, percent

FILE = "report.html"
_ROWS = 60  # of a table
_FEW = 20  # beads, with fewer of which percentiles say little


def report(folder: str | Path) -> Path:
    """Writes the page (report.html) of all images of a prediction folder.

    Returns:
      The page's file.

    Raises:
      BeadsegError: it is none, or cannot be written.
    """
    folder = user_path(folder)
    try:
        settings = read_settings(folder)
    except (OSError, ValueError):
        raise BeadsegError(
            f"{folder}: holds no prediction: give a folder of beadseg predict, or of "
            "save()"
        ) from None
    rows = []
    for file in records(folder):
        with suppress(Exception):  # damaged in any way: write_tables has told of it
            rows.append(read_record(file)[0])
    mark(rows, has_calibrated_scores(settings))
    with naming_arguments():
        return write_report(read_found(folder, rows, settings))


def write_report(
    found: Found, group: re.Pattern | None = None, failed: int = 0
) -> Path:
    """Writes the page of a prediction into its folder, and its plots into `plots/`.

    Args:
      found: images and their beads.
      group: finds the group of an image in its name.
      failed: images that could not be predicted.

    Returns:
      The page's file.

    Raises:
      BeadsegError: the folder cannot be written.
    """
    file = found.folder / FILE
    sizes, image = (v[found.whole] for v in (found.beads["size"], found.image))
    intervals = size_intervals(sizes, image)
    page = Page("Beads found", _lead(found, sizes))
    _numbers(page, found, sizes, intervals)
    _doubtful(page, found, failed)
    with writing(found.folder, "-o"):
        folder = found.folder / plots.FOLDER
        folder.mkdir(exist_ok=True)
        if len(sizes):
            page.section("Sizes")
            plots.plot_sizes(page, sizes, found.unit, folder)
            _sizes(page, sizes, found.unit)
            page.section("Shape and intensity")
            shapes = {name: v[found.whole] for name, v in found.beads.items()}
            plots.plot_shapes(page, shapes, found.unit, folder)
        tests = []
        if group is not None and found.rows:
            page.section("Groups of images")
            tests = _groups(page, found, grouped(found.rows, group), folder)
    if found.rows:
        page.section("Images")
        _images(page, found)
    page.section("Methods")
    add_methods(page, found, intervals, tests)
    page.write(file, "-o")
    return file


def _lead(found: Found, sizes: np.ndarray) -> str:
    images = len(found.rows)
    text = f"{counted(found.count, 'bead')} in {counted(images, 'image')}"
    if len(sizes):
        text += f"; median diameter {number(np.median(sizes))} {found.unit}"
    return f"{text}."


def _numbers(page: Page, found: Found, sizes: np.ndarray, intervals) -> None:
    where = f"in {counted(len(found.rows), 'image')}"
    if found.edge != "corrected":
        where = f"of {len(found.image):,} {where}, by --edge {found.edge}"
    tiles = [("Beads", f"{found.count:,}", where)]
    if len(sizes):
        median = f"{number(np.median(sizes))} {found.unit}"
        tiles.append(("Median diameter", median, _interval(intervals.median)))
    if len(sizes) > 1:
        remark = _interval(intervals.cv, as_share=True)
        tiles.append(("CV of diameters", percent(by_number(sizes).cv, 1), remark))
    if found.rows:
        rate, interval, per = density(found, range(len(found.rows)))
        tiles.append((f"Beads per {per}", number(rate), _interval(interval)))
    doubtful = sum(bool(row["doubt"]) for row in found.rows)
    tiles.append(("Images in doubt", f"{doubtful:,}", f"of {len(found.rows):,}"))
    page.numbers(tiles)


def density(found: Found, rows) -> tuple[float, tuple[float, float], str]:
    """Beads per mm², of images without a pixel size per image, with its interval.

    By the rule for what the border cuts: corrected, areas compare.
    """
    some = [found.rows[i] for i in rows]
    counts = np.array([row["edge_corrected_count"] for row in some], float)
    exposure, per = np.ones(len(some)), "image"
    if all(row["pixel_size_um"] for row in found.rows):
        exposure, per = np.array([_area(row) for row in some]), "mm²"
    rate = float(counts.sum() / exposure.sum())
    weights = found.beads["edge_weight"][found.of(rows)]
    return rate, rate_interval(counts, exposure, weights), per


def _area(row: dict[str, Any]) -> float:
    """In mm²; of pixels with data alone, as the row's own density."""
    if row["edge_corrected_count"] and row["density_per_mm2"]:
        return row["edge_corrected_count"] / row["density_per_mm2"]
    return row["height"] * row["width"] * row["pixel_size_um"] ** 2 / 1e6


def _doubtful(page: Page, found: Found, failed: int) -> None:
    if failed:
        some = f"{counted(failed, 'file')} could not be predicted"
        page.callout("bad", f"{some}: the command has named them.", "Left out.")
    if not len(found.image):
        page.callout("note", "No bead was found.")
    elif len(found.image) < _FEW:
        page.callout("note", "With so few beads, percentiles and the CV say little.")
    for line in left_out(found):
        page.callout("note", line)
    ordered = (found.rows[i] for i in order_of_doubt(found))
    rows = [row for row in ordered if row["doubt"]]
    if not rows:
        return
    kinds = {doubt.name: doubt for doubt in DOUBTS}
    table = []
    for row in rows[:_ROWS]:
        named = [kinds[name] for name in row["doubt"].split() if name in kinds]
        says, advice = (
            "; ".join(getattr(d, w) for d in named) for w in ("says", "advice")
        )
        advice = re.sub(r"--[\w-]+( [\d.]+)?", r"`\g<0>`", advice)
        table.append([row["image"], f"{row['count']:,}", says, advice])
    more = f", the first {_ROWS}" if len(rows) > _ROWS else ""
    header = ["image", "beads", "reason", "what to do"]
    if not found.settings.get("runs"):  # the advice is for predicting again
        header, table = header[:3], [line[:3] for line in table]
    page.section("Images in doubt")
    page.table(
        header, table, f"{len(rows):,} of {counted(len(found.rows), 'image')}{more}."
    )


def _sizes(page: Page, sizes: np.ndarray, unit: str) -> None:
    ways = by_number(sizes), by_volume(sizes)
    measures = {
        f"mean ({unit})": "mean",
        f"standard deviation ({unit})": "sd",
        "CV": "cv",
        f"median, D50 ({unit})": "d50",
        f"interquartile range ({unit})": "iqr",
        f"D10 ({unit})": "d10",
        f"D90 ({unit})": "d90",
        "span, (D90 - D10) / D50": "span",
        "PDI, (SD / mean)²": "pdi",
    }
    rows = [
        [title, *(getattr(w, name) for w in ways)] for title, name in measures.items()
    ]
    rows.append(
        [f"D[3,2], of volume over surface ({unit})", moment_mean(sizes, 3, 2), ""]
    )
    rows.append([f"D[4,3], the mean by volume ({unit})", "", moment_mean(sizes, 4, 3)])
    page.table(
        ["diameter", "by number", "by volume"], rows, f"{counted(len(sizes), 'bead')}."
    )
    page.items(
        [
            "The diameter is that of the disc whose area the bead covers.",
            "By number each bead counts once, by volume as the sphere of its diameter.",
            "D10, D50, D90: 10, 50, 90 % of the beads, or of their volume, are "
            "smaller. D[3,2] = Σd³ / Σd²; D[4,3] = Σd⁴ / Σd³.",
            "PDI: the polydispersity index as light scattering defines it, the square "
            "of SD / mean; other fields call other ratios so.",
        ]
    )


def _groups(
    page: Page, found: Found, groups: dict[str, list[int]], folder: Path
) -> Tests:
    """The table, the plots and the tests, which are returned."""
    rows, sizes, medians, rates = [], {}, {}, {}
    for name, images in groups.items():
        chosen = found.whole & found.of(images)
        sizes[name], image = found.beads["size"][chosen], found.image[chosen]
        medians[name] = np.array(
            [np.median(sizes[name][image == i]) for i in np.unique(image)]
        )
        rates[name] = np.array([density(found, [i])[0] for i in images])
        rate, interval, per = density(found, images)
        row = [name, len(images), sum(found.rows[i]["count"] for i in images)]
        row.append(f"{number(rate)} ({_between(interval)})")
        if len(sizes[name]):
            of = size_intervals(sizes[name], image)
            middle = number(np.median(sizes[name]))
            if of.median and of.cv:
                middle += f" ({_between(of.median)})"
                row += [middle, f"{percent(by_number(sizes[name]).cv, 1)} "]
                row[-1] += f"({_between(of.cv, as_share=True)})"
            else:
                row.append(middle)
        rows.append([*row, None, None][:6])
    header = ["group", "images", "beads", f"beads per {per}"]
    header += [f"median diameter ({found.unit})", "CV"]
    page.table(header, rows, "In brackets: 95 % intervals.")
    plots.plot_groups(page, sizes, medians, found.unit, folder)
    tests = []
    for what, of in (("median diameter", medians), (f"beads per {per}", rates)):
        test = compare([v for name, v in of.items() if name != NO_GROUP])
        if test is not None:
            tests.append((what, test))
    page.items([f"The {what} of images: {test}." for what, test in tests])
    page.paragraph(
        "The tests compare one number per image, for beads of one image are not "
        "independent. Mann-Whitney's U for two groups, Kruskal-Wallis' H for more; a "
        "group of one image takes no part."
    )
    if not tests:
        page.callout("note", "No test: it takes two groups of two images each.")
    if NO_GROUP in groups:
        count = len(groups[NO_GROUP])
        page.callout(
            "note",
            f"--group matches nothing in the names of {counted(count, 'image')}.",
        )
    return tests


def order_of_doubt(found: Found) -> list[int]:
    """Rows, those with most kinds of doubt first, then those of low scores."""

    def place(i: int) -> tuple:
        row = found.rows[i]
        score = row.get("mean_score")
        return -len(row["doubt"].split()), 1.0 if score is None else score, i

    return sorted(range(len(found.rows)), key=place)


def _images(page: Page, found: Found) -> None:
    order = order_of_doubt(found)
    page.paragraph(
        "Those in doubt come first, then those with the lowest scores. A click opens "
        "the whole overlay from the folder of this page."
    )
    if not add_gallery(page, found, order):
        page.callout("note", "There are no overlays in this folder.")
    elif len(order) > MOST:
        page.paragraph(f"The first {MOST} of {counted(len(order), 'image')}.")


def _interval(interval, as_share: bool = False) -> str:
    return f"95 %: {_between(interval, as_share)}" if interval else ""


def _between(interval, as_share: bool = False) -> str:
    if interval is None:
        return ""
    low, high = (percent(end, 1) if as_share else number(end) for end in interval)
    return f"{low.removesuffix(' %')} to {high}"
