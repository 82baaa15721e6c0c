"""What no camera took is no data: beside mosaics, turned images, or cleared."""

import io

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from beadseg.data.images import gaps
from beadseg.data.images.blank import blank

SIDE = 160


def field(level=100.0, noise=2.0, beads=12, contrast=60.0, seed=0) -> np.ndarray:
    """Beads of 12 px with soft edges on a noisy background, f[160, 160]."""
    rng = np.random.default_rng(seed)
    dots = np.zeros((SIDE, SIDE))
    dots[tuple(rng.integers(0, SIDE, (2, beads)))] = 1
    near = ndimage.distance_transform_edt(dots == 0) <= 6
    return (
        level
        + contrast * ndimage.gaussian_filter(near * 1.0, 1.0)
        + rng.normal(0, noise, near.shape)
    )


def cut(image: np.ndarray, kind: str, value: float) -> tuple[np.ndarray, np.ndarray]:
    """The image with a part cleared, or a border added; and where."""
    height, width = image.shape
    y, x = np.ogrid[:height, :width]
    match kind:
        case "frame":
            where = np.pad(np.zeros(image.shape, bool), 30, constant_values=True)
            return np.pad(image, 30, constant_values=value), where
        case "steps":
            where = (y < 40) & (x < 80) | (y >= 120) & (x >= 80)
        case "strip":
            where = np.broadcast_to(x >= 130, image.shape)
        case "disc":
            where = np.hypot(y - height / 2, x - width / 2) > 75
        case "region":
            turn = np.arctan2(y - 80, x - 80)
            where = np.hypot(y - 80, x - 80) > 55 + 15 * np.sin(3 * turn)
        case "rotated":
            turned = Image.fromarray(np.ones(image.shape, np.float32)).rotate(
                7, Image.Resampling.NEAREST, expand=True
            )
            where = np.asarray(turned) == 0
            image = np.asarray(
                Image.fromarray(image.astype(np.float32)).rotate(
                    7, Image.Resampling.NEAREST, expand=True
                )
            )
    return np.where(where, value, image), where


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("value", [0, 255, 400])
@pytest.mark.parametrize(
    "kind", ["frame", "steps", "strip", "disc", "region", "rotated"]
)
def test_areas_that_nothing_was_taken_of_are_blank(kind, value, dtype):
    if value > np.iinfo(np.uint8).max and dtype == np.uint8:
        value = 255
    image, where = cut(field(), kind, value)
    found = blank(image.round().astype(dtype))
    assert not (found & ~where).any()
    thin = 0.02 if kind == "rotated" else 0  # the tips of its corners
    assert (where & ~found).sum() <= thin * where.sum()


def test_an_interpolated_edge_is_blank_but_for_its_rim():
    image = Image.fromarray(field().astype(np.float32))
    turned = np.asarray(image.rotate(7, Image.Resampling.BICUBIC, expand=True))
    taken = Image.new("L", image.size, 1).rotate(7, expand=True)
    where = np.asarray(taken) == 0
    found = blank(turned.round().astype(np.uint8))
    assert not (found & ~where).any()
    assert (where & ~found).sum() <= 0.05 * where.sum()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "image",
    [
        lambda seed: field(seed=seed),
        lambda seed: np.maximum(field(level=-5, noise=1.0, seed=seed), 0),
        lambda seed: np.minimum(field(level=260, contrast=-90, seed=seed), 255),
        lambda seed: np.minimum(field(level=150, contrast=400, seed=seed), 255),
        lambda seed: field(level=0, noise=0, seed=seed),
        lambda seed: np.where(field(level=0, noise=0, seed=seed) > 30, 200, 0),
        lambda seed: np.full((SIDE, SIDE), 7.0),
    ],
    ids=["noise", "cut at 0", "cut at 255", "saturated", "clean", "drawn", "constant"],
)
def test_a_background_that_was_cut_is_no_blank_area(image, seed):
    assert blank(image(seed).round().astype(np.uint8)) is None


@pytest.mark.parametrize("noise", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("quality", [10, 30, 50])
@pytest.mark.parametrize("level, contrast", [(5, 150), (100, 60), (128, 20)])
def test_a_background_that_jpeg_made_flat_is_no_blank_area(
    level, contrast, quality, noise
):
    file = io.BytesIO()
    image = field(level, noise, 5, contrast).clip(0, 255).round().astype(np.uint8)
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    assert blank(np.asarray(Image.open(file))) is None


def test_a_border_beside_what_jpeg_made_flat_is_blank():
    file = io.BytesIO()
    image = field(beads=5).round().astype(np.uint8)
    Image.fromarray(image).save(file, "JPEG", quality=30)
    for value in (0, 255):
        padded, where = cut(np.asarray(Image.open(file)), "frame", value)
        np.testing.assert_array_equal(blank(padded), where)


def test_one_bead_in_a_field_without_noise_stays():
    y, x = np.ogrid[:SIDE, :SIDE]
    off = np.hypot(y - 80, x - 80)
    for radius in (20, 40, 60, 70):
        soft = 200 / (1 + np.exp((off - radius) / 1.0))
        assert blank(soft.round().astype(np.uint8)) is None


def test_blank_areas_get_values_of_what_is_around():
    image, where = cut(field(), "steps", 0)
    filled, missing = gaps.fill(image)
    np.testing.assert_array_equal(missing, where)
    np.testing.assert_array_equal(filled[~where], image[~where])
    assert abs(filled[where].mean() - image[~where].mean()) < 20


def test_of_a_large_image_a_part_of_the_pixels_tells(monkeypatch):
    image, where = cut(field(), "region", 0)
    monkeypatch.setattr("beadseg.data.images.blank.PIXELS", image.size // 4)
    np.testing.assert_array_equal(blank(image.round().astype(np.uint8)), where)
