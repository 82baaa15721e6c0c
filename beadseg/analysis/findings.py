"""What a person should know first of a data set: copies, wrong masks, noise."""

from collections.abc import Iterator

import numpy as np

from beadseg.analysis.fingerprint import Fingerprint, Row
from beadseg.analysis.overview import Overview
from beadseg.quoting import as_sentence, counted, percent
from beadseg.training.completeness import TRUSTED

OFFSET = 2.0  # px from which a mask is said to be shifted
OFFSET_GAIN = 1.15  # by which slopes under the outlines must grow
_PROBLEMS, _DOUBTS = 8, 12  # listed first; the page lists all
DEFECTS = (
    ("holes", "holes in beads"),
    ("specks", "specks far smaller than a bead"),
    ("merged", "ids that look like several beads in one"),
    ("twice", "ids used in places far apart"),
)

Callout = tuple[str, str, str]  # kind, sentence, heading


def findings(fingerprint: Fingerprint, o: Overview) -> list[Callout]:
    """What a person should know first of a data set."""
    return [
        *_left_out(fingerprint),
        *_copies(fingerprint),
        *_completeness(fingerprint, o),
        *_of_masks(fingerprint, o),
        *_of_images(o),
    ]


def _left_out(fingerprint: Fingerprint) -> Iterator[Callout]:
    more = "{:,} more, listed on the page."
    for problem in fingerprint.problems[:_PROBLEMS]:
        yield "bad", problem, "Left out"
    if len(fingerprint.problems) > _PROBLEMS:
        yield "bad", more.format(len(fingerprint.problems) - _PROBLEMS), "Left out"
    for doubt in fingerprint.doubts[:_DOUBTS]:
        yield "bad" if doubt.left_out else "warn", doubt.line, f"Mask: {doubt.kind}"
    if len(fingerprint.doubts) > _DOUBTS:
        yield "warn", more.format(len(fingerprint.doubts) - _DOUBTS), "Masks"


def _copies(fingerprint: Fingerprint) -> Iterator[Callout]:
    copies = fingerprint.leaks or fingerprint.duplicates
    if not copies:
        return
    pairs = counted(len(copies), "pair of equal images", "pairs of equal images")
    such = f"such as {copies[0].first} and {copies[0].second}"
    if fingerprint.leaks:
        text = (
            f"{pairs} on both sides of the split, {such}: delete one, or give both "
            "one group in beads.toml."
        )
        yield "bad", text, "Leak from training to validation"
    else:
        yield "warn", f"{pairs}, {such}.", "Copies"


def _completeness(fingerprint: Fingerprint, o: Overview) -> Iterator[Callout]:
    if o.partial:
        text = (
            f"Of the beads that are seen without masks about {percent(o.labelled)} "
            "are labelled: a perfect model scores a Jaccard of about "
            f"{o.labelled:.2f} on these masks. Complete them (`beadseg complete`), or "
            "train with the losses made for it."
        )
        yield "bad", text, "Masks are partial"
    elif o.labelled_images and o.seen < TRUSTED:
        text = (
            f"Only {percent(o.seen)} of the labelled objects are seen by the "
            "mask-free estimate: it cannot say how complete these masks are."
        )
        yield "note", text, "Completeness unknown"
    elif not o.labelled_images:
        if o.point_images:
            text = "There are centres, not masks: sizes and coverage are estimates"
        elif any(row.mask for row in fingerprint.rows):
            text = "No mask tells beads from background: all numbers are estimates"
        else:
            text = "There are neither masks nor centres: all numbers are estimates"
        yield "note", f"{text} from the images alone.", "No masks"


def _of_masks(fingerprint: Fingerprint, o: Overview) -> Iterator[Callout]:
    full = [row.name for row in fingerprint.rows if row.mask and row.mask.full]
    empty = [r.name for r in fingerprint.rows if r.mask and not r.mask.objects]
    for names, what in ((full, "full"), (empty, "empty")):
        if names:
            text = f"{len(names)}, such as {names[0]}."
            yield "warn", text, f"Masks that are {what}"
    if fingerprint.marks.are_marks:
        text = (
            f"{as_sentence(fingerprint.marks.sentence())} Training takes the outlines "
            "of beads from the default model where it agrees, and judges centres and "
            'counts (data.masks = "outlines" takes the discs for outlines).'
        )
        yield "warn", text, "Marks, not outlines"
    beside = [row for row in fingerprint.rows if row.beside >= OFFSET]
    if beside:
        worst = max(beside, key=lambda row: row.beside)
        text = (
            f"{len(beside)} were cut, enlarged or turned otherwise than their images, "
            f"such as {worst.name}: up to {worst.beside:.0f} px beside the beads. "
            "Export them again at the size of the image."
        )
        yield "warn", text, "Masks beside their beads"
    shifted = [r.name for r in fingerprint.rows if is_shifted(r) and r not in beside]
    if len(shifted) > 0.2 * o.labelled_images:
        text = (
            f"{counted(len(shifted), 'mask lies', 'masks lie')} beside the slopes of "
            f"their images, such as {shifted[0]}."
        )
        yield "warn", text, "Masks are shifted"


def _of_images(o: Overview) -> Iterator[Callout]:
    if o.saturated > 0.005:
        text = f"{percent(o.saturated, 1)} of the pixels are at the upper end"
        yield "warn", f"{text}: expose less.", "Saturation"
    if o.signal_to_noise < 5:
        text = f"Signal to noise is {o.signal_to_noise:.1f}."
        yield "warn", text, "Noisy images"


def is_shifted(row: Row) -> bool:
    """Whether the mask of an image lies beside it."""
    if row.mask is None:
        return False
    return bool(
        np.hypot(*row.mask.offset) >= OFFSET and row.mask.offset_gain >= OFFSET_GAIN
    )


def defects(rows: list[Row]) -> list[tuple[str, int, int, str]]:
    """Of rows with masks, for each defect: its name, how often, in how many, worst."""
    table = []
    for name, what in DEFECTS:
        hit = [row for row in rows if getattr(row.mask, name)]
        number = sum(getattr(row.mask, name) for row in rows)
        worst = max(hit, key=lambda r: getattr(r.mask, name)).name if hit else "–"
        table.append((what, number, len(hit), worst))
    beside = [row for row in rows if row.beside >= OFFSET or is_shifted(row)]
    beside.sort(key=lambda row: -max(row.beside, np.hypot(*row.mask.offset)))
    for what, hit in (
        ("masks beside their image", beside),
        ("empty masks", [r for r in rows if not r.mask.objects]),
        ("full masks", [r for r in rows if r.mask.full]),
    ):
        table.append((what, len(hit), len(hit), hit[0].name if hit else "–"))
    return table


def number_of_defects(row: Row) -> int:
    """By which the worst masks are found; one beside its image counts for five."""
    return sum(getattr(row.mask, name) for name, _ in DEFECTS) + 5 * is_shifted(row)
