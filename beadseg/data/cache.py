"""Where prepared data is kept between runs, and writing to it safely."""

import contextlib
import functools
import hashlib
import json
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from beadseg.errors import BeadsegError, note
from beadseg.files import read_json, telling, user_path, write_whole
from beadseg.xla import cache_root

T = TypeVar("T")

_ABANDONED_AFTER = 24 * 3600  # seconds without a write in a folder being built
_MAKERS = (  # modules and wings of this room that shape what is stored
    *("images", "masks", "generated"),
    *("builders", "facts", "folder", "frames", "grouping", "pages", "samples"),
    *("scaling", "settings_file", "tiles"),
)


def cache_dir(configured: str | None) -> Path:
    """The folder of `data.cache_dir`, else of $BEADSEG_CACHE, else ~/.cache/beadseg.

    Raises:
      BeadsegError: it cannot be written to.
    """
    folder = user_path(configured) if configured else cache_root()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise BeadsegError(
            f"cannot write to the cache {folder} ({error.strerror or error}): name "
            "another with --config.data.cache_dir or $BEADSEG_CACHE"
        ) from None
    return folder


@contextlib.contextmanager
def writing_cache(folder: Path) -> Iterator[None]:
    """Turns a failure of the disk, in whatever words, into one line."""

    def line(failure: OSError) -> BeadsegError:
        return BeadsegError(
            f"cannot write the cache {folder} ({failure.strerror or failure}): free "
            "space, or name another with --config.data.cache_dir or $BEADSEG_CACHE"
        )

    with telling(line):
        yield


def size_and_time(path: Path) -> tuple[int, int]:
    """Bytes and time of the last change (ns) of a file, or of all in a folder."""
    files = [path, *path.rglob("*")] if path.is_dir() else [path]
    found = [file.stat() for file in files]
    return sum(f.st_size for f in found), max(f.st_mtime_ns for f in found)


def once_a_file(kept: int) -> Callable[[Callable[[Path], T]], Callable[[Path], T]]:
    """Decorates what reads a file: read again where its size or time is another."""

    def decorate(read: Callable[[Path], T]) -> Callable[[Path], T]:
        stored = functools.lru_cache(kept)(lambda path, size, changed: read(path))
        return functools.wraps(read)(lambda path: stored(path, *size_and_time(path)))

    return decorate


def hash_file(path: Path) -> str:
    """Hash of a file's content, read in pieces; of a folder that of its files."""
    if path.is_dir():
        return hash_json(checksums(path))
    with path.open("rb") as file:
        return hashlib.file_digest(file, _blake2b).hexdigest()


def hash_json(value: object) -> str:
    """Hash of anything JSON can hold; the order of keys does not matter."""
    text = json.dumps(value, sort_keys=True, default=str)
    return _blake2b(text.encode()).hexdigest()


def hash_arrays(*arrays: np.ndarray) -> str:
    """Hash of the numbers in arrays; their shapes and types do not matter."""
    digest = _blake2b()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


@functools.cache
def hash_code() -> str:
    """Hash of the modules that shape stored data: new code forgets what old code made.

    Those that only use what is stored, and all other rooms, do not count.
    """
    room = Path(__file__).parent
    files = [path for name in _MAKERS for path in sorted(room.glob(f"{name}/*.py"))]
    files += [room / f"{name}.py" for name in _MAKERS if not (room / name).is_dir()]
    return hash_json([hash_file(path) for path in files])


def _blake2b(content: bytes = b"", **options: bool) -> "hashlib._Hash":
    return hashlib.blake2b(content, digest_size=16, **options)


def write_stored(path: Path, value: object) -> None:
    """Writes a JSON file whole or not at all, with a hash of what it says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = json.loads(json.dumps(value))  # as it will be read
    text = json.dumps({"hash": hash_json(content), "value": content})
    write_whole(path, text)


def read_stored(path: Path) -> Any:
    """What `write_stored` wrote.

    Raises:
      FileNotFoundError: there is none.
      ValueError: it is damaged, or of another version.
      OSError: it cannot be read.
    """
    stored = read_json(path)
    value = stored.get("value")
    if stored.get("hash") != hash_json(value):
        raise ValueError("its hash does not fit what it says")
    return value


def read_stored_or_none(path: Path) -> Any | None:
    """The same; None where there is none, or it is damaged and to be found anew."""
    try:
        return read_stored(path)
    except (OSError, ValueError):
        return None


def checksums(folder: Path) -> dict[str, list[int]]:
    """Size and CRC-32 of each file below a folder, by its relative name."""
    return {
        path.relative_to(folder).as_posix(): _checksum(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _check_files(folder: Path, expected: dict[str, list[int]]) -> None:
    """Raises ValueError for the first file that is not as `checksums` found it."""
    for name, checksum in expected.items():
        try:
            now = _checksum(folder / name)
        except OSError as error:
            raise ValueError(f"{name}: {error.strerror or error}") from error
        if now != checksum:
            raise ValueError(f"{name} has changed")


def read_built(folder: Path, name: str) -> dict[str, Any] | None:
    """What a build wrote into the file `name` of its folder; None where there is none.

    What is damaged, it or a file that its "files" tells of, is said and removed, to be
    built again.
    """
    if not folder.is_dir():
        return None
    try:
        content = read_stored(folder / name)
        _check_files(folder, content["files"])
        return content
    except (OSError, ValueError) as error:
        reason = f"{name}: {error.strerror}" if isinstance(error, OSError) else error
        note(f"the cache {folder} is damaged ({reason}): it is built again")
    with writing_cache(folder):
        aside = folder.with_name(f".tmp-{folder.name}-{time.time_ns()}")
        folder.rename(aside)  # at once: another process may build it
        shutil.rmtree(aside, ignore_errors=True)
    return None


def _checksum(path: Path) -> list[int]:
    size = crc = 0
    with path.open("rb") as file:
        while piece := file.read(2**20):
            size, crc = size + len(piece), zlib.crc32(piece, crc)
    return [size, crc]


@contextlib.contextmanager
def build_folder(target: Path) -> Iterator[Path]:
    """A folder to fill that becomes `target` in one step when the block ends well.

    Where another process was first, its folder stays and this one is discarded; a
    folder that a killed process left behind is removed after a day.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(target.parent)
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=".tmp-"))
    try:
        yield temporary
        with contextlib.suppress(OSError):  # it is there: another process won
            temporary.rename(target)
        if not target.is_dir():
            raise BeadsegError(f"cannot write {target}: is the disk full or read-only?")
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _remove_abandoned(folder: Path) -> None:
    for left in folder.glob(".tmp-*"):
        with contextlib.suppress(OSError):
            written = [left, *left.rglob("*")]
            newest = max(path.stat().st_mtime for path in written)
            if time.time() - newest > _ABANDONED_AFTER:
                shutil.rmtree(left, ignore_errors=True)
