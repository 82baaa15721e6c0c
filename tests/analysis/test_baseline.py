import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from beadseg.analysis.baseline import baseline_config, verdict_of
from tests.calls import exit_code


def curve(*scores, half=None):
    return [
        {"jaccard": score, "jaccard_at_0.5": score if half is None else half}
        for score in scores
    ]


FLAT = (0.1, 0.12, 0.12, 0.12, 0.12, 0.12)


@pytest.mark.parametrize(
    "scores, kind",
    [
        ((0.1, 0.3, 0.5, 0.6, 0.6, 0.6), "settings"),
        (FLAT, "data"),
        ((0.1, 0.2, 0.25, 0.25, 0.25, 0.25), "between"),
        ((0.02, 0.04, 0.06, 0.09, 0.13, 0.18), "too short"),
        ((0.12,), "too short"),
    ],
)
def test_verdict_follows_the_curve(dense, scores, kind):
    verdict = verdict_of(curve(*scores), dense, Path("d"), given=False)
    assert verdict.kind == kind
    assert f"{max(scores):.2f}" in verdict.sentence


def test_a_low_score_on_masks_of_unknown_completeness_blames_nobody(dense):
    blind = dataclasses.replace(dense, seen=0.1)
    assert verdict_of(curve(*FLAT), blind, Path("d"), given=False).kind == "between"
    assert verdict_of(curve(*FLAT), blind, Path("d"), given=True).kind == "data"


def test_partial_masks_are_told_to_validation_and_to_it_alone(dense, partial):
    config = baseline_config(Path("d"), partial)
    assert config.partial.completeness == partial.labelled
    assert config.partial.method == "none"
    assert baseline_config(Path("d"), dense).partial.completeness is None
    verdict = verdict_of(curve(*FLAT), partial, Path("d"), given=False)
    assert "corrected" in verdict.sentence
    good = verdict_of(curve(0.5, 0.6), partial, Path("d"), given=False)
    assert good.kind == "settings" and "to be completed" in good.checks[0]


def test_learnt_but_low_probabilities_are_said_to_be_so(dense):
    verdict = verdict_of(curve(0.5, 0.6, half=0.05), dense, Path("d"), given=False)
    assert verdict.kind == "settings"
    assert "threshold" in verdict.checks[0]


def test_settings_are_those_of_the_analysis(dense):
    c = baseline_config(Path("d"), dense)
    assert (c.loss.name, c.optim.learning_rate) == ("bce", 1e-4)
    assert (c.data.batch_size, c.train.epochs, c.train.early_stopping) == (32, 20, 5)


def test_the_verdict_is_written_from_the_log_of_the_run(
    write, tmp_path, monkeypatch, capsys
):
    def train(config, workdir, name):  # as if it had run: the real one takes minutes
        numbers = ("jaccard", "jaccard_at_0.5", "threshold", "precision", "recall")
        row = dict.fromkeys((*numbers, "loss"), 0.6)
        workdir.mkdir()
        rows = [row | {"kind": "validation", "epoch": e, "step": e} for e in (1, 2)]
        rows.append({"kind": "train_epoch", "epoch": 2, "step": 2, "jaccard": 0.7})
        text = "".join(json.dumps(line) + "\n" for line in rows)
        (workdir / "metrics.jsonl").write_text(text)
        return {"best_jaccard": 0.6, "cautions": ["validation rests on one image"]}

    monkeypatch.setattr("beadseg.training.loop.train", train)
    monkeypatch.setenv("BEADSEG_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    images = {name: rng.integers(0, 255, (64, 64), np.uint8) for name in "ab"}
    masks = {
        name: np.kron(np.eye(4, dtype=np.uint8), np.ones((16, 16))) for name in "ab"
    }
    folder = write(images, {k: m.astype(np.uint8) for k, m in masks.items()})
    assert exit_code("baseline", folder, "--workdir", tmp_path / "run") == 0
    said = capsys.readouterr().out
    assert "settings were the problem" in said
    assert "Validation rests on one image." in said
    assert "Jaccard of 0.60" in (tmp_path / "run" / "baseline.html").read_text()


def test_data_that_cannot_be_trained_on_are_one_line(write, tmp_path, capsys):
    folder = write({"a": np.tri(64, dtype=np.uint8)})
    assert exit_code("baseline", folder) == 2
    assert exit_code("baseline", folder, "--epochs", 0) == 2
    assert capsys.readouterr().err.count("\n") == 2
