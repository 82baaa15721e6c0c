"""`beadseg review DIR`: a local page to accept, reject, correct and draw beads."""

import argparse
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from beadseg.commands import Subparsers, detection, share
from beadseg.quoting import counted


def add(commands: Subparsers) -> None:
    """Adds the parser of the command."""
    parser = commands.add_parser(
        "review",
        help="correct what was found, or decide about proposals, on a local page",
        description="Serves a page on which a person decides about the proposals of "
        "`beadseg complete`, or corrects what `beadseg predict` found: a click adds a "
        "bead, others are deleted, split, merged, drawn. Measure again writes labels, "
        "tables, ROIs and the page of the prediction anew; the folder is then a data "
        "set as well (--config.data.dir). Every decision is on disk at once and can be "
        "undone. Ctrl-C, or closing the terminal, ends it with all saved. An image "
        "whose files are damaged is left out and named; the exit code is then 1.",
        epilog="On another machine: ssh -L 8765:localhost:8765 MACHINE, start it there "
        "with --no-browser, and open the address it prints here.",
    )
    share(parser, "dir", "folder that `beadseg complete` or `beadseg predict` made")
    parser.add_argument("--port", type=int, default=8765, help="0: any free (8765)")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on; others than 127.0.0.1 let other machines in",
    )
    parser.add_argument(
        "--no-browser", action="store_true", help="only print the address"
    )
    share(
        parser,
        "--images",
        "of a prediction: folder of its images, if they are not where they were",
    )
    parser.add_argument(
        "--measure",
        action="store_true",
        help="of a prediction: measure again what was decided, without the page",
    )
    detection.add_report_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Serves until it is stopped; returns how far the review has come."""
    from beadseg.errors import BeadsegError, note
    from beadseg.partial.review.predicted import is_prediction, prepare

    prediction = is_prediction(options.dir)
    if not prediction and (options.images or options.measure):
        raise BeadsegError(
            f"{options.dir}: is no folder of beadseg predict: leave --images and "
            "--measure out"
        )
    left_out = prepare(options.dir, options.images) if prediction else []
    if options.measure:
        return _measure_alone(options, left_out)
    for line in left_out:
        note(line)
    result = _serve(options, prediction)
    said = [
        *result["problems"],
        f"{result['reviewed']} of {counted(result['images'], 'image')} done, "
        f"{counted(result['undecided'], 'proposal')} undecided",
    ]
    try:
        print("\n".join(said), flush=True)
    except OSError:  # the terminal was closed, which ended it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return result | {"exit_code": 1 if result["problems"] or left_out else 0}


def _serve(options: argparse.Namespace, prediction: bool) -> dict[str, Any]:
    from beadseg.partial.review.browser import open_browser
    from beadseg.partial.review.server import serve

    opened: list[Path] = []

    def started(address: str) -> None:
        print(f"review page: {address}\nCtrl-C ends it; all is saved.", flush=True)
        if not options.no_browser:
            with suppress(OSError):  # the address is printed above
                opened.append(open_browser(address, options.dir))

    def measure() -> dict[str, Any]:
        result = _measure(options)
        beads = sum(row["count"] for row in result["images"])
        names = ("measured", "failed", "report")
        facts = {name: result[name] for name in names if name in result}
        return facts | {"images": len(result["images"]), "beads": beads}

    try:
        return serve(
            *(options.dir, options.host, options.port, started),
            measure if prediction else None,
        )
    finally:
        for page in opened:
            page.unlink(missing_ok=True)


def _measure(options: argparse.Namespace) -> dict[str, Any]:
    from beadseg.partial.review.measuring import measure_again

    result = measure_again(options.dir)
    options.output = options.dir
    detection.write_page(options, result)
    return result


def _measure_alone(options: argparse.Namespace, left_out: list[str]) -> dict[str, Any]:
    from beadseg.partial.review.session import ReviewSession

    session = ReviewSession(options.dir)
    try:
        failed = session.close()["problems"]
    finally:
        session.release()
    result = _measure(options)
    result["failed"] += [line for line in failed if line not in result["failed"]]
    result["failed"] += left_out
    options.report = False  # it is written
    detection.print_result(options, result)
    return result | {"exit_code": 1 if result["failed"] else 0}
