"""What is wrong with a file is one line that names it; its other planes are read."""

import shutil

import numpy as np
import pytest
from PIL import Image

from beadseg.data.images.reading import ReadError, open_pages
from tests.data.images.written import leica, nikon, video, write_czi, write_zarr

SHAPE = (64, 80)
PLANES = np.random.default_rng(0).integers(1, 250, (4, *SHAPE)).astype(np.uint16)
KINDS = {
    "nd2": ("nd2", lambda f: f.write_bytes(nikon(PLANES[:, None, None], ["DAPI"]))),
    "czi": ("pylibCZIrw", lambda f: write_czi(f, PLANES[None, :, None, None])),
    "lif": ("liffile", lambda f: f.write_bytes(leica({"one": PLANES}))),
    "zarr": ("zarr", lambda f: write_zarr(f, PLANES, "0.4", "zyx")),
    "avi": ("av", lambda f: video(f, "ffv1", "gray", PLANES.astype(np.uint8))),
    "mkv": ("av", lambda f: video(f, "ffv1", "gray", PLANES.astype(np.uint8))),
    "mp4": ("av", lambda f: video(f, "mpeg4", "yuv420p", PLANES.astype(np.uint8))),
}


@pytest.fixture
def write(tmp_path):
    """Writes the file of a kind, with four planes."""

    def made(kind: str):
        library, writer = KINDS[kind]
        pytest.importorskip(library)
        file = tmp_path / f"a.{kind}"
        writer(file)
        return file

    return made


def pages_of(file) -> list[np.ndarray | str]:
    """The pixels of each page, or the line that it raises."""
    found: list[np.ndarray | str] = []
    try:
        pages = open_pages(file)
    except ReadError as error:
        return [str(error)]
    for page in pages:
        try:
            found.append(page.read())
        except ReadError as error:
            found.append(str(error))
    return found


def faults(file, truth: list[np.ndarray]) -> list[str]:
    """The lines of a file; what it gives without one is right."""
    found = pages_of(file)
    for i, one in enumerate(found):
        if isinstance(one, str):
            assert one.startswith(str(file)) and "\n" not in one and len(one) < 400, one
        else:
            np.testing.assert_array_equal(one, truth[i])
    return [one for one in found if isinstance(one, str)]


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.99])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "zarr"])
def test_a_file_that_is_cut_short_says_so(write, kind, share):
    file = write(kind)
    truth, content = pages_of(file), file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    assert faults(file, truth)


