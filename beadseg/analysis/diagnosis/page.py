"""The page of `beadseg diagnose`: each cause with its numbers and worst pictures."""

from pathlib import Path

import numpy as np

from beadseg.analysis.diagnosis.causes import CAUSES, Cause, Finding
from beadseg.analysis.diagnosis.evidence import LEVELS, Evidence, ExaminedImage
from beadseg.inference.outputs.views import LEGEND, error_layers, view
from beadseg.page import GREY, Page
from beadseg.quoting import counted, percent
from beadseg.training.tracking.curves import draw_run

_WORST = 3  # images a cause
COLUMNS = {  # of the table of images: numbers of `evidence.Row`
    "truth": "labelled",
    "true_positive": "true positives",
    "false_negative": "false negatives",
    "false_positive": "false positives",
    "merged": "merged",
    "split": "split",
    "specks": "specks",
}


def no_cause(evidence: Evidence) -> str:
    """What is said of a run in which nothing was found."""
    if not evidence.rows:
        return "No cause shows in the curves: without images they say little."
    return "No cause shows: the numbers are those of a healthy run."


def write_page(
    file: Path,
    name: str,
    findings: list[Finding],
    evidence: Evidence,
    images: tuple[ExaminedImage, ...],
    notes: tuple[str, ...],
) -> None:
    """Writes the page of what was found in the run `name`."""
    if findings:
        first = findings[0]
        lead = f"{CAUSES[first.cause].title}. {first.because}"
    else:
        lead = no_cause(evidence)
    page = Page(f"Diagnosis of {name}", lead)
    if evidence.rows:
        best, at = evidence.best
        known = "pixels"
        if evidence.partial:
            known += f"; masks label {percent(evidence.labelled)}"
        truth, right, wrong = (
            f"{evidence.total(name):.0f}"
            for name in ("truth", "true_positive", "false_positive")
        )
        number = counted(len(evidence.rows), "image")
        page.numbers(
            [
                ("Jaccard", f"{evidence.jaccard_at(evidence.threshold):.2f}", known),
                ("best", f"{best:.2f}", f"at threshold {at:.2f}"),
                ("labelled", truth, f"beads in {number}"),
                ("true positives", right, percent(evidence.share("true_positive"))),
                ("false positives", wrong, "off the masks"),
            ]
        )
    for note in notes:
        page.callout("note", note)
    if not findings:
        page.callout("good" if evidence.rows else "note", no_cause(evidence))
    for finding in findings:
        title = CAUSES[finding.cause].title
        page.section(f"{title} ({percent(finding.confidence)})")
        page.paragraph(finding.because)
        page.paragraph(f"What to do: {finding.remedy}")
        page.command(finding.command)
        _pictures(page, CAUSES[finding.cause], evidence, images)
    if evidence.curve:
        page.section("Curves")
        with page.plot("After each epoch.", 2, 3, width=9.2, height=5.6) as axes:
            draw_run(axes, [*evidence.training, *evidence.curve])
    if evidence.rows:
        page.section("Thresholds")
        with page.plot(
            "Jaccard of all validation pixels at each threshold; the line is the "
            "threshold in use."
        ) as axes:
            axes.plot(np.arange(LEVELS + 1) / LEVELS, evidence.jaccards)
            axes.axvline(evidence.threshold, color=GREY, lw=0.8)
            axes.set(xlabel="threshold", ylabel="Jaccard", ylim=(0, 1))
        page.section("Images")
        rows = (
            [row.name, *(getattr(row, k) for k in COLUMNS)] for row in evidence.rows
        )
        page.table(["image", *COLUMNS.values()], list(rows))
    page.write(file, "-o")


def _pictures(page: Page, cause: Cause, evidence: Evidence, images) -> None:
    if cause.shows is None or not images:
        return
    order = np.argsort([-cause.shows(row) for row in evidence.rows], kind="stable")
    shown = []
    for i in order[:_WORST]:
        seen, row = images[i], evidence.rows[i]
        caption = (
            f"{seen.name}: {row.true_positive} true positives of {row.truth} beads, "
            f"{row.false_positive} false positives, {row.merged} merged, {row.split} "
            "split"
        )
        layers = error_layers(seen.labels, seen.predicted)
        shown.append((view(seen.image, *layers), caption))
        if cause.with_probability:
            shown.append((view(seen.probability), f"{seen.name}: probability"))
    page.legend(LEGEND[:-1])
    page.pictures(shown, 20.0 if len(shown) < 3 else 10.0)
