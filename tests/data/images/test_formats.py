"""Files of microscopes and videos, written by other libraries, give their planes."""

import hashlib
import lzma
import struct
import sys
import threading
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import tensorstore
import tifffile

from beadseg.data.folder import scan
from beadseg.data.images import handles
from beadseg.data.images.formats import FORMATS
from beadseg.data.images.reading import ReadError, open_pages
from beadseg.inference.inputs import find_inputs
from beadseg.threads import ordered_map
from configs import base
from tests.data.images.written import leica, nikon, video, write_zarr

SHAPE = (64, 80)


def planes(*sizes: int) -> np.ndarray:
    """u16 [..., H, W], each plane of another brightness."""
    rng = np.random.default_rng(0)
    base = rng.integers(0, 200, (*sizes, *SHAPE)).astype(np.uint16)
    steps = np.arange(np.prod(sizes, dtype=int)).reshape(*sizes, 1, 1)
    return base + 300 * steps.astype(np.uint16)


@pytest.fixture
def czi(tmp_path):
    """A file of two scenes with two channels, two z and three times."""
    writer = pytest.importorskip("pylibCZIrw.czi")
    truth, file = planes(2, 3, 2, 2), tmp_path / "a.czi"
    with writer.create_czi(str(file)) as out:
        for scene, t, z, c in np.ndindex(2, 3, 2, 2):
            out.write(
                truth[scene, t, z, c][..., None],
                location=(100 * scene, 10),
                plane={"T": t, "Z": z, "C": c},
                scene=scene,
            )
        out.write_metadata(
            channel_names={0: "DAPI", 1: "GFP"}, scale_x=0.25e-6, scale_y=0.25e-6
        )
    return file, truth


def test_planes_of_zeiss(czi):
    file, truth = czi
    pages = open_pages(file, channel="gfp")
    assert [page.name for page in pages][:3] == [
        *("a_s0_t000_z00", "a_s0_t000_z01", "a_s0_t001_z00")
    ]
    assert dict(pages[7].place) == {"scene": "1", "t": 0, "z": 1, "channel": "GFP"}
    expected = truth[..., 1, :, :].reshape(-1, *SHAPE)
    for page, plane in zip(pages, expected, strict=True):
        assert page.shape == SHAPE and page.pixel_size == pytest.approx(0.25)
        np.testing.assert_array_equal(page.read(), plane)
    highest = open_pages(file, channel=0, stack="max")
    assert [page.name for page in highest][:2] == ["a_s0_t000", "a_s0_t001"]
    np.testing.assert_array_equal(highest[4].read(), truth[1, 1, :, 0].max(0))


def test_every_channel_of_a_page_is_known_and_read(czi):
    file, truth = czi
    for options, expected in (
        ({}, truth.reshape(-1, 2, *SHAPE)),
        ({"stack": "max"}, truth.max(2).reshape(-1, 2, *SHAPE)),
    ):
        pages = open_pages(file, channel="GFP", **options)
        assert [[c.name for c in p.channels] for p in pages] == [
            ["DAPI", "GFP"] for _ in expected
        ]
        for page, both in zip(pages, expected, strict=True):
            assert page.number == 1
            for number in range(2):
                np.testing.assert_array_equal(
                    page.of_channel(number).read(), both[number]
                )


def test_a_channel_that_is_not_there_is_said(czi):
    with pytest.raises(ReadError, match=r"no channel 'RFP' \(DAPI, GFP\)"):
        open_pages(czi[0], channel="RFP")
    with pytest.raises(ReadError, match="no channel 2 in 2"):
        open_pages(czi[0], channel=2)


def test_colours_of_zeiss(tmp_path):
    writer = pytest.importorskip("pylibCZIrw.czi")
    blue_first = np.zeros((*SHAPE, 3), np.uint8)
    blue_first[..., 2] = 200  # red
    with writer.create_czi(str(tmp_path / "a.czi")) as out:
        out.write(blue_first)
    (page,) = open_pages(tmp_path / "a.czi")
    assert page.name == "a" and page.kind == "colour" and page.pixel_size is None
    np.testing.assert_allclose(page.read(), 0.299 * 200, atol=0.01)
    (page,) = open_pages(tmp_path / "a.czi", channel=0)
    assert (page.read() == 200).all()


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr(tmp_path, version):
    pytest.importorskip("zarr")
    truth, folder = planes(2, 2, 3), tmp_path / "in" / "a.ome.zarr"
    write_zarr(folder, truth, version)
    pages = open_pages(folder, channel="GFP")
    assert pages[4].name == "a_t001_z01" and pages[4].pixel_size == pytest.approx(0.5)
    for page, plane in zip(pages, truth[:, 1].reshape(-1, *SHAPE), strict=True):
        np.testing.assert_array_equal(page.read(), plane)
    page = open_pages(folder, level=1)[2]
    np.testing.assert_array_equal(page.read(), truth[0, 0, 2, ::2, ::2])
    assert page.pixel_size == pytest.approx(1.0)
    with pytest.raises(ReadError, match="it has no level 2: give 0 to 1"):
        open_pages(folder, level=2)
    for argument in (folder, folder.parent):
        found = find_inputs([str(argument)], "DAPI", "pages", 2)
        assert [image.name for image in found.images] == [
            *("a_t000_z00", "a_t000_z02", "a_t001_z01")
        ]
        assert found.problems == []


