"""The pixel size that a file's metadata give, and those that they do not."""

import struct

import numpy as np
import pytest
import tifffile
from PIL import Image

from beadseg.data.images.reading import open_pages
from beadseg.data.images.units import quantity, um_of

IMAGE = np.arange(400, dtype=np.uint16).reshape(20, 20)


def size_of(path, **options) -> float | None:
    return open_pages(path, **options)[0].pixel_size


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("um", 0.25),
        ("µm", 0.25),
        ("nm", 0.00025),
        ("mm", 250.0),
        ("pixel", None),
        ("Å", 0.000025),
        ("li", 0.25 * 25400 / 12),
        ("pt", 0.25 * 25400 / 72),
        ("fm", 0.25e-9),
        ("reference frame", None),
    ],
)
def test_ome_size_is_converted_to_micrometres(tmp_path, unit, expected):
    metadata = {"axes": "YX"}
    metadata |= {f"PhysicalSize{a}": 0.25 for a in "XY"}
    metadata |= {f"PhysicalSize{a}Unit": unit for a in "XY"}
    tifffile.imwrite(tmp_path / "a.ome.tif", IMAGE, ome=True, metadata=metadata)
    assert size_of(tmp_path / "a.ome.tif") == pytest.approx(expected)


def write_ome(path, attributes: str) -> None:
    xml = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" '
        'Type="uint16" SizeX="20" SizeY="20" SizeC="1" SizeZ="1" SizeT="1" '
        f'{attributes}><Channel ID="Channel:0:0" SamplesPerPixel="1"/><TiffData/>'
        "</Pixels></Image></OME>"
    )
    tifffile.imwrite(path, IMAGE, metadata=None, description=xml)


@pytest.mark.parametrize(
    "attributes",
    [
        'PhysicalSizeX="0.5"',
        'PhysicalSizeY="0.5"',
        'PhysicalSizeX="0,5" PhysicalSizeY="0,5"',
        'PhysicalSizeX="5e-4" PhysicalSizeXUnit="mm" PhysicalSizeY="0.5"',
    ],
)
def test_half_given_ome_sizes_are_read(tmp_path, attributes):
    write_ome(tmp_path / "a.tif", attributes)
    assert size_of(tmp_path / "a.tif") == pytest.approx(0.5)


@pytest.mark.parametrize("value", ["-0.5", "NaN", "0", "1e-300", "1e7", "unknown"])
def test_an_ome_size_that_is_no_length_is_told(tmp_path, value):
    write_ome(tmp_path / "a.tif", f'PhysicalSizeX="{value}" PhysicalSizeY="{value}"')
    (page,) = open_pages(tmp_path / "a.tif")
    assert page.pixel_size is None
    assert page.notes[0].startswith(f"a pixel size of '{value}' is no length")


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("micron", 0.5),
        ("um", 0.5),
        ("\\u00B5m", 0.5),
        ("nm", 0.0005),
        ("mm", 500.0),
        ("cm", 5000.0),
        ("inch", None),
        ("pixel", None),
        (None, None),
        ("picometres", 0.5e-6),
        ("Nanometer", 0.0005),
        ("decimetre", 50000.0),
        ("\\u212B", 0.00005),
        ("um/pixel", 0.5),
        ("um/pix", 0.5),
        ("&#181;m", 0.5),
    ],
)
def test_imagej_size_is_one_over_pixels_per_unit(tmp_path, unit, expected):
    metadata = {"axes": "ZYX", **({"unit": unit} if unit else {})}
    tifffile.imwrite(
        tmp_path / "a.tif",
        np.stack([IMAGE] * 3),
        imagej=True,
        resolution=(2.0, 2.0),
        metadata=metadata,
    )
    assert size_of(tmp_path / "a.tif") == pytest.approx(expected)


