"""The model that comes with beadseg: it is there, small, and finds what it should."""

import json
import math

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from scipy.spatial.distance import cdist
from scipy.special import ndtr

import beadseg
from beadseg.data.generated.camera import jpeg_blocks
from beadseg.data.generated.render import generate
from beadseg.data.generated.settings import GeneratedSettings
from beadseg.files import read_json
from beadseg.inference.run import DEFAULT, load_run
from beadseg.matching import f1, match
from configs import default_model

GROUND, CONTRAST, NOISE = 100.0, 60.0, 3.0  # steps of 8 bits


@pytest.fixture(scope="module")
def predictor():
    return beadseg.load()


def field(shape, discs, *, contrast=CONTRAST, noise=NOISE, seed=0) -> np.ndarray:
    """Even discs (y, x, diameter) with an edge of a px on an even background, u8[H,
    W].
    """
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    image = np.full(shape, GROUND, np.float32)
    contrasts = np.broadcast_to(contrast, len(discs))
    for (cy, cx, diameter), height in zip(discs, contrasts, strict=True):
        image += height * ndtr((diameter / 2 - np.hypot(y - cy, x - cx)) / 0.6)
    image += np.random.default_rng(seed).normal(0, noise, shape)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def grid_of(count, diameter, pitch, top=0.0):
    """count x count discs, not quite in rows."""
    rng = np.random.default_rng(count)
    at = (np.arange(count) + 0.6) * pitch
    off = rng.uniform(-0.1, 0.1, (count, count, 2)) * pitch
    return [
        (top + y + off[i, j, 0], x + off[i, j, 1], diameter)
        for i, y in enumerate(at)
        for j, x in enumerate(at)
    ]


def pairs(discs, table):
    """Index of the disc and of the bead, where each is the nearest of the other."""
    found = np.stack([table["y"], table["x"]], 1)
    if not len(found):
        return np.zeros((2, 0), int)
    apart = cdist(np.array(discs)[:, :2], found)
    bead, disc = apart.argmin(1), apart.argmin(0)
    mutual = np.flatnonzero(disc[bead] == np.arange(len(discs)))
    near = apart[mutual, bead[mutual]] < 0.25 * np.array(discs)[mutual, 2]
    return np.stack([mutual, bead[mutual]])[:, near]


def assert_same_beads(discs, table, *, within=0.05):
    """All discs are found, nothing else, and as large as they are."""
    disc, bead = pairs(discs, table)
    assert len(table["label"]) == len(discs) == len(disc)
    ratio = table["diameter_px"][bead] / np.array(discs)[disc, 2]
    np.testing.assert_allclose(ratio, 1, atol=within)


# What is in the package


def test_it_is_complete_and_small():
    size = sum(file.stat().st_size for file in DEFAULT.iterdir() if file.is_file())
    assert size < 4 * 2**20
    assert (DEFAULT / "CARD.md").read_text().startswith("# ")
    run = load_run(DEFAULT)
    assert run.sizes == default_model.get_config().data.generated.sizes
    assert "distance" in run.model_config.heads


def test_it_is_what_its_config_asks_for():
    stored = read_json(DEFAULT / "config.json")
    wanted = json.loads(json.dumps(default_model.get_config().to_dict()))
    for part in ("model", "loss", "optim", "train"):
        assert wanted[part].items() >= stored[part].items()
    for name in ("bead_diameter", "crop", "batch_size", "generated", "augment"):
        assert wanted["data"][name] == stored["data"][name]


# Nothing where there is nothing


def shading(shape, loss):
    """Light that falls off from the middle to the corners, and to one side."""
    y, x = (np.linspace(-1, 1, n) for n in shape)
    return 1 - loss / 2 * (y[:, None] ** 2 + x**2) + 0.1 * x


