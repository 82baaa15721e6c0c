"""`beadseg import`: what other programs wrote becomes a data set."""

import json
import os

import numpy as np
import pytest
import tifffile

from beadseg.cli import main
from beadseg.data.folder import scan
from beadseg.files import MADE_BY
from beadseg.inference.outputs.outlines import polygons
from beadseg.inference.outputs.writers import write_geojson, write_labels, write_rois

SHAPE = (96, 96)


def run(*arguments) -> int:
    with pytest.raises(SystemExit) as end:
        main(["import", *map(str, arguments)])
    return end.value.code


@pytest.fixture
def labels(discs):
    centres = [(10, 12), (11.4, 30.7), (40, 71), (50, 9), (30, 95)]
    return discs(SHAPE, centres, 5.2)


def outlines_of(labels):
    boxes = []
    for label in range(1, labels.max() + 1):
        y, x = np.nonzero(labels == label)
        boxes.append((y.min(), y.max() + 1, x.min(), x.max() + 1))
    beads = np.arange(1, labels.max() + 1)
    return beads, list(polygons(labels, np.array(boxes), beads))


@pytest.mark.parametrize("kind", ["labels", "rois", "geojson"])
def test_what_predict_writes_comes_back_to_the_pixel(
    config, save, picture, labels, tmp_path, kind
):
    image = save("images/a.tif", picture(labels))
    beads, outlines = outlines_of(labels)
    folder = tmp_path / "predictions" / kind
    folder.mkdir(parents=True)
    match kind:
        case "labels":
            write_labels(folder / "a.tif", labels, 5, None)
        case "rois":
            write_rois(folder / "a.zip", beads.tolist(), outlines)
        case "geojson":
            write_geojson(folder / "a.geojson", {"label": beads}, outlines)
    assert run(folder, "--images", image.parent, "-o", tmp_path / "new") == 0
    written = tifffile.imread(tmp_path / "new" / "masks" / "a.tif")
    np.testing.assert_array_equal(written, labels)
    again = outlines_of(written.astype(np.int32))[1]
    for one, other in zip(outlines, again, strict=True):
        np.testing.assert_allclose(one, other, atol=0.5)


