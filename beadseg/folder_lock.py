"""A folder that one process has for itself, while it lives."""

import errno
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from beadseg.errors import BeadsegError
from beadseg.files import cannot_write, read_json

LOCK = ".lock"
_UNKNOWN = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)  # a disk without locks


@contextmanager
def folder_lock(folder: Path, option: str = "--workdir") -> Iterator[None]:
    """Holds a folder that is there; the file in it says which process does.

    The system lets go of it when the process ends, however that comes about: the file
    of one that was killed stops nobody. Where a disk knows no locks there is none.

    Args:
      folder: to hold.
      option: what names another folder.

    Raises:
      BeadsegError: another process holds it, or it cannot be written.
    """
    lock = FileLock(folder / LOCK, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise _in_use(folder, option) from None
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in _UNKNOWN:
            raise cannot_write(folder / LOCK, error, option) from error
    else:
        with suppress(OSError):  # only words for others
            (folder / LOCK).write_text(json.dumps(_identity()) + "\n")
    try:
        yield
    finally:
        if lock.is_locked:
            with suppress(OSError):  # who waits for it finds that it is gone
                (folder / LOCK).unlink()
        with suppress(OSError):
            lock.release()


def _identity() -> dict[str, str | int]:
    now = time.strftime("%Y-%m-%d %H:%M:%S")
    return {"host": socket.gethostname(), "pid": os.getpid(), "since": now}


def _in_use(folder: Path, option: str) -> BeadsegError:
    try:
        owner = read_json(folder / LOCK)
        who = f"process {owner['pid']} on {owner['host']}, since {owner['since']},"
    except (OSError, ValueError, KeyError):  # just begun
        who = "another process"
    return BeadsegError(
        f"{folder}: {who} works in this folder: wait until it has ended, or give "
        f"another with {option}"
    )
