"""Masks become the labels that their drawers meant, or an error."""

import io

import numpy as np
import pytest
import tifffile
from PIL import Image
from scipy import ndimage

from beadseg.data.images.reading import ReadError
from beadseg.data.masks.labels import (
    interpret,
    read_foreground,
    read_labels,
    read_mask,
    read_points,
)
from beadseg.data.masks.necks import separate
from tests.real_data import SETS

RNG = np.random.default_rng(5)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("lost", [np.nan, np.inf, -np.inf])
def test_pixels_of_a_float_mask_without_data_are_unknown(tmp_path, dtype, lost):
    truth = np.zeros((40, 40), int)
    truth[3:9, 3:9], truth[20:30, 20:30], truth[:, 36:] = 7, 3, -1
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.where(truth < 0, lost, truth).astype(dtype))
    mask = read_mask(path)
    np.testing.assert_array_equal(mask.labels, truth)
    assert (mask.kind, mask.note) == (
        "no data",
        "160 of 1,600 pixels of the mask are NaN or infinite: unknown",
    )
    foreground = read_foreground(path, plain=True)
    np.testing.assert_array_equal(foreground, np.sign(truth))
    with pytest.raises(ReadError, match="save 0 there"):
        read_points(path)


def test_a_mask_of_beads_and_nan_alone_asks_what_its_background_is():
    array = np.full((40, 40), np.nan)
    array[3:9, 3:9] = 7
    assert "if NaN stands for background" in interpret(array, "m").note


def discs(centres, radius, size=160) -> np.ndarray:
    y, x = np.mgrid[:size, :size]
    mask = np.zeros((size, size), bool)
    for cy, cx in centres:
        mask |= (y - cy) ** 2 + (x - cx) ** 2 <= radius**2
    return mask


def crystal(radius, columns=6, rows=6) -> list[tuple[float, float]]:
    """Centres of touching discs in a hexagonal packing."""
    return [
        (20 + radius * np.sqrt(3) * row, 20 + radius * (2 * column + row % 2))
        for row in range(rows)
        for column in range(columns)
    ]


def ids_of_touching_squares(side: int, count: int) -> np.ndarray:
    ids = 1 + np.arange(count * count, dtype=np.uint16).reshape(count, count)
    return np.kron(ids, np.ones((side, side), np.uint16))


def blobs(size=128) -> np.ndarray:
    return ndimage.gaussian_filter(RNG.normal(size=(size, size)), 4) > 0.02


@pytest.mark.parametrize(
    "dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"]
)
def test_instance_ids_of_any_type_stay(tmp_path, dtype):
    truth = np.zeros((40, 40), int)
    truth[3:9, 3:9], truth[9:15, 3:9], truth[20:30, 20:30] = 7, 100, 3
    truth[33:36, 33:36] = 7  # one bead in two parts
    if np.dtype(dtype).kind != "u":
        truth[:, 38:] = -1
        truth[0, 0] = -5
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, truth.astype(dtype))
    read = read_labels(path)
    assert read.dtype == np.int32
    np.testing.assert_array_equal(read, np.maximum(truth, -1))


def test_65535_is_an_id_and_larger_than_int32_is_renumbered(tmp_path):
    ids = np.zeros((20, 20), np.uint16)
    ids[2:6, 2:6], ids[10:14, 10:14] = 65535, 4
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, ids)
    np.testing.assert_array_equal(read_labels(path), ids)
    huge = ids.astype(np.uint32) * np.uint32(60000)
    tifffile.imwrite(path, huge)
    expected = np.select([ids == 4, ids == 65535], [1, 2], 0)
    np.testing.assert_array_equal(read_labels(path), expected)


@pytest.mark.parametrize("value", [1, 255, 1000])
@pytest.mark.parametrize("dtype", [bool, "u1", "u2", "i4", "f4"])
def test_binary_masks_of_any_value_are_separated(tmp_path, value, dtype):
    if np.dtype(dtype).itemsize == 1:
        value = min(value, 255)
    mask = discs([(60, 60), (60, 80)], 10)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, mask if dtype is bool else (mask * value).astype(dtype))
    labels = read_labels(path)
    assert set(np.unique(labels)) == {0, 1, 2}
    np.testing.assert_array_equal(labels > 0, mask)


def test_binary_masks_keep_their_unknown_pixels():
    array = np.where(discs([(60, 60)], 10), 1, 0).astype(np.int16)
    array[:5] = -1
    labels = interpret(array, "mask").labels
    np.testing.assert_array_equal(labels, array)


