"""A bead is placed with one click."""

import numpy as np
import pytest
from skimage.draw import disk

from beadseg.data.generated.render import generate
from beadseg.data.generated.settings import GeneratedSettings
from beadseg.partial.review.fit_disc import fit_disc


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("radius", [3.0, 6.5, 20.0, 70.0])
def test_a_lone_disc_is_found_from_beside_its_centre(radius, sign):
    size = int(4 * radius) + 40
    y, x = size / 2 + 0.3, size / 2 - 0.4
    rows, columns = np.mgrid[:size, :size]
    away = np.hypot(rows - y, columns - x)
    image = 100 + 50 * sign * np.clip(radius - away + 0.5, 0, 1)
    image += np.random.default_rng(0).normal(0, 3, image.shape)
    found = fit_disc(image, y + 0.4 * radius, x - 0.3 * radius, 2.2 * radius)
    assert np.hypot(found[0] - y, found[1] - x) < 0.06 * radius + 0.3
    assert abs(found[2] - radius) < 0.05 * radius + 0.3


def test_a_hundred_generated_beads_are_met():
    """Of all modalities, touching and overlapping, clicked off their centres."""
    overlaps = []
    for index in range(40):
        drawn = generate(GeneratedSettings(), 9, index)
        labels, rng = drawn.labels, np.random.default_rng(index)
        ids, areas = np.unique(labels[labels > 0], return_counts=True)
        if len(ids) < 3:
            continue
        median = 2 * np.sqrt(np.median(areas) / np.pi)
        edge = {*labels[[0, -1]].ravel(), *labels[:, [0, -1]].ravel()}
        for bead in [b for b in rng.permutation(ids)[:4] if b not in edge]:
            own = labels == bead
            rows, columns = np.nonzero(own)
            off = 0.4 * np.sqrt(own.sum() / np.pi) * np.sqrt(rng.random())
            turn = rng.uniform(0, 2 * np.pi)
            y, x, radius = fit_disc(
                drawn.image,
                rows.mean() + off * np.sin(turn),
                columns.mean() + off * np.cos(turn),
                median,
            )
            mask = np.zeros(labels.shape, bool)
            mask[disk((y, x), radius, shape=labels.shape)] = True
            mask &= own | (labels == 0)  # a click takes free pixels alone
            overlaps.append((mask & own).sum() / (mask | own).sum())
    assert len(overlaps) > 100
    assert np.mean(overlaps) > 0.8 and np.median(overlaps) > 0.88


def test_a_click_in_a_corner_stays_in_the_image():
    y, x, radius = fit_disc(np.random.default_rng(0).random((30, 40)), 0.0, 39.0, 8.0)
    assert -5 < y < 8 and 31 < x < 45 and 2.5 < radius < 6


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
    for y, x in centres:
        off = rng.uniform(-0.35, 0.35, 2) * radius
        found = fit_disc(image, y + off[0], x + off[1], 2 * radius)
        assert np.hypot(found[0] - y, found[1] - x) < 1.0
        assert abs(found[2] - radius) < 1.0


def test_what_rings_around_a_bead_is_not_taken_for_it():
    """A phase halo: a bright ring, with a dark one around it; either polarity."""
    rows, columns = np.mgrid[:80, :80]
    away = np.hypot(rows - 40, columns - 40)
    for sign in (-1, 1):
        image = 100 + sign * (60 * (away < 10) - 25 * ((away >= 10) & (away < 13)))
        y, x, radius = fit_disc(image.astype(float), 42, 38, 20.0)
        assert np.hypot(y - 40, x - 40) < 1 and abs(radius - 10) < 1
