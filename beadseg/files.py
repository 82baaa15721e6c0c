"""Files written whole or not at all, and the line said where a disk fails."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from beadseg.errors import BeadsegError


def write_whole(file: Path, content: str | bytes | memoryview) -> None:
    """Writes beside the file, then renames: readers see the old or the new content."""
    with open_whole(file) as f:
        f.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def open_whole(file: Path) -> Iterator[BinaryIO]:
    """Opens a file beside, to be written piece by piece, and renames it at the end."""
    beside = file.with_name(f".{file.name}.{os.getpid()}.{time.monotonic_ns()}")
    try:
        with open(beside, "w+b") as f:
            yield f
            f.flush()
            os.fsync(f.fileno())
        os.replace(beside, file)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def writing(where: Path, option: str | None = "--workdir") -> Iterator[None]:
    """Turns a failure of the disk into one line that says where and what to do.

    `option` is what names another place; None: there can be no other.
    """
    try:
        yield
    except OSError as error:
        other = f"give another with {option}" if option else "make it writable"
        raise BeadsegError(
            f"{where}: cannot be written ({error.strerror or error}): free space or "
            f"{other}, then run the same command again"
        ) from error
