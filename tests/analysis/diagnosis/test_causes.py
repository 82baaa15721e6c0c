import json
import shlex
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from absl import flags
from ml_collections import config_flags
from scipy import ndimage

from beadseg.analysis.diagnosis.causes import CAUSES, diagnose
from beadseg.analysis.diagnosis.evidence import Evidence, ExaminedImage, examine, pool
from beadseg.analysis.diagnosis.signs import TRAIN
from beadseg.analysis.recommendation import write_config
from beadseg.commands.diagnose import _filled
from beadseg.config import flatten, load_config
from beadseg.data.builders import open_dataset
from beadseg.inference.looking import bead_options
from beadseg.inference.run import load_run
from beadseg.training import beads
from tests.analysis.illness import ILLNESSES, healthy, ill
from tests.calls import exit_code
from tests.tiny import tiny_fields


@pytest.mark.parametrize("kind", ILLNESSES)
def test_a_planted_illness_is_named_first(kind):
    found = diagnose(ill(kind, 0))
    assert found[0].cause == kind.split(".")[0]
    assert found[0].because and found[0].command


@pytest.mark.parametrize("seed", [200, 201])
def test_healthy_runs_stay_silent(seed):
    assert diagnose(healthy(seed)) == []


def test_edges_of_beads_in_a_row_are_no_seam():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:96, :96]
    inside = (y % 16 - 8) ** 2 + (x % 16 - 8) ** 2 <= 49
    labels = np.where(inside, y // 16 * 6 + x // 16 + 1, 0).astype(np.int32)
    image = ndimage.gaussian_filter((labels > 0).astype(np.float32), 1.0)
    image += rng.normal(0, 0.01, image.shape).astype(np.float32)
    probability = (labels > 0).astype(np.float32)
    assert (
        examine(ExaminedImage("a", image, labels, probability, labels), 0.5).seam < 0.5
    )
    joined = probability.copy()
    joined[:40] *= 0.6  # tiles that meet inside a row of beads
    assert examine(ExaminedImage("a", image, labels, joined, labels), 0.5).seam > 0.9


def test_symptoms_stay_behind_the_failure_that_explains_them():
    seen = ill("collapse", 0)
    merged = replace(seen, rows=ill("merges", 0).rows)
    causes = [finding.cause for finding in diagnose(merged)]
    assert causes[0] == "collapse" and "merges" in causes


def test_every_cause_is_planted_somewhere():
    planted = {kind.split(".")[0] for kind in ILLNESSES}
    assert planted == set(CAUSES)


def test_nothing_to_look_at_names_nothing():
    assert diagnose(Evidence((), 0.5)) == []
    unseen = replace(ill("rate_low.hardly_begun", 0), rows=())
    assert diagnose(unseen) == []


def squares(*corners, size=10, shape=(64, 64)) -> np.ndarray:
    labels = np.zeros(shape, np.int32)
    for number, (y, x) in enumerate(corners, 1):
        labels[y : y + size, x : x + size] = number
    return labels


def test_numbers_of_an_image_are_those_counted_by_hand():
    truth = squares((5, 5), (5, 30), (30, 5), (30, 30))
    predicted = squares((5, 5), (5, 30), (50, 50))
    predicted[30:40, 5:10], predicted[30:40, 10:15] = 4, 5  # the third is split
    probability = np.where(predicted > 0, 0.9, 0.1).astype(np.float32)
    probability[30:40, 30:40] = 0.3  # the fourth is missed
    probability[20, 50] = 0.9  # a speck
    image = (truth > 0).astype(np.float32)
    row = examine(ExaminedImage("a", image, truth, probability, predicted), 0.5)
    assert (row.truth, row.predicted, row.true_positive) == (4, 5, 2)
    assert (row.false_negative, row.split, row.merged) == (1, 1, 0)
    assert row.false_positive == 1 and row.specks == 1
    assert row.false_negative_probability == pytest.approx(0.3, abs=1e-6)
    assert row.located == 3  # with half of the third


def test_jaccard_at_each_threshold_is_that_of_the_pixels():
    truth = squares((5, 5), (30, 30))
    rng = np.random.default_rng(0)
    probability = rng.random(truth.shape).astype(np.float32)
    seen = ExaminedImage("a", probability, truth, probability, np.zeros_like(truth))
    evidence = pool([seen], 0.5)
    for threshold in (0.0, 0.25, 0.5, 0.75):
        over = probability >= threshold
        both = (over & (truth > 0)).sum() / (over | (truth > 0)).sum()
        assert evidence.jaccard_at(threshold) == pytest.approx(both)


@pytest.fixture(scope="module")
def trained(beads_folder, tmp_path_factory):
    """A run made from the recommended settings, as small as they come."""
    from beadseg.analysis.fingerprint import take_fingerprint
    from beadseg.analysis.overview import look_over
    from beadseg.data.folder import scan
    from beadseg.training.loop import train

    folder = tmp_path_factory.mktemp("runs")
    config = load_config("configs/base.py")
    config.data.dir = str(beads_folder)
    config.data.cache_dir = str(folder / "cache")
    found = scan(config.data)
    overview = look_over(take_fingerprint(found))
    (folder / "recommended.py").write_text(write_config(overview, beads_folder, folder))
    config = load_config(str(folder / "recommended.py"))
    fields = {
        "data__cache_dir": str(folder / "cache"),
        "model__heads": config.model.heads,
    }
    fields |= {"train__epochs": 2, "train__steps_per_epoch": 3}
    config.update_from_flattened_dict(tiny_fields(**fields))
    train(config, folder / "run", "run")
    return folder / "run"


@pytest.mark.slow
def test_recommended_settings_train_and_their_run_is_diagnosed(
    trained, tmp_path, capsys
):
    page, result = tmp_path / "page.html", tmp_path / "result.json"
    code = exit_code("diagnose", trained, "-o", page, "--json", result, "--images", 2)
    numbers = json.loads(result.read_text())
    assert code == 1 and numbers["findings"]  # six steps are too few
    assert "rate_low" in [finding["cause"] for finding in numbers["findings"]]
    assert "Curves" in page.read_text()
    assert str(page) in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("dice", {}),
        ("finetune", {"data.dir": "a b", "data.bead_diameter": 7.5, "seed": 3}),
        ("base", {"model.heads": ["mask"], "model.bfloat16": True}),
        ("base", {"data.sizes": (6.0, 24.0), "data.augment.flip": False}),
    ],
)
def test_what_is_to_be_run_next_has_the_settings_of_the_run(name, fields, monkeypatch):
    config = load_config(name)
    with config.unlocked():
        config.update_from_flattened_dict(fields | {"optim.learning_rate": 0.5})
    command = _filled(f"{TRAIN} --config.optim.learning_rate=0.125", Path("r"), config)
    words = shlex.split(command)[2:]
    assert words[1] == f"--config=configs/{name}.py"
    assert len(words) == 2 + len(fields) + 1
    del words[1]
    monkeypatch.setattr(sys, "argv", words)  # where ml_collections looks for fields
    given = flags.FlagValues()
    config_flags.DEFINE_config_dict("config", load_config(name), flag_values=given)
    given(words)
    told, own = (flatten(c.to_dict()) for c in (given.config, config))
    assert told.pop("optim.learning_rate") == 0.125
    del own["optim.learning_rate"]
    assert {f: str(v) for f, v in told.items()} == {
        f: str(tuple(v) if isinstance(v, list) else v) for f, v in own.items()
    }


