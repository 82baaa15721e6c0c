import numpy as np
import pytest
from PIL import Image

from beadseg.data.builders import open_dataset
from beadseg.data.folder import scan
from beadseg.data.masks import marked
from beadseg.data.masks.marks import judge_masks, measure_marks
from beadseg.data.masks.points import discs
from beadseg.errors import BeadsegError
from beadseg.partial import outlining
from beadseg.partial.outlining import outline
from configs import base

SIDE = 96


def test_a_bead_under_a_mark_gives_its_outline_and_none_a_disc():
    beads = np.array([(20, 20), (20, 60), (60, 20)], np.float32)
    found = discs(beads[:2], 12, (SIDE, SIDE))
    mask = discs(beads, 5, (SIDE, SIDE))
    mask[90:, 90:] = -1
    labels, without = outline(mask, found, 10.0)
    assert without == 1
    assert (labels[90:, 90:] == -1).all()
    areas = np.bincount(labels[labels > 0])[1:]
    assert areas == pytest.approx([np.pi * 36] * 3, rel=0.06)
    assert ((labels > 0) == (discs(beads, 12, (SIDE, SIDE)) > 0)).mean() > 0.998


def test_a_bead_seen_as_one_under_two_marks_is_two_and_under_specks_one():
    found = discs(
        np.array([(20, 20), (20, 70), (70, 70)], np.float32), 12, (SIDE, SIDE)
    )
    found[64:76, 14:38] = 9  # two that touch
    at = [(20, 20), (20, 67), (20, 73), (70, 70), (70, 20), (70, 32)]
    labels, without = outline(
        discs(np.array(at, np.float32), 4, (SIDE, SIDE)), found, 10.0
    )
    assert without == 0
    assert len(np.unique(labels[labels > 0])) == 5
    assert labels[70, 20] != labels[70, 32]
    assert labels[20, 67] == labels[20, 73]


@pytest.fixture
def folder(tmp_path):
    """Two images of dark beads 8 px across under marks of 5 and of 9 px."""
    rng = np.random.default_rng(2)
    for kind in ("images", "masks"):
        (tmp_path / "data" / kind).mkdir(parents=True)
    for name, diameter in (("a", 5), ("b", 9)):
        grid = np.stack(np.meshgrid(*[np.arange(12, 90, 18)] * 2), -1).reshape(-1, 2)
        at = (grid + rng.uniform(-2, 2, grid.shape)).astype(np.float32)
        beads = discs(at, 8, (SIDE, SIDE)) > 0
        image = 200 - 90.0 * beads + rng.normal(0, 3, (SIDE, SIDE))
        mask = discs(at, diameter, (SIDE, SIDE)) > 0
        for kind, pixels in (("images", image), ("masks", 255 * mask)):
            file = tmp_path / "data" / kind / f"{name}.png"
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file)
    config = base.get_config()
    config.data.dir = str(tmp_path / "data")
    config.data.cache_dir = str(tmp_path / "cache")
    config.data.bead_diameter = 0.0
    config.data.crop = 64
    return config


def test_training_learns_outlines_where_masks_are_marks(folder):
    outlining.prepare(folder, progress=False)
    dataset = open_dataset(folder, progress=False)
    assert dataset.marks
    assert dataset.bead_diameter_px == pytest.approx(8, abs=1.5)
    for i in range(2):
        tile = dataset[i]["labels"]
        assert len(np.unique(tile[tile > 0])) == dataset.records[i].beads == 25
    (note,) = [note for note in dataset.notes if "marks, not outlines" in note]
    assert "radius of 2.5 to 4.5 px" in note


def test_a_setting_takes_marks_as_they_are_or_redraws_them_unseen(folder):
    folder.data.masks = "outlines"
    outlining.prepare(folder, progress=False)
    as_they_are = open_dataset(folder, progress=False)
    folder.data.masks = "marks"
    redrawn = open_dataset(folder, progress=False)
    assert not as_they_are.marks and redrawn.marks
    areas = [
        [(d[i]["labels"] > 0).sum() for i in range(2)] for d in (as_they_are, redrawn)
    ]
    assert areas[0][1] > 2.5 * areas[0][0]
    assert areas[1][1] == pytest.approx(areas[1][0], rel=0.05)
    folder.data.masks = "centres"
    with pytest.raises(BeadsegError, match="use auto, outlines, marks"):
        open_dataset(folder, progress=False)


def test_masks_that_are_outlines_are_looked_at_once_and_stay(folder):
    data = folder.data
    samples = scan(data, progress=False).samples
    outlines = judge_masks([measure_marks("a", np.zeros((9, 9), np.int32))])
    marked.store(data, samples, lambda: outlines, ())
    outlining.prepare(folder, progress=False)
    dataset = open_dataset(folder, progress=False)
    assert not dataset.marks
    assert not any("marks" in note for note in dataset.notes)
