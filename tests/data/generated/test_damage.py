"""Label damage: exactly the asked beads go, outlines move by the asked px."""

import math

import numpy as np
import pytest
from scipy import ndimage
from skimage.draw import disk
from skimage.measure import label as components

from beadseg.data.generated.damage import DAMAGES, damage_labels
from beadseg.data.generated.render import generate
from beadseg.data.generated.settings import GeneratedSettings
from beadseg.data.masks.beads import BEAD_TABLE, describe_beads
from beadseg.errors import BeadsegError

DROPS = [kind for kind in DAMAGES if kind.startswith("drop")]


@pytest.fixture(scope="module")
def made():
    return generate(GeneratedSettings(), 0, 1)


def dropped(before, after) -> np.ndarray:
    return np.setdiff1d(np.unique(before), np.unique(after))


def discs(*centres, radius=10, shape=(80, 120)):
    labels = np.zeros(shape, np.int32)
    for i, centre in enumerate(centres):
        labels[disk(centre, radius, shape=shape)] = i + 1
    return labels, describe_beads(labels, labels > 0)


@pytest.mark.parametrize("kind", DROPS)
@pytest.mark.parametrize("amount", [0.0, 0.2, 0.5, 1.0])
def test_drops_remove_the_asked_number_of_whole_beads(made, kind, amount):
    rng = np.random.default_rng(0)
    after = damage_labels(kind, amount, made.labels, made.beads, rng)
    gone = dropped(made.labels, after)
    assert len(gone) == np.floor(amount * len(made.beads) + 0.5)
    expected = np.where(np.isin(made.labels, gone), 0, made.labels)
    np.testing.assert_array_equal(after, expected)


@pytest.mark.parametrize(
    ("kind", "field", "sign"),
    [
        ("drop_dim", "brightness", 1),
        ("drop_blurred", "blur", -1),
        ("drop_crowded", "crowding", -1),
    ],
)
def test_drops_take_the_worst_first(made, kind, field, sign):
    rng = np.random.default_rng(0)
    after = damage_labels(kind, 0.3, made.labels, made.beads, rng)
    gone = np.isin(made.beads["label"], dropped(made.labels, after))
    value = sign * made.beads[field].astype(float)
    assert value[gone].max() <= value[~gone].min()


def test_drop_random_does_not_look_at_the_beads():
    beads = np.zeros(10, BEAD_TABLE)
    beads["label"] = np.arange(1, 11)
    labels = np.arange(11, dtype=np.int32)[None]
    rng = np.random.default_rng(0)
    after = [damage_labels("drop_random", 0.3, labels, beads, rng) for _ in range(2000)]
    share = np.mean([a[0, 1:] == 0 for a in after], axis=0)
    np.testing.assert_allclose(share, 0.3, atol=0.05)


def test_drop_outside_leaves_one_region():
    at = [(y, x) for y in range(8, 200, 16) for x in range(8, 200, 16)]
    labels, beads = discs(*at, radius=6, shape=(200, 200))
    rng = np.random.default_rng(1)
    after = damage_labels("drop_outside", 0.6, labels, beads, rng)
    left = np.isin(beads["label"], np.unique(after)).reshape(12, 12)
    assert components(left, connectivity=1).max() == 1
    # No dropped bead lies between kept ones: the region is convex along rows.
    for row in left:
        kept = np.flatnonzero(row)
        assert len(kept) == 0 or row[kept[0] : kept[-1] + 1].all()


def test_erosion_and_dilation_of_a_disc_change_its_radius():
    labels, beads = discs((40, 60), radius=20)
    rng = np.random.default_rng(0)
    smaller = damage_labels("erode", 3, labels, beads, rng)
    larger = damage_labels("dilate", 3, labels, beads, rng)
    assert np.sum(smaller == 1) == pytest.approx(np.pi * 17**2, rel=0.03)
    assert np.sum(larger == 1) == pytest.approx(np.pi * 23**2, rel=0.03)


