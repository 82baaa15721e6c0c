"""What is read equals what independent writers wrote."""

import pickle
import struct

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from beadseg.data.images.reading import PageRef, ReadError, check_image, open_pages
from beadseg.data.images.stacks import Stack, names_of_channels, page_ends, place_of
from tests.real_data import SETS

DTYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8"]


def picture(dtype="u1", shape=(37, 53)) -> np.ndarray:
    rng = np.random.default_rng(7)
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return rng.normal(0, 100, shape).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, shape, dtype, endpoint=True)


def only(path, **options) -> PageRef:
    (page,) = open_pages(path, **options)
    return page


def tiff_bytes(array, order="<", big=False, photometric=1) -> bytes:
    """A TIFF of one strip, assembled by hand from the specification."""
    height, width = array.shape
    data = array.astype(array.dtype.newbyteorder(order)).tobytes()
    kind = {"u": 1, "i": 2, "f": 3}[array.dtype.kind]
    start = 16 if big else 8
    values = {
        256: width,
        257: height,
        258: array.dtype.itemsize * 8,
        259: 1,
        262: photometric,
        273: start,
        277: 1,
        278: height,
        279: len(data),
        339: kind,
    }
    pad = len(data) % 2
    ifd = start + len(data) + pad
    number, head, entry = ("Q", "HHQ", "HHQQ") if big else ("H", "I", "HHII")
    first = (43, 8, 0, ifd) if big else (42, ifd)
    body = struct.pack(f"{order}H{head}", *first) + data + b"\0" * pad
    body += struct.pack(order + number, len(values))
    for tag, value in values.items():
        body += struct.pack(order + entry, tag, 16 if big else 4, 1, value)
    return (b"II" if order == "<" else b"MM") + body + b"\0" * (8 if big else 4)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("big", [False, True])
def test_handmade_tiff_of_either_byte_order_is_read(tmp_path, dtype, order, big):
    truth = picture(dtype)
    (tmp_path / "a.tif").write_bytes(tiff_bytes(truth, order, big))
    read = only(tmp_path / "a.tif").read()
    np.testing.assert_array_equal(read, truth)
    assert read.dtype == truth.dtype and read.dtype.isnative


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("compression", [None, "lzw", "zlib", "zstd", "packbits"])
@pytest.mark.parametrize("tile", [None, (16, 32)])
def test_every_compression_keeps_the_numbers(tmp_path, dtype, compression, tile):
    truth = picture(dtype)
    layout = {"rowsperstrip": 8} if tile is None else {"tile": tile}
    predictor = compression in ("lzw", "zlib", "zstd") or None
    tifffile.imwrite(
        tmp_path / "a.tif",
        truth,
        byteorder=">",
        compression=compression,
        predictor=predictor,
        **layout,
    )
    np.testing.assert_array_equal(only(tmp_path / "a.tif").read(), truth)


@pytest.mark.parametrize(
    ("mode", "compression"),
    [
        ("L", None),
        ("L", "tiff_lzw"),
        ("L", "tiff_adobe_deflate"),
        ("L", "packbits"),
        ("I;16", "tiff_lzw"),
        ("I", "raw"),
        ("F", "tiff_lzw"),
    ],
)
def test_tiff_written_by_libtiff_is_read(tmp_path, mode, compression):
    dtype = {"L": "u1", "I;16": "u2", "I": "i4", "F": "f4"}[mode]
    truth = picture(dtype)
    Image.fromarray(truth).save(tmp_path / "a.tif", compression=compression)
    np.testing.assert_array_equal(only(tmp_path / "a.tif").read(), truth)


