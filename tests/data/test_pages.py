"""Generated pages as a pyramid meets them, and pages cut into tiles."""

import numpy as np
import pytest

from beadseg.data import pages as pages_module
from beadseg.data import scaling
from beadseg.data.generated.render import GeneratedImage
from beadseg.data.masks.beads import BEAD_TABLE
from beadseg.data.masks.labels import UNKNOWN
from beadseg.data.pages import GeneratedPages, Page, Preprocessing, cut
from beadseg.data.tiles import dequantise
from beadseg.errors import BeadsegError

SIZES = (6.0, 24.0)


@pytest.fixture
def generated(config):
    config.data.generated.preset = "varied"
    config.data.generated.sizes = SIZES
    config.data.generated.size = 96
    config.data.generated.count = 12
    return config.data.generated


@pytest.fixture
def played(monkeypatch, discs):
    """Draws discs of a row of sizes, whatever is asked; returns their diameters."""

    def play(diameters, dust=None):
        radii = np.array(diameters) / 2
        at = np.cumsum(2 * radii + 2) - radii
        shape = (int(2 * radii.max()) + 4, int(at[-1] + radii[-1]) + 4)
        labels = np.zeros(shape, np.int32)
        for i, (x, r) in enumerate(zip(at, radii, strict=True), 1):
            labels[discs(shape, [(shape[0] / 2, x)], r) > 0] = i
        beads = np.zeros(len(radii), BEAD_TABLE)
        beads["label"], beads["radius"] = np.arange(1, len(radii) + 1), radii
        spots = np.zeros(shape, bool)
        spots[: shape[0] // 2] = dust is not None
        drawn = GeneratedImage(
            np.uint8(labels > 0), labels, beads, spots, "foam", 8, 1.0
        )
        monkeypatch.setattr(pages_module, "generate", lambda *_: drawn)
        return labels

    return play


def test_labels_are_taught_in_the_range_ignored_beside_it_and_background_beyond(
    generated, played
):
    diameters = np.geomspace(1, 400, 60)
    labels = played(diameters)
    pages = GeneratedPages(generated)
    seen = set()
    for index in range(len(pages)):
        page = pages.load(index)
        for label, diameter in enumerate(diameters, 1):
            across = diameter * page.scale
            if across > 1.9 * SIZES[1]:
                expected = 0  # another level finds it
            elif 0.85 * SIZES[0] <= across <= 1.3 * SIZES[1]:
                expected = label
            else:
                expected = UNKNOWN
            assert set(page.labels[labels == label]) == {expected}
            seen.add(np.sign(expected))
        assert not page.labels[labels == 0].any()
        kept = np.unique(page.labels)
        assert page.about["beads"] == (kept > 0).sum()
    assert seen == {-1, 0, 1}


def test_dust_is_ignored_but_where_a_bead_is_taught(generated, played):
    labels = played([12, 200], dust=True)
    page = GeneratedPages(generated).load(0)
    assert SIZES[0] < 12 * page.scale < SIZES[1]
    assert 1.9 * SIZES[1] < 200 * page.scale
    upper = np.arange(len(labels))[:, None] < len(labels) // 2
    assert set(page.labels[(labels == 1)]) == {1}
    assert set(page.labels[(labels != 1) & upper]) == {UNKNOWN}
    assert set(page.labels[(labels != 1) & ~upper]) == {0}


def test_images_are_drawn_so_that_their_beads_come_to_the_range(generated):
    generated.count = 60
    pages = GeneratedPages(generated)
    usual, background = [], 0
    for diameters, index in zip(pages.diameters(), range(32), strict=False):
        page = pages.load(index)
        side = round(page.image.shape[0] * page.scale)
        assert side == pytest.approx(96, abs=1) or page.image.shape[0] == 32
        if len(diameters) > 5:
            usual.append(np.median(diameters))
        background += not (page.labels != 0).any()
    assert min(usual) > 0.7 * SIZES[0] and max(usual) < 1.5 * SIZES[1]
    assert min(usual) < 9 and max(usual) > 17
    assert 3 <= background <= 15  # those without a bead, and of beads far too large


@pytest.mark.parametrize(
    "sizes", [(24.0, 6.0), (6.0, 6.0), (1.0, 9.0), (6.0,), (1, 2, 3)]
)
def test_sizes_that_are_no_range_are_one_line(generated, sizes):
    generated.sizes = sizes
    with pytest.raises(BeadsegError, match=r"data\.generated\.sizes") as error:
        GeneratedPages(generated)
    assert "\n" not in str(error.value)


def test_an_image_depends_on_its_index_alone(generated):
    first = GeneratedPages(generated)
    generated.count = 200
    second = GeneratedPages(generated)
    for index in (11, 0, 5):
        one, other = first.load(index), second.load(index)
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.labels, other.labels)
        assert one.scale == other.scale and one.about == other.about


def about(name="a"):
    return {
        "image": name,
        "source": name,
        "group": name,
        "page": 0,
        "beads": 0,
        "uid": name,
        "pixel_size": None,
        "completeness": None,
    }


@pytest.mark.parametrize(("page_scale", "set_scale"), [(0.5, 1.0), (0.5, 0.5), (2, 1)])
def test_a_page_is_normalised_as_it_is_and_then_resampled(page_scale, set_scale, rng):
    """As a level of a pyramid is: noise that resampling averages away still counts."""
    image = rng.normal(1000, 50, (96, 128)).astype(np.float32)
    image[20:40, 20:40] += 300
    page = Page(image, np.zeros(image.shape, np.int32), None, about(), page_scale)
    preprocessing = Preprocessing(1.0, 99.5, 0.0, set_scale, 512)
    ((info, arrays),) = cut(page, preprocessing).records
    assert info.scale == page_scale * set_scale
    bottom, top = np.percentile(image, (1, 99.5))
    middle, span = (bottom + top) / 2, max(top - bottom, 12 * 50)
    bright = np.clip((image - middle) / span + 0.5, -1, 2)
    expected = scaling.resample(bright, info.shape)
    # The noise is an estimate.
    found = dequantise(arrays["image"])
    np.testing.assert_allclose(found, expected, atol=0.03)
    assert found.std() < 0.8 * bright.std() or page_scale > 1
