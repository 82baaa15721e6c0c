import json

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from beadseg.errors import BeadsegError
from beadseg.partial.completed import image_problem, names, read_proposals
from beadseg.partial.review.annotation_log import AnnotationLog, Stale
from beadseg.partial.review.derived import saving
from tests.partial.book_mask import book_mask


def manual(folder):
    return tifffile.imread(folder / "person" / "a.tif")


def test_a_proposal_is_in_the_mask_once_accepted_and_unknown_until_decided(completed):
    annotations = AnnotationLog(completed, "a")
    annotations.act({"do": "accept", "ids": [4]})
    annotations.act({"do": "reject", "ids": [7]})
    saving(annotations)()
    mask = tifffile.imread(completed / "masks" / "a.tif")
    ignore = tifffile.imread(completed / "ignore" / "a.tif")
    proposals = tifffile.imread(completed / "proposals" / "a.tif")
    assert set(np.unique(mask)) == {0, 1, 2, 3, 4}
    np.testing.assert_array_equal(ignore > 0, np.isin(proposals, (5, 6)))
    told = json.loads((completed / "provenance" / "a.json").read_text())
    assert told["beads"]["4"]["state"] == "accepted"
    assert told["beads"]["7"] == {
        "origin": "model",
        "state": "rejected",
        "in_mask": False,
        "score": 0.55,
        "reason": "a test",
        "run": "runs/test",
    }
    assert told["completeness"] == pytest.approx(4 / (4 + 0.97 + 0.8), abs=1e-4)


def test_a_book_opened_again_is_where_it_was(completed):
    annotations = AnnotationLog(completed, "a")
    annotations.act({"do": "draw", "y": 20, "x": 68, "ry": 5, "rx": 8})
    annotations.act({"do": "accept", "ids": [4, 5]})
    annotations.act({"do": "undo"})
    annotations.act({"do": "merge", "ids": [1, 2]})
    again = AnnotationLog(completed, "a")
    np.testing.assert_array_equal(again.map.labels, annotations.map.labels)
    assert again.map.beads == annotations.map.beads and again.version == 4
    for _ in range(2):
        again.act({"do": "undo"})
    np.testing.assert_array_equal(again.map.labels, manual(completed) + again.proposals)
    with pytest.raises(BeadsegError, match="nothing to undo"):
        again.act({"do": "undo"})


def test_a_line_cut_short_by_a_kill_is_all_that_is_lost(completed):
    annotations = AnnotationLog(completed, "a")
    annotations.act({"do": "accept", "ids": [4]})
    log = completed / "decisions" / "a.jsonl"
    whole = log.read_bytes()
    log.write_bytes(whole + b'{"do": "rej')
    again = AnnotationLog(completed, "a")
    assert again.version == 1
    again.act({"do": "undo"})
    assert log.read_bytes() == whole + b'{"do": "undo"}\n'


def test_a_drawn_bead_takes_no_pixel_of_a_person_and_replaces_what_it_covers(completed):
    annotations = AnnotationLog(completed, "a")
    annotations.act({"do": "draw", "y": 12, "x": 34, "ry": 8, "rx": 8})
    assert (annotations.map.labels == 8).sum() > 0
    np.testing.assert_array_equal(
        np.where(annotations.map.labels <= 3, annotations.map.labels, 0),
        manual(completed),
    )
    annotations.act({"do": "draw", "y": 40, "x": 58, "ry": 7, "rx": 7})
    assert annotations.map.beads[7].state == "rejected"
    assert not (annotations.map.labels == 7).any()


def test_a_split_and_a_merge_give_back_the_bead(completed):
    annotations = AnnotationLog(completed, "a")
    before = annotations.map.labels.copy()
    annotations.act({"do": "split", "id": 1, "y0": 0, "x0": 10, "y1": 30, "x1": 10})
    parts = [(annotations.map.labels == n).sum() for n in (1, 8)]
    assert abs(parts[0] - parts[1]) <= 13 and sum(parts) == (before == 1).sum()
    annotations.act({"do": "merge", "ids": [1, 8]})
    np.testing.assert_array_equal(annotations.map.labels, before)


def test_the_eraser_takes_from_the_chosen_bead_alone(completed):
    annotations = AnnotationLog(completed, "a")
    stroke = {"points": [[12, 0], [12, 79]], "radius": 2, "erase": True}
    before = annotations.map.labels.copy()
    annotations.act({"do": "paint", "id": 2} | stroke)
    changed = before != annotations.map.labels
    assert set(before[changed]) == {2}
    assert annotations.map.beads[2].edited


def test_a_decision_about_an_older_state_is_refused(completed):
    annotations = AnnotationLog(completed, "a")
    annotations.act({"do": "accept", "ids": [4]}, version=0)
    with pytest.raises(Stale, match="another window"):
        annotations.act({"do": "reject", "ids": [4]}, version=0)


