"""What came of a run, in numbers and in one sentence."""

from types import NoneType
from typing import Any

from ml_collections import ConfigDict

from beadseg.quoting import percent

SUMMARY = "summary.json"
_SHARES = ("best_jaccard", "final_jaccard", "threshold")
_COUNTS = ("best_epoch", "final_epoch")
_NUMBERS = (  # or null; older runs, or runs of another kind, lack them
    *("best_f1", "best_jaccard_mean_of_images", "best_count_error", "final_f1"),
    *("best_diameter_error", "start_score", "tuned_score", "share_of_start"),
)
_MOST = 1e9  # of a score: more is damage
WITHIN = 0.9  # of the best: a final score below has fallen
LEARNT = 0.3  # score; below it nothing useful was learnt
SKILL = 0.15  # Jaccard over calling everything bead, that shows something learnt
FOUND = 0.1  # F1 of the beads, likewise
RISING = 0.01  # score gained over the last fifth of the epochs: more would follow
LATER = 1e-9  # by which a checkpoint counts more than one as good an epoch before
LOW = 0.5  # of the best Jaccard: what is less at 0.5 says that probabilities are low
# Of the domain-shift analysis: Jaccard above which a result is called so.
GRADES = ((0.85, "excellent"), (0.70, "good"), (0.50, "target reached"))
BELOW = "below target"
UNCALIBRATED, NO_HELP = "not calibrated", "did not help"
_OF_BEST = ("jaccard_mean_of_images", "f1", "bead_precision", "bead_recall")
_OF_BEST += ("count_error", "diameter_error")
MEANING = {
    "converged": "converged: more epochs would add little",
    "still rising": "still rising: give it more with --config.train.epochs",
    "collapsed": "collapsed: it fell far below its best, whose weights were kept",
    "did not learn": "did not learn: look at the masks and the learning rate",
    NO_HELP: "fine-tuning did not help: starting weights kept",
    UNCALIBRATED: "it learnt, but its probabilities do not fit its threshold",
}


def score_of(row: dict[str, Any]) -> float:
    """What the run is judged by in a row of an evaluation; in older runs the Jaccard.

    That is the F1 of the beads where masks are marks instead of outlines.
    """
    return row.get("score", row["jaccard"])


