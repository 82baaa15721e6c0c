"""Tests of evaluation: numbers known in closed form, files that do not fit."""

import json

import numpy as np
import pytest
import tifffile
from roifile import ImagejRoi, roiwrite
from skimage import measure

from beadseg.inference.records import record_of, write_record
from beadseg.inference.scores.evaluation import metrics, pool, score, within
from tests.calls import exit_code, rows_of


def discs(centres, radius=8.0, shape=(80, 100)):
    y, x = np.indices(shape)
    labels = np.zeros(shape, np.int32)
    for label, (cy, cx) in enumerate(centres, 1):
        labels[(y - cy) ** 2 + (x - cx) ** 2 <= radius**2] = label
    return labels


CENTRES = [(15, 15), (15, 50), (15, 85), (60, 20), (60, 60)]


def save(file, array):
    file.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(file, array)


@pytest.fixture
def folders(tmp_path):
    """A data set of two images, and a prediction that misses a bead of one."""
    truth = discs(CENTRES)
    for name, labels in (("a", truth), ("b", np.where(truth == 2, 0, truth))):
        noise = np.random.default_rng(0).integers(0, 255, truth.shape, np.uint8)
        save(tmp_path / "data" / "images" / f"{name}.tif", noise)
        save(tmp_path / "data" / "masks" / f"{name}.tif", truth.astype(np.uint16))
        save(tmp_path / "pred" / "labels" / f"{name}.tif", labels.astype(np.uint16))
    return tmp_path


def evaluate(capsys, *arguments, code=0):
    assert exit_code("evaluate", *arguments) == code
    return capsys.readouterr()


def test_pixel_metrics_are_those_computed_by_hand():
    truth = np.zeros((10, 20), np.int32)
    truth[:, :8] = 1
    truth[:, 18:] = -1
    predicted = np.zeros_like(truth)
    predicted[:, 2:12] = 5
    predicted[:, 18:] = 6  # on unknown pixels: nothing
    found = metrics(score(truth, None, predicted))
    assert found["jaccard"] == 60 / 120
    assert found["dice"] == 120 / 180
    assert found["accuracy"] == (60 + 60) / 180
    assert found["predicted"] == found["beads"] == 1
    assert found["ap"] == [1.0] + 9 * [0.0]  # an IoU of exactly 0.5
    assert found["pq"][0] == 0.5
    assert found["mean_ap"] == pytest.approx(0.1)


def test_a_perfect_prediction_has_perfect_numbers():
    truth = discs(CENTRES)
    found = metrics(score(truth, None, truth * 3))
    for key in ("jaccard", "dice", "accuracy", "boundary_f1", "mean_ap"):
        assert found[key] == 1
    assert found["pq"] == 10 * [1.0]
    assert found["detection"]["f1"] == 1
    assert found["count_error"] == found["diameter_error"] == 0
    assert sum(found["errors"].values()) == 0


def test_images_without_beads_have_numbers():
    empty = np.zeros((20, 20), np.int32)
    both = metrics(score(empty, None, empty))
    assert (both["jaccard"], both["boundary_f1"], both["ap"][0]) == (1, 1, 1)
    assert both["diameter_error"] is None
    invented = metrics(score(empty, None, discs([(10, 10)], shape=(20, 20))))
    assert (invented["jaccard"], invented["boundary_f1"], invented["f1"][0]) == (
        0,
        0,
        0,
    )
    assert invented["count_error"] == 1


@pytest.mark.parametrize(("shift", "expected"), [(0, 1.0), (2, 1.0), (12, 0.0)])
def test_outlines_within_the_tolerance_count(shift, expected):
    truth = np.zeros((60, 60), np.int32)
    truth[20:30, 10:20] = 1
    found = score(truth, None, np.roll(truth, shift, 1), tolerance=2)
    assert metrics(found)["boundary_f1"] == expected


