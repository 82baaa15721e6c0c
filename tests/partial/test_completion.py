import argparse
import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from ml_collections import ConfigDict

from beadseg.commands import complete as command
from beadseg.data.generated.write import write_generated
from beadseg.errors import BeadsegError
from beadseg.partial import completed, completion
from beadseg.partial.completion import complete
from beadseg.partial.proposals import certain, propose, strictest
from beadseg.partial.review.annotation_log import AnnotationLog
from configs import base
from tests.partial.book_mask import book_mask
from tests.partial.conftest import disc

SHAPE = (64, 96)


def beads(*places) -> np.ndarray:
    labels = np.zeros(SHAPE, np.int32)
    for number, (y, x) in enumerate(places, 1):
        disc(labels, y, x, 7, number)
    return labels


def test_beads_that_the_mask_lacks_are_proposed_and_no_others():
    manual = beads((16, 16), (16, 50))
    found = beads((17, 16), (16, 49), (45, 30), (45, 70))
    probability = np.where(found > 0, 0.9, 0.05)
    probability[found == 4] = 0.6
    proposed = propose(manual, found, probability, 0.5)
    assert proposed.labelled == proposed.agreed == 2
    np.testing.assert_array_equal(proposed.labels > 0, found > 2)
    assert list(proposed.beads) == [3, 4]
    assert proposed.beads[3].score == pytest.approx(0.9)
    assert proposed.beads[4].score == pytest.approx(0.6)
    assert "probability 0.90" in proposed.beads[3].reason


def test_the_score_is_half_at_the_threshold_of_the_run():
    found = beads((30, 30))
    proposed = propose(0 * found, found, np.where(found > 0, 0.2, 0.0), 0.2)
    assert proposed.beads[1].score == pytest.approx(0.5)


def test_no_proposal_lies_on_a_labelled_or_unknown_pixel():
    manual = beads((16, 16))
    manual[40:] = -1
    found = beads((16, 28), (44, 40), (30, 70))
    proposed = propose(manual, found, np.full(SHAPE, 0.9), 0.5)
    assert not (proposed.labels[manual != 0] > 0).any()
    assert {n for n in np.unique(proposed.labels) if n} == set(proposed.beads)


def test_a_strange_size_lowers_the_score():
    manual = beads((12, 12), (12, 40), (12, 68))
    found = np.zeros(SHAPE, np.int32)
    disc(found, 45, 20, 4, 1)
    disc(found, 45, 60, 7, 2)
    proposed = propose(manual, found, np.full(SHAPE, 0.95), 0.5)
    small, usual = proposed.beads.values()
    assert usual.score == pytest.approx(0.95)
    assert small.score < 0.5 * usual.score
    assert "unlike the usual 14 px" in small.reason


def test_those_accepted_have_the_expected_precision_on_average():
    scores = [0.999, 0.995, 0.99, 0.98, 0.7]
    assert certain(scores, 0.99) == 0.98
    assert certain(scores, 0.9995) is None
    assert certain([], 0.9) is None
    assert certain([0.999] * 9 + [0.4], 0.9) == 0.4
    assert certain([0.999] * 9 + [0.3], 0.9) == 0.999  # a budget is no reason


@pytest.mark.parametrize("precision", [0.8, 0.9, 0.95])
def test_of_equal_scores_all_are_accepted_or_none(precision):
    rng = np.random.default_rng(0)
    for _ in range(50):  # calibration leaves few different scores
        scores = rng.choice([0.97, 0.9, 0.6], rng.integers(1, 30))
        least = certain(scores.tolist(), precision)
        taken = [scores >= s for s in (0.97, 0.9, 0.6) if s in scores]
        right = [t.sum() for t in taken if scores[t].mean() >= precision]
        accepted = 0 if least is None else (scores >= least).sum()
        assert accepted == max(right, default=0)


def test_beads_found_on_labelled_ones_are_scored_like_proposals():
    manual = beads((16, 16), (16, 50), (45, 70))
    found = beads((16, 17), (16, 58), (45, 30))
    found[45:, 60:80] = 4  # half of a labelled bead, and background
    probability = np.where(found > 0, 0.9, 0.0)
    proposed = propose(manual, found, probability, 0.5)
    assert proposed.right == pytest.approx((0.9,))
    # Of the bead 8 px off too little is shared to be the same.
    assert len(proposed.wrong) == 1
    assert len(proposed.beads) == 2


