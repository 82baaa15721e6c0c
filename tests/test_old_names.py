"""Runs, sweeps and tables of older versions are read by today's names."""

import json

import pytest

from beadseg import old_names
from beadseg.config import base_config, flatten
from beadseg.files import read_json

TABLES = {
    "FIELDS": {"optim.rate": "optim.learning_rate", "data.old": "train.epochs"},
    "VALUES": {"loss.name": {"old_loss": "dice"}},
    "COLUMNS": {"major": "major_axis"},
}


@pytest.fixture(autouse=True)
def table(monkeypatch):
    for name, content in TABLES.items():
        monkeypatch.setattr(old_names, name, content)


OLD = {
    "optim": {"rate": 1},
    "data": {"old": 3, "dir": ""},
    "loss": {"name": "old_loss"},
}
NEW = {
    "optim": {"learning_rate": 1},
    "data": {"dir": ""},
    "loss": {"name": "dice"},
    "train": {"epochs": 3},
}


def test_settings_of_a_run_have_todays_names(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(OLD))
    assert read_json(tmp_path / "config.json") == NEW
    assert old_names.settings(NEW) == NEW


def test_a_summary_and_a_row_have_todays_names(tmp_path):
    (tmp_path / "summary.json").write_text('{"major": 1, "b": 2}')
    assert read_json(tmp_path / "summary.json") == {"major_axis": 1, "b": 2}
    assert old_names.row({"major": 1, None: ["x"]}) == {"major_axis": 1, None: ["x"]}


def test_a_sweep_has_todays_names(tmp_path):
    content = {
        "config": flatten(OLD),
        "points": [{"loss.name": "old_loss"}],
        "name": "a",
    }
    (tmp_path / "sweep.json").write_text(json.dumps(content))
    assert read_json(tmp_path / "sweep.json") == {
        "config": flatten(NEW),
        "points": [{"loss.name": "dice"}],
        "name": "a",
    }


def test_another_file_is_left_as_it_is(tmp_path):
    (tmp_path / "other.json").write_text(json.dumps(OLD))
    assert read_json(tmp_path / "other.json") == OLD


@pytest.mark.parametrize(
    ("argument", "today"),
    [
        ("--config.optim.rate=2", "--config.optim.learning_rate=2"),
        ("-config.optim.rate", "-config.optim.learning_rate"),
        ("--config.loss.name=old_loss", "--config.loss.name=dice"),
        ("--config.optim.clip_norm=2", "--config.optim.clip_norm=2"),
        ("--config=optim.rate", "--config=optim.rate"),
        ("optim.rate", "optim.rate"),
    ],
)
def test_an_argument_has_todays_name(argument, today):
    assert old_names.argument(argument) == today


def test_the_first_names_are_those_before():
    assert old_names.first_names(old_names.point(flatten(OLD))) == flatten(OLD)


def test_todays_names_are_those_of_the_config(monkeypatch):
    monkeypatch.undo()
    fields = flatten(base_config().to_dict())
    assert set(old_names.FIELDS.values()) <= fields.keys()
    assert not old_names.FIELDS.keys() & fields.keys()
    assert all(name.count(".") == 1 for name in old_names.FIELDS)
    assert old_names.VALUES.keys() <= fields.keys()