@pytest.mark.parametrize("distance", [0, 1, 2, 2.5, 7, 31, 40.5, 1e300])
@pytest.mark.parametrize("share", [0, 0.0003, 0.01])
def test_pixels_within_a_distance_have_one_so_near(distance, share):
    mask = np.random.default_rng(0).random((90, 80)) < share
    expected = np.zeros(mask.shape, bool)
    rows, columns = np.indices(mask.shape)
    for y, x in np.argwhere(mask):
        expected |= np.hypot(rows - y, columns - x) <= distance
    np.testing.assert_array_equal(within(mask, distance), expected)


def test_centres_are_found_within_the_distance_and_not_beyond():
    truth = np.array(CENTRES, np.float32)
    empty = np.zeros((80, 100), np.int32)
    moved = discs([(y, x + 4) for y, x in CENTRES])
    for distance, f1 in ((3.9, 0), (4.1, 1), (None, 1)):  # None: half of 16 px
        found = metrics(score(empty, truth, moved, distance=distance))
        assert found["detection"]["f1"] == f1
        assert "jaccard" not in found
    twice = discs([*CENTRES, (15, 30)])  # a second one within reach of none
    found = metrics(score(empty, truth, twice))
    assert found["detection"]["precision"] == 5 / 6
    assert (found["predicted"], found["beads"]) == (6, 5)
    empty[:, 25:35] = -1  # its centre is unknown, and most of it
    assert metrics(score(empty, truth, twice))["detection"]["precision"] == 1


def test_pooled_numbers_are_sums_divided_once():
    scores = [
        score(discs(CENTRES), None, discs(CENTRES[:n], r)) for n, r in ((5, 8), (2, 7))
    ]
    whole = metrics(pool(scores))
    assert whole["recall"][0] == 7 / 10
    assert whole["count_error"] == -3 / 10
    side = np.concatenate
    joined = metrics(
        score(
            side([discs(CENTRES), np.where(discs(CENTRES), discs(CENTRES) + 9, 0)], 1),
            None,
            side([discs(CENTRES), np.where(discs(CENTRES[:2], 7), 9, 0)], 1),
        )
    )
    for key in ("jaccard", "dice", "accuracy"):
        assert whole[key] == pytest.approx(joined[key])


def test_command_prints_writes_and_shows(folders, capsys):
    out = folders / "out"
    said = evaluate(
        capsys, folders / "pred", folders / "data", "-o", out, "--json", out / "x.json"
    ).out
    assert "2 images pooled" in said
    assert "1 false negative, 0 false positives, 0 merged, 0 split" in said
    result = json.loads((out / "evaluation.json").read_text())
    assert result == json.loads((out / "x.json").read_text())
    assert result["pooled"]["recall"][0] == 9 / 10
    assert result["mean_of_images"]["count_error"] == pytest.approx(0.1)
    rows = rows_of(out / "evaluation.csv")
    assert [(r["image"], r["false_negative"], r["ap_0.5"]) for r in rows] == [
        ("a", "0", "1.0"),
        ("b", "1", "0.8"),
    ]
    page = (out / "evaluation.html").read_text()
    assert page.index("<figcaption>b: 1 false negative") < page.index(
        "<figcaption>a: no error"
    )
    assert page.count("data:image/png") == 2


def test_pages_of_a_stack_match_by_name(folders, capsys):
    truth = discs(CENTRES).astype(np.uint16)
    save(folders / "data" / "masks" / "stack.tif", np.stack([truth, truth]))
    save(folders / "pred" / "labels" / "stack_p001.tif", truth)
    save(folders / "pred" / "labels" / "other.tif", truth)
    said = evaluate(capsys, folders / "pred", folders / "data").out
    assert "3 images pooled" in said
    assert "labelled, not predicted (1): stack_p000" in said
    assert "predicted, not labelled (1): other" in said