@pytest.mark.parametrize("compression", [None, "group4", "packbits"])
def test_one_bit_tiff_shows_zeros_and_ones(tmp_path, compression):
    truth = picture() > 128
    Image.fromarray(truth).save(tmp_path / "a.tif", compression=compression)
    read = only(tmp_path / "a.tif").read()
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, truth)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_jpeg_and_jpeg_in_tiff_agree_with_pillow(tmp_path, mode):
    y, x = np.mgrid[:48, :64]
    smooth = np.stack([2 * x, 3 * y, x + y], -1).astype(np.uint8)
    picture = Image.fromarray(smooth).convert(mode)
    for name, options in (("a.jpg", {}), ("a.tif", {"compression": "jpeg"})):
        picture.save(tmp_path / name, quality=95, **options)
        with Image.open(tmp_path / name) as image:
            grey = np.asarray(image.convert("L"), float)
        read = only(tmp_path / name).read()
        assert np.abs(read - grey).max() < 2


def test_luminance_is_that_of_bt601(tmp_path):
    colours = picture(shape=(20, 30, 3))
    Image.fromarray(colours).save(tmp_path / "a.png")
    Image.fromarray(colours).save(tmp_path / "b.tif")
    tifffile.imwrite(
        tmp_path / "c.tif",
        np.moveaxis(colours, -1, 0),
        photometric="rgb",
        planarconfig="separate",
    )
    alpha = np.concatenate([colours, picture(shape=(20, 30, 1))], -1)
    Image.fromarray(alpha).save(tmp_path / "d.png")
    Image.fromarray(alpha).save(tmp_path / "e.tif")
    expected = colours @ np.array([0.299, 0.587, 0.114])
    for path in sorted(tmp_path.iterdir()):
        page = only(path)
        assert page.shape == (20, 30)
        assert page.read().dtype == np.float32
        np.testing.assert_allclose(page.read(), expected, atol=1e-3)
        green = only(path, channel=1)
        np.testing.assert_array_equal(green.read(), colours[..., 1])


