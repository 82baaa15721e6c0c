"""What the study of the domain-shift analysis found: effects, verdicts, shares.

Pure functions from the members of `configs/study_domain_shift.py` to a row for each
claim of `claims.py` and a bar for each factor of the collapse.

An effect is the mean, over seeds, of the difference in validation Jaccard between two
settings with the same seed, with a 95 % interval of Student's t. A test is shown if the
interval lies on the side that the claim predicts and the effect is `MATTERS` or more;
refuted if the interval excludes an effect of `MATTERS` on that side; else open, as it
is where neither setting learnt. A claim holds if all its tests are shown, in part if
some are, and does not if none is and one is refuted; where all are open it cannot be
told.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from beadseg.training.tracking.summary import LEARNT

MATTERS = 0.02  # Jaccard
PATIENCE = {"patience 10 %": 0.1, "patience 20 %": 0.2}  # of the epochs
HOLDS, IN_PART, DOES_NOT = "holds", "holds in part", "does not"
UNKNOWN, NOT_RUN = "cannot be told", "not tested"

Factors = Mapping[str, Any]


class Member(NamedTuple):
    """A member of the study that has come to its end."""

    factors: dict[str, Any]  # see `factors_of`
    seed: int
    scores: dict[str, float]  # see `scores_of`


class Effect(NamedTuple):
    """A mean over `count` seeds and half of its 95 % interval (NaN of one)."""

    mean: float
    interval: float
    count: int


class Contrast(NamedTuple):
    """A difference between two settings, or between two scores of one.

    `before` and `after` say what differs from the settings for mitochondria on
    half-labelled beads, or from the other end of the walk. `predicts` is "more",
    "less" or "same".
    """

    what: str
    before: Factors
    after: Factors
    predicts: str = "more"
    score: str = "best at 0.5"
    score_before: str = ""  # the same
    end: bool = False  # changes of the settings for beads
    end_before: bool | None = None  # the same, of `before` (None: as `end`)


class Level(NamedTuple):
    """A score that a setting is said to reach: between `low` and `high`."""

    what: str
    settings: Factors
    low: float
    high: float
    score: str = "best at 0.5"
    end: bool = False


class Claim(NamedTuple):
    """What the analysis says, and the tests of it (none: it cannot be tested here)."""

    said: str
    tests: tuple[Contrast | Level, ...]
    remark: str = ""


class Tested(NamedTuple):
    """A test with what came of it: `outcome` is shown, refuted, open or missing."""

    test: Contrast | Level
    effect: Effect | None
    outcome: str


class Row(NamedTuple):
    """A claim with its verdict."""

    claim: Claim
    tests: list[Tested]
    verdict: str


class Share(NamedTuple):
    """What one factor does: changed alone in the collapse, and alone in what is sound.

    `undone` is how much of the way from the collapse to the sound end it makes alone.
    """

    factor: str
    alone: Effect | None  # Jaccard at 0.5 after the last epoch, changed in the collapse
    undone: float | None
    back: Effect | None  # the same, changed back in the settings for beads


def factors_of(point: Mapping[str, Any]) -> dict[str, Any]:
    """The factors of the study, from a point of its sweep, without the seed."""
    loss = point["loss.name"]
    if loss == "focal":
        loss += f" {point['loss.gamma']:g}"
    labelled = 1.0
    if "data.dir" in point:  # the folder is named after the share, in percent
        labelled = int(Path(point["data.dir"]).name) / 100
    elif point.get("data.generated.damage", "none") != "none":
        labelled = round(1 - point["data.generated.amount"], 6)
    return {
        "objects": point.get("data.generated.preset", "beads"),
        "labelled": labelled,
        "loss": loss,
        "rate": point["optim.learning_rate"],
        "batch": point["data.batch_size"],
        "dropout": point["model.dropout"],
        "augmentation": point["data.augment.enabled"],
        "weight decay": point["optim.weight_decay"],
        "method": point.get("partial.method", "none"),
        "deep supervision": point.get("model.deep_supervision", False),
        "network": point.get("model.name", "unet"),
        "crops": point["data.batch_size"] * point["train.steps_per_epoch"],
    }


def scores_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Scores of a member from its rows of kind "validation", in their order.

    "best" and "final" Jaccard at the calibrated threshold and at 0.5, the threshold of
    the best, where in the training (0..1) the best at 0.5 was, and what early stopping
    would have kept, by its patience.
    """
    calibrated = [row["jaccard"] for row in rows]
    at_half = [row["jaccard_at_0.5"] for row in rows]
    best = int(np.argmax(calibrated))
    scores = {
        "best": calibrated[best],
        "final": calibrated[-1],
        "threshold": rows[best]["threshold"],
        "best at 0.5": max(at_half),
        "final at 0.5": at_half[-1],
        "peak": (int(np.argmax(at_half)) + 1) / len(rows),
        "final of best": at_half[-1] / max(at_half) if max(at_half) else 0.0,
    }
    for name, share in PATIENCE.items():
        scores[name] = stopped(at_half, max(1, round(share * len(rows))))
    return scores


def stopped(scores: Sequence[float], patience: int) -> float:
    """The best score when training stops after `patience` scores that are no better."""
    best, stale = -math.inf, 0
    for score in scores:
        best, stale = (score, 0) if score > best else (best, stale + 1)
        if stale >= patience:
            break
    return best