@pytest.mark.parametrize(
    ("ends", "known_by"),
    [
        (("_p000", "_p001"), "image"),
        (("_p000", "_p001"), "record"),
        (("_t000", "_t001"), "record"),
    ],
)
def test_numbered_pages_match_times_and_depths(folders, capsys, ends, known_by):
    truth = discs(CENTRES).astype(np.uint16)
    save(folders / "data" / "masks" / "film.tif", np.stack([truth, truth]))
    image = folders / "data" / "images" / "film.ome.tif"
    if known_by == "image":
        content = np.zeros((2, *truth.shape), np.uint8)
        tifffile.imwrite(image, content, metadata={"axes": "TYX"})
    for page, end in enumerate(ends):
        save(folders / "pred" / "labels" / f"film{end}.tif", truth)
        if known_by == "record":
            about = {"image": f"film{end}", "file": str(image), "page": page}
            record = record_of(folders / "pred", f"film{end}")
            record.parent.mkdir(exist_ok=True)
            write_record(record, about, {})
    said = evaluate(capsys, folders / "pred", folders / "data").out
    assert "4 images pooled" in said and "not predicted" not in said


def test_points_and_ignored_pixels_of_a_data_set(folders, capsys):
    points = np.zeros((80, 100), np.uint8)
    for y, x in CENTRES:
        points[y, x] = 255
    ignore = np.zeros((80, 100), np.uint8)
    ignore[:30, 30:70] = 1  # where the bead is that b misses
    save(folders / "data" / "points" / "c.tif", points)
    save(folders / "data" / "ignore" / "b.tif", ignore)
    labels = discs(CENTRES[:1]).astype(np.uint16)  # one bead: not cut up as binary
    save(folders / "pred" / "labels" / "c.tif", labels)
    out = folders / "result.json"
    page = folders / "page.html"
    evaluate(capsys, folders / "pred", folders / "data", "--json", out, "--page", page)
    result = json.loads(out.read_text())
    assert result["images"][1]["recall"][0] == 1
    assert result["images"][2]["detection"]["recall"] == 1 / 5
    assert "ap" not in result["images"][2]
    assert page.read_text().count("data:image/png") == 3


def test_single_files_belong_together_whatever_their_names(folders, capsys):
    pred, truth = folders / "pred/labels/b.tif", folders / "data/masks/a.tif"
    assert "1 false negative" in evaluate(capsys, pred, truth).out


@pytest.mark.parametrize("other", ["pred/labels/a.tif", "pred", "pred/labels/b.tif"])
def test_a_truth_with_a_page_for_each_bead_is_left_out_as_training_does(
    folders, capsys, other
):
    truth = discs(CENTRES)
    pages = np.stack([truth == number for number in range(1, 6)])
    masks = folders / "data" / "masks"
    save(masks / "a.tif", 255 * pages.astype(np.uint8))
    says = f"{masks / 'a.tif'}: 5 pages, but its image has 1: save all beads on one"
    if other == "pred":
        said = evaluate(capsys, folders / other, folders / "data", code=1).out
        assert f"left out: {says}" in said and "1 image pooled" in said
    else:
        said = evaluate(capsys, folders / other, masks / "a.tif", code=2).err
        assert said.startswith(f"error: {says}") and said.count("\n") == 1


def test_a_prediction_with_a_page_for_each_bead_is_left_out(folders, capsys):
    truth = discs(CENTRES)
    pages = np.stack([truth == number for number in range(1, 6)]).astype(np.uint8)
    save(folders / "pred" / "labels" / "a.tif", pages)
    for of in ("data", "data/masks"):
        said = evaluate(capsys, folders / "pred", folders / of, code=1).out
        assert "labels/a.tif: 5 pages, but its image has 1" in said