def empty_fields(shape=(256, 256)):
    rng = np.random.default_rng(0)

    def noise(sigma):
        return rng.normal(0, sigma, shape)

    hot = GROUND + noise(NOISE)
    hot[tuple(rng.integers(256, size=(2, 300)))] = 255
    steep = GROUND * np.linspace(0.3, 2, shape[1]) + noise(NOISE)
    grey = np.clip(GROUND + noise(8), 0, 255).astype(np.uint8)
    from_middle = np.hypot(*(np.indices(shape) - np.array(shape)[:, None, None] / 2))
    seen = 1 / (1 + np.exp((from_middle - 0.44 * shape[0]) / 8))  # soft at its edge
    wave = 10 * np.sin(np.arange(shape[0]) / 1.7)[:, None]
    return {
        "Gaussian": 1000 + noise(40),
        "Gaussian of half a step": np.rint(GROUND + noise(0.5)).astype(np.uint8),
        "Poisson of 0.01": rng.poisson(0.01, shape),
        "Poisson of 0.3": rng.poisson(0.3, shape),
        "Poisson of 5": rng.poisson(5, shape),
        "Poisson of 5000": rng.poisson(5000, shape),
        "flat field": rng.poisson(2000 * shading(shape, 0.3)),
        "flat field of little loss": rng.poisson(20_000 * shading(shape, 0.1)),
        "flat field of much loss": rng.poisson(2000 * shading(shape, 0.6)),
        "slope": steep,
        "rows": GROUND + 10 * rng.normal(size=(shape[0], 1)) + noise(NOISE),
        "stripes": GROUND + wave + noise(NOISE),
        "columns": GROUND + 10 * rng.normal(size=shape[1]) + noise(NOISE),
        "hot pixels": hot,
        "JPEG 30": jpeg_blocks(grey, 30),
        "JPEG 80": jpeg_blocks(grey, 80),
        "round field of view": GROUND * (0.1 + 0.9 * seen) + noise(NOISE),
        "soft": GROUND + 8 * ndimage.gaussian_filter(noise(1), 1.0),
        "constant": np.full(shape, 7, np.uint8),
        "black": np.zeros(shape, np.uint16),
    }


@pytest.mark.parametrize("kind", empty_fields())
def test_nothing_is_found_in_noise(predictor, kind):
    assert predictor.predict(empty_fields()[kind]).image["count"] == 0


def test_nothing_is_found_in_the_blocks_of_a_compressed_field(predictor):
    settings = GeneratedSettings(
        "varied", size=512, beads=(0, 0), modalities=("bright_field",)
    )
    image = generate(settings, 1606, 2).image  # 15 before their steps were known
    assert predictor.predict(image).image["count"] == 0


@pytest.mark.parametrize("index", [12, 35])  # of tests/bench/empty_fields.py
def test_what_looks_a_little_like_beads_everywhere_is_grain(predictor, index):
    modality = {12: "phase_contrast", 35: "transmission_electron"}[index]
    settings = GeneratedSettings(
        "varied", size=512, beads=(0, 0), modalities=(modality,)
    )
    image = generate(settings, 1606, index).image
    found = predictor.predict(image)
    assert found.image["count"] == 0
    unlikely = predictor.predict(image, min_score=0.4)  # as given: no more is asked
    assert unlikely.image["count"] > 3


# One bead


@pytest.mark.parametrize("contrast", [CONTRAST, -CONTRAST], ids=["bright", "dark"])
@pytest.mark.parametrize("diameter", [6, 7, 9, 13, 20, 31, 48, 75, 120, 190, 300])
def test_a_disc_of_any_size_is_found_once_and_as_large_as_it_is(
    predictor, diameter, contrast
):
    side = 208 if diameter < 100 else 416
    disc = (side / 2 + 3.3, side / 2 - 1.8, diameter)
    found = predictor.predict(field((side, side), [disc], contrast=contrast))
    assert_same_beads([disc], found.table, within=0.15 if diameter < 8 else 0.05)


