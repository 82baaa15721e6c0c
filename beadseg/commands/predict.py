"""`beadseg predict IMAGES...`: label images, overlays, ROIs and tables of all beads."""

import argparse
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from beadseg.commands import SEVERAL, Subparsers, detection, share
from beadseg.errors import BeadsegError
from beadseg.inference.outputs.kinds import OUTPUTS, TABLES, choices
from beadseg.tables import DIALECTS


def add(commands: Subparsers) -> None:
    """Adds the parser of the command."""
    kinds = choices()
    written = ", ".join(OUTPUTS[kind].about for kind in kinds)
    parser = commands.add_parser(
        "predict",
        help="find, count and measure the beads of images",
        description=f"Finds every bead of the images and writes {written}, tables of "
        "beads and images, and a page with the size distribution, what is in doubt and "
        "the words for a paper (report.html, its plots in plots/).",
    )
    parser.add_argument("images", nargs="+", help="files, folders, or patterns")
    about = "run or sweep folder; several make an ensemble (the default model)"
    share(parser, "--run", about, **SEVERAL)
    parser.add_argument(
        "--top", type=int, help="members of a sweep to take, best first (1)"
    )
    share(parser, "-o", "(predictions)", default=Path("predictions"))
    share(
        parser,
        "--threshold",
        "of the probability; auto: the run's, chosen on validation images",
    )
    detection.add_options(parser)
    share(parser, "--pixel-size")
    parser.add_argument(
        "--channel",
        type=lambda text: int(text) if text.lstrip("-").isdigit() else text,
        metavar="NAME|NUMBER",
        help="in which beads are looked for (luminance of RGB, else the first)",
    )
    detection.add_channels_option(parser)
    parser.add_argument(
        "--every", type=int, default=1, metavar="N", help="every Nth page or frame (1)"
    )
    parser.add_argument(
        "--level", type=int, default=0, help="of the pyramid of an OME-Zarr (0: full)"
    )
    parser.add_argument(
        "--stack",
        choices=("pages", "max", "mean"),
        help="every page is an image, or project z (as the run was trained)",
    )
    parser.add_argument(
        "--only",
        type=_outputs,
        default=kinds,
        metavar="KINDS",
        help=f"of {','.join(kinds)}; the tables are always written, and of a bead "
        "with holes or in several parts the longest outline (beadseg help formats)",
    )
    parser.add_argument(
        "--tables",
        choices=TABLES,
        default="csv",
        help="; ".join(f"{k}: {t.about}" for k, t in TABLES.items() if t.about)
        + " (csv)",
    )
    parser.add_argument(
        "--csv-dialect",
        choices=DIALECTS,
        default="plain",
        help="excel-eu: semicolons, decimal comma and a byte order mark (plain)",
    )
    parser.add_argument(
        "--columns",
        action=_Columns,
        nargs=0,
        help="say what each column of the tables is, and exit",
    )
    detection.add_counting_options(parser)
    detection.add_report_options(parser)
    parser.add_argument(
        "--augment",
        action="store_true",
        help="mean over 8 symmetries: 8 times slower, a little better",
    )
    parser.add_argument(
        "--tile",
        type=int,
        help="px of the image at a time, a side, 16 or more: memory and speed alone "
        "depend on it (1024)",
    )
    parser.add_argument(
        "--overlap",
        type=int,
        help="px that tiles share, blended (as much as makes tiling exact)",
    )
    parser.add_argument(
        "--resume", action="store_true", help="skip images that are done in -o"
    )
    parser.add_argument(
        "--task",
        type=int,
        help="which task of a job this is, from 0: launch/submit.py predict sets it",
    )
    parser.set_defaults(run=run)


class _Columns(argparse.Action):
    """Prints the documentation of the columns."""

    def __call__(self, parser, namespace, values, option_string=None):
        from beadseg.inference.outputs.columns import lines

        print("\n".join(lines()))
        parser.exit()


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Predicts all images; returns one dict per image, and lines on what failed."""
    from beadseg.inference.batch import predict_batch
    from beadseg.inference.shares import predict_task

    if options.task is None:
        result = predict_batch(*found(options))
    else:
        result = predict_task(*loaded(options), options.task)
    for line in result.get("lines", []):
        print(line)
    if "images" in result:
        detection.print_result(options, result)
    else:  # of a task that ended before the last
        for line in result["failed"]:
            print(f"failed: {line}", file=sys.stderr)
    return result | {"exit_code": 1 if result["failed"] else 0}


def loaded(options: argparse.Namespace) -> tuple:
    """The `Predictor`, and the `Options` of a batch."""
    if options.every < 1:
        raise BeadsegError(f"--every {options.every}: give 1 or more")
    from beadseg.inference.batch import Options
    from beadseg.inference.networks.tiles import TILE
    from beadseg.inference.outputs.regions import Regions
    from beadseg.inference.predictor import Predictor
    from beadseg.inference.run import load_runs

    settings = detection.settings(options)
    predictor = Predictor(
        load_runs(options.runs, options.top),
        tile=TILE if options.tile is None else options.tile,
        overlap=options.overlap,
        augment=options.augment,
    )
    return predictor, Options(
        output=options.output,
        settings=settings,
        pixel_size=options.pixel_size,
        only=tuple(options.only),
        tables=f".{options.tables}",
        dialect=options.csv_dialect,
        resume=options.resume,
        edge=options.edge,
        regions=Regions(options.roi, options.exclude),
        channels=options.channels,
    )


def found(options: argparse.Namespace) -> tuple:
    """The `Inputs`, and those two; what is to be said of them is printed."""
    from beadseg.inference.inputs import find_inputs

    predictor, batch = loaded(options)
    runs = predictor.runs
    channel = runs[0].channel if options.channel is None else options.channel
    stack = options.stack or runs[0].stack
    inputs = find_inputs(options.images, channel, stack, options.every, options.level)
    for note in [*(note for run in runs for note in run.notes), *inputs.notes]:
        print(f"note: {note}", file=sys.stderr)
    return inputs, predictor, batch


def _outputs(text: str) -> tuple[str, ...]:
    kinds = tuple(dict.fromkeys(text.split(",")))
    unknown = [kind for kind in kinds if kind not in choices()]
    if unknown:
        near = get_close_matches(unknown[0], choices(), 1)
        meant = f": did you mean {near[0]}?" if near else ""
        raise argparse.ArgumentTypeError(
            f"{unknown[0]!r} is none of {', '.join(choices())}{meant}"
        )
    return kinds