@pytest.mark.parametrize("kind", ["outlines", "centres", "beside", "words"])
def test_a_truth_is_read_in_all_ways_that_training_reads(folders, capsys, kind):
    masks = folders / "data" / "masks"
    for name in "ab":
        file = masks / f"{name}.tif"
        if kind == "outlines":
            rois = [
                ImagejRoi.frompoints(
                    measure.find_contours(tifffile.imread(file) == number, 0.5)[0][
                        :, ::-1
                    ]
                    + 0.5
                )
                for number in range(1, 6)
            ]
            roiwrite(file.with_suffix(".zip"), rois)
            file.unlink()
        elif kind == "centres":
            file.unlink()
            (folders / "data" / "points").mkdir(exist_ok=True)
            text = "x,y\n" + "".join(f"{x},{y}\n" for y, x in CENTRES)
            (folders / "data" / "points" / f"{name}.csv").write_text(text)
        elif kind == "beside":
            file.rename(folders / "data" / "images" / f"{name}_cp_masks.tif")
        else:
            file.rename(masks / f"{name}_labels.tif")
    result = folders / "e.json"
    evaluate(capsys, folders / "pred", folders / "data", "--json", result)
    found = json.loads(result.read_text())
    assert [image["detection"]["recall"] for image in found["images"]] == [1, 4 / 5]


def test_pixels_of_a_mask_without_data_count_neither_way_and_are_said(folders, capsys):
    labels = discs(CENTRES)
    for name in "ab":
        save(folders / "pred" / "labels" / f"{name}.tif", labels.astype(np.uint8))
        mask = np.where(labels == labels.max(), np.nan, labels).astype(np.float32)
        save(folders / "data" / "masks" / f"{name}.tif", mask)
    result = folders / "e.json"
    said = evaluate(capsys, folders / "pred", folders / "data", "--json", result).out
    found = json.loads(result.read_text())
    assert set(found["pooled"]["errors"].values()) == {0}
    unknown = (labels == labels.max()).sum()
    assert [image["unknown"] for image in found["images"]] == [unknown] * 2
    assert "note: 2 images have unknown pixels (-1, NaN, or ignore/), " in said


@pytest.mark.parametrize("whose", ["data/masks", "pred/labels"])
def test_a_way_in_which_masks_were_read_is_said_once(folders, capsys, whose):
    beads = discs(CENTRES)
    for name in "abcde":
        for side in ("data/masks", "pred/labels"):
            shown = beads if side != whose else (beads == 0) * 255
            save(folders / side / f"{name}.tif", shown.astype(np.uint8))
    result = folders / "e.json"
    said = evaluate(capsys, folders / "pred", folders / "data", "--json", result).out
    assert json.loads(result.read_text())["pooled"]["count_error"] == 0
    notes = [line for line in said.splitlines() if "inverted" in line]
    assert len(notes) == 1
    start = f"note: {folders / whose / 'a.tif'} and 4 more: inverted: the background"
    assert notes[0].startswith(start)
    assert "if that is wrong, save the mask with one number per bead" in notes[0]


def test_files_that_fail_are_named_and_the_rest_is_done(folders, capsys):
    save(folders / "pred" / "labels" / "a.tif", np.zeros((40, 50), np.uint8))
    (folders / "pred" / "labels" / "c.tif").write_bytes(b"nonsense")
    said = evaluate(capsys, folders / "pred", folders / "data", code=1).out
    assert "1 image pooled" in said
    assert "a.tif: 40 x 50 px, but" in said
    assert "c.tif" in said


@pytest.mark.parametrize(
    ("pred", "truth", "more", "says"),
    [
        ("none", "data", [], "no such folder or file: check the prediction"),
        ("pred", "none", [], "no such folder or file: check the truth"),
        ("empty", "data", [], "no label image in it"),
        ("pred", "other", [], "give both files the same names"),
        ("pred", "data", ["--distance", "-1"], "--distance -1: give pixels"),
        ("pred", "data", ["--tolerance", "nan"], "--tolerance nan: give pixels"),
    ],
)
def test_wrong_use_is_one_line(folders, capsys, pred, truth, more, says):
    (folders / "empty").mkdir()
    save(folders / "other" / "masks" / "z.tif", discs(CENTRES).astype(np.uint8))
    said = evaluate(capsys, folders / pred, folders / truth, *more, code=2)
    assert said.err.startswith("error: ")
    assert says in said.err
    assert said.err.count("\n") == 1


