"""What commands that look for beads share: which ones count, and the page."""

import argparse
import re
from typing import Any

from beadseg.errors import BeadsegError
from beadseg.files import read_json
from beadseg.inference.settings import FILE, POLARITIES, Settings


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds --diameter, --min-score and --polarity."""
    parser.add_argument(
        "--diameter",
        type=auto_or_number,
        default="auto",
        help="px of the beads in these images; auto: beads of any size, or of that of "
        "the images that --run was trained on",
    )
    parser.add_argument(
        "--min-score",
        type=auto_or_number,
        default="auto",
        help="beads less sure than this are left out, 0 to 1; auto: 0.4 for beads of "
        "any size, else 0",
    )
    parser.add_argument(
        "--polarity",
        choices=POLARITIES,
        default="any",
        help="beads brighter or darker than what lies around alone (any)",
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


def report(options: argparse.Namespace, result: dict[str, Any]) -> str:
    """Writes the page of a prediction; what the last line says of it.

    Where it fails, all else is written: the reason is added to result["failed"].
    """
    from beadseg.analysis.prediction.found import read_found
    from beadseg.analysis.prediction.page import write_report

    failed = len(result["failed"])
    try:
        found = read_found(
            options.output, result["images"], read_json(options.output / FILE)
        )
        file = write_report(found, options.group, failed)
    except BeadsegError as error:
        result["failed"].append(f"the page: {error}")
        return ""
    result["report"] = str(file)
    return f", page: {file}"


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


def auto_or_number(text: str) -> float | str:
    """A value of --threshold and the like."""
    if text == "auto":
        return text
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither auto nor a number"
        ) from None