@pytest.mark.parametrize("radius", [4, 6, 9, 14, 22])
@pytest.mark.parametrize("distance", [2.0, 1.9, 1.8, 1.7])
def test_two_discs_touching_or_overlapping_are_two(radius, distance):
    if radius == 4 and distance < 1.8:
        return  # 4 px overlap by more than a pixel: the outline shows no neck
    for angle in np.linspace(0, np.pi, 7):
        dy, dx = radius * distance * np.array([np.sin(angle), np.cos(angle)])
        centres = np.array([[60, 70], [60 + dy, 70 + dx]])
        labels = separate(discs(centres, radius))
        assert labels.max() == 2
        at = labels[tuple(np.round(centres).astype(int).T)]
        assert set(at) == {1, 2}
        sizes = np.bincount(labels.ravel())[1:]
        assert sizes.max() < 1.1 * sizes.min() + 3  # a pixel midway goes to either


@pytest.mark.parametrize("radius", [4, 6, 8, 10])
def test_crystals_of_touching_discs_are_counted_exactly(radius):
    centres = crystal(radius)
    labels = separate(discs(centres, radius, 170))
    assert labels.max() == len(centres)
    at = labels[tuple(np.round(centres).astype(int).T)]
    assert len(set(at)) == len(centres)


@pytest.mark.parametrize("radius", [2, 3, 5, 9, 20])
@pytest.mark.parametrize("aspect", [1.0, 1.25, 1.5])
def test_a_disc_or_ellipse_is_one(radius, aspect):
    y, x = np.mgrid[:120, :120] - 59.6
    for angle in np.linspace(0, np.pi, 7):
        u = x * np.cos(angle) + y * np.sin(angle)
        v = y * np.cos(angle) - x * np.sin(angle)
        assert separate((u / aspect) ** 2 + v**2 <= radius**2).max() == 1


@pytest.mark.parametrize("rough", [0.05, 0.1])
def test_a_disc_with_a_rough_outline_is_one(rough):
    y, x = np.mgrid[:100, :100] - 50.0
    angle = np.arctan2(y, x)
    for _ in range(10):
        waves = (
            RNG.normal() * np.cos(n * angle + 6 * RNG.random()) for n in range(2, 8)
        )
        assert separate(np.hypot(y, x) < 20 * (1 + rough / 2.4 * sum(waves))).max() == 1


def test_separation_changes_no_pixel_of_the_mask():
    masks = [blobs(), np.zeros((20, 20), bool), np.ones((20, 20), bool)]
    masks.append(RNG.random((60, 60)) > 0.6)  # single pixels, lines, diagonals
    for mask in masks:
        labels = separate(mask)
        np.testing.assert_array_equal(labels > 0, mask)
        assert labels.dtype == np.int32
        assert labels.max() == len(np.unique(labels[mask]))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_grey_masks_in_colour_are_accepted(tmp_path, mode):
    ids = ids_of_touching_squares(10, 5).astype(np.uint8)
    Image.fromarray(ids).convert(mode).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "a.png"), ids)


@pytest.mark.parametrize("colour", [0, 255])
@pytest.mark.parametrize("mode", ["LA", "RGBA"])
@pytest.mark.parametrize("ending", ["png", "tif"])
def test_what_is_drawn_on_a_transparent_background_is_the_mask(
    tmp_path, ending, mode, colour
):
    truth = discs([(40, 40), (40, 100), (110, 70)], 15)
    alpha = np.where(truth, 255, 0).astype(np.uint8)
    plain = Image.fromarray(np.full(truth.shape, colour, np.uint8)).convert(mode)
    plain.putalpha(Image.fromarray(alpha))
    plain.save(tmp_path / f"a.{ending}")
    labels = read_labels(tmp_path / f"a.{ending}")
    assert labels.max() == 3
    np.testing.assert_array_equal(labels > 0, truth)


def test_palette_masks_give_their_indices(tmp_path):
    ids = ids_of_touching_squares(10, 5).astype(np.uint8)
    image = Image.fromarray(ids).convert("P")
    image.putpalette(RNG.integers(0, 255, 768, np.uint8).tobytes())
    image.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "a.png"), ids)


@pytest.mark.parametrize("side", [4, 10])
def test_dense_instance_maps_are_no_photographs(side):
    ids = ids_of_touching_squares(side, 25)
    np.testing.assert_array_equal(interpret(ids, "mask").labels, ids)
    shuffled = RNG.permutation(ids.max() + 1)[ids]
    shuffled[ids == 0] = 0
    np.testing.assert_array_equal(interpret(shuffled, "mask").labels, shuffled)
    wrapped = (ids % 255).astype(np.uint8)  # ids that an 8-bit file came to share
    told_apart = interpret(wrapped, "mask")
    assert told_apart.kind == "ids used again"
    assert len(np.unique(told_apart.labels)) - 1 == len(np.unique(ids[wrapped > 0]))


def photographs() -> dict[str, np.ndarray]:
    noise = RNG.integers(0, 255, (96, 96))
    smooth = ndimage.gaussian_filter(RNG.normal(size=(96, 96)), 5)
    smooth = (255 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.uint8)
    return {
        "noise": noise.astype(np.uint8),
        "noise of 16 bits": (noise * 257 + RNG.integers(0, 99, noise.shape)),
        "smooth": smooth,
        "dark": RNG.poisson(3.0, (96, 96)),
    }