def test_nothing_that_can_be_read_is_one_line(folders, capsys):
    for name in "ab":
        save(folders / "pred" / "labels" / f"{name}.tif", np.zeros((9, 9), np.uint8))
    said = evaluate(capsys, folders / "pred", folders / "data", code=2).err
    assert "no image can be evaluated" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("told", ["beads.toml", "option"])
def test_masks_told_to_be_incomplete_are_corrected_for(folders, capsys, told):
    """Two of four beads are labelled: who finds all four is right."""
    truth = discs(CENTRES[:4])
    for name in "ab":
        half = np.where(truth % 2 == 1, truth, 0).astype(np.uint16)
        save(folders / "data" / "masks" / f"{name}.tif", half)
        save(folders / "pred" / "labels" / f"{name}.tif", truth.astype(np.uint16))
    options = ["--json", folders / "e.json", "--page", folders / "e.html"]
    if told == "option":
        options += ["--completeness", 0.5]
    else:
        (folders / "data" / "beads.toml").write_text("completeness = 0.5\n")
    said = evaluate(capsys, folders / "pred", folders / "data", *options).out
    assert "the masks of 2 of 2 images label, as given, 50 % of the beads" in said
    assert "count       8 for 8 (+0.0 %)" in said
    found = json.loads((folders / "e.json").read_text())
    assert found["pooled"]["f1"][0] == 1
    assert found["pooled"]["jaccard"] == pytest.approx(1, abs=0.01)
    assert "8 beads predicted where 8 are expected" in (folders / "e.html").read_text()
    whole = ["--completeness", 1, "--json", folders / "e.json"]
    said = evaluate(capsys, folders / "pred", folders / "data", *whole).out
    assert "label, as given," not in said
    found = json.loads((folders / "e.json").read_text())
    assert found["pooled"]["f1"][0] == pytest.approx(2 / 3)


def write_run(folders, train):
    run = folders / "run"
    run.mkdir()
    config = {"data": {"dir": str(folders / "data")}, "init_from": "", "partial": {}}
    (run / "config.json").write_text(json.dumps(config))
    (run / "split.json").write_text(json.dumps({"train": [f"{n}@0,0" for n in train]}))
    return run


@pytest.mark.parametrize("named", [True, False])
def test_images_that_were_trained_on_are_named_and_the_others_scored_apart(
    folders, capsys, named
):
    run = write_run(folders, ["a"])
    other = np.random.default_rng(1).integers(0, 255, (80, 100), np.uint8)
    save(folders / "data" / "images" / "b.tif", other)
    options = ["--json", folders / "e.json"]
    if named:
        content = json.dumps({"runs": [{"run": str(run)}]})
        (folders / "pred" / "prediction.json").write_text(content)
    else:
        options += ["--run", run]
    said = evaluate(capsys, folders / "pred", folders / "data", *options).out
    assert "1 of 2 images were trained on" in said
    assert "on the other: " in said and "F1 0.889" in said
    found = json.loads((folders / "e.json").read_text())
    assert [image["trained_on"] for image in found["images"]] == [True, False]
    assert found["held_out"]["recall"][0] == 4 / 5


def test_a_run_that_is_gone_is_named(folders, capsys):
    content = json.dumps({"runs": [{"run": "runs/gone"}]})
    (folders / "pred" / "prediction.json").write_text(content)
    said = evaluate(capsys, folders / "pred", folders / "data").out
    assert "made by runs/gone, which is not there" in said


def test_a_truth_of_accepted_proposals_is_named_circular(folders, capsys):
    beads = {str(n): {"origin": "model", "in_mask": True, "run": "r"} for n in range(5)}
    file = folders / "data" / "provenance" / "a.json"
    file.parent.mkdir()
    file.write_text(json.dumps({"beads": beads}))
    said = evaluate(capsys, folders / "pred", folders / "data").out
    assert "circular: the mask of a of the truth is mostly accepted proposals" in said
