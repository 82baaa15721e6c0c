"""What a paper says of a prediction: methods, settings, versions, the model."""

import importlib.resources
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from beadseg import __version__
from beadseg.analysis.prediction.distributions import Comparison, by_number
from beadseg.analysis.prediction.found import Found
from beadseg.analysis.prediction.intervals import Intervals
from beadseg.inference.settings import DEFAULT_NAME, names_of_runs
from beadseg.page import Page
from beadseg.quoting import counted

Tests = list[tuple[str, Comparison]]  # of what, and how it came out

_EDGES = {
    "corrected": "whole beads, by the reciprocal of the chance that one of its height "
    "and width lies whole in the image (Miles 1978, Lantuéjoul 1980)",
    "all": "all beads, also those that the border cuts",
    "none": "only beads that the border does not cut",
    "half": "beads that neither the top nor the left side cuts (Gundersen 1977)",
}
_PACKAGES = ("numpy", "scipy", "scikit-image", "jax", "flax")


def left_out(found: Found) -> list[str]:
    """What the sizes leave out, a sentence each."""
    lines = []
    border = int(found.beads["on_border"].sum())
    if border == len(found.image) > 0:
        lines.append("All beads touch the border: their sizes are those of parts.")
    elif border:
        one = "bead that touches the border is"
        cut = counted(border, one, "beads that touch the border are")
        lines.append(
            f"{cut} left out of sizes, shapes and intensities: those are of the part "
            f"that is seen. Numbers of beads follow `--edge {found.edge}`."
        )
    scores = found.beads["score"][np.isfinite(found.beads["score"])]
    if len(scores):
        least = found.settings.get("min_score", "auto")
        lines.append(
            f"Beads with low scores are left out (`--min-score {least}`); the lowest "
            f"score here is {scores.min():.2f}."
        )
    without = sum(not row["pixel_size_um"] for row in found.rows)
    if without:
        lines.append(
            f"{without:,} of {counted(len(found.rows), 'image has', 'images have')} no "
            "pixel size, so that sizes are in px: give `--pixel-size`."
        )
    return lines


def add_methods(page: Page, found: Found, intervals: Intervals, tests: Tests) -> None:
    """The paragraph to copy, settings, versions and what is known of the model."""
    page.paragraph(methods(found, intervals, tests))
    page.subsection("Settings")
    settings = {k: v for k, v in found.settings.items() if k not in ("runs", "beadseg")}
    page.table(
        ["setting", "value"],
        [[k, v if v is None else _shown(v)] for k, v in settings.items()],
    )
    page.subsection("Versions")
    rows = [["beadseg", found.settings.get("beadseg", __version__)]]
    page.table(["package", "version"], rows + [[p, _version(p)] for p in _PACKAGES])
    runs = found.settings.get("runs") or []
    page.subsection("Model")
    if not runs:
        page.paragraph("None: the labels were given.")
        return
    page.table(["run", "weights"], [[run["run"], run.get("weights")] for run in runs])
    if any(run["run"] == DEFAULT_NAME for run in runs):
        page.table(["the default model", ""], _card())


def methods(found: Found, intervals: Intervals, tests: Tests) -> str:
    """A paragraph for the methods of a paper, with the main numbers."""
    of = found.settings
    runs = names_of_runs(of)
    used = f"beadseg {of.get('beadseg', __version__)}"
    if runs:
        how = " and ".join(runs)
        thresholds = sorted({row["threshold"] for row in found.rows})
        at = ", ".join(f"{threshold:.3g}" for threshold in thresholds[:3])
        lines = [
            f"Beads were segmented with {used} ({how}; probability threshold {at})"
        ]
        if of.get("diameter", "auto") != "auto":
            lines.append(f"The bead diameter was given as {of['diameter']:g} px")
        if of.get("min_score", "auto") != "auto":
            lines.append(f"Beads with a score below {of['min_score']:g} were left out")
        if of.get("polarity", "any") != "any":
            lines.append(f"Only beads {of['polarity']}er than their surroundings count")
    else:
        lines = [f"Labelled beads were measured with {used}"]
    sizes = found.beads["size"][found.whole]
    lines.append(
        f"{counted(len(found.image), 'bead was', 'beads were')} found in "
        f"{counted(len(found.rows), 'image')}; {len(found.image) - len(sizes):,} that "
        "touch the border were left out of sizes"
    )
    if corrected := corrections(found):
        lines.append(corrected)
    lines.append("The diameter is that of the disc of equal area")
    if intervals.median and intervals.cv:
        low, high = intervals.median
        least, most = (f"{100 * end:.3g}" for end in intervals.cv)
        several = len(np.unique(found.image[found.whole])) > 1
        units = "images" if several else "the beads of the one image"
        lines.append(
            f"The median diameter was {number(np.median(sizes))} {found.unit} (95 % "
            f"interval {number(low)} to {number(high)}) and the coefficient of "
            f"variation {100 * by_number(sizes).cv:.3g} % ({least} to {most} %; "
            f"bootstrap over {units}, with Student's t)"
        )
    lines.append(f"Numbers per area count {_EDGES[found.edge]}")
    for option, where in (("roi", "inside"), ("exclude", "outside")):
        if of.get(option):
            lines.append(f"Only beads with their centre {where} a drawn region count")
    for what, test in tests:
        lines.append(f"The {what} of images was compared between groups ({test})")
    return ". ".join(lines) + "."


def corrections(found: Found) -> str:
    """What a person changed of that; "": nothing."""
    added, removed, edited = (
        sum(row.get(name) or 0 for row in found.rows)
        for name in ("added", "removed", "edited")
    )
    if not added + removed + edited:
        return ""
    return (
        f"A person corrected them: {added:,} of the "
        f"{counted(len(found.image), 'bead was', 'beads were')} added and {edited:,} "
        f"changed, {removed:,} that had been found were taken out"
    )


def number(value: float) -> str:
    """Of four digits; from 1,000 on whole."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _card() -> list[list[str]]:
    """The first table of the default model's card."""
    card = importlib.resources.files("beadseg") / "default_model" / "CARD.md"
    lines = card.read_text(encoding="utf-8").splitlines()
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in lines[: lines.index("## What it was trained on")]
        if line.startswith("| ") and not line.startswith("| |")
    ]
    return [row for row in cells if len(row) == 2]
