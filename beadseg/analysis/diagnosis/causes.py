"""Why predictions are poor: one judge a cause, over the same evidence, ranked.

A cause gives its confidence (0..1) and the numbers it rests on, or None where there is
no sign of it. Confidence grows from 0.5 at the limit where a healthy run stops (limits
are from healthy runs, tests/bench/diagnosis.py) towards 1 far beyond it.
"""

from collections.abc import Callable
from typing import NamedTuple

from beadseg.analysis.diagnosis import curve_signs, image_signs
from beadseg.analysis.diagnosis.evidence import Evidence
from beadseg.analysis.diagnosis.signs import Sign

_SURE = 0.75  # confidence of a failure that explains symptoms
_FAILURES = (
    "collapse",
    "rate_high",
    "rate_low",
    "overfitting",
    "scale",
    "uneven_light",
    "disagreement",
)
_SYMPTOMS = ("scattered", "seams", "blurry", "outlines", "merges", "splits")


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
    return sorted(_behind(found), key=lambda finding: -finding.confidence)


def _behind(found: list[Finding]) -> list[Finding]:
    """Symptoms come behind the failure that explains them, where that is sure.

    A network that was trained badly, or looks at another scale, also merges, splits
    and scatters beads.
    """
    failed = [f.confidence for f in found if f.cause in _FAILURES]
    most = max(failed, default=0.0) - 0.01
    if most < _SURE:
        return found
    return [
        f._replace(confidence=min(f.confidence, most)) if f.cause in _SYMPTOMS else f
        for f in found
    ]


CAUSES = (
    Cause(
        "background_loss",
        "All background: the loss",
        "The network has learnt to predict nothing. Look whether the masks lie on "
        "their beads; train with a loss of overlap (Dice), at another rate.",
        image_signs.background_loss,
    ),
    Cause(
        "background_calibration",
        "All background: calibration",
        "The network has learnt, the threshold did not follow: lower it, or let it be "
        "chosen.",
        image_signs.background_calibration,
    ),
    Cause(
        "threshold",
        "Missing beads: threshold too high",
        "Lower the threshold.",
        image_signs.threshold,
    ),
    Cause(
        "partial_masks",
        "Missing beads: partial masks",
        "Masks lack beads, so the network learns to leave some out. Complete them, or "
        "train with the losses made for it (`partial.method`).",
        image_signs.partial,
    ),
    Cause(
        "scattered",
        "Scattered false positives",
        "Noise was learnt by heart: more dropout, weight decay or images.",
        image_signs.scattered,
    ),
    Cause(
        "seams",
        "Blurry or broken boundaries: tile overlap",
        "Predict with the overlap of the receptive field, as `beadseg predict` does.",
        image_signs.seams,
    ),
    Cause(
        "blurry",
        "Blurry boundaries: uncertainty",
        "Train longer, with the boundary term; look whether the masks' outlines agree.",
        image_signs.blurry,
    ),
    Cause(
        "outlines",
        "Right beads with poor outlines",
        "Train longer, with the boundary term or deep supervision; look whether masks "
        "are drawn too tight or too wide.",
        image_signs.outlines,
    ),
    Cause(
        "merges",
        "Merged beads",
        "Train with the distance head, which tells touching beads apart.",
        image_signs.merges,
    ),
    Cause(
        "splits",
        "Split beads",
        "Train with the distance head; check the diameter.",
        image_signs.splits,
    ),
    Cause(
        "scale",
        "Wrong scale",
        "Bring beads to the size that was learnt, or augment the zoom.",
        image_signs.scale,
    ),
    Cause(
        "uneven_light",
        "Uneven light",
        "Flatten the background, in training as in prediction.",
        image_signs.uneven,
    ),
    Cause(
        "overfitting",
        "Overfitting",
        "More augmentation, dropout or images; the best weights were kept.",
        curve_signs.overfitting,
    ),
    Cause(
        "collapse",
        "Collapse after an early peak",
        "Often a matter of calibration under partial masks: another loss, a warm-up, a "
        "lower rate.",
        curve_signs.collapse,
    ),
    Cause(
        "rate_high", "Learning rate too high", "Lower the rate.", curve_signs.rate_high
    ),
    Cause(
        "disagreement",
        "Masks of training and validation disagree",
        "Compare how both are drawn: one is tighter, wider or less complete than the "
        "other.",
        curve_signs.disagreement,
    ),
    Cause(
        "rate_low",
        "Learning rate too low, or too few steps",
        "Raise the rate or train longer.",
        curve_signs.rate_low,
    ),
    Cause(
        "leak",
        "Leak between training and validation",
        "Remove the copies, or give them one group.",
        image_signs.leak,
    ),
)
