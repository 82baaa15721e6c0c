"""Users without home or name, and odd places for the cache, as in containers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from etils import epath

from beadseg.libraries import allow_nameless

ROOT = Path(__file__).parents[1]
HOMELESS = """
import os, pwd, sys
def unknown(_): raise KeyError("uid not found")
pwd.getpwuid = pwd.getpwnam = unknown
from beadseg.xla import cache_root
print("ROOT", cache_root())
from beadseg import cli
cli.main(sys.argv[1:])
"""


def run(*arguments, code=HOMELESS, **environment):
    kept = {k: v for k, v in os.environ.items() if k not in ("HOME", "BEADSEG_CACHE")}
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=kept | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
    )


def test_a_user_without_home_and_name_has_a_cache_alone(tmp_path):
    done = run("--version", TMPDIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    folder = Path(done.stdout.split("ROOT ")[1].splitlines()[0])
    assert folder.parent == tmp_path
    assert folder.stat().st_mode & 0o077 == 0


def test_a_folder_of_somebody_else_is_not_taken_for_the_cache(tmp_path):
    theirs = tmp_path / f"beadseg-{os.getuid()}"
    theirs.mkdir(mode=0o777)
    theirs.chmod(0o777)  # whoever may write it could put programs there
    done = run("--version", TMPDIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert f"ROOT {theirs}\n" not in done.stdout


@pytest.mark.parametrize(
    "cache",
    [
        "{tmp}/file",
        "~nobody-of-that-name/c",
        "{tmp}/circle/c",
        "x" * 5000,
        "/proc/none",
    ],
)
def test_an_odd_cache_stops_no_command(cache, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "circle").symlink_to("circle")
    cache = cache.format(tmp=tmp_path)
    done = run("--version", BEADSEG_CACHE=cache, TMPDIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    done = run(
        *("generate", tmp_path / "D", "--count", 1, "--size", 64),
        BEADSEG_CACHE=cache,
        TMPDIR=str(tmp_path),
        HOME=str(tmp_path / "no-home"),
    )
    assert "Traceback" not in done.stderr
    assert done.returncode in (0, 2)


@pytest.mark.parametrize("database", ["pwd.getpwuid", "grp.getgrgid"])
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_file_of_nobody_is_looked_at(database, kind, tmp_path, monkeypatch):
    path = tmp_path / "x"
    path.mkdir() if kind == "folder" else path.write_text("content")

    def unknown(number):
        raise KeyError(number)

    allow_nameless()
    monkeypatch.setattr(database, unknown)
    found = epath.Path(path).stat()
    assert found.length == path.stat().st_size
    assert found.is_directory == (kind == "folder")
    assert found.owner == str(os.getuid())