@pytest.mark.parametrize("contrast", [CONTRAST, -CONTRAST], ids=["bright", "dark"])
@pytest.mark.parametrize("side", [90, 127, 200, 310])
@pytest.mark.parametrize("share", [0.55, 0.75, 0.9])
def test_a_disc_that_fills_an_image_is_found_or_said(predictor, share, side, contrast):
    disc = (side / 2 + 0.01 * side, side / 2, share * side)
    image = field((side, side), [disc], contrast=contrast)
    found = predictor.predict(image)
    if share > 0.82 and contrast > 0:  # as a round field of view
        assert found.image["count"] == 0
        assert "and is not counted (diameter " in found.notes[-1]
        found = predictor.predict(image, diameter=disc[2])
    assert_same_beads([disc], found.table, within=0.1)


@pytest.mark.parametrize("wall", [3, 5])
@pytest.mark.parametrize("diameter", [20, 36])
def test_rings_in_a_layer_are_no_lettering(predictor, diameter, wall):
    rows = np.arange(10 * diameter)
    y, x = np.meshgrid(rows, rows, indexing="ij")
    discs = [
        ((i + 0.8) * 0.88 * diameter, (j + 0.8 + 0.5 * (i % 2)) * 1.02 * diameter)
        for i in range(9)
        for j in range(8)
        if (i + j) % 7
    ]
    off = np.min([np.hypot(y - cy, x - cx) for cy, cx in discs], 0)
    image = GROUND - CONTRAST * ((off < diameter / 2) & (off > diameter / 2 - wall))
    image = ndimage.gaussian_filter(image, 0.8)
    image += np.random.default_rng(wall).normal(0, NOISE, image.shape)
    found = predictor.predict(np.clip(np.rint(image), 0, 255).astype(np.uint8))
    disc, bead = pairs([(*at, diameter) for at in discs], found.table)
    assert len(disc) > 0.95 * len(discs)
    assert len(disc) > 0.95 * len(found.table["label"])


@pytest.mark.parametrize("contrast", [CONTRAST, -CONTRAST], ids=["bright", "dark"])
@pytest.mark.parametrize("diameter", [8, 14, 30])
@pytest.mark.parametrize("spoilt", ["columns", "rows", "slope"])
def test_defective_lines_and_uneven_light_leave_the_beads(
    predictor, spoilt, diameter, contrast
):
    discs = grid_of(4, diameter, 64)
    image = field((256, 256), discs, contrast=contrast).astype(np.int64)
    image[:, [31, 90, 92, 160, 223]] += 300 * (spoilt == "columns")
    image[[18, 100, 101, 240]] -= 300 * (spoilt == "rows")
    image += np.linspace(-50, 70, 256, dtype=int) * (spoilt == "slope")
    found = predictor.predict(image)
    disc, _ = pairs(discs, found.table)
    assert len(disc) >= 14  # of 16
    assert len(found.table["label"]) <= len(disc) + 1


@pytest.mark.parametrize("contrast", [15, -15], ids=["bright", "dark"])
@pytest.mark.parametrize("diameter", [6, 8])
def test_beads_of_little_contrast_are_found_in_noise(predictor, diameter, contrast):
    discs = grid_of(4, diameter, 64)  # of 6 px, dark, 0 before noise was smoothed
    found = predictor.predict(field((256, 256), discs, contrast=contrast, noise=4))
    disc, _ = pairs(discs, found.table)
    assert len(disc) >= 14  # of 16
    assert len(found.table["label"]) <= len(disc) + 1


@pytest.mark.parametrize("contrast", [CONTRAST, -CONTRAST], ids=["bright", "dark"])
@pytest.mark.parametrize("diameter", [8, 14])
def test_compression_that_hides_the_noise_leaves_the_beads(
    predictor, diameter, contrast
):
    discs = grid_of(2, diameter, 100)
    found = predictor.predict(
        jpeg_blocks(field((256, 256), discs, contrast=contrast), 50)
    )
    disc, _ = pairs(discs, found.table)
    assert len(disc) == len(found.table["label"]) == len(discs)


