"""A cache that is spoilt is built again; one that cannot be written is one line."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from beadseg.data.builders import open_dataset
from beadseg.data.cache import cache_dir, read_stored, write_stored
from beadseg.data.folder import scan
from beadseg.errors import BeadsegError

ROOT = Path(__file__).parents[2]


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-7])


def empty(file: Path) -> None:
    file.write_bytes(b"")


def nest(file: Path) -> None:
    file.write_text("[" * 100_000)


def folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


DAMAGES = [flip, cut, empty, nest, folder, Path.unlink]


@pytest.fixture
def generated(config):
    config.data.dir = ""
    return config


def tiles(dataset) -> list[np.ndarray]:
    return [dataset[i]["image"] for i in range(len(dataset))]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda d: d.__name__)
def test_tiles_that_are_damaged_are_built_again(damage, generated, capsys):
    before = tiles(open_dataset(generated))
    (home,) = (Path(generated.data.cache_dir) / "tiles").iterdir()
    names = sorted(p for p in home.rglob("*") if p.is_file())
    kinds = {p.suffix.split("-")[0] for p in names}
    assert {".json", ".array_record"} <= kinds
    for name in names:
        damage(name)
        capsys.readouterr()
        after = tiles(open_dataset(generated))
        (line,) = capsys.readouterr().err.splitlines()
        assert "damaged" in line and "built again" in line
        assert all((a == b).all() for a, b in zip(before, after, strict=True))
    assert [p.name for p in home.parent.iterdir()] == [home.name]
    open_dataset(generated)
    assert not capsys.readouterr().err


@pytest.mark.parametrize("damage", DAMAGES[:-2], ids=lambda d: d.__name__)
def test_an_index_of_files_that_is_damaged_is_made_again(damage, config, save_pairs):
    save_pairs([3, 4, 5])
    before = scan(config.data)
    every = (Path(config.data.cache_dir) / "index").glob("*.json")
    (index,) = [file for file in every if not file.name.startswith("masks-")]
    damage(index)
    assert scan(config.data) == before
    assert read_stored(index)


@pytest.mark.parametrize(
    "value", [{"a": 1.5, "b": [None, True]}, [], "x", float("inf"), {"é": "µm"}]
)
def test_what_is_stored_comes_back_or_is_refused(value, tmp_path):
    file = tmp_path / "f.json"
    write_stored(file, value)
    assert read_stored(file) == value
    stored = json.loads(file.read_text())
    file.write_text(json.dumps(stored | {"value": "other"}))
    with pytest.raises(ValueError, match="hash"):
        read_stored(file)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("INTERNAL: write failed: No space left on device"),
        ValueError("RESOURCE_EXHAUSTED: flush"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
    ],
)
def test_a_full_disk_names_the_cache_and_the_option(error, generated, monkeypatch):
    def fail(*_):
        raise error

    monkeypatch.setattr("beadseg.data.builders._build", fail)
    with pytest.raises(BeadsegError, match="cache.*data.cache_dir") as told:
        open_dataset(generated)
    assert str(generated.data.cache_dir) in str(told.value)


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
from configs import base
from beadseg.data.builders import open_dataset
from beadseg.errors import BeadsegError
c = base.get_config()
c.data.cache_dir, c.data.generated.count, c.data.generated.size = sys.argv[2], 4, 96
try:
    open_dataset(c)
except BeadsegError as error:
    print("LINE", error)
"""


@pytest.mark.parametrize("room", [0, 300, 5000])
def test_a_file_that_cannot_grow_is_one_line(room, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(room), str(tmp_path / "cache")],
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.stdout.count("LINE") == 1, done.stderr[-2000:]
    assert "cache" in done.stdout and "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["file/below", "~nobody-of-that-name/x", "n" * 300])
def test_a_cache_that_cannot_be_is_one_line_or_works(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    try:
        assert cache_dir(name).is_dir()
    except BeadsegError as error:
        assert "data.cache_dir" in str(error)
        assert len(str(error).splitlines()) == 1
