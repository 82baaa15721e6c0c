"""A folder that one process has for itself."""

import errno
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from beadseg.errors import BeadsegError
from beadseg.files import (
    LOCK,
    InUse,
    cannot_write,
    folder_lock,
    holds_files,
    name_beside,
    output_folder,
    whole_folder,
)

HOLD = (
    "import sys, time; from pathlib import Path\n"
    "from beadseg.files import folder_lock\n"
    "with folder_lock(Path(sys.argv[1])):\n"
    "    print('held', flush=True); time.sleep(60)"
)


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_the_second_says_which_process_is_the_first(holder, tmp_path):
    with pytest.raises(BeadsegError, match=f"process {holder.pid} on .* --place"):
        with folder_lock(tmp_path, "--place"):
            pass


def test_a_suspended_process_keeps_its_folder(holder, tmp_path):
    os.kill(holder.pid, signal.SIGSTOP)
    with pytest.raises(BeadsegError, match=str(holder.pid)):
        with folder_lock(tmp_path):
            pass


def test_what_a_killed_process_held_is_free(holder, tmp_path):
    holder.kill()
    holder.wait()
    with folder_lock(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()


@pytest.mark.parametrize(
    "content",
    [
        '{"host": "elsewhere", "pid": 1, "since": "yesterday"}',
        json.dumps({"host": os.uname().nodename, "pid": os.getppid()}),
        "",
        "\x00\x01 no words",
    ],
)
def test_words_that_were_left_behind_stop_nobody(content, tmp_path):
    (tmp_path / LOCK).write_text(content)
    with folder_lock(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()
    assert not (tmp_path / LOCK).exists()


def test_a_folder_that_cannot_be_one_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BeadsegError, match="cannot be written"):
        with folder_lock(tmp_path / "file"):
            pass


def test_a_folder_is_written_by_one_process_without_what_others_left(holder, tmp_path):
    with pytest.raises(BeadsegError, match=f"process {holder.pid} on .* -o"):
        with output_folder(tmp_path):
            pass
    left = tmp_path / "new/.page.html.4242.1852661613162"
    left.parent.mkdir()
    left.write_text("<html")
    with output_folder(left.parent) as part:
        assert set(os.listdir(left.parent)) >= {LOCK, part.name}
    assert os.listdir(left.parent) == []


@pytest.mark.parametrize("failed", range(5))
def test_no_older_file_stands_beside_a_newer_one(tmp_path, monkeypatch, failed):
    """However far a process comes that writes three files in place of two."""
    out = tmp_path / "out"
    with output_folder(out) as part:
        for name in ("a.csv", "page.html"):
            (part / name).write_text("old")
    (out / "notes.txt").write_text("of somebody")
    steps = iter(range(99))

    def stopping(method):
        def step(*args, **options):
            if next(steps) == failed:
                raise KeyboardInterrupt
            return method(*args, **options)

        return step

    for name in ("rename", "unlink"):
        monkeypatch.setattr(Path, name, stopping(getattr(Path, name)))
    with suppress(KeyboardInterrupt), output_folder(out) as part:
        for name in ("a.csv", "b.csv", "page.html"):
            (part / name).write_text("new")
    monkeypatch.undo()
    found = {path.read_text() for path in out.glob("[ap]*")}
    assert found <= {"old"} or found <= {"new"}
    assert (out / "notes.txt").read_text() == "of somebody"


def test_a_line_on_a_full_disk_names_the_folder_that_was_given(tmp_path):
    (tmp_path / "page.html").write_text("old")
    with pytest.raises(BeadsegError, match=f"^{tmp_path}/page.html: cannot be written"):
        with output_folder(tmp_path) as part:
            (part / "table.csv").write_text("new")
            raise cannot_write(part / "page.html", OSError(errno.ENOSPC, "full"))
    assert os.listdir(tmp_path) == ["page.html"]
    (tmp_path / "table.csv").mkdir()
    with pytest.raises(BeadsegError, match="cannot be written .*directory"):
        with output_folder(tmp_path) as part:
            for name in ("page.html", "table.csv"):
                (part / name).write_text("new")
    assert (tmp_path / "page.html").read_text() == "old"


def test_a_folder_of_somebody_is_not_replaced(tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "mine.png").write_text("of somebody")
    with pytest.raises(BeadsegError, match="cannot be written .*not empty"):
        with output_folder(tmp_path) as part:
            (part / "pictures").mkdir()
            (part / "pictures" / "new.png").write_text("new")
    assert (tmp_path / "pictures" / "mine.png").read_text() == "of somebody"


@pytest.mark.parametrize("name", ["NEW", "a b", "n" * 250])
def test_what_killed_processes_left_goes_and_what_others_fill_stays(name, tmp_path):
    output = tmp_path / name
    dead, alive = (name_beside(output) for _ in range(2))
    for folder in (dead, alive):
        folder.mkdir()
        (folder / "half.tif").write_text("half")
    (tmp_path / ".NEWS").mkdir()
    with folder_lock(alive):
        with pytest.raises(InUse, match=f"^{output}: process .* give another with -o"):
            with whole_folder(output):
                pass
        assert (alive / "half.tif").exists()
    with whole_folder(output):
        assert not dead.exists() and not alive.exists()
    assert {path.name for path in tmp_path.iterdir()} == {".NEWS", name}


@pytest.mark.parametrize("there", [False, True])
def test_a_folder_becomes_whole_at_once_or_is_not_there(tmp_path, monkeypatch, there):
    output = tmp_path / "new"
    if there:  # perhaps a disk of its own, or "."
        (output / "empty").mkdir(parents=True)
        (output / "images").mkdir()
        (output / "images/.a.tif.4242.1852661613162").write_text("half")
        monkeypatch.chdir(output)
        output = Path(".")
    with pytest.raises(KeyboardInterrupt), whole_folder(output) as part:
        (part / "images").mkdir()
        raise KeyboardInterrupt
    assert not holds_files(output) if there else not output.exists()
    with whole_folder(output) as part:
        (part / "images").mkdir()
        (part / "images/a.tif").write_text("whole")
        assert not holds_files(output) if there else not output.exists()
    files = [p.relative_to(output).as_posix() for p in output.rglob("*") if p.is_file()]
    assert files == ["images/a.tif"]
    assert len(list(tmp_path.iterdir())) == 1
