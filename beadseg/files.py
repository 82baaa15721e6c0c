"""Files written whole or not at all, folders that one process holds, failing disks.

What is written goes beside its place first, as `.NAME.PID.NANOSECONDS`. A process that
is killed may leave such a file; the next one that has the folder for itself removes it.
"""

import errno
import io
import json
import os
import re
import shutil
import socket
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from filelock import FileLock, Timeout

from beadseg import old_names
from beadseg.errors import FULL, BeadsegError
from beadseg.quoting import cut_name, printable

LOCK = ".lock"
MADE_BY = ".made_by"  # in a folder that a command has finished: which one
_UNKNOWN = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)  # a disk without locks
_ZIP = b"PK"  # how every .npz file begins
_BESIDE = re.compile(r"\..+\.\d+\.\d{6,}", re.DOTALL)
_LONGEST = 255  # bytes of a name, on the usual disks
_STREAMS = (Path("/dev"), Path("/dev/fd"), Path("/proc/self/fd"))
# What libraries say in errors of their own kinds when the disk has failed.
_OF_DISK = {
    # Of numpy, which writes arrays by itself: "65536 requested and 18264 written".
    errno.ENOSPC: "no space left|resource_exhausted|disk full|requested and .* written",
    errno.EDQUOT: "quota exceeded",
    errno.EFBIG: "file too large",
    errno.EROFS: "read-only file system",
    errno.EACCES: "permission denied|permission_denied",
    errno.EIO: "input/output error",
}
_FIRST = {  # of errors of a disk: what to do, if not give another place
    FULL: "free space",
    (errno.EACCES, errno.EPERM, errno.EROFS): "make it writable",
    (errno.ENOTEMPTY,): "move what lies there away",
}
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe (FIFO)"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def write_whole(file: Path, content: str | bytes | memoryview) -> None:
    """Writes beside the file, then renames: readers see the old or the new content."""
    with open_whole(file) as f:
        if isinstance(content, str):  # half a character stands as its number
            content = content.encode(errors="backslashreplace")
        f.write(content)


def write_json(file: Path, content: Any, indent: int = 2) -> None:
    """Writes a JSON file that a person can read, whole."""
    write_whole(file, json.dumps(content, indent=indent) + "\n")


class InUse(BeadsegError):
    """Another process writes in a folder."""


@contextmanager
def open_whole(file: Path) -> Iterator[BinaryIO]:
    """Opens a file beside, to be written piece by piece, and renames it at the end.

    What stands for a stream, as /dev/stdout does, is written to as it is.
    """
    if Path(os.path.abspath(file)).parent in _STREAMS:
        sys.stdout.flush()  # what was printed comes first
        with open(file, "ab") as stream:
            yield stream
        return
    beside = name_beside(file)
    try:
        with open(beside, "w+b") as f:
            yield f
            f.flush()
            os.fsync(f.fileno())
        os.replace(beside, file)
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def name_beside(file: Path) -> Path:
    """Where a file is written before it takes its place.

    Raises:
      OSError: the path has no name of a file, as "/" and "".
    """
    if not file.name:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(file))
    end = f".{os.getpid()}.{time.monotonic_ns()}"
    return file.with_name(f".{cut_name(file.name, _LONGEST - 1 - len(end))}{end}")


def is_left_over(name: str) -> bool:
    """Whether a file of that name is one that had not yet taken its place."""
    return _BESIDE.fullmatch(name) is not None


def holds_files(folder: Path) -> bool:
    """Whether there is something in a folder, or in those in it.

    What a process has left that was killed before it wrote anything whole is nothing,
    and so is what says which command has made it.
    """
    for path in folder.iterdir():
        if is_left_over(path.name):
            continue
        if path.is_dir() and not path.is_symlink():
            if holds_files(path):
                return True
        elif path.name not in (LOCK, MADE_BY):
            return True
    return False


def remove_leftovers(*folders: Path) -> None:
    """Removes what killed processes left; only where no other process writes."""
    for folder in folders:
        with suppress(OSError):
            for path in folder.iterdir():
                if is_left_over(path.name) and path.is_file():
                    path.unlink(missing_ok=True)


def user_path(text: str | Path) -> Path:
    """The path that a person has typed, "~" and "~name" resolved where they can be.

    Raises:
      BeadsegError: it is none, as None, a number, or text with a character of number 0.
    """
    if not isinstance(text, str | os.PathLike) or "\0" in str(text):
        raise BeadsegError(f"{text!r:.80} is no path: give text or a pathlib.Path")
    try:
        return Path(text).expanduser()
    except RuntimeError:  # no such user, or one without a home: a folder of that name
        return Path(text)


