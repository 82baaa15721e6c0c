"""`beadseg generate DIR`: generated beads as a data set on disk."""

import argparse

from beadseg.commands import Subparsers, maker, share
from beadseg.quoting import counted


def add(commands: Subparsers) -> None:
    """Adds the parser of the command."""
    parser = commands.add_parser(
        "generate",
        help="write generated beads as a data set of images and masks",
        description="Writes generated images with exact instance masks: DIR/images and "
        "DIR/masks, TIFF, ready for --config.data.dir=DIR.",
    )
    share(parser, "dir", "a new or empty folder")
    parser.add_argument("--count", type=int, default=20, help="images (20)")
    parser.add_argument("--size", type=int, default=256, help="px of a side (256)")
    parser.add_argument("--seed", type=int, default=0, help="of the images (0)")
    parser.add_argument(
        "--preset", default="beads", help="beads (default), varied or mitochondria"
    )
    parser.add_argument(
        "--modalities",
        nargs="+",
        default=[],
        help="microscopes to draw, such as fluorescence (all)",
    )
    parser.add_argument(
        "--damage", default="none", help="of the masks, such as drop_random or erode"
    )
    parser.add_argument(
        "--amount", type=float, help="of --damage: share of the beads dropped, or px"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> dict:
    """Writes the data set; returns how many images and beads it holds."""
    from beadseg.data.generated.write import write_generated

    result = write_generated(
        options.dir,
        count=options.count,
        size=options.size,
        seed=options.seed,
        preset=options.preset,
        modalities=tuple(options.modalities),
        damage=options.damage,
        amount=options.amount,
        maker=maker("generate", options),
    )
    print(
        f"{counted(result['images'], 'image')} with "
        f"{counted(result['beads'], 'bead')}, of which {result['labelled']} are "
        f"labelled, in {options.dir}"
    )
    return result
