"""Tests of the page of a run: whole, cut short, damaged."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from configs import base
from tests.calls import exit_code


@pytest.fixture
def run_folder(tmp_path):
    """A run folder as training leaves it, with three epochs."""
    run = tmp_path / "run"
    run.mkdir()
    rows = []
    for epoch, jaccard in ((1, 0.5), (2, 0.8), (3, 0.7)):
        shared = {"step": 10 * epoch, "epoch": epoch, "loss": 1 / epoch}
        more = {"learning_rate": 1e-3, "gradient_norm": 0.5, "jaccard": jaccard}
        rows.append({"kind": "train_epoch", **shared, **more})
        scores = {"jaccard": jaccard, "dice": 0.9, "threshold": 0.4}
        rows.append({"kind": "validation", **shared, **scores})
    summary = {
        "best_jaccard": 0.8,
        "best_epoch": 2,
        "final_jaccard": 0.7,
        "final_epoch": 3,
        "threshold": 0.4,
        "verdict": "collapsed",
        "images_per_second": 12.5,
        "validation": "on known pixels",
    }
    split = {"strata": [{"name": "20-49", "train_images": 5, "validation_images": 1}]}
    dataset = {"images": 6, "bead_diameter_px": 11.5, "notes": ["a <note>"]}
    contents = {
        "config": base.get_config().to_dict(),
        "summary": summary,
        "split": split,
        "dataset": dataset | {"normalise": {"low": 1.0}},
        "versions": {"beadseg": "0.1.0", "jax": "0.10.2", "cpus": 2},
    }
    for name, content in contents.items():
        (run / f"{name}.json").write_text(json.dumps(content))
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (run / "metrics.jsonl").write_text(lines)
    Image.fromarray(np.zeros((30, 40), np.uint8)).save(run / "samples.png")
    return run


def report(*arguments, code=0):
    assert exit_code("report", *arguments) == code


def test_page_of_a_run_says_what_came_of_it(run_folder, tmp_path):
    report(run_folder, "--json", tmp_path / "r.json")
    page = (run_folder / "report.html").read_text()
    assert "Validation Jaccard 0.800 (on known pixels) at epoch 2" in page
    assert 'class="callout bad"' in page
    assert page.count("<svg ") == 1
    assert page.count("data:image/png") == 1
    for said in ("20-49", "a &lt;note&gt;", "optim.learning_rate", "jax 0.10.2"):
        assert said in page
    assert "loss.gamma" not in page  # Dice has none
    result = json.loads((tmp_path / "r.json").read_text())
    assert result["best"]["epoch"] == 2
    assert result["missing"] == []


def test_the_scores_are_those_of_the_weights_that_were_kept(run_folder, tmp_path):
    """Weights mixed with those of the start have another score and threshold."""
    file = run_folder / "summary.json"
    mixed = {"best_jaccard": 0.853, "threshold": 0.63, "best_f1": 0.9}
    mixed |= {"best_count_error": 0.02, "share_of_start": 0.5}
    file.write_text(json.dumps(json.loads(file.read_text()) | mixed))
    report(run_folder, "--json", tmp_path / "r.json")
    page = (run_folder / "report.html").read_text()
    shown = page[page.index('class="numbers"') : page.index("Curves</h2>")]
    assert "0.853" in shown and "0.63" in shown
    assert not {"0.800", "0.8000", "0.400", "0.4000"} & set(re.split(r"[<>]", shown))
    assert json.loads((tmp_path / "r.json").read_text())["best"]["threshold"] == 0.63


@pytest.mark.parametrize(
    ("loss", "options"),
    [
        ("focal", {"gamma", "positive_weight"}),
        ("tversky", {"alpha", "beta"}),
        ("combined", {"mix"}),
        ("bce", set()),
        ("of another version", set()),
    ],
)
def test_settings_name_the_options_that_the_loss_takes(loss, options, run_folder):
    config = base.get_config().to_dict()
    config["loss"]["name"] = loss
    (run_folder / "config.json").write_text(json.dumps(config))
    report(run_folder)
    page = (run_folder / "report.html").read_text()
    shown = {name for name in config["loss"] if f"<code>loss.{name}</code>" in page}
    assert shown == options | {"name", "boundary"}


def test_page_goes_where_it_is_told(run_folder, tmp_path):
    report(run_folder, "-o", tmp_path / "new" / "page.html")
    assert (tmp_path / "new" / "page.html").exists()
    assert not (run_folder / "report.html").exists()


KEPT = ("summary.json", "metrics.jsonl", "dataset.json", "split.json", "samples.png")


@pytest.mark.parametrize("kept", (0, 1, 4))
def test_a_run_cut_short_has_a_page_that_says_so(run_folder, kept):
    for name in KEPT[: kept + 1]:
        (run_folder / name).unlink()
    report(run_folder)
    page = (run_folder / "report.html").read_text()
    assert "Training is not finished" in page
    assert ("no validation yet" in page) == (kept >= 1)


def test_damaged_files_are_named(run_folder):
    (run_folder / "summary.json").write_text('{"best_jacc')
    text = (run_folder / "metrics.jsonl").read_text()
    (run_folder / "metrics.jsonl").write_text(text[:-40])
    report(run_folder)
    page = (run_folder / "report.html").read_text()
    assert "summary.json cannot be read" in page
    assert "Best validation Jaccard so far 0.800" in page


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("none", "no such folder"),
        ("file", "is a file, not a folder"),
        ("other", "neither a run nor a sweep"),
    ],
)
def test_what_is_no_run_is_one_line(tmp_path, capsys, name, says):
    (tmp_path / "file").write_text("")
    (tmp_path / "other").mkdir()
    report(tmp_path / name, code=2)
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1


@pytest.fixture
def sweep_folder(run_folder, tmp_path):
    """A sweep of three: one finished, one failed alone, one not begun."""
    sweep = tmp_path / "sweep"
    (sweep / "members" / "001").mkdir(parents=True)
    run_folder.rename(sweep / "members" / "000")
    failed = {"reason": "the loss became <NaN>"}
    (sweep / "members" / "001" / "failed.json").write_text(json.dumps(failed))
    points = [{"optim.learning_rate": rate} for rate in (1e-3, 1e-2, 1e-1)]
    content = {"name": "rates", "config": {}, "points": points, "lease": 60.0}
    (sweep / "sweep.json").write_text(json.dumps(content))
    return sweep


def test_page_of_a_sweep_has_all_that_has_ended(sweep_folder, tmp_path):
    report(sweep_folder, "-o", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "1 of 3 members" in page
    assert "Leaderboard" in page
    assert "the loss became &lt;NaN&gt;" in page


def test_a_sweep_of_another_version_is_one_line(sweep_folder, capsys):
    (sweep_folder / "sweep.json").write_text('{"name": "x"}')
    report(sweep_folder, code=2)
    said = capsys.readouterr().err
    assert "of another version" in said
    assert said.count("\n") == 1


def test_an_analysis_has_its_page_already(tmp_path, capsys):
    (tmp_path / "analysis.html").write_text("<p>")
    report(tmp_path)
    assert "analysis.html" in capsys.readouterr().out