def test_ome_zarr_in_a_data_set(tmp_path):
    pytest.importorskip("zarr")
    data = base.get_config().data
    data.dir, data.cache_dir = str(tmp_path / "set"), str(tmp_path / "cache")
    folder, labels = tmp_path / "set" / "images" / "a.ome.zarr", np.zeros(SHAPE, "u1")
    labels[5:12, 20:27] = 1
    write_zarr(folder, planes(), "0.5", "yx")
    (tmp_path / "set" / "masks").mkdir()
    tifffile.imwrite(tmp_path / "set" / "masks" / "a.tif", labels)
    (sample,) = scan(data).samples
    assert (sample.name, sample.beads, sample.pixel_size) == ("a", 1, 0.5)
    tensorstore.open(
        {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(folder / "0")}}
    ).result().write(planes() + np.uint16(9)).result()
    assert scan(data).samples[0].digest != sample.digest


@pytest.mark.parametrize(
    ("name", "codec", "pixels", "error"),
    [
        ("a.avi", "ffv1", "gray", 0),
        ("a.mkv", "ffv1", "gray", 0),
        ("a.avi", "mjpeg", "yuvj420p", 6),
        ("a.mp4", "mpeg4", "yuv420p", 6),
        ("a.mp4", "libx264", "yuv420p", 6),
    ],
)
def test_frames_of_videos_in_any_order(tmp_path, name, codec, pixels, error):
    pytest.importorskip("av")
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    frames = np.stack([60 + 2 * i + (x + y) // 4 for i in range(30)]).astype(np.uint8)
    video(tmp_path / name, codec, pixels, frames)
    pages = open_pages(tmp_path / name)
    assert len(pages) == 30 and pages[7].name == "a_t007"
    for number in [*range(30), 3, 29, 0, 1, 2, 15]:
        found = pages[number].read().astype(float)
        assert abs(found - frames[number]).mean() <= error, number


def uneven(file, codec: str, pixels: str, frames: np.ndarray) -> None:
    """A video whose frames come after times of any length, in ms."""
    import av

    milliseconds = Fraction(1, 1000)
    times = np.cumsum(np.random.default_rng(0).integers(10, 400, len(frames)))
    with av.open(str(file), "w") as container:
        stream = container.add_stream(codec, rate=30)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:], pixels
        stream.codec_context.time_base = milliseconds
        for array, time in zip(frames, times - times[0], strict=True):
            frame = av.VideoFrame.from_ndarray(array, format="gray")
            frame = frame.reformat(format=pixels)
            frame.pts, frame.time_base = int(time), milliseconds
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def brighter(count: int) -> np.ndarray:
    """u8 [count, H, W], each frame brighter than the last."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return np.stack([60 + 4 * i + x // 2 + y // 8 for i in range(count)]).astype("u1")


@pytest.mark.parametrize(
    ("name", "codec", "pixels"),
    [
        ("a.mkv", "ffv1", "gray"),
        ("a.avi", "ffv1", "gray"),  # with frames that were dropped
        ("a.mp4", "libx264", "yuv420p"),
    ],
)
def test_frames_of_videos_of_uneven_rate(tmp_path, name, codec, pixels):
    pytest.importorskip("av")
    frames = brighter(20)
    uneven(tmp_path / name, codec, pixels, frames)
    pages = open_pages(tmp_path / name)
    assert len(pages) == 20
    for number in (*range(20), 13, 0, 19, 5):
        found = pages[number].read().astype(float)
        assert abs(found - frames[number]).mean() < 2, number


@pytest.mark.parametrize(
    ("quarters", "turn"),
    [(-1, (0, 1, -1, 0)), (1, (0, -1, 1, 0)), (2, (-1, 0, 0, -1))],
)
def test_a_video_is_turned_as_its_camera_was(tmp_path, quarters, turn):
    pytest.importorskip("av")
    file = tmp_path / "a.mp4"
    video(file, "mpeg4", "yuv420p", brighter(4))
    upright = [page.read() for page in open_pages(file)]
    content = bytearray(file.read_bytes())
    level = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    at = content.index(level, content.index(b"tkhd"))
    a, b, c, d = (value << 16 for value in turn)
    content[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    file.write_bytes(content)
    for page, frame in zip(open_pages(file), upright, strict=True):
        assert page.shape == np.rot90(frame, quarters).shape
        np.testing.assert_array_equal(page.read(), np.rot90(frame, quarters))


def test_every_nth_frame_of_a_video(tmp_path):
    pytest.importorskip("av")
    video(tmp_path / "a.avi", "ffv1", "gray", np.zeros((30, *SHAPE), np.uint8))
    found = find_inputs([str(tmp_path)], every=12)
    assert [i.name for i in found.images] == ["a_t000", "a_t012", "a_t024"]


def test_a_project_of_leica(tmp_path):
    """Written by hand after the format's description: no library writes it."""
    pytest.importorskip("liffile")
    truth = planes(3)
    file = tmp_path / "a.lif"
    file.write_bytes(leica({"one": truth, "two": truth[:1] + np.uint16(7)}))
    pages = open_pages(file)
    assert [page.name for page in pages] == ["a_s0_z00", "a_s0_z01", "a_s0_z02", "a_s1"]
    assert dict(pages[3].place)["scene"] == "two"
    assert pages[0].pixel_size == pytest.approx(0.5)
    for page, plane in zip(pages, [*truth, truth[0] + 7], strict=True):
        np.testing.assert_array_equal(page.read(), plane)


@pytest.mark.parametrize(
    ("dyes", "names"),
    [
        (("DAPI", "Alexa 488"), ["DAPI", "Alexa 488"]),
        (("DAPI", ""), ["DAPI", "Green"]),
        (("", ""), ["Red", "Green"]),
    ],
)
def test_channels_of_leica_have_the_names_of_their_dyes(tmp_path, dyes, names):
    pytest.importorskip("liffile")
    truth, file = planes(2, 3), tmp_path / "a.lif"
    file.write_bytes(leica({"one": truth}, dyes))
    pages = open_pages(file, channel=names[1].lower())
    assert [c.name for c in pages[0].channels] == names
    assert dict(pages[2].place) == {"z": 2, "channel": names[1]}
    for page, plane in zip(pages, truth[1], strict=True):
        np.testing.assert_array_equal(page.read(), plane)


NIS_ELEMENTS = Path(__file__).with_name("samples") / "cluster.nd2.xz"


@pytest.fixture
def of_nis_elements(tmp_path):
    """A file of a microscope; beside it in samples/ stands from where it is."""
    file = tmp_path / "cluster.nd2"
    file.write_bytes(lzma.decompress(NIS_ELEMENTS.read_bytes()))
    return file


@pytest.mark.parametrize(
    ("channel", "name", "total", "digest"),
    [
        (0, "5-FAM/pH 9.0", 3814184, "81c3b18366a242ea95dc8120a9e4a0bc"),
        (1, "FM 4-64/2% CHAPS", 1018707, "2187e4478c13573475cdfcb7a26ac9b4"),
    ],
)
def test_a_file_of_nis_elements(of_nis_elements, channel, name, total, digest):
    """The numbers are those of Nikon's own library (ND2 SDK), the digest (SHA-256) of
    its pixels."""
    pytest.importorskip("nd2")
    pages = open_pages(of_nis_elements, channel=name)
    assert len(pages) == 30 and {page.shape for page in pages} == {(31, 38)}
    assert [page.number for page in pages] == [channel] * 30
    assert pages[29].name == "cluster_t002_z09"
    assert dict(pages[13].place) == {"t": 1, "z": 3, "channel": name}
    assert {page.pixel_size for page in pages} == {0.16780898323268245}
    pixels = np.stack([page.read() for page in pages])
    assert pixels.sum() == total
    found = hashlib.sha256(pixels.astype("<u2").tobytes()).hexdigest()
    assert found.startswith(digest)


def test_its_twin_that_another_program_writes_as_ome_tiff_is_the_same(of_nis_elements):
    nd2, _ = pytest.importorskip("nd2"), pytest.importorskip("ome_types")
    twin = of_nis_elements.with_suffix(".ome.tif")
    with nd2.ND2File(of_nis_elements) as opened:
        opened.write_tiff(twin)
    for channel in range(2):
        both = (open_pages(f, channel=channel) for f in (of_nis_elements, twin))
        for page, other in zip(*both, strict=True):
            np.testing.assert_array_equal(page.read(), other.read())
            assert page.place == other.place and page.pixel_size == other.pixel_size


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_cut_file_of_nis_elements_gives_right_planes_or_lines(of_nis_elements, share):
    pytest.importorskip("nd2")
    truth = [page.read() for page in open_pages(of_nis_elements)]
    content = of_nis_elements.read_bytes()
    of_nis_elements.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ReadError) as error:
        for page, plane in zip(open_pages(of_nis_elements), truth, strict=True):
            np.testing.assert_array_equal(page.read(), plane)
    assert str(of_nis_elements) in str(error.value) and "\n" not in str(error.value)


