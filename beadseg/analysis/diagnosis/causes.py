"""Why predictions are poor: one judge a cause, over the same evidence, ranked.

A cause gives its confidence (0..1) and the numbers it rests on, or None where there is
no sign of it. Confidence grows from 0.5 at the limit where a healthy run stops (limits
are from healthy runs, tests/bench/diagnosis.py) towards 1 far beyond it.

A new cause is a judge and a row of `CAUSES`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from beadseg.analysis.diagnosis import curve_signs, image_signs
from beadseg.analysis.diagnosis.evidence import Evidence, Row
from beadseg.analysis.diagnosis.signs import Sign

_SURE = 0.75  # confidence of a failure that explains symptoms
FAILURE, SYMPTOM = "failure", "symptom"


class Finding(NamedTuple):
    """A named cause."""

    cause: str  # of CAUSES
    confidence: float
    because: str
    remedy: str
    command: str


def wrong_beads(row: Row) -> float:
    """Beads of an image that are not what its labels say."""
    return row.false_negative + row.false_positive + row.merged


@dataclass(frozen=True)
class Cause:
    """A row of the table.

    `judge` sees the evidence and returns a `Sign`, or None. The page shows the images
    with the most of what `shows` counts; None: no image shows it.
    """

    title: str
    remedy: str
    judge: Callable[[Evidence], Sign | None]
    role: str = ""  # FAILURE; or SYMPTOM, which a sure failure explains
    shows: Callable[[Row], float] | None = wrong_beads
    with_probability: bool = False  # the page shows the map beside the image


def diagnose(evidence: Evidence) -> list[Finding]:
    """All causes that show, the surest first."""
    found = []
    for name, cause in CAUSES.items():
        sign = cause.judge(evidence)
        if sign is not None:
            found.append(Finding(name, *sign[:2], cause.remedy, sign.command))
    return sorted(_behind(found), key=lambda finding: -finding.confidence)


def _behind(found: list[Finding]) -> list[Finding]:
    """Symptoms come behind the failure that explains them, where that is sure.

    A network that was trained badly, or looks at another scale, also merges, splits
    and scatters beads.
    """
    roles = {finding: CAUSES[finding.cause].role for finding in found}
    failed = [f.confidence for f in found if roles[f] == FAILURE]
    most = max(failed, default=0.0) - 0.01
    if most < _SURE:
        return found
    return [
        f._replace(confidence=min(f.confidence, most)) if roles[f] == SYMPTOM else f
        for f in found
    ]


def _of_curves(title: str, remedy: str, judge: Callable) -> Cause:
    """A failure that the curves show, and no image."""
    return Cause(title, remedy, judge, FAILURE, shows=None)


CAUSES: dict[str, Cause] = {
    "background_loss": Cause(
        "All background: the loss",
        "The network has learnt to predict nothing. Look whether the masks lie on "
        "their beads; train with a loss of overlap (Dice), at another rate.",
        image_signs.background_loss,
        with_probability=True,
    ),
    "background_calibration": Cause(
        "All background: calibration",
        "The network has learnt, the threshold did not follow: lower it, or let it be "
        "chosen.",
        image_signs.background_calibration,
        with_probability=True,
    ),
    "threshold": Cause(
        "Missing beads: threshold too high",
        "Lower the threshold.",
        image_signs.threshold,
        shows=lambda r: r.false_negative,
        with_probability=True,
    ),
    "partial_masks": Cause(
        "Missing beads: partial masks",
        "Masks lack beads, so the network learns to leave some out. Complete them, or "
        "train with the losses made for it (`partial.method`).",
        image_signs.partial,
        shows=lambda r: r.beadlike + r.false_negative,
    ),
    "scattered": Cause(
        "Scattered false positives",
        "Noise was learnt by heart: more dropout, weight decay or images.",
        image_signs.scattered,
        SYMPTOM,
        shows=lambda r: r.specks,
    ),
    "seams": Cause(
        "Blurry or broken boundaries: tile overlap",
        "Predict with the overlap of the receptive field, as `beadseg predict` does.",
        image_signs.seams,
        SYMPTOM,
        shows=lambda r: r.seam,
        with_probability=True,
    ),
    "blurry": Cause(
        "Blurry boundaries: uncertainty",
        "Train longer, with the boundary term; look whether the masks' outlines agree.",
        image_signs.blurry,
        SYMPTOM,
        shows=lambda r: r.unsure / max(r.outline, 1),
        with_probability=True,
    ),
    "outlines": Cause(
        "Right beads with poor outlines",
        "Train longer, with the boundary term or deep supervision; look whether masks "
        "are drawn too tight or too wide.",
        image_signs.outlines,
        SYMPTOM,
        shows=lambda r: r.outline_error / max(r.outline_pixels, 1),
    ),
    "merges": Cause(
        "Merged beads",
        "Train with the distance head, which tells touching beads apart.",
        image_signs.merges,
        SYMPTOM,
        shows=lambda r: r.merged,
    ),
    "splits": Cause(
        "Split beads",
        "Train with the distance head; check the diameter.",
        image_signs.splits,
        SYMPTOM,
        shows=lambda r: r.split,
    ),
    "scale": Cause(
        "Wrong scale",
        "Bring beads to the size that was learnt, or augment the zoom.",
        image_signs.scale,
        FAILURE,
    ),
    "uneven_light": Cause(
        "Uneven light",
        "Flatten the background, in training as in prediction.",
        image_signs.uneven,
        FAILURE,
    ),
    "overfitting": _of_curves(
        "Overfitting",
        "More augmentation, dropout or images; the best weights were kept.",
        curve_signs.overfitting,
    ),
    "collapse": _of_curves(
        "Collapse after an early peak",
        "Often a matter of calibration under partial masks: another loss, a warm-up, a "
        "lower rate.",
        curve_signs.collapse,
    ),
    "rate_high": _of_curves(
        "Learning rate too high", "Lower the rate.", curve_signs.rate_high
    ),
    "disagreement": _of_curves(
        "Masks of training and validation disagree",
        "Compare how both are drawn: one is tighter, wider or less complete than the "
        "other.",
        curve_signs.disagreement,
    ),
    "rate_low": _of_curves(
        "Learning rate too low, or too few steps",
        "Raise the rate or train longer.",
        curve_signs.rate_low,
    ),
    "leak": Cause(
        "Leak between training and validation",
        "Remove the copies, or give them one group.",
        image_signs.leak,
        shows=None,
    ),
}
