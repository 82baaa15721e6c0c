"""Tables of centres: Results of ImageJ, spots of TrackMate, points of napari, x and y.

ImageJ counts X and Y from the corner of the first pixel, all others from its centre.
"""

import csv
import re
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

import numpy as np

from beadseg.data.annotations.coco import stem_in
from beadseg.data.annotations.shapes import Drawing, point
from beadseg.data.annotations.text import read_text
from beadseg.data.images.reading import PageRef, file_stem
from beadseg.data.images.units import um_of
from beadseg.quoting import counted

_PAIRS = (("x", "y"), ("xm", "ym"), ("cx", "cy"), ("xc", "yc"))
_PAIRS += (("col", "row"), ("column", "row"))
_FILLED = {"of", "mass", "position", "pos", "coordinate", "coord", "axis"}
_FILLED |= {"center", "centre", "centroid"}
_UNIT = r"[(\[]\s*([^)\]]*?)\s*[)\]]|[_ ](px|pixels?|[uµμn]m|mm|microns?)"
_HEAD = rf"\s*(.*?)\s*(?:{_UNIT})?\s*"
_DECIMAL = re.compile(r"^(\s*[-+]?\d+),(\d+)")
_DECIMAL_IN_QUOTES = re.compile(r"^(\s*[-+]?\d+),(?!\d{3}\s*$)(\d+\s*)$")
_PIXELS = ("", "px", "pixel", "pixels")
_EMPTY = ("", "nan", "na", "n/a", "null", "none")  # cells without a value
_COMMENT = ("#", "%")
_IMAGE = ("image", "image_name", "filename", "file_name", "file", "label")
_FRAME = ("frame", "slice", "position_t")


def read_table(path: Path, page: PageRef) -> Drawing:
    """The centres of a table, of one image; of several, the rows that name it.

    Lines before the first row that begin with # or % are comments; of numpy the last of
    them names the columns. Rows without a place are left out.

    Raises:
      ValueError: no columns x and y, a cell that is no number, no row with a place,
        lengths in a unit that is unknown or um for an image without a pixel size.
    """
    rows = cells(_without_comments(read_text(path)))
    if not rows:
        raise ValueError("the file is empty")
    if len(rows[0]) == 2 and all(_number(cell) is not None for cell in rows[0]):
        rows.insert(0, ["x", "y"])
    names, rows = rows[0], [row for row in rows[1:] if any(map(str.strip, row))]
    x, y, units = _columns(names)
    units, rows = _without_heads(units, rows, (x, y))
    rows, notes = _of_image(names, rows, file_stem(page.path))
    places = np.full((len(rows), 2), np.nan)
    for i, row in enumerate(rows):
        for j, column in enumerate((y, x)):
            if is_empty(cell := row[column] if column < len(row) else ""):
                continue
            value = _number(cell)
            if value is None:
                raise ValueError(
                    f"row {i + 1}: {cell!r} in column {names[column]} is no number: "
                    "put it right"
                )
            places[i, j] = value
    placed = np.isfinite(places).all(1)
    if rows and not placed.any():
        raise ValueError("no row gives a place, x and y: export it again")
    if not placed.all():
        first = int(np.flatnonzero(~placed)[0]) + 1
        left_out = counted(int((~placed).sum()), "row")
        notes += (
            f"{left_out} without a place (NaN or empty), left out: the first is row "
            f"{first}",
        )
    places = places[placed]
    imagej = (names[x], names[y]) == ("X", "Y")
    scale, note = _scale(units, places, page, imagej)
    places = places / scale
    if imagej:
        places = np.floor(places)
    shapes = [point(*place) for place in places]
    return Drawing(shapes, None, (*notes, *note), "table")


def cells(text: str) -> list[list[str]]:
    """Rows of a table with any usual separator, and a decimal point."""
    lines, sign = separated([line for line in text.splitlines() if line.strip()])
    if not sign:
        return [line.split() for line in lines]
    # Between commas a decimal comma stands in quotes; 1,234 may be a thousand.
    comma = _DECIMAL_IN_QUOTES if sign == "," else _DECIMAL
    rows = csv.reader(lines, delimiter=sign)
    return [[comma.sub(r"\1.\2", cell) for cell in row] for row in rows]


def separated(lines: list[str]) -> tuple[list[str], str]:
    """The lines of a table, and what stands between its cells, or "".

    A first line such as "sep=;", which tells Excel, is none of them.
    """
    told = re.fullmatch(r"sep=(.)", lines[0].rstrip("\r\n ")) if lines else None
    if told:
        return lines[1:], told[1]
    first = next((line for line in lines if not is_comment(line)), "")
    sign = max(";\t,", key=first.count)
    return lines, sign if sign in first else ""


