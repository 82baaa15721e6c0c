"""`beadseg review NEW`: a local page to accept, reject and draw beads."""

import argparse
import webbrowser
from pathlib import Path

from beadseg.commands.parser import Subparsers


def add(commands: Subparsers) -> None:
    """Adds the parser of the command."""
    parser = commands.add_parser(
        "review",
        help="accept, reject and draw beads on a local page",
        description="Serves a page on which a person decides about the proposals of "
        "`beadseg complete`, draws beads that are missing and mends others. Every "
        "decision is on disk at once and can be undone.",
        epilog="On another machine: ssh -L 8765:localhost:8765 MACHINE, start it there "
        "with --no-browser, and open the address it prints here.",
    )
    parser.add_argument("dir", type=Path, help="folder that `beadseg complete` made")
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
    from beadseg.partial.book import Book, names
    from beadseg.partial.review.server import serve
    from beadseg.partial.verification import write_completeness

    def started(address: str) -> None:
        print(f"review page: {address}\nCtrl-C ends it; all is saved.", flush=True)
        if not options.no_browser:
            webbrowser.open(address)

    try:
        serve(options.dir, options.host, options.port, started)
    except KeyboardInterrupt:
        pass
    books = [Book(options.dir, name) for name in names(options.dir)]
    left = sum(book.counts().get("proposed", 0) for book in books)
    done = {book.name: 1.0 for book in books if book.reviewed}
    if done:  # training validates on masks that are known to be complete
        write_completeness(options.dir, done)
    print(f"{len(done)} of {len(books)} images done, {left} proposals undecided")
    return {"images": len(books), "reviewed": len(done), "undecided": left}