@pytest.mark.parametrize("ending", ["png", "tif"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_grey_saved_in_colour_keeps_its_type(tmp_path, mode, ending):
    truth = picture()
    if (mode, ending) == ("LA", "tif"):
        both = np.stack([truth, np.full_like(truth, 255)], -1)
        tifffile.imwrite(
            tmp_path / "a.tif",
            both,
            photometric="minisblack",
            planarconfig="contig",
            extrasamples=["unassalpha"],
        )
    else:
        Image.fromarray(truth).convert(mode).save(tmp_path / f"a.{ending}")
    page = only(tmp_path / f"a.{ending}")
    np.testing.assert_array_equal(page.read(), truth)
    assert page.read().dtype == np.uint8 and page.notes == ()


@pytest.mark.parametrize("shape", [(37, 53), (37, 53, 2), (37, 53, 3), (37, 53, 4)])
def test_sixteen_bit_png_keeps_sixteen_bits(tmp_path, shape):
    truth = picture("u2", shape[:2])
    stacked = np.stack([truth] * shape[2], -1) if len(shape) == 3 else truth
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(stacked))
    page = only(tmp_path / "a.png")
    np.testing.assert_array_equal(page.read(), truth)
    assert page.read().dtype == np.uint16


@pytest.mark.parametrize("ending", ["png", "tif", "bmp"])
def test_palette_is_colour_in_images_and_ids_in_masks(tmp_path, ending):
    indices = picture() % 4
    image = Image.fromarray(indices, mode=None).convert("P")
    table = np.array([[0, 0, 0], [250, 10, 10], [10, 200, 90], [0, 0, 255]], np.uint8)
    image.putpalette(table.tobytes())
    image.save(tmp_path / f"a.{ending}")
    page = only(tmp_path / f"a.{ending}")
    expected = table[indices] @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(page.read(), expected, atol=1e-3)
    np.testing.assert_array_equal(page.read_stored(), indices)


def test_grey_palette_in_any_order_gives_the_greys(tmp_path):
    image = Image.fromarray((picture() > 99).astype(np.uint8)).convert("P")
    image.putpalette([255] * 3 + [0] * 3)
    image.save(tmp_path / "a.png")
    truth = np.where(picture() > 99, 0, 255)
    np.testing.assert_array_equal(only(tmp_path / "a.png").read(), truth)
    np.testing.assert_array_equal(only(tmp_path / "a.png").read_stored(), truth)


@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_min_is_white_is_turned_over(tmp_path, dtype):
    truth = picture(dtype)
    (tmp_path / "a.tif").write_bytes(tiff_bytes(truth, photometric=0))
    high = np.iinfo(dtype).max
    np.testing.assert_array_equal(only(tmp_path / "a.tif").read(), high - truth)
    if dtype == "u1":
        with Image.open(tmp_path / "a.tif") as image:
            seen = np.asarray(image)
        np.testing.assert_array_equal(only(tmp_path / "a.tif").read(), seen)


@pytest.mark.parametrize("options", [{"imagej": True}, {}])
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4", "?"])
def test_an_inverting_lut_changes_the_look_and_not_the_numbers(
    tmp_path, dtype, options
):
    truth = picture("u1") > 99 if dtype == "?" else picture("u1").astype(dtype)
    if dtype == "?" and options:
        truth = truth.astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", truth, photometric="miniswhite", **options)
    page = only(tmp_path / "a.tif")
    np.testing.assert_array_equal(page.read(), truth)
    np.testing.assert_array_equal(page.read_stored(), truth)


@pytest.mark.parametrize("mode", ["P", "1"])
@pytest.mark.parametrize("width", [8, 13, 32])
def test_pictures_of_two_colours_are_read(tmp_path, mode, width):
    truth = (picture()[:, :width] > 99).astype(np.uint8)
    if mode == "1":
        Image.fromarray(truth.astype(bool)).save(tmp_path / "a.tif")
        expected = truth
    else:  # the palette of one bit is beyond Pillow
        palette = np.zeros((3, 2), np.uint16)
        palette[:, 0] = 50 * 257
        palette[:, 1] = 200 * 257
        packed = np.packbits(truth, axis=1)
        tags = {
            256: (3, width),
            257: (3, len(truth)),
            258: (3, 1),
            259: (3, 1),
            262: (3, 3),
            277: (3, 1),
            278: (3, len(truth)),
        }
        entries = [(k, t, 1, struct.pack("<I", v)) for k, (t, v) in tags.items()]
        start = 8 + 2 + 12 * (len(entries) + 3) + 4
        entries.append((273, 4, 1, struct.pack("<I", start)))
        entries.append((279, 4, 1, struct.pack("<I", packed.nbytes)))
        entries.append((320, 3, 6, struct.pack("<I", start + packed.nbytes)))
        directory = b"".join(
            struct.pack("<HHI", *e[:3]) + e[3] for e in sorted(entries)
        )
        content = b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + b"\0" * 4
        (tmp_path / "a.tif").write_bytes(content + packed.tobytes() + palette.tobytes())
        expected = np.where(truth, 200, 50)
    page = only(tmp_path / "a.tif")
    np.testing.assert_array_equal(page.read(), expected)
    np.testing.assert_array_equal(page.read_stored(), expected)


def test_pages_of_different_sizes_stay_in_file_order(tmp_path):
    pages = [picture(shape=s) for s in [(64, 64), (32, 32), (64, 64), (16, 40)]]
    first, *rest = (Image.fromarray(p) for p in pages)
    first.save(tmp_path / "a.tif", save_all=True, append_images=rest)
    found = open_pages(tmp_path / "a.tif")
    assert [p.name for p in found] == [f"a_p{i:03d}" for i in range(4)]
    for page, truth in zip(found, pages, strict=True):
        assert page.shape == truth.shape
        np.testing.assert_array_equal(page.read(), truth)
        assert "(64 x 64, 32 x 32, 16 x 40 px)" in page.notes[-1]


@pytest.mark.parametrize("count", [2, 9, 12])
@pytest.mark.parametrize("stack", ["pages", "max", "mean"])
def test_unnamed_pages_are_images_or_are_projected(tmp_path, count, stack):
    pages = picture("u2", (count, 20, 24))
    first, *rest = (Image.fromarray(p) for p in pages)
    first.save(tmp_path / "a.tif", save_all=True, append_images=rest)
    found = open_pages(tmp_path / "a.tif", stack=stack)
    reduced = {"pages": list(pages), "max": [pages.max(0)], "mean": [pages.mean(0)]}
    assert len(found) == len(reduced[stack])
    for page, truth in zip(found, reduced[stack], strict=True):
        np.testing.assert_allclose(page.read(), truth, rtol=1e-6)


@pytest.mark.parametrize(
    ("ome", "compression"), [(False, None), (True, None), (True, "zlib")]
)
def test_hyperstack_axes_come_from_the_metadata(tmp_path, ome, compression):
    truth = picture("u2", (2, 5, 3, 20, 24))  # T, Z, C, Y, X
    path = tmp_path / ("a.ome.tif" if ome else "a.tif")
    tifffile.imwrite(
        path,
        truth,
        imagej=not ome,
        ome=ome,
        metadata={"axes": "TZCYX"},
        compression=compression,
    )
    pages = open_pages(path)
    places = [(t, z) for t in range(2) for z in range(5)]
    assert [p.name for p in pages] == [f"a_p{i:03d}" for i in range(10)]
    assert [dict(p.place) for p in pages] == [{"t": t, "z": z} for t, z in places]
    assert pages[0].notes == ("3 channels, using channel 0 (choose with --channel)",)
    for page, plane in zip(pages, truth[:, :, 0].reshape(10, 20, 24), strict=True):
        np.testing.assert_array_equal(page.read(), plane)
    projected = open_pages(path, channel=2, stack="max")
    assert [p.name for p in projected] == ["a_p000", "a_p001"]
    assert projected[0].notes == ()
    for page, plane in zip(projected, truth[:, :, 2].max(1), strict=True):
        np.testing.assert_array_equal(page.read(), plane)
    with pytest.raises(ReadError, match=r"a\S*\.tif: there is no channel 3 in 3"):
        open_pages(path, channel=3)


@pytest.mark.parametrize(
    ("names", "scenes"),
    [(("well A", "well B"), ["well A", "well B"]), (("x", "x"), ["0", "1"])],
)
def test_images_of_ome_are_scenes(tmp_path, names, scenes):
    truth, file = picture("u2", (2, 3, 20, 24)), tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(file, ome=True) as out:
        for name, stack in zip(names, truth, strict=True):
            metadata = {"axes": "ZYX", "Name": name}
            out.write(stack, metadata=metadata, photometric="minisblack")
    pages = open_pages(file)
    assert [p.name for p in pages][2:4] == ["a_p002", "a_p003"]
    assert [dict(p.place)["scene"] for p in pages] == [s for s in scenes for _ in "zzz"]
    for page, plane in zip(pages, truth.reshape(-1, 20, 24), strict=True):
        np.testing.assert_array_equal(page.read(), plane)


def test_positions_of_the_stage_are_scenes():
    part = Stack("TRZ", (1, 2, 2), [], (8, 8), "grey", 1)
    assert dict(place_of(part, (0, 1, 0), "pages")) == {"scene": "1", "z": 0}


def test_a_page_of_no_place_changes_no_name():
    assert page_ends([{"z": 0}, {"z": 1}, {}]) == ["_z00", "_z01", "_p002"]
    assert page_ends([{"z": 0}, {"z": 0}, {}]) == ["_p000", "_p001", "_p002"]


def test_channels_of_ome_have_names(tmp_path):
    truth, file = picture("u2", (2, 3, 20, 24)), tmp_path / "a.ome.tif"
    metadata = {"axes": "ZCYX", "Channel": {"Name": ["DAPI", "GFP", "Cy5"]}}
    tifffile.imwrite(file, truth, metadata=metadata, photometric="minisblack")
    for page, plane in zip(open_pages(file, channel="gfp"), truth[:, 1], strict=True):
        np.testing.assert_array_equal(page.read(), plane)
    with pytest.raises(ReadError, match=r"no channel 'RFP' \(DAPI, GFP, Cy5\)"):
        open_pages(file, channel="RFP")


@pytest.mark.parametrize(
    ("shape", "options", "names", "default"),
    [
        ((20, 24, 3), {"photometric": "rgb"}, ["red", "green", "blue"], None),
        ((20, 24, 4), {"planarconfig": 1}, [f"channel_{i}" for i in range(4)], 0),
        ((2, 20, 24), {"imagej": True, "metadata": {"axes": "CYX"}}, None, 0),
        ((20, 24), {}, [], None),
    ],
)
def test_channels_of_a_page_have_names_and_are_read(
    tmp_path, shape, options, names, default
):
    truth, file = picture("u1", shape), tmp_path / "a.tif"
    tifffile.imwrite(file, truth, **{"photometric": "minisblack"} | options)
    (page,) = open_pages(file)
    names = ["channel_0", "channel_1"] if names is None else names
    assert [c.name for c in page.channels] == names and page.number == default
    for number, _ in enumerate(names):
        found = page.of_channel(number).read()
        expected = truth[number] if len(names) == 2 else truth[..., number]
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (["DAPI", " Cy 5\n"], ["DAPI", "Cy 5"]),
        (["GFP", "GFP"], ["GFP_0", "GFP_1"]),
        (["", "GFP"], ["channel_0", "GFP"]),
        (["one"], ["channel_0", "channel_1"]),
    ],
)
def test_no_two_channels_have_one_name(given, names):
    assert names_of_channels(given, 2) == names


