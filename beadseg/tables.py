"""Tables as columns, and the one writer of CSV files of them."""

import csv
import datetime
import io
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from beadseg.files import open_whole
from beadseg.quoting import for_cell

Table = dict[str, np.ndarray]  # one column per name

FIRST_DAY = datetime.datetime(1980, 1, 1)  # of zip files; in place of today
ROWS = 2**13  # that are text at once


class Dialect(NamedTuple):
    """How numbers and cells stand in a CSV file."""

    separator: str
    point: str
    encoding: str
    line_end: str


DIALECTS = {
    "plain": Dialect(",", ".", "utf-8", "\n"),
    # What Excel opens with a double click where the decimal separator is a comma.
    "excel-eu": Dialect(";", ",", "utf-8-sig", "\r\n"),
}


def write_csv(
    file: Path, tables: Sequence[Table], dialect: str = "plain", digits: int | None = 6
) -> None:
    """Writes tables of the same columns under each other, one at a time.

    Where a table lacks a column of another its cells are empty; of no table at all an
    empty file is made. Floats have so many digits; None: all that they have. `dialect`
    is of `DIALECTS`.
    """
    chosen, names = DIALECTS[dialect], column_names(tables)
    with open_whole(file) as content:
        text = io.TextIOWrapper(
            content, chosen.encoding, newline="", write_through=True
        )
        lines = csv.writer(
            text, delimiter=chosen.separator, lineterminator=chosen.line_end
        )
        lines.writerow(names)
        texts = partial(_texts, digits=digits, point=chosen.point)
        lines.writerows(rows(names, tables, texts))
        text.flush()
        text.detach()


def constant(count: int, **values: Any) -> Table:
    """Columns of one value each, of `count` rows."""
    return {name: np.full(count, value, object) for name, value in values.items()}


def stacked(tables: Sequence[Table]) -> Table:
    """Tables of the same columns under each other."""
    return {
        name: np.concatenate([table[name] for table in tables])
        for name in column_names(tables)
    }


def column_names(tables: Sequence[Table]) -> list[str]:
    """The names of the columns of all tables, in the order in which they first come."""
    return list(dict.fromkeys(name for table in tables for name in table))


def rows(
    names: Sequence[str],
    tables: Sequence[Table],
    cells: Callable[[np.ndarray], list[Any]],
) -> Iterator[tuple[Any, ...]]:
    """The rows of all tables; a column that is missing holds None."""
    for table in tables:
        count = len(next(iter(table.values()), ()))
        for first in range(0, count, ROWS):
            part = slice(first, min(first + ROWS, count))
            none = np.full(part.stop - first, None)
            columns = [
                cells(table[name][part] if name in table else none) for name in names
            ]
            yield from zip(*columns, strict=True)


def rows_to_table(rows: Sequence[dict[str, Any]]) -> Table:
    """Rows as a table of columns, in the order in which names first come."""
    return {
        name: np.fromiter((row.get(name) for row in rows), object, len(rows))
        for name in column_names(rows)
    }


def rounded(column: np.ndarray) -> list[Any]:
    """Numbers to six digits, for text."""
    if column.dtype.kind != "f":
        return column.tolist()
    return [v if math.isnan(v) else float(f"{v:.6g}") for v in column.tolist()]


def _texts(column: np.ndarray, digits: int | None, point: str) -> list[str]:
    values = column.tolist()
    kind = column.dtype.kind
    if kind == "f":
        shown = str if digits is None else f"{{:.{digits}g}}".format
        texts = ["" if v != v else shown(v) for v in values]
        return texts if point == "." else [t.replace(".", point) for t in texts]
    if kind in "biu":
        return [str(int(v)) for v in values]
    words = {v for v in values if type(v) is str}  # mostly one in all rows
    texts = {word: _text(word, digits, point) for word in words}
    return [texts[v] if type(v) is str else _text(v, digits, point) for v in values]


def _text(value: Any, digits: int | None, point: str) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        text = str(value) if digits is None else f"{value:.{digits}g}"
        return text.replace(".", point)
    return str(for_cell(value))
