import dataclasses
from pathlib import Path

import pytest

from beadseg.analysis.baseline import baseline_config, judge


def curve(*scores, half=None):
    return [
        {"jaccard": score, "jaccard_at_half": score if half is None else half}
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
        ((0.12,), "data"),
    ],
)
def test_verdict_follows_the_curve(dense, scores, kind):
    verdict = judge(curve(*scores), dense, Path("d"), told=False)
    assert verdict.kind == kind
    assert f"{max(scores):.2f}" in verdict.sentence


def test_a_low_score_on_masks_of_unknown_completeness_blames_nobody(dense):
    blind = dataclasses.replace(dense, seen=0.1)
    assert judge(curve(*FLAT), blind, Path("d"), told=False).kind == "between"
    assert judge(curve(*FLAT), blind, Path("d"), told=True).kind == "data"


def test_partial_masks_are_told_to_validation_and_to_it_alone(dense, partial):
    config = baseline_config(Path("d"), partial)
    assert config.partial.completeness == partial.labelled
    assert config.partial.method == "none"
    assert baseline_config(Path("d"), dense).partial.completeness is None
    verdict = judge(curve(*FLAT), partial, Path("d"), told=False)
    assert "corrected" in verdict.sentence


def test_learnt_but_low_probabilities_are_said_to_be_so(dense):
    verdict = judge(curve(0.5, 0.6, half=0.05), dense, Path("d"), told=False)
    assert verdict.kind == "settings"
    assert "threshold" in verdict.checks[0]


def test_settings_are_those_of_the_analysis(dense):
    c = baseline_config(Path("d"), dense)
    assert (c.loss.name, c.optim.learning_rate) == ("bce", 1e-4)
    assert (c.data.batch_size, c.train.epochs, c.train.early_stopping) == (32, 20, 5)
