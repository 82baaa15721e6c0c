"""The quick test of the domain-shift analysis: is it the settings or the data?

Plain settings (cross-entropy, rate 1e-4, batches of 32, at most 20 epochs, patience 5)
learn what there is to learn, if anything. Above a validation Jaccard of 0.3 the
settings were the problem, below 0.2 the data, between it must be looked at. Scores
on partial masks are corrected first: a perfect model scores the completeness c, not 1.
"""

import shlex
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from beadseg.analysis.overview import Overview
from beadseg.analysis.recommendation import FILE
from beadseg.config import base_config
from beadseg.page import GREY, Page
from beadseg.quoting import counted, percent
from beadseg.training.completeness import TRUSTED
from beadseg.training.tracking.curves import draw_curve

SETTINGS, DATA = 0.3, 0.2  # Jaccard above which, below which
FEWEST_STEPS = 20  # an epoch: few small images would make 20 epochs too few steps
PATIENCE = 5  # epochs without a better Jaccard after which a curve is flat
_RISING = 1.15  # growth over the last third of the epochs that promises more


class Verdict(NamedTuple):
    """What the baseline says, and what to do next."""

    kind: str  # "settings", "data", "between" or "too short"
    sentence: str
    checks: tuple[str, ...]
    command: str


def baseline_config(folder: Path, overview: Overview, epochs: int = 20) -> ConfigDict:
    """The plain settings, for a folder of images and masks.

    Masks that lack beads are trained on as they are; only the score is corrected.
    """
    c = base_config()
    c.data.dir = str(folder)
    c.data.batch_size = 32
    c.data.crop = 96
    c.loss.name = "bce"
    c.partial.method = "none"
    if overview.partial:
        c.partial.completeness = round(max(overview.labelled, 0.02), 3)
    c.optim.learning_rate = 1e-4
    c.plateau.enabled = False
    c.train.epochs = epochs
    c.train.early_stopping = PATIENCE
    c.train.steps_per_epoch = FEWEST_STEPS
    return c


def verdict_of(
    curve: list[dict[str, Any]], overview: Overview, folder: Path, given: bool
) -> Verdict:
    """The verdict of a baseline on the data in `folder`.

    `curve` are the rows of kind "validation", corrected for completeness where that is
    known; `given` says whether beads.toml gives it.
    """
    scores = [row["jaccard"] for row in curve]
    best = max(scores)
    at_half = max(row["jaccard_at_0.5"] for row in curve)
    known = given or not (overview.seen < TRUSTED)
    on = _measured_on(overview, given)
    settings = f"{folder.resolve().name}-analysis/{FILE}"
    train = f"python -m beadseg.main --config={shlex.quote(settings)}"
    data = shlex.quote(str(folder))
    analyze = f"beadseg analyze {data}"
    if best > SETTINGS:
        checks = []
        if overview.partial:
            checks.append(
                "The masks are to be completed all the same: as they are, a perfect "
                f"model scores about {overview.labelled:.2f} on them, and the "
                "correction is only as good as that number."
            )
        if at_half < DATA:
            checks.append(
                f"At threshold 0.5 it scores {at_half:.2f}: the network has learnt, "
                "its probabilities are low. Let the threshold be chosen."
            )
        if scores[-1] < 0.7 * best:
            checks.append(
                f"It fell from {best:.2f} to {scores[-1]:.2f}: look at the curve."
            )
        return Verdict(
            "settings",
            f"Plain settings reach a Jaccard of {best:.2f}{on}, above {SETTINGS}: the "
            "data can be learnt, so if training failed, its settings were the problem.",
            tuple(checks),
            f"{analyze} && {train}",
        )
    if _rising(scores) or len(scores) <= PATIENCE:
        how = "and still rising after" if _rising(scores) else "after only"
        return Verdict(
            "too short",
            f"The Jaccard is {best:.2f}{on} {how} {len(scores)} "
            "epochs: too early to blame settings or data.",
            ("Run it longer before anything else.",),
            f"beadseg baseline {data} --epochs {max(3 * len(scores), 20)}",
        )
    if not known:
        return Verdict(
            "between",
            f"The Jaccard is {best:.2f}, but nobody knows how complete the masks are: "
            "a perfect model scores no more than that share.",
            (
                "Say it in beads.toml (completeness = 0.5), or label an image in full.",
                "Then run this again: the score will be corrected.",
            ),
            f"beadseg verify {data}",
        )
    if best < DATA:
        return Verdict(
            "data",
            f"Plain settings reach only a Jaccard of {best:.2f}{on}, below {DATA}: "
            "other settings will not help, look at the data.",
            (
                "Do the masks lie on the beads? The page of `beadseg analyze` shows "
                "shifted, merged and empty masks.",
                "Are the beads large enough at the network's scale, and the right "
                "channel read?",
                "Are the masks complete? `beadseg verify` counts.",
            ),
            f"{analyze} && beadseg verify {data}",
        )
    return Verdict(
        "between",
        f"The Jaccard is {best:.2f}{on}, between {DATA} and {SETTINGS}: it could be "
        "either.",
        (
            "Look at samples.png of the run: are beads found with poor outlines "
            "(settings), or others than are labelled (masks)?",
            "Compare training and validation in the curve: a wide gap is too little "
            "data, none is too little training.",
            f"Validation has {len(scores)} evaluations; a few images make it noisy.",
        ),
        f"beadseg verify {data} && {analyze}",
    )


