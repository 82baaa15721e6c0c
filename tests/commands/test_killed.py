"""A folder that a killed command was filling is made whole by the same command."""

import shutil
import signal
import subprocess
import sys
import time

import pytest

from beadseg.files import is_left_over
from tests.calls import call
from tests.inference.bright import write_labelled

COMMANDS = {
    "generate": ("generate", "new", "--count", "40", "--size", "64"),
    "import": ("import", "data", "-o", "new"),
    "measure": ("measure", "data/masks", "data/images", "-o", "new"),
}
WHOLE = {
    "generate": {"images", "masks"},
    "import": {"images", "masks"},
    "measure": {"labels", "beads.csv", "images.csv", "prediction.json", "report.html"},
}


@pytest.mark.parametrize(
    ("name", "number", "there"),
    [
        *((name, signal.SIGKILL, False) for name in COMMANDS),
        ("generate", signal.SIGKILL, True),
        ("measure", signal.SIGTERM, False),
    ],
)
def test_a_killed_command_leaves_nothing_half_and_is_run_again(
    tmp_path, capsys, monkeypatch, name, number, there
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    write_labelled(tmp_path / "data", labels="masks")
    if name == "import":  # takes long enough
        for kind in ("images", "masks"):
            content = (tmp_path / "data" / kind / "a.tif").read_bytes()
            for number_of in range(200):
                (tmp_path / "data" / kind / f"{number_of}.tif").write_bytes(content)
    new = tmp_path / "new"
    if there:
        new.mkdir()
    place = new if there else tmp_path
    command = [sys.executable, "-m", "beadseg", *COMMANDS[name]]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        while not any(
            is_left_over(part.name) and any(part.glob("*/*"))
            for part in place.iterdir()
        ):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)
        process.communicate()
    assert process.returncode == -number
    assert list(new.rglob("*.tif")) == [] or number == signal.SIGKILL and there
    code, lines, _ = call(capsys, *COMMANDS[name])
    assert code == 0 and lines
    assert WHOLE[name] <= {path.name for path in new.iterdir()}
    assert {path.name for path in tmp_path.iterdir()} == {"data", "new"}
    assert not any(is_left_over(path.name) for path in new.rglob("*"))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_had_finished_is_told_so_and_another_is_not(
    tmp_path, capsys, monkeypatch, name
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    write_labelled(tmp_path / "data", labels="masks")
    command = [part if part != "40" else "2" for part in COMMANDS[name]]
    assert call(capsys, *command)[0] == 0
    code, _, (line,) = call(capsys, *command)
    assert code == 2 and "new: is finished already, by this same command" in line
    more = {"generate": ("--seed", "1"), "import": ("--classes", "1")}
    code, _, (line,) = call(capsys, *command, *more.get(name, ("--pixel-size", "1")))
    assert code == 2 and "new: is not empty" in line
    for path in (tmp_path / "new").iterdir():  # as `rm -r new/*` does
        if not path.name.startswith("."):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    said = call(capsys, *command)[2]
    assert not any("finished" in line for line in said)
