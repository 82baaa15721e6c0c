import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import tifffile
from ml_collections import ConfigDict

from beadseg.data.builders import open_dataset
from beadseg.data.generated.write import write_generated
from beadseg.data.settings_file import read_beads_toml
from beadseg.errors import BeadsegError
from beadseg.files import folder_lock
from beadseg.inference.run import load_runs
from beadseg.partial import completion, self_training
from beadseg.partial.self_training import FALL, RISE, best_round, self_train, sentence
from beadseg.training.loop import Interrupted
from beadseg.training.run_folder import RunFolder
from tests.tiny import tiny_config


@pytest.fixture
def config(tmp_path) -> ConfigDict:
    """A small network for a folder of which half of the beads are labelled."""
    folder = tmp_path / "half"
    write_generated(folder, count=6, size=96, damage="drop_random", amount=0.5)
    return tiny_config(
        data__dir=str(folder),
        data__cache_dir=str(tmp_path / "cache"),
        data__bead_diameter=0.0,
        train__epochs=2,
        train__steps_per_epoch=3,
        partial__self_training=3,
    )


@pytest.fixture
def truth(config, monkeypatch):
    """Runs are trained for real; for so short a training, the truth proposes."""
    folder = Path(config.data.dir)
    by_image = {
        tifffile.imread(file).tobytes(): tifffile.imread(folder / "truth" / file.name)
        for file in (folder / "images").iterdir()
    }

    def predict(image):
        labels = by_image[image.tobytes()].astype(np.int32)
        return labels, np.where(labels > 0, 0.995, 0.0), 0.5

    monkeypatch.setattr(self_training, "load_predict", lambda run: predict)
    return predict


def read(file: Path) -> dict:
    return json.loads(file.read_text())


def times(folder: Path) -> dict[Path, int]:
    return {file: file.stat().st_mtime_ns for file in folder.rglob("metrics.jsonl")}


def labels(folder: Path, name: str) -> np.ndarray:
    return tifffile.imread(folder / f"{name}.tif")