def test_of_a_pyramid_only_the_full_resolution_counts(tmp_path):
    truth = picture("u2", (3, 64, 96))
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as writer:
        metadata = {"axes": "ZYX"}
        writer.write(truth, subifds=2, metadata=metadata, tile=(16, 16))
        for step in (2, 4):
            writer.write(truth[:, ::step, ::step], subfiletype=1, tile=(16, 16))
    with tifffile.TiffWriter(tmp_path / "b.tif") as writer:
        for step in (1, 2, 4):
            writer.write(
                truth[0, ::step, ::step], subfiletype=int(step > 1), metadata=None
            )
    assert [p.shape for p in open_pages(tmp_path / "a.ome.tif")] == [(64, 96)] * 3
    np.testing.assert_array_equal(
        open_pages(tmp_path / "a.ome.tif")[1].read(), truth[1]
    )
    np.testing.assert_array_equal(only(tmp_path / "b.tif").read(), truth[0])


def test_several_images_in_one_ome_file_are_pages(tmp_path):
    images = [picture("u1", (20, 24)), picture("u2", (2, 30, 16))]
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as writer:
        for image in images:
            writer.write(image, metadata={"axes": "ZYX"[-image.ndim :]})
    read = [p.read() for p in open_pages(tmp_path / "a.ome.tif")]
    for found, truth in zip(read, [images[0], *images[1]], strict=True):
        np.testing.assert_array_equal(found, truth)