@pytest.mark.slow
def test_beads_are_looked_for_with_the_options_of_prediction(trained):
    config = load_config("configs/base.py")
    stored = json.loads((trained / "config.json").read_text())
    config.data.update_from_flattened_dict(flatten(stored["data"]))
    dataset = open_dataset(config)
    assert beads.options(dataset) == bead_options(load_run(trained))


@pytest.mark.slow
def test_a_run_cut_short_still_gives_a_page(trained, tmp_path, capsys):
    cut = tmp_path / "cut"
    cut.mkdir()
    for name in ("config.json", "split.json"):
        shutil.copy(trained / name, cut / name)
    log = (trained / "metrics.jsonl").read_text()
    (cut / "metrics.jsonl").write_text(log[:-20])
    assert exit_code("diagnose", cut) in (0, 1)
    assert "has not ended" in capsys.readouterr().out
    assert (cut / "diagnosis.html").exists()
    (cut / "metrics.jsonl").unlink()
    assert exit_code("diagnose", cut) == 2
    assert "neither curves nor weights" in capsys.readouterr().err


def test_what_is_no_run_is_one_line(tmp_path, capsys):
    assert exit_code("diagnose", tmp_path / "none") == 2
    assert exit_code("diagnose", tmp_path) == 2
    (tmp_path / "config.json").write_text("{")
    assert exit_code("diagnose", tmp_path) == 2
    (tmp_path / "config.json").write_text('{"data": {"dir": 7}}')
    assert exit_code("diagnose", tmp_path) == 2
    assert capsys.readouterr().err.count("\n") == 4
