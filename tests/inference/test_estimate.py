import numpy as np
import pytest
from scipy import ndimage

from beadseg.errors import BeadsegError
from beadseg.inference.estimate import estimate


def scatter(radius: float, size: int) -> np.ndarray:
    """Centres f64[N, 2] of discs at random that lie wholly in the image, apart."""
    rng = np.random.default_rng(0)
    centres = np.zeros((0, 2))
    for at in rng.uniform(1.3 * radius, size - 1.3 * radius, (600, 2)):
        if (np.hypot(*(centres - at).T) > 2.15 * radius).all():
            centres = np.vstack([centres, at])
    return centres


def draw(kind: str, radius: float, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Noisy beads of one kind f32[size, size], and their centres."""
    centres = scatter(radius, size)
    y, x = np.mgrid[:size, :size]
    away = np.full((size, size), np.inf)
    for cy, cx in centres:
        away = np.minimum(away, np.hypot(y - cy, x - cx))
    inside = np.clip(radius + 0.5 - away, 0, 1)
    rim = np.exp(-((away - radius + 0.15 * radius) ** 2) / (0.02 * radius**2 + 1))
    signal = {"bright": inside, "dark": 1 - inside, "rims": 1 - 0.7 * rim}[kind]
    signal = ndimage.gaussian_filter(signal, 0.8) * (1 + 0.3 * x / size)
    noise = np.random.default_rng(1).normal(0, 0.05, signal.shape)
    return (signal + noise).astype(np.float32), centres


@pytest.mark.parametrize("radius, size", [(6, 200), (20, 300)])
@pytest.mark.parametrize("kind", ["bright", "dark", "rims"])
def test_beads_of_every_kind_are_counted_and_measured(kind, radius, size):
    image, centres = draw(kind, radius, size)
    found = estimate(image)
    assert found.count == pytest.approx(len(centres), rel=0.1)
    assert found.diameter_px == pytest.approx(2 * radius, rel=0.12)
    true = len(centres) * np.pi * radius**2 / size**2
    assert found.coverage == pytest.approx(true, abs=0.07)


def test_centres_are_where_the_beads_are():
    image, centres = draw("bright", 8, 200)
    found = estimate(image)
    apart = np.hypot(*(centres[:, None] - found.centres[None]).transpose(2, 0, 1))
    assert (apart.min(1) < 2).mean() > 0.95


def test_beads_of_a_large_image_are_counted():
    image, centres = draw("bright", 20, 600)
    found = estimate(image)
    assert found.count == pytest.approx(len(centres), rel=0.1)
    assert found.diameter_px == pytest.approx(40, rel=0.12)


def test_scale_and_offset_of_intensities_do_not_matter():
    image, _ = draw("rims", 8, 160)
    plain, scaled = estimate(image), estimate(1000 * image - 7)
    assert scaled.count == plain.count
    # Of beads that score alike, rounding may turn the order round.
    apart = np.hypot(*(scaled.centres[:, None] - plain.centres).transpose(2, 0, 1))
    assert apart.min(0).max() < 0.1 and apart.min(1).max() < 0.1


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((64, 64), np.uint8),
        np.full((100, 40), 3.5),
        np.zeros((8, 9), np.uint16),
    ],
)
def test_nothing_is_found_where_there_is_nothing(image):
    found = estimate(image)
    assert found.count == 0
    assert found.coverage == 0
    assert np.isnan(found.diameter_px)
    assert found.centres.shape == (0, 2)


def test_a_single_bright_pixel_is_no_bead():
    image = np.zeros((64, 64), np.float32)
    image[20, 20] = 1e30
    assert estimate(image).count == 0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_image_without_a_number_is_named(value):
    with pytest.raises(BeadsegError, match="NaN or infinite"):
        estimate(np.full((64, 64), value))


def test_a_row_of_numbers_belongs_to_each_label():
    image, _ = draw("bright", 8, 200)
    found = estimate(image)
    ids = np.unique(found.labels)[1:]
    assert len(ids) == found.count == len(found.scores) == len(found.diameters)
    at = ndimage.center_of_mass(found.labels > 0, found.labels, ids)
    np.testing.assert_allclose(found.centres, at, atol=1e-3)
    area = np.bincount(found.labels.ravel())[ids]
    np.testing.assert_allclose(found.diameters, 2 * np.sqrt(area / np.pi), rtol=1e-4)
    assert found.coverage == pytest.approx(np.mean(found.labels > 0))
    assert found.scores.min() >= 0.5 and found.scores.max() <= 1
