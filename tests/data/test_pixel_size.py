"""The pixel size that a file's metadata give, and those that they do not."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from beadseg.data.reading import open_pages

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
    ],
)
def test_ome_size_is_converted_to_micrometres(tmp_path, unit, expected):
    metadata = {"axes": "YX"}
    metadata |= {f"PhysicalSize{a}": 0.25 for a in "XY"}
    metadata |= {f"PhysicalSize{a}Unit": unit for a in "XY"}
    tifffile.imwrite(tmp_path / "a.ome.tif", IMAGE, ome=True, metadata=metadata)
    assert size_of(tmp_path / "a.ome.tif") == pytest.approx(expected)


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
        ("inch", 50800, None),  # an inch is not how a microscope measures
        ("cm", 20000.0, 0.5),
        ("cm", 300 / 2.54, None),  # a printer's, although below 100 um
        ("cm", 72 / 2.54, None),
        ("cm", 10.0, None),
    ],
)
def test_resolution_counts_only_if_a_microscope_could_have_it(
    tmp_path, unit, dpi, expected
):
    Image.fromarray(IMAGE).save(
        tmp_path / "a.tif", resolution=dpi, resolution_unit=unit
    )
    assert size_of(tmp_path / "a.tif") == pytest.approx(expected)


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