@pytest.mark.parametrize(
    ("unit", "dpi", "expected"),
    [
        ("inch", 72, None),
        ("inch", 300, None),
        ("inch", 203200, 0.125),
        ("inch", 2540, 10.0),
        ("inch", 2400, None),  # a scanner's
        ("inch", 270, None),
        ("cm", 200.0, 50.0),
        ("cm", 340 / 2.54, None),
        ("cm", 20000.0, 0.5),
        ("cm", 300 / 2.54, None),  # a printer's, although below 100 um
        ("cm", 72 / 2.54, None),
        ("cm", 99.0, None),
    ],
)
def test_resolution_counts_only_if_a_microscope_could_have_it(
    tmp_path, unit, dpi, expected
):
    Image.fromarray(IMAGE).save(
        tmp_path / "a.tif", resolution=dpi, resolution_unit=unit
    )
    assert size_of(tmp_path / "a.tif") == pytest.approx(expected)


@pytest.mark.parametrize(
    ("unit", "um"),
    [
        ("femtometres", 1e-9),
        ("Angstroms", 1e-4),
        ("\N{MICRO SIGN}m\0junk", 1.0),
        ("\u00c2\u00b5m", 1.0),  # UTF-8 read as Latin-1
        ("\u339b", 1.0),  # squared mu m, one character
        ("A\u030a", 1e-4),
        ("Mm", 1e12),
        ("MM", 1e3),
        ("ft", 304800.0),
        ("second", None),
        ("", None),
    ],
)
def test_one_table_knows_the_spellings_of_units(unit, um):
    assert um_of(unit) == (pytest.approx(um) if um else None)


def test_the_table_knows_every_unit_of_length_of_the_ome_schema():
    symbols = "Ym Zm Em Pm Tm Gm Mm km hm dam m dm cm mm µm nm pm fm am zm ym Å thou li"
    symbols += " in ft yd mi ua ly pc pt"
    assert [s for s in symbols.split() if um_of(s) is None] == []
    assert um_of("pixel") is None and um_of("reference frame") is None


@pytest.mark.parametrize(
    ("text", "um"),
    [("24.5 nm", 0.0245), ("1,2 µm", 1.2), ("3e-1 mm", 300.0), ("7", None)],
)
def test_a_quantity_is_a_number_and_a_unit(text, um):
    assert quantity(text) == (pytest.approx(um) if um else None)


def zeiss(size: str) -> tuple:
    lines = f"0\r\n0\r\n0\r\n1e-8\r\nAP_IMAGE_PIXEL_SIZE\r\nImage Pixel Size = {size}"
    return (34118, 1, None, lines.encode("cp1252"), True)


def fei(section: str, fields: str) -> tuple:
    return (34682, 2, 0, f"[User]\r\nx=1\r\n[{section}]\r\n{fields}\r\n", True)


# As scanners of slides write them: Philips in the description, Ventana as XMP.
SCANNED = (
    '<DataObject ObjectType="DPScannedImage">'
    '<Attribute Name="PIM_DP_IMAGE_TYPE">{kind}</Attribute>'
    '<Attribute Name="DICOM_PIXEL_SPACING">"{mm}" "{mm}"</Attribute>'
    '<Attribute Name="PIIM_PIXEL_DATA_REPRESENTATION_SEQUENCE"><Array>'
    '<DataObject ObjectType="PixelDataRepresentation">'
    '<Attribute Name="DICOM_PIXEL_SPACING">"8" "8"</Attribute></DataObject>'
    "</Array></Attribute></DataObject>"
)
PHILIPS = (
    '<?xml version="1.0" encoding="UTF-8" ?><DataObject ObjectType="DPUfsImport">'
    '<Attribute Name="PIM_DP_SCANNED_IMAGES"><Array>'
    + SCANNED.format(kind="LABELIMAGE", mm="0.02")
    + SCANNED.format(kind="WSI", mm="0.00025")
    + "</Array></Attribute></DataObject>"
)
VENTANA = (
    b'<?xml version="1.0" ?><EncodeInfo Ver="2"><SlideInfo>'
    b'<iScan ScanRes="0.2325" Magnification="40" Mode="Bright"/>'
    b"</SlideInfo></EncodeInfo>"
)


