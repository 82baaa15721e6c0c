"""Measures a reviewed prediction folder again: its files follow from the decisions."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from beadseg.data.images.reading import ReadError, open_pages
from beadseg.errors import BeadsegError
from beadseg.files import folder_lock, remove_leftovers, writing
from beadseg.inference.batch import Options, write_tables
from beadseg.inference.measured import Labelled, measured
from beadseg.inference.outputs.channels import in_channels
from beadseg.inference.outputs.columns import INTENSITIES
from beadseg.inference.outputs.kinds import (
    OUTPUTS,
    TABLES,
    Predicted,
    choices,
    write_outputs,
)
from beadseg.inference.records import DONE, record_of, records, write_record
from beadseg.inference.settings import has_calibrated_scores, names_of_runs
from beadseg.partial.completed import names, read_proposals, read_provenance
from beadseg.partial.review.label_map import DRAWN, MODEL
from beadseg.partial.review.predicted import (
    page_of,
    read_known,
    read_region,
    read_settings,
    read_tiff,
)
from beadseg.partial.review.thresholds import probability_file
from beadseg.tables import DIALECTS, Table

COUNTS = ("added", "removed", "edited")  # columns of images.csv


def measure_again(folder: Path) -> dict[str, Any]:
    """Writes labels, ROIs, overlays and tables anew, of the masks of a review.

    Images on which nothing was decided since stay as they are.

    Args:
      folder: reviewed, and saved (`ReviewSession.save`).

    Returns:
      As `beadseg.inference.batch.predict_batch`; "measured": how many images changed.

    Raises:
      BeadsegError: the folder cannot be written.
    """
    started = time.monotonic()
    settings = read_settings(folder)
    failed: list[str] = []
    changed = 0
    with writing(folder, None), folder_lock(folder, None):
        remove_leftovers(folder, *(folder / kind for kind in (DONE, *OUTPUTS)))
        for name in tqdm(names(folder), "measuring", unit="image", disable=None):
            try:
                changed += _one(folder, name, settings)
            except (ReadError, BeadsegError) as error:
                failed.append(str(error))
    runs = names_of_runs(settings)
    rows, notes, doubts = write_tables(
        [file.stem for file in records(folder)],
        has_calibrated_scores(settings),
        Options(folder, tables=_ending(folder), dialect=_dialect(folder)),
        failed,
    )
    return {
        "output": str(folder),
        "runs": runs,
        "images": rows,
        "measured": changed,
        "failed": list(dict.fromkeys(failed)),
        "notes": notes,
        "doubts": doubts,
        "skipped": 0,
        "seconds": time.monotonic() - started,
    }


def _one(folder: Path, name: str, settings: dict[str, Any]) -> bool:
    """Writes the files of an image; whether there was anything to write."""
    about, before = read_known(folder, name)
    provenance = read_provenance(folder, name)
    if not provenance:  # left out of the review, which says why
        return False
    if not provenance["decisions"] and "decisions" not in about:
        return False
    if about.get("decisions") == provenance["decisions_digest"]:
        return False
    labels = read_tiff(folder / "masks" / f"{name}.tif").astype(np.int32)
    image = open_pages(folder / "images" / read_proposals(folder, name)["image"])[0]
    pixels, pixel_size = image.read(), about["pixel_size_um"]
    file = probability_file(folder, name)
    probability = read_tiff(file) if file.is_file() else None
    threshold = provenance.get("threshold", 0.5)
    if "threshold" in about:  # labels of other tools have none
        about["threshold"] = threshold
    region = read_region(folder, name, settings)
    edge = settings.get("edge", "corrected")
    found, facts = measured(
        *(labels, pixels, pixel_size, probability, threshold, region, edge)
    )
    beads = {int(n): bead for n, bead in provenance["beads"].items() if bead["in_mask"]}
    drawn, edited = (
        np.array([test(beads[n]) for n in found.table["label"].tolist()], bool)
        for test in (lambda b: b["origin"] == DRAWN, lambda b: "edited" in b)
    )
    for column in ("score", "uncertainty"):
        if column in before:
            known = dict(zip(before["label"].tolist(), before[column], strict=True))
            values = [known.get(n, np.nan) for n in found.table["label"].tolist()]
            found.table[column] = np.where(drawn, np.nan, np.array(values, float))
    scores = found.table.get("score", np.zeros(0))
    scores = scores[np.isfinite(scores)]
    facts["mean_score"] = float(scores.mean()) if len(scores) else None
    found.table["edited"] = (drawn | edited).astype(np.int64)
    gone = sum(
        bead["origin"] == MODEL and not bead["in_mask"]
        for bead in provenance["beads"].values()
    )
    if any(name.startswith(f"{INTENSITIES[0]}_") for name in before):
        more, problems = _of_channels(
            *(folder, about, settings["channels"], found, probability, threshold)
        )
        found.table.update(more)
        about["notes"] = list(dict.fromkeys([*about["notes"], *problems]))
    counts = (int(drawn.sum()), gone, int((edited & ~drawn).sum()))
    about |= facts | dict(zip(COUNTS, counts, strict=True))
    about["decisions"] = provenance["decisions_digest"]
    # The probability is as it was.
    kinds = {*(settings.get("only") or choices())} & {*OUTPUTS} - {"probability"}
    write_outputs(folder, name, kinds, Predicted(pixels, found, pixel_size, region))
    write_record(record_of(folder, name), about, found.table)
    return True


def _of_channels(
    folder: Path, about: dict[str, Any], which: str, found: Labelled, *more
) -> tuple[Table, list[str]]:
    """As `in_channels`; of an image that is gone no column, and why."""
    try:
        page = page_of(about, folder)
        if not page.channels:
            raise BeadsegError(f"{page.path}: has one channel")
        return in_channels(page, which, found.labels, found.table, found.boxes, *more)
    except BeadsegError as error:
        return {}, [f"its other channels are not measured again: {error}"]


def _ending(folder: Path) -> str:
    """Of the tables that are there."""
    endings = (f".{kind}" for kind in TABLES)
    return next((e for e in endings if (folder / f"images{e}").is_file()), ".csv")


def _dialect(folder: Path) -> str:
    """Of the CSV that is there, by its first line."""
    try:
        head = (folder / "images.csv").read_bytes().split(b"\n", 1)[0]
    except OSError:
        return "plain"
    separators = {kind: d.separator.encode() for kind, d in DIALECTS.items()}
    return max(separators, key=lambda kind: head.count(separators[kind]))
