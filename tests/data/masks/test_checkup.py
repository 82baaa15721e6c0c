"""Masks that do not belong to their image are named, sound ones never."""

import shutil

import numpy as np
import pytest
import tifffile
from PIL import Image
from scipy import ndimage

from beadseg.config import base_config
from beadseg.data.folder import doubt_lines, scan, trusted
from beadseg.data.masks import mask_fit


def picture(seed: int, side=200, beads=30, radius=6.0) -> tuple[np.ndarray, np.ndarray]:
    """Dark beads under uneven light, with noise, and their labels."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    labels = np.zeros((side, side), np.uint16)
    for number, (cy, cx) in enumerate(rng.uniform(0, side, (beads, 2)), 1):
        labels[np.hypot(y - cy, x - cx) <= radius] = number
    light = 150 - 40 * ndimage.gaussian_filter((labels > 0) * 1.0, 1) + 20 * x / side
    return (light + rng.normal(0, 2, light.shape)).astype(np.uint8), labels


def folder(tmp_path, masks: dict[str, np.ndarray], images: dict[str, np.ndarray]):
    for kind, arrays in (("images", images), ("masks", masks)):
        (tmp_path / "set" / kind).mkdir(parents=True)
        for name, array in arrays.items():
            tifffile.imwrite(tmp_path / "set" / kind / f"{name}.tif", array)
    return look(tmp_path)


def look(tmp_path, **settings):
    data = base_config().data
    data.dir, data.cache_dir = str(tmp_path / "set"), str(tmp_path / "cache")
    data.update(settings)
    return scan(data)


def pictures(count: int) -> tuple[dict, dict]:
    made = {f"i{k}": picture(k) for k in range(count)}
    return {n: m for n, (_, m) in made.items()}, {n: i for n, (i, _) in made.items()}


DAMAGES = {
    "as it is": lambda m: m,
    "binary": lambda m: (m > 0).astype(np.uint8) * 255,
    "thin": lambda m: m * ndimage.binary_erosion(m > 0, iterations=2),
    "thick": lambda m: ndimage.maximum_filter(m, 7),
    "shifted": lambda m: np.roll(m, (2, -2), (0, 1)),
    "half of the beads": lambda m: m * (m % 2 == 0),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_sound_masks_raise_no_alarm(tmp_path, damage):
    masks, images = pictures(5)
    found = folder(tmp_path, {n: DAMAGES[damage](m) for n, m in masks.items()}, images)
    assert not found.doubts and not found.problems


def test_a_mask_of_another_image_is_named_with_that_image(tmp_path):
    masks, images = pictures(5)
    masks["i3"] = masks["i1"]
    found = folder(tmp_path, masks, images)
    (doubt,) = found.doubts
    assert (doubt.image, doubt.kind) == ("i3", "other image")
    assert "on i1 it fits" in doubt.evidence
    assert doubt.file.endswith("masks/i3.tif") and doubt.left_out
    assert {s.name for s in trusted(found).samples if s.mask is None} == {"i3"}
    again = look(tmp_path)  # from the cache
    assert again.doubts == found.doubts
    kept = look(tmp_path, check_masks=False)
    assert kept.doubts and all(s.mask for s in trusted(kept).samples)


def test_a_mask_of_an_image_that_is_not_there_is_named(tmp_path):
    masks, images = pictures(3)
    masks["i0"] = picture(77)[1]
    (doubt,) = folder(tmp_path, masks, images).doubts
    assert (doubt.image, doubt.kind) == ("i0", "other image")


TURNS = {
    "turned by 180 degrees": lambda m: m[::-1, ::-1],
    "mirrored left to right": lambda m: m[:, ::-1],
    "mirrored top to bottom": lambda m: m[::-1],
    "turned by 90 degrees clockwise": lambda m: np.rot90(m, 1),
    "turned by 90 degrees counterclockwise": lambda m: np.rot90(m, -1),
    "mirrored along its diagonal": lambda m: m.T,
    "mirrored along its other diagonal": lambda m: np.rot90(m.T, 2),
}


@pytest.mark.parametrize("words", TURNS)
def test_a_turned_mask_is_named_with_the_turn_that_mends_it(tmp_path, words):
    masks, images = pictures(2)
    masks["i1"] = TURNS[words](masks["i1"])
    (doubt,) = folder(tmp_path, masks, images).doubts
    assert (doubt.image, doubt.kind) == ("i1", "turned")
    assert words in doubt.remedy


def test_a_mask_far_beside_its_beads_is_named_with_the_way(tmp_path):
    masks, images = pictures(2)
    masks["i1"] = np.roll(masks["i1"], (18, 0), (0, 1))
    (doubt,) = folder(tmp_path, masks, images).doubts
    assert (doubt.image, doubt.kind) == ("i1", "shifted")
    assert "18 px up" in doubt.evidence


def test_nothing_is_said_where_nothing_can_be_seen(tmp_path):
    rng = np.random.default_rng(0)
    masks, images = pictures(3)
    images = {
        n: rng.normal(100, 5, i.shape).astype(np.uint8) for n, i in images.items()
    }
    assert not folder(tmp_path, masks, images).doubts


def test_a_reading_is_said_and_trained_on(tmp_path):
    masks, images = pictures(3)
    masks["i2"] = np.where(masks["i2"] > 0, 0, 255).astype(np.uint8)
    found = folder(tmp_path, masks, images)
    (doubt,) = found.doubts
    assert (doubt.image, doubt.kind, doubt.left_out) == ("i2", "inverted", False)
    assert "i2.tif: inverted: " in doubt_lines(found.doubts)[0]
    assert all(s.mask for s in trusted(found).samples)


def test_many_alike_are_counted(tmp_path):
    masks, images = pictures(12)
    masks = {n: np.where(m > 0, 0, 255).astype(np.uint8) for n, m in masks.items()}
    lines = doubt_lines(folder(tmp_path, masks, images).doubts)
    assert len(lines) == 9 and lines[-1].startswith("4 more masks: inverted")


def test_crops_of_one_frame_have_one_group(tmp_path):
    frames = [picture(k, side=400, beads=90) for k in range(3)]
    masks, images = {}, {}
    for k, (image, labels) in enumerate(frames):
        for r in (0, 1):
            for c in (0, 1):
                part = slice(200 * r, 200 * r + 200), slice(200 * c, 200 * c + 200)
                masks[f"f{k}_r{r}_c{c}"] = labels[part]
                images[f"f{k}_r{r}_c{c}"] = image[part]
    found = folder(tmp_path, masks, images)
    assert {s.group for s in found.samples} == {"f0", "f1", "f2"}
    assert any("12 images of 3 frames (by their names)" in n for n in found.notes)
    free = look(tmp_path, group_pattern="(.*)")
    assert len({s.group for s in free.samples}) == 12


def test_one_frame_alone_is_not_kept_together(tmp_path):
    image, labels = picture(0, side=400, beads=90)
    masks = {f"f_x{x}_y0": labels[:, x : x + 200] for x in (0, 200)}
    images = {f"f_x{x}_y0": image[:, x : x + 200] for x in (0, 200)}
    found = folder(tmp_path, masks, images)
    assert len({s.group for s in found.samples}) == 2
    assert any("crops of one frame" in note for note in found.notes)


def test_the_labs_folder(real_set, tmp_path):
    data = base_config().data
    data.dir = str(real_set("brightfield_dilution_dev"))
    data.cache_dir = str(tmp_path)
    found = scan(data)
    (doubt,) = found.doubts
    assert doubt.image == "2560x_2025-05-16_00-59-00_002_grid_r3_c4"
    assert "on 1280x_2025-05-16_00-59-00_grid_r2_c7 it fits" in doubt.evidence
    assert len(found.problems) == 3 and all("synthetic" in p for p in found.problems)
    assert len({s.group for s in trusted(found).samples if s.labelled}) == 6


def test_the_labs_mask_of_another_image_is_known_without_that_image(real_set, tmp_path):
    lab, name = real_set("brightfield_dilution_dev"), "2560x_2025-05-16_00-59-00_002"
    for kind in ("images", "masks"):
        (tmp_path / "set" / kind).mkdir(parents=True)
        for end in ("_grid_r3_c4.png", "_grid_r3_c5.png"):
            for file in (lab / kind).glob(f"{name}{end}"):
                shutil.copy(file, tmp_path / "set" / kind)
    (doubt,) = look(tmp_path).doubts
    assert (doubt.image, doubt.kind) == (f"{name}_grid_r3_c4", "other image")
    assert "fits no other image" in doubt.evidence


@pytest.mark.parametrize(
    ("score", "strength", "chance"),
    [(2.0, 0.15, True), (3.4, 0.03, True), (3.4, 0.1, False), (5.5, 0.03, False)],
)
def test_what_lies_as_if_by_chance_is_faint_or_scores_low(score, strength, chance):
    none = np.zeros((2, 2), np.float32)
    light = mask_fit.Light(none, none, none, 0.01, 0.3, 0.5)
    own = mask_fit.Fit(score, 5.0, strength)
    assert mask_fit.by_chance(own, light, 100) == chance
    assert not mask_fit.by_chance(own, light, 3)  # too few to tell


@pytest.mark.parametrize(
    "name",
    [
        "bbbc007_sparse_labels",
        "beadnet_latex_dev",
        "bubbles_dev",
        "dsb2018_nuclei_dev",
        "emps_spheres_dev",
        "vnc_mitochondria_em",
    ],
)
def test_real_sets_raise_no_alarm(real_set, tmp_path, name):
    data = base_config().data
    data.dir, data.cache_dir = str(real_set(name)), str(tmp_path)
    found = scan(data)
    assert not found.doubts and not found.problems


@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_exif_turns_image_and_mask_alike(tmp_path, ending):
    image, labels = picture(0)
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its side
    for kind in ("images", "masks"):
        (tmp_path / "set" / kind).mkdir(parents=True)
    stored = Image.fromarray(np.ascontiguousarray(np.rot90(image, 1)))
    stored.save(tmp_path / "set/images" / f"a.{ending}", exif=exif, quality=95)
    tifffile.imwrite(tmp_path / "set/masks/a.tif", labels)
    assert not look(tmp_path).doubts
