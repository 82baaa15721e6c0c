"""A bead is placed with one click."""

import numpy as np
import pytest
from skimage.draw import disk

from beadseg.data.generated.render import generate
from beadseg.data.generated.settings import GeneratedSettings
from beadseg.partial.review.fit_disc import Known, fit_disc, known_beads
from beadseg.partial.review.label_map import KEPT, MANUAL, Bead, LabelMap


def drawn(shape, *discs):
    """Labels 1, 2, ... of discs (y, x, radius)."""
    labels = np.zeros(shape, np.int32)
    for number, (y, x, radius) in enumerate(discs, 1):
        labels[disk((y, x), radius, shape=shape)] = number
    return labels


def fit(image, labels, y, x, most=48):
    """The bead at a place, as beads of `labels` that are near look."""
    ids = np.unique(labels[labels > 0]).tolist()
    beads = LabelMap(labels, {number: Bead(MANUAL, KEPT) for number in ids})
    known = known_beads(beads, beads.near(y, x, most))
    return fit_disc(image, labels, known, y, x)


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("radius", [3.0, 6.5, 20.0, 70.0])
def test_a_lone_disc_is_found_from_beside_its_centre(radius, sign):
    size = int(4 * radius) + 40
    y, x = size / 2 + 0.3, size / 2 - 0.4
    other = (y, x + size, 1.1 * radius)
    rows, columns = np.mgrid[:size, : 2 * size]
    image = np.random.default_rng(0).normal(100, 3, rows.shape)
    for at in ((y, x, radius), other):
        away = np.hypot(rows - at[0], columns - at[1])
        image += 50 * sign * np.clip(at[2] - away + 0.5, 0, 1)
    labels = drawn(image.shape, other)
    found = fit(image, labels, y + 0.4 * radius, x - 0.3 * radius)
    assert np.hypot(found[0] - y, found[1] - x) < 0.06 * radius + 0.3
    assert abs(found[2] - radius) < 0.05 * radius + 0.3


def test_a_hundred_generated_beads_are_met():
    """Of all modalities, touching and overlapping, clicked off their centres."""
    overlaps = []
    for index in range(40):
        made = generate(GeneratedSettings(), 9, index)
        labels, rng = made.labels, np.random.default_rng(index)
        ids = np.unique(labels[labels > 0])
        if len(ids) < 3:
            continue
        edge = {*labels[[0, -1]].ravel(), *labels[:, [0, -1]].ravel()}
        for bead in [b for b in rng.permutation(ids)[:4] if b not in edge]:
            own = labels == bead
            rows, columns = np.nonzero(own)
            off = 0.4 * np.sqrt(own.sum() / np.pi) * np.sqrt(rng.random())
            turn = rng.uniform(0, 2 * np.pi)
            y, x, radius = fit(
                made.image,
                np.where(own, 0, labels),
                rows.mean() + off * np.sin(turn),
                columns.mean() + off * np.cos(turn),
            )
            mask = np.zeros(labels.shape, bool)
            mask[disk((y, x), radius, shape=labels.shape)] = True
            mask &= own | (labels == 0)  # a click takes free pixels alone
            overlaps.append((mask & own).sum() / (mask | own).sum())
    assert len(overlaps) > 100
    assert np.mean(overlaps) > 0.91 and np.median(overlaps) > 0.93
    assert np.mean(np.array(overlaps) >= 0.8) > 0.93


@pytest.mark.parametrize("flat", [False, True])
def test_a_click_in_a_corner_stays_in_the_image(flat):
    image = np.random.default_rng(0).random((30, 40)) * (not flat)
    y, x, radius = fit(image, drawn(image.shape, (15, 15, 4)), 0.0, 39.0)
    assert -5 < y < 8 and 31 < x < 45 and 1.5 < radius < 9


def test_pixels_without_data_do_not_hide_a_bead():
    rows, columns = np.mgrid[:60, :90]
    away = np.minimum(
        np.hypot(rows - 30, columns - 25), np.hypot(rows - 30, columns - 65)
    )
    image = np.where(away < 10, 5.0, 1.0)
    image[:, 68:] = np.nan
    labels = drawn(image.shape, (30, 25, 10))
    y, x, radius = fit(image, labels, 32, 62)
    assert np.hypot(y - 30, x - 65) < 1.5 and abs(radius - 10) < 1.5


def test_dark_beads_beside_bright_ones_are_met_as_they_are():
    """No polarity is asked for: the bead that is clicked tells it."""
    rng = np.random.default_rng(3)
    rows, columns = np.mgrid[:160, :160]
    image, radius = rng.normal(100, 4, rows.shape), 9.0
    centres = [(20 + 20.5 * i, 20 + 20.5 * k) for i in range(7) for k in range(7)]
    for number, (y, x) in enumerate(centres):
        sign = (-1) ** number  # all four neighbours are of the other kind
        away = np.hypot(rows - y, columns - x)
        image += sign * 45 * np.clip(radius - away + 0.5, 0, 1)
    labels = drawn(image.shape, *((y, x, radius) for y, x in centres))
    for number, (y, x) in enumerate(centres, 1):
        off = rng.uniform(-0.35, 0.35, 2) * radius
        left = np.where(labels == number, 0, labels)
        found = fit(image, left, y + off[0], x + off[1])
        assert np.hypot(found[0] - y, found[1] - x) < 1.0
        assert abs(found[2] - radius) < 1.0


def test_what_rings_around_a_bead_is_not_taken_for_it():
    """A phase halo: a bright ring, with a dark one around it; either polarity."""
    rows, columns = np.mgrid[:80, :160]
    away = np.hypot(rows - 40, np.minimum(abs(columns - 40), abs(columns - 120)))
    labels = drawn(away.shape, (40, 120, 10))
    for sign in (-1, 1):
        image = 100 + sign * (60 * (away < 10) - 25 * ((away >= 10) & (away < 13)))
        y, x, radius = fit(image.astype(float), labels, 42, 38)
        assert np.hypot(y - 40, x - 40) < 1 and abs(radius - 10) < 1


def test_a_bead_of_many_rings_ends_where_others_of_its_kind_do():
    """The steepest ring lies within: where a bead ends, those that are drawn tell."""
    rows, columns = np.mgrid[:100, :200]
    away = np.hypot(rows - 50, np.minimum(abs(columns - 50), abs(columns - 150)))
    image = 100.0 + 80 * (away < 7) - 20 * ((away >= 7) & (away < 15))
    y, x, radius = fit(image, drawn(image.shape, (50, 150, 15)), 47, 53)
    assert np.hypot(y - 50, x - 50) < 1 and abs(radius - 15) < 1


def test_the_nearest_whole_beads_are_those_that_tell():
    labels = drawn((60, 60), (2, 20, 5), (15, 20, 4), (50, 50, 6), (30, 20, 3))
    beads = LabelMap(labels, {n: Bead(MANUAL, KEPT) for n in range(1, 5)})
    assert beads.near(5, 20, 4) == [2, 4, 3, 1]  # 1 is cut
    assert beads.near(5, 20, 2) == [2, 4]
    known = known_beads(beads, [3, 4])
    assert isinstance(known, Known)
    assert known.y == pytest.approx([50, 30]) and known.x == pytest.approx([50, 20])
    areas = [(labels == number).sum() for number in (3, 4)]
    assert np.pi * known.radius**2 == pytest.approx(areas)
