"""What version 0.1.0 wrote before names changed is read: runs, sweeps, tables.

tests/old/run is a run of it without its checkpoints, tests/old/prediction the tables of
a prediction.
"""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile

from beadseg import cli, old_names
from beadseg.analysis.calibration.series import read_rows as read_images
from beadseg.config import base_config, flatten
from beadseg.inference.predictor import load
from beadseg.training.loop import train
from beadseg.training.tracking.tracker import read_rows

OLD = Path(__file__).parent / "old"


def before(flat: dict) -> dict:
    """Settings as an older version wrote them."""
    tree: dict = {}
    for field, value in old_names.first_names(flat).items():
        *rooms, name = field.split(".")
        node = tree
        for room in rooms:
            node = node.setdefault(room, {})
        node[name] = value
    return tree


def older(file: Path) -> None:
    """Gives the columns of a file the names that they had."""
    text = file.read_text()
    for old, today in old_names.COLUMNS.items():
        text = text.replace(f'"{today}"', f'"{old}"')
    file.write_text(text)


def header(file: Path) -> list[str]:
    with open(file, newline="") as lines:
        return next(csv.reader(lines))


@pytest.fixture
def run(tmp_path) -> Path:
    return shutil.copytree(OLD / "run", tmp_path / "run")


def test_every_old_field_is_a_field_of_today():
    stored = json.loads((OLD / "run" / "config.json").read_text())
    assert (
        flatten(old_names.settings(stored)).keys()
        <= flatten(base_config().to_dict()).keys()
    )
    assert set(old_names.FIELDS) <= flatten(stored).keys()


def test_an_old_run_predicts(run):
    image = np.random.default_rng(0).random((64, 64), np.float32)
    assert load(run).predict(image).labels.shape == (64, 64)


@pytest.mark.parametrize("command", ["report", "diagnose"])
def test_an_old_run_is_reported(command, run, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main([command, str(run), "-o", str(tmp_path / "page.html")])
    assert end.value.code in (0, 1)  # 1: it found what it looks for
    page = (tmp_path / "page.html").read_text()
    assert "damaged" not in page and "damaged" not in capsys.readouterr().out


def test_an_old_run_resumes_with_the_same_bits(tmp_path):
    config = base_config()
    config.model.width, config.model.depth, config.model.heads = 2, 1, ("mask",)
    config.data.crop, config.data.batch_size = 32, 2
    config.data.generated.count, config.data.generated.size = 4, 64
    config.data.generated.damage = "drop_random"
    config.data.generated.amount = 0.4
    config.data.cache_dir = str(tmp_path / "cache")
    config.train.epochs, config.train.steps_per_epoch = 1, 2
    config.log.images_every, config.log.wandb = 0, "off"
    whole, old = tmp_path / "whole", tmp_path / "old"
    train(config, whole, "whole")
    shutil.copytree(whole, old)
    file = old / "config.json"
    file.write_text(json.dumps(before(flatten(json.loads(file.read_text())))))
    for name in ("metrics.jsonl", "summary.json"):
        older(old / name)
    config.train.epochs = 2
    for folder in (whole, old):
        train(config, folder, folder.name)
    first, second = (np.load(folder / "weights.npz") for folder in (whole, old))
    assert first.files == second.files
    assert all((first[key] == second[key]).all() for key in first.files)
    scores = [
        [r for r in read_rows(folder / "metrics.jsonl") if r["kind"] == "validation"]
        for folder in (whole, old)
    ]
    assert scores[0] == scores[1] and len(scores[0]) == 2


def test_columns_of_old_tables_are_those_of_today(run, tmp_path):
    for row in read_images(OLD / "prediction"):
        assert row["count"] == 6
    image = np.full((64, 64), 100, np.uint16)
    image[20:30, 20:30] = 300
    tifffile.imwrite(tmp_path / "a.tif", image)
    files = [str(tmp_path / "a.tif"), "-o", str(tmp_path / "new"), "--only", "labels"]
    with pytest.raises(SystemExit):
        cli.main(["predict", *files, "--pixel-size", "0.5"])
    for name in ("images.csv", "beads.csv"):
        names = dict.fromkeys(header(OLD / "prediction" / name))
        assert old_names.row(names).keys() <= set(header(tmp_path / "new" / name))