@pytest.mark.parametrize(
    ("tags", "um"),
    [
        ([zeiss("1.117 µm")], 1.117),
        ([zeiss("873,1 pm")], 0.0008731),
        ([zeiss("unknown"), (282, 5, 1, (20000, 1), True)], None),
        ([fei("EScan", "PixelWidth=3.5e-9\r\nPixelHeight=3.5e-9")], 0.0035),
        ([fei("Scan", "HorFieldsize=5e-6")], 0.25),  # of 20 px
        ([fei("Scan", "PixelWidth=0")], None),
        ([fei("IRBeam", "HFW=5e-6\r\nVFW=5e-6")], 0.25),
        # of 1024 px across, of which this has 20
        ([(34118, 2, 0, "\r\n0\r\n0\r\n2.5e-9\r\n", True)], 0.0025 * 1024 / 20),
        ([(51123, 2, 0, '{"PixelSizeUm": 0.108, "Width": 20}', True)], 0.108),
        ([(51123, 2, 0, '{"PixelSizeUm": 0.0}', True)], None),
        ([(51123, 2, 0, "no JSON", True)], None),
        ([(270, 2, 0, "Aperio Leica v1|AppMag = 40|MPP = 0.2517", True)], 0.2517),
        ([(270, 2, 0, PHILIPS, True), (305, 2, 0, "Philips DP v1.0", True)], 0.25),
        ([(700, 1, None, VENTANA, True)], 0.2325),
        (
            [(65009 + i, 12, 1, 2.5, True) for i in (0, 1)]
            + [(65003 + i, 2, 0, "nm", True) for i in (0, 1)],
            0.0025,
        ),
        (
            [(65009 + i, 12, 1, 0.3, True) for i in (0, 1)]
            + [(65012 + i, 2, 0, "micrometre", True) for i in (0, 1)],
            0.3,
        ),
        ([(65009 + i, 12, 1, 0.3, True) for i in (0, 1)], None),
        ([(50431, 1, None, b"[MAIN]\nPixelSizeX=4e-8\nPixelSizeY=4e-8\n", True)], 0.04),
    ],
)
def test_what_makers_write_is_read(tmp_path, tags, um):
    described = any(code == 270 for code, *_ in tags)
    tifffile.imwrite(
        tmp_path / "a.tif",
        IMAGE,
        extratags=tags,
        metadata=None,
        **({} if described else {"description": None}),
    )
    assert size_of(tmp_path / "a.tif") == (pytest.approx(um) if um else None)


def test_sizes_of_olympus_fluoview_are_read(tmp_path):
    header = np.zeros(1, np.dtype(tifffile.TIFF.MM_HEADER))
    header["Dimensions"]["Size"] = 1
    for number, name in enumerate((b"X", b"Y")):
        header["Dimensions"][0, number] = (name, 20, 0.0, 0.414, b"um")
    content = header.tobytes()
    tags = [(34361, 1, len(content), content, True), (34362, 12, 8, [0.0] * 8, True)]
    tifffile.imwrite(tmp_path / "a.tif", IMAGE, extratags=tags, metadata=None)
    assert size_of(tmp_path / "a.tif") == pytest.approx(0.414)


@pytest.mark.parametrize(("unit", "um"), [("\u00b5m", 0.5), ("nm", 5e-4), (None, 0.5)])
def test_sizes_in_the_metadata_of_tifffile_are_read(tmp_path, unit, um):
    metadata = {f"PhysicalSize{axis}": 0.5 for axis in "XY"}
    if unit:
        metadata |= {f"PhysicalSize{axis}Unit": unit for axis in "XY"}
    tifffile.imwrite(tmp_path / "a.tif", IMAGE, metadata=metadata)
    assert size_of(tmp_path / "a.tif") == pytest.approx(um)