@pytest.mark.parametrize("radius", [1, 2, 3])
def test_erosion_equals_that_of_scipy_for_each_bead(made, radius):
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    ball = y * y + x * x <= radius * radius
    rng = np.random.default_rng(0)
    after = damage_labels("erode", radius, made.labels, made.beads, rng)
    for bead in made.beads["label"][:15]:
        expected = ndimage.binary_erosion(made.labels == bead, ball, border_value=1)
        np.testing.assert_array_equal(after == bead, expected)


@pytest.mark.parametrize("radius", [1, 3])
def test_dilation_covers_what_scipy_covers_and_merges_nothing(made, radius):
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    ball = y * y + x * x <= radius * radius
    rng = np.random.default_rng(0)
    after = damage_labels("dilate", radius, made.labels, made.beads, rng)
    expected = ndimage.binary_dilation(made.labels > 0, ball)
    np.testing.assert_array_equal(after > 0, expected)
    was = made.labels > 0
    np.testing.assert_array_equal(after[was], made.labels[was])


def test_touching_discs_stay_two_when_dilated():
    labels, beads = discs((40, 50), (40, 71))
    after = damage_labels("dilate", 4, labels, beads, np.random.default_rng(0))
    area = np.bincount(after.ravel())[1:]
    assert area[0] == area[1]  # mirror images, parted in the middle
    assert np.sum(after > 0) < 2 * np.pi * 14**2


def test_shift_moves_every_bead_by_the_asked_distance():
    labels, beads = discs((40, 40), (40, 80))
    for seed in range(5):
        rng = np.random.default_rng(seed)
        after = damage_labels("shift", 6, labels, beads, rng)
        centres = np.array(ndimage.center_of_mass(after > 0, after, [1, 2]))
        moves = centres - [(40, 40), (40, 80)]
        np.testing.assert_allclose(moves[0], moves[1], atol=1e-9)
        assert np.hypot(*moves[0]) == pytest.approx(6, abs=0.75)
        np.testing.assert_array_equal(np.bincount(after.ravel())[1:], [305, 305])


@pytest.mark.parametrize("kind", DAMAGES)
def test_originals_are_untouched_and_types_kept(made, kind):
    before, table = made.labels.copy(), made.beads.copy()
    rng = np.random.default_rng(0)
    after = damage_labels(kind, 0.5, made.labels, made.beads, rng)
    np.testing.assert_array_equal(made.labels, before)
    np.testing.assert_array_equal(made.beads, table)
    assert after.dtype == before.dtype and not np.shares_memory(after, made.labels)


@pytest.mark.parametrize("kind", [k for k in DAMAGES if k != "shift"])
def test_unknown_pixels_stay_unknown(kind):
    labels, beads = discs((40, 40), (40, 80))
    labels[:12] = -1
    after = damage_labels(kind, 0.5, labels, beads, np.random.default_rng(0))
    np.testing.assert_array_equal(after == -1, labels == -1)


def test_real_label_maps_are_damaged_by_what_is_measured(made):
    beads = describe_beads(made.labels, made.image)
    ours, table = made.beads["brightness"], beads["brightness"]
    if np.ptp(ours) > 0.3:
        assert np.corrcoef(ours, table)[0, 1] > 0.5
    np.testing.assert_array_equal(beads["touches_border"], made.beads["touches_border"])
    rng = np.random.default_rng(0)
    after = damage_labels("drop_dim", 0.25, made.labels, beads, rng)
    assert len(dropped(made.labels, after)) == np.floor(0.25 * len(beads) + 0.5)


def test_wrong_damage_is_named():
    labels, beads = discs((40, 40))
    rng = np.random.default_rng(0)
    with pytest.raises(BeadsegError, match="'melt'"):
        damage_labels("melt", 0.5, labels, beads, rng)


@pytest.mark.parametrize("amount", [-1, math.nan, math.inf, 1e9])
@pytest.mark.parametrize("kind", ["drop_dim", "erode", "dilate", "shift"])
def test_an_amount_out_of_range_is_one_line(kind, amount):
    labels, beads = discs((40, 40))
    given = "0 to 1$" if kind == "drop_dim" else "0 to 100000 px$"
    with pytest.raises(BeadsegError, match=f"'{kind}' of .*{given}"):
        damage_labels(kind, amount, labels, beads, np.random.default_rng(0))
