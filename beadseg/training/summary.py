"""What came of a run, in numbers and in one sentence."""

from typing import Any

from ml_collections import ConfigDict

SUMMARY = "summary.json"
_SHARES = ("best_jaccard", "final_jaccard", "threshold")
_COUNTS = ("best_epoch", "final_epoch")
WITHIN = 0.9  # of the best: a final score below has fallen
LEARNT = 0.3  # Jaccard; below it nothing useful was learnt
RISING = 0.01  # Jaccard gained over the last fifth of the epochs: more would follow


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
    for name in ("epochs", *_COUNTS):
        value = summary.get(name, None if name in _COUNTS else 0)
        if type(value) is not int or value < 0:
            raise ValueError(f"{SUMMARY} has no number of {name}")
    for name in ("verdict", "validation"):
        if not isinstance(summary.get(name), str):
            raise ValueError(f"{SUMMARY} has no {name}")


def summarise(
    rows: list[dict[str, Any]], config: ConfigDict, best: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Best and final validation Jaccard, the threshold of the best, and a verdict.

    Args:
      rows: those of `metrics.jsonl`.
      config: of the run.
      best: the row of the best weights, for rows without any of kind "validation".
    """
    scores = [row for row in rows if row["kind"] == "validation"] or [best]
    best = max(scores, key=lambda row: (row["jaccard"], -row["epoch"]))
    final = scores[-1]
    steady = [row for row in rows if row["kind"] == "train"][1:] or rows
    rates = [r["images_per_second"] for r in steady if "images_per_second" in r]
    verdict = judge([row["jaccard"] for row in scores], config.train.epochs)
    return {
        "best_jaccard": best["jaccard"],
        "best_epoch": best["epoch"],
        "best_jaccard_at_half": best["jaccard_at_half"],
        "final_jaccard": final["jaccard"],
        "final_epoch": final["epoch"],
        "final_within_10_percent": final["jaccard"] >= WITHIN * best["jaccard"],
        "threshold": best["threshold"],
        "verdict": verdict,
        "images_per_second": sorted(rates)[len(rates) // 2] if rates else None,
    }


def judge(jaccards: list[float], epochs: int) -> str:
    """One word for a run: converged, still rising, collapsed or did not learn.

    Args:
      jaccards: validation Jaccard after each epoch.
      epochs: how many there were to be; a run stopped early has stopped rising.
    """
    best, final = max(jaccards), jaccards[-1]
    if final < WITHIN * best:
        return "collapsed"
    if best < LEARNT:
        return "did not learn"
    tail = max(len(jaccards) // 5, 1)
    before = jaccards[:-tail] or [0.0]
    if len(jaccards) >= epochs and best - max(before) > RISING:
        return "still rising"
    return "converged"


def sentence(summary: dict[str, Any]) -> str:
    """The summary as one line."""
    meaning = {
        "converged": "converged: more epochs would add little",
        "still rising": "still rising: give it more with --config.train.epochs",
        "collapsed": "collapsed: it fell far below its best, whose weights were kept",
        "did not learn": "did not learn: look at the masks and the learning rate",
    }
    share = summary.get("share_of_start")
    mixed = f" with {share:.0%} of what it began with" if share else ""
    return (
        f"validation Jaccard {summary['best_jaccard']:.3f} "
        f"({summary['validation']}) at epoch "
        f"{summary['best_epoch']}{mixed} (threshold {summary['threshold']:.2f}), "
        f"{summary['final_jaccard']:.3f} at the end (epoch {summary['final_epoch']}), "
        f"{meaning[summary['verdict']]}"
    )
