"""`beadseg review NEW`: a local page to accept, reject and draw beads."""

import argparse
import os
import sys
from contextlib import suppress
from pathlib import Path

from beadseg.commands import Subparsers, share
from beadseg.quoting import counted


def add(commands: Subparsers) -> None:
    """Adds the parser of the command."""
    parser = commands.add_parser(
        "review",
        help="accept, reject and draw beads on a local page",
        description="Serves a page on which a person decides about the proposals of "
        "`beadseg complete`, draws beads that are missing and mends others. Every "
        "decision is on disk at once and can be undone. Ctrl-C, or closing the "
        "terminal, ends it with all saved. An image whose files are damaged is left "
        "out and named; the exit code is then 1.",
        epilog="On another machine: ssh -L 8765:localhost:8765 MACHINE, start it there "
        "with --no-browser, and open the address it prints here.",
    )
    share(parser, "dir", "folder that `beadseg complete` made")
    parser.add_argument("--port", type=int, default=8765, help="0: any free (8765)")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on; others than 127.0.0.1 let other machines in",
    )
    parser.add_argument(
        "--no-browser", action="store_true", help="only print the address"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> dict:
    """Serves until it is stopped; returns how far the review has come."""
    from beadseg.partial.review.browser import open_browser
    from beadseg.partial.review.server import serve

    opened: list[Path] = []

    def started(address: str) -> None:
        print(f"review page: {address}\nCtrl-C ends it; all is saved.", flush=True)
        if not options.no_browser:
            with suppress(OSError):  # the address is printed above
                opened.append(open_browser(address, options.dir))

    try:
        result = serve(options.dir, options.host, options.port, started)
    finally:
        for page in opened:
            page.unlink(missing_ok=True)
    said = [
        *result["problems"],
        f"{result['reviewed']} of {counted(result['images'], 'image')} done, "
        f"{counted(result['undecided'], 'proposal')} undecided",
    ]
    try:
        print("\n".join(said), flush=True)
    except OSError:  # the terminal was closed, which ended it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return result | {"exit_code": 1 if result["problems"] else 0}
