"""A threshold moves the outlines of what was found."""

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from beadseg.errors import BeadsegError
from beadseg.partial.review.annotation_log import AnnotationLog
from beadseg.partial.review.session import ReviewSession, View
from beadseg.partial.review.thresholds import Extents
from tests.partial.conftest import disc, make_completed

SIZE = 96
CENTRES, RADIUS = ((30, 30), (30, 62), (70, 46)), 10.0
BLUR = 2.0


def cones():
    """Beads whose probability falls with the distance from them; found at 0.5."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    away = [np.hypot(rows - y, columns - x) for y, x in CENTRES]
    probability = 1 / (1 + np.exp((np.min(away, 0) - RADIUS) / BLUR))
    labels = np.where(probability >= 0.5, np.argmin(away, 0) + 1, 0)
    return labels.astype(np.int32), probability.astype(np.float32)


@pytest.mark.parametrize("threshold", [0.15, 0.3, 0.5, 0.7, 0.95])
def test_beads_end_where_the_probability_reaches_the_threshold(threshold):
    labels, probability = cones()
    found = Extents(labels, probability, 0.5).labels(threshold)
    radius = RADIUS - BLUR * np.log(threshold / (1 - threshold))
    for number in (1, 2, 3):
        got = np.sqrt((found == number).sum() / np.pi)
        assert got == pytest.approx(radius, abs=0.25)
        assert ndimage.label(found == number)[1] == 1


def test_at_their_own_threshold_beads_are_as_they_were_found():
    labels, probability = cones()
    labels[28:32, 28:32] = 0  # left out by the prediction, though sure
    labels[10:13, 30] = 1  # put in, though not
    assert np.array_equal(Extents(labels, probability, 0.5).labels(0.5), labels)
    lower = Extents(labels, probability, 0.5).labels(0.2)
    assert not lower[28:32, 28:32].any() and (lower[labels > 0] > 0).all()


def test_beads_that_grow_meet_and_do_not_overrun_each_other():
    labels, probability = np.zeros((2, 20, 60), np.int32)
    disc(labels, 10, 10, 5, 1)
    disc(labels, 10, 50, 5, 2)
    found = Extents(labels, np.where(labels, 0.9, 0.3), 0.5).labels(0.25)
    assert (found > 0).all() and not probability.any()
    middle = (found[10] == 1).sum()
    assert 28 <= middle <= 32 and ndimage.label(found == 1)[1] == 1


@pytest.fixture
def predicted(tmp_path):
    """A folder as a prediction is made one to review, of the image `a`."""
    import json

    folder = make_completed(tmp_path / "out", "a")
    labels, probability = cones()
    zeros = np.zeros(labels.shape, np.uint8)
    for kind, layer in (("proposals", labels), ("person", zeros)):
        tifffile.imwrite(folder / kind / "a.tif", layer)
    file = folder / "proposals" / "a.json"
    about = json.loads(file.read_text()) | {"accepted": True, "threshold": 0.5}
    about["beads"] = {str(n): {"score": 0.9, "reason": "Found."} for n in (1, 2, 3)}
    file.write_text(json.dumps(about))
    (folder / "probability").mkdir()
    tifffile.imwrite(folder / "probability" / "a.tif", probability)
    return folder


def areas(annotations):
    return np.bincount(annotations.map.labels.ravel(), minlength=5).tolist()


def test_what_a_person_decided_stays_and_undo_takes_a_threshold_back(predicted):
    log = AnnotationLog(predicted, "a")
    log.act({"do": "delete", "ids": [3]})
    log.act({"do": "paint", "id": 2, "points": [[30, 74]], "radius": 2, "erase": False})
    before = areas(log)
    log.act({"do": "redraw", "threshold": 0.3})
    assert areas(log)[1] > before[1] and areas(log)[2:] == before[2:]
    assert log.threshold == 0.3
    again = AnnotationLog(predicted, "a")
    assert np.array_equal(again.map.labels, log.map.labels) and again.threshold == 0.3
    log.act({"do": "redraw", "threshold": 0.5})
    assert areas(log) == before
    log.act({"do": "undo"})
    log.act({"do": "undo"})
    assert areas(log) == before and log.threshold == 0.5


def test_a_bead_that_no_pixel_is_left_of_comes_back_with_a_lower_threshold(predicted):
    file = predicted / "probability" / "a.tif"
    tifffile.imwrite(file, np.minimum(tifffile.imread(file), 0.8))
    log = AnnotationLog(predicted, "a")
    log.act({"do": "redraw", "threshold": 0.9})
    assert log.counts() == {"rejected": 3} and not log.map.labels.any()
    log.act({"do": "redraw", "threshold": 0.5})
    assert log.counts() == {"accepted": 3}
    assert np.array_equal(log.map.labels, cones()[0])


def test_what_the_page_shows_is_what_it_is_redrawn_to(predicted):
    session = ReviewSession(predicted)
    whole = View(-8.0, -8.0, 1.0, SIZE + 16, SIZE + 16)
    shown = session.redrawn("a", 0.25, whole)
    near = session.redrawn("a", 0.25, View(20.0, 10.0, 4.0, 80, 40))
    session.decide("a", {"do": "redraw", "threshold": 0.25}, 0)
    labels = session.annotations("a").map.labels
    session.close()
    assert np.array_equal(shown, np.pad(labels, 8))
    assert np.array_equal(near, labels[10:20, 20:40].repeat(4, 0).repeat(4, 1))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda file: file.unlink(), "probability among --only"),
        (lambda file: file.write_bytes(b"no map"), "damaged"),
        (lambda file: tifffile.imwrite(file, np.zeros((4, 4))), "not as large"),
    ],
)
def test_without_its_map_a_threshold_is_refused_in_one_line(predicted, spoil, says):
    spoil(predicted / "probability" / "a.tif")
    session = ReviewSession(predicted)
    with pytest.raises(BeadsegError, match=says):
        session.decide("a", {"do": "redraw", "threshold": 0.3}, 0)
    with pytest.raises(BeadsegError, match="from 0.1 to 0.95"):
        session.redrawn("a", 0.01, View(0.0, 0.0, 1.0, 8, 8))
    session.close()