@pytest.fixture
def data(tmp_path) -> ConfigDict:
    """`config.data` of generated beads of which half are labelled, with the truth."""
    folder = tmp_path / "half"
    write_generated(folder, count=2, size=96, damage="drop_random", amount=0.5)
    (folder / "beads.toml").write_text("pixel_size = 0.5\ncompleteness = 0.5\n")
    data = base.get_config().data
    data.dir, data.cache_dir = str(folder), str(tmp_path / "cache")
    return data


def knows_the_truth(folder):
    """A model that finds every bead with the same certainty."""
    by_image = {}
    for file in sorted((folder / "images").iterdir()):
        truth = tifffile.imread(folder / "truth" / file.name).astype(np.int32)
        by_image[tifffile.imread(file).tobytes()] = truth

    def predict(image):
        labels = by_image[image.tobytes()]
        return labels, np.where(labels > 0, 0.995, 0.0), 0.5

    return predict


def files(folder):
    return {p.relative_to(folder): p.read_bytes() for p in sorted(folder.rglob("*.*"))}


def test_from_half_to_all_with_the_persons_beads_untouched(data, tmp_path):
    source = Path(data.dir)
    before = files(source)
    new = tmp_path / "new"
    result = complete(data, new, "runs/x", knows_the_truth(source), 0.99)
    assert files(source) == before
    assert result["accepted"] == result["proposed"] > 10
    assert result["expected_precision"] >= 0.99 and not result["problems"]
    for file in (source / "images").iterdir():
        manual = tifffile.imread(source / "masks" / file.name)
        truth = tifffile.imread(source / "truth" / file.name)
        mask = tifffile.imread(new / "masks" / file.name)
        np.testing.assert_array_equal(mask[manual > 0], manual[manual > 0])
        np.testing.assert_array_equal(mask > 0, truth > 0)
        assert (new / "images" / file.name).read_bytes() == file.read_bytes()
        told = json.loads((new / "provenance" / f"{file.stem}.json").read_text())
        assert told["completeness"] == 1.0
        states = {(b["origin"], b["state"]) for b in told["beads"].values()}
        assert states == {("person", "kept"), ("model", "accepted")}
    assert (new / "beads.toml").read_text() == "pixel_size = 0.5\n"
    annotations = AnnotationLog(new, file.stem)
    annotations.act({"do": "undo"})
    np.testing.assert_array_equal(book_mask(annotations), manual)


def test_undecided_proposals_are_unknown_not_background(data, tmp_path):
    new = tmp_path / "new"
    complete(data, new, "runs/x", knows_the_truth(Path(data.dir)), None)
    for file in (new / "masks").iterdir():
        truth = tifffile.imread(Path(data.dir) / "truth" / file.name)
        mask = tifffile.imread(file)
        ignore = tifffile.imread(new / "ignore" / file.name)
        np.testing.assert_array_equal((mask > 0) | (ignore > 0), truth > 0)


def test_a_model_of_another_kind_of_image_is_refused(data, tmp_path):
    def blind(image):
        return np.zeros(image.shape, np.int32), np.zeros(image.shape), 0.5

    with pytest.raises(BeadsegError, match="finds only 0 of .* another kind of image"):
        complete(data, tmp_path / "new", "runs/x", blind, None)
    assert not (tmp_path / "new").exists()
    assert not list(tmp_path.glob(".new.*"))