@pytest.mark.parametrize("contrast", [70, -70], ids=["bright", "dark"])
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("quality", [80, 95])
def test_few_tiny_beads_of_an_enlarged_frame_are_found(
    predictor, quality, count, contrast
):
    discs = [(2 * y, 2 * x, 2 * d) for y, x, d in grid_of(count, 3.5, 110)]
    rng = np.random.default_rng(count)  # the noise that colours of 4 px leave
    soft = ndimage.zoom(rng.normal(0, 3, (64, 64)), 4, order=1)
    frame = field((256, 256), grid_of(count, 3.5, 110), contrast=contrast, noise=1)
    frame = Image.fromarray(jpeg_blocks((frame + soft).clip(0, 255), quality))
    found = predictor.predict(np.asarray(frame.resize((512, 512), Image.BICUBIC)))
    disc, _ = pairs(discs, found.table)
    assert len(disc) == len(found.table["label"]) == len(discs)


@pytest.mark.parametrize("contrast", [80, -80], ids=["bright", "dark"])
@pytest.mark.parametrize("large, small", [(120, 7), (120, 8), (80, 10), (30, 6)])
def test_small_beads_of_one_size_are_found_beside_large_ones(
    predictor, large, small, contrast
):
    big = [(y, x, large) for y in (100, 300, 500) for x in (90, 480)]
    tiny = [disc for disc in grid_of(12, small, 50) if 180 < disc[1] < 390]
    image = field((620, 600), big + tiny, contrast=contrast, noise=4)
    found = predictor.predict(image)
    disc, _ = pairs(big + tiny, found.table)
    assert len(found.table["label"]) == len(disc) >= 0.95 * len(big + tiny)
    assert set(range(len(big))) <= set(disc.tolist())


# Many beads


@pytest.mark.parametrize("modality", ["fluorescence", "bright_field"])
@pytest.mark.parametrize("radius", [6, 18])
def test_it_finds_touching_beads_whatever_their_size(predictor, modality, radius):
    settings = GeneratedSettings(
        size=20 * radius,
        modalities=(modality,),
        patterns=("clusters",),
        beads=(20, 60),
        coverage=(0.2, 0.5),
        radius=(0.9 * radius, 1.1 * radius),
        overlap_share=0.0,
    )
    scores = []
    for index in range(2):
        made = generate(settings, 100, index)
        found = predictor.predict(made.image)
        scores.append(f1(match(made.labels, found.labels, 0.5).counts))
    assert np.mean(scores) > 0.8


@pytest.mark.parametrize(
    ("side", "modality", "diameter", "share"),
    [
        (320, "phase_contrast", 6, 0.85),  # 0.45 without a finer level
        (600, "fluorescence", 6, 0.5),  # 0.26; tried in parts of the image first
    ],
)
def test_tiny_beads_that_touch_are_told_apart(
    predictor, side, modality, diameter, share
):
    most = side**2 / (math.pi * diameter**2 / 4)
    settings = GeneratedSettings(
        size=side,
        modalities=(modality,),
        radius=(0.475 * diameter, 0.525 * diameter),
        beads=(int(0.18 * most), int(0.44 * most)),
        coverage=(0.2, 0.4),
    )
    made = generate(settings, 51, 0)
    found = predictor.predict(made.image)
    discs = [(bead["y"], bead["x"], diameter) for bead in made.beads]
    disc, _ = pairs(discs, found.table)
    assert len(disc) > share * len(discs)
    assert len(disc) > 0.8 * len(found.table["label"])


SHAPE = (256, 256)
BEADS = grid_of(8, 13.0, 30)


def test_all_of_a_field_are_found(predictor):
    assert_same_beads(BEADS, predictor.predict(field(SHAPE, BEADS)).table, within=0.1)


