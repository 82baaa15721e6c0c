"""One prediction by many processes: shares of the images, each claimed once.

`launch/submit.py predict` prepares a folder and submits an array of tasks. In it lie,
besides what a prediction holds,

.tasks/inputs.json.gz   all images as they were found, in order, and images a share
.tasks/claims/          who has which share now, see `beadseg.sweep.claims`
.tasks/SHARE.json       a share is finished: lines on its images that failed

A task begins with its own part of the shares, then helps with those that nobody has,
and waits until all are finished: the share of a task that was killed is taken over, and
of its images those with a record are done. Whoever claims the number after the last
share writes the tables. No file depends on who wrote it: they have the bytes that one
process gives.

A plan for 1,000 tasks, 100,000 images and 16,667 shares, of what was measured with
`strace -f` on one task (all outputs, about 25 beads per image) and with a folder of as
many shares on a local disk; not yet run on a cluster:

start    15,000 calls of each task to load Python's packages, 2,200 of them opens: 15
         million at once, by far the most. The environment belongs on the disks of the
         nodes, or in one file (a container). The listing is 0.6 MB, 3 s to read.
image    66 calls in OUT and 11 for the image itself. Of those in OUT 7 files are made,
         flushed and renamed; the rest mostly asks what a node remembers. A task that
         needs 5 s an image makes 1.4 files a second, all 1,400. One that needs 0.5 s
         would ask for 14,000: `--only labels` makes 3 of the 7, or take fewer nodes.
share    27 calls, 4 to 5 an image; no folder is listed while a task has own shares.
life     a time stamp of each task in 15 s: 67 a second.
end      who waits lists two folders (16,667 names, 36 ms each) after 1, 1.5, ... 30 s:
         at most 70 such looks a second, for as long as one share takes.
tables   0.7 ms a record: 73 s for one task; the others do not wait for it.
"""

import dataclasses
import gzip
import json
import random
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tqdm import tqdm

from beadseg.data.images.reading import PageRef
from beadseg.data.images.stacks import Channel, Plane
from beadseg.errors import BeadsegError, reason
from beadseg.files import read_file, read_json, write_whole, writing
from beadseg.inference.batch import (
    CLAIMS,
    LEASE,
    TASKS,
    Options,
    begin,
    check_same,
    folder_alone,
    is_done,
    join,
    predict_images,
)
from beadseg.inference.files import Files
from beadseg.inference.inputs import Input, Inputs
from beadseg.inference.predictor import Predictor
from beadseg.quoting import counted, printable
from beadseg.sweep.claims import Claims

LISTING = "inputs.json.gz"
SHARES = 16  # of a task, at least: who is done early helps with the rest
LARGEST = 16  # images a share: what a task may leave to others to do again
# Processes that may end over a share before its first image without a record is left
# out, and with each more another: it may be what ends them.
TRIES = 3
WAITS = (1.0, 30.0)  # s between two looks at what others still do: first, longest


