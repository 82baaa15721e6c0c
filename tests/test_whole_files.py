"""Files written whole: what a kill leaves, what a name or a disk does not allow."""

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from beadseg import files
from beadseg.errors import BeadsegError
from beadseg.files import (
    cannot_write,
    disk_error,
    is_left_over,
    open_whole,
    read_file,
    read_json,
    remove_leftovers,
    user_path,
    what_it_is,
    write_whole,
    writing,
)


@pytest.mark.parametrize("name", ["n" * 255, "珠" * 85, "a", "é" * 127, "🔬" * 63])
def test_every_name_that_the_disk_takes_is_written(name, tmp_path):
    write_whole(tmp_path / name, "content")
    assert (tmp_path / name).read_text() == "content"
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("name", ["beads.csv", "a b.tif", "x" * 255])
def test_what_a_kill_leaves_is_removed_and_nothing_else(name, tmp_path):
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from beadseg.files import open_whole\n"
        "with open_whole(Path(sys.argv[1])) as f:\n"
        "    f.write(b'half'); f.flush(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", code, tmp_path / name])
    assert killed.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert is_left_over(left.name)
    kept = [".hidden", "a.1.2", ".gitignore", ".a.tif", ".thesis.2024.10"]
    for other in kept:
        (tmp_path / other).write_text("")
    remove_leftovers(tmp_path, tmp_path / "none")
    assert sorted(os.listdir(tmp_path)) == sorted(kept)


def test_what_cannot_be_read_at_once_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "to_device").symlink_to("/dev/zero")
    for name, kind in (("pipe", "pipe"), ("to_device", "device"), (".", "folder")):
        with pytest.raises(OSError, match=kind):
            read_file(tmp_path / name)
        assert kind in what_it_is(tmp_path / name)
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(OSError):
        read_file(tmp_path / "circle")


@pytest.mark.parametrize(
    "content",
    ["", "{", "[" * 100_000, '{"a":' * 50_000, "[1]", "null", "3", '"x"', "\xff\xfe"],
)
def test_damaged_json_is_one_kind_of_error(content, tmp_path):
    file = tmp_path / "f.json"
    file.write_bytes(content.encode("latin-1"))
    with pytest.raises(ValueError) as error:
        read_json(file)
    assert len(str(error.value).splitlines()) == 1


def raised(kind, words, cause=None):
    error = kind(words)
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), errno.ENOSPC),
        (OSError("65536 requested and 18264 written"), errno.ENOSPC),  # of numpy
        (raised(ValueError, "RESOURCE_EXHAUSTED: write() failed"), errno.ENOSPC),
        (raised(RuntimeError, "x: Disk quota exceeded [a b]"), errno.EDQUOT),
        (raised(RuntimeError, "x", OSError(errno.EROFS, "r")), errno.EROFS),
        (raised(Exception, "a\nRead-only file system"), errno.EROFS),
        (raised(RuntimeError, "PERMISSION_DENIED: open"), errno.EACCES),
    ],
)
def test_a_full_disk_is_known_by_whatever_a_library_raises(error, number, tmp_path):
    assert disk_error(error).errno == number
    with pytest.raises(BeadsegError, match="cannot be written.*--place"):
        with writing(tmp_path, "--place"):
            raise error


FILE_THERE = "is a file, not a folder): move it away"


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "(No space left on device): free space"),
        (errno.EDQUOT, "(Disk quota exceeded): free space"),
        (errno.EACCES, "(Permission denied): make it writable"),
        (errno.EROFS, "(Read-only file system): make it writable"),
        (errno.ENOTEMPTY, "(Directory not empty): move what lies there away"),
        (errno.EEXIST, FILE_THERE),
        (errno.ENOTDIR, FILE_THERE),
    ],
)
def test_a_line_on_what_cannot_be_written_says_what_helps(number, advice, tmp_path):
    (tmp_path / "file").write_text("")
    failure = OSError(number, os.strerror(number))
    line = str(cannot_write(tmp_path / "file" / "new", failure, "-o"))
    assert f"{advice} or give another with -o, then run" in line
    assert ("free space" in line) == ("free space" in advice)
    assert f"{advice}, then run" in str(cannot_write(tmp_path / "file", failure, None))


def test_a_line_on_a_name_that_cannot_be_names_the_option_alone(tmp_path):
    failure = OSError(errno.ENAMETOOLONG, "File name too long")
    line = str(cannot_write(tmp_path, failure, "-o"))
    assert "(File name too long): give another with -o, then run" in line
    assert "put that right" in str(cannot_write(tmp_path, failure, None))


def test_a_fault_of_the_program_is_not_taken_for_the_disk(tmp_path):
    with pytest.raises(ZeroDivisionError):
        with writing(tmp_path):
            raise ZeroDivisionError


def test_threads_do_not_share_what_lies_beside(tmp_path):
    def write(i):
        with open_whole(tmp_path / "same") as content:
            content.write(bytes([i]) * 1000)

    threads = [threading.Thread(target=write, args=(i,)) for i in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set((tmp_path / "same").read_bytes())) == 1
    assert os.listdir(tmp_path) == ["same"]


@pytest.mark.parametrize("path", ["/", "", "."])
def test_a_path_without_a_name_is_an_error_of_the_disk(path):
    with pytest.raises(BeadsegError, match=r"cannot be written \(Is a directory\)"):
        with writing(Path(path), "--json"):
            write_whole(Path(path), "text")


def test_a_home_of_nobody_is_a_folder_of_that_name(monkeypatch):
    assert user_path("~nobody-of-that-name/x") == Path("~nobody-of-that-name/x")
    assert user_path("~/x") == Path.home() / "x"
    assert files.user_path(Path("a")) == Path("a")