@pytest.mark.parametrize("ending", ["tif", "png", "dat"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_content_and_not_the_ending_says_what_it_is(write, kind, ending):
    file = write(kind)
    file = file.rename(file.with_suffix(f".{ending}"))
    assert [page.shape for page in open_pages(file)] == [SHAPE] * 4


def replaced(file, old: bytes, new: bytes) -> None:
    content = file.read_bytes()
    assert old in content
    file.write_bytes(content.replace(old, new))


def of_codec(file, name: str) -> None:
    metadata = file / "0" / ".zarray"
    text = metadata.read_text()
    assert '"id":"blosc"' in text
    metadata.write_text(text.replace('"id":"blosc"', f'"id":"{name}"'))


def of_compression(file) -> None:
    """Of each part of a .czi: its number stands 18 bytes after the mark DV."""
    content = bytearray(file.read_bytes())
    at = content.find(b"DV")
    while at >= 0:
        content[at + 18 : at + 22] = (999).to_bytes(4, "little")
        at = content.find(b"DV", at + 22)
    file.write_bytes(content)


def in_words_of_leica(file, old: str, new: str) -> None:
    """In the text of a project, whose length the file tells: a needless part gives."""
    needless = "<Experiment/>"
    room = " " * (len(old) + len(needless) - len(new))
    replaced(file, old.encode("utf-16-le"), new.encode("utf-16-le"))
    replaced(file, needless.encode("utf-16-le"), room.encode("utf-16-le"))


def of_length_of_leica(file, old: int, new: int) -> None:
    name = "NumberOfElements"
    in_words_of_leica(file, f'{name}="{old}"', f'{name}="{new}"')


def nikon_of(**attributes):
    """Writes a file whose attributes say what is not so."""
    content = nikon(PLANES[:, None, None], ["DAPI"], **attributes)
    return lambda file: file.write_bytes(content)


UNREADABLE = {
    "nd2 compression": ("nd2", nikon_of(eCompression=0, dCompressionParam=1)),
    "nd2 huge": ("nd2", nikon_of(uiWidth=2**31 - 1, uiHeight=2**31 - 1)),
    "czi compression": ("czi", of_compression),
    "lif pixels": (
        "lif",
        lambda f: in_words_of_leica(f, 'Resolution="16"', 'Resolution="96"'),
    ),
    "lif huge": ("lif", lambda f: of_length_of_leica(f, SHAPE[1], 4294967290)),
    "zarr compression": ("zarr", lambda f: of_codec(f, "nonsense")),
    "zarr huge": (
        "zarr",
        lambda f: replaced(f / "0" / ".zarray", b"64,80]", b"6400000,8000000]"),
    ),
    "zarr level": ("zarr", lambda f: shutil.rmtree(f / "0")),
    "avi codec": ("avi", lambda f: replaced(f, b"FFV1", b"XXXX")),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_cannot_be_decoded_is_a_line(write, name):
    kind, spoil = UNREADABLE[name]
    file = write(kind)
    spoil(file)
    found = pages_of(file)
    assert found and all(isinstance(line, str) for line in found), name
    for line in found:
        assert line.startswith(str(file)) and "\n" not in line and len(line) < 400
        assert ("px, which need" in line) == ("huge" in name)
        assert line.endswith((": cut it into parts", "; copy or export it again"))


MANY = "4000000000"
ENDLESS = {
    "nd2": nikon_of(uiSequenceCount=int(MANY)),
    # The last of four times stands in the list of planes, and with the plane.
    "czi": lambda f: replaced(
        f, b"T\0\0\0\3\0\0\0", b"T\0\0\0" + (2**31 - 9).to_bytes(4, "little")
    ),
    "lif": lambda f: of_length_of_leica(f, 4, int(MANY)),
    "zarr": lambda f: replaced(f / "0" / ".zarray", b"[4,", f"[{MANY},".encode()),
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_planes_without_end_are_not_listed(write, kind):
    file = write(kind)
    ENDLESS[kind](file)
    (line,) = pages_of(file)
    assert line.startswith(str(file)) and "\n" not in line
    assert "lists more than 50,000 pages" in line


def without_a_time(file) -> None:
    file.unlink()
    write_czi(file, PLANES[None, :, None, None], leave=2)


def without_a_chunk(file) -> None:
    write_zarr(file, PLANES, "0.4", "zyx", chunks=(1, *SHAPE))
    (file / "0" / "2.0.0").unlink()


MISSING = {
    "nd2": lambda f: replaced(f, b"ImageDataSeq|2!", b"ImageDataSeq|9!"),
    "czi": without_a_time,
}


@pytest.mark.parametrize("kind", MISSING)
def test_a_plane_that_is_missing_is_named_and_the_others_are_read(write, kind):
    file = write(kind)
    MISSING[kind](file)
    (line,) = faults(file, list(PLANES))
    assert line.startswith(f"{file} page 2: the plane is missing")


def test_a_png_with_a_flipped_bit_is_one_line_and_no_more(tmp_path, caplog):
    file, ramp = tmp_path / "a.png", np.arange(64 * 80, dtype=np.uint16)
    Image.fromarray(ramp.reshape(SHAPE)).save(file)
    content = file.read_bytes()
    for at in range(60, len(content) - 12):  # to the end of the pixels
        file.write_bytes(content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :])
        assert faults(file, [ramp]), at
    assert not caplog.records


def test_what_zarr_does_not_store_is_read_as_black_and_said(write, tmp_path):
    file = write("zarr")
    without_a_chunk(file)
    pages = open_pages(file)
    assert faults(file, [*PLANES[:2], np.zeros(SHAPE), PLANES[3]]) == []
    (note,) = {note for page in pages for note in page.notes}
    assert note.startswith("z=2 is not stored, and read as 0")


BLACK = {
    "nd2": ("nd2", lambda f, a: f.write_bytes(nikon(a[:, None, None], ["DAPI"]))),
    "czi": ("pylibCZIrw", lambda f, a: write_czi(f, a[None, :, None, None])),
    "lif": ("liffile", lambda f, a: f.write_bytes(leica({"one": a}))),
    "zarr": ("zarr", lambda f, a: write_zarr(f, a, "0.5", "zyx")),
}


@pytest.mark.parametrize("kind", BLACK)
def test_a_plane_that_is_stored_and_black_is_an_image(tmp_path, kind):
    library, writer = BLACK[kind]
    pytest.importorskip(library)
    black = PLANES.copy()
    black[2] = 0
    writer(tmp_path / f"a.{kind}", black)
    pages = open_pages(tmp_path / f"a.{kind}")
    for page, plane in zip(pages, black, strict=True):
        np.testing.assert_array_equal(page.read(), plane)
        assert not page.notes


def without_lengths(file) -> None:
    head = 'Length="'.encode("utf-16-le")
    *parts, last = file.read_bytes().split(head)
    zeros = [p[: p.find(b'"')] for p in parts[1:] + [last]]
    for old in filter(None, zeros):
        replaced(file, head + old, head + "0".encode("utf-16-le") * (len(old) // 2))


UNCALIBRATED = {
    "nd2": lambda f: replaced(f, b'value="True"', b'value="no  "'),
    "lif": without_lengths,
    "zarr": lambda f: replaced(f / ".zattrs", b', "unit": "micrometer"', b""),
}


@pytest.mark.parametrize("kind", UNCALIBRATED)
def test_of_a_file_without_a_pixel_size_none_is_known(write, kind):
    file = write(kind)
    UNCALIBRATED[kind](file)
    assert [page.pixel_size for page in open_pages(file)] == [None] * 4
