"""Masks whose numbers are kinds: which are beads is said once, and holds everywhere."""

import csv

import numpy as np
import pytest
import tifffile

from beadseg.cli import main
from beadseg.data.folder import scan
from beadseg.data.samples import read_sample
from beadseg.errors import BeadsegError
from beadseg.partial.self_training import self_train

BEADS, OTHERS, DIRT = 6, 3, 2


def run(*arguments) -> int:
    with pytest.raises(SystemExit) as end:
        main([*map(str, arguments)])
    return end.value.code


def table(file):
    with open(file, newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.fixture
def folder(save, discs, picture, tmp_path):
    """Two images of 1: beads, 2: other beads, 3: dirt that hides half of a 1."""
    places = [(16 + 22 * (n // 4), 12 + 24 * (n % 4)) for n in range(11)]
    labels = discs((96, 96), places, 7)
    kinds = np.array([0] + [1] * BEADS + [2] * OTHERS + [3] * DIRT)
    mask = kinds[labels]
    mask[:, 12:20][labels[:, 12:20] == 1] = 3
    for name in "ab":
        save(f"images/{name}.tif", picture(labels))
        save(f"masks/{name}.tif", mask.astype(np.uint8))
    return tmp_path / "data", mask


def test_a_setting_says_which_numbers_are_beads(config, folder):
    data, mask = folder
    (data / "beads.toml").write_text("classes = [1, 2]\n")
    first = scan(config.data)
    assert not first.problems
    assert [s.beads for s in first.samples] == [BEADS + OTHERS] * 2
    content = read_sample(first.samples[0])
    np.testing.assert_array_equal(content.labels > 0, (mask == 1) | (mask == 2))
    config.data.classes = (1,)
    second = scan(config.data)
    assert [s.beads for s in second.samples] == [BEADS] * 2
    assert second.samples[0].digest != first.samples[0].digest
    config.data.classes = "none"
    assert [s.beads for s in scan(config.data).samples] == [3] * 2
    config.data.classes = "some"
    with pytest.raises(BeadsegError, match="data.classes = "):
        scan(config.data)


def test_what_is_imported_measured_and_judged_has_these_beads(config, folder, tmp_path):
    data, mask = folder
    (data / "beads.toml").write_text("classes = [1, 2] # no dirt\nchannel = 0\n")
    new, out = tmp_path / "new", tmp_path / "out"
    assert run("import", data, "-o", new) == 0
    assert (new / "beads.toml").read_text() == "channel = 0\n"
    written = tifffile.imread(new / "masks" / "a.tif")
    assert np.unique(written).tolist() == [*range(BEADS + OTHERS + 1)]
    np.testing.assert_array_equal(written > 0, (mask == 1) | (mask == 2))
    assert run("measure", data / "masks", data / "images", "-o", out) == 0
    beads = [row["class"] for row in table(out / "beads.csv") if row["image"] == "a"]
    assert beads == ["1"] * BEADS + ["2"] * OTHERS
    result = tmp_path / "scores" / "evaluation.csv"
    assert run("evaluate", new, data, "-o", tmp_path / "scores") == 0
    assert {row["jaccard"] for row in table(result)} <= {"1", "1.0"}


def test_self_training_asks_for_a_number_per_bead(config, folder, tmp_path):
    data, _ = folder
    (data / "beads.toml").write_text("classes = [1]\n")
    with pytest.raises(BeadsegError, match="beadseg import DIR -o NEW"):
        self_train(config, tmp_path / "work", "name")