def test_each_file_of_a_set_gives_its_own_pages(tmp_path):
    truth = picture("u1", (2, 20, 24))
    xml = tifffile.OmeXml()
    xml.addimage(np.uint8, truth.shape, (2, 1, 1, 20, 24, 1), axes="ZYX")
    tiff_data = "".join(
        f'<TiffData FirstZ="{i}" IFD="0" PlaneCount="1">'
        f'<UUID FileName="{name}.ome.tif">urn:uuid:{i}</UUID></TiffData>'
        for i, name in enumerate("ab")
    )
    head, tail = xml.tostring().split("<TiffData", 1)
    tail = tail.split("/>", 1)[1] if "/>" in tail else tail
    for i, name in enumerate("ab"):
        text = (head + tiff_data + tail).replace("<OME ", f'<OME UUID="urn:uuid:{i}" ')
        tifffile.imwrite(
            tmp_path / f"{name}.ome.tif", truth[i], description=text, metadata=None
        )
    for i, name in enumerate("ab"):
        page = only(tmp_path / f"{name}.ome.tif")
        np.testing.assert_array_equal(page.read(), truth[i])


def test_samples_of_unknown_meaning_are_channels(tmp_path):
    truth = picture("u2", (20, 24, 3))
    tifffile.imwrite(
        tmp_path / "a.tif", truth, photometric="minisblack", planarconfig="contig"
    )
    page = only(tmp_path / "a.tif")
    np.testing.assert_array_equal(page.read(), truth[..., 0])
    assert page.notes[0].startswith("3 channels, using channel 0")
    read = only(tmp_path / "a.tif", channel=2).read()
    np.testing.assert_array_equal(read, truth[..., 2])