@pytest.mark.parametrize(
    ("action", "said"),
    [
        ({"do": "explode"}, "unknown action"),
        ({"do": "accept", "ids": [1]}, "no proposal"),
        ({"do": "accept", "ids": [99]}, "no bead 99"),
        ({"do": "accept"}, "numbers of beads"),
        ({"do": "draw", "y": 5, "x": 5, "ry": 0, "rx": 3}, "half a pixel"),
        ({"do": "draw", "y": "five", "x": 5, "ry": 3, "rx": 3}, "must be a number"),
        ({"do": "draw", "y": 1e5, "x": 5, "ry": 3, "rx": 3}, "outside the image"),
        ({"do": "draw", "y": 12, "x": 10, "ry": 2, "rx": 2}, "no free pixel"),
        ({"do": "merge", "ids": [1]}, "two beads"),
        ({"do": "split", "id": 1, "y0": 0, "x0": 0, "y1": 0, "x1": 5}, "does not cut"),
        ({"do": "paint", "points": [], "radius": 3}, "needs points"),
        ({"do": "redo"}, "nothing to redo"),
    ],
)
def test_an_impossible_action_changes_nothing(completed, action, said):
    annotations = AnnotationLog(completed, "a")
    before = annotations.map.labels.copy()
    with pytest.raises(BeadsegError, match=said):
        annotations.act(action)
    np.testing.assert_array_equal(annotations.map.labels, before)
    assert not (completed / "decisions" / "a.jsonl").exists()


@pytest.mark.parametrize("where", ["decisions/a.jsonl", "proposals/a.json"])
def test_a_damaged_file_is_named(completed, where):
    (completed / where).write_text('{"do": "accept"\n{}\n')
    with pytest.raises(BeadsegError, match=f"{where}.*damaged"):
        AnnotationLog(completed, "a")


def test_a_decision_that_fits_no_bead_is_named_by_its_line(completed):
    (completed / "decisions" / "a.jsonl").write_text('{"do": "accept", "ids": [50]}\n')
    with pytest.raises(BeadsegError, match="line 1 does not fit.*no bead 50"):
        AnnotationLog(completed, "a")


def test_provenance_damaged_by_hand_is_written_anew(completed):
    annotations = AnnotationLog(completed, "a")
    annotations.act({"do": "accept", "ids": [4]})
    saving(annotations)()
    file = completed / "provenance" / "a.json"
    before = file.read_text()
    file.write_text("{")
    saving(AnnotationLog(completed, "a"))()
    assert file.read_text() == before


def test_a_changed_or_missing_image_is_told(completed):
    about = read_proposals(completed, "a")
    assert image_problem(completed, about) is None
    image = completed / "images" / "a.tif"
    tifffile.imwrite(image, np.zeros((64, 80), np.uint16))
    assert "has changed since" in image_problem(completed, about)
    image.unlink()
    assert "is gone" in image_problem(completed, about)


def test_a_folder_without_proposals_is_refused(tmp_path):
    with pytest.raises(BeadsegError, match="no proposals.*beadseg complete"):
        names(tmp_path)


NUMBER = st.integers(1, 12)
PLACE = st.integers(-5, 85)
ACTION = st.one_of(
    st.builds(
        lambda do, ids: {"do": do, "ids": ids},
        st.sampled_from(["accept", "reject", "reopen", "merge", "delete"]),
        st.lists(NUMBER, min_size=1, max_size=3),
    ),
    st.builds(
        lambda y, x, ry, rx: {"do": "draw", "y": y, "x": x, "ry": ry, "rx": rx},
        *(PLACE, PLACE, st.integers(1, 9), st.integers(1, 9)),
    ),
    st.builds(
        lambda n, y, x, r, e: (
            {"do": "paint", "id": n, "points": [[y, x], [y, x + 9]]}
            | {"radius": r, "erase": e}
        ),
        *(st.none() | NUMBER, PLACE, PLACE, st.integers(1, 6), st.booleans()),
    ),
    st.builds(
        lambda n, y, x: {"do": "split", "id": n, "y0": y, "x0": 0, "y1": x, "x1": 80},
        *(NUMBER, PLACE, PLACE),
    ),
    st.sampled_from([{"do": "undo"}, {"do": "redo"}, {"do": "reviewed"}]),
)


def named(action) -> set[int]:
    return {action.get("id"), *action.get("ids", [])}


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(actions=st.lists(ACTION, max_size=15))
def test_no_sequence_of_actions_moves_a_bead_of_a_person_unasked(completed, actions):
    log = completed / "decisions" / "a.jsonl"
    log.unlink(missing_ok=True)
    annotations = AnnotationLog(completed, "a")
    mask, edited = manual(completed), set()
    for action in actions:
        try:
            annotations.act(action)
            edited |= named(action)
        except BeadsegError:
            pass
    found = ndimage.find_objects(np.maximum(annotations.map.labels, 0))
    assert annotations.map.boxes == {n: box for n, box in enumerate(found, 1) if box}
    for number in {1, 2, 3} - edited:
        np.testing.assert_array_equal(annotations.map.labels == number, mask == number)
        np.testing.assert_array_equal(book_mask(annotations) == number, mask == number)
    again = AnnotationLog(completed, "a")
    np.testing.assert_array_equal(again.map.labels, annotations.map.labels)
    assert (
        again.map.beads == annotations.map.beads
        and again.map.boxes == annotations.map.boxes
    )
    while again.can_undo:
        again.act({"do": "undo"})
    np.testing.assert_array_equal(again.map.labels, mask + again.proposals)
    np.testing.assert_array_equal(manual(completed), mask)
