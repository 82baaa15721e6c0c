"""What commands that look for beads share: which ones count, and the page."""

import argparse
import re
import sys
from pathlib import Path
from typing import Any

from beadseg.commands import share
from beadseg.errors import BeadsegError
from beadseg.inference.outputs.columns import CHANNELS
from beadseg.inference.outputs.measure import EDGES
from beadseg.inference.settings import POLARITIES, Settings, read_settings
from beadseg.quoting import counted, percent

SHOWN = 20  # images in the printed table


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds --diameter, --min-score and --polarity."""
    share(
        parser,
        "--diameter",
        "px of the beads in these images; auto: beads of any size, or of that of "
        "the images that --run was trained on",
    )
    share(
        parser,
        "--min-score",
        "beads less sure than this are left out, 0 to 1; auto: for beads of any "
        "size 0.4, or 0.7 in images where few are likely; else 0",
    )
    parser.add_argument(
        "--polarity",
        choices=POLARITIES,
        default="any",
        help="beads brighter or darker than what lies around alone (any)",
    )


def add_counting_options(parser: argparse.ArgumentParser) -> None:
    """Adds --edge, --roi and --exclude."""
    parser.add_argument(
        "--edge",
        choices=EDGES,
        default="corrected",
        help="which beads count where the border cuts some: those it does not cut "
        "(none), or that neither the top nor the left side cuts (half), or all; "
        "corrected: all, but densities rest on whole ones, which stand for those cut",
    )
    for option, where in (("--roi", "inside"), ("--exclude", "outside")):
        parser.add_argument(
            option,
            type=Path,
            metavar="FILE",
            help=f"count beads whose centre is {where} what this draws: GeoJSON, ROIs "
            "of ImageJ, an image that is not 0; or a folder with a file for each image",
        )


def add_channels_option(parser: argparse.ArgumentParser) -> None:
    """Adds --channels."""
    parser.add_argument(
        "--channels",
        choices=CHANNELS,
        default="auto",
        help="in which the beads are measured: all that the file has, of RGB none but "
        "what was looked at (auto); red, green and blue too (all); only that which was "
        "looked at (one)",
    )


def add_report_options(parser: argparse.ArgumentParser) -> None:
    """Adds --no-report and --group."""
    parser.add_argument(
        "--no-report",
        dest="report",
        action="store_false",
        help="without the page (report.html) and its plots",
    )
    parser.add_argument(
        "--group",
        type=_pattern,
        metavar="REGEX",
        help="groups of images on the page, by what this finds in their names: "
        "'day[0-9]+', or the part in brackets: '_([^_]+)$'",
    )


def print_result(
    options: argparse.Namespace, result: dict[str, Any], page: str | None = None
) -> None:
    """Prints a prediction.

    `page` is what `write_page` has said; None: it is written before the last line.
    """
    *lines, last = _lines(result)
    print("\n".join([*lines, ""]), end="", flush=True)
    print(last + (write_page(options, result) if page is None else page))
    for line in [*result["notes"][:SHOWN], *result["doubts"]]:
        print(f"note: {line}", file=sys.stderr)
    for line in result["failed"]:
        print(f"failed: {line}", file=sys.stderr)


def write_page(
    options: argparse.Namespace, result: dict[str, Any], folder: Path | None = None
) -> str:
    """Writes the page of a prediction, if it is asked for; what to say of it.

    Where it fails, all else is written: the reason is added to result["failed"].

    Args:
      folder: that becomes `options.output`; None: it is that.
    """
    if not options.report:
        return ""
    folder = folder or options.output
    from beadseg.analysis.prediction.found import read_found
    from beadseg.analysis.prediction.page import write_report

    failed = len(result["failed"])
    try:
        found = read_found(folder, result["images"], read_settings(folder))
        file = options.output / write_report(found, options.group, failed).name
    except BeadsegError as error:
        line = str(error).replace(str(folder), str(options.output))
        result["failed"].append(f"the page: {line}")
        return ""
    result["report"] = str(file)
    return f", page: {file}"


def _lines(result: dict[str, Any]) -> list[str]:
    rows = result["images"]
    width = max([len(row["image"]) for row in rows[:SHOWN]], default=5)
    lines = []
    if rows:
        lines.append(f"{'image':{width}}  beads  edge-corrected  diameter   coverage")
    for row in rows[:SHOWN]:
        lines.append(
            f"{row['image']:{width}}  {row['count']:5d}  "
            f"{row['edge_corrected_count']:14.1f}  {_diameter(row):>8}  "
            f"{percent(row['coverage'], 1):>9}"
        )
    if len(rows) > SHOWN:
        lines.append(f"... and {len(rows) - SHOWN} more in the table of images")
    beads = sum(row["count"] for row in rows)
    skipped = f", {result['skipped']} of them before" if result["skipped"] else ""
    failed = f", {len(result['failed'])} failed" if result["failed"] else ""
    lines.append(
        f"{counted(beads, 'bead')} in {counted(len(rows), 'image')}{skipped}"
        f"{failed}: {result['output']} ({result['seconds']:.1f} s)"
    )
    return lines


def _diameter(row: dict[str, Any]) -> str:
    for unit in ("um", "px"):
        if row[f"median_diameter_{unit}"] is not None:
            return f"{row[f'median_diameter_{unit}']:.3g} {unit}"
    return "-"


def settings(options: argparse.Namespace) -> Settings:
    """What was asked for.

    Raises:
      BeadsegError: a number out of its range.
    """
    return Settings(
        threshold=getattr(options, "threshold", "auto"),
        diameter=options.diameter,
        min_score=options.min_score,
        polarity=options.polarity,
    )


def _pattern(text: str) -> re.Pattern:
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no regular expression ({error})"
        ) from None
