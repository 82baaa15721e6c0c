"""Label images of any tool, measured and written as a prediction folder."""

import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from skimage.segmentation import relabel_sequential
from tqdm import tqdm

from beadseg import __version__
from beadseg.data.images.gaps import fill
from beadseg.data.images.reading import ReadError, check_image
from beadseg.files import write_json
from beadseg.inference import doubts
from beadseg.inference.inputs import Input
from beadseg.inference.outputs import writers
from beadseg.inference.outputs.channels import in_channels
from beadseg.inference.outputs.kinds import Predicted, choices, write_outputs
from beadseg.inference.outputs.measure import keep_only, measure
from beadseg.inference.outputs.regions import Regions, counting
from beadseg.inference.outputs.surroundings import surroundings
from beadseg.inference.records import DONE, read_as, record_of, write_record
from beadseg.inference.scores.pairing import Pair, Pairing, read_predicted
from beadseg.inference.settings import CALIBRATED, FILE
from beadseg.quoting import of_other_size, printable, short_name
from beadseg.tables import Table, constant, rows_to_table


class Labelled(NamedTuple):
    """What the writers of a prediction look at, of labels that are given."""

    labels: np.ndarray  # i32[H, W]
    table: Table
    boxes: np.ndarray  # i64[N, 4]
    uncertainty: None = None


def measure_labels(
    pairing: Pairing,
    output: Path,
    pixel_size: float | None = None,
    edge: str = "corrected",
    regions: Regions | None = None,
    channels: str = "auto",
) -> dict[str, Any]:
    """Measures the beads of label images.

    Args:
      pairing: of `pair_images`.
      output: an empty folder.
      pixel_size: um, instead of what the files say.
      edge, regions: which beads count, see `Measurer`.
      channels: of `outputs.columns.CHANNELS`.

    Returns:
      As `beadseg.inference.batch.predict_batch`.

    Raises:
      OSError: the folder cannot be written.
    """
    started = time.monotonic()
    rows, tables, notes, failed = [], [], [], list(pairing.problems)
    failed += [f"{name}: no image of that name" for name in pairing.without_truth]
    settings = {"beadseg": __version__, "runs": [], "pixel_size": pixel_size}
    settings |= counting(edge, regions or Regions())
    settings |= {"channels": channels, CALIBRATED: False}  # of other tools
    write_json(output / FILE, settings)
    (output / DONE).mkdir()
    for pair in tqdm(pairing.pairs, "measuring", unit="image", disable=None):
        try:
            where = Input(pair.name, pair.image)
            region = regions.of(where) if regions else None
            rule = (region, edge, channels)
            row, table, lines = _measure(pair, output, pixel_size, *rule)
        except ReadError as error:
            failed.append(str(error))
            continue
        rows.append(row)
        tables.append(constant(len(table["label"]), image=row["image"]) | table)
        notes += [f"{row['image']}: {line}" for line in lines]
    lines = doubts.mark(rows, calibrated=False)
    writers.write_table(output / "beads.csv", tables)
    columns = [rows_to_table(rows)] if rows else []
    writers.write_table(output / "images.csv", columns)
    return {
        "output": str(output),
        "runs": [],
        "images": rows,
        "failed": failed,
        "notes": notes,
        "doubts": [line.rpartition(": ")[0] for line in lines],  # no run to advise on
        "skipped": 0,
        "seconds": time.monotonic() - started,
    }


def measured(
    labels: np.ndarray,
    image: np.ndarray,
    pixel_size: float | None = None,
    probability: np.ndarray | None = None,
    threshold: float = 0.5,
    region: np.ndarray | None = None,
    edge: str = "corrected",
) -> tuple[Labelled, dict[str, Any]]:
    """Measures beads that are given.

    Args:
      labels: i32[H, W].
      image: [H, W].
      pixel_size: um.
      probability: f32[H, W], where there is one.
      threshold: of the probability.
      region, edge: which beads count, see `Measurer`.

    Returns:
      The labels with their table, and the facts of the image for its row.
    """
    image, missing = fill(image)
    inside = (labels > 0).astype(np.float32) if probability is None else probability
    found = measure(
        labels,
        image,
        inside,
        threshold=threshold,
        pixel_size=pixel_size,
        region=region,
        edge=edge,
    )
    if region is not None:
        labels = labels.copy()
        keep_only(labels, found.table["label"])
    table, facts = found.table, found.image | {"mean_score": None}
    table |= surroundings(labels, image, table, found.boxes, pixel_size, missing)
    table["circularity"] = np.minimum(table["circularity"], 1.0)
    if probability is None:
        table.pop("mean_probability", None)
        facts["mean_probability"] = None
    return Labelled(labels, table, found.boxes), facts


def _measure(
    pair: Pair,
    output: Path,
    given: float | None,
    region: np.ndarray | None,
    edge: str,
    channels: str,
) -> tuple[dict, dict, list[str]]:
    """Writes the files of one image; its row, its beads and notes."""
    labels, _, note, classes = read_predicted(pair)
    notes = [note] if note else []
    image = pair.image.read()
    check_image(image, pair.image.where, constant=True)
    if image.shape != labels.shape:
        sizes = of_other_size(labels.shape, image.shape)
        raise ReadError(
            f"{pair.predicted.where}: {sizes}: give the image that was labelled"
        )
    if labels.max(initial=0) > labels.size:  # numbers of colours or the like
        labels = relabel_sequential(labels)[0].astype(np.int32)
    name = short_name(printable(pair.name))
    pixel_size = given or pair.image.pixel_size or pair.predicted.pixel_size
    found, facts = measured(labels, image, pixel_size, region=region, edge=edge)
    more, problems = in_channels(
        pair.image, channels, found.labels, found.table, found.boxes
    )
    found.table.update(more)
    notes += problems
    if classes is not None:
        found.table["class"] = classes[found.table["label"] - 1]
    kinds = [kind for kind in choices() if kind != "probability"]
    of = Predicted(image, found, pixel_size, region)
    write_outputs(output, name, kinds, of)
    page = pair.image
    row = {"image": name, "file": printable(page.path), "page": page.index}
    row |= dict(page.place)
    row |= facts
    about = row | {"stamp": page.stamp, "read": read_as(page)}
    write_record(record_of(output, name), about | {"notes": []}, found.table)
    return row, found.table, notes
