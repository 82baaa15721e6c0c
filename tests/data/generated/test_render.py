"""Generated images: truth is what is drawn, statistics are what was asked for."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage
from skimage.draw import disk, ellipse
from skimage.measure import regionprops

from beadseg.data.generated.artefacts import add_dirt, add_lettering
from beadseg.data.generated.camera import add_soft_noise, aperture, expose, jpeg_blocks
from beadseg.data.generated.fields import smooth_noise, upsample
from beadseg.data.generated.outlines import HARMONICS, Outlines, rasterise
from beadseg.data.generated.render import generate
from beadseg.data.generated.scene import within_walls
from beadseg.data.generated.settings import (
    MODALITIES,
    MORE_MODALITIES,
    PATTERNS,
    PRESETS,
    GeneratedSettings,
)
from beadseg.data.masks.beads import BEAD_TABLE, crowding, describe_beads
from beadseg.errors import BeadsegError

PLAIN = {
    "blur": (0.0, 0.0), "blurred_share": (0.0, 0.0), "dim_share": (0.0, 0.0),
    "contrast_spread": 0.0, "texture": 0.0, "uneven": 0.0, "artefacts": 0.0,
    "noise": 0.0, "saturated_share": 0.0, "jpeg_share": 0.0,
}  # fmt: skip

# What only "varied" has, switched off.
AS_BEADS = {name: 0.0 for name, value in PRESETS["beads"].items() if value == 0.0}


def outlines(y, x, radius, ratio=None, angle=None, wave=None) -> Outlines:
    y, x, radius = (np.asarray(a, float) for a in (y, x, radius))
    ratio = np.ones(len(y)) if ratio is None else np.asarray(ratio, float)
    angle = np.zeros(len(y)) if angle is None else np.asarray(angle, float)
    if wave is None:
        wave = np.zeros((len(y), len(HARMONICS)), np.complex64)
    return Outlines(y, x, radius, ratio, angle, wave)


@pytest.fixture(scope="module")
def default_images():
    return [generate(GeneratedSettings(), 3, i) for i in range(60)]


def test_rasterised_discs_equal_those_of_skimage():
    at = outlines([20.3, 50.7], [30.1, 60.9], [9.4, 14.2])
    labels, kept = rasterise(at, 80, 80)
    assert kept.all()
    for i in range(2):
        expected = np.zeros((80, 80), bool)
        # skimage's disc leaves out the circle itself; no pixel centre lies on it here.
        expected[disk((at.y[i], at.x[i]), at.radius[i], shape=(80, 80))] = True
        np.testing.assert_array_equal(labels == i + 1, expected)


def test_rasterised_ellipse_equals_that_of_skimage():
    at = outlines([40.2], [41.3], [18.0], [1.5], [0.4])
    labels, _ = rasterise(at, 80, 80)
    long = 18.0 * np.sqrt(1.5)
    expected = np.zeros((80, 80), bool)
    expected[ellipse(40.2, 41.3, long / 1.5, long, (80, 80), rotation=-0.4)] = True
    assert np.count_nonzero((labels > 0) != expected) <= 2


def test_rough_outlines_keep_the_area_of_their_disc():
    rng = np.random.default_rng(0)
    wave = 0.02 * np.exp(2j * np.pi * rng.random((1, len(HARMONICS))))
    labels, _ = rasterise(outlines([50], [50], [30.0], wave=wave), 100, 100)
    # The area of r (1 + sum a cos) is pi r^2 (1 + sum a^2 / 2).
    area = np.pi * 900 * (1 + 0.5 * np.sum(np.abs(wave) ** 2))
    assert np.count_nonzero(labels) == pytest.approx(area, rel=0.005)


def test_topmost_bead_wins_and_hidden_beads_are_left_out():
    at = outlines([30, 30, 31], [30, 40, 30], [10, 10, 9.5])
    labels, kept = rasterise(at, 64, 64)
    np.testing.assert_array_equal(kept, [False, True, True])
    yy, xx = np.mgrid[:64, :64]
    top = np.hypot(yy - 31, xx - 30) <= 9.5
    below = np.hypot(yy - 30, xx - 40) <= 10
    np.testing.assert_array_equal(labels, np.where(top, 3, np.where(below, 2, 0)))


def test_rows_below_the_scene_hold_no_truth():
    labels, kept = rasterise(outlines([58, 30], [30, 30], [8, 8]), 64, 50)
    assert not labels[50:].any()
    np.testing.assert_array_equal(kept, [False, True])


@pytest.mark.parametrize(
    ("modality", "sign"),
    [("reflected_light", 1), ("scanning_electron", 1), ("transmission_electron", -1)],
)
def test_plain_drawing_thresholded_gives_back_the_truth(modality, sign):
    settings = GeneratedSettings(modalities=(modality,), **PLAIN)
    jaccards = []
    for index in range(15):
        made = generate(settings, 0, index)
        image, truth = made.image.astype(float), made.labels > 0
        away = ndimage.distance_transform_edt(~truth)
        background = image[away == away.max()][0]
        inside = np.median(image[truth])
        if (inside - background) * sign < 0:
            continue  # metal: dark with a bright middle
        found = (image - background) * sign > 0.02 * np.ptp(image)
        jaccards.append(np.sum(found & truth) / np.sum(found | truth))
    assert len(jaccards) > 8
    # Edges are a tenth of a px wide here, and the threshold takes all of it.
    assert np.median(jaccards) > 0.98
    assert min(jaccards) > 0.95


def test_isolated_round_beads_have_the_area_of_their_radius():
    settings = GeneratedSettings(
        patterns=("scattered",), irregular_share=0.0, radius=(8, 30)
    )
    checked = 0
    for index in range(6):
        made = generate(settings, 1, index)
        area = np.bincount(made.labels.ravel())[1:]
        bead = made.beads
        size = settings.size - 1
        whole = (bead["y"] > bead["radius"]) & (bead["x"] > bead["radius"])
        whole &= (bead["y"] + bead["radius"] < size) & (bead["crowding"] == 0)
        whole &= bead["x"] + bead["radius"] < size
        expected = np.pi * bead["radius"].astype(float) ** 2
        np.testing.assert_allclose(area[whole], expected[whole], rtol=0.05)
        checked += whole.sum()
    assert checked > 10


def test_labels_are_consecutive_and_each_has_its_row(default_images):
    for made in default_images:
        assert made.labels.dtype == np.int32 and made.beads.dtype == BEAD_TABLE
        found = np.unique(made.labels)
        np.testing.assert_array_equal(found[found > 0], made.beads["label"])
        np.testing.assert_array_equal(
            made.beads["label"], np.arange(len(made.beads)) + 1
        )
        for region in regionprops(made.labels):
            bead = made.beads[region.label - 1]
            gap = np.hypot(
                region.centroid[0] - bead["y"], region.centroid[1] - bead["x"]
            )
            assert gap < 1.1 * bead["radius"]


def test_border_flag_is_that_of_the_outermost_pixels(default_images):
    for made in default_images[:20]:
        inner = made.labels.copy()
        inner[1:-1, 1:-1] = 0
        touching = np.isin(made.beads["label"], inner[inner > 0])
        np.testing.assert_array_equal(made.beads["touches_border"], touching)


def test_number_and_coverage_are_in_the_asked_ranges(default_images):
    number = np.array([len(made.beads) for made in default_images])
    coverage = np.array([np.mean(made.labels > 0) for made in default_images])
    within = (number >= 20) & (number <= 150) & (coverage >= 0.05) & (coverage <= 0.65)
    assert within.mean() >= 0.95
    assert number.min() < 35 and number.max() > 90
    assert coverage.min() < 0.2 and coverage.max() > 0.5


def test_narrow_ranges_are_met():
    settings = GeneratedSettings(size=128, beads=(30, 40), coverage=(0.3, 0.4))
    for index in range(20):
        made = generate(settings, 0, index)
        assert 30 <= len(made.beads) <= 40
        assert 0.3 <= np.mean(made.labels > 0) <= 0.4


def test_dim_and_blurred_beads_are_a_minority(default_images):
    beads = np.concatenate([made.beads for made in default_images])
    dim = beads["brightness"] < 0.5
    blurred = beads["blur"] > 0.11 * beads["radius"] + 1.5
    assert 0.01 < dim.mean() < 0.15 and 0.01 < blurred.mean() < 0.2


@pytest.mark.parametrize("modality", MODALITIES)
def test_every_modality_renders_within_its_depth(modality):
    settings = GeneratedSettings(size=128, modalities=(modality,))
    depths = set()
    for index in range(12):
        made = generate(settings, 0, index)
        assert made.modality == modality
        assert made.image.dtype == (np.uint8 if made.bits == 8 else np.uint16)
        assert made.image.shape == made.labels.shape == (128, 128)
        assert made.image.max() < 2**made.bits
        assert np.ptp(made.image) > 0.15 * 2**made.bits
        assert made.pixel_size > 0
        depths.add(made.bits)
    assert len(depths) > 1


def test_the_images_of_the_first_preset_stay_what_they_were():
    """Numbers from commit bc4bf55: what is new is off, and may draw no number."""
    known = {
        1: ("bright_field", 53, 7716, 150.517151, (97, 133, 157)),
        3: ("transmission_electron", 25, 7983, 158.179565, (185, 140, 115)),
        7: ("fluorescence", 20, 5818, 66.016541, (24, 27, 28)),
        11: ("phase_contrast", 31, 7441, 2155.338989, (2313, 3379, 2676)),
    }
    for index, (modality, number, pixels, mean, some) in known.items():
        made = generate(GeneratedSettings(size=128), 5, index)
        assert (made.modality, len(made.beads)) == (modality, number)
        # Processors round differently: by a step of brightness, a pixel of an edge.
        assert np.count_nonzero(made.labels) == pytest.approx(pixels, abs=2)
        assert made.image.mean() == pytest.approx(mean, rel=1e-5)
        np.testing.assert_allclose(made.image[64, [16, 64, 112]], some, atol=1)


@pytest.mark.parametrize("modality", [*MODALITIES, *MORE_MODALITIES])
def test_fields_without_beads_are_drawn_in_every_modality(modality):
    settings = GeneratedSettings(
        "varied", size=112, modalities=(modality,), beads=(0, 0)
    )
    for index in range(8):
        made = generate(settings, 0, index)
        assert made.modality == modality
        assert len(made.beads) == 0 and not made.labels.any()
        assert made.image.shape == made.labels.shape == (112, 112)
        assert made.image.dtype == (np.uint8 if made.bits == 8 else np.uint16)
        assert made.image.max() < 2**made.bits


@pytest.mark.parametrize("modality", [*MODALITIES, *MORE_MODALITIES])
def test_a_field_without_beads_is_an_even_ground(modality):
    plain = PLAIN | AS_BEADS | {"modalities": (modality,), "beads": (0, 0), "size": 96}
    for index in range(5):
        made = generate(GeneratedSettings("varied", **plain), 3, index)
        middle = np.median(made.image)
        off = np.abs(made.image - middle) / 2**made.bits
        assert off.max() < 0.02  # but for a little grain


@pytest.mark.parametrize("modality", MORE_MODALITIES)
def test_clear_beads_and_bubbles_have_the_truth_of_their_table(modality):
    settings = GeneratedSettings(
        "varied",
        modalities=(modality,),
        irregular_share=0.0,
        radius=(8, 30),
        lettering_share=0.0,
        empty_share=0.0,
    )
    checked = 0
    for index in range(12):
        made = generate(settings, 1, index)
        assert made.modality == modality and made.bits in (8, 12)
        found = np.unique(made.labels)
        np.testing.assert_array_equal(found[found > 0], made.beads["label"])
        for region in regionprops(made.labels):
            bead = made.beads[region.label - 1]
            if bead["crowding"] or bead["touches_border"] or bead["radius"] < 8:
                continue
            at = (bead["y"], bead["x"])
            assert region.centroid == pytest.approx(at, abs=0.25)
            disc = np.pi * float(bead["radius"]) ** 2
            assert region.area == pytest.approx(disc, rel=0.05)
            checked += 1
    assert checked >= 5  # bubbles are seldom alone


def test_absorbing_beads_end_at_half_their_height_on_either_side_of_the_ground():
    plain = PLAIN | AS_BEADS | {"modalities": ("absorption",), "blur": (0.5, 0.5)}
    sides = set()
    for index in range(6):
        settings = GeneratedSettings("varied", **plain | {"beads": (1, 4), "size": 96})
        made = generate(settings, 6, index)
        body = ndimage.distance_transform_edt(made.labels > 0) > 3
        around = ndimage.distance_transform_edt(made.labels == 0) > 3
        inside, outside = (np.median(made.image[part]) for part in (body, around))
        half = (made.image - outside) / (inside - outside) > 0.5
        wrong = np.count_nonzero(half != (made.labels > 0))
        edge = made.labels > 0
        rim = np.count_nonzero(edge & ~ndimage.binary_erosion(edge))
        assert wrong < 0.25 * rim
        sides.add(bool(inside > outside))
    assert sides == {True, False}


@pytest.mark.parametrize("dark", [False, True])
def test_dirt_is_never_as_thick_as_a_bead(dark):
    for seed, radius in enumerate((6.0, 13.0, 25.0)):
        signal = np.ones((160, 160), np.float32)
        add_dirt(signal, np.random.default_rng(seed), radius, dark)
        pieces, count = ndimage.label(signal != 1)
        for piece in regionprops(pieces):
            thick = ndimage.distance_transform_edt(np.pad(piece.image, 1)).max()
            disc = np.pi * thick**2
            assert piece.area < 20 or disc < 0.7 * piece.area


def test_foam_is_dense_and_hydrogel_all_but_clear():
    def drawn(modality, index):
        settings = GeneratedSettings(
            "varied",
            modalities=(modality,),
            radius=(12, 25),
            size=192,
            empty_share=0.0,
            **{name: 0.0 for name in ("dirt_share", "defect_share", "lettering_share")},
        )
        return generate(settings, 2, index)

    cover = [np.mean(drawn("foam", i).labels > 0) for i in range(10)]
    assert np.median(cover) > 0.4
    within = []
    for index in range(10):
        made = drawn("hydrogel", index)
        inside = ndimage.distance_transform_edt(made.labels > 0) > 4
        outside = ndimage.distance_transform_edt(made.labels == 0) > 4
        if inside.any() and outside.any():
            image = made.image.astype(float)
            between = np.median(image[inside]) - np.median(image[outside])
            within.append(abs(between) / np.ptp(image))
    assert len(within) > 5 and np.median(within) < 0.15


def test_dust_is_a_mask_of_what_was_drawn_beside_the_beads():
    varied = {"size": 128, "radius": (12, 20), "modalities": ("absorption",)}
    dusty = 0
    for index in range(16):
        made = generate(GeneratedSettings("varied", **varied), 4, index)
        assert made.dust.dtype == bool and made.dust.shape == made.labels.shape
        clean = generate(GeneratedSettings("varied", artefacts=0.0, **varied), 4, index)
        assert not clean.dust.any()
        dusty += made.dust.any()
    assert 2 <= dusty <= 14


@pytest.mark.parametrize("pattern", PATTERNS)
def test_beads_stand_out_in_every_pattern(pattern):
    settings = GeneratedSettings(patterns=(pattern,), modalities=("fluorescence",))
    made = generate(settings, 0, 0)
    truth = made.labels > 0
    assert made.image[truth].mean() > 2 * np.median(made.image[~truth])


@pytest.mark.parametrize("preset", ["beads", "mitochondria"])
def test_an_image_depends_on_settings_seed_and_index_alone(preset):
    settings = GeneratedSettings(preset=preset, size=96)
    first = [generate(settings, 7, i) for i in (0, 1, 2)]
    again = [generate(settings, 7, i) for i in (2, 1, 0)][::-1]
    for a, b in zip(first, again, strict=True):
        for left, right in zip(a, b, strict=True):
            np.testing.assert_array_equal(left, right)
    assert not np.array_equal(first[0].image, first[1].image)
    assert not np.array_equal(first[0].image, generate(settings, 8, 0).image)


def test_mitochondria_are_few_sparse_and_irregular():
    settings = GeneratedSettings(preset="mitochondria")
    solidity = []
    for index in range(25):
        made = generate(settings, 0, index)
        assert made.image.dtype == np.uint8
        assert 2 <= len(made.beads) <= 3
        assert 0.05 <= np.mean(made.labels > 0) <= 0.15
        solidity += [region.solidity for region in regionprops(made.labels)]
        inside = made.image[made.labels > 0].mean()
        assert inside < np.median(made.image[made.labels == 0])
    # A disc or an ellipse has solidity 0.97 and more.
    assert np.median(solidity) < 0.93


def test_varied_images_reach_beyond_the_default_and_keep_exact_truth():
    settings = GeneratedSettings(preset="varied", size=128, radius=(5, 12))
    ratio, contrast, number = [], [], []
    for index in range(40):
        made = generate(settings, 0, index)
        found = np.unique(made.labels)
        np.testing.assert_array_equal(found[found > 0], made.beads["label"])
        np.testing.assert_array_equal(
            made.beads["label"], np.arange(len(made.beads)) + 1
        )
        assert np.bincount(made.labels.ravel())[1:].min(initial=9) >= 9
        whole = [r for r in regionprops(made.labels) if r.area > 60]
        ratio += [r.axis_minor_length / r.axis_major_length for r in whole]
        contrast += made.beads["brightness"].tolist()
        number.append(len(made.beads))
    assert np.median(ratio) > 0.85 and min(ratio) < 0.6
    assert min(contrast) < 0.3
    assert 2 <= number.count(0) <= 10 and max(number) > 100


def test_satellites_are_tiny_beads_beside_the_others():
    def smallest(share):
        settings = GeneratedSettings(
            "varied",
            modalities=("fluorescence",),
            radius=(14, 18),
            beads=(12, 60),
            polydispersity=(0, 0),
            wide_share=0,
            empty_share=0,
            satellite_share=share,
        )
        for index in range(6):
            radius = generate(settings, 3, index).beads["radius"]
            yield radius.min() / radius.max()

    assert np.median(list(smallest(1.0))) < 0.45
    assert min(smallest(0.0)) > 0.8


def test_blur_in_focus_ends_at_the_softness():
    for softness in (0.1, 0.45):
        settings = GeneratedSettings(
            "varied",
            modalities=MODALITIES,
            blur=(9, 9),
            blurred_share=(0, 0),
            softness=softness,
        )
        beads = generate(settings, 0, 0).beads
        np.testing.assert_allclose(beads["blur"], softness * beads["radius"], rtol=1e-5)


def test_bubbles_end_where_their_dark_walls_begin():
    settings = GeneratedSettings(
        "varied",
        modalities=("foam",),
        radius=(12, 20),
        noise=0,
        artefacts=0,
        dim=(1, 1),
        blurred_share=(0, 0),
        **dict.fromkeys(
            (
                *("wide_share", "empty_share", "uneven", "texture", "video_share"),
                *("dirt_share", "defect_share", "few_counts_share", "lettering_share"),
                *("soft_noise_share", "jpeg_share", "aperture_share"),
                *("contrast_spread", "saturated_share"),
            ),
            0.0,
        ),
    )
    darker = []
    for index in range(4):
        made = generate(settings, 6, index)
        inside = ndimage.distance_transform_edt(made.labels > 0)
        outside = ndimage.distance_transform_edt(made.labels == 0)
        body, wall = (
            made.image[inside > 5].mean(),
            made.image[(0 < outside) & (outside <= 2)],
        )
        darker.append(wall.mean() < 0.9 * body)
        assert not (made.dust & (made.labels > 0)).any()
    assert np.mean(darker) == 1


def test_bubbles_without_room_between_their_walls_are_unknown():
    outlines = Outlines(
        *np.array([[30.0, 80.0], [30.0, 80.0], [3.0, 20.0], [1.0, 1.0], [0.0, 0.0]]),
        np.zeros((2, len(HARMONICS)), complex),
    )
    inner, labels, kept, full = within_walls(outlines, np.array([2.0, 2.0]), 120, 120)
    assert kept.tolist() == [1] and inner.radius.tolist() == [18.0]
    assert np.count_nonzero(labels == 1) == pytest.approx(np.pi * 18**2, rel=0.02)
    assert full[30, 30] and not full[80, 80]


def test_neighbouring_pixels_share_soft_noise():
    for seed in range(8):
        image = np.full((200, 300), 20_000, np.uint16)
        add_soft_noise(image, np.random.default_rng(seed), 65_535)
        values = image.astype(float) - image.mean()
        assert 0.002 < values.std() / 65_535 < 0.15
        assert np.mean(values[:, 1:] * values[:, :-1]) > 0.3 * values.var()


def test_lettering_hides_what_lies_under_its_plates_and_nothing_else():
    plates = 0
    for seed in range(30):
        image = np.full((200, 200), 128, np.uint8)
        hidden = add_lettering(image, np.random.default_rng(seed), 255)
        assert set(np.unique(image)) <= {0, 128, 255} and np.ptp(image)
        if hidden is not None:
            plates += 1
            assert not np.any(image[hidden] == 128)
            assert 20 < hidden.sum() < 0.3 * image.size
    assert 3 < plates < 20


def test_a_round_field_of_view_is_bright_inside_and_dark_beyond():
    for seed in range(5):
        light = aperture(np.random.default_rng(seed), 100)
        assert light.max() == pytest.approx(1) and 0.08 <= light.min() < 1
        bright = np.argwhere(light > 0.99)
        gap = np.hypot(*(bright - bright.mean(0)).T)
        assert light[tuple(bright[gap.argmin()])] > 0.99


def test_crowding_equals_the_count_over_all_pairs():
    rng = np.random.default_rng(0)
    y, x = rng.uniform(0, 100, (2, 50))
    radius = rng.uniform(2, 9, 50)
    apart = np.hypot(y[:, None] - y, x[:, None] - x)
    near = apart <= 1.2 * (radius[:, None] + radius)
    np.testing.assert_array_equal(crowding(y, x, radius), near.sum(1) - 1)


def test_described_discs_have_their_size_contrast_and_blur():
    labels, image = np.zeros((2, 120, 200))
    labels = labels.astype(np.int32)
    blur, contrast = (1.0, 2.0, 3.0, 1.0), (1.0, 1.0, 1.0, 0.3)
    for i in range(4):
        spot = np.zeros(image.shape)
        spot[disk((60, 25 + 50 * i), 15)] = contrast[i]
        labels[spot > 0] = 5 * (i + 1)
        image += ndimage.gaussian_filter(spot, blur[i])
    beads = describe_beads(labels, 1000 * image)
    np.testing.assert_array_equal(beads["label"], [5, 10, 15, 20])
    np.testing.assert_allclose(beads["radius"], 15, rtol=0.02)
    np.testing.assert_allclose(beads["x"], [25, 75, 125, 175], atol=0.1)
    np.testing.assert_allclose(beads["blur"], blur, rtol=0.3)
    assert beads["brightness"][3] == pytest.approx(0.3, abs=0.05)
    assert not beads["touches_border"].any() and not beads["crowding"].any()


def test_smooth_noise_has_unit_spread_and_its_period():
    noise = smooth_noise(np.random.default_rng(0), 512, 4)
    assert noise.std() == pytest.approx(1, abs=0.05)
    shifted = np.corrcoef(noise[:, :-12].ravel(), noise[:, 12:].ravel())[0, 1]
    assert abs(shifted) < 0.1
    np.testing.assert_allclose(upsample(np.full((9, 9), 2.5, "f4"), 50), 2.5, rtol=1e-6)


def test_shot_noise_is_the_root_of_the_electrons():
    flat = np.full((400, 400), 0.5, np.float32)
    made = expose(
        flat, np.random.default_rng(0), bits=16, electrons=400, read=0.0, noise=1.0,
        saturate=False,
    ).astype(float)  # fmt: skip
    black = np.random.default_rng(0)
    goal = black.uniform(0.45, 0.95)
    assert made.std() / 65535 == pytest.approx(np.sqrt(goal / 400), rel=0.05)


def test_jpeg_blocks_are_close_to_those_of_pillow():
    pillow = pytest.importorskip("PIL.Image")
    import io

    image = generate(GeneratedSettings(modalities=("phase_contrast",)), 0, 3).image
    image = (image / image.max() * 255).astype(np.uint8)
    file = io.BytesIO()
    pillow.fromarray(image).save(file, "JPEG", quality=50)
    other = np.asarray(pillow.open(file)).astype(int)
    assert np.abs(jpeg_blocks(image, 50).astype(int) - other).mean() < 0.5


def test_wrong_settings_are_named():
    with pytest.raises(BeadsegError, match="preset 'cells'"):
        GeneratedSettings(preset="cells")
    with pytest.raises(BeadsegError, match="modality 'x_ray'"):
        GeneratedSettings(modalities=("x_ray",))
    with pytest.raises(BeadsegError, match="beads"):
        GeneratedSettings(beads=(9, 3))
    with pytest.raises(BeadsegError, match="at least 1"):
        GeneratedSettings(beads=(0, 3))
    crowded = replace(GeneratedSettings(size=64), beads=(150, 150), radius=(10, 20))
    with pytest.raises(BeadsegError, match="widen"):
        generate(crowded, 0, 0)
