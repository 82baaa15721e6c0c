"""What no memory holds is refused in a line, before it is decoded."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from beadseg.data.images import reading
from beadseg.data.images.reading import ReadError, open_pages


def jpeg_that_says(height: int, width: int, side: int = 64) -> bytes:
    """A JPEG of `side` px whose frame header has another size."""
    file = io.BytesIO()
    Image.fromarray(np.full((side, side), 90, np.uint8)).save(file, "JPEG")
    data = bytearray(file.getvalue())
    at = data.find(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def test_an_image_larger_than_memory_is_refused_with_both_sizes(monkeypatch):
    monkeypatch.setattr(reading, "_memory", lambda: 8 * 10**9)
    reading.check_fits((10_000, 100_000))
    with pytest.raises(ValueError, match="10001 x 100000 px, which need 8 GB of mem"):
        reading.check_fits((10_001, 100_000))


def test_the_memory_of_a_group_is_its_bound(monkeypatch, tmp_path):
    monkeypatch.setattr(reading, "_OF_GROUP", tmp_path / "memory.max")
    alone = reading._memory.__wrapped__()
    (tmp_path / "memory.max").write_text("1000000\n")
    assert reading._memory.__wrapped__() == 1_000_000
    (tmp_path / "memory.max").write_text("max\n")
    assert reading._memory.__wrapped__() == alone > 1_000_000


def test_a_jpeg_whose_header_says_more_than_it_holds_is_refused(tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg_that_says(65_000, 65_000))
    with pytest.raises(ReadError, match="says 65000 x 65000 px, more than the file"):
        open_pages(tmp_path / "a.jpg")


@pytest.mark.parametrize("progressive", [False, True])
def test_the_densest_jpeg_is_read(tmp_path, progressive):
    flat = Image.fromarray(np.full((4096, 4096), 128, np.uint8))
    flat.save(tmp_path / "a.jpg", optimize=True, progressive=progressive)
    (page,) = open_pages(tmp_path / "a.jpg")
    assert page.read().shape == (4096, 4096)


def test_a_bmp_of_many_pixels_is_read_without_a_warning(tmp_path):
    Image.new("1", (20_000, 10_000)).save(tmp_path / "a.bmp")
    (page,) = open_pages(tmp_path / "a.bmp")
    assert page.shape == (10_000, 20_000)