@pytest.mark.parametrize("name", photographs())
def test_photographs_are_refused(name):
    with pytest.raises(ReadError, match=r"mask.png: this is no mask but a photograph"):
        interpret(photographs()[name], "mask.png")


@pytest.mark.parametrize("quality", [30, 75, 95])
def test_round_beads_spoilt_by_jpeg_are_read(tmp_path, quality):
    truth = discs(crystal(9), 9)
    mask = Image.fromarray(truth.astype(np.uint8) * 255)
    mask.save(tmp_path / "a.jpg", quality=quality)
    buffer = io.BytesIO()
    mask.save(buffer, "JPEG", quality=quality)
    Image.open(buffer).save(tmp_path / "b.png")
    for name in ("a.jpg", "b.png"):
        read = read_mask(tmp_path / name)
        assert read.kind == "soft edges" and "JPEG" in read.note
        assert read.labels.max() == len(crystal(9))
        assert np.mean((read.labels > 0) != truth) < 0.02


@pytest.mark.parametrize("quality", [30, 75, 95])
def test_labels_spoilt_by_jpeg_are_refused(tmp_path, quality):
    ids = 10 * ids_of_touching_squares(12, 12) % 251
    ids[:, ::12] = ids[::12] = 0
    Image.fromarray(ids.astype(np.uint8)).save(tmp_path / "a.jpg", quality=quality)
    with pytest.raises(ReadError, match="JPEG.*save the mask as PNG"):
        read_mask(tmp_path / "a.jpg")


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (RNG.random((20, 20)), "holds fractions"),
        (np.full((20, 20), np.nan), "all of the mask is NaN or infinite"),
        (RNG.integers(0, 9, (20, 20, 3)), r"in colour \(RGB\)"),
        (np.diag(np.arange(-3, 3)), r"numbers are negative \(-3 to -1\)"),
    ],
)
def test_what_is_no_mask_is_named_with_the_remedy(array, reason):
    with pytest.raises(ReadError, match=rf"beads.png.*{reason}.*; save it"):
        interpret(array, "beads.png")


def test_a_mask_of_several_pages_wants_a_page(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((2, 20, 20), np.uint8))
    with pytest.raises(ReadError, match="has 2 pages where one is expected"):
        read_labels(tmp_path / "a.tif")


def test_points_are_centroids_of_connected_equal_pixels(tmp_path):
    ids = np.zeros((30, 40), np.uint16)
    ids[4, 5] = 1
    ids[4, 6] = 2  # a neighbour of its own
    ids[20:22, 10:12] = 3
    ids[28, 39] = 4
    tifffile.imwrite(tmp_path / "a.tif", ids)
    points = read_points(tmp_path / "a.tif")
    expected = [(4, 5), (4, 6), (20.5, 10.5), (28, 39)]
    np.testing.assert_array_equal(points, np.array(expected, np.float32))
    assert points.dtype == np.float32
    Image.fromarray((ids > 2).astype(np.uint8) * 255).save(tmp_path / "b.png")
    np.testing.assert_array_equal(read_points(tmp_path / "b.png"), points[2:])
    tifffile.imwrite(tmp_path / "c.tif", ids * 0)
    assert read_points(tmp_path / "c.tif").shape == (0, 2)


@pytest.mark.parametrize(
    "name", ["bbbc007_sparse_labels", "dsb2018_nuclei_dev", "emps_spheres_dev"]
)
def test_real_masks_are_read(real_set, name):
    for path in sorted(real_set(name).glob("masks/*")):
        raw = np.asarray(Image.open(path)).astype(int)
        if raw.max() > 1:
            np.testing.assert_array_equal(read_labels(path), raw)


def test_real_points_are_read(real_set):
    for path in sorted(real_set("beadnet_latex_dev").glob("points/*"))[:20]:
        raw = np.asarray(Image.open(path))
        found = read_points(path).astype(int)
        np.testing.assert_array_equal(np.sort(raw[tuple(found.T)]), np.unique(raw)[1:])


@pytest.mark.parametrize("name", SETS)
def test_real_photographs_are_refused_as_masks(real_set, name):
    for path in sorted(real_set(name).glob("images/*"))[::4]:
        if "zstack" not in path.name:
            with pytest.raises(ReadError, match="photograph|in colour"):
                read_labels(path)


def test_real_mitochondria_are_not_shredded(real_set):
    for path in sorted(real_set("vnc_mitochondria_em").glob("masks/*"))[:2]:
        raw = np.asarray(Image.open(path))
        parts = ndimage.label(raw, np.ones((3, 3)))[1]
        assert abs(read_labels(path).max() - parts) <= 1
