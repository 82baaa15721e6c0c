"""The `beadseg` command: parse, call, print. jax is not imported to print help."""

import argparse
import json
import sys
from pathlib import Path

from beadseg import __version__
from beadseg.errors import BeadsegError


def main(arguments: list[str] | None = None) -> None:
    """Runs a command; errors of the user are one line and exit code 2."""
    options = _parser().parse_args(arguments)
    try:
        result = options.run(options)
        if options.json:
            from beadseg.training.run_folder import write_whole, writing

            with writing(options.json):
                write_whole(options.json, json.dumps(result, indent=2) + "\n")
    except BeadsegError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="beadseg",
        description="Finds every microbead in a microscope image.",
        epilog="Training: python -m beadseg.main --config=configs/dice.py",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    generate = commands.add_parser(
        "generate",
        help="write generated beads as a data set of images and masks",
        description="Writes generated images with exact instance masks: DIR/images and "
        "DIR/masks, TIFF, ready for --config.data.dir=DIR.",
    )
    generate.add_argument("dir", type=Path, help="a new or empty folder")
    generate.add_argument("--count", type=int, default=20, help="images (20)")
    generate.add_argument("--size", type=int, default=256, help="px of a side (256)")
    generate.add_argument("--seed", type=int, default=0, help="of the images (0)")
    generate.add_argument(
        "--preset", default="beads", help="beads (default) or mitochondria"
    )
    generate.add_argument(
        "--damage", default="none", help="of the masks, such as drop_random or erode"
    )
    generate.add_argument(
        "--amount", type=float, default=0.0, help="share of the beads dropped, or px"
    )
    generate.set_defaults(run=_generate)
    for command in commands.choices.values():
        command.add_argument("--json", type=Path, help="write the result to this file")
    return parser


def _generate(options: argparse.Namespace) -> dict:
    from beadseg.data.export import write_generated

    result = write_generated(
        options.dir,
        count=options.count,
        size=options.size,
        seed=options.seed,
        preset=options.preset,
        damage=options.damage,
        amount=options.amount,
    )
    print(
        f"{result['images']} images with {result['beads']} beads, of which "
        f"{result['labelled']} are labelled, in {options.dir}"
    )
    return result


if __name__ == "__main__":
    main()