def test_the_resolution_of_a_jeol_camera_is_divided_by_the_magnification(tmp_path):
    xml = (
        "<TemReporter><ImageFormingSystem><ModeString>MAG</ModeString>"
        "<SelectorValue>5000</SelectorValue></ImageFormingSystem></TemReporter>\0"
    )
    options = {"resolution": (2e4 / 30,) * 2, "resolutionunit": "CENTIMETER"}
    make = (271, 2, 0, "JEOL Ltd.", True)
    for tags in ([make], []):
        tifffile.imwrite(
            tmp_path / "a.tif",
            IMAGE,
            description=xml,
            metadata=None,
            extratags=tags,
            **options,
        )
        um = 15.0 / 5000 if tags else 15.0
        assert size_of(tmp_path / "a.tif") == pytest.approx(um)


def test_tvips_sizes_are_read(tmp_path):
    sizes = {"PixelSizeX": 2.5, "PixelSizeY": 2.5}
    header = np.zeros(1, tifffile.TIFF.TVIPS_HEADER_V1)
    second = np.zeros(1, tifffile.TIFF.TVIPS_HEADER_V2)
    header["Version"], second["Magic"] = 2, 0xAAAAAAAA
    for name, size in sizes.items():
        second[name] = size
    data = header.tobytes() + second.tobytes()
    tag = (37706, 1, None, data, True)
    tifffile.imwrite(tmp_path / "a.tif", IMAGE, metadata=None, extratags=[tag])
    assert size_of(tmp_path / "a.tif") == pytest.approx(0.0025)


def test_olympus_sis_sizes_are_read_and_its_preview_left_out(tmp_path):
    path = tmp_path / "a.tif"
    make = (271, 2, 0, "Olympus Soft Imaging Solutions", True)
    sizes = struct.pack("<10xhdd8xd2x34s32s", -6, 0.31, 0.31, 40.0, b"", b"")

    def write(at: int) -> None:
        head = struct.pack("<4s6xhhhhh6x32sH", b"SIS0", 1, 1, 1, 1, 100, b"", 1)
        block = head + struct.pack("<hhI", 1, 1, at + len(head) + 8) + sizes
        with tifffile.TiffWriter(path) as file:
            options = {"metadata": None, "description": None}
            file.write(IMAGE.astype(np.uint8), extratags=[make], **options)
            file.write(
                IMAGE, extratags=[make, (33560, 7, None, block, True)], **options
            )

    write(0)
    with tifffile.TiffFile(path) as file:
        at = file.pages[1].tags[33560].valueoffset
    write(at)
    (page,) = open_pages(path)
    np.testing.assert_array_equal(page.read(), IMAGE)
    assert page.pixel_size == pytest.approx(0.31)


def test_sizes_of_zeiss_lsm_and_metamorph_are_read(tmp_path):
    info = struct.pack(
        "<Ii8i3d", 67127628, 512, 20, 20, *[1] * 4, 0, 0, 1e-7, 1e-7, 1e-6
    )
    tag = (34412, 1, 512, info + bytes(512 - len(info)), True)
    with tifffile.TiffWriter(tmp_path / "a.lsm") as file:
        file.write(IMAGE, metadata=None, extratags=[tag])
        file.write(IMAGE[::2, ::2], metadata=None, subfiletype=1)
    assert size_of(tmp_path / "a.lsm") == pytest.approx(0.1)

    values = {"x": "0.645", "y": "0.645", "units": "um"}
    lines = [
        f'<prop id="spatial-calibration-{name}" type="string" value="{value}"/>'
        for name, value in values.items()
    ]
    xml = f"<MetaData><PlaneInfo>{''.join(lines)}</PlaneInfo></MetaData>"
    tifffile.imwrite(tmp_path / "b.tif", IMAGE, metadata=None, description=xml)
    assert size_of(tmp_path / "b.tif") == pytest.approx(0.645)
    state = '<prop id="spatial-calibration-state" type="bool" value="off"/>'
    xml = xml.replace("<PlaneInfo>", f"<PlaneInfo>{state}")
    tifffile.imwrite(tmp_path / "c.tif", IMAGE, metadata=None, description=xml)
    assert size_of(tmp_path / "c.tif") is None