@pytest.mark.slow
def test_rounds_stopped_while_masks_are_completed_go_on_and_change_no_label(
    config, truth, tmp_path, monkeypatch
):
    monkeypatch.setattr(self_training, "RISE", -1.0)
    config.partial.completeness = 0.5
    source, workdir = Path(config.data.dir), tmp_path / "rounds"

    def interrupted(image):
        os.kill(os.getpid(), signal.SIGTERM)
        return truth(image)

    with monkeypatch.context() as patch:
        patch.setattr(self_training, "load_predict", lambda run: interrupted)
        with pytest.raises(Interrupted, match="SIGTERM while masks were completed"):
            self_train(config, workdir, "rounds")
    assert list((workdir / "round_1").iterdir()) == []
    assert [run.path for run in load_runs([workdir])] == [workdir / "round_0/run"]
    (workdir / "round_1/part/data").mkdir(parents=True)  # as a kill leaves it
    before = times(workdir)
    record = self_train(config, workdir, "rounds")
    assert {k: v for k, v in times(workdir).items() if k in before} == before
    assert sorted(p.name for p in (workdir / "round_1").iterdir()) == ["data", "run"]
    assert [entry["run"] for entry in record["rounds"]] == [
        "round_0/run",
        "round_1/run",
    ]
    assert "round 1 is sure of no further bead" in sentence(record)

    new, parent = workdir / "round_1/data", str(workdir / "round_0/run")
    settings = read(workdir / "round_1/run/config.json")
    assert settings["partial"]["parent"] == parent
    assert settings["partial"]["self_training"] == 0
    facts = record["rounds"][1]
    assert facts["parent"] == parent and facts["accepted"] == facts["proposed"] > 10

    split = read(workdir / "round_0/run/split.json")
    again = read(workdir / "round_1/run/split.json")
    for side in ("train", "validation"):
        assert again[side] == split[side]
    for tile in split["train"]:
        name = tile.split("@")[0]
        manual, mask = labels(source / "masks", name), labels(new / "masks", name)
        np.testing.assert_array_equal(mask[manual > 0], manual[manual > 0])
        np.testing.assert_array_equal(labels(new / "person", name), manual)
        np.testing.assert_array_equal(mask > 0, labels(source / "truth", name) > 0)
    for tile in split["validation"]:
        name = tile.split("@")[0]
        for file in (f"images/{name}.tif", f"masks/{name}.tif"):
            assert (new / file).read_bytes() == (source / file).read_bytes()
        assert not (new / "person" / f"{name}.tif").exists()
    # They are told to be as complete as round 0 took them for; the others are not.
    assert [entry["validation"] for entry in record["rounds"]] == [
        "corrected for masks that are 50 % complete, as given"
    ] * 2
    assert read(workdir / "round_1/run/summary.json")["completeness"] != 0.5

    before = times(workdir)
    assert self_train(config, workdir, "rounds") == record
    assert times(workdir) == before
    assert read(workdir / "rounds.json") == record
    best = workdir / record["best"]
    assert [run.path for run in load_runs([workdir])] == [best]

    shutil.rmtree(workdir / "round_1")
    image = next((source / "images").iterdir())
    tifffile.imwrite(image, tifffile.imread(image) // 2)
    with pytest.raises(BeadsegError, match="have changed since round 0 began"):
        self_train(config, workdir, "rounds")


def test_complete_masks_stay_and_images_without_a_mask_stay_out(
    config, truth, tmp_path
):
    source, workdir = Path(config.data.dir), tmp_path / "rounds"
    names = [f"generated_{i:05d}" for i in range(6)]
    (source / "masks" / f"{names[0]}.tif").unlink()
    (source / "beads.toml").write_text(
        f"[completeness]\n{names[1]} = 1.0\n[group]\n{names[1]} = 'plate'\n"
        f"{names[2]} = 'plate'\n{names[3]} = 'held'\n"
    )
    first = RunFolder(workdir / "round_0/run", config)
    dataset = open_dataset(config)
    first.write("dataset.json", dataset.as_json())
    first.write("split.json", {"validation": [f"{names[3]}@0,0"]})
    first.write("summary.json", {"completeness": 0.4321})
    facts = self_training._completed(config, first.path, workdir / "round_1")
    new = workdir / "round_1/data"
    assert facts["validated_by"] == ["held"]
    completed = {f"{name}.tif" for name in (names[2], names[4], names[5])}
    assert {p.name for p in (new / "person").iterdir()} == completed
    for name in (names[1], names[3]):
        mask = (source / "masks" / f"{name}.tif").read_bytes()
        assert (new / "masks" / f"{name}.tif").read_bytes() == mask
    for kind in ("images", "masks"):
        assert not (new / kind / f"{names[0]}.tif").exists()
    told = read_beads_toml(new, str)
    assert told.completeness == {names[1]: 1.0, names[3]: 0.4321}
    assert told.group == {names[1]: "plate", names[2]: "plate", names[3]: "held"}


def test_a_full_disk_while_masks_are_completed_is_told_with_the_rounds_folder(
    config, truth, tmp_path, monkeypatch
):
    def full(*_):
        raise OSError(28, "No space left on device")

    first = RunFolder(tmp_path / "rounds/round_0/run", config)
    first.write("dataset.json", open_dataset(config).as_json())
    first.write("split.json", {"validation": ["generated_00003@0,0"]})
    first.write("summary.json", {"completeness": 0.5})
    monkeypatch.setattr(completion, "write_labels", full)
    home = tmp_path / "rounds/round_1"
    with pytest.raises(BeadsegError) as told:
        self_training._completed(config, first.path, home)
    assert str(told.value) == (
        f"{home}: cannot be written (No space left on device): free space or give "
        "another with --workdir, then run the same command again"
    )
    assert list(home.iterdir()) == []


@pytest.mark.slow
def test_a_model_that_learnt_too_little_completes_nothing(
    config, tmp_path, monkeypatch
):
    def finds_nothing(image):
        return np.zeros(image.shape, np.int32), np.zeros(image.shape), 0.5

    monkeypatch.setattr(self_training, "load_predict", lambda run: finds_nothing)
    config.partial.completeness = 0.5
    record = self_train(config, tmp_path / "rounds", "rounds")
    assert record["stopped"] == "round 0 finds too few of the labelled beads"
    assert record["best"] == "round_0/run"
    config.train.epochs = 9
    with pytest.raises(BeadsegError, match="made with train.epochs = 2, not 9"):
        self_train(config, tmp_path / "rounds", "rounds")


@pytest.mark.slow
def test_it_stops_after_the_rounds_asked_for(config, truth, tmp_path, monkeypatch):
    monkeypatch.setattr(self_training, "RISE", -1.0)
    config.partial.completeness, config.partial.self_training = 0.5, 1
    record = self_train(config, tmp_path / "rounds", "rounds")
    assert record["stopped"] == "the round is done"
    runs = [entry["run"] for entry in record["rounds"]]
    assert runs == ["round_0/run", "round_1/run"]


def scored(*scores: float, blind_to: str | None = None) -> list[dict]:
    return [
        {"jaccard": s, "run": f"{i}", "blind_to": blind_to if i else None}
        for i, s in enumerate(scores)
    ]


@pytest.mark.parametrize("seed", range(30))
def test_the_best_score_is_the_best_round_and_a_round_follows_while_it_rises(seed):
    rng = np.random.default_rng(seed)
    scores = [float(rng.uniform(0.5, 0.9))]
    while not (said := best_round(scored(*scores)))[1] and len(scores) < 9:
        assert said == (len(scores) - 1, "")  # each rose, and was the best so far
        scores.append(scores[-1] + float(rng.normal(0.01, 0.02)))
    best, stop = said
    assert scores[best] == max(scores)
    if stop:
        assert scores[-1] < max(scores[:-1]) + RISE and stop.startswith(
            f"round {len(scores) - 1} added {scores[-1] - max(scores[:-1]):+.4f}"
        )


@pytest.mark.parametrize("seed", range(30))
def test_where_a_kind_is_missing_the_round_with_the_most_beads_is_the_best(seed):
    """The score takes beads as missing by chance, and cannot tell."""
    rng = np.random.default_rng(seed)
    scores = [0.8, *(0.8 - rng.uniform(0, FALL, 3))]
    assert best_round(scored(*scores, blind_to="crowded")) == (3, "")
    failed = best_round(scored(*scores, 0.6, blind_to="crowded"))
    assert failed == (3, "round 4 added -0.2000, less than -0.1")


def test_what_came_of_all_rounds_is_one_line():
    rounds = scored(0.8, 0.9, 0.901)
    best, stop = best_round(rounds)
    record = {"rounds": rounds, "best": rounds[best]["run"], "stopped": stop}
    assert sentence(record) == (
        "best: round 2 (validation Jaccard 0.901, +0.101 over round 0); stopped: "
        "round 2 added +0.0010, less than 0.002"
    )
    rounds = scored(0.8, 0.78, 0.76, blind_to="crowded")
    record = {"rounds": rounds, "best": "2", "stopped": "all 2 rounds are done"}
    assert "-0.040 over round 0, which cannot tell much: the crowded ones are" in (
        sentence(record)
    )


@pytest.mark.parametrize(
    ("omission", "shares", "estimate", "expected"),
    [
        ("crowded", [None, 0.5], 0.6, "crowded"),
        ("crowded", [0.5], None, "crowded"),
        ("random", [None], 0.6, None),
        ("unknown", [None], 0.6, None),
        ("crowded", [None, 1.0], 0.6, None),  # one validates for all: it is complete
        ("crowded", [None], None, None),  # all are taken as complete
    ],
)
def test_validation_is_blind_where_it_is_corrected_and_a_kind_is_missing(
    omission, shares, estimate, expected
):
    assert self_training.blind_to(omission, shares, estimate) == expected


def test_generated_beads_must_be_written_first(config, tmp_path):
    config.data.dir = ""
    with pytest.raises(BeadsegError, match="--config.data.dir; beadseg generate"):
        self_train(config, tmp_path / "rounds", "rounds")
    assert not (tmp_path / "rounds").exists()


def test_a_folder_of_something_else_is_refused(config, tmp_path):
    with pytest.raises(BeadsegError, match="holds other files and no self-training"):
        self_train(config, tmp_path, "rounds")


@pytest.mark.parametrize("field, value", [("accept", 95.0), ("self_training", -1)])
def test_a_number_out_of_range_is_refused(config, tmp_path, field, value):
    config.partial[field] = value
    with pytest.raises(BeadsegError, match=f"config.partial.{field} = .* out of range"):
        self_train(config, tmp_path / "rounds", "rounds")


def test_what_a_kill_left_beside_the_record_is_removed(config, tmp_path):
    (tmp_path / "rounds").mkdir()
    left = tmp_path / "rounds/.rounds.json.4242.1852661613162"
    left.write_text('{"epo')
    shutil.rmtree(Path(config.data.dir) / "masks")
    with pytest.raises(BeadsegError, match="mask"):  # which comes after the folder
        self_train(config, tmp_path / "rounds", "rounds")
    assert not left.exists()


def test_one_process_at_a_time_has_the_rounds(config, tmp_path):
    (tmp_path / "rounds").mkdir()
    with folder_lock(tmp_path / "rounds"):
        with pytest.raises(BeadsegError, match="works in this folder"):
            self_train(config, tmp_path / "rounds", "rounds")
    assert os.listdir(tmp_path / "rounds") == []


@pytest.mark.parametrize(
    "name, content",
    [
        ("round_0/run/dataset.json", {}),
        ("round_0/run/split.json", {"validation": None}),
        ("round_1/data/completion.json", {"accepted": "many", "validated_by": []}),
        ("round_1/data/completion.json", {"accepted": 3, "validated_by": []}),
    ],
)
def test_a_damaged_file_of_a_round_is_named(name, content, config, tmp_path):
    first = RunFolder(tmp_path / "round_0/run", config)
    first.write("dataset.json", open_dataset(config).as_json())
    first.write("split.json", {"validation": []})
    (tmp_path / "round_1/data").mkdir(parents=True)
    (tmp_path / name).write_text(json.dumps(content))
    with pytest.raises(BeadsegError, match=f"{name}: cannot be read .no "):
        self_training._completed(config, first.path, tmp_path / "round_1")


def test_a_damaged_record_is_named(config, tmp_path):
    (tmp_path / "rounds").mkdir()
    (tmp_path / "rounds/rounds.json").write_text("{")
    with pytest.raises(BeadsegError, match=r"rounds.json: cannot be read"):
        self_train(config, tmp_path / "rounds", "rounds")
    (tmp_path / "rounds/rounds.json").write_text("{}")
    with pytest.raises(BeadsegError, match="does not say which round is the best"):
        load_runs([tmp_path / "rounds"])
