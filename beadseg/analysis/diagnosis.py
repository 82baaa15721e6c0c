"""Why predictions are poor: one function a cause, over the same evidence, ranked.

A cause gives its confidence (0..1) and the numbers it rests on, or None where there is
no sign of it. Confidence grows from 0.5 at the limit where a healthy run stops (limits
are from healthy runs, tests/bench/diagnosis.py) towards 1 far beyond it.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from beadseg.analysis.evidence import Evidence

_COMPLETE = 0.8  # share labelled below which masks are partial
_SKILL = 0.15  # Jaccard over calling everything bead, that shows something learnt
_TRUSTED = 0.6  # share of the labelled that the estimate must see


class Sign(NamedTuple):
    """A cause that shows, before it is named."""

    confidence: float  # 0.5..1
    because: str  # with its numbers
    command: str


class Finding(NamedTuple):
    """A named cause."""

    cause: str
    confidence: float
    because: str
    remedy: str
    command: str


class Cause(NamedTuple):
    """A row of the table."""

    name: str
    title: str
    remedy: str
    judge: Callable[[Evidence], Sign | None]


def diagnose(evidence: Evidence) -> list[Finding]:
    """All causes that show, the surest first."""
    found = []
    for cause in CAUSES:
        sign = cause.judge(evidence)
        if sign is not None:
            found.append(Finding(cause.name, *sign[:2], cause.remedy, sign.command))
    return sorted(found, key=lambda finding: -finding.confidence)


def _beyond(value: float, limit: float, far: float) -> float:
    """0.5 at the limit, 0.95 at `far`, never above 0.99."""
    share = (value - limit) / (far - limit)
    return float(np.clip(0.5 + 0.45 * share, 0.5, 0.95 + 0.04 * np.tanh(share - 1)))


_TRAIN = "python -m beadseg.main --config=CONFIG"


def _background_loss(e: Evidence) -> Sign | None:
    best, _ = e.best
    if not e.silent or best >= e.trivial + _SKILL:
        return None
    name = e.config.get("loss", {}).get("name", "?")
    return Sign(
        0.97,
        f"{100 * e.predicted_share:.0f} % of the labelled area is predicted, and no "
        f"threshold does better than a Jaccard of {best:.2f}: the network tells "
        f"nothing apart (loss: {name}).",
        f"{_TRAIN} --config.loss.name=dice",
    )


def _background_calibration(e: Evidence) -> Sign | None:
    best, threshold = e.best
    if not e.silent or best < e.trivial + _SKILL:
        return None
    return Sign(
        0.97,
        f"Nearly nothing is predicted at threshold {e.threshold:.2f}, but at "
        f"{threshold:.2f} the same network reaches a Jaccard of {best:.2f}.",
        f"beadseg predict IMAGES --run RUN --threshold {max(threshold, 0.01):.2f}",
    )


def _threshold(e: Evidence) -> Sign | None:
    best, threshold = e.best
    gain = best - e.jaccard_at(e.threshold)
    lost = e.share("missed")
    if e.silent or gain < 0.04 or threshold >= e.threshold:
        return None
    if lost < 0.05 and e.predicted_share > 0.85 or best < e.trivial + _SKILL:
        return None
    if e.missed_probability < max(3 * e.ground_probability, 0.1):
        return None
    return Sign(
        _beyond(gain, 0.04, 0.2),
        f"Threshold {e.threshold:.2f} gives a Jaccard of "
        f"{e.jaccard_at(e.threshold):.2f}, {threshold:.2f} would give {best:.2f}; "
        f"missed beads have a mean probability of {e.missed_probability:.2f}, the "
        f"ground {e.ground_probability:.2f}.",
        f"beadseg predict IMAGES --run RUN --threshold {threshold:.2f}",
    )


def _partial(e: Evidence) -> Sign | None:
    if e.silent:
        return None
    extra = e.total("beadlike") / max(e.total("beadlike") + e.total("truth"), 1)
    signs = []
    if extra > 0.1:
        signs.append(
            (
                _beyond(extra, 0.1, 0.25),
                f"{e.total('beadlike'):.0f} predictions off the masks have the size, "
                "contrast and probability of beads that are labelled "
                f"({e.total('truth'):.0f})",
            )
        )
    short = e.seen >= _TRUSTED and e.labelled < _COMPLETE
    if short:
        signs.append(
            (
                _beyond(_COMPLETE - e.labelled, 0.0, 0.3),
                "of the beads seen without masks in training images "
                f"{100 * e.labelled:.0f} % are labelled",
            )
        )
    missed = 1 - e.share("located")
    flat = e.best[0] - e.jaccard_at(e.threshold) < 0.04
    unknown = e.missed_probability < 0.5 * e.threshold
    if missed > 0.12 and flat and unknown and e.total("missed") >= 3:
        signs.append(
            (
                _beyond(missed, 0.12, 0.4) - (0 if short else 0.03),
                f"{100 * missed:.0f} % of the labelled beads are missed with a "
                f"probability of {e.missed_probability:.2f}, which no threshold mends",
            )
        )
    if not signs:
        return None
    confidence = max(sign[0] for sign in signs)
    return Sign(
        confidence, _sentence([s[1] for s in signs]), "beadseg complete DIR --run RUN"
    )


def _scattered(e: Evidence) -> Sign | None:
    if not e.rows:
        return None
    specks = e.share("specks")
    each = e.total("specks") / len(e.rows)
    if specks < 0.12 or each < 2:
        return None
    return Sign(
        _beyond(specks, 0.12, 0.5),
        f"{e.total('specks'):.0f} specks far smaller than a bead lie off the beads, "
        f"{each:.0f} an image, {100 * specks:.0f} to 100 labelled beads.",
        f"{_TRAIN} --config.model.dropout=0.3 --config.optim.weight_decay=1e-3",
    )


def _seams(e: Evidence) -> Sign | None:
    seams = [row.seam for row in e.rows]
    if e.silent or not seams or np.median(seams) < 2.5:
        return None
    value = float(np.median(seams))
    return Sign(
        _beyond(value, 2.5, 4),
        f"Probabilities jump across straight lines {value:.1f} times as much as "
        "elsewhere: tiles were joined with too little overlap.",
        "beadseg predict IMAGES --run RUN",
    )


def _blurry(e: Evidence) -> Sign | None:
    width = e.unsure_width
    limit = max(3.5, 0.14 * e.diameter) if np.isfinite(e.diameter) else 3.5
    if e.silent or e.undecided or width < limit or e.total("outline") < 50:
        return None
    return Sign(
        _beyond(width, limit, 2 * limit),
        f"Around outlines {width:.1f} px are neither bead nor background (probability "
        f"0.2 to 0.8), for beads of {e.diameter:.0f} px.",
        f"{_TRAIN} --config.loss.boundary=1.0 --config.train.epochs=60",
    )


def _outlines(e: Evidence) -> Sign | None:
    if e.silent or e.total("outline_pixels") < 50:
        return None
    error = e.total("outline_error") / e.total("outline_pixels")
    ratios = np.concatenate([row.area_ratio for row in e.rows])
    ratio = float(np.median(ratios)) if len(ratios) else 1.0
    limit = max(1.1, 0.055 * e.diameter)
    away = abs(np.sqrt(ratio) - 1) * e.diameter / 2
    worst = max(error, away)
    if worst < limit or e.share("located") < 0.5 or e.undecided:
        return None
    size = "too small" if ratio < 0.85 else "too large" if ratio > 1.18 else "off"
    return Sign(
        _beyond(worst, limit, 2 * limit),
        f"Beads are found ({100 * e.share('located'):.0f} %) but their outlines are "
        f"{size}: {error:.1f} px away on average, area {ratio:.2f} of the labelled.",
        f"{_TRAIN} --config.loss.boundary=1.0 --config.model.deep_supervision=True",
    )


def _merges(e: Evidence) -> Sign | None:
    share = e.share("merged")
    if e.silent or e.undecided or share < 0.1:
        return None
    return Sign(
        _beyond(share, 0.1, 0.3),
        f"{100 * share:.0f} % of the labelled beads lie under one prediction with "
        "another.",
        f"{_TRAIN} --config.model.heads=\"('mask','distance')\"",
    )


def _splits(e: Evidence) -> Sign | None:
    share = e.share("split")
    if e.silent or share < 0.08:
        return None
    return Sign(
        _beyond(share, 0.08, 0.3),
        f"{100 * share:.0f} % of the labelled beads are cut into several predictions.",
        f"{_TRAIN} --config.model.heads=\"('mask','distance')\"",
    )


def _scale(e: Evidence) -> Sign | None:
    rows = [r for r in e.rows if np.isfinite(r.diameter) and r.truth]
    if not rows or not np.isfinite(e.expected_diameter):
        return None
    ratio = np.array([row.diameter / e.expected_diameter for row in rows])
    score = np.array([2 * r.found / max(r.truth + r.predicted, 1) for r in rows])
    off = (ratio < 0.6) | (ratio > 1.7)
    weak = score[off].mean() if off.any() else 1.0
    good = 0.9 if off.mean() > 0.5 else score[~off].mean()
    if off.mean() < 0.15 or weak > good - 0.15:
        return None
    usual = float(np.median(ratio[off]))
    return Sign(
        0.995 if off.mean() > 0.5 else _beyond(good - weak, 0.15, 0.4),
        f"In {off.sum()} of {len(rows)} images beads are {usual:.1f} times as large as "
        f"those learnt ({e.expected_diameter:.0f} px); there F1 is {weak:.2f}.",
        "beadseg predict IMAGES --run RUN --diameter auto",
    )


def _uneven(e: Evidence) -> Sign | None:
    light = np.concatenate(
        [row.light - np.mean(row.light) for row in e.rows if row.truth] or [[]]
    )
    hit = np.concatenate([row.hit for row in e.rows if row.truth] or [[]])
    if e.silent or len(light) < 40:
        return None
    low, high = np.percentile(light, (33, 67))
    if high - low < 0.04:
        return None
    dark, bright = hit[light <= low].mean(), hit[light >= high].mean()
    gap = abs(dark - bright)
    usual = hit.mean() * (1 - hit.mean())
    chance = 2.5 * np.sqrt(6 * usual / len(hit))  # of two thirds drawn by lot
    if gap < max(0.2, chance):
        return None
    where = "dark" if dark < bright else "bright"
    return Sign(
        _beyond(gap, 0.2, 0.4),
        f"In the {where} third of the light {100 * min(dark, bright):.0f} % of the "
        f"beads are found, in the other {100 * max(dark, bright):.0f} %.",
        f"{_TRAIN} --config.data.normalise.flatten=3.0",
    )


def _overfitting(e: Evidence) -> Sign | None:
    if len(e.curve) < 4 or len(e.training) < 4:
        return None
    losses = np.array([row["loss"] for row in e.curve])
    learnt = np.array([row["loss"] for row in e.training])
    tail = max(len(losses) // 5, 1)
    lowest = int(losses.argmin())
    rise = losses[-tail:].mean() / max(losses[lowest], 1e-6) - 1
    fell = learnt[-tail:].mean() < 0.97 * learnt[min(lowest, len(learnt) - 1)]
    gap = e.training[-1]["jaccard"] - e.curve[-1]["jaccard_at_half"]
    if _fallen(e) is not None or rise < 0.15 or not fell or gap < 0.1:
        return None
    return Sign(
        max(_beyond(rise, 0.15, 0.6), _beyond(gap, 0.1, 0.3)),
        f"Validation loss rose by {100 * rise:.0f} % after epoch "
        f"{e.curve[lowest]['epoch']} while training loss went on falling; Jaccard "
        f"{e.training[-1]['jaccard']:.2f} in training, "
        f"{e.curve[-1]['jaccard_at_half']:.2f} in validation.",
        f"{_TRAIN} --config.model.dropout=0.3 --config.data.augment.enabled=True",
    )


def _fallen(e: Evidence) -> tuple[float, float, int] | None:
    """Best and last Jaccard, and the epoch of the best, where a run collapsed."""
    if len(e.curve) < 4:
        return None
    scores = np.array([row["jaccard"] for row in e.curve])
    top = int(scores.argmax())
    last = float(np.mean(scores[-max(len(scores) // 5, 1) :]))
    if last > 0.6 * scores[top] or scores[top] < 0.03 or top > 0.7 * len(scores):
        return None
    after = scores[top + 1 :]
    back = after.max() if len(after) else 0
    if after[-1] > 0.75 * back and np.std(np.diff(scores)) > 0.15:
        return None  # up and down, not a collapse
    return float(scores[top]), last, e.curve[top]["epoch"]


def _collapse(e: Evidence) -> Sign | None:
    fallen = _fallen(e)
    if fallen is None:
        return None
    best, last, epoch = fallen
    return Sign(
        0.98,
        f"Validation Jaccard peaked at {best:.2f} in epoch {epoch} and fell to "
        f"{last:.2f}; the weights of that epoch were kept.",
        f"{_TRAIN} --config.loss.name=dice --config.optim.warmup_steps=50",
    )


def _rate_high(e: Evidence) -> Sign | None:
    if len(e.curve) < 5 or _fallen(e) is not None:
        return None
    scores = np.array([row["jaccard"] for row in e.curve])
    late = scores[len(scores) // 3 :]
    jumps = np.diff(late)
    turns = np.mean(np.sign(jumps[1:]) != np.sign(jumps[:-1])) if len(jumps) > 1 else 0
    swing = float(np.abs(jumps).mean())
    if swing < 0.06 or turns < 0.35:
        return None
    rate = e.config.get("optim", {}).get("learning_rate", float("nan"))
    return Sign(
        _beyond(swing, 0.06, 0.15),
        f"Validation Jaccard swings by {swing:.2f} from epoch to epoch in the last two "
        f"thirds of training (rate {rate:g}).",
        f"{_TRAIN} --config.optim.learning_rate={rate / 5:.2g}",
    )


def _rate_low(e: Evidence) -> Sign | None:
    rate = e.config.get("optim", {}).get("learning_rate", float("nan"))
    command = f"{_TRAIN} --config.optim.learning_rate={rate * 5:.2g}"
    if rate >= 1e-3:
        command = f"{_TRAIN} --config.train.epochs={max(3 * len(e.curve), 30)}"
    if e.undecided and not e.silent:
        return Sign(
            0.97,
            f"After {len(e.curve)} epochs whole beads are neither bead nor background: "
            f"{e.unsure_width:.0f} px of probability 0.2 to 0.8 to each px of outline, "
            f"for beads of {e.diameter:.0f} px (rate {rate:g}).",
            command,
        )
    if len(e.curve) < 5 or len(e.training) < 5 or _fallen(e) is not None:
        return None
    scores = np.array([row["jaccard"] for row in e.curve])
    third = max(len(scores) // 3, 1)
    gain = scores[-third:].mean() - scores[-2 * third : -third].mean()
    spread = np.ptp(scores)
    loss = np.array([row["loss"] for row in e.training])
    fall = (loss[-2 * third : -third].mean() - loss[-third:].mean()) / max(
        loss[0], 1e-6
    )
    if scores.max() > 0.8 or gain < 0.02 or gain < 0.2 * spread or fall < 0.02:
        return None
    return Sign(
        _beyond(gain / max(spread, 1e-6), 0.2, 0.35),
        f"After {len(scores)} epochs Jaccard is {scores[-1]:.2f} and still rising "
        f"steadily, by {gain:.2f} from one third to the next (rate {rate:g}).",
        command,
    )


def _leak(e: Evidence) -> Sign | None:
    if not e.leaks:
        return None
    pair = e.leaks[0]
    return Sign(
        0.99,
        f"{len(e.leaks)} validation images are also in training, such as {pair.second} "
        f"and {pair.first}: validation cannot be believed.",
        "beadseg analyze DIR",
    )


def _sentence(parts: list[str]) -> str:
    text = "; ".join(parts)
    return text[0].upper() + text[1:] + "."


CAUSES = (
    Cause(
        "background_loss",
        "All background: the loss",
        "The network has learnt to predict nothing. Train with a loss of overlap "
        "(Dice), at another rate.",
        _background_loss,
    ),
    Cause(
        "background_calibration",
        "All background: calibration",
        "The network has learnt, the threshold did not follow: lower it, or let it be "
        "chosen.",
        _background_calibration,
    ),
    Cause(
        "threshold",
        "Missing beads: threshold too high",
        "Lower the threshold.",
        _threshold,
    ),
    Cause(
        "partial_masks",
        "Missing beads: partial masks",
        "Masks lack beads, so the network learns to leave some out. Complete them, or "
        "train with the losses made for it (`partial.method`).",
        _partial,
    ),
    Cause(
        "scattered",
        "Scattered false positives",
        "Noise was learnt by heart: more dropout, weight decay or images.",
        _scattered,
    ),
    Cause(
        "seams",
        "Blurry or broken boundaries: tile overlap",
        "Predict with the overlap of the receptive field, as `beadseg predict` does.",
        _seams,
    ),
    Cause(
        "blurry",
        "Blurry boundaries: uncertainty",
        "Train longer, with the boundary term; look whether the masks' outlines agree.",
        _blurry,
    ),
    Cause(
        "outlines",
        "Right beads with poor outlines",
        "Train longer, with the boundary term or deep supervision; look whether masks "
        "are drawn too tight or too wide.",
        _outlines,
    ),
    Cause(
        "merges",
        "Merged beads",
        "Train with the distance head, which tells touching beads apart.",
        _merges,
    ),
    Cause(
        "splits",
        "Split beads",
        "Train with the distance head; check the diameter.",
        _splits,
    ),
    Cause(
        "scale",
        "Wrong scale",
        "Bring beads to the size that was learnt, or augment the zoom.",
        _scale,
    ),
    Cause(
        "uneven_light",
        "Uneven light",
        "Flatten the background, in training as in prediction.",
        _uneven,
    ),
    Cause(
        "overfitting",
        "Overfitting",
        "More augmentation, dropout or images; the best weights were kept.",
        _overfitting,
    ),
    Cause(
        "collapse",
        "Collapse after an early peak",
        "Often a matter of calibration under partial masks: another loss, a warm-up, a "
        "lower rate.",
        _collapse,
    ),
    Cause("rate_high", "Learning rate too high", "Lower the rate.", _rate_high),
    Cause(
        "rate_low",
        "Learning rate too low, or too few steps",
        "Raise the rate or train longer.",
        _rate_low,
    ),
    Cause(
        "leak",
        "Leak between training and validation",
        "Remove the copies, or give them one group.",
        _leak,
    ),
)