def write_imagej(path, unit, resolution):
    options = {"resolution": (resolution,) * 2, "metadata": {"unit": unit}}
    tifffile.imwrite(path, IMAGE, imagej=True, **options)


def write_resolution(path, unit, resolution):
    tifffile.imwrite(path, IMAGE, resolution=(resolution,) * 2, resolutionunit=unit)


@pytest.mark.parametrize(
    ("write", "unit", "resolution", "note"),
    [
        (write_imagej, "Nanometern", 2.0, "the unit 'Nanometern' is no known length"),
        (write_imagej, "degree", 0.5, "the unit 'degree' is no known length"),
        (write_imagej, "inch", 3.0, "a resolution of 3 px per inch is not used"),
        (write_resolution, 2, 270.0, "a resolution of 270 px per inch is not used"),
        (write_resolution, 1, 20000.0, "20000 px per unit is not used"),
        (write_resolution, 3, 5.0, "5 px per cm is not used"),
        (write_resolution, 2, 254000.0, "pixel size of 0.1 um from 254000 px per inch"),
    ],
)
def test_a_scale_that_is_not_used_or_unusual_is_told(
    tmp_path, write, unit, resolution, note
):
    write(tmp_path / "a.tif", unit, resolution)
    (page,) = open_pages(tmp_path / "a.tif")
    assert note in page.notes[0]


@pytest.mark.parametrize(
    ("write", "unit", "resolution"),
    [(write_imagej, "pixel", 1.0), (write_imagej, "", 1.0)]
    + [(write_resolution, unit, dpi) for unit, dpi in ((2, 96), (2, 300), (1, 1))],
)
def test_what_says_nothing_of_the_specimen_gives_no_note(
    tmp_path, write, unit, resolution
):
    write(tmp_path / "a.tif", unit, resolution)
    (page,) = open_pages(tmp_path / "a.tif")
    assert page.pixel_size is None and page.notes == ()


def test_oblong_pixels_are_noted_and_averaged(tmp_path):
    for name, y in (("a.tif", 8000.0), ("b.tif", 19900.0)):
        tifffile.imwrite(
            tmp_path / name, IMAGE, resolution=(20000.0, y), resolutionunit=3
        )
    (page,) = open_pages(tmp_path / "a.tif")
    assert page.pixel_size == pytest.approx(np.sqrt(0.5 * 1.25))
    assert page.notes == ("pixels are 0.5 x 1.25 um; using the mean, 0.7906 um",)
    (page,) = open_pages(tmp_path / "b.tif")
    assert page.pixel_size == pytest.approx(0.50125, rel=1e-4) and page.notes == ()


def test_plain_images_have_no_size(tmp_path):
    Image.fromarray(IMAGE.astype(np.uint8)).save(tmp_path / "a.png", dpi=(300, 300))
    Image.fromarray(IMAGE.astype(np.uint8)).save(tmp_path / "b.jpg", dpi=(300, 300))
    assert size_of(tmp_path / "a.png") is None
    assert size_of(tmp_path / "b.jpg") is None


def test_real_imagej_sizes_are_read(real_set):
    folder = real_set("odd_formats_unlabelled") / "images"
    # Pixels per um as tags 282 and 283 of the files have them.
    for name, per_um in (
        ("beads_zstack_41page_imagej.tif", 44.460534),
        ("hela_rgb_u8.tif", 19.420064),
    ):
        assert size_of(folder / name) == pytest.approx(1 / per_um)
    assert size_of(folder / "trackpy_foam_u8.tif") is None
