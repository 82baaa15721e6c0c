"""Damaged files: a line that says what is wrong, and never wrong pixels."""

import re
import struct

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from beadseg.data.images.reading import PageRef, ReadError, check_image, open_pages

NOISE = np.random.default_rng(3).integers(0, 255, (64, 80), np.uint8)


def outcome(path) -> list[np.ndarray | str]:
    """What each page gives: pixels, or the line of its error."""
    try:
        pages = open_pages(path)
    except ReadError as error:
        return [str(error)]
    return [pixels_or_line(page) for page in pages]


def pixels_or_line(page: PageRef) -> np.ndarray | str:
    try:
        return page.read()
    except ReadError as error:
        return str(error)


def assert_line(line: str, *parts: str) -> None:
    assert isinstance(line, str), "damage went unnoticed"
    assert "\n" not in line and len(line) < 400
    for part in parts:
        assert part in line


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty (0 bytes); copy or export it again"),
        (b"some notes on beads", "it is not an image; save it as TIFF, PNG or JPEG"),
        (b"GIF89a" + b"\0" * 40, "it is a GIF file; save it as TIFF, PNG or JPEG"),
        (b"II*\0", "corrupt"),
        (b"II*\0" + b"\xff" * 60, "cut short or corrupt"),
        (b"\x89PNG\r\n\x1a\n", "cut short"),
        (b"\xff\xd8\xff\xe0", "corrupt"),
    ],
)
def test_what_is_no_image_is_named_with_the_reason(tmp_path, content, reason):
    path = tmp_path / "bead.tif"
    path.write_bytes(content)
    (line,) = outcome(path)
    assert_line(line, str(path), reason)


def test_missing_files_and_folders_are_named(tmp_path):
    for path in (tmp_path / "no.tif", tmp_path):
        assert_line(outcome(path)[0], str(path), "; ")


def write(path, kind: str) -> None:
    """One page of noise, in pieces where the format has pieces."""
    if kind in ("png", "palette png"):
        image = Image.fromarray(NOISE)
        image = image if kind == "png" else image.convert("P")
        image.save(path, format="png")
    elif kind == "jpeg":
        path.write_bytes(imagecodecs.jpeg_encode(NOISE))
    elif kind == "pillow":
        Image.fromarray(NOISE).save(path, format="tiff", compression="tiff_lzw")
    elif kind == "tiles":
        tifffile.imwrite(path, NOISE, tile=(16, 16))
    else:
        compression = None if kind == "plain" else kind.split()[0]
        tifffile.imwrite(path, NOISE, compression=compression, rowsperstrip=16)


KINDS = "png|palette png|jpeg|pillow|plain|tiles|lzw|zlib|zstd|packbits|jpeg tiff"


