"""`beadseg measure` as a user meets it."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tifffile

from beadseg.data.images.reading import open_pages
from tests.calls import call, rows_of
from tests.inference.bright import write_labelled


@pytest.fixture
def folders(tmp_path):
    """Labels and images of a.tif and b.tif."""
    labels = write_labelled(tmp_path, "photos", "masks")
    return tmp_path / "masks", tmp_path / "photos", labels


def test_labels_are_measured_as_they_are(folders, tmp_path, capsys):
    masks, photos, labels = folders
    out, result = tmp_path / "out", tmp_path / "result.json"
    code, lines, _ = call(
        capsys, "measure", masks, photos, "-o", out, "--pixel-size", 0.5,
        "--group", "(.)", "--json", result,
    )  # fmt: skip
    assert code == 0
    assert lines[-1].startswith("50 beads in 2 images")
    assert lines[-1].endswith(f"page: {out / 'report.html'}")
    np.testing.assert_array_equal(tifffile.imread(out / "labels" / "a.tif"), labels)
    rows = [row for row in rows_of(out / "beads.csv") if row["image"] == "a"]
    areas = np.bincount(labels.ravel())[1:]
    assert [int(row["area_px"]) for row in rows] == areas.tolist()
    assert float(rows[0]["area_um2"]) == pytest.approx(areas[0] / 4)
    assert "probability" not in rows[0]
    assert [row["count"] for row in rows_of(out / "images.csv")] == ["25", "25"]
    for kind, ending in (("rois", "zip"), ("geojson", "geojson"), ("overlays", "png")):
        assert (out / kind / f"a.{ending}").exists()
    page = (out / "report.html").read_text()
    assert "50 beads in 2 images" in page and "Labelled beads were measured" in page
    assert json.loads(result.read_text())["report"] == str(out / "report.html")


def test_names_of_other_tools_and_large_ids_are_understood(folders, tmp_path, capsys):
    masks, photos, labels = folders
    (masks / "b.tif").unlink()
    ids = np.where(labels > 0, labels.astype(np.uint32) * 7_000_001, 0)
    (masks / "a.tif").rename(masks / "a_cp_masks.tif")
    tifffile.imwrite(masks / "a_cp_masks.tif", ids)
    out = tmp_path / "out"
    code, lines, errors = call(capsys, "measure", masks, photos, "-o", out)
    assert code == 0 and lines[-1].startswith("25 beads in 1 image")
    assert any("no labels of 1 image (b)" in line for line in errors)


@pytest.mark.parametrize(
    ("image", "labels"),
    [
        *(("{}", name) for name in ("{}_mask", "{}-labels", "mask_{}", "Mask of {}")),
        *(("{}", name) for name in ("{}_cp_masks", "{}_Object Identities")),
        *(("{}_img", "{}_masks"), ("img_{}", "label_{}")),
    ],
)
def test_labels_belong_to_images_by_the_names_that_training_knows(
    folders, tmp_path, capsys, image, labels
):
    masks, photos, _ = folders
    for folder, pattern in ((masks, labels), (photos, image)):
        for name in "ab":
            (folder / f"{name}.tif").rename(folder / f"{pattern.format(name)}.tif")
    code, lines, errors = call(capsys, "measure", masks, photos, "-o", tmp_path / "out")
    assert (code, errors) == (0, [])
    assert lines[-1].startswith("50 beads in 2 images")


@pytest.mark.parametrize("within", ["", "labels"])
@pytest.mark.parametrize(
    "stored",
    [
        lambda labels: np.where(labels > 0, labels, 65535).astype(np.uint16),
        lambda labels: np.where(labels > 0, 255, 0).astype(np.uint8),
        lambda labels: np.where(labels > 0, 0, 255).astype(np.uint8),
    ],
)
def test_labels_of_others_are_read_as_training_reads_masks(
    folders, tmp_path, capsys, stored, within
):
    masks, photos, labels = folders
    place = tmp_path / "others" / within if within else tmp_path / "labels"
    place.mkdir(parents=True)
    for name in "ab":
        tifffile.imwrite(place / f"{name}.tif", stored(labels))
    where = place.parent if within else place
    out = tmp_path / "out"
    code, lines, _ = call(capsys, "measure", where, photos, "-o", out, "--no-report")
    assert code == 0 and lines[-1].startswith("50 beads in 2 images")


def test_labels_may_lie_beside_their_images(folders, tmp_path, capsys):
    masks, photos, _ = folders
    for name in "ab":
        (masks / f"{name}.tif").rename(photos / f"{name}_cp_masks.tif")
    code, lines, _ = call(capsys, "measure", photos, photos, "-o", tmp_path / "out")
    assert code == 0 and lines[-1].startswith("50 beads in 2 images")


def test_labels_with_a_page_for_each_bead_are_left_out(folders, tmp_path, capsys):
    masks, photos, labels = folders
    pages = np.stack([labels == number for number in range(1, 26)]).astype(np.uint8)
    tifffile.imwrite(masks / "a.tif", pages)
    code, lines, errors = call(capsys, "measure", masks, photos, "-o", tmp_path / "out")
    assert code == 1 and lines[-1].startswith("25 beads in 1 image, 1 failed")
    assert "a.tif: 25 pages, but its image has 1: save all beads on one" in errors[-1]


def test_two_labels_of_one_image_are_measured_once(folders, tmp_path, capsys):
    masks, photos, labels = folders
    tifffile.imwrite(masks / "a_cp_masks.tif", (labels > 5).astype(np.uint8))
    (masks / "b.tif").rename(masks / "b-masks.tif")
    tifffile.imwrite(masks / "b_seg.tif", labels)
    out = tmp_path / "out"
    code, _, errors = call(capsys, "measure", masks, photos, "-o", out)
    assert code == 1
    rows = rows_of(out / "images.csv")
    assert [(row["image"], row["count"]) for row in rows] == [("a", "25"), ("b", "25")]
    assert [line for line in errors if line.startswith("failed")] == [
        f"failed: {masks / two}: labels of {image}, as {masks / one}, which is used "
        "instead"
        for image, one, two in (
            ("a", "a.tif", "a_cp_masks.tif"),
            ("b", "b-masks.tif", "b_seg.tif"),
        )
    ]


def test_two_files_belong_together_and_a_mask_is_separated(folders, tmp_path, capsys):
    masks, photos, labels = folders
    tifffile.imwrite(tmp_path / "any.tif", (labels > 0).astype(np.uint8) * 255)
    out = tmp_path / "out"
    code, lines, _ = call(
        capsys, "measure", tmp_path / "any.tif", photos / "a.tif", "-o", out
    )
    assert code == 0 and lines[-1].startswith("25 beads in 1 image")


def test_what_does_not_fit_is_named_and_the_rest_is_measured(folders, tmp_path, capsys):
    masks, photos, labels = folders
    tifffile.imwrite(masks / "b.tif", labels[:-1].astype(np.uint16))
    (masks / "c.tif").write_bytes(b"no image")
    tifffile.imwrite(masks / "d.tif", labels.astype(np.uint16))
    out = tmp_path / "out"
    code, lines, errors = call(capsys, "measure", masks, photos, "-o", out)
    assert code == 1 and "25 beads in 1 image, 3 failed" in lines[-1]
    failed = [line for line in errors if line.startswith("failed: ")]
    assert len(failed) == 3
    h, w = labels.shape
    said = f"b.tif: {h - 1} x {w} px but its image {h} x {w} px: give the image"
    assert any(said in line for line in failed)


@pytest.mark.parametrize(
    ("labels", "images", "more", "says"),
    [
        ("gone", "photos", (), "no such folder or file: check the labels"),
        ("masks", "gone", (), "no such folder or file: check the images"),
        ("masks", "empty", (), "give both files the same names"),
        ("empty", "photos", (), "no label image in it"),
        ("masks", "photos", ("--pixel-size", "0"), "give um above 0"),
        ("masks", "photos", ("--group", "(a"), "is no regular expression"),
        ("masks", "photos", ("-o", "masks"), "is not empty"),
    ],
)
def test_wrong_use_is_one_line(
    labels, images, more, says, folders, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    code, _, errors = call(capsys, "measure", labels, images, *more)
    assert code == 2
    assert says in errors[-1]


def test_what_a_kill_left_before_the_first_file_is_nothing(folders, tmp_path, capsys):
    left = tmp_path / "new/.prediction.json.4242.1852661613162"
    (tmp_path / "new/.done").mkdir(parents=True)
    left.write_text("{")
    out = ("-o", tmp_path / "new", "--no-report")
    code, *_ = call(capsys, "measure", tmp_path / "masks", tmp_path / "photos", *out)
    assert code == 0 and not left.exists() and (tmp_path / "new/beads.csv").exists()


def test_labels_without_a_bead_give_empty_tables_and_a_page(folders, tmp_path, capsys):
    masks, photos, labels = folders
    for name in "ab":
        tifffile.imwrite(masks / f"{name}.tif", np.zeros(labels.shape, np.uint16))
    out = tmp_path / "out"
    code, lines, _ = call(capsys, "measure", masks, photos, "-o", out)
    assert code == 0 and lines[-1].startswith("0 beads in 2 images")
    assert "No bead was found" in (out / "report.html").read_text()


def test_without_a_page_none_is_written_and_jax_is_not_loaded(folders, tmp_path):
    masks, photos, _ = folders
    code = (
        "import sys\nfrom beadseg import cli\n"
        "try:\n    cli.main(sys.argv[1:])\nexcept SystemExit as stopped:\n"
        "    assert not stopped.code\nassert 'jax' not in sys.modules\n"
    )
    out = tmp_path / "out"
    command = ["measure", masks, photos, "-o", out, "--no-report"]
    subprocess.run([sys.executable, "-c", code, *map(str, command)], check=True)
    assert not (out / "report.html").exists() and not (out / "plots").exists()


def test_the_labels_written_are_read_back_with_the_pixel_size(
    folders, tmp_path, capsys
):
    masks, photos, _ = folders
    out = tmp_path / "out"
    call(capsys, "measure", masks, photos, "-o", out, "--pixel-size", 0.25)
    (page,) = open_pages(out / "labels" / "a.tif")
    assert page.pixel_size == pytest.approx(0.25)
