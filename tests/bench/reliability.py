"""What is left after kills, full disks, bad files and malformed requests.

  python -m tests.bench.reliability --write
  python -m tests.bench.reliability review_killed review_requests

Each kind of fault is tried many times, and a try holds if nothing that was acknowledged
is lost, what is damaged is said in one line, and all else goes on. A kind is a function
of a new folder that yields whether each of its tries held, and an entry of KINDS. Kinds
that are not run keep the numbers in results/reliability.json.
"""

import argparse
import contextlib
import errno
import json
import os
import random
import resource
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import numpy as np

from beadseg.errors import BeadsegError
from beadseg.partial.completed import names
from beadseg.partial.review.annotation_log import AnnotationLog
from beadseg.partial.review.derived import saving
from beadseg.partial.review.session import ReviewSession
from tests.bench.record import RESULTS, keep
from tests.partial import test_review_requests, test_session
from tests.partial.conftest import make_completed
from tests.partial.review import test_strokes
from tests.partial.test_review import Server

DRAW = {"do": "draw", "y": 20, "x": 68, "ry": 5, "rx": 5}
ACTIONS = (DRAW, {"do": "accept", "ids": [5]}, {"do": "reject", "ids": [7]})
ACTIONS += ({"do": "undo"}, {"do": "redo"}, {"do": "reviewed", "value": True})


def _same(one: AnnotationLog, other: AnnotationLog) -> bool:
    same = np.array_equal(one.map.labels, other.map.labels)
    return same and one.map.beads == other.map.beads and one.version == other.version


def _derived(folder: Path) -> dict[str, bytes]:
    kinds = ("masks", "ignore", "provenance")
    return {str(p): p.read_bytes() for kind in kinds for p in (folder / kind).iterdir()}


def review_killed(folder: Path) -> Iterator[bool]:
    """Killed up to 0.7 s after its last answer: all of it is in all files."""
    wait = random.Random(0)
    for number in range(12):
        new = make_completed(folder / str(number), "a")
        server = Server(new)
        answered = sum(server.act(a, i)[0] == 200 for i, a in enumerate(ACTIONS))
        time.sleep(wait.uniform(0, 0.7))
        server.stop(signal.SIGKILL)
        ReviewSession(new).close()
        kept, book = _derived(new), AnnotationLog(new, "a")
        saving(book)()
        yield answered == book.version == len(ACTIONS) and kept == _derived(new)


def review_disk_full(folder: Path) -> Iterator[bool]:
    """The disk is full after any byte of a decision's line, then has room again."""
    log = make_completed(folder / "new", "a") / "decisions" / "a.jsonl"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for room in range(len(json.dumps(DRAW)) + 1):
        log.unlink(missing_ok=True)
        book = AnnotationLog(folder / "new", "a")
        book.act(ACTIONS[1])
        before, refused = log.read_bytes(), False
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + room, limits[1]))
        try:
            book.act(DRAW)
        except OSError:
            refused = True
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        clean = log.read_bytes() == before
        book.act(DRAW)
        yield refused and clean and _same(book, AnnotationLog(folder / "new", "a"))