def effect_of(values: Sequence[float]) -> Effect:
    """Mean with half of the 95 % interval of Student's t."""
    from scipy import stats

    x = np.asarray(values, np.float64)
    if len(x) < 2:
        return Effect(float(x.mean()), math.nan, len(x))
    error = x.std(ddof=1) / math.sqrt(len(x))
    return Effect(
        float(x.mean()), float(stats.t.ppf(0.975, len(x) - 1) * error), len(x)
    )


class Study:
    """The members, to be asked by their settings."""

    def __init__(self, members: Sequence[Member], start: Factors, end: Factors):
        """`start` and `end`: factors of the two ends of the walk."""
        self.start, self.end = dict(start), dict(end)
        self._members: dict[str, dict[int, dict[str, float]]] = {}
        for member in members:
            self._members.setdefault(_key(member.factors), {})[member.seed] = (
                member.scores
            )

    def scores(self, change: Factors, score: str, end: bool = False):
        """A score by seed, of the members that differ from an end in `change`."""
        settings = (self.end if end else self.start) | change
        found = self._members.get(_key(settings), {})
        return {s: scores[score] for s, scores in found.items() if score in scores}

    def level(self, change: Factors, score: str, end: bool = False) -> Effect | None:
        """The mean of a score, with its interval; None where nothing was run."""
        found = self.scores(change, score, end)
        return effect_of(list(found.values())) if found else None

    def learnt(self, contrast: Contrast) -> bool:
        """Whether one of both settings scores `LEARNT` at its best threshold."""
        c = contrast
        end = c.end if c.end_before is None else c.end_before
        found = self.level(c.before, "best", end), self.level(c.after, "best", c.end)
        return any(effect is None or effect.mean >= LEARNT for effect in found)

    def difference(self, contrast: Contrast) -> Effect | None:
        """What the change does to the score, paired by seed."""
        c = contrast
        end = c.end if c.end_before is None else c.end_before
        before = self.scores(c.before, c.score_before or c.score, end)
        after = self.scores(c.after, c.score, c.end)
        both = sorted(before.keys() & after.keys())
        return effect_of([after[s] - before[s] for s in both]) if both else None


def test(study: Study, asked: Contrast | Level) -> Tested:
    """What came of a test."""
    if isinstance(asked, Level):
        effect = study.level(asked.settings, asked.score, asked.end)
        return Tested(asked, effect, _within(effect, asked.low, asked.high))
    effect = study.difference(asked)
    found = outcome(effect, asked.predicts)
    if found != "missing" and not study.learnt(asked):
        found = "open"
    return Tested(asked, effect, found)


def outcome(effect: Effect | None, predicts: str) -> str:
    """Whether an effect is what is predicted: see the head of this file."""
    if effect is None or not math.isfinite(effect.interval):
        return "missing"
    if predicts == "same":
        return _within(effect, -MATTERS, MATTERS)
    mean = effect.mean if predicts == "more" else -effect.mean
    if mean - effect.interval > 0 and mean >= MATTERS:
        return "shown"
    return "refuted" if mean + effect.interval < MATTERS else "open"


def verdict(outcomes: Sequence[str]) -> str:
    """Of a claim, from the outcomes of its tests that were run."""
    run = [o for o in outcomes if o != "missing"]
    if not run:
        return NOT_RUN
    if all(o == "shown" for o in run):
        return HOLDS
    if "shown" in run:
        return IN_PART
    return DOES_NOT if "refuted" in run else UNKNOWN


def judge(study: Study, claims: Sequence[Claim]) -> list[Row]:
    """A row for each claim."""
    rows = []
    for claim in claims:
        tested = [test(study, asked) for asked in claim.tests]
        rows.append(Row(claim, tested, verdict([t.outcome for t in tested])))
    return rows


def shares(study: Study) -> list[Share]:
    """The factors in which the two ends differ, then threshold and loss for gaps."""
    score = "final at 0.5"
    low, high = study.level({}, score), study.level({}, score, end=True)
    way = high.mean - low.mean if low and high else math.nan

    def undone(effect: Effect | None) -> float | None:
        return None if effect is None or not way > 0 else effect.mean / way

    found = []
    for factor in study.start:
        if study.start[factor] == study.end[factor] or factor == "crops":
            continue
        there = Contrast("", {}, {factor: study.end[factor]}, score=score)
        back = Contrast("", {}, {factor: study.start[factor]}, score=score, end=True)
        alone = study.difference(there)
        found.append(Share(factor, alone, undone(alone), study.difference(back)))
    threshold = Contrast("", {}, {}, score="final", score_before=score)
    to_half = Contrast("", {}, {}, score=score, score_before="final", end=True)
    alone = study.difference(threshold)
    found.append(Share("threshold", alone, undone(alone), study.difference(to_half)))
    alone = study.difference(Contrast("", {}, {"method": "auto"}, score=score))
    found.append(Share("loss for gaps", alone, undone(alone), None))
    return found


def _within(effect: Effect | None, low: float, high: float) -> str:
    if effect is None or not math.isfinite(effect.interval):
        return "missing"
    least, most = effect.mean - effect.interval, effect.mean + effect.interval
    if low <= least and most <= high:
        return "shown"
    return "refuted" if most < low or least > high else "open"


def _key(factors: Factors) -> str:
    return repr(sorted(factors.items()))
