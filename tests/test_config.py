"""Configs are found by name, also where there is no clone."""

import subprocess
import sys
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from beadseg import main
from beadseg.config import ROOT, find_config, load_config
from beadseg.errors import BeadsegError

NAMES = sorted(file.stem for file in (ROOT / "configs").glob("*.py"))


@pytest.mark.parametrize("name", NAMES)
def test_every_config_is_found_by_its_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = str(ROOT / "configs" / f"{name}.py")
    assert find_config(name) == find_config(f"configs/{name}.py") == file
    assert find_config(f"{name}:full") == f"{file}:full"
    assert load_config(name).to_dict() == load_config(file).to_dict()


def test_a_file_of_ones_own_goes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").mkdir()
    for where in ("mine.py", "configs/dice.py", str(tmp_path / "bce.py")):
        Path(where).write_text("")
        assert find_config(where) == where
    assert find_config("bce") == str(ROOT / "configs" / "bce.py")


@pytest.mark.parametrize("where", ["dicee", "gone.py", "other/dice.py", "dice.py:full"])
def test_what_is_no_config_is_named_with_those_there_are(where, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BeadsegError) as error:
        find_config(where)
    assert f"--config={where}: no such file" in str(error.value)
    assert "dice, finetune" in str(error.value)


def test_a_config_that_cannot_be_loaded_is_one_line(tmp_path):
    with pytest.raises(BeadsegError, match="no such file"):
        load_config(str(tmp_path / "none.py"))
    (tmp_path / "bad.py").write_text("def get_config():\n    return 1 / 0\n")
    with pytest.raises(BeadsegError, match="division by zero"):
        load_config(str(tmp_path / "bad.py"))
    (tmp_path / "odd.py").write_text("def get_config():\n    return 1\n")
    with pytest.raises(BeadsegError, match="no beadseg settings"):
        load_config(str(tmp_path / "odd.py"))


def test_the_wheel_holds_all_that_is_used_outside_a_clone():
    files = {
        f.distribution_path for f in WheelBuilder(str(ROOT)).recurse_included_files()
    }
    assert {f"configs/{name}.py" for name in NAMES} <= files
    package = (ROOT / "beadseg").rglob("*")
    used = {
        f.relative_to(ROOT).as_posix()
        for f in package
        if f.is_file() and "__pycache__" not in f.parts
    }
    assert used <= files
    assert not [file for file in files if file.startswith("tests/")]


@pytest.mark.slow
def test_a_sweep_is_planned_by_its_name(tmp_path):
    done = subprocess.run(
        [
            *(sys.executable, "-m", "beadseg.cli", "train"),
            "--config=sweep_lr",
            "--dry_run",
        ],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "members" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--config=nothing"], 2, "--config=nothing: no such file, nor one of"),
        ([], 2, "no config: give --config="),
        (["--help"], 0, "beadseg train --config="),
    ],
)
def test_beadseg_train_speaks_as_the_module_does(arguments, code, words, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "beadseg.cli", "train", *arguments],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == code
    assert words in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")
@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("optim.learning_rat", "optim.learning_rate"),
        ("lr", "optim.learning_rate"),
        ("learning_rate", "optim.learning_rate"),
        ("batch_size", "data.batch_size"),
        ("optim.batch_size", "data.batch_size"),
        ("train.epoch", "train.epochs"),
        ("data.batchsize", "data.batch_size"),
        ("model.depht", "model.depth"),
        ("loss.tversky_alpha", "loss.alpha"),
        ("num_epochs", "train.epochs"),
    ],
)
def test_an_unknown_field_is_answered_with_those_it_may_mean(typed, meant):
    with pytest.raises(BeadsegError) as said:
        main.parse(["beadseg", "--config=dice", f"--config.{typed}=1"])
    line = str(said.value)
    assert line.startswith(f"--config.{typed}: no such field: did you mean {meant}")
    assert "\n" not in line


@pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")
def test_a_field_like_no_other_is_answered_without_a_guess():
    with pytest.raises(BeadsegError, match=r"--config.zzz: no such field \(fields are"):
        main.parse(["beadseg", "--config=dice", "--config.zzz=1"])


@pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")
@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("dice:WRONG", "give dice.py or dice.py:full"),
        ("base:x", "takes no argument: leave out the colon and what follows"),
        ("own.py:x", "cannot be loaded: it knows no 'x'"),
    ],
)
def test_a_wrong_argument_of_a_config_is_one_line(where, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text("def get_config(name):\n    return {}[name]\n")
    with pytest.raises(BeadsegError) as said:
        main.parse(["beadseg", f"--config={where}"])
    assert str(said.value).endswith(says)
    assert "Traceback" not in str(said.value) and "\n" not in str(said.value)