def review_disk_fails(folder: Path) -> Iterator[bool]:
    """The disk fails once to three times as a decision is made sure of."""
    log = make_completed(folder / "new", "a") / "decisions" / "a.jsonl"
    real = os.fsync
    for code in (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        for times in (1, 2, 3):
            log.unlink(missing_ok=True)
            book, left = AnnotationLog(folder / "new", "a"), [code] * times

            def fails(descriptor: int, left=left) -> None:
                if left:
                    raise OSError(left.pop(), "failed")
                real(descriptor)

            with mock.patch("os.fsync", fails):  # the disk is what is played
                while left:
                    with contextlib.suppress(OSError):
                        book.act(DRAW)
                none = AnnotationLog(folder / "new", "a").version == 0
                book.act(DRAW)
            yield none and _same(book, AnnotationLog(folder / "new", "a"))


def review_bits(folder: Path) -> Iterator[bool]:
    """A bit of the saved decisions is flipped: it is said, and no file changes."""
    new, pick = make_completed(folder / "new", "a"), random.Random(0)
    book = AnnotationLog(new, "a")
    for action in ACTIONS:
        book.act(action)
    saving(book)()
    log = new / "decisions" / "a.jsonl"
    whole, kept = log.read_bytes(), _derived(new)
    for _ in range(60):
        content = bytearray(whole)
        content[pick.randrange(len(content))] ^= 1 << pick.randrange(8)
        log.write_bytes(content)
        try:
            AnnotationLog(new, "a")
            yield False
        except BeadsegError as error:
            yield str(log) in str(error) and _derived(new) == kept


def review_bad_files(folder: Path) -> Iterator[bool]:
    """Files of one image are damaged: the other is reviewed, saved and told as done."""
    for number, spoil in enumerate(test_session.DAMAGE.values()):
        new = make_completed(folder / str(number), "a", "b")
        for name in names(new):
            saving(AnnotationLog(new, name))()
        spoil(new)
        desk = ReviewSession(new)
        desk.decide("b", {"do": "reviewed", "value": True}, 0)
        try:
            desk.all_of("a")
            named = False
        except BeadsegError:
            named = True
        result = desk.close()
        toml = (new / "beads.toml").read_text()
        yield named and len(result["problems"]) == 1 and "b = 1.0" in toml


def review_requests(folder: Path) -> Iterator[bool]:
    """Malformed addresses, heads and bodies: 4xx, and the server goes on."""
    with (folder / "log").open("w") as log:
        server = Server(make_completed(folder / "new", "a"), stderr=log)
    ask = test_review_requests
    sent = [ask.act(server, body) for body in ask.ACTIONS]
    sent += [ask.head(server, a) for a, s in ask.ADDRESSES.items() if s != 200]
    sent += [ask.head(server, **fields) for fields in ask.HEADERS]
    try:
        for content in sent:
            yield 400 <= ask.raw(server, content) < 500
        yield server.ask("/api/images")[0] == 200
    finally:
        server.stop()
    yield server.process.returncode == 0
    yield "Traceback" not in (folder / "log").read_text()


def review_strokes(folder: Path) -> Iterator[bool]:
    """Strokes of any length, from the page and on file: done or refused in seconds."""
    for radius in (0.5, 30, 500):
        for points in test_strokes.COSTLY.values():
            new = make_completed(folder / "new", "a")
            action = {"do": "paint", "points": points, "radius": radius}
            (new / "decisions" / "a.jsonl").write_text(json.dumps(action) + "\n")
            started = time.process_time()
            with contextlib.suppress(BeadsegError):
                AnnotationLog(new, "a")
            yield time.process_time() - started < test_strokes.LIMIT
            shutil.rmtree(new)


Kind = Callable[[Path], Iterator[bool]]
KINDS: dict[str, tuple[str, Kind]] = {
    "review_killed": ("kills survived", review_killed),
    "review_disk_full": ("full disks", review_disk_full),
    "review_disk_fails": ("failing disks", review_disk_fails),
    "review_bits": ("flipped bits noticed", review_bits),
    "review_bad_files": ("bad files", review_bad_files),
    "review_requests": ("malformed requests", review_requests),
    "review_strokes": ("costly strokes", review_strokes),
}


def measure(name: str) -> dict:
    """Tries a kind in a new folder; what raises did not hold and ends it."""
    what, kind = KINDS[name]
    started, held = time.monotonic(), []
    with tempfile.TemporaryDirectory(prefix=f"beadseg-{name}-") as folder:
        try:
            held.extend(kind(Path(folder)))
        except Exception as error:
            held.append(False)
            print(f"{name}: {type(error).__name__}: {error}")
    seconds = round(time.monotonic() - started, 1)
    return {"what": what, "held": sum(held), "of": len(held), "seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", nargs="*", help=f"of {', '.join(KINDS)} (all)")
    parser.add_argument("--write", action="store_true", help="keep in results/")
    options = parser.parse_args()
    if unknown := set(options.kind) - set(KINDS):
        parser.error(f"no kind {min(unknown)}: give of {', '.join(KINDS)}")
    file = RESULTS / "reliability.json"
    found = json.loads(file.read_text())["kinds"] if file.exists() else {}
    found = {name: row for name, row in found.items() if name in KINDS}
    for name in options.kind or KINDS:
        found[name] = measure(name)
        row = found[name]
        print(f"{row['what']} ({name}): {row['held']} of {row['of']}", flush=True)
    if options.write:
        keep("reliability", {"kinds": {n: found[n] for n in KINDS if n in found}})


if __name__ == "__main__":
    main()
