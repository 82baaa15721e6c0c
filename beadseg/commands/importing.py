"""`beadseg import SOURCE -o DIR`: labels of other programs as a data set."""

import argparse
import sys
from pathlib import Path

from beadseg.commands import Subparsers, maker, share
from beadseg.quoting import counted

SHOWN = 50  # images, a line each


def add(commands: Subparsers) -> None:
    """Adds the parser of the command."""
    parser = commands.add_parser(
        "import",
        help="labels of COCO, labelme, YOLO, ImageJ, QuPath, Cellpose as a data set",
        description="Reads images with the labels that other programs write: COCO "
        "(polygons, run lengths), labelme, YOLO (boxes, polygons), ROIs of ImageJ, "
        "GeoJSON of QuPath, masks of Cellpose, tables of centres (ImageJ, TrackMate, "
        "napari, x and y). Writes DIR/images, DIR/masks and DIR/points, and says what "
        "it made of each. The same files are read as they are where they lie in "
        "DIR/masks, in DIR/points, or beside their images.",
    )
    parser.add_argument("source", type=Path, help="a folder, or a file of labels")
    share(parser, "-o", "a new or empty folder", required=True)
    share(parser, "--images", "folder of the images, if they lie elsewhere")
    parser.add_argument(
        "--classes",
        default="auto",
        metavar="NAMES|NUMBERS",
        help="which are beads, as 'bead,dimer' or '0,1': classes of YOLO, COCO and "
        "labelme, numbers of masks (all objects, or as beads.toml of the source says)",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> dict:
    """Imports, prints a line per image; returns them, and what went wrong."""
    from beadseg.data.annotations.importing import import_labels
    from beadseg.data.settings_file import classes_of

    classes = classes_of(options.classes, "--classes")
    result = import_labels(
        options.source,
        options.output,
        options.images,
        classes,
        maker("import", options),
    )
    rows = result["images"]
    for row in rows[:SHOWN]:
        beads = "no labels" if row["beads"] is None else counted(row["beads"], "bead")
        source = f" from {row['from']}" if row["from"] else ""
        print("; ".join([f"{row['image']}: {beads}{source}", *row["notes"]]))
    if len(rows) > SHOWN:
        print(f"... and {len(rows) - SHOWN} more images")
    for line in result["notes"]:
        print(f"note: {line}", file=sys.stderr)
    for line in result["problems"]:
        print(f"failed: {line}", file=sys.stderr)
    beads = sum(row["beads"] or 0 for row in rows)
    labelled = sum(row["beads"] is not None for row in rows)
    print(
        f"{counted(len(rows), 'image')}, {labelled} of them with labels, "
        f"{counted(beads, 'bead')}: {options.output}"
    )
    return result | {"exit_code": 1 if result["problems"] else 0}
