"""`beadseg measure LABELS IMAGES`: tables, ROIs and the page of labels of any tool."""

import argparse
import sys
from pathlib import Path
from typing import Any

from beadseg.commands import Subparsers, detection, maker, share
from beadseg.quoting import counted, some_of


def add(commands: Subparsers) -> None:
    """Adds the parser of the command."""
    parser = commands.add_parser(
        "measure",
        help="measure beads that another tool, or a person, has labelled",
        description="Measures the beads of label images of any tool and writes what "
        "`beadseg predict` writes: labels, overlays, ImageJ ROIs, GeoJSON (QuPath), "
        "tables of beads and images, and the page with the size distribution. Labels "
        "belong to the image of the same name, or with a word more: NAME_mask, "
        "NAME_cp_masks, mask_NAME, as in a data set. In a mask of 0 and 1 touching "
        "beads are separated.",
    )
    parser.add_argument(
        "labels", type=Path, help="folder of label images (or with labels/), or one"
    )
    parser.add_argument(
        "images", type=Path, help="folder of their images (or with images/), or one"
    )
    share(parser, "-o", "(measured)", default=Path("measured"))
    share(parser, "--pixel-size")
    detection.add_counting_options(parser)
    detection.add_channels_option(parser)
    detection.add_report_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measures all images; returns one dict per image, and lines on what failed."""
    from beadseg.files import check_unused, whole_folder, writing
    from beadseg.inference.measured import measure_labels
    from beadseg.inference.outputs.regions import Regions
    from beadseg.inference.scores.pairing import pair_images

    output = options.output
    check_unused(output, "-o", maker("measure", options))
    pairing = pair_images(options.labels, options.images)
    if without := pairing.without_prediction:
        without = f"{counted(len(without), 'image')} ({some_of(without, 3)})"
        print(f"note: no labels of {without}", file=sys.stderr)
    regions = Regions(options.roi, options.exclude)
    with (
        writing(output, "-o"),
        whole_folder(output, "-o", maker("measure", options)) as part,
    ):
        result = measure_labels(
            *(pairing, part, options.pixel_size, options.edge, regions),
            options.channels,
        )
        result["output"] = str(output)
        page = detection.write_page(options, result, part)
    detection.print_result(options, result, page)
    return result | {"exit_code": 1 if result["failed"] else 0}