def test_content_and_not_the_ending_says_what_a_file_is(tmp_path):
    truth = picture()
    (tmp_path / "a.tif").write_bytes(imagecodecs.png_encode(truth))
    (tmp_path / "b.png").write_bytes(tiff_bytes(truth))
    for name in ("a.tif", "b.png"):
        np.testing.assert_array_equal(only(tmp_path / name).read(), truth)


def ndpi_bytes(array) -> bytes:
    """A slide of Hamamatsu: the offset of a directory has 8 bytes.

    The upper 4 bytes of the values of all tags follow the directory.
    """
    height, width = array.shape
    values = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 271: 0, 273: 12}
    values |= {277: 1, 278: height, 279: array.size, 65420: 1}
    body = struct.pack("<2sHQ", b"II", 42, 12 + array.size) + array.tobytes()
    body += struct.pack("<H", len(values))
    for tag, value in values.items():
        kind, value = (2, 0) if tag == 271 else (4, value)
        body += struct.pack("<HHII", tag, kind, 1, value)
    return body + b"\0" * (8 + 4 * len(values))


@pytest.mark.parametrize("dark", [False, True])
def test_a_tiff_that_is_named_as_a_slide_is_read_as_any(tmp_path, dark):
    truth = np.stack([picture(), picture()[::-1]])
    truth[0, 0] = 0 if dark else 255  # which may look like the end of an offset
    options = {"resolution": (2e4, 2e4), "resolutionunit": "CENTIMETER"}
    file = tmp_path / "a.ndpi"
    tifffile.imwrite(
        tmp_path / "a.tif", truth, photometric="minisblack", metadata=None, **options
    )
    (tmp_path / "a.tif").rename(file)
    pages = open_pages(file)
    np.testing.assert_array_equal([page.read() for page in pages], truth)
    assert [page.pixel_size for page in pages] == [0.5, 0.5]
    handmade = truth[0]
    file.write_bytes(tiff_bytes(handmade))
    np.testing.assert_array_equal(only(file).read(), handmade)


def test_a_slide_of_hamamatsu_is_read_by_its_own_offsets(tmp_path):
    truth = picture()
    (tmp_path / "a.ndpi").write_bytes(ndpi_bytes(truth))
    with tifffile.TiffFile(tmp_path / "a.ndpi") as file:
        assert file.is_ndpi and file.tiff.is_ndpi
    np.testing.assert_array_equal(only(tmp_path / "a.ndpi").read(), truth)


def test_a_page_travels_to_another_process(tmp_path):
    (tmp_path / "a.tif").write_bytes(tiff_bytes(picture("f4")))
    page = pickle.loads(pickle.dumps(only(tmp_path / "a.tif")))
    np.testing.assert_array_equal(page.read(), picture("f4"))