def is_comment(line: str) -> bool:
    """Whether a line begins with the sign of a comment."""
    return line.lstrip().startswith(_COMMENT)


def is_empty(cell: str) -> bool:
    """Whether a cell has no value, in the words of Excel, R or pandas too."""
    return cell.strip().lower() in _EMPTY


def _without_comments(text: str) -> str:
    """A table without the comments before it, or with the one that is its header."""
    lines = [line for line in text.splitlines() if line.strip()]
    comments = list(takewhile(is_comment, lines))
    rest = lines[len(comments) :]
    if comments:
        head = re.sub(r"^\s*[#%]+ *", "", comments[-1])
        alike = separated([head])[1] == separated(rest[:1])[1]
        if alike and _has_columns(head) and not _has_columns(*rest[:1]):
            rest.insert(0, head)
    return "\n".join(rest)


def _has_columns(line: str = "") -> bool:
    """Whether a line names x and y."""
    try:
        return bool(_columns(cells(line)[0]))
    except (ValueError, IndexError):
        return False


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _columns(names: Sequence[str]) -> tuple[int, int, str]:
    """Where x and y stand, and their unit; in pixels, if there are several pairs."""
    found: dict[tuple[str, str], list[tuple[int, str]]] = {}
    heads = [re.fullmatch(_HEAD, name) for name in names]
    for i, head in enumerate(heads):
        words = re.findall(r"[a-z]+|\d+", head[1].lower())
        words = [word for word in words if word not in _FILLED]
        counted = re.fullmatch(r"(?:axis|centroid)-(\d)", head[1].lower())
        if len(words) == 1 and (counted or not words[0].isdigit()):
            unit = (head[2] or head[3] or "").lower()
            found.setdefault((words[0], unit), []).append((i, unit))
    axes = sorted(int(w) for (w, _), _ in found.items() if w.isdigit())
    pairs = _PAIRS
    if len(axes) > 1:  # of stacks the last two axes are the image
        pairs += ((str(axes[-1]), str(axes[-2])),)
    units = sorted({unit for _, unit in found}, key=lambda u: u not in _PIXELS)
    for unit in units:
        for x, y in pairs:
            if (x, unit) in found and (y, unit) in found:
                return found[x, unit][0][0], found[y, unit][0][0], unit
    raise ValueError(
        "it has no columns X and Y, x and y, or axis-1 and axis-0: name them so in its "
        "first line"
    )


def _without_heads(unit: str, rows: list[list[str]], columns: tuple[int, int]):
    """The unit and the rows, where TrackMate has three more rows of heads."""
    x = columns[0]
    heads = list(takewhile(lambda row: _is_head(row[x : x + 1]), rows[:3]))
    if len(heads) < 2:  # one is a fault to be told
        return unit, rows
    units = [re.fullmatch(r"\((.*)\)", row[x].strip()) for row in heads]
    return next((u[1].lower() for u in units if u), unit), rows[len(heads) :]


def _is_head(cell: Sequence[str]) -> bool:
    return bool(cell) and not is_empty(cell[0]) and _number(cell[0]) is None


def _of_image(names: Sequence[str], rows: list[list[str]], stem: str):
    """The rows of one image, where a column names images, and a remark on frames."""
    for column in (i for i, n in enumerate(names) if n.strip().lower() in _IMAGE):
        mine = [
            row for row in rows if column < len(row) and stem in _stems(row[column])
        ]
        if mine:
            rows = mine
            break
    for column in (i for i, n in enumerate(names) if n.strip().lower() in _FRAME):
        frames = {row[column] for row in rows if column < len(row)}
        if len(frames) > 1:
            return rows, (
                f"centres of {counted(len(frames), 'frame')}, all put on one image",
            )
    return rows, ()


def _stems(cell: str) -> tuple[str, ...]:
    """Images that a cell may name: by stem, by file, or as ImageJ labels a slice."""
    return cell, stem_in(cell), stem_in(cell.split(":")[0])


def _scale(unit: str, places: np.ndarray, page: PageRef, imagej: bool):
    """Of the unit in px, and a remark where it had to be found out."""
    size = page.pixel_size
    if unit not in _PIXELS:
        um = um_of(unit)
        if um is None:
            raise ValueError(f"its unit {unit!r} is unknown: give px or um")
        if size is None:
            raise ValueError(
                f"its centres are in {unit}, and its image has no pixel size: save "
                "them in pixels"
            )
        return size / um, ()
    if unit or not imagej or size is None or not len(places):
        return 1.0, ()
    # ImageJ writes calibrated lengths without their unit: the frame tells which.
    high = (places / page.shape).max()
    if (size < 1 and high <= size) or (1 < high <= size):
        return size, (f"X and Y are read as um, of pixels of {size:.4g} um",)
    return 1.0, ()