@pytest.mark.parametrize("kind", KINDS.split("|"))
def test_a_file_cut_short_anywhere_is_noticed(tmp_path, kind):
    path = tmp_path / "whole"
    write(path, kind)
    whole = path.read_bytes()
    assert isinstance(outcome(path)[0], np.ndarray)
    cut = tmp_path / "cut"
    for length in {*range(1, len(whole) - 9, 211), len(whole) - 40, len(whole) // 2}:
        cut.write_bytes(whole[:length])
        (line,) = outcome(cut)
        assert_line(line, str(cut))


@pytest.mark.parametrize("kind", KINDS.split("|"))
def test_flipped_bytes_give_a_line_or_pixels_but_no_crash(tmp_path, kind):
    path = tmp_path / "whole"
    write(path, kind)
    whole = bytearray(path.read_bytes())
    rng = np.random.default_rng(1)
    for _ in range(60):
        bad = bytearray(whole)
        for at in rng.integers(4, min(400, len(bad)), 3):
            bad[at] = rng.integers(256)
        path.write_bytes(bad)
        for result in outcome(path):
            if isinstance(result, str):
                assert_line(result, str(path))


@pytest.mark.parametrize("compression", [None, "zlib", "jpeg"])
def test_one_bad_page_leaves_the_others_readable(tmp_path, compression):
    path = tmp_path / "a.tif"
    pages = np.stack([np.roll(NOISE, i) for i in range(5)])
    with tifffile.TiffWriter(path) as writer:
        for page in pages:
            writer.write(page, compression=compression, metadata=None)
    with tifffile.TiffFile(path) as file:
        page = file.pages[3]
        start, length = page.dataoffsets[0], page.databytecounts[0]
        offset_tag = page.tags["StripOffsets"].valueoffset
    data = bytearray(path.read_bytes())
    if compression is None:  # points behind the end of the file
        data[offset_tag : offset_tag + 4] = struct.pack("<I", len(data) - 100)
    else:
        data[start + length // 2 : start + length] = bytes(length - length // 2)
    path.write_bytes(data)
    results = outcome(path)
    assert len(results) == 5
    assert_line(results.pop(3), f"{path} page 3: ")
    assert all(r.shape == NOISE.shape for r in results)


@pytest.mark.parametrize("writer", ["pillow", "imagej", "shaped", "ome"])
def test_pages_before_the_cut_are_read_and_the_loss_is_told(tmp_path, writer):
    path = tmp_path / "a.tif"
    pages = np.stack([np.roll(NOISE, i) for i in range(8)])
    if writer == "pillow":
        first, *rest = (Image.fromarray(p) for p in pages)
        first.save(path, save_all=True, append_images=rest)
    else:
        tifffile.imwrite(
            path,
            pages,
            imagej=writer == "imagej",
            ome=writer == "ome",
            metadata={"axes": "ZYX"},
        )
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 5 // 8])
    results = outcome(path)
    good = [r for r in results if isinstance(r, np.ndarray)]
    bad = [r for r in results if isinstance(r, str)]
    assert good and bad
    for found, truth in zip(good, pages, strict=False):
        np.testing.assert_array_equal(found, truth)
    for line in bad:
        assert_line(line, f"{path} page ", "cut short")


def test_a_projection_over_a_bad_page_is_refused(tmp_path):
    path = tmp_path / "a.tif"
    first, *rest = (Image.fromarray(NOISE) for _ in range(4))
    first.save(path, save_all=True, append_images=rest)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    *_, last = open_pages(path, stack="max")
    with pytest.raises(ReadError, match="cut short"):
        last.read()


def test_a_file_changed_after_listing_is_not_read(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, NOISE)
    (page,) = open_pages(path)
    tifffile.imwrite(path, NOISE[:32])
    with pytest.raises(ReadError, match="has changed since it was listed"):
        page.read()


def test_colours_without_a_meaning_here_are_refused(tmp_path):
    for name in ("a.tif", "b.jpg"):
        Image.fromarray(NOISE).convert("CMYK").save(tmp_path / name)
        assert_line(outcome(tmp_path / name)[0], "CMYK", "save it as grey or RGB")
    for photometric, name in ((8, "CIE Lab"), (9, "ICC Lab"), (5, "CMYK")):
        path = tmp_path / f"{photometric}.tif"
        samples = 4 if photometric == 5 else 3
        colours = np.stack([NOISE] * samples, -1)
        with tifffile.TiffWriter(path) as file:
            file.write(colours, photometric=photometric, metadata=None)
        assert_line(outcome(path)[0], f"its colours are {name}: save it as grey or RGB")
        assert "corrupt" not in outcome(path)[0]
    tifffile.imwrite(tmp_path / "c.tif", NOISE.astype(np.complex64))
    assert_line(outcome(tmp_path / "c.tif")[0], "complex64: save it as grey")


def test_an_unknown_projection_lists_the_known(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", NOISE)
    with pytest.raises(ReadError, match=re.escape("choose pages, max or mean")):
        open_pages(tmp_path / "a.tif", stack="sum")


def test_pixels_without_data_are_allowed_unless_there_are_no_others():
    image = NOISE[:20, :20].astype(np.float32)
    for spoil in (np.nan, np.inf, -np.inf):
        image[3, 4:9] = spoil
        check_image(image, "a.tif")
        with pytest.raises(ReadError, match="a.tif: all pixels are NaN or infinite"):
            check_image(np.full_like(image, spoil), "a.tif", constant=True)
    image[:] = 7
    image[0, 0] = np.nan
    with pytest.raises(ReadError, match="every pixel is 7"):
        check_image(image, "a.tif")


def test_constant_and_tiny_images_are_refused():
    with pytest.raises(ReadError, match="a.tif: every pixel is 7"):
        check_image(np.full((20, 20), 7), "a.tif")
    with pytest.raises(ReadError, match="a.tif: 7 x 20 px is too small"):
        check_image(NOISE[:7, :20], "a.tif")
    check_image(NOISE[:8, :8], "a.tif")


def test_a_control_of_one_value_will_do_where_nothing_is_learned():
    check_image(np.full((20, 20), 7), "a.tif", constant=True)
    check_image(np.zeros((8, 8), np.float32), "a.tif", constant=True)
    with pytest.raises(ReadError, match="a.tif: 7 x 20 px is too small"):
        check_image(np.zeros((7, 20)), "a.tif", constant=True)