def prepare(
    inputs: Inputs, predictor: Predictor, options: Options, tasks: int
) -> dict[str, int]:
    """Makes a folder ready for tasks; one that was begun is continued.

    Returns:
      "images" and "shares", how many.

    Raises:
      BeadsegError: the folder cannot be used, or tasks are at work in it.
    """
    options = dataclasses.replace(options, resume=True)
    folder = options.output / TASKS
    size = share_size(len(inputs.images), tasks)
    listing = {
        "size": size,
        "tasks": tasks,
        "images": [_to_json(image) for image in inputs.images],
        "problems": inputs.problems,
    }
    with folder_alone(inputs, options), writing(options.output, "-o"):
        begin(predictor, options)
        shutil.rmtree(folder, ignore_errors=True)
        (options.output / CLAIMS).mkdir(parents=True)
        text = json.dumps(listing, default=lambda number: number.item()).encode()
        write_whole(folder / LISTING, gzip.compress(text, mtime=0))
    return {"images": len(inputs.images), "shares": -(-len(inputs.images) // size)}


def share_size(images: int, tasks: int) -> int:
    """Images a share: few, so that tasks end together, not one as long as there are."""
    return min(max(images // (SHARES * tasks), 1), LARGEST)


def predict_task(predictor: Predictor, options: Options, task: int) -> dict[str, Any]:
    """Predicts shares until all are finished by somebody.

    Args:
      task: whose part comes first, from 0.

    Returns:
      As `predict_batch`, and "lines" on what this task did. Of one that did not write
      the tables nothing but "output", "failed" (here), "lines" and "seconds".

    Raises:
      BeadsegError: the folder was not prepared, or otherwise than asked for now.
    """
    started = time.monotonic()
    options = dataclasses.replace(options, resume=True)
    shares = Shares(options.output, task)
    check_same(predictor, options)
    inputs = shares.inputs
    files = Files([image.page for image in inputs.images], predictor.runs[0])
    found, failed, own = {}, [], 0
    with (
        _stopped_by_term(),
        tqdm(unit="image", desc=f"task {task}", disable=None) as bar,
        Claims(options.output / CLAIMS, LEASE) as claims,
    ):
        for share in shares.take(claims):
            left = [i for i in shares.images(share) if not is_done(i, options)]
            tried = claims.before(share)
            out, left = left[: max(tried - TRIES, 0)], left[max(tried - TRIES, 0) :]
            lines = [
                f"{i.page.where}: {tried} processes have ended at or near it: submit "
                "the job again with more --memory, or predict it alone"
                for i in out
            ]
            lines += predict_images(left, files, predictor, options, bar)
            shares.finish(share, lines)
            claims.release(share)
            failed += lines
            own += len(left)
        last = shares.count
        if not shares.is_finished(last) and claims.take(last):
            if not shares.is_finished(last):
                failed = inputs.problems + shares.failures()
                before = len(inputs.images) - own
                found = join(inputs, predictor, options, failed, before, started)
                shares.finish(last, [])
    lines = [
        f"task {task} of {shares.tasks}: {own} of "
        f"{counted(len(inputs.images), 'image')}"
    ]
    if not found:
        lines.append(f"another task writes the tables, or has: {options.output}")
        found = {"output": str(options.output), "failed": failed}
        found["seconds"] = time.monotonic() - started
    return found | {"lines": lines}


class Shares:
    """What `prepare` has left for the tasks of a folder.

    `count` shares of `inputs`, for so many `tasks`.
    """

    def __init__(self, output: Path, task: int = 0):
        self._folder, self._task = output / TASKS, task
        file = self._folder / LISTING
        try:
            listing = json.loads(gzip.decompress(read_file(file)))
            self._size, self.tasks = map(_positive, (listing["size"], listing["tasks"]))
            images = [_from_json(image) for image in listing["images"]]
            self.inputs = Inputs(images, list(map(str, listing["problems"])), [])
        except FileNotFoundError:
            raise BeadsegError(
                f"{output}: is not prepared for tasks: launch/submit.py predict does it"
            ) from None
        except Exception as error:  # gzip, zlib and JSON raise many kinds
            raise BeadsegError(
                f"{printable(file)}: damaged ({reason(error)}): run launch/submit.py "
                "again"
            ) from None
        self.count = -(-len(images) // self._size)

    def images(self, share: int) -> list[Input]:
        """Of a share, in order."""
        return self.inputs.images[share * self._size : (share + 1) * self._size]

    def take(self, claims: Claims) -> Iterator[int]:
        """Claims one share after the other, until all are finished."""
        place = self._task % self.tasks
        first, end = (n * self.count // self.tasks for n in (place, place + 1))
        for share in range(first, end):
            if self._claim(share, claims):
                yield share
        chance, wait = random.Random(self._task), WAITS[0]
        while left := self.left():
            free = left - claims.claimed()
            share = chance.choice(sorted(free or left))
            if self._claim(share, claims):
                wait = WAITS[0]
                yield share
            elif not free:  # all are in work: of a task that died, one becomes free
                time.sleep(wait)
                wait = min(1.5 * wait, WAITS[1])

    def _claim(self, share: int, claims: Claims) -> bool:
        if self.is_finished(share) or not claims.take(share):
            return False
        if self.is_finished(share):  # while it was claimed
            claims.release(share)
            return False
        return True

    def left(self) -> set[int]:
        """Shares that are not finished."""
        done = {int(p.stem) for p in self._folder.glob("*.json") if p.stem.isdecimal()}
        return set(range(self.count)) - done

    def is_finished(self, share: int) -> bool:
        return self._file(share).exists()

    def finish(self, share: int, failed: list[str]) -> None:
        """Notes that all images of a share are done or have failed."""
        with writing(self._folder, "-o"):
            write_whole(self._file(share), json.dumps({"failed": failed}))

    def failures(self) -> list[str]:
        """Lines on the images of the finished shares, in their order."""
        finished = sorted(set(range(self.count)) - self.left())
        lines: list[str] = []
        for share in finished:
            try:
                lines += map(str, read_json(self._file(share))["failed"])
            except (OSError, ValueError, KeyError, TypeError) as error:
                file = printable(self._file(share))
                lines.append(
                    f"{file}: damaged ({reason(error)}): remove it and start a task "
                    "again, which looks at these images"
                )
        return lines

    def _file(self, share: int) -> Path:
        return self._folder / f"{share}.json"


@contextmanager
def _stopped_by_term() -> Iterator[None]:
    """Within this context SIGTERM is as Ctrl-C: claims are let go of on the way out."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _to_json(image: Input) -> list[Any]:
    page = {f.name: getattr(image.page, f.name) for f in dataclasses.fields(image.page)}
    return [image.name, page | {"path": str(image.page.path)}]


def _from_json(image: list[Any]) -> Input:
    name, page = image[0], {k: _tuples(v) for k, v in image[1].items()}
    page["path"], page["planes"] = Path(page["path"]), _planes(page["planes"])
    page["channels"] = tuple(
        Channel(name, _planes(planes), sample)
        for name, planes, sample in page.get("channels", ())
    )
    return Input(name, PageRef(**page))


def _positive(number: Any) -> int:
    if type(number) is not int or number < 1:
        raise ValueError(f"{number!r} is no number of tasks or images")
    return number


def _planes(found: Any) -> tuple[Plane, ...]:
    return tuple(Plane(*plane) for plane in found)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
