import numpy as np
import pytest
from scipy import ndimage

from beadseg.analysis.image_facts import measure_image, thumbnail


@pytest.fixture(scope="module")
def inside() -> np.ndarray:
    y, x = np.mgrid[:200, :200]
    return ((y % 40 - 20) ** 2 + (x % 40 - 20) ** 2) <= 100


def render(inside, *, noise=0.02, shade=0.0, blur=1.0, sign=1.0) -> np.ndarray:
    """f64[200, 200]: background 0.5, beads 0.4 above (or below)."""
    image = 0.5 + sign * 0.4 * ndimage.gaussian_filter(inside.astype(float), blur)
    image += shade * np.linspace(-0.5, 0.5, 200)
    return image + np.random.default_rng(0).normal(0, noise, inside.shape)


def test_noise_is_the_deviation_that_was_added(inside):
    for noise in (0.01, 0.05):
        found = measure_image(render(inside, noise=noise), inside)
        assert found.noise * found.range == pytest.approx(noise, rel=0.1)


def test_shading_is_the_slope_that_was_added(inside):
    assert measure_image(render(inside), inside).shading < 0.03
    found = measure_image(render(inside, shade=0.3), inside)
    assert found.shading * found.range == pytest.approx(0.3, rel=0.15)


def test_edges_blur_as_much_as_they_were_blurred(inside):
    sharp, soft = (
        measure_image(render(inside, blur=blur, noise=0.005), inside).edge_px
        for blur in (1, 3)
    )
    assert sharp == pytest.approx(1, abs=0.4)
    assert soft == pytest.approx(3, abs=0.8)


def test_contrast_has_the_sign_of_the_beads(inside):
    assert measure_image(render(inside), inside).contrast > 0.4
    assert measure_image(render(inside, sign=-1), inside).contrast < -0.4


def test_bits_are_those_in_use_whatever_the_type(inside):
    values = np.clip(render(inside, noise=0.1), 0, 1)
    twelve = (values * 4095).astype(np.uint16)
    assert measure_image(twelve, inside).bits == pytest.approx(12, abs=0.3)
    assert measure_image(twelve << 4, inside).bits == pytest.approx(12, abs=0.3)
    eight = (values * 255).astype(np.uint8)
    assert measure_image(eight, inside).bits == pytest.approx(8, abs=0.3)
    assert measure_image(values, inside).bits is None


def test_saturation_is_seen_where_values_pile_up(inside):
    values = (render(inside) * 255).clip(0, 255).astype(np.uint8)
    assert measure_image(values, inside).saturated == 0
    clipped = np.minimum(values, 200)
    found = measure_image(clipped, inside)
    assert found.saturated == pytest.approx(np.mean(clipped == 200))


def test_thumbnails_of_one_field_agree_whatever_light_and_noise(inside):
    rng = np.random.default_rng(1)
    one = np.cumsum(np.cumsum(rng.normal(size=(200, 200)), 0), 1)
    other = np.cumsum(np.cumsum(rng.normal(size=(200, 200)), 0), 1)
    again = 3 * one + 100 + rng.normal(0, one.std() * 0.1, one.shape)
    assert np.sum(thumbnail(one) * thumbnail(again)) > 0.99
    assert np.sum(thumbnail(one) * thumbnail(other)) < 0.9


@pytest.mark.parametrize("value", [0, 7.5, np.nan])
def test_an_empty_image_is_measured(value):
    found = measure_image(np.full((40, 50), value), np.zeros((40, 50), bool))
    assert (found.noise, found.shading, found.contrast) == (0, 0, 0)
    assert not thumbnail(np.full((40, 50), value)).any()