def what_it_is(path: Path) -> str:
    """What lies there in place of a regular file, in words; empty for such a file.

    Raises:
      OSError: nothing lies there, or it cannot be looked at.
    """
    mode = os.stat(path).st_mode
    return next((words for is_kind, words in _KINDS if is_kind(mode)), "")


def read_file(file: Path) -> bytes:
    """The content of a regular file. What would block or never end is not opened.

    Raises:
      OSError: it is none, or cannot be read.
    """
    other = what_it_is(file)
    if other:
        raise OSError(errno.EINVAL, f"it is {other}, not a file")
    return file.read_bytes()


def read_json(file: Path) -> dict[str, Any]:
    """The content of a JSON file, an object; of a run's, by today's names.

    Raises:
      FileNotFoundError: there is none.
      OSError: it cannot be read.
      ValueError: it is damaged, in one line.
    """
    try:
        content = json.loads(read_file(file).decode())
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    if not isinstance(content, dict):
        raise ValueError("it holds something else than {...}")
    return old_names.content(file.name, content)


def read_arrays(file: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file, of numbers and text.

    Raises:
      Exception: of many kinds where it is damaged; of zip, zlib, numpy or the disk.
    """
    content = read_file(file)
    if not content.startswith(_ZIP):  # numpy takes all else for pickles
        raise ValueError("it is no .npz file")
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return dict(arrays)


def read_json_or_none(file: Path) -> dict[str, Any] | None:
    """The same; None where there is none, or none that can be read."""
    try:
        return read_json(file)
    except (OSError, ValueError):
        return None


def disk_error(error: BaseException | None) -> OSError | None:
    """The failure of a disk that an error, or what caused it, tells of.

    Libraries wrap it in errors of their own, some in nothing but words.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, OSError) and error.errno is not None:
            return error
        for number, words in _OF_DISK.items():
            if re.search(words, str(error), re.IGNORECASE):
                return OSError(number, os.strerror(number))
        if isinstance(error, OSError):
            return error
        error = error.__cause__ or error.__context__
    return None


@contextmanager
def telling(line: Callable[[OSError], BeadsegError]) -> Iterator[None]:
    """Turns a failure of the disk, in whatever words, into the line made of it."""
    try:
        yield
    except BeadsegError:
        raise
    except Exception as error:
        failure = disk_error(error)
        if failure is None:
            raise
        raise line(failure) from failure


@contextmanager
def writing(where: Path, option: str | None = "--workdir") -> Iterator[None]:
    """Turns a failure of the disk into one line that says where and what to do.

    `option` is what names another place; None: there can be no other.
    """
    with telling(lambda failure: cannot_write(where, failure, option)):
        yield


def cannot_write(
    where: Path, failure: OSError, option: str | None = "--workdir"
) -> BeadsegError:
    """The line that says that a place cannot be written, and what to do."""
    cause = failure.strerror or str(failure)
    first = next((do for kinds, do in _FIRST.items() if failure.errno in kinds), "")
    file = _file_on_the_way(where)
    if file is not None and failure.errno in (errno.EEXIST, errno.ENOTDIR):
        cause = f"{printable(file)} is a file, not a folder"
        first = "move it away"
    other = f"give another with {option}" if option else ""
    ways = " or ".join(filter(None, (first, other))) or "put that right"
    return BeadsegError(
        f"{printable(where)}: cannot be written ({cause}): {ways}, then run the same "
        "command again"
    )


def _file_on_the_way(path: Path) -> Path | None:
    """The file that lies where a path has a folder, or is to be one."""
    with suppress(OSError):
        for part in (path, *path.parents):
            if part.exists() and not part.is_dir():
                return part
    return None