def best_of(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The row of the best evaluation; of equals, the first.

    Of scores with an error, as those of incomplete marks, the last that is as good
    within it: which of them is the highest is chance.
    """
    best = max(rows, key=lambda row: (score_of(row), -row.get("epoch", 0)))
    later = rows[rows.index(best) :]
    return [row for row in later if _as_good(row, best)][-1]


def rank_of(row: dict[str, Any], best: float) -> float:
    """What its checkpoint is kept by, so that the highest is that of `best_of`.

    Args:
      row: of an evaluation.
      best: highest score so far, this one included.
    """
    if row.get("score_error", 0.0) and score_of(row) >= best - row["score_error"]:
        return best + LATER * row["epoch"]
    return score_of(row)


def _as_good(row: dict[str, Any], best: dict[str, Any]) -> bool:
    error = row.get("score_error", 0.0)  # not in older runs
    return row is best or (error > 0 and score_of(row) >= score_of(best) - error)


def check_summary(summary: Any) -> None:
    """Whether a summary says what others take from it.

    Raises:
      ValueError: it does not; which part, in one line.
    """
    if not isinstance(summary, dict):
        raise ValueError(f"{SUMMARY} is no table")
    for name in _SHARES:
        value = summary.get(name)
        if type(value) not in (int, float) or value < 0 or value > 1:
            raise ValueError(f"{SUMMARY} has no {name} from 0 to 1")
    for name in _NUMBERS:
        if type(summary.get(name, 0)) not in (int, float, NoneType):
            raise ValueError(f"{SUMMARY} has no number for {name}")
    score = summary.get("best_score", 0)  # not in older runs
    if type(score) not in (int, float) or not abs(score) <= _MOST:
        raise ValueError(f"{SUMMARY} has no number for best_score")
    for name in ("epochs", *_COUNTS):
        value = summary.get(name, None if name in _COUNTS else 0)
        if type(value) is not int or value < 0:
            raise ValueError(f"{SUMMARY} has no number of {name}")
    for name in ("verdict", "validation"):
        if not isinstance(summary.get(name), str):
            raise ValueError(f"{SUMMARY} has no {name}")


def summarise(
    rows: list[dict[str, Any]],
    config: ConfigDict,
    marks: bool = False,
    best: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Best and final scores of validation, the threshold of the best, and a verdict.

    Args:
      rows: of `metrics.jsonl`.
      marks: whether masks mark beads, so that the score is F1 instead of Jaccard.
      best: the row of the best weights, for rows without any of kind "validation".
    """
    scores = [row for row in rows if row["kind"] == "validation"] or [best]
    best, final = best_of(scores), scores[-1]
    steady = [row for row in rows if row["kind"] == "train"][1:] or rows
    rates = [r["images_per_second"] for r in steady if "images_per_second" in r]
    verdict = verdict_of([score_of(row) for row in scores], config.train.epochs)
    calibration = None
    if not marks:
        verdict, calibration = _calibrated(verdict, scores, best, config)
    if verdict in ("converged", "still rising") and not _skilled(best):
        verdict = "did not learn"
    return {
        "best_jaccard": best["jaccard"],
        "best_epoch": best["epoch"],
        "score": "f1" if marks else "jaccard",
        "best_score": score_of(best),
        **of_best(best),
        "final_jaccard": final["jaccard"],
        "final_f1": final.get("f1"),
        "final_epoch": final["epoch"],
        "final_within_10_percent": score_of(final) >= WITHIN * score_of(best),
        "verdict": verdict,
        "calibration": calibration,
        "images_per_second": sorted(rates)[len(rates) // 2] if rates else None,
    }


def of_best(row: dict[str, Any]) -> dict[str, Any]:
    """What a summary says of the evaluation of the weights that were kept."""
    return {
        "best_jaccard": row["jaccard"],
        "best_score": score_of(row),
        "best_jaccard_at_0.5": row["jaccard_at_0.5"],
        **{f"best_{name}": row.get(name) for name in _OF_BEST},
        "grade": grade(row["jaccard"]),
        "threshold": row["threshold"],
    }


def of_kept(
    row: dict[str, Any], rows: list[dict[str, Any]], of_start: dict[str, Any]
) -> dict[str, Any]:
    """What a summary says of weights other than those of the best evaluation.

    They are mixed with those the run started from, or the checkpoint of the best was
    damaged.

    Args:
      row: the evaluation of the weights that were kept.
      rows: of `metrics.jsonl`.
      of_start: as `beadseg.training.start.mix_with_start` returns it.
    """
    scores = {r["step"]: score_of(r) for r in rows if r["kind"] == "validation"}
    share = of_start.get("share_of_start")
    own = scores.get(row["step"], score_of(row))
    found = dict(of_start)
    if share or own < max(scores.values(), default=own):
        found |= of_best(row) | {"best_epoch": row["epoch"]}
    if share == 1.0:
        found |= {"verdict": NO_HELP, "best_epoch": 0}
    return found


def grade(jaccard: float) -> str:
    """What the domain-shift analysis calls such a validation Jaccard."""
    return next((name for least, name in GRADES if jaccard > least), BELOW)


def verdict_of(scores: list[float], epochs: int) -> str:
    """One word for a run: converged, still rising, collapsed or did not learn.

    Args:
      scores: of validation after each epoch.
      epochs: how many there were to be; a run stopped early has stopped rising.
    """
    best, final = max(scores), scores[-1]
    if final < WITHIN * best:
        return "collapsed"
    if best < LEARNT:
        return "did not learn"
    tail = max(len(scores) // 5, 1)
    before = scores[:-tail] or [0.0]
    if len(scores) >= epochs and best - max(before) > RISING:
        return "still rising"
    return "converged"


def _skilled(row: dict[str, Any]) -> bool:
    """Whether an evaluation shows more than calling everything bead does.

    Either in pixels or in beads; where crowds are dense, that alone has a good Jaccard.
    """
    if "bead_share" not in row or row.get("f1") is None:
        return True
    return row["jaccard"] - row["bead_share"] >= SKILL or row["f1"] >= FOUND


def _calibrated(
    verdict: str, rows: list[dict[str, Any]], best: dict[str, Any], config: ConfigDict
) -> tuple[str, str | None]:
    """The verdict, and what is to be said where the threshold is to blame.

    A network may have learnt while its probabilities stay below the threshold: then
    Jaccard is good at another one.
    """
    free = [row.get("jaccard_at_best_threshold", row["jaccard"]) for row in rows]
    last, reached = rows[-1], free[-1]
    failed = verdict in ("collapsed", "did not learn")
    apart = reached > max(LEARNT, 1.5 * last.get("bead_share", 0.0))
    learnt = verdict_of(free, config.train.epochs) in ("converged", "still rising")
    if failed and learnt and apart and last["jaccard"] < LOW * reached:
        return UNCALIBRATED, (
            f"it learnt, but its probabilities do not fit the threshold "
            f"{last['threshold']:.2f}: at {last['best_threshold']:.2f} the last epoch "
            f"has a Jaccard of {reached:.3f}, not {last['jaccard']:.3f}; train without "
            "--config.train.threshold, which is then chosen"
        )
    if best["jaccard"] >= LEARNT and best["jaccard_at_0.5"] < LOW * best["jaccard"]:
        return verdict, (
            f"at threshold 0.5 Jaccard is {best['jaccard_at_0.5']:.3f}: probabilities "
            "are far from 0.5 on beads, so the threshold was chosen; the masks may "
            "lack beads"
        )
    return verdict, None


def sentence(summary: dict[str, Any]) -> str:
    """The summary as one line."""
    text = f"validation Jaccard {summary['best_jaccard']:.3f} ({_about(summary)})"
    found = _beads(summary)
    if summary.get("score") == "f1":
        text = f"{found}; {text}" if found else text
    elif found:
        text += f", {found}"
    share = summary.get("share_of_start")
    threshold = f"threshold {summary['threshold']:.2f}"
    if summary["verdict"] == NO_HELP:
        return (
            f"fine-tuning did not help; starting weights kept: {text} ({threshold}); "
            f"after training {_score(summary)} was {summary['tuned_score']:.3f} at best"
        )
    mixed = f", mixed with {percent(share)} of the starting weights" if share else ""
    before = summary.get("start_score")
    if before is not None:
        helped = "" if before < summary["best_score"] else "fine-tuning did not help: "
        mixed += f"; {helped}{_score(summary)} before fine-tuning {before:.3f}"
    final = f"{summary['final_jaccard']:.3f}"
    if summary.get("score") == "f1":
        final = f"F1 {summary['final_f1']:.3f}"
    meaning = MEANING.get(summary["verdict"], summary["verdict"])
    if summary["verdict"] == UNCALIBRATED:
        meaning = f"{UNCALIBRATED}: {summary['calibration']}"
    line = (
        f"{text} at epoch {summary['best_epoch']} ({threshold}{mixed}), "
        f"{final} at the end (epoch {summary['final_epoch']}), {meaning}"
    )
    if summary.get("calibration") and summary["verdict"] != UNCALIBRATED:
        line += f"; {summary['calibration']}"
    return line


def cautions(summary: dict[str, Any]) -> list[str]:
    """Warnings about the scores: lines to print after the sentence."""
    return list(summary.get("cautions", ()))


def _score(summary: dict[str, Any]) -> str:
    return "F1" if summary.get("score") == "f1" else "Jaccard"


def _about(summary: dict[str, Any]) -> str:
    """How Jaccard was measured, its mean over images, and its grade."""
    parts = [summary["validation"]]
    mean = summary.get("best_jaccard_mean_of_images")
    if mean is not None:
        parts.append(f"mean of images {mean:.3f}")
    if summary.get("grade") and summary.get("score") != "f1":  # marks are no outlines
        parts.append(summary["grade"])
    return "; ".join(parts)


def _beads(summary: dict[str, Any]) -> str:
    if summary.get("best_f1") is None:
        return ""
    text = f"beads F1 {summary['best_f1']:.3f}"
    if summary.get("score") == "f1":
        text += " (masks are marks: centres within half a diameter)"
    text += f", count error per image {percent(summary['best_count_error'], 1)}"
    size = summary.get("best_diameter_error")
    if size is not None:
        text += f", median diameter {percent(size, 1, sign=True)}"
    return text
