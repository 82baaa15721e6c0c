"""Masks whose numbers are kinds: which are beads is said once, and holds everywhere."""

import csv
import json

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
    config.data.classes = ("bead", 0)
    problems = scan(config.data).problems
    assert (
        len(problems) == 2 and "classes 0, bead: this mask has numbers" in problems[0]
    )
    config.data.classes = "-1"
    with pytest.raises(BeadsegError, match="data.classes = "):
        scan(config.data)


# Class, middle and side of squares; of COCO the ids are 3 more.
OBJECTS = [(0, 20, 20, 14), (1, 60, 20, 14), (0, 20, 70, 20), (2, 70, 70, 9)]
NAMES = ("bead", "dimer", "dirt")


def yolo(masks, data) -> None:
    lines = [f"{c} {x / 96} {y / 96} {w / 96} {w / 96}\n" for c, y, x, w in OBJECTS]
    (masks / "a.txt").write_text("".join(lines))
    (data / "classes.txt").write_text("\n".join(NAMES))


def coco(masks, data) -> None:
    found = [
        {"id": i, "image_id": 1, "category_id": 3 + c}
        | {"bbox": [x - w / 2, y - w / 2, w, w]}
        for i, (c, y, x, w) in enumerate(OBJECTS)
    ]
    names = [{"id": 3 + c, "name": name} for c, name in enumerate(NAMES)]
    images = [{"id": 1, "file_name": "a.png"}]
    content = {"images": images, "annotations": found, "categories": names}
    (masks / "a.json").write_text(json.dumps(content))


def labelme(masks, data) -> None:
    found = [
        {"label": NAMES[c], "shape_type": "circle", "points": [[x, y], [x + w / 2, y]]}
        for c, y, x, w in OBJECTS
    ]
    (masks / "a.json").write_text(json.dumps({"shapes": found}))


@pytest.mark.parametrize(
    ("write", "classes", "kept"),
    [
        *((yolo, c, k) for c, k in (("Bead", [0, 2]), ((1, 2), [1, 3]), ((7,), []))),
        *((coco, c, k) for c, k in (("dimer,dirt", [1, 3]), ((3, "dirt"), [0, 2, 3]))),
        *((labelme, c, k) for c, k in (("auto", [0, 1, 2, 3]), ("none, dirt", [3]))),
    ],
)
def test_classes_of_other_programs_are_chosen(
    config, save, picture, tmp_path, write, classes, kept
):
    image = save("images/a.png", picture(np.zeros((96, 96), np.int32)))
    data = image.parents[1]
    (data / "masks").mkdir(exist_ok=True)
    write(data / "masks", data)
    config.data.classes = classes
    folder = scan(config.data)
    assert not folder.problems
    if classes == "auto":
        expected = "its objects are of classes bead, dimer, dirt: all are read as beads"
    else:
        names = sorted({NAMES[OBJECTS[n][0]] for n in kept})
        others = ", ".join(name for name in NAMES if name not in names)
        expected = (
            f"objects of classes {', '.join(names) or 'none'} are beads, those of "
        )
        expected += f"{others} are left out"
    assert sum(expected in note for note in folder.notes) == 1
    labels = read_sample(folder.samples[0]).labels
    y, x = np.mgrid[:96, :96] + 0.5
    discs = [np.hypot(y - cy, x - cx) <= w / 2 for _, cy, cx, w in OBJECTS]
    assert len(np.unique(labels[labels > 0])) == len(kept)
    for number, disc in enumerate(discs):
        assert abs((labels[disc] > 0).mean() - (number in kept)) < 0.05


def test_names_of_classes_that_change_are_read_again(config, save, picture):
    image = save("images/a.png", picture(np.zeros((96, 96), np.int32)))
    data = image.parents[1]
    (data / "masks").mkdir(exist_ok=True)
    yolo(data / "masks", data)
    config.data.classes = "dimer"
    first = scan(config.data).samples[0]
    (data / "classes.txt").write_text("dimer\nbead\n")
    second = scan(config.data).samples[0]
    assert (first.beads, second.beads) == (1, 2) and first.digest != second.digest


def test_import_is_told_the_classes(save, picture, tmp_path, capsys):
    image = save("images/a.png", picture(np.zeros((96, 96), np.int32)))
    data = image.parents[1]
    yolo(image.parent, data)
    flags = ("-o", tmp_path / "new", "--classes", "bead,1")
    assert run("import", data, *flags) == 0
    assert "3 beads from a.txt (YOLO)" in capsys.readouterr().out
    assert tifffile.imread(tmp_path / "new" / "masks" / "a.tif").max() == 3
    assert run("import", data, "-o", tmp_path / "other", "--classes", "-1") == 2
    assert "--classes = '-1': give" in capsys.readouterr().err


@pytest.mark.parametrize(
    "folders", ["images/train labels/train", "train/images train/labels"]
)
@pytest.mark.parametrize(
    "names", ["names: [bead, dimer, dirt]", "names:\n  0: bead\n  1: dimer\n  2: dirt"]
)
def test_the_yaml_of_a_data_set_names_classes(save, picture, capsys, folders, names):
    pictures, labels = folders.split()
    image = save(f"{pictures}/a.png", picture(np.zeros((96, 96), np.int32)))
    data = image.parents[2]
    (data / labels).mkdir(parents=True)
    yolo(data / labels, data)
    (data / "classes.txt").unlink()
    (data / "data.yaml").write_text(f"train: {pictures}\nnc: 3\n{names}\n")
    new = data.parent / "new"
    assert run("import", data, "-o", new, "--classes", "dimer,dirt") == 0
    assert "2 beads from a.txt (YOLO)" in capsys.readouterr().out


@pytest.mark.parametrize(
    "text", ["names: [bead", "- bead", "names: {a: b}", "names: 3"]
)
def test_a_damaged_yaml_of_a_data_set_is_one_line(config, save, picture, text):
    image = save("images/a.png", picture(np.zeros((96, 96), np.int32)))
    data = image.parents[1]
    (data / "masks").mkdir()
    yolo(data / "masks", data)
    (data / "classes.txt").unlink()
    (data / "data.yaml").write_text(text)
    (problem,) = scan(config.data).problems
    assert "a.txt: data.yaml, which should name" in problem and "\n" not in problem


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