@pytest.mark.parametrize("kind", ["hot pixel", "bright column", "bright bead", "dirt"])
def test_what_is_added_changes_no_bead_elsewhere(predictor, kind):
    image = field(SHAPE, BEADS).astype(float)
    rng = np.random.default_rng(1)
    added = np.zeros(SHAPE)
    if kind == "hot pixel":
        added[131, 77] = 60_000
    elif kind == "bright column":
        added[:, 120] = 40 * CONTRAST
    elif kind == "bright bead":
        lone = field(SHAPE, [(150.0, 128.0, 13)], noise=0).astype(float)
        added = 20 * (lone - GROUND)
    else:
        crumbs = ndimage.gaussian_filter(rng.normal(size=(40, 40)), 3)
        added[100:140, 100:140] = 40 * CONTRAST * (crumbs > 0.05)
    near = ndimage.distance_transform_edt(added == 0) <= 10
    apart = [d for d in BEADS if not near[round(d[0]), round(d[1])]]
    assert len(apart) >= 0.8 * len(BEADS)
    found = []
    for pixels in (image, image + added):
        table = predictor.predict(pixels).table
        where = near[np.rint(table["y"]).astype(int), np.rint(table["x"]).astype(int)]
        found.append({name: column[~where] for name, column in table.items()})
    before, after = found
    disc, bead = pairs(apart, after)
    assert len(disc) == len(apart) == len(after["label"]) == len(before["label"])
    same = pairs(apart, before)[1]
    for name, most in (("y", 0.5), ("x", 0.5), ("diameter_px", 0.7)):
        np.testing.assert_allclose(after[name][bead], before[name][same], atol=most)


@pytest.mark.parametrize("way", ["repeated", "bicubic"])
@pytest.mark.parametrize("diameter", [13, 36])
def test_an_image_twice_as_large_has_beads_twice_as_large(predictor, way, diameter):
    discs = grid_of(6, float(diameter), 1.4 * diameter)
    side = round(9 * diameter)
    image = field((side, side), discs)
    if way == "repeated":
        large = np.kron(image, np.ones((2, 2), np.uint8))
    else:
        large = np.array(Image.fromarray(image).resize((2 * side, 2 * side), 3))
    one, two = (predictor.predict(pixels).table for pixels in (image, large))
    assert len(one["label"]) == len(two["label"]) == len(discs)
    doubled = [(2 * y + 0.5, 2 * x + 0.5, 2 * d) for y, x, d in discs]
    first, second = pairs(discs, one)[1], pairs(doubled, two)[1]
    assert len(first) == len(second) == len(discs)
    ratio = two["diameter_px"][second] / one["diameter_px"][first]
    np.testing.assert_allclose(ratio, 2, rtol=0.05)


def test_brightness_and_contrast_of_the_camera_change_no_bead(predictor):
    image = field(SHAPE, BEADS)
    one = predictor.predict(image)
    other = predictor.predict(1000 + 37 * image.astype(np.uint16))
    assert (one.labels != other.labels).mean() < 1e-3
    assert one.image["count"] == other.image["count"]


def test_small_tiles_give_what_the_whole_gives(predictor):
    discs = [*grid_of(4, 10.0, 24), *grid_of(3, 45.0, 70, top=110.0)]
    image = field((330, 250), discs)
    whole = predictor.predict(image)
    tiled = beadseg.load(tile=96).predict(image)
    assert whole.image["count"] == tiled.image["count"] >= 0.9 * len(discs)
    assert (whole.labels != tiled.labels).mean() < 1e-3
    np.testing.assert_allclose(whole.probability, tiled.probability, atol=0.01)
    np.testing.assert_allclose(whole.table["score"], tiled.table["score"], atol=0.05)


@pytest.mark.parametrize("contrast", [CONTRAST, -CONTRAST], ids=["bright", "dark"])
def test_small_and_large_beads_of_one_image_are_found(predictor, contrast):
    small, large = grid_of(12, 8.0, 20), grid_of(3, 80.0, 105, top=250.0)
    image = field((580, 340), small + large, contrast=contrast)
    table = predictor.predict(image).table
    for discs in (small, large):
        disc, bead = pairs(discs, table)
        assert len(disc) >= 0.9 * len(discs)
        ratio = table["diameter_px"][bead] / discs[0][2]
        assert np.mean(np.abs(ratio - 1) < 0.1) >= 0.9
    assert len(table["label"]) <= 1.1 * len(small + large)


