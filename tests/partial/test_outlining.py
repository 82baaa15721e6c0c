from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from beadseg.data.builders import open_dataset
from beadseg.data.folder import scan
from beadseg.data.masks import marked
from beadseg.data.masks.marks import kind_of_masks, measure_marks
from beadseg.data.masks.points import discs
from beadseg.errors import BeadsegError
from beadseg.partial import outlining
from beadseg.partial.outlining import outline
from beadseg.training.run_data import open_data
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


def test_beads_of_one_size_are_equal_discs_one_for_each_mark():
    at = [(20, 20), (20, 60), (62, 20), (62, 27), (80, 70)]
    at = np.array(at, np.float32)
    found = discs(at[:2] + (2, -1), 7, (SIDE, SIDE))  # smaller, and beside their marks
    found[58:66, 17:30] = 9  # two seen as one
    labels, at_marks = outline(discs(at, 5, (SIDE, SIDE)), found, 8.0, one_size=True)
    assert at_marks == 3
    truth = discs(np.concatenate([at[:2] + (2, -1), at[2:]]), 8, (SIDE, SIDE))
    assert len(np.unique(labels)) == len(np.unique(truth))
    assert ((labels > 0) == (truth > 0)).mean() > 0.999


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
    outlining.prepare(folder)
    dataset = open_dataset(folder)
    assert dataset.marks
    assert dataset.bead_diameter_px == pytest.approx(8, abs=1.5)
    for i in range(2):
        tile = dataset[i]["labels"]
        assert len(np.unique(tile[tile > 0])) == dataset.records[i].beads == 25
    (note,) = [note for note in dataset.notes if "marks, not outlines" in note]
    assert "radius of 2.5 to 4.5 px" in note


def test_a_mask_of_another_image_hides_no_marks(folder):
    home = Path(folder.data.dir)
    image = np.array(Image.open(home / "images" / "a.png"))
    mask = np.array(Image.open(home / "masks" / "a.png"))
    Image.fromarray(np.roll(image, 4, 1)).save(home / "images" / "c.png")
    other = np.pad(mask.T[::-1, 5:], ((0, 0), (0, 5)))
    Image.fromarray(other).save(home / "masks" / "c.png")
    assert [doubt.image for doubt in scan(folder.data).doubts] == ["c"]
    outlining.prepare(folder)
    dataset = open_dataset(folder)
    assert dataset.marks
    assert [r.has_mask for r in dataset.records] == [True, True, False]


@pytest.fixture
def marks_of_b(folder):
    """Replaces the mask of the second image by what a function makes of it."""

    def change(function):
        file = Path(folder.data.dir) / "masks" / "b.png"
        Image.fromarray(function(np.array(Image.open(file)))).save(file)
        folder.data.masks = "marks"
        outlining.prepare(folder)
        return open_dataset(folder)

    return change


def test_beads_that_incomplete_marks_lack_are_unknown(marks_of_b, folder):
    def without_the_lower_half(mask):
        mask[48:] = 0
        return mask

    dataset = marks_of_b(without_the_lower_half)
    whole, half = (dataset[i]["labels"] for i in range(2))
    assert not (whole < 0).any()
    unknown = ndimage.label(half < 0)[1]
    assert unknown >= 5  # of those that the default model sees
    assert not (half[:40] < 0).any() and not (half[56:] > 0).any()
    (note,) = [note for note in dataset.notes if "are unknown" in note]
    assert f"{unknown} more" in note
    assert dataset.unmarked == unknown
    (caution,) = [c for c in open_data(folder).cautions if "marks are incomplete" in c]
    assert "F1 and count error say little" in caution


def test_marks_beside_their_beads_are_moved_onto_them_and_that_is_said(
    marks_of_b, tmp_path
):
    file = tmp_path / "data/masks/b.png"
    dataset = marks_of_b(lambda mask: np.roll(mask, (6, 5), (0, 1)))
    before = np.array(Image.open(file))
    image = np.array(Image.open(tmp_path / "data/images/b.png")).astype(float)
    labels = dataset[1]["labels"]
    assert labels.shape == image.shape
    assert image[labels > 0].mean() < image[labels == 0].mean() - 70
    assert (np.array(Image.open(file)) == before).all()
    assert any(note.startswith("b: the marks lie up to 8 px") for note in dataset.notes)


def test_a_setting_takes_marks_as_they_are_or_redraws_them_unseen(folder):
    folder.data.masks = "outlines"
    outlining.prepare(folder)
    as_they_are = open_dataset(folder)
    folder.data.masks = "marks"
    redrawn = open_dataset(folder)
    assert not as_they_are.marks and redrawn.marks
    areas = [
        [(d[i]["labels"] > 0).sum() for i in range(2)] for d in (as_they_are, redrawn)
    ]
    assert areas[0][1] > 2.5 * areas[0][0]
    assert areas[1][1] == pytest.approx(areas[1][0], rel=0.05)
    folder.data.masks = "centres"
    with pytest.raises(BeadsegError, match="use auto, outlines, marks"):
        open_dataset(folder)


def test_masks_that_are_outlines_are_looked_at_once_and_stay(folder):
    data = folder.data
    samples = scan(data).samples
    outlines = kind_of_masks([measure_marks("a", np.zeros((9, 9), np.int32))])
    marked.store(data, samples, lambda: outlines, ())
    outlining.prepare(folder)
    dataset = open_dataset(folder)
    assert not dataset.marks
    assert not any("marks" in note for note in dataset.notes)
