"""Ruled lines go, whatever their angle; beads on them, and beads in rows, stay."""

import numpy as np
import pytest
from scipy.special import ndtr

from beadseg.inference.pyramid.ruling import without_ruling

SIDE, GROUND, NOISE = 320, 130.0, 2.0


def bead_off(discs, shape=(SIDE, SIDE)):
    """How much of each pixel no disc (y, x, diameter) covers."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    free = np.ones(shape)
    for cy, cx, diameter in discs:
        free *= 1 - ndtr((diameter / 2 - np.hypot(y - cy, x - cx)) / 0.8)
    return free


def ruled(degrees, pitch, height, discs=(), width=2.0, shape=(SIDE, SIDE), seed=0):
    """A field with a grid of lines, which discs hide: with and without the lines."""
    rng = np.random.default_rng(seed)
    y, x = np.indices(shape)
    lines = np.zeros(shape)
    for turn in np.radians([degrees, degrees + 90]):
        place = x * np.cos(turn) + y * np.sin(turn) + rng.uniform(0, pitch)
        off = np.abs(place % pitch - pitch / 2)
        lines += height * ndtr((width / 2 - off) / 0.8)
    free = bead_off(discs, shape)
    plain = GROUND - 60 * (1 - free) + rng.normal(0, NOISE, shape)
    return plain + lines * free, plain


DISCS = [
    (60 * i + 31 + 7 * j, 60 * j + 28 + 9 * i, 12) for i in range(5) for j in (0, 2)
]


@pytest.mark.parametrize("degrees", [0, 2, -7, 30, 45])
@pytest.mark.parametrize("pitch", [50, 90])
@pytest.mark.parametrize("height", [-40, 40, 12])
@pytest.mark.parametrize("discs", [(), DISCS], ids=["empty", "beads"])
def test_lines_go_and_what_lies_beside_them_stays(degrees, pitch, height, discs):
    image, plain = ruled(degrees, pitch, height, discs)
    found = without_ruling(image)
    wrong = found - plain
    beads = bead_off(discs) < 0.5
    assert np.abs(wrong[~beads]).mean() < 0.06 * abs(height)
    assert np.percentile(np.abs(wrong[~beads]), 99) < 0.35 * abs(height) + NOISE
    if len(discs):
        left = (found - GROUND)[beads].mean() / (plain - GROUND)[beads].mean()
        assert left == pytest.approx(1, abs=0.15)


def test_blocks_of_a_large_image_have_lines_of_their_own(monkeypatch):
    image, plain = ruled(3, 60, -40, shape=(500, 700))
    monkeypatch.setattr("beadseg.inference.pyramid.ruling.BLOCK", 256)
    assert np.abs(without_ruling(image) - plain).mean() < 3


def in_rows(diameter, gap, degrees, hexagonal, ring) -> np.ndarray:
    """Beads side by side in a lattice."""
    turn = np.radians(degrees)
    y, x = np.indices((SIDE, SIDE)).astype(float)
    u, v = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    apart = diameter * gap
    high = apart * (np.sqrt(0.75) if hexagonal else 1)
    nearest = np.full(u.shape, np.inf)
    for step in (-1, 0, 1):
        row = np.round(v / high) + step
        shift = (row % 2) * (apart / 2 if hexagonal else 0)
        column = np.round((u - shift) / apart) * apart + shift
        nearest = np.minimum(nearest, np.hypot(u - column, v - row * high))
    bead = ndtr((diameter / 2 - nearest) / 0.8)
    if ring:
        bead -= ndtr((diameter / 2 - 3 - nearest) / 0.8)
    noise = np.random.default_rng(0).normal(0, NOISE, u.shape)
    return GROUND + 60 * bead + noise


@pytest.mark.parametrize("diameter", [10, 16, 24])
@pytest.mark.parametrize("gap", [1.0, 1.15])
@pytest.mark.parametrize("degrees", [0, 17, 45])
@pytest.mark.parametrize("hexagonal", [False, True], ids=["square", "hexagonal"])
@pytest.mark.parametrize("ring", [False, True], ids=["discs", "rings"])
def test_beads_in_rows_are_no_lines(diameter, gap, degrees, hexagonal, ring):
    image = in_rows(diameter, gap, degrees, hexagonal, ring)
    changed = without_ruling(image) - image
    assert np.mean(changed != 0) < 0.01


@pytest.mark.parametrize("seed", range(3))
def test_other_images_are_left_alone(seed):
    rng = np.random.default_rng(seed)
    places = rng.uniform(0, SIDE, (60, 2))
    image = GROUND - 60 * (1 - bead_off([(*at, 14) for at in places]))
    image += rng.normal(0, NOISE, image.shape)
    for some in (image, image[:100], np.full((SIDE, SIDE), 7), image.astype(np.uint8)):
        assert without_ruling(some) is some