def test_a_full_disk_is_told_with_the_folder_asked_for(data, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    predict = knows_the_truth(Path(data.dir))
    monkeypatch.setattr(completion, "load_predict", lambda run, settings=None: predict)
    monkeypatch.setattr(completion, "write_labels", full)
    output = tmp_path / "new"
    options = argparse.Namespace(
        dir=Path(data.dir),
        output=output,
        model=Path("run"),
        accept=None,
        diameter="auto",
        min_score="auto",
        polarity="any",
    )
    with pytest.raises(BeadsegError, match=f"^{output}: cannot .*No space.*--output"):
        command.run(options)
    assert not output.exists()


def test_a_folder_that_holds_something_is_refused(data, tmp_path):
    with pytest.raises(BeadsegError, match="is not empty.*--output"):
        complete(data, tmp_path, "runs/x", lambda image: None, None)


def test_a_precision_that_is_none_is_refused(data, tmp_path):
    with pytest.raises(BeadsegError, match="--accept 99.*0.5 to 1"):
        complete(data, tmp_path / "new", "runs/x", lambda image: None, 99)


def test_beads_of_another_image_are_named_and_not_taken_along(tmp_path):
    folder = tmp_path / "mixed"
    write_generated(folder, count=3, size=128)
    masks = [folder / "masks" / f"generated_0000{i}.tif" for i in range(2)]
    masks[0].write_bytes(masks[1].read_bytes())
    data = base.get_config().data
    data.dir = str(folder)
    output = tmp_path / "completed"
    result = complete(data, output, "default", completion.load_predict(None), None)
    (problem,) = result["problems"]
    assert "belongs to another image" in problem and str(masks[0]) in problem
    manual = [
        tifffile.imread(output / "person" / f"generated_0000{i}.tif") for i in range(3)
    ]
    assert not manual[0].any() and manual[1].any() and manual[2].any()


def test_beads_whose_mask_lies_beside_them_are_not_proposed_again(tmp_path):
    folder = tmp_path / "beside"
    write_generated(folder, count=1, size=192)
    file = folder / "masks" / "generated_00000.tif"
    truth = tifffile.imread(file)
    beside = np.zeros_like(truth)
    beside[5:, :-4] = truth[:-5, 4:]
    beside[beside == truth.max()] = 0  # a bead that is not labelled
    tifffile.imwrite(file, beside)
    data = base.get_config().data
    data.dir = str(folder)

    def predict(image):
        return truth.astype(np.int32), np.where(truth > 0, 0.9, 0.05), 0.5

    result = complete(data, tmp_path / "completed", "model", predict, None)
    assert not result["problems"]
    assert result["agreed"] >= 0.85 * result["labelled"]
    proposed = tifffile.imread(tmp_path / "completed" / "proposals" / file.name)
    manual = tifffile.imread(tmp_path / "completed" / "person" / file.name)
    np.testing.assert_array_equal(manual, beside)
    assert not ((proposed > 0) & (manual > 0)).any()
    again = set(np.unique(truth[proposed > 0])) - {0, truth.max()}
    assert len(again) <= 0.15 * result["labelled"]  # only those moved off the image


def test_auto_is_the_strictest_precision_at_which_some_are_accepted():
    for scores, wanted in (
        ([0.995, 0.2], 0.99),
        ([0.97, 0.96, 0.5], 0.95),
        ([0.82, 0.81], 0.8),
        ([0.4], 0.8),
        ([], 0.8),
    ):
        assert strictest(scores) == wanted
        accepted = certain(scores, wanted)
        assert (accepted is not None) == bool(scores and max(scores) >= 0.8)


@pytest.mark.parametrize(
    ("highest", "says"),
    [
        (0.817, "the highest score is 0.82; give --accept 0.81 or less, or decide"),
        (0.41, "the highest score is 0.41; decide about them on the page"),
        (None, "nothing is proposed"),
    ],
)
def test_none_sure_enough_says_how_sure_they_are_and_what_to_do(
    highest, says, monkeypatch, tmp_path, capsys
):
    result = {
        **dict.fromkeys(("images", "labelled", "agreed", "proposed", "accepted"), 0),
        **{"expected": 0.0, "problems": [], "omission": None, "calibrated_on": 30},
        **{"highest_score": highest, "asked_precision": 0.99},
    }
    monkeypatch.setattr(completion, "load_predict", lambda run, settings: None)
    monkeypatch.setattr(completion, "complete", lambda *given, **more: result)
    command.run(
        argparse.Namespace(
            dir=tmp_path, output=tmp_path / "new", model=None, accept=0.99,
            diameter="auto", min_score="auto", polarity="any",
        )
    )  # fmt: skip
    assert says in capsys.readouterr().out


def test_the_hint_to_make_proposals_never_writes_into_the_folder_given(tmp_path):
    with pytest.raises(BeadsegError, match="no proposals") as raised:
        completed.names(tmp_path)
    assert str(tmp_path) not in str(raised.value).split("in it:")[1]
    with pytest.raises(BeadsegError, match="none: no such folder"):
        completed.names(tmp_path / "none")
