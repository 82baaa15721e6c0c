import numpy as np
import pytest

from beadseg.colours import FALSE_POSITIVE, UNKNOWN
from beadseg.inference.outputs.views import (
    SHOWN,
    chosen,
    circles,
    densest,
    excerpt,
    grey,
    view,
)

RED = np.round(255 * np.array(FALSE_POSITIVE)).astype(int)


@pytest.mark.parametrize("side", [65, 130, 1040])
def test_outlines_lie_inside_their_beads_and_nowhere_else(side):
    labels = circles((side, side), np.array([[side / 2, side / 2]]), side / 2)
    shown = view(np.zeros((side, side)), (labels, FALSE_POSITIVE)).astype(int)
    assert shown.shape == (SHOWN, SHOWN, 3)
    rows, columns = np.nonzero((shown == RED).all(-1))
    away = np.hypot(rows - SHOWN / 2, columns - SHOWN / 2) / SHOWN
    assert len(rows) > SHOWN / 2  # all around
    pixel = 1 / min(side, SHOWN)
    assert away.max() <= 0.25 + pixel and away.min() >= 0.25 - 2 * pixel
    assert (shown[(shown != RED).any(-1)] == 0).all()


def test_what_is_unknown_is_tinted_and_its_label_has_no_outline():
    image = np.tile(np.linspace(0, 1, SHOWN), (SHOWN, 1))
    unknown = np.zeros(image.shape, bool)
    unknown[100:200] = True
    labels = np.where(unknown, -1, 0)
    plain = view(image)
    shown = view(image, (labels, FALSE_POSITIVE), unknown=unknown)
    np.testing.assert_array_equal(shown[~unknown], plain[~unknown])
    tinted = 0.6 * plain[unknown] + 0.4 * 255 * np.array(UNKNOWN)
    assert np.abs(shown[unknown] - tinted).max() <= 1


def test_the_fullest_window_is_shown_and_kept_whole():
    labels = circles((400, 500), np.array([[300, 420], [310, 440], [40, 40]]), 9)
    part = densest(labels > 0, 100)
    assert [s.stop - s.start for s in part] == [100, 100]
    assert np.sum(labels[part] > 0) > 0.9 * np.sum((labels == 1) | (labels == 2))
    kept = excerpt(labels, 100)
    np.testing.assert_array_equal(kept.labels, labels[kept.rows, kept.columns])
    assert set(np.unique(chosen(labels, [2]))) == {0, 2}


def test_grey_spans_from_dark_to_bright_and_survives_what_is_not_finite():
    image = np.random.default_rng(0).normal(100, 10, (50, 60))
    image[3, 4], image[5, 6] = np.nan, np.inf
    found = grey(image)
    assert (found.min(), found.max()) == (0, 1) and not grey(np.ones((9, 9))).any()