def test_planes_of_nikon(tmp_path):
    """Of any count; written by hand after what the library reads."""
    pytest.importorskip("nd2")
    truth, file = planes(2, 3, 2), tmp_path / "a.nd2"
    file.write_bytes(nikon(truth, ["DAPI", "GFP"]))
    pages = open_pages(file, channel="GFP")
    assert [page.name for page in pages][2:4] == ["a_t000_z02", "a_t001_z00"]
    assert dict(pages[4].place) == {"t": 1, "z": 1, "channel": "GFP"}
    for page, plane in zip(pages, truth[:, :, 1].reshape(-1, *SHAPE), strict=True):
        assert page.shape == SHAPE and page.pixel_size == pytest.approx(0.25)
        np.testing.assert_array_equal(page.read(), plane)
    (page,) = open_pages(_one(tmp_path / "b.nd2", truth[:1, :1, :1]))
    np.testing.assert_array_equal(page.read(), truth[0, 0, 0])


def _one(file, array):
    file.write_bytes(nikon(array, ["DAPI"]))
    return file


BEGINS = {
    "nd2": b"\xda\xce\xbe\x0a" + bytes(64),
    "czi": b"ZISRAWFILE" + bytes(64),
    "lif": b"\x70\0\0\0" + bytes(64),
    "mp4": bytes(4) + b"ftypisom" + bytes(64),
    "avi": b"RIFF\0\0\0\0AVI " + bytes(64),
}


