"""Which files of a folder are predicted, and that no other goes without a word."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from beadseg.data.images.readers import endings
from beadseg.data.images.reading import open_pages
from beadseg.errors import BeadsegError
from beadseg.inference.inputs import find_inputs

IMAGE = np.arange(20 * 24, dtype=np.uint16).reshape(20, 24)


def write(path, array=IMAGE):
    path.parent.mkdir(exist_ok=True)
    with path.open("wb") as file:
        tifffile.imwrite(file, array, metadata=None)


def test_images_are_taken_by_their_ending_or_their_content(tmp_path):
    names = ["a.ptif", "b.QPTIFF", "c.tf2", "d.dat", "e", "f.lsm.bak"]
    for name in names:
        write(tmp_path / "in" / name)
    found = find_inputs([str(tmp_path / "in")])
    assert [image.page.path.name for image in found.images] == sorted(names)
    assert found.problems == [] and found.notes == []
    for image in found.images:
        np.testing.assert_array_equal(image.page.read(), IMAGE)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"RIFF\x10\0\0\0WEBPVP8 ", "a WebP file"),
        (b"\xff\x4f\xff\x51\0\x29", "a JPEG 2000 file"),
        (b"GIF89a", "a GIF file"),
        (b"\x89HDF\r\n", "an HDF5 file"),
    ],
)
def test_images_of_kinds_that_are_not_read_are_problems(tmp_path, content, kind):
    write(tmp_path / "in" / "a.tif")
    (tmp_path / "in" / "b.img").write_bytes(content)
    found = find_inputs([str(tmp_path / "in")])
    assert [image.name for image in found.images] == ["a"]
    assert len(found.problems) == 1
    assert "b.img" in found.problems[0] and kind in found.problems[0]


def test_what_is_no_image_is_named_in_one_line(tmp_path):
    folder = tmp_path / "in"
    write(folder / "a.tif")
    for name in ("plate.xml", "read me", "x.csv", "._a.tif", "Thumbs.db"):
        (folder / name).write_bytes(b"some words")
    (folder / "old").mkdir()
    found = find_inputs([str(folder)])
    assert found.problems == []
    assert found.notes == [
        f"{folder}: no images, left out: old/, plate.xml, read me, x.csv"
    ]
    for i in range(30):
        (folder / f"z{i}.txt").write_text("x")
    (note,) = find_inputs([str(folder)]).notes
    assert note.endswith(" and 14 more") and "\n" not in note


def test_a_note_on_many_files_is_one_line(tmp_path):
    for name in "abc":
        tifffile.imwrite(tmp_path / f"{name}.tif", IMAGE, resolution=(1e5, 1e5))
        with tifffile.TiffFile(tmp_path / f"{name}.tif", mode="r+b") as file:
            file.pages.first.tags["ResolutionUnit"].overwrite(2)
    (note,) = find_inputs([str(tmp_path)]).notes
    assert note.startswith(f"{tmp_path / 'a.tif'} and 2 more: pixel size of 0.254 um")


def test_a_folder_without_an_image_is_wrong_use(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(BeadsegError, match="no image in this folder"):
        find_inputs([str(tmp_path)])


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_bmp_files_are_read(tmp_path, mode):
    grey = (IMAGE % 251).astype(np.uint8)
    image = Image.fromarray(grey).convert("RGB" if mode == "P" else mode)
    if mode == "P":
        image = image.quantize(256)
    image.save(tmp_path / "a.bmp")
    (page,) = open_pages(tmp_path / "a.bmp")
    expected = {"1": np.asarray(image.convert("L")) // 255, "L": grey, "RGB": grey}
    expected["P"] = np.asarray(image.convert("RGB"))[..., 0]
    np.testing.assert_array_equal(page.read(), expected[mode])
    content = (tmp_path / "a.bmp").read_bytes()
    (tmp_path / "a.bmp").write_bytes(content[: len(content) // 2])
    (page,) = open_pages(tmp_path / "a.bmp")
    with pytest.raises(BeadsegError, match=r"a\.bmp: "):
        page.read()


def test_endings_are_lower_case_and_begin_with_a_dot():
    assert all(e == e.lower() and e.startswith(".") for e in endings())