def write_page(
    file: Path, verdict: Verdict, rows: list[dict[str, Any]], overview: Overview
) -> None:
    """The page of a baseline: the verdict and the curve that led to it."""
    page = Page("Baseline: settings or data?", verdict.sentence)
    kind = {"settings": "good", "data": "bad"}.get(verdict.kind, "warn")
    page.callout(kind, verdict.sentence, f"Verdict: {verdict.kind}.")
    if verdict.checks:
        page.items(verdict.checks)
    page.command(verdict.command)
    curve = [row for row in rows if row["kind"] == "validation"]
    trained = [row for row in rows if row["kind"] == "train_epoch"]
    with page.plot("Jaccard after each epoch; the lines are 0.2 and 0.3.") as axes:
        draw_curve(axes, curve, "jaccard", label="validation")
        half = {"label": "validation, threshold 0.5", "ls": "--"}
        draw_curve(axes, curve, "jaccard_at_0.5", **half)
        draw_curve(axes, trained, "jaccard", label="training, threshold 0.5")
        for limit in (DATA, SETTINGS):
            axes.axhline(limit, color=GREY, lw=0.8)
        axes.set(xlabel="epoch", ylabel="Jaccard", ylim=(0, 1))
        axes.figure.legend(loc="outside lower left", ncols=3)
    names = {"jaccard": "Jaccard", "jaccard_at_0.5": "at 0.5"}
    names |= {k: k for k in ("threshold", "precision", "recall", "loss")}
    rows = [[row["epoch"], *(f"{row[k]:.3f}" for k in names)] for row in curve]
    page.table(["epoch", *names.values()], rows)
    images = counted(overview.images, "image")
    page.paragraph(f"The data: {images}, {_share(overview)}.")
    page.write(file, "--workdir")


def _rising(scores: list[float]) -> bool:
    third = max(len(scores) // 3, 1)
    before = max(scores[:-third], default=0.0)
    return len(scores) >= 3 and max(scores[-third:]) > _RISING * before


def _measured_on(overview: Overview, given: bool) -> str:
    if overview.partial:
        return (
            f" (corrected: masks label about {percent(overview.labelled)} of the beads)"
        )
    return " (corrected for the completeness in beads.toml)" if given else ""


def _share(overview: Overview) -> str:
    if overview.seen < TRUSTED or overview.labelled != overview.labelled:
        return "completeness of the masks unknown"
    return f"about {percent(overview.labelled)} of the beads seen are labelled"