@pytest.mark.parametrize("ending", BEGINS)
def test_a_damaged_file_is_one_line(tmp_path, ending):
    file = tmp_path / f"a.{ending}"
    file.write_bytes(BEGINS[ending])
    with pytest.raises(ReadError) as error:
        open_pages(file)
    assert str(file) in str(error.value) and "\n" not in str(error.value)


def test_a_file_cut_short_is_one_line(czi):
    file, _ = czi
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 3])
    with pytest.raises(ReadError) as error:
        open_pages(file)[-1].read()
    assert "a.czi" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("ending", BEGINS)
def test_without_its_library_a_line_names_it(tmp_path, monkeypatch, ending):
    (row,) = [row for row in FORMATS.values() if f".{ending}" in row.endings]
    monkeypatch.setitem(sys.modules, row.library, None)
    file = tmp_path / f"a.{ending}"
    file.write_bytes(BEGINS[ending])
    with pytest.raises(ReadError) as error:
        open_pages(file)
    words = str(error.value)
    assert f"needs {row.library}: pip install 'beadseg[formats]'" in words
    assert "\n" not in words


def test_a_folder_without_images_of_zarr_is_one_line(tmp_path):
    zarr = pytest.importorskip("zarr")
    zarr.open_group(str(tmp_path / "a.zarr"), mode="w")
    with pytest.raises(ReadError, match="no image of OME-Zarr"):
        open_pages(tmp_path / "a.zarr")


def test_a_file_is_opened_once_a_thread_and_closed(tmp_path):
    count = {"opened": 0, "closed": 0}

    def load(path):
        count["opened"] += 1
        return object(), lambda: count.update(closed=count["closed"] + 1)

    files = [tmp_path / "a", tmp_path / "b"]
    for file in files:
        file.write_text("x")
    first = handles.opened(files[0], load)
    assert handles.opened(files[0], load) is first
    beside = threading.Thread(target=handles.opened, args=(files[0], load))
    beside.start()
    beside.join()
    assert count == {"opened": 2, "closed": 1}
    handles.opened(files[1], load)
    assert count == {"opened": 3, "closed": 2}
    files[1].write_text("longer")
    handles.opened(files[1], load)
    handles.close()
    assert count == {"opened": 4, "closed": 4}


def test_planes_of_two_files_in_turn_on_many_threads(tmp_path, czi):
    pytest.importorskip("nd2")
    file, truth = tmp_path / "a.nd2", planes(4, 3, 2)
    file.write_bytes(nikon(truth, ["DAPI", "GFP"]))
    pages = [*open_pages(file), *open_pages(czi[0])]
    expected = [*truth[:, :, 0].reshape(-1, *SHAPE)]
    expected += [*czi[1][..., 0, :, :].reshape(-1, *SHAPE)]
    order = np.random.default_rng(0).permutation(4 * len(pages)) % len(pages)
    for i, array in zip(
        order, ordered_map(lambda i: pages[i].read(), order), strict=True
    ):
        np.testing.assert_array_equal(array, expected[i])