@pytest.mark.parametrize("polarity", ["bright", "dark", "any"])
def test_polarity_gives_the_bright_and_the_dark_alone(predictor, polarity):
    signs = np.where(np.arange(len(BEADS)) % 3 == 0, -1, 1)
    image = field(SHAPE, BEADS, contrast=CONTRAST * signs)
    table = predictor.predict(image, polarity=polarity).table
    wanted = {"bright": signs > 0, "dark": signs < 0, "any": signs != 0}[polarity]
    discs = [disc for disc, chosen in zip(BEADS, wanted, strict=True) if chosen]
    disc, _ = pairs(discs, table)
    assert len(disc) >= 0.95 * len(discs)
    assert len(table["label"]) <= 1.05 * len(discs)


def test_a_score_that_is_asked_for_is_the_least(predictor):
    made = generate(GeneratedSettings("varied", size=256, empty_share=0.0), 9, 4)
    every = predictor.predict(made.image, min_score=0)
    for least in (0.5, 0.9):
        found = predictor.predict(made.image, min_score=least)
        assert np.all(found.table["score"] >= least)
        assert found.image["count"] <= every.image["count"]


@pytest.mark.parametrize("contrast", [CONTRAST, -CONTRAST], ids=["bright", "dark"])
@pytest.mark.parametrize("value", [0, 255])
@pytest.mark.parametrize("kind", ["padded", "corner", "turned", "cleared"])
def test_what_no_camera_took_changes_no_bead(predictor, kind, value, contrast):
    discs = grid_of(5, 9, 40)
    image = field((200, 200), discs, contrast=contrast)
    if kind == "padded":
        image = np.pad(image, 50, constant_values=value)
        discs = [(y + 50, x + 50, d) for y, x, d in discs]
    elif kind == "corner":
        image = np.pad(image, ((0, 100), (0, 60)), constant_values=value)
    elif kind == "turned":
        turned = Image.fromarray(image).rotate(
            10, Image.Resampling.BICUBIC, expand=True, fillcolor=value
        )
        image = np.asarray(turned)
    else:
        y, x = np.mgrid[:200, :200]
        off = np.hypot(y - 100, x - 100)
        image = np.where(off > 90, value, image).astype(np.uint8)
        discs = [disc for disc in discs if math.hypot(*np.subtract(disc[:2], 100)) < 80]
        table = predictor.predict(image).table
        inside = np.hypot(table["y"] - 100, table["x"] - 100) < 80
        assert_same_beads(discs, {n: v[inside] for n, v in table.items()}, within=0.1)
        return
    found = predictor.predict(image)
    assert "blank" in found.notes[0]
    if kind == "turned":
        assert len(found.table["label"]) == len(discs)
    else:
        assert_same_beads(discs, found.table, within=0.1)


@pytest.mark.parametrize("value", [0, 255])
@pytest.mark.parametrize("crops", ["10240x*r3_c[2-4]", "640x*r1_c3"])
def test_what_no_camera_took_changes_no_bead_of_a_dilution(
    predictor, real_set, crops, value
):
    """A corner without data looks like a body that covers more than all beads."""
    folder = real_set("brightfield_dilution_dev") / "images"
    for file in sorted(folder.glob(f"{crops}.png")):
        image = np.asarray(Image.open(file).convert("L"))
        alone = len(predictor.predict(image).table["label"])
        padded = np.pad(image, (0, 102), constant_values=value)
        found = len(predictor.predict(padded).table["label"])
        assert alone > 0 and found == pytest.approx(alone, rel=0.05)


def test_a_crowded_field_without_sure_beads_is_no_grain(predictor, real_set):
    folder = real_set("brightfield_dilution_dev") / "images"
    for file in sorted(folder.glob("synthetic_80x_*.png")):
        image = np.asarray(Image.open(file).convert("L"))
        assert len(predictor.predict(image).table["label"]) > 300