def test_large_stack_is_read_one_page_at_a_time(tmp_path, monkeypatch):
    stack = picture("u1", (50, 64, 64))
    tifffile.imwrite(tmp_path / "a.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    largest = []
    plain = tifffile.FileHandle.read_array

    def watched(self, dtype, count=-1, *args, **kwargs):
        largest.append(count)
        return plain(self, dtype, count, *args, **kwargs)

    monkeypatch.setattr(tifffile.FileHandle, "read_array", watched)
    assert [p.read().shape for p in open_pages(tmp_path / "a.tif")] == [(64, 64)] * 50
    assert len(largest) == 50 and set(largest) == {64 * 64}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["jpg", "png"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_exif_orientation_is_honoured(tmp_path, orientation, ending, mode):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{ending}"
    Image.fromarray(picture()).convert(mode).save(path, exif=exif)
    page = only(path)
    with Image.open(path) as image:
        shown = np.asarray(ImageOps.exif_transpose(image).convert("L"))
    assert page.shape == shown.shape
    assert np.abs(page.read().astype(float) - shown).max() <= 1
    assert any("EXIF" in note for note in page.notes) == (orientation > 1)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["grey", "colour", "zlib tiles", "stack", "ome"])
def test_tiff_orientation_is_honoured_in_images_and_masks(tmp_path, orientation, kind):
    path, array, options = tmp_path / "a.tif", picture(), {}
    if kind == "colour":
        array = np.stack([array] * 3, -1)
    elif kind == "zlib tiles":
        options = {"tile": (16, 16), "compression": "zlib"}
    elif kind == "stack":
        array = np.stack([array, array[::-1]])
    elif kind == "ome":
        array, options = np.stack([array] * 2), {"metadata": {"axes": "TYX"}}
        path = tmp_path / "a.ome.tif"
    tag = (274, "H", 1, orientation, True)
    colour = "rgb" if kind == "colour" else "minisblack"
    tifffile.imwrite(path, array, photometric=colour, extratags=[tag], **options)
    pages = open_pages(path)
    assert len(pages) == (2 if kind in ("stack", "ome") else 1)
    image = Image.fromarray(picture())
    image.getexif()[274] = orientation
    shown = np.asarray(ImageOps.exif_transpose(image))
    for array in (pages[0].read(), pages[0].read_stored()):
        array = array if array.ndim == 2 else array[..., 0]
        assert pages[0].shape == shown.shape
        np.testing.assert_array_equal(array, shown)
    note = f"turned as its TIFF orientation {orientation} says"
    assert (note in pages[0].notes) == (orientation > 1)


@pytest.mark.parametrize("value", [0, 9, 300])
def test_an_orientation_that_is_none_turns_nothing(tmp_path, value):
    tag = (274, "H", 1, value, True)
    tifffile.imwrite(tmp_path / "a.tif", picture(), extratags=[tag])
    page = only(tmp_path / "a.tif")
    assert page.notes == ()
    np.testing.assert_array_equal(page.read(), picture())


def test_damaged_exif_says_nothing(tmp_path):
    path = tmp_path / "a.jpg"
    Image.fromarray(picture()).save(path, exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert only(path).shape == (37, 53)


def test_pages_of_real_files_are_listed(real_set):
    folder = real_set("odd_formats_unlabelled") / "images"
    expected = {
        "beads_zstack_41page_imagej.tif": (41, (150, 150)),
        "blobs_small_148wide.tif": (1, (254, 148)),
        "hela_rgb_u8.tif": (1, (512, 672)),
        "trackpy_brightfield_u8.png": (1, (500, 500)),
        "trackpy_foam_u8.tif": (1, (768, 768)),
    }
    pages = {name: open_pages(folder / name) for name in expected}
    assert {name: (len(p), p[0].shape) for name, p in pages.items()} == expected


@pytest.mark.parametrize("name", SETS)
def test_real_files_open(real_set, name):
    for kind in ("images", "masks", "points"):
        for path in sorted(real_set(name).glob(f"{kind}/*")):
            for page in open_pages(path):
                array = page.read()
                assert array.shape == page.shape
                if kind == "images":
                    check_image(array, page.where)