@contextmanager
def folder_lock(folder: Path, option: str | None = "--workdir") -> Iterator[None]:
    """Holds a folder that is there; the file in it says which process does.

    The system lets go of it when the process ends, however that comes about: the file
    of one that was killed stops nobody. Where a disk knows no locks there is none.

    Args:
      folder: to hold.
      option: what names another folder; None: there can be no other.

    Raises:
      InUse: another process holds it.
      BeadsegError: it cannot be written.
    """
    lock = FileLock(folder / LOCK, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise _in_use(folder, folder, option) from None
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


@contextmanager
def output_folder(folder: Path, option: str = "-o") -> Iterator[Path]:
    """Gives a folder to fill, whose files go into `folder` at the end, over older ones.

    One process alone writes there. A full disk, or a kill, leaves what was there before
    or, between two names, less of it: no older file stands beside a newer one. What a
    killed one has left is removed.

    Raises:
      BeadsegError: another process writes there, or it cannot be written.
    """
    with writing(folder, option):
        folder.mkdir(parents=True, exist_ok=True)
        with folder_lock(folder, option), whole_folder(folder, option) as part:
            yield part


def check_unused(folder: Path, option: str | None, maker: str) -> None:
    """Refuses a folder that holds something, and says if `maker` has finished it.

    A command that is killed when its folder is whole may not have said so.

    Raises:
      BeadsegError: it holds something, or is a file.
    """
    if not folder.exists() or (folder.is_dir() and not holds_files(folder)):
        return
    done = False
    with suppress(OSError):
        done = read_file(folder / MADE_BY) == maker.encode() and any(
            not path.name.startswith(".") for path in folder.iterdir()
        )
    what = "is finished already, by this same command" if done else "is not empty"
    if not folder.is_dir():
        what = "is a file, not a folder"
    raise BeadsegError(
        f"{folder}: {what}: give a new folder" + (f" with {option}" if option else "")
    )


@contextmanager
def whole_folder(
    folder: Path, option: str | None = "-o", maker: str = ""
) -> Iterator[Path]:
    """Gives a folder to fill, which becomes `folder` at the end of this context.

    So a process that is killed leaves nothing that could be taken for the whole; what
    it has left is removed by the next. A folder that is there may lie on a disk of its
    own: it is filled within itself, and what is whole is moved up.

    Args:
      folder: new, or one that holds nothing (`holds_files`), or files that new ones of
        their names take the place of.
      option: that names another.
      maker: tells the command that fills it from all others, for `check_unused`.

    Raises:
      InUse: another process fills it.
      OSError: it cannot be written.
    """
    named = Path(os.path.abspath(folder))  # "." has no name
    there = folder.exists()
    place = folder if there else named.parent
    place.mkdir(parents=True, exist_ok=True)
    _remove_parts(place, named.name, folder, option)
    part = place / name_beside(named).name
    part.mkdir()
    try:
        with folder_lock(part, option):
            try:
                yield part
            except BeadsegError as error:  # by the name that was given
                line = str(error).replace(printable(part), printable(folder))
                error.args = (line, *error.args[1:])
                raise
        (part / LOCK).unlink(missing_ok=True)  # where a disk knows no locks
        if maker:
            write_whole(part / MADE_BY, maker)
        if there:
            _move_up(part, folder)
        else:
            part.rename(named)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _remove_parts(place: Path, name: str, folder: Path, option: str | None) -> None:
    """Removes what killed processes had half filled, to become a folder of a name."""
    start = cut_name(f".{name}.", 100)
    for left in place.iterdir():
        if not (left.name.startswith(start) and is_left_over(left.name)):
            continue
        try:
            with folder_lock(left, option):
                shutil.rmtree(left, ignore_errors=True)
        except InUse:
            raise _in_use(left, folder, option) from None
        except BeadsegError:  # a file, or a folder of somebody else
            continue


def _move_up(part: Path, folder: Path) -> None:
    """Moves what is in a part of a folder into that, over folders that hold nothing.

    Older files of all names go before the first new one comes.
    """
    remove_leftovers(folder)
    paths = sorted(part.iterdir())
    olds = [(path, folder / path.name) for path in paths]
    for path, old in olds:
        if old.is_dir() and (holds_files(old) or not path.is_dir()):
            number = errno.ENOTEMPTY if path.is_dir() else errno.EISDIR
            raise OSError(number, os.strerror(number), str(old))
    for path, old in olds:
        if path.is_dir():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.unlink(missing_ok=True)
    for path in paths:
        path.rename(folder / path.name)


def _identity() -> dict[str, str | int]:
    now = time.strftime("%Y-%m-%d %H:%M:%S")
    return {"host": socket.gethostname(), "pid": os.getpid(), "since": now}


def _in_use(held: Path, folder: Path, option: str | None) -> InUse:
    try:
        owner = read_json(held / LOCK)
        who = f"process {owner['pid']} on {owner['host']}, since {owner['since']},"
    except (OSError, ValueError, KeyError):  # just begun
        who = "another process"
    other = f", or give another with {option}" if option else ""
    return InUse(
        f"{folder}: {who} works in this folder: wait until it has ended{other}"
    )
