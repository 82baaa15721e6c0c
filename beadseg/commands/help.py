"""`beadseg help TOPIC`: what beadseg reads, does and says, from where the code says it.

A topic is a list of parts: docstrings of modules, and tables made from the rows that do
the work. A new one is a row of `TOPICS`.
"""

import argparse
import ast
import shutil
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from beadseg.commands import Subparsers

_PACKAGE = Path(__file__).parents[1]
_WIDEST = 100  # characters of a line on a terminal


class Table(NamedTuple):
    """Rows under their heads."""

    heads: tuple[str, ...]
    rows: list[tuple[str, ...]]


Part = str | Table


class Topic(NamedTuple):
    """What is said under a name."""

    about: str
    parts: Callable[[], list[tuple[str, Part]]]  # each with its heading


def _said(module: str) -> tuple[str, Part]:
    """The docstring of a module of the package, which is not run for it."""
    file = _PACKAGE / module
    source = file / "__init__.py" if file.is_dir() else file.with_suffix(".py")
    said = ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or ""
    first, _, rest = said.partition("\n")
    return first.rstrip("."), rest.strip("\n")


def _formats() -> list[tuple[str, Part]]:
    from beadseg.inference.outputs.formats_table import format_rows

    rows = [
        (row.use, row.kind, " ".join(row.endings), row.library or "-", row.tested_in)
        for row in format_rows()
    ]
    heads = ("use", "kind", "endings", "library", "tested in")
    return [
        ("What is read and written", Table(heads, rows)),
        _said("inference/outputs/outlines"),
    ]


def _columns() -> list[tuple[str, Part]]:
    from beadseg.inference.outputs.columns import rows

    heads = ("column", "unit", "meaning")
    return [("Columns of beads.csv and images.csv", Table(heads, rows()))]


def _faq() -> list[tuple[str, Part]]:
    from beadseg.analysis.diagnosis.causes import CAUSES
    from beadseg.inference.doubts import DOUBTS

    doubts = [(doubt.says, doubt.advice) for doubt in DOUBTS]
    causes = [(cause.title, cause.remedy) for cause in CAUSES.values()]
    return [
        ("A count is doubtful", Table(("what is seen", "what to try"), doubts)),
        (
            "Predictions of a run are poor: beadseg diagnose RUN finds out which",
            Table(("cause", "remedy"), causes),
        ),
    ]


def _docstrings(*modules: str) -> Callable[[], list[tuple[str, Part]]]:
    return lambda: [_said(module) for module in modules]


def _calibrate() -> list[tuple[str, Part]]:
    from beadseg.commands.calibrate import EXAMPLES

    words = _docstrings("analysis/calibration", "analysis/calibration/series")
    return [*words(), ("Commands", EXAMPLES)]


TOPICS: dict[str, Topic] = {
    "data": Topic(
        "a folder of images and masks", _docstrings("data/folder", "data/settings_file")
    ),
    "formats": Topic("files that are read and written", _formats),
    "columns": Topic("columns of the tables", _columns),
    "masks": Topic(
        "what masks may hold, and how they are checked",
        _docstrings(
            "data/masks",
            "data/masks/encodings",
            "data/masks/marks",
            "data/masks/mask_fit",
            "partial",
        ),
    ),
    "calibrate": Topic("counts of a dilution series", _calibrate),
    "sweeps": Topic(
        "many settings at once",
        _docstrings("sweep/points", "sweep/folder", "sweep/run", "sweep"),
    ),
    "faq": Topic("doubtful counts and poor predictions: what to do", _faq),
}


def add(commands: Subparsers) -> None:
    """Adds the parser of the command."""
    width = max(map(len, TOPICS))
    parser = commands.add_parser(
        "help",
        help=f"about {', '.join(TOPICS)}",
        description="Says what there is to know of a topic; --html writes all of them.",
        epilog="topics:\n"
        + "\n".join(f"  {name:{width}}  {t.about}" for name, t in TOPICS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("topic", nargs="?", choices=TOPICS, metavar="TOPIC")
    parser.add_argument("--html", type=Path, metavar="FILE", help="one page of all")
    parser.set_defaults(run=lambda options: run(options, parser))


def run(options: argparse.Namespace, parser: argparse.ArgumentParser) -> dict[str, Any]:
    """Prints a topic, or writes the page; returns what was said."""
    chosen = [options.topic] if options.topic else list(TOPICS) if options.html else []
    topics = {name: TOPICS[name].parts() for name in chosen}
    if options.html:
        _write(options.html, topics)
        print(f"page: {options.html}")
    elif topics:
        width = min(shutil.get_terminal_size().columns, _WIDEST)
        print("\n\n".join(_block(*part, width) for part in topics[options.topic]))
    else:
        parser.print_help()
    return {
        name: {
            heading: part._asdict() if isinstance(part, Table) else part
            for heading, part in parts
        }
        for name, parts in topics.items()
    }


def _block(heading: str, part: Part, width: int) -> str:
    """A part for a terminal of so many columns."""
    lines = "\n".join(_aligned(part, width)) if isinstance(part, Table) else part
    return f"{heading}\n{'-' * len(heading)}\n{lines}"


def _aligned(table: Table, width: int) -> list[str]:
    """Columns side by side; the last takes what is left, the others a share each."""
    rows = [table.heads, *table.rows]
    most = max(12, (width - 24) // max(len(table.heads) - 1, 1))
    widths = [
        min(max(len(row[i]) for row in rows), most) for i in range(len(table.heads))
    ]
    widths[-1] = max(24, width - sum(widths[:-1]) - 2 * (len(widths) - 1))
    lines = []
    for row in rows:
        cells = [
            textwrap.wrap(cell, wide, break_long_words=False) or [""]
            for cell, wide in zip(row, widths, strict=True)
        ]
        for i in range(max(map(len, cells))):
            texts = [cell[i] if i < len(cell) else "" for cell in cells]
            padded = [f"{t:{w}}" for t, w in zip(texts, widths, strict=True)]
            lines.append("  ".join(padded).rstrip())
    return lines


def _write(file: Path, topics: dict[str, list[tuple[str, Part]]]) -> None:
    """One page of all topics."""
    from beadseg.page import Page

    page = Page("beadseg", lead="Finds every microbead in a microscope image.")
    for name, parts in topics.items():
        page.section(f"{name}: {TOPICS[name].about}")
        for heading, part in parts:
            page.subsection(heading)
            if isinstance(part, Table):
                page.table(part.heads, part.rows)
                continue
            for paragraph in part.split("\n\n"):
                as_it_is = "\n " in f"\n{paragraph}" or "  " in paragraph.strip()
                (page.command if as_it_is else page.paragraph)(paragraph)
    page.write(file, "--html")