def test_a_folder_of_every_kind(config, save, picture, labels, tmp_path, capsys):
    for name in ("train/a", "train/b", "val/c", "d", "e"):
        save(f"images/{name}.tif", picture(labels))
    source = tmp_path / "data"
    for folder in ("labels/train", "points", "annotations"):
        (source / folder).mkdir(parents=True)
    (source / "labels/train/a.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    shape = {"points": [[9, 9], [20, 9], [20, 20]], "label": "bead"}
    (source / "images/train/b.json").write_text(json.dumps({"shapes": [shape]}))
    (source / "points/c.csv").write_text("x,y\n7,3\n40,60\n")
    content = {
        "images": [{"id": 1, "file_name": "d.tif", "height": 96, "width": 96}],
        "annotations": [{"id": 1, "image_id": 1, "bbox": [5, 5, 9, 9]}],
    }
    (source / "annotations/instances.json").write_text(json.dumps(content))
    assert run(source, "-o", tmp_path / "new") == 0
    printed = capsys.readouterr().out
    for line in (
        "a: 1 bead from a.txt (YOLO); 1 boxes",
        "b: 1 bead from b.json (labelme)",
        "c: 2 beads from c.csv (table)",
        "d: 1 bead from instances.json (COCO); 1 boxes",
        "e: no labels",
        "5 images, 4 of them with labels, 5 beads",
    ):
        assert line in printed
    config.data.dir = str(tmp_path / "new")
    folder = scan(config.data)
    assert folder.problems == ()
    assert [(s.mask is not None, s.centres) for s in folder.samples] == [
        *((True, 0), (True, 0), (False, 2), (True, 0), (False, 0))
    ]


def test_what_is_no_label_is_left_out_and_is_no_failure(
    save, picture, labels, tmp_path, capsys
):
    folder = save("a.tif", picture(labels)).parent
    save("a_cp_masks.tif", labels.astype(np.uint16))
    save("a_flows_cp_masks.tif", labels.astype(np.uint16))
    for name in ("README.txt", "obj.names", "train.txt", "beads.toml"):
        (folder / name).write_text("pixel_size = 0.5\n")
    (folder / "classes.txt").write_text("bead\n")
    assert run(folder, "-o", tmp_path / "new") == 0
    printed = capsys.readouterr()
    assert "a: 5 beads from a_cp_masks.tif (pixels)" in printed.out
    assert "1 image, 1 of them with labels" in printed.out
    assert "left out:" in printed.err and "obj.names" in printed.err
    assert (tmp_path / "new" / "beads.toml").exists()


def test_coco_files_of_a_training_and_a_test_folder(picture, labels, tmp_path):
    for i, part in enumerate(("train", "test")):
        folder = tmp_path / "data" / part
        folder.mkdir(parents=True)
        tifffile.imwrite(folder / f"{part}.tif", picture(labels))
        content = {
            "images": [{"id": 1, "file_name": f"{part}.tif"}],
            "annotations": [{"id": 1, "image_id": 1, "bbox": [5 + i, 5, 9, 9]}],
        }
        (folder / "_annotations.coco.json").write_text(json.dumps(content))
    assert run(tmp_path / "data", "-o", tmp_path / "new") == 0
    for i, part in enumerate(("train", "test")):
        written = tifffile.imread(tmp_path / "new" / "masks" / f"{part}.tif")
        assert np.nonzero(written)[1].min() == 5 + i


def test_what_fails_is_said_and_the_rest_is_done(
    save, picture, labels, tmp_path, capsys
):
    save("images/a.tif", picture(labels))
    save("images/b.tif", picture(labels))
    save("masks/a.tif", labels.astype(np.uint16))
    save("masks/z.tif", labels.astype(np.uint16))
    (tmp_path / "data" / "masks" / "b.json").write_text("{")
    assert run(tmp_path / "data", "-o", tmp_path / "new") == 1
    printed = capsys.readouterr()
    assert "a: 5 beads from a.tif (pixels)" in printed.out
    assert sorted(line[:7] for line in printed.err.splitlines()) == ["failed:"] * 2
    assert "b.json" in printed.err and "z.tif: no image of this name" in printed.err


def test_what_beadseg_generate_damaged_comes_in_with_one_note(tmp_path, capsys):
    with pytest.raises(SystemExit):
        damage = ("--damage", "erode", "--amount", "1")
        main(["generate", f"{tmp_path}/data", "--count", "3", "--size", "64", *damage])
    capsys.readouterr()
    assert run(tmp_path / "data", "-o", tmp_path / "new") == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(
        "truth: 3 files of the same name as in images/ beside it, left out"
    )
    for kind in ("images", "masks"):
        for file in (tmp_path / "data" / kind).iterdir():
            written = tifffile.imread(tmp_path / "new" / kind / file.name)
            np.testing.assert_array_equal(written, tifffile.imread(file))


def test_what_is_no_file_is_named_and_not_waited_for(
    save, picture, labels, tmp_path, capsys
):
    save("images/a.tif", picture(labels))
    for name in ("odd", "images/b.tif", "masks.json", "masks/c.tif", "points/a.csv"):
        (tmp_path / "data" / name).parent.mkdir(exist_ok=True)
        os.mkfifo(tmp_path / "data" / name)
    (tmp_path / "data" / "images" / "d.tif").symlink_to("nowhere.tif")
    assert run(tmp_path / "data", "-o", tmp_path / "new") == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 6
    for name in ("odd", "b.tif", "masks.json", "c.tif", "a.csv", "d.tif"):
        assert sum(name in line for line in said) == 1
    assert [file.name for file in (tmp_path / "new").rglob("*.*") if file.is_file()]


def test_wrong_use_is_one_line(save, picture, labels, tmp_path, capsys):
    image = save("images/a.tif", picture(labels))
    pickle = tmp_path / "a_seg.npy"
    pickle.write_bytes(b"\x93NUMPY")
    for arguments, reason in (
        ((tmp_path / "none", "-o", tmp_path / "new"), "no such file or folder"),
        ((pickle, "-o", tmp_path / "new"), "cellpose --save_tif"),
        ((image.parent, "-o", image.parent), "is not empty"),
    ):
        assert run(*arguments) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1 and reason in lines[0]


def test_what_a_kill_left_before_the_first_file_is_nothing(
    save, picture, labels, tmp_path
):
    save("data/images/a.tif", picture(labels))
    save("data/masks/a.tif", labels)
    left = tmp_path / "new/images/.a.tif.4242.1852661613162"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"II*")
    assert run(tmp_path / "data", "-o", tmp_path / "new") == 0
    names = {path.name for path in (tmp_path / "new").iterdir()}
    assert names - {MADE_BY} == {"images", "masks"}
    assert not left.exists()


def test_damaged_settings_are_told_before_anything_is_written(
    save, picture, labels, tmp_path, capsys
):
    save("data/images/a.tif", picture(labels))
    (tmp_path / "data/beads.toml").write_text("pixel_size = ")
    assert run(tmp_path / "data", "-o", tmp_path / "new", "--classes", "1") == 2
    assert "beads.toml: not valid TOML" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_page_for_each_bead_is_named_and_not_counted(
    save, picture, labels, tmp_path, capsys
):
    save("images/a.tif", picture(labels))
    pages = np.stack([labels == bead for bead in range(1, 6)]).astype(np.uint8)
    path = save("masks/a.tif", pages)
    assert run(path.parents[1], "-o", tmp_path / "new") == 1
    said = capsys.readouterr()
    assert f"failed: {path}: 5 pages, but its image has 1: save all beads" in said.err
    assert not (tmp_path / "new" / "masks" / "a.tif").exists()


def test_a_mask_of_another_size_is_named(save, picture, labels, tmp_path, capsys):
    image = save("images/a.tif", picture(labels))
    mask = save("masks/a.tif", labels[:50, :60].astype(np.uint16))
    assert run(image.parents[1], "-o", tmp_path / "new") == 1
    said = f"{mask}: 50 x 60 px but its image 96 x 96 px: export both at one size"
    assert said in capsys.readouterr().err
    assert not (tmp_path / "new" / "masks").exists()


def test_folders_may_be_links_and_those_that_lead_back_are_left_out(
    save, picture, labels, tmp_path
):
    data = save("images/a.tif", picture(labels)).parents[1]
    save("masks/a.tif", labels.astype(np.uint16))
    linked = tmp_path / "linked"
    linked.mkdir()
    for kind in ("images", "masks"):
        (linked / kind).symlink_to(data / kind)
    assert run(linked, "-o", tmp_path / "new") == 0
    assert (tmp_path / "new" / "masks" / "a.tif").exists()
    (data / "images" / "back").symlink_to(data)
    assert run(data, "-o", tmp_path / "again") == 0
