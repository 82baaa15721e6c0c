"""Crops of one frame are known by their names and by edges that go on."""

import numpy as np
import pytest
from scipy import ndimage

from beadseg.data.frames import continued, edges_of, frame_of, joined


@pytest.mark.parametrize(
    ("stem", "frame"),
    [
        ("a_r0_c1", "a"),
        ("1280x_2025-05-16_00-59-00_grid_r2_c1", "1280x_2025-05-16_00-59-00"),
        ("img1_x0_y512", "img1"),
        ("img1-y512-x0", "img1"),
        ("scan_grid_2_3", "scan"),
        ("s tile 3", "s"),
        ("frame7_crop12", "frame7"),
        ("b_row1_col2", "b"),
        ("a_x0_y512", "a"),
        ("a_tile_07", "a"),
        ("a-crop3", "a"),
        ("2560x_2025-05-16_00-59-00_002_grid_r3_c4", "2560x_2025-05-16_00-59-00_002"),
        ("100x_3", None),
        ("blur_c3", None),
        ("matrix4", None),
        ("tile_001", None),
        ("grid_r1_c2", None),
        ("r01c02f03", None),
        ("well_A1_f3", None),
        ("image_12", None),
        ("x_c3", None),
    ],
)
def test_names_tell_the_frame(stem, frame):
    assert frame_of(stem) == frame


def scenes(count: int, side=256, noise=1.0) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    made = []
    for _ in range(count):
        smooth = ndimage.gaussian_filter(rng.normal(size=(side, side)), 3)
        light = 100 + 30 * smooth / smooth.std() + 30 * np.linspace(0, 1, side)
        made.append(light + rng.normal(0, noise, light.shape))
    return [scene.round().clip(0, 255).astype(np.uint8) for scene in made]


def test_abutting_crops_are_found_and_no_others():
    crops = [half for scene in scenes(12) for half in (scene[:, :128], scene[:, 128:])]
    pairs = continued([edges_of(crop) for crop in crops])
    truth = {(2 * k, 2 * k + 1) for k in range(12)}
    assert set(pairs) <= truth and len(pairs) >= 9


def test_overlapping_crops_are_found_and_no_others():
    crops = [part for scene in scenes(6) for part in (scene[:150], scene[100:250])]
    pairs = continued([edges_of(crop) for crop in crops])
    assert pairs == [(2 * k, 2 * k + 1) for k in range(6)]


def test_light_stripes_and_frames_that_all_share_join_nothing():
    rng = np.random.default_rng(4)
    stripes = rng.normal(0, 5, 128)[:, None]
    images = []
    for _ in range(8):
        noise = rng.normal(0, 1, (128, 128))
        image = 100 + 50 * np.linspace(0, 1, 128) + noise + stripes
        image[:, -4:] = 0  # a black border
        images.append(image.astype(np.uint8))
    assert continued([edges_of(image) for image in images]) == []


def test_blank_fields_join_nothing():
    rng = np.random.default_rng(5)
    images = [rng.poisson(3.0, (96, 128)).astype(np.uint16) for _ in range(8)]
    images += [np.zeros((96, 128), np.uint16)] * 2
    assert continued([edges_of(image) for image in images]) == []


def test_pairs_join_to_groups():
    assert joined(6, [(4, 5), (1, 3), (3, 4)]) == [0, 1, 2, 1, 1, 1]
