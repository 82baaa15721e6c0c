"""The summary and its sentence: said plainly, also where nothing was gained."""

import numpy as np
import pytest

from beadseg.training.tracking.summary import (
    NO_HELP,
    UNCALIBRATED,
    best_of,
    cautions,
    grade,
    rank_of,
    score_of,
    sentence,
    summarise,
)


def row(epoch, jaccard, **more):
    return {
        "step": epoch,
        "epoch": epoch,
        "kind": "validation",
        "score": jaccard,
        "jaccard": jaccard,
        "jaccard_at_0.5": jaccard,
        "jaccard_mean_of_images": jaccard - 0.1,
        "threshold": 0.4,
        "best_threshold": 0.4,
        "jaccard_at_best_threshold": jaccard,
        "bead_share": 0.2,
        "f1": jaccard + 0.05,
        "bead_precision": 0.9,
        "bead_recall": 0.8,
        "count_error": 0.125,
        "diameter_error": -0.03,
    } | more


def told(rows, config, marks=False, **more):
    return summarise(rows, config, marks) | {"validation": "on known pixels"} | more


@pytest.mark.parametrize(
    ("jaccard", "word"),
    [
        (0.50, "below target"),
        (0.51, "target reached"),
        (0.70, "target reached"),
        (0.71, "good"),
        (0.85, "good"),
        (0.86, "excellent"),
    ],
)
def test_grades_are_those_of_the_analysis(jaccard, word):
    assert grade(jaccard) == word


def test_of_scores_with_an_error_the_last_that_is_as_good_counts():
    few = [row(n, s, score_error=0.04) for n, s in enumerate((0.88, 0.8, 0.85, 0.83))]
    assert best_of(few)["epoch"] == 2
    exact = [row(n, s) for n, s in enumerate((0.88, 0.8, 0.88, 0.87))]
    assert best_of(exact)["epoch"] == 0


@pytest.mark.parametrize("seed", range(20))
def test_the_checkpoint_that_is_kept_is_that_of_the_best_row(seed):
    rng = np.random.default_rng(seed)
    error = 0.05 * (seed % 2)
    rows = [row(n, s, score_error=error) for n, s in enumerate(rng.uniform(size=30))]
    scores = [score_of(r) for r in rows]
    ranks = [rank_of(r, max(scores[: n + 1])) for n, r in enumerate(rows)]
    assert rows[np.argmax(ranks)] is best_of(rows)
    assert score_of(best_of(rows)) >= max(scores) - error


def test_the_sentence_tells_of_pixels_images_and_beads(tiny):
    summary = told([row(1, 0.6), row(2, 0.8), row(3, 0.79)], tiny)
    assert summary["best_f1"] == pytest.approx(0.85)
    assert summary["best_count_error"] == 0.125
    assert summary["best_jaccard_mean_of_images"] == pytest.approx(0.7)
    said = sentence(summary)
    for part in ("Jaccard 0.800", "mean of images 0.700", "good", "F1 0.850"):
        assert part in said
    assert "count error per image 12.5 %" in said and "diameter -3.0 %" in said


def test_where_masks_are_marks_the_best_epoch_is_that_of_f1(tiny):
    rows = [row(1, 0.4, f1=0.9, score=0.9), row(2, 0.5, f1=0.7, score=0.7)]
    summary = told(rows, tiny, marks=True)
    assert summary["best_epoch"] == 1 and summary["score"] == "f1"
    assert summary["best_score"] == 0.9 and summary["best_jaccard"] == 0.4
    assert sentence(summary).startswith("beads F1 0.900")
    assert "below target" not in sentence(summary)


def test_fine_tuning_that_gained_nothing_says_so(tiny):
    more = {"verdict": NO_HELP, "share_of_start": 1.0, "start_score": 0.9}
    summary = told([row(1, 0.8), row(2, 0.81)], tiny, **more, tuned_score=0.81)
    said = sentence(summary)
    assert "fine-tuning did not help; starting weights kept" in said
    assert "0.810 at best" in said
    assert "converged" not in said and "100 %" not in said


def test_fine_tuning_that_gained_names_what_was_there_before(tiny):
    more = {"share_of_start": 0.25, "start_score": 0.5, "tuned_score": 0.81}
    said = sentence(told([row(1, 0.8), row(2, 0.81)], tiny, **more))
    assert "before fine-tuning 0.500" in said and "25 % of the starting weights" in said
    assert "did not help" not in said


def test_where_the_start_is_not_allowed_it_is_said_to_be_better(tiny):
    more = {"share_of_start": 0.0, "start_score": 0.9, "tuned_score": 0.81}
    said = sentence(told([row(1, 0.8), row(2, 0.81)], tiny, **more))
    assert "fine-tuning did not help: Jaccard before fine-tuning 0.900" in said


@pytest.mark.parametrize("scores", [(0.11, 0.14, 0.05, 0.0), (0.02, 0.02, 0.02, 0.02)])
def test_a_threshold_that_does_not_fit_is_not_called_a_collapse(tiny, scores):
    """The lab's story: focal loss on half a mask, judged at 0.5."""
    tiny.train.epochs = 40
    free = (0.6, 0.7, 0.8, 0.8)
    rows = [
        row(n, s, jaccard_at_best_threshold=f, best_threshold=0.12, threshold=0.5)
        for n, (s, f) in enumerate(zip(scores, free, strict=True), 1)
    ]
    summary = told(rows, tiny)
    assert summary["verdict"] == UNCALIBRATED
    assert "0.800" in summary["calibration"] and "0.12" in sentence(summary)
    assert "threshold 0.50" in sentence(summary)


def test_a_network_that_calls_everything_bead_has_not_learnt(tiny):
    rows = [
        row(n, 0.0, jaccard_at_best_threshold=0.4, bead_share=0.4) for n in range(1, 6)
    ]
    assert told(rows, tiny)["verdict"] == "did not learn"


@pytest.mark.parametrize(
    ("more", "verdict"),
    [
        ({"f1": 0.01}, "did not learn"),
        ({"f1": 0.4}, "converged"),  # beads are found
        ({"f1": 0.01, "bead_share": 0.1}, "converged"),  # pixels are
        ({"f1": None}, "converged"),  # nobody looked
    ],
)
def test_a_run_that_finds_no_beads_is_not_called_converged(tiny, more, verdict):
    rows = [row(n, 0.31, **({"bead_share": 0.2} | more)) for n in range(1, 6)]
    assert told(rows, tiny)["verdict"] == verdict


def test_a_chosen_threshold_far_from_one_half_is_explained(tiny):
    rows = [row(n, 0.8, **{"jaccard_at_0.5": 0.02}, threshold=0.1) for n in (1, 2)]
    summary = told(rows, tiny)
    assert summary["verdict"] != UNCALIBRATED
    assert "at threshold 0.5 Jaccard is 0.020" in sentence(summary)


def test_summaries_of_older_runs_still_have_a_sentence():
    old = {
        "best_jaccard": 0.8,
        "validation": "on known pixels",
        "best_epoch": 3,
        "threshold": 0.5,
        "final_jaccard": 0.79,
        "final_epoch": 4,
        "verdict": "converged",
    }
    assert sentence(old).startswith("validation Jaccard 0.800 (on known pixels) at")
    assert cautions(old) == []
