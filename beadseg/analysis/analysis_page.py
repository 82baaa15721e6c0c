"""The page of `beadseg analyze`: what the data are, with pictures behind numbers."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from beadseg.analysis import regime as regimes
from beadseg.analysis.findings import (
    DEFECTS,
    defects,
    findings,
    is_shifted,
    number_of_defects,
)
from beadseg.analysis.fingerprint import Fingerprint, Row
from beadseg.analysis.overview import Overview, objects_of
from beadseg.analysis.regime import DENSE, SPARSE, Regime
from beadseg.analysis.rules import RECIPE, Complaint, recommend
from beadseg.colours import LABELLED, SEEN
from beadseg.data.images.gaps import fill
from beadseg.data.samples import Sample, read_sample
from beadseg.errors import BeadsegError
from beadseg.inference.outputs.views import circles, view
from beadseg.page import BLUE, GREY, ORANGE, Page
from beadseg.quoting import counted, percent
from beadseg.training.completeness import PARTIAL, TRUSTED

_SHOWN = 6  # images with outlines
_LISTED = 60  # rows of the table of images


def write_page(
    file: Path,
    name: str,
    fingerprint: Fingerprint,
    overview: Overview,
    found: Regime,
    complaints: list[Complaint] | None,
    samples: tuple[Sample, ...],
    config_file: Path | None,
    reason: str = "",
) -> None:
    """Writes the page of the data set `name`.

    `complaints` are about the config that was given (None: none was), `config_file` is
    the recommended one, `reason` why that was not written.
    """
    page = Page(f"Analysis of {name}", regimes.sentence(found))
    _numbers(page, overview)
    for kind, text, heading in findings(fingerprint, overview):
        page.callout(kind, text, heading)
    page.section("Sparse or dense")
    _regime(page, overview, found, fingerprint)
    page.section("The images")
    _pictures(page, fingerprint, overview, samples)
    if fingerprint.rows:
        _spread(page, fingerprint, overview)
    page.section("Light, noise and focus")
    _quality(page, fingerprint)
    page.section("The masks")
    _masks(page, fingerprint, overview, samples)
    page.section("Copies")
    _copies(page, fingerprint)
    if complaints is not None:
        page.section("The settings given")
        _complaints(page, complaints)
    page.section("Recommended settings")
    if reason:
        page.callout("note", f"{reason}.", "Nothing to train on yet")
    _recommended(page, overview, config_file)
    page.section("Every image")
    _images(page, fingerprint, overview)
    if fingerprint.problems:
        page.section("Left out")
        page.items(fingerprint.problems)
    page.write(file, "-o")


def _numbers(page: Page, o: Overview) -> None:
    size = f"{o.diameter_px:.1f} px" if o.diameter_px > 0 else "unknown"
    um = (
        f"{o.diameter_px * o.pixel_size:.2f} µm"
        if o.pixel_size > 0 and o.diameter_px > 0
        else "pixel size unknown"
    )
    labels = f"{o.labelled_images} with masks, {o.point_images} with points"
    share = percent(o.labelled) if np.isfinite(o.labelled) else "–"
    page.numbers(
        [
            ("images", o.images, labels),
            ("objects per image", _round(o.objects), f"from {o.source}"),
            ("coverage", percent(o.coverage, 1), "of the pixels"),
            ("diameter", size, um),
            ("labelled", share, "of the beads seen"),
        ]
    )


def _regime(page: Page, o: Overview, found: Regime, fingerprint: Fingerprint) -> None:
    page.table(
        ["", "sparse (mitochondria)", "dense (beads)", "here", "what it means"],
        regimes.table(o),
        "The table of the domain-shift analysis, with measured values.",
    )
    caption = (
        "Each dot an image, the cross their median; the boxes are the two references. "
        f"Log2 distances: {_round(found.from_sparse, 1)} from sparse, "
        f"{_round(found.from_dense, 1)} from dense."
    )
    points = [objects_of(row, o.source) for row in fingerprint.rows]
    points = np.array(points).reshape(-1, 2)
    with page.plot(caption) as axes:
        for kind, colour in ((SPARSE, ORANGE), (DENSE, BLUE)):
            (x0, x1), (y0, y1) = kind.objects, kind.coverage
            axes.fill_between(
                [x0, x1], 100 * y0, 100 * y1, color=colour, alpha=0.3, label=kind.name
            )
        axes.loglog(
            np.maximum(points[:, 0], 0.5),
            np.maximum(100 * points[:, 1], 0.1),
            "o",
            ms=4,
            alpha=0.5,
            color=GREY,
            label="images",
        )
        if o.objects > 0 and o.coverage > 0:
            axes.loglog([o.objects], [100 * o.coverage], "P", ms=11, color="black")
        most = max(500, 1.5 * points[:, 0].max(initial=0))
        axes.set(xlabel="objects per image", xlim=(0.4, most))
        axes.set(ylabel="coverage, %", ylim=(0.09, 110))
        for axis, ticks in (
            (axes.xaxis, (1, 3, 10, 30, 100, 300)),
            (axes.yaxis, (0.1, 1, 5, 15, 30, 60)),
        ):
            axis.set_ticks(ticks, list(map(str, ticks)))
        axes.minorticks_off()
        axes.legend(loc="lower right")


def _pictures(page: Page, fingerprint, o: Overview, samples) -> None:
    rows = sorted(fingerprint.rows, key=lambda r: (objects_of(r, o.source)[0], r.name))
    if not rows:
        page.paragraph("No image can be read.")
        return
    page.paragraph(
        "From the emptiest to the fullest. Outlines: turquoise is the mask, yellow "
        "what the estimate sees without it."
    )
    places = np.unique(np.linspace(0, len(rows) - 1, _SHOWN).round().astype(int))
    shown = []
    for row, image, labels, points in _read([rows[i] for i in places], samples):
        seen = fingerprint.excerpts[row.name]
        part = seen.rows, seen.columns
        layers = [(seen.labels, SEEN)]
        caption = f"{row.name}: {row.count} seen"
        if labels is not None:
            layers.append((labels[part], LABELLED))
            caption += f", {row.mask.objects} in the mask"
        elif points is not None:
            dots = circles(image.shape, points, 3.0)
            layers.append((dots[part], LABELLED))
            caption += f", {row.points} points"
        shown.append((view(image[part], *layers), caption))
    page.pictures(shown)


def _read(rows: list[Row], samples) -> Iterator[tuple]:
    """The rows whose files are still there, with image, labels and points."""
    by_name = {sample.name: sample for sample in samples}
    for row in rows:
        try:
            image, labels, points = read_sample(by_name[row.name])
        except (BeadsegError, OSError):
            continue
        yield row, fill(image)[0], labels, points


def _spread(page: Page, fingerprint, o: Overview) -> None:
    rows = fingerprint.rows
    diameters = np.concatenate(
        [r.mask.diameters for r in rows if r.mask and r.mask.objects] or [[]]
    )
    if not len(diameters):
        diameters = np.array([r.diameter_px for r in rows if r.diameter_px > 0])
    data = (
        ([objects_of(r, o.source)[0] for r in rows], "objects per image"),
        ([100 * objects_of(r, o.source)[1] for r in rows], "coverage, %"),
        (diameters, "diameter, px"),
    )
    with page.plot("How images and beads differ.", 1, 3, height=2.4) as axes:
        for axis, (values, label) in zip(axes, data, strict=True):
            if len(values):
                axis.hist(values, min(20, max(5, len(values) // 2)))
            axis.set_xlabel(label)
        axes[0].set_ylabel("number")


_QUALITY = (
    ("contrast", "contrast", 100, "%", "beads against the background beside them"),
    ("signal to noise", "signal_to_noise", 1, "", "above 5 is comfortable"),
    ("noise", "noise", 100, "%", "standard deviation, of the range"),
    ("sharpest edges", "edge_px", 1, "px", "standard deviation of their blur"),
    ("shading", "shading", 100, "%", "change of the light over an image"),
    ("texture of the background", "texture", 100, "%", "beyond noise and shading"),
    ("saturated pixels", "saturated", 100, "%", "at the upper end"),
    ("bits in use", "bits", 1, "", "of what the file type could hold"),
)


def _quality(page: Page, fingerprint) -> None:
    table = []
    for what, name, factor, unit, means in _QUALITY:
        values = [getattr(row.image, name) for row in fingerprint.rows]
        values = factor * np.array([v for v in values if v is not None], float)
        values = values[np.isfinite(values)]
        if not len(values):
            table.append((what, "–", "–", "–", "could not be computed: " + means))
            continue
        numbers = (
            f"{v:.3g} {unit}".strip() for v in np.percentile(values, (50, 5, 95))
        )
        table.append((what, *numbers, means))
    page.table(["", "median", "5 %", "95 %", "what it is"], table)


def _masks(page: Page, fingerprint, o: Overview, samples) -> None:
    rows = [row for row in fingerprint.rows if row.mask]
    if not rows:
        page.paragraph("There is no mask to look into.")
        return
    page.table(["defect", "number", "images", "worst"], defects(rows))
    if fingerprint.doubts:
        page.subsection("Doubtful masks")
        page.table(
            ["image", "what", "evidence", "what to do"],
            [(d.image, d.kind, d.evidence, d.remedy) for d in fingerprint.doubts],
        )
    if np.isfinite(o.labelled) and o.seen >= TRUSTED:
        low = [r for r in fingerprint.rows if r.labelled is not None]
        low = sorted((r for r in low if r.labelled < PARTIAL), key=lambda r: r.labelled)
        text = (
            f"Of the beads seen without masks {percent(o.labelled)} are labelled "
            f"(median over images); {percent(o.seen)} of the labelled ones are seen."
        )
        if low:
            text += (
                f" {counted(len(low), 'image is', 'images are')} below "
                f"{percent(PARTIAL)}."
            )
        page.paragraph(text)
    worst = sorted(rows, key=number_of_defects, reverse=True)[:3]
    worst = [row for row in worst if number_of_defects(row)]
    shown = []
    for row, image, labels, _ in _read(worst, samples):
        what = [
            f"{getattr(row.mask, n)} {n}" for n, _ in DEFECTS if getattr(row.mask, n)
        ]
        if is_shifted(row):
            what.append("shifted by {:.0f}, {:.0f} px".format(*row.mask.offset))
        picture = view(image, (labels, LABELLED))
        shown.append((picture, f"{row.name}: {', '.join(what)}"))
    if shown:
        page.subsection("Most defects")
        page.pictures(shown)


def _copies(page: Page, fingerprint) -> None:
    if not fingerprint.duplicates:
        page.paragraph("No image is a copy of another, turned or mirrored either.")
        return
    leaks = set(fingerprint.leaks)
    page.table(
        ["image", "image", "kind", "correlation", "split"],
        [
            (
                pair.first,
                pair.second,
                "copy" if pair.exact else "same field",
                f"{pair.correlation:.3f}",
                "both sides" if pair in leaks else "one side",
            )
            for pair in fingerprint.duplicates[:_LISTED]
        ],
    )


def _complaints(page: Page, complaints: list[Complaint]) -> None:
    if not complaints:
        page.callout("good", "No rule speaks against the settings given.")
        return
    page.table(
        ["field", "value", "why it does not suit", "instead", "measured"],
        [
            (f"`{c.field}`", str(c.value), c.why, c.instead, c.measured)
            for c in complaints
        ],
    )


def _recommended(page: Page, o: Overview, config_file: Path | None) -> None:
    page.table(
        ["field", "value", "because", "what was measured"],
        [
            (f"`{field}`", choice.value, choice.because, rule.measured)
            for field, (choice, rule) in recommend(o).items()
        ],
    )
    page.paragraph(RECIPE)
    if config_file is not None:
        page.command(f"python -m beadseg.main --config={shlex.quote(str(config_file))}")


def _images(page: Page, fingerprint, o: Overview) -> None:
    rows = fingerprint.rows[:_LISTED]
    page.table(
        ["image", "size", "in the mask", "seen", "coverage"]
        + ["diameter, px", "labelled"],
        [
            (
                row.name,
                f"{row.shape[0]}×{row.shape[1]}",
                row.mask.objects if row.mask else row.points,
                row.count,
                percent(objects_of(row, o.source)[1], 1),
                float(np.median(row.mask.diameters))
                if row.mask and row.mask.objects
                else row.diameter_px,
                None if row.labelled is None else percent(row.labelled),
            )
            for row in rows
        ],
    )
    if len(fingerprint.rows) > _LISTED:
        page.paragraph(f"The first {_LISTED}; all are in analysis.json.")


def _round(value: float, digits: int = 0) -> str:
    return f"{value:.{digits}f}" if np.isfinite(value) else "–"
